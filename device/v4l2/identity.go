package v4l2

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// A camera's ID is the first of these that it has:
//
//  1. its name in /dev/v4l/by-id, which goes with it from port to port, unless
//     another camera claims the same one;
//  2. its name in /dev/v4l/by-path, which says what port it is plugged in;
//  3. "bus:" and what the driver calls that port, where nobody makes those names,
//     as in a container; "#1" follows for a second node there;
//  4. its node, such as /dev/video0, which is somebody else's tomorrow.

// busPrefix marks the third kind.
const busPrefix = "bus:"

// busID makes the third kind of ID, or nothing.
func (d *Driver) busID(node, bus string) string {
	if bus == "" {
		return ""
	}
	id := busPrefix + bus
	// The kernel numbers the nodes of one device from 0.
	index, err := os.ReadFile(d.real("/sys/class/video4linux/" + node + "/index"))
	if n, nerr := strconv.Atoi(strings.TrimSpace(string(index))); err == nil && nerr == nil && n > 0 {
		id += "#" + strconv.Itoa(n)
	}
	return id
}

// Resolve returns the node of the camera that has this [device.Info] ID now,
// such as "/dev/video2". A path below /dev is followed. The error is of kind
// ErrNotFound while there is no such camera.
func (d *Driver) Resolve(ctx context.Context, id string) (node string, err error) {
	if strings.HasPrefix(id, busPrefix) {
		return d.findOnBus(ctx, id)
	}
	target, err := filepath.EvalSymlinks(d.real(id))
	if err != nil {
		return "", openError(id, fileError(err))
	}
	root, err := filepath.EvalSymlinks(d.root)
	if err != nil {
		return "", openError(id, fileError(err))
	}
	rel, err := filepath.Rel(root, target)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", &device.OpError{Op: "open", Path: id, Kind: device.ErrNotFound}
	}
	return "/" + rel, nil
}

// fileError is the errno of a failure with a path.
func fileError(err error) error {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.EPERM} {
		if is(err, errno) {
			return errno
		}
	}
	return fmt.Errorf("%w: %w", unix.ELOOP, err) // EvalSymlinks has a text for it only.
}

// OpenID opens the camera that has this ID now, wherever it is plugged in and
// whatever its node is called by now. Its Info has the node as Path.
func (d *Driver) OpenID(ctx context.Context, id string) (*Camera, error) {
	node, err := d.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.Open(ctx, node)
}

// find turns an ID that is no path into one.
func (d *Driver) find(ctx context.Context, path string) (string, error) {
	if !strings.HasPrefix(path, busPrefix) {
		return path, nil
	}
	return d.findOnBus(ctx, path)
}

// findOnBus asks all nodes that may be cameras where they are.
func (d *Driver) findOnBus(ctx context.Context, id string) (string, error) {
	nodes, err := d.nodes()
	if err != nil {
		return "", err
	}
	for _, name := range nodes {
		if ctx.Err() != nil {
			return "", &device.OpError{Op: "open", Path: id, Err: context.Cause(ctx)}
		}
		if driver, _ := d.sysfs(name); isStranger(driver) {
			continue
		}
		n, err := d.kernel.open(d.real("/dev/" + name))
		if err != nil {
			continue // Whoever opens it is told why.
		}
		kind, err := n.queryCap()
		_ = n.close() // Nothing was done with it.
		if err == nil && judge(kind) == "" && d.busID(name, kind.bus) == id {
			return "/dev/" + name, nil
		}
	}
	return "", &device.OpError{Op: "open", Path: id, Kind: device.ErrNotFound}
}
