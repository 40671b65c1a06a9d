package devicetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

// FakeController is a [Fake] with controls. Setting one keeps the value, after
// the checks that [device.Controller] asks for.
type FakeController struct {
	*Fake
	changes chan struct{}

	mu       sync.Mutex
	controls []device.Control
	refuse   error
	sets     int
}

var _ device.Controller = (*FakeController)(nil)

// NewFakeController makes an open camera with these controls.
func NewFakeController(opt FakeOptions, controls ...device.Control) *FakeController {
	return &FakeController{Fake: NewFake(opt), changes: make(chan struct{}, 1), controls: slices.Clone(controls)}
}

// Controls lists the controls.
func (f *FakeController) Controls(ctx context.Context) ([]device.Control, error) {
	if err := f.usable(ctx, "list controls"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.controls), nil
}

// SetControls sets them, all or none.
func (f *FakeController) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	if err := f.usable(ctx, "set controls"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	next := slices.Clone(f.controls)
	for _, id := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(next, func(c device.Control) bool { return c.ID == id })
		if i < 0 {
			return nil, f.fail("set control "+id, device.ErrInvalid, errors.New("there is no such control"))
		}
		v, err := accept(next[i], values[id])
		if err != nil {
			if !errors.Is(err, device.ErrBusy) {
				return nil, f.fail("set control "+id, device.ErrInvalid, err)
			}
			return nil, f.fail("set control "+id, nil, err)
		}
		next[i].Value = v
	}
	f.controls = next
	f.sets++
	f.changed()
	return slices.Clone(next), nil
}

// ControlsChanged tells of changes by SetControls and ChangeControl.
func (f *FakeController) ControlsChanged() <-chan struct{} { return f.changes }

// ChangeControl is a change by another program, of anything about a control.
func (f *FakeController) ChangeControl(id string, change func(*device.Control)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.controls {
		if f.controls[i].ID == id {
			change(&f.controls[i])
		}
	}
	f.changed()
}

// RefuseControls makes SetControls fail with err; nil ends that.
func (f *FakeController) RefuseControls(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

// ControlSets counts the calls of SetControls that did something.
func (f *FakeController) ControlSets() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sets
}

func (f *FakeController) changed() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

func (f *FakeController) usable(ctx context.Context, op string) error {
	f.Fake.mu.Lock()
	defer f.Fake.mu.Unlock()
	switch {
	case f.closedLocked():
		return f.fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return f.fail(op, nil, context.Cause(ctx))
	}
	return f.gone
}

// accept checks a value and gives what is kept.
func accept(c device.Control, v device.ControlValue) (device.ControlValue, error) {
	isMenu := c.Kind == device.ControlMenu || c.Kind == device.ControlIntegerMenu
	switch {
	case c.ReadOnly:
		return v, errors.New("cannot be set, only read")
	case c.Busy:
		return v, device.ErrBusy
	case c.Kind == device.ControlButton:
		return device.ControlValue{}, nil
	case isMenu:
		i := slices.IndexFunc(c.Items, func(it device.ControlItem) bool {
			return v.IsText && it.Name == v.Text || !v.IsText && float64(it.Value) == v.Number
		})
		if i < 0 {
			return v, fmt.Errorf("%q is no choice", v)
		}
		return device.NumberValue(float64(c.Items[i].Value)), nil
	case v.IsText != (c.Kind == device.ControlText):
		return v, fmt.Errorf("%q is of the wrong kind", v)
	case v.IsText && (float64(len(v.Text)) < c.Min || float64(len(v.Text)) > c.Max), !v.IsText && (v.Number < c.Min || v.Number > c.Max):
		return v, fmt.Errorf("%q is out of range", v)
	}
	return v, nil
}
