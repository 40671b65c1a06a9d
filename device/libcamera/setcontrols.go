package libcamera

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

var (
	errNoControl = errors.New("no such control")
	errReadOnly  = errors.New("only tells, cannot be set")
	errNoItem    = errors.New("not in the list")
	errNotWhole  = errors.New("not a whole number")
)

// items are the choices of a menu.
func (c *Camera) items(f *face, r *option, opt *Options) []device.ControlItem {
	choices := slices.Clone(r.Choices)
	if f.name == "SensorMode" {
		choices = []string{f.neutral}
		for _, m := range c.listed.modes {
			choices = append(choices, m.String())
		}
		if opt.SensorMode != "" && !slices.Contains(choices, opt.SensorMode) {
			choices = append(choices, opt.SensorMode)
		}
		choices = slices.Compact(choices)
	}
	var items []device.ControlItem
	if f.neutral == leftToLibcamera {
		items = append(items, device.ControlItem{Value: -1, Name: leftToLibcamera})
	}
	for i, name := range choices {
		value := int64(i)
		if f.kind == device.ControlIntegerMenu {
			value, _ = strconv.ParseInt(name, 10, 64) // the table has numbers there
		}
		items = append(items, device.ControlItem{Value: value, Name: name})
	}
	return items
}

// valueOf reads what an option says into the value of its control.
func valueOf(ctl *device.Control, text string) device.ControlValue {
	switch ctl.Kind {
	case device.ControlText:
		return device.TextValue(text)
	case device.ControlBoolean:
		if text == "true" {
			return device.NumberValue(1)
		}
		return device.ControlValue{}
	case device.ControlMenu, device.ControlIntegerMenu:
		for _, item := range ctl.Items {
			if item.Name == text {
				return device.NumberValue(float64(item.Value))
			}
		}
		return device.ControlValue{}
	}
	n, err := parseNumber(strings.TrimSuffix(text, "us"))
	if err != nil {
		return device.ControlValue{}
	}
	return device.NumberValue(n)
}

// settingOf turns a value for a control into one for its option.
func settingOf(ctl *device.Control, f *face, v device.ControlValue) (setting, error) {
	s := setting{name: f.name}
	switch ctl.Kind {
	case device.ControlText:
		s.value = strings.TrimSpace(v.String())
		if len(s.value) > longestText {
			return s, fmt.Errorf("more than %d characters", longestText)
		}
	case device.ControlBoolean:
		on, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(v.String())))
		if err != nil {
			return s, errSwitch
		}
		s.value = strconv.FormatBool(on)
	case device.ControlMenu, device.ControlIntegerMenu:
		i := slices.IndexFunc(ctl.Items, func(item device.ControlItem) bool {
			if v.IsText {
				return strings.EqualFold(item.Name, strings.TrimSpace(v.Text))
			}
			return float64(item.Value) == v.Number
		})
		if i < 0 {
			names := make([]string, len(ctl.Items))
			for i, item := range ctl.Items {
				names[i] = item.Name
			}
			return s, fmt.Errorf("%w: use one of %s", errNoItem, strings.Join(names, ", "))
		}
		s.value = ctl.Items[i].Name
	default:
		n := v.Number
		if v.IsText {
			var err error
			if n, err = parseNumber(v.Text); err != nil {
				return s, err
			}
		}
		switch {
		case ctl.Kind == device.ControlInteger && n != math.Trunc(n):
			return s, errNotWhole
		case !(n >= ctl.Min && n <= ctl.Max):
			return s, outside(ctl.Min, ctl.Max)
		}
		s.value = decimal(n)
		if n == ctl.Default.Number && !f.fixed {
			s.value = ""
		}
		return s, nil
	}
	if s.value == f.neutral {
		s.value = ""
	}
	return s, nil
}

// check turns wishes into settings. All that is wrong is named.
func (c *Camera) check(values map[string]device.ControlValue) ([]setting, error) {
	controls := c.controls()
	all := faces()
	var settings []setting
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(controls, func(ctl device.Control) bool { return ctl.ID == id })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: %w", id, errNoControl))
			continue
		}
		if controls[i].ReadOnly {
			errs = append(errs, fmt.Errorf("%s: %w", id, errReadOnly))
			continue
		}
		f := slices.IndexFunc(all, func(f face) bool { return f.name == id })
		s, err := settingOf(&controls[i], &all[f], values[id])
		if err == nil {
			err = new(Options).check(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", id, values[id], err))
			continue
		}
		settings = append(settings, s)
	}
	// The mode of autofocus comes before what it decides on.
	slices.SortStableFunc(settings, func(a, b setting) int {
		return boolToInt(b.name == "AfMode") - boolToInt(a.name == "AfMode")
	})
	return settings, errors.Join(errs...)
}

// check says what is wrong with one value, without its name.
func (o *Options) check(v setting) error {
	err := o.Set(v.name, v.value)
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// SetControls sets controls. All are checked first. While the camera captures,
// rpicam-vid is started anew with them, once for all that is set within 300 ms:
// pictures pause for a second or two. When it refuses the new values, the old
// ones are in force again, and the error names those that were refused. Without
// a capture, values count from the next Start on. They outlive the Camera: who
// opens it again from the same Driver with the same options finds them set.
func (c *Camera) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	const op = "set controls"
	if err := c.life.Check(ctx, op); err != nil {
		return nil, err
	}
	settings, err := c.check(values)
	if err != nil {
		return nil, c.life.Fail(op, device.ErrInvalid, err)
	}
	ch := &change{values: settings, done: make(chan error, 1)}
	ses, err := c.change(ch)
	if err != nil { // values that do not go together
		return nil, c.life.Fail(op, device.ErrInvalid, err)
	}
	if ses == nil {
		c.tellChanged()
		return c.controls(), nil
	}
	select {
	case err = <-ch.done:
	case <-ses.done:
		select {
		case err = <-ch.done:
		default:
			// The capture ended before it came to that.
			if err = c.note(settings); err != nil {
				err = c.life.Fail(op, device.ErrInvalid, err)
			}
		}
	case <-c.life.Closed():
		err = c.life.Fail(op, device.ErrClosed, nil)
	case <-ctx.Done(): // it goes on all the same
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, c.life.Explain(ctx, op, err)
	}
	return c.controls(), nil
}

// change checks settings together with the options in force, and hands them to
// the session that captures. Without one, or when nothing changes, they are
// noted and the session is nil.
func (c *Camera) change(ch *change) (*session, error) {
	c.mu.Lock()
	ses := c.session
	next, err := c.opt.with(ch.values)
	if err == nil && ses != nil && (!reflect.DeepEqual(next, c.opt) || len(ses.changes) > 0) {
		ses.ask(ch)
		c.mu.Unlock()
		return ses, nil
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return nil, c.note(ch.values)
}

// note puts settings in force for the next Start.
func (c *Camera) note(settings []setting) error {
	c.mu.Lock()
	next, err := c.opt.with(settings)
	if err == nil {
		c.opt = next
	}
	c.mu.Unlock()
	if err == nil {
		c.drv.keepOptions(c.listed.id, c.base, next)
	}
	return err
}

// with gives the options with some set otherwise. Those that do not go together
// are an error.
func (o Options) with(settings []setting) (Options, error) {
	var errs []error
	for _, s := range settings {
		if err := o.apply(s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, o.Validate())
	}
	return o, errors.Join(errs...)
}
