package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Found is one video node and what it is.
type Found struct {
	// Info describes the node. Path is the node itself ("/dev/video0"); Driver,
	// Name and Bus are empty where they could not be found out.
	Info device.Info
	// Usable is set when the node is a camera that can be opened and started.
	Usable bool
	// Open is set when this Driver has the camera open.
	Open bool
	// Reason says in a few words why the node is or is not usable.
	Reason string
	// Caps are the node's own V4L2_CAP_ bits, 0 when it was not opened.
	Caps uint32
	// Modes is what a camera offers, also when another program has it.
	Modes []device.Mode
	// Err is why the node could not be looked at or used, nil when it simply is
	// no camera. It is a *device.OpError.
	Err error
}

// List looks at every video node, in the order of their numbers. Nodes that
// sysfs shows to belong to the Pi's camera stack or to codecs are not opened.
// A node that fails is reported in its own Err; the error of List is that of
// reading the directory, or the context's cause.
func (d *Driver) List(ctx context.Context) ([]Found, error) {
	nodes, err := d.nodes()
	if err != nil {
		return nil, err
	}
	ids := d.stableNames()
	found := make([]Found, 0, len(nodes))
	for _, n := range nodes {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("list cameras: %w", context.Cause(ctx))
		}
		found = append(found, d.look(ctx, n, ids))
	}
	return found, nil
}

// nodes returns the names of all video nodes, ordered by number.
func (d *Driver) nodes() ([]string, error) {
	entries, err := os.ReadDir(d.real("/dev"))
	if err != nil {
		return nil, fmt.Errorf("list cameras: %w", err)
	}
	var nodes []string
	for _, e := range entries {
		if isVideoNode(e.Name()) {
			nodes = append(nodes, e.Name())
		}
	}
	slices.SortFunc(nodes, func(a, b string) int { return nodeNumber(a) - nodeNumber(b) })
	return nodes, nil
}

// isVideoNode tells "video0" from "video", "video0.old" and "v4l".
func isVideoNode(name string) bool { return nodeNumber(name) >= 0 }

// nodeNumber returns 10 for "video10" and -1 for what is no video node.
func nodeNumber(name string) int {
	digits, ok := strings.CutPrefix(name, "video")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil {
		return -1
	}
	return int(n)
}

// look classifies one node.
func (d *Driver) look(ctx context.Context, name string, ids map[string]string) Found {
	path := "/dev/" + name
	f := Found{Info: device.Info{Path: path, ID: path}}
	if id := ids[name]; id != "" {
		f.Info.ID = id
	}
	f.Info.Driver, f.Info.Name = d.sysfs(name)
	if reason, ok := stranger(f.Info.Driver); ok {
		f.Reason = reason
		return f
	}
	if f.Info.Driver == "" {
		if driver, reason, ok := strangerByName(f.Info.Name); ok {
			f.Info.Driver, f.Reason = driver, reason
			return f
		}
	}
	n, err := d.kernel.open(d.real(path))
	if err != nil {
		return f.failed(openError(path, err))
	}
	defer func() { _ = n.close() }() // Nothing was written; there is nobody to tell.
	d.ask(ctx, n, &f, d.isOpen(name))
	return f
}

// ask fills f with what the open node says about itself. ours is set when this
// Driver has the camera open.
func (d *Driver) ask(ctx context.Context, n node, f *Found, ours bool) {
	path := f.Info.Path
	c, err := n.queryCap()
	if err != nil {
		*f = f.failed(notV4L2(n, path, err))
		return
	}
	id := f.Info.ID
	if id == path {
		id = cmp.Or(d.busID(path[len("/dev/"):], c.bus), path)
	}
	f.Info, f.Caps = cameraInfo(c, path, id), c.caps
	if f.Reason = judge(c); f.Reason != "" {
		return
	}
	formats, err := listFormats(n)
	if err != nil {
		*f = f.failed(failure(n, "v4l2 list formats", path, "", err))
		return
	}
	if f.Reason = judgeFormats(formats); f.Reason != "" {
		return
	}
	f.Modes, err = listModes(ctx, n, formats, device.Format{})
	if err != nil {
		*f = f.failed(failure(n, "v4l2 list modes", path, "", err))
		return
	}
	f.Usable, f.Reason = true, "camera"
	if f.Open = ours; ours {
		f.Reason = "camera, open in this program"
		return
	}
	// Asking for no buffers takes nothing and starts nothing, but is refused
	// while another program has some.
	if err := n.requestBuffers(&rawRequest{Type: bufTypeVideoCapture, Memory: memoryMMAP}); is(err, unix.EBUSY) {
		*f = f.failed(failure(n, "v4l2 request buffers", path, "", err))
	}
}

// failed turns f into a node that cannot be used because of err.
func (f Found) failed(err *device.OpError) Found {
	f.Usable, f.Err = false, err
	switch {
	case errors.Is(err, device.ErrPermission):
		f.Reason = "permission denied: add the user to group video"
	case errors.Is(err, device.ErrBusy):
		f.Reason = "in use by another program"
	case errors.Is(err, device.ErrUnsupported) && err.Detail != "":
		f.Reason = err.Detail
	case errors.Is(err, device.ErrNotFound), errors.Is(err, device.ErrUnplugged):
		f.Reason = "went away"
	default:
		f.Reason = "cannot be examined"
		if err.Err != nil {
			f.Reason += ": " + err.Err.Error()
		}
	}
	return f
}

// notV4L2 describes a node that failed VIDIOC_QUERYCAP.
func notV4L2(n node, path string, err error) *device.OpError {
	e := failure(n, "v4l2 query capabilities", path, "", err)
	if is(err, unix.ENOTTY, unix.EINVAL) {
		e.Kind, e.Detail = device.ErrUnsupported, "is not a V4L2 device"
	}
	return e
}

// sysfs returns the driver and the name that sysfs has for a node, as far as it
// has them.
func (d *Driver) sysfs(node string) (driver, name string) {
	dir := d.real("/sys/class/video4linux/" + node)
	if link, err := os.Readlink(filepath.Join(dir, "device", "driver")); err == nil {
		driver = filepath.Base(link)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "name")); err == nil {
		name = tidyName(string(text))
	}
	return driver, name
}

// stableNames maps node names to the names below /dev/v4l that survive
// replugging. A name in by-id says which camera it is, one in by-path where it
// is plugged in. by-id is preferred, but cameras that carry the same serial
// number, or none, fight for one name there, and the winner changes: then
// by-path is used for all of them.
func (d *Driver) stableNames() map[string]string {
	byID, byPath := d.links("by-id"), d.links("by-path")
	names := maps.Clone(byPath)
	for node, link := range byID {
		if _, ok := byPath[node]; !ok || !d.contested(node, byID, byPath) {
			names[node] = link
		}
	}
	return names
}

// contested reports whether another node like this one has a path but no id:
// udev gives every USB camera both, unless the id was taken.
func (d *Driver) contested(node string, byID, byPath map[string]string) bool {
	_, name := d.sysfs(node)
	for other, path := range byPath {
		if _, ok := byID[other]; ok || linkIndex(path) != linkIndex(byPath[node]) {
			continue
		}
		if _, n := d.sysfs(other); n == name {
			return true
		}
	}
	return false
}

// linkIndex returns the "video-index0" at the end of a link's name, which
// tells the nodes of one camera apart.
func linkIndex(link string) string { return link[strings.LastIndexByte(link, '-')+1:] }

// links maps node names to the first shortest of the links to them in a
// directory below /dev/v4l. (Newer udev has two for one USB port.)
func (d *Driver) links(dir string) map[string]string {
	dir = "/dev/v4l/" + dir
	links := map[string]string{}
	entries, err := os.ReadDir(d.real(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Debug("stable camera names unreadable", "path", dir, "err", err)
	}
	for _, e := range entries { // sorted by name
		target, err := os.Readlink(d.real(dir + "/" + e.Name()))
		if err != nil {
			continue // Not a link, or gone since.
		}
		node, link := filepath.Base(target), dir+"/"+e.Name()
		if old, ok := links[node]; isVideoNode(node) && (!ok || len(link) < len(old)) {
			links[node] = link
		}
	}
	return links
}

// nodeName follows path, which may be a link, to the name of its node, such as
// "video0".
func (d *Driver) nodeName(path string) string {
	target, err := filepath.EvalSymlinks(d.real(path))
	if err != nil {
		return filepath.Base(path)
	}
	return filepath.Base(target)
}
