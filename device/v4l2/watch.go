package v4l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Watcher tells when video nodes, or the stable names of cameras below
// /dev/v4l, appear, vanish or change their permissions. It listens to the kernel
// in two ways and does not poll: its messages about devices (uevents), which
// come first but not in every container, and inotify on /dev.
//
// A node is there before udev has given it its group. A new one is therefore
// told once it can be opened, or two seconds later at the latest.
type Watcher struct {
	driver  *Driver
	changes chan struct{}
	uevents func() (fd int, err error) // nil when there are none for this world
}

const (
	// settleTime is how long a new node may take until it can be opened, and
	// settlePause how long to wait between two tries. Chosen: udev needs some
	// 10 ms, a busy Pi Zero while it starts more than a second.
	settleTime  = 2 * time.Second
	settlePause = 50 * time.Millisecond
)

// NewWatcher returns a Watcher that holds nothing until Run.
func (d *Driver) NewWatcher() *Watcher {
	// One waiting signal says all: look again.
	w := &Watcher{driver: d, changes: make(chan struct{}, 1)}
	if d.root == "/" {
		w.uevents = openUevents
	}
	return w
}

// Changes delivers a signal after one or several changes, and one when Run
// begins, so that nothing is missed between looking and watching.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// watch is one call of Run.
type watch struct {
	*Watcher
	inotify, netlink, wakeFD int // netlink is -1 where it does not work
	dev                      int32
	settling                 map[string]time.Time // new nodes, with the end of their time
}

// Run watches until ctx ends and returns its cause, or what went wrong. It may
// be called again afterwards, but not twice at the same time.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.run(ctx); err != nil {
		return fmt.Errorf("watch cameras: %w", err)
	}
	return nil
}

func (w *Watcher) run(ctx context.Context) (err error) {
	r := watch{Watcher: w, netlink: -1, settling: map[string]time.Time{}}
	if r.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	defer func() { _ = unix.Close(r.inotify) }() // Only read from, as the others; nothing can be lost.
	if r.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer func() { _ = unix.Close(r.wakeFD) }()
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(r.wakeFD, []byte{0: 1, 7: 0}) // Only an eventfd at its limit refuses.
	})
	defer func() {
		if !stop() {
			<-woken // It must not write to what has this number next.
		}
	}()
	if w.uevents != nil {
		if r.netlink, err = w.uevents(); err != nil {
			r.netlink = -1
			w.driver.log.Debug("kernel messages not available, watching the directories only", "err", err)
		} else {
			defer r.silence()
		}
	}
	if r.dev, err = r.addWatches(r.inotify); err != nil {
		return err
	}
	w.signal()
	for {
		if err := r.step(ctx); err != nil {
			return err
		}
	}
}

// step waits for something to happen and deals with it.
func (r *watch) step(ctx context.Context) error {
	fds := []unix.PollFd{
		{Fd: int32(r.wakeFD), Events: unix.POLLIN},
		{Fd: int32(r.inotify), Events: unix.POLLIN},
		{Fd: int32(r.netlink), Events: unix.POLLIN}, // poll ignores -1
	}
	timeout := -1
	if len(r.settling) > 0 {
		timeout = int(settlePause.Milliseconds())
	}
	err := retry(func() error {
		_, err := unix.Poll(fds, timeout)
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	look := false
	if fds[1].Revents != 0 {
		if look, err = r.readInotify(); err != nil {
			return err
		}
	}
	if fds[2].Revents != 0 && r.readUevents() {
		look = true
	}
	if r.settle(time.Now()) {
		look = true
	}
	if look {
		r.signal()
	}
	return nil
}

// readInotify takes what there is. look is set when it is about cameras, other
// than a new node.
func (r *watch) readInotify() (look bool, err error) {
	var buf [4096]byte // Chosen: room for at least 15 events of the longest name.
	n := 0
	err = retry(func() (err error) {
		n, err = unix.Read(r.inotify, buf[:])
		return err
	})
	if is(err, unix.EAGAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("inotify: %w", err)
	}
	look, nodes := relevant(buf[:n], r.dev)
	r.appeared(nodes...)
	if look || len(nodes) > 0 {
		// Directories below /dev come and go with the cameras. They are added
		// before the signal, so that what was made in them already is seen by
		// who looks after the signal.
		r.dev, err = r.addWatches(r.inotify)
	}
	return look, err
}

// readUevents takes the messages of the kernel that there are.
func (r *watch) readUevents() (look bool) {
	var buf [8192]byte // the kernel's are 2 KiB at most (UEVENT_BUFFER_SIZE)
	for {
		n, from, err := unix.Recvfrom(r.netlink, buf[:], unix.MSG_DONTWAIT)
		switch {
		case is(err, unix.EINTR):
			continue
		case is(err, unix.ENOBUFS):
			look = true // Some were lost.
			continue
		case is(err, unix.EAGAIN):
			return look
		case err != nil || n == 0:
			// Without it there is still inotify.
			r.driver.log.Debug("kernel messages ended", "err", err)
			r.silence()
			return true
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid != 0 {
			continue // Some program, not the kernel.
		}
		e, ok := parseUevent(buf[:n])
		if !ok || !e.matters() {
			continue
		}
		if node, ok := e.appeared(); ok {
			r.appeared(node)
			continue
		}
		delete(r.settling, e.node)
		look = true
	}
}

// silence stops listening to the kernel's messages.
func (r *watch) silence() {
	if r.netlink >= 0 {
		_ = unix.Close(r.netlink) // Only read from.
	}
	r.netlink = -1
}

// appeared begins to try new nodes.
func (r *watch) appeared(nodes ...string) {
	for _, n := range nodes {
		if _, ok := r.settling[n]; !ok {
			r.settling[n] = time.Now().Add(settleTime)
		}
	}
}

// settle tries the new nodes and says whether there is news of one.
func (r *watch) settle(now time.Time) (look bool) {
	for node, end := range r.settling {
		if r.driver.settled(node) || now.After(end) {
			delete(r.settling, node)
			look = true
		}
	}
	return look
}

// settled says whether a node that appeared is what it will be: it opens, or
// fails in a way that udev does not change. Nodes that are known not to be
// cameras, and our own, are not opened.
func (d *Driver) settled(node string) bool {
	if driver, _ := d.sysfs(node); isStranger(driver) || d.isOpen(node) {
		return true
	}
	path := "/dev/" + node
	n, err := d.kernel.open(d.real(path))
	if err == nil {
		_ = n.close() // Nothing was done with it.
		return true
	}
	if is(err, unix.ENOENT) {
		return true // It went again: the kernel makes the node before it tells.
	}
	kind := openError(path, err).Kind
	return !errors.Is(kind, device.ErrPermission) && !errors.Is(kind, device.ErrNotFound)
}

func (w *Watcher) signal() {
	select {
	case w.changes <- struct{}{}:
	default: // One is waiting already.
	}
}

// addWatches watches /dev and what there is of /dev/v4l; adding a directory
// again changes nothing. It returns the number of the watch on /dev.
func (w *Watcher) addWatches(fd int) (dev int32, err error) {
	const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_ONLYDIR
	for i, dir := range []string{"/dev", "/dev/v4l", "/dev/v4l/by-id", "/dev/v4l/by-path"} {
		wd, err := unix.InotifyAddWatch(fd, w.driver.real(dir), mask)
		if i == 0 {
			if err != nil {
				return 0, &os.PathError{Op: "inotify", Path: dir, Err: err}
			}
			dev = int32(wd)
		}
		// The others need not exist, and without them the nodes still tell.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.driver.log.Debug("camera names cannot be watched", "path", dir, "err", err)
		}
	}
	return dev, nil
}

// relevant reads a batch of inotify events. It returns the video nodes that
// appeared, or changed, in the directory watched as dev, and whether there is
// anything else about cameras: a node that went, v4l, or whatever happened in the
// other directories. A lost event may have been one.
func relevant(events []byte, dev int32) (look bool, appeared []string) {
	// struct inotify_event: int wd; uint32_t mask, cookie, len; char name[len].
	const header = unix.SizeofInotifyEvent
	for len(events) >= header {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := binary.NativeEndian.Uint32(events[12:])
		rest := events[header:]
		if uint64(size) > uint64(len(rest)) {
			return true, appeared // The kernel never splits an event; look, to be safe.
		}
		name := unix.ByteSliceToString(rest[:size])
		events = rest[size:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			look = true
		case mask&unix.IN_IGNORED != 0:
			// A directory is gone; its deletion is an event of its parent.
		case wd != dev, name == "v4l":
			look = true
		case !isVideoNode(name):
		case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
			look = true
		default:
			appeared = append(appeared, name)
		}
	}
	return look, appeared
}
