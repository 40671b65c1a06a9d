package webgear

import (
	"context"

	"github.com/webgear-pi/webgear/device"
)

// Controls lists the controls of the camera with their present values, those of
// a camera that is asleep as they were. The error matches device.ErrNotFound while
// no camera is open, and device.ErrUnsupported when it has none.
func (g *Gear) Controls(ctx context.Context) ([]device.Control, error) {
	return g.sup.Controls(ctx)
}

// SetControls sets controls of the camera at once, all or none, and again each
// time it is opened anew. It returns all controls as they are afterwards. A camera
// that is asleep is woken. Errors are those of Controls, and what the camera says
// about a control that is not there or a value that is out of range.
func (g *Gear) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	return g.sup.SetControls(ctx, values)
}

// Want keeps a source that works on demand awake until release is called, as a
// viewer would.
func (g *Gear) Want() (release func()) { return g.hub.Want() }
