package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// What is wrong with a wish before the kernel is asked.
var (
	errNoControl   = errors.New("there is no such control")
	errReadOnly    = errors.New("cannot be set, only read")
	errWantsText   = errors.New("wants a text")
	errWantsNumber = errors.New("wants a number")
	errNotWhole    = errors.New("wants a whole number")
	errInactive    = errors.New("has no effect now, because of another control")
)

// SetControls sets the controls with the given IDs and returns all as they are
// afterwards.
//
// Modes (menus and yes-or-no controls such as automatic exposure) are set
// first, because they free the values of others; then values, which may depend
// on them; then buttons, which act on all of it; each in the driver's order. A
// value that the modes of the same call have taken out of effect, such as the
// exposure time together with automatic exposure, may be refused by the driver:
// that is no error. After another refusal what was set before it stays set; it
// is of kind ErrInvalid when it is about the control or the value.
// Numbers between two steps are rounded by the driver.
func (c *Camera) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	const op = "v4l2 set control"
	leave, err := c.enterControls(ctx, op)
	if err != nil {
		return nil, err
	}
	defer leave()
	list, err := c.controls(ctx, op)
	if err != nil {
		return nil, err
	}
	steps, err := c.plan(list, values)
	if err != nil {
		return nil, err
	}
	modes := len(steps) > 0 && steps[0].rank == rankMode
	for i := range steps {
		if err := c.interrupted(ctx, op); err != nil {
			return nil, err
		}
		s := &steps[i]
		err := c.node.setControl(&s.data)
		switch {
		case err == nil:
			c.controlChanged()
		case is(err, unix.ENODEV, unix.ENXIO, unix.EBUSY):
			return nil, c.failure(op, s.id, err)
		case c.inactive(s.data.id) && modes && s.rank != rankMode:
			c.log.Debug("control without effect not set", "control", s.id, "err", err)
		case c.inactive(s.data.id):
			return nil, c.refused(s.id, fmt.Errorf("%w: %w", errInactive, err))
		default:
			return nil, c.refused(s.id, err)
		}
	}
	list, err = c.controls(ctx, op)
	return shown(list), err
}

// refused describes a control that could not be set. A failure that comes of
// the camera being gone is of that kind.
func (c *Camera) refused(id string, err error) error {
	e := failure(c.node, "v4l2 set control", c.info.Path, id, err)
	if errors.Is(e, device.ErrUnplugged) {
		return e
	}
	e.Kind = nil
	if is(err, unix.EACCES, unix.EINVAL, unix.ERANGE) {
		e.Kind = device.ErrInvalid // EACCES is about the control, not about who we are.
	}
	return e
}

// inactive asks whether a control is without effect at this moment.
func (c *Camera) inactive(cid uint32) bool {
	q := rawQueryControl{ID: cid}
	return c.node.queryControl(&q) == nil && q.Flags&ctrlFlagInactive != 0
}

// Ranks of controls, in the order in which they are set.
const (
	rankMode = iota
	rankValue
	rankButton
)

// step is one control to be set.
type step struct {
	id   string
	rank int
	data controlData
}

// plan checks all values and puts them in order. The error names the control;
// of several the first by name.
func (c *Camera) plan(list []control, values map[string]device.ControlValue) ([]step, error) {
	var steps []step
	for _, id := range slices.Sorted(maps.Keys(values)) {
		ctl, ok := byID(list, id)
		err := errNoControl
		if ok {
			var data controlData
			if data, err = ctl.data(values[id]); err == nil {
				steps = append(steps, step{id, ctl.rank(), data})
			}
		}
		if err != nil {
			e := &device.OpError{Op: "v4l2 set control", Path: c.info.Path, Detail: id, Kind: device.ErrInvalid, Err: err}
			if errors.Is(err, device.ErrBusy) {
				e.Kind, e.Err = device.ErrBusy, errors.New("cannot be set now, the camera is in use")
			}
			return nil, e
		}
	}
	slices.SortFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.data.id, b.data.id))
	})
	return steps, nil
}

func (c *control) rank() int {
	switch c.Kind {
	case device.ControlBoolean, device.ControlMenu, device.ControlIntegerMenu:
		return rankMode
	case device.ControlButton:
		return rankButton
	default:
		return rankValue
	}
}

// data checks a value and makes it what the kernel wants.
func (c *control) data(v device.ControlValue) (controlData, error) {
	d := controlData{id: c.cid, wide: c.wide}
	switch {
	case c.ReadOnly:
		return d, errReadOnly
	case c.Busy:
		return d, device.ErrBusy
	case c.Kind == device.ControlButton:
		return d, nil
	case c.Kind == device.ControlText:
		return d, c.textData(&d, v)
	case c.Kind == device.ControlMenu, c.Kind == device.ControlIntegerMenu:
		item, err := c.item(v)
		d.value = item
		return d, err
	case v.IsText:
		return d, errWantsNumber
	}
	n, err := c.number(v.Number)
	d.value = n
	return d, err
}

// number checks a number. Both ends are compared before it is converted: a
// float64 can be just outside of what 64 bits hold.
func (c *control) number(v float64) (int64, error) {
	switch {
	case math.IsNaN(v) || v < c.Min || v > c.Max:
		return 0, fmt.Errorf("%v is not within %v to %v", v, device.NumberValue(c.Min), device.NumberValue(c.Max))
	case v != math.Trunc(v):
		return 0, fmt.Errorf("%w, not %v", errNotWhole, v)
	case v == c.Min:
		return c.min, nil
	case v == c.Max:
		return c.max, nil
	}
	n := int64(v)
	if c.Kind == device.ControlBitmask && n&^c.max != 0 {
		return 0, fmt.Errorf("%#x has bits outside of %#x", n, c.max)
	}
	return n, nil
}

// item finds a choice by its number or its name, whose case does not matter
// unless two names differ in nothing else.
func (c *control) item(v device.ControlValue) (int64, error) {
	same := func(match func(device.ControlItem) bool) (int64, bool) {
		i := slices.IndexFunc(c.Items, match)
		if i < 0 {
			return 0, false
		}
		return c.Items[i].Value, true
	}
	if !v.IsText {
		if n, ok := same(func(it device.ControlItem) bool { return float64(it.Value) == v.Number }); ok {
			return n, nil
		}
	} else {
		if n, ok := same(func(it device.ControlItem) bool { return it.Name == v.Text }); ok {
			return n, nil
		}
		if n, ok := same(func(it device.ControlItem) bool { return strings.EqualFold(it.Name, strings.TrimSpace(v.Text)) }); ok {
			return n, nil
		}
	}
	names := make([]string, 0, len(c.Items))
	for _, it := range c.Items {
		names = append(names, fmt.Sprintf("%d (%s)", it.Value, it.Name))
	}
	return 0, fmt.Errorf("%q is no choice: use one of %s", v.String(), strings.Join(names, ", "))
}

// textData checks a text. V4L2 counts bytes, without the zero at the end.
func (c *control) textData(d *controlData, v device.ControlValue) error {
	if !v.IsText {
		return errWantsText
	}
	n := int64(len(v.Text))
	switch {
	case strings.ContainsRune(v.Text, 0):
		return errors.New("text with a zero byte")
	case n < c.min || n > c.max:
		return fmt.Errorf("text of %d bytes is not within %d to %d", n, c.min, c.max)
	case c.Step > 1 && (n-c.min)%int64(c.Step) != 0:
		return fmt.Errorf("text of %d bytes: the length must be %d plus a multiple of %v", n, c.min, c.Step)
	}
	d.text = append([]byte(v.Text), 0)
	return nil
}
