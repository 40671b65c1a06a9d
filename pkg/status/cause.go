package status

import (
	"errors"

	"github.com/webgear-pi/webgear/device"
)

// Cause tells a person why there is no live picture and what to do about it.
type Cause struct {
	// Code is for programs; it is also the value of the part header
	// X-Placeholder.
	Code string `json:"code"`
	// Title is a few words, Remedy one or two sentences.
	Title  string `json:"title"`
	Remedy string `json:"remedy"`
}

// CauseOf finds the cause that explains err best. Unknown errors get the code
// "failed". An error in the chain with a method Remedy() string knows better what
// to do about it.
func CauseOf(err error) Cause {
	c := causeOf(err)
	if a, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err); ok {
		c.Remedy = a.Remedy()
	}
	return c
}

func causeOf(err error) Cause {
	for _, c := range []struct {
		kind error
		Cause
	}{
		{device.ErrUnplugged, Cause{"unplugged", "Camera unplugged", "Check the cable and the power supply. The picture returns by itself."}},
		{device.ErrDisconnected, Cause{"disconnected", "Connection to the camera lost", "Check its power and network. It is tried again by itself."}},
		{device.ErrNotInstalled, Cause{"not-installed", "A helper program is missing", "See the log or /state for the package to install."}},
		{device.ErrNotFound, Cause{"not-found", "Camera not found", "Plug the camera in, or choose another source: webgear probe lists what there is."}},
		{device.ErrBusy, Cause{"busy", "Camera in use by another program", "Stop the other program; fuser -v /dev/video* names it."}},
		{device.ErrPermission, Cause{"permission", "No permission to open the camera", "Add the user to the group video: sudo usermod -aG video USER, then log in again."}},
		{device.ErrUnsupported, Cause{"unsupported", "Not a usable camera", "Choose another source: webgear probe lists what there is and why."}},
		{device.ErrStalled, Cause{"stalled", "Camera sends no pictures", "Check cable, USB hub and power supply. The picture returns by itself."}},
		{device.ErrDamaged, Cause{"damaged", "Camera sends damaged pictures", "Check the cable, use another USB port, or choose a smaller size or rate."}},
		{device.ErrEnded, Cause{"ended", "The End", "The recording is over. Use --loop to repeat it."}},
		{device.ErrClosed, Cause{"stopped", "Stopped", "The camera program was stopped."}},
	} {
		if errors.Is(err, c.kind) {
			return c.Cause
		}
	}
	return Cause{"failed", "Camera failed", "See the log for the error. It is tried again by itself."}
}

// StartingCause is shown when the first picture takes longer than usual.
func StartingCause() Cause {
	return Cause{"starting", "Waiting for the camera", "The camera was opened, its first picture is on the way."}
}

// NoInputCause is shown for ever when a recording is over and the stream is to
// stay open.
func NoInputCause() Cause {
	return Cause{"no-input", "No Input", "The recording is over."}
}

// AsleepCause is shown while a camera is asleep or being woken.
func AsleepCause() Cause {
	return Cause{"asleep", "Waking the camera", "It rests while nobody watches. The live picture is on its way."}
}
