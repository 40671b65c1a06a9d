package device

import "errors"

// Kinds of failure that callers decide by. Match with errors.Is; the errno of
// a system call stays reachable beside them.
var (
	// ErrClosed: the camera was closed by us.
	ErrClosed = errors.New("closed")
	// ErrUnplugged: the hardware went away while in use.
	ErrUnplugged = errors.New("unplugged")
	// ErrDisconnected: a network source ended or cannot be reached.
	ErrDisconnected = errors.New("disconnected")
	// ErrNotInstalled: a helper program is missing; the text names its package.
	ErrNotInstalled = errors.New("helper program not installed")
	// ErrNotFound: there is no such camera now.
	ErrNotFound = errors.New("not found")
	// ErrBusy: another program uses the camera.
	ErrBusy = errors.New("in use by another program")
	// ErrPermission: this user may not open the camera.
	ErrPermission = errors.New("permission denied")
	// ErrUnsupported: the device is no camera, or not one we can use.
	ErrUnsupported = errors.New("not supported")
	// ErrStalled: the camera is open but delivers nothing.
	ErrStalled = errors.New("delivers no pictures")
	// ErrDamaged: the camera delivers, but nothing that can be shown.
	ErrDamaged = errors.New("delivers damaged pictures")
	// ErrEnded: a recording is over. A camera that is live never ends; one that
	// stops for good of itself is ErrStalled.
	ErrEnded = errors.New("ended")
	// ErrInvalid: a control that is not there or is never set, or a value that it
	// does not take.
	ErrInvalid = errors.New("invalid value")
)

// OpError says which operation failed on which device, and why. Its text reads
// "v4l2 set format /dev/video0 MJPG 1280x720: device or resource busy".
type OpError struct {
	// Op is what was tried: "open", "v4l2 set format".
	Op string
	// Path is the device or file.
	Path string
	// Detail is what more there is to say, or empty.
	Detail string
	// Kind is one of the sentinels above, or nil.
	Kind error
	// Err is the cause, usually a syscall.Errno.
	Err error
}

// Error gives operation, object, detail and cause in one line.
func (e *OpError) Error() string {
	s := e.Op
	if e.Path != "" {
		s += " " + e.Path
	}
	if e.Detail != "" {
		s += " " + e.Detail
	}
	switch {
	case e.Err != nil:
		s += ": " + e.Err.Error()
	case e.Kind != nil:
		s += ": " + e.Kind.Error()
	}
	return s
}

// Unwrap makes both the kind and the cause reachable.
func (e *OpError) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
