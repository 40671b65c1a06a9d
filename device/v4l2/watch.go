package v4l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher tells when video nodes, or the stable names of cameras below
// /dev/v4l, appear, vanish or change their permissions. It listens to the kernel
// (inotify) and does not poll.
type Watcher struct {
	driver  *Driver
	changes chan struct{}
}

// NewWatcher returns a Watcher that holds nothing until Run.
func (d *Driver) NewWatcher() *Watcher {
	// One waiting signal says all: look again.
	return &Watcher{driver: d, changes: make(chan struct{}, 1)}
}

// Changes delivers a signal after one or several changes, and one when Run
// begins, so that nothing is missed between looking and watching.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Run watches until ctx ends and returns its cause, or what went wrong. It may
// be called again afterwards, but not twice at the same time.
func (w *Watcher) Run(ctx context.Context) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch cameras: inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = f.Close() }() // Only read from; nothing can be lost.
	// The deadline ends a blocked Read; it cannot fail on a pollable file.
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()

	dev, err := w.addWatches(fd)
	if err != nil {
		return fmt.Errorf("watch cameras: %w", err)
	}
	w.signal()
	var buf [4096]byte // Chosen: room for at least 15 events of the longest name.
	for {
		n, err := f.Read(buf[:])
		if ctx.Err() != nil {
			return fmt.Errorf("watch cameras: %w", context.Cause(ctx))
		}
		if err != nil {
			return fmt.Errorf("watch cameras: %w", err)
		}
		if !relevant(buf[:n], dev) {
			continue
		}
		// Directories below /dev come and go with the cameras. They are added
		// before the signal, so that what was made in them already is seen by
		// who looks after the signal.
		if dev, err = w.addWatches(fd); err != nil {
			return fmt.Errorf("watch cameras: %w", err)
		}
		w.signal()
	}
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

// relevant says whether a batch of inotify events has one about cameras: about
// a video node or v4l in the directory watched as dev, or about anything in the
// other directories. A lost event may have been one.
func relevant(events []byte, dev int32) bool {
	// struct inotify_event: int wd; uint32_t mask, cookie, len; char name[len].
	const header = unix.SizeofInotifyEvent
	for len(events) >= header {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := binary.NativeEndian.Uint32(events[12:])
		rest := events[header:]
		if uint64(size) > uint64(len(rest)) {
			return true // The kernel never splits an event; look, to be safe.
		}
		name := unix.ByteSliceToString(rest[:size])
		events = rest[size:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			return true
		case mask&unix.IN_IGNORED != 0:
			// A directory is gone; its deletion is an event of its parent.
		case wd != dev:
			return true
		case isVideoNode(name) || name == "v4l":
			return true
		}
	}
	return false
}
