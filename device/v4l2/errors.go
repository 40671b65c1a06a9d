package v4l2

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// notDeviceError is the answer to a path that leads to something other than a
// video node; the text says what it is.
type notDeviceError struct{ what string }

func (e *notDeviceError) Error() string { return "is " + e.what + ", not a camera" }

// openError describes why path could not be opened.
func openError(path string, err error) *device.OpError {
	e := &device.OpError{Op: "open", Path: path, Err: err}
	if nd, ok := errors.AsType[*notDeviceError](err); ok {
		e.Kind, e.Detail, e.Err = device.ErrUnsupported, nd.Error(), nil
		return e
	}
	switch {
	case is(err, unix.ENOENT, unix.ENOTDIR, unix.ENODEV, unix.ENXIO, unix.ELOOP):
		// ENODEV and ENXIO: the node is there, its driver no longer is.
		e.Kind = device.ErrNotFound
	case is(err, unix.EACCES, unix.EPERM):
		// EPERM is what a device cgroup says.
		e.Kind = device.ErrPermission
	case is(err, unix.EBUSY):
		e.Kind = device.ErrBusy
	}
	return e
}

// failure describes why op failed on an open node. When the errno itself does
// not say so, the node is asked whether it is still there: a USB camera that is
// being pulled out answers EPIPE, EPROTO, EIO and others for a while.
func failure(n node, op, path, detail string, err error) *device.OpError {
	e := &device.OpError{Op: op, Path: path, Detail: detail, Err: err}
	switch {
	case is(err, unix.ENODEV, unix.ENXIO):
		e.Kind = device.ErrUnplugged
	case is(err, unix.EBUSY):
		e.Kind = device.ErrBusy
	case is(err, unix.EACCES, unix.EPERM):
		e.Kind = device.ErrPermission
	default:
		if _, gone := n.queryCap(); is(gone, unix.ENODEV, unix.ENXIO) {
			e.Kind, e.Err = device.ErrUnplugged, fmt.Errorf("%w, then %w", err, gone)
		}
	}
	return e
}

// is reports whether err is one of the errnos.
func is(err error, errnos ...unix.Errno) bool {
	got, ok := errors.AsType[unix.Errno](err)
	return ok && slices.Contains(errnos, got)
}
