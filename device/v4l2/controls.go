package v4l2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Most entries taken from the kernel's lists of controls, chosen well above
// what any camera has (vivid, which has one of each kind, has 80).
const (
	maxControls  = 512
	maxMenuItems = 256
)

// control is one control as it is shown, and what the kernel wants to know to
// set it.
type control struct {
	device.Control
	cid      uint32
	wide     bool  // 64 bits
	min, max int64 // exact
}

// Controls lists what can be adjusted, in the driver's order.
//
// Controls whose value is an array or a structure (a grid of thresholds, a
// rectangle) are left out, because [device.ControlValue] cannot hold one, and so
// are those that the driver calls disabled. A control whose value cannot be
// read, though the driver says that it can, is listed as write-only.
func (c *Camera) Controls(ctx context.Context) ([]device.Control, error) {
	const op = "v4l2 list controls"
	leave, err := c.enterControls(ctx, op)
	if err != nil {
		return nil, err
	}
	defer leave()
	list, err := c.controls(ctx, op)
	return shown(list), err
}

// Controls lists the controls of the camera at path, a node or an ID, without
// taking it: another program may capture from it meanwhile.
func (d *Driver) Controls(ctx context.Context, path string) ([]device.Control, error) {
	const op = "v4l2 list controls"
	node, err := d.find(ctx, path)
	if err != nil {
		return nil, err
	}
	n, err := d.kernel.open(d.real(node))
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() { _ = n.close() }() // Nothing was written; there is nobody to tell.
	list, err := listControls(n, func() error {
		if ctx.Err() != nil {
			return &device.OpError{Op: op, Path: path, Err: context.Cause(ctx)}
		}
		return nil
	})
	if _, ok := errors.AsType[*device.OpError](err); err != nil && !ok {
		err = failure(n, op, path, "", err)
	}
	return shown(list), err
}

// controls lists the controls and sees to it that their changes are told from
// now on. The caller has entered.
func (c *Camera) controls(ctx context.Context, op string) ([]control, error) {
	list, err := listControls(c.node, func() error { return c.interrupted(ctx, op) })
	if err != nil {
		if _, ok := errors.AsType[*device.OpError](err); ok {
			return nil, err
		}
		return nil, c.failure(op, "", err)
	}
	for _, ctl := range list {
		if c.subscribed[ctl.cid] {
			continue
		}
		// Buttons and some odd drivers have no events; that is as good as done.
		if err := c.node.subscribe(eventControl, ctl.cid); err != nil {
			c.log.Debug("control changes are not told", "control", ctl.ID, "err", err)
		}
		c.subscribed[ctl.cid] = true
	}
	return list, nil
}

// shown drops what only this package needs.
func shown(list []control) []device.Control {
	out := make([]device.Control, 0, len(list))
	for _, c := range list {
		out = append(out, c.Control)
	}
	return out
}

// listControls asks for all controls with their values. Errors are errnos, or
// what stop returned, which is asked in between: USB cameras take their time.
func listControls(n node, stop func() error) ([]control, error) {
	var list []control
	groups := map[uint32]string{}
	ids := map[string]bool{}
	for id, i := uint32(0), 0; i < maxControls; i++ {
		if err := stop(); err != nil {
			return nil, err
		}
		q := rawQueryControl{ID: id | ctrlNext | ctrlNextCompound}
		err := n.queryControl(&q)
		switch {
		case is(err, unix.EINVAL, unix.ENOTTY):
			return list, nil
		case err != nil && len(list) > 0 && !is(err, unix.ENODEV, unix.ENXIO):
			// Some USB cameras fail at one control; the kernel does not say at
			// which, so that what follows it cannot be asked for.
			return list, nil
		case err != nil:
			return nil, err
		case q.ID&ctrlIDMask <= id:
			return list, nil // A faulty driver that would go round for ever.
		}
		id = q.ID & ctrlIDMask
		q.ID = id
		if q.Type == ctrlClass {
			groups[id&ctrlClassMask] = strings.TrimSuffix(controlID(text(q.Name[:])), "_controls")
			continue
		}
		ctl, ok := describe(&q)
		if !ok || q.Flags&ctrlFlagDisabled != 0 {
			continue
		}
		ctl.ID = unusedID(ids, ctl.ID)
		ctl.Group = groups[id&ctrlClassMask]
		if g, ok := controlGroups[id&ctrlClassMask]; ok {
			ctl.Group = g
		}
		if err := complete(n, &ctl); err != nil {
			return nil, err
		}
		list = append(list, ctl)
	}
	return list, nil
}

// describe turns the kernel's description of a control into ours. ok is false
// for those that are left out.
func describe(q *rawQueryControl) (c control, ok bool) {
	has := func(flag uint32) bool { return q.Flags&flag != 0 }
	c = control{
		Control: device.Control{
			ID: controlID(text(q.Name[:])), Name: text(q.Name[:]), Unit: controlUnits[q.ID],
			Min: float64(q.Minimum), Max: float64(q.Maximum), Step: float64(q.Step), Default: device.NumberValue(float64(q.Default)),
			ReadOnly: has(ctrlFlagReadOnly), WriteOnly: has(ctrlFlagWriteOnly), Inactive: has(ctrlFlagInactive),
			Busy: has(ctrlFlagGrabbed), Volatile: has(ctrlFlagVolatile),
		},
		cid: q.ID, min: q.Minimum, max: q.Maximum, wide: q.Type == ctrlInteger64,
	}
	if c.ID == "" {
		c.ID = fmt.Sprintf("control_%08x", q.ID)
	}
	if q.NrOfDims > 0 {
		return c, false
	}
	switch q.Type {
	case ctrlInteger, ctrlInteger64:
		c.Kind = device.ControlInteger
	case ctrlBoolean:
		c.Kind = device.ControlBoolean
	case ctrlMenu:
		c.Kind = device.ControlMenu
	case ctrlIntegerMenu:
		c.Kind = device.ControlIntegerMenu
	case ctrlButton:
		c.Kind, c.WriteOnly, c.Default = device.ControlButton, true, device.ControlValue{}
	case ctrlBitmask:
		// Older drivers give the bits with a sign.
		c.min, c.max = 0, int64(uint32(q.Maximum))
		c.Kind, c.Min, c.Max = device.ControlBitmask, 0, float64(c.max)
		c.Default = device.NumberValue(float64(uint32(q.Default)))
	case ctrlString:
		c.Kind, c.Default = device.ControlText, device.TextValue("")
	default:
		return c, false
	}
	return c, true
}

// complete adds the choices of a menu and the present value.
func complete(n node, c *control) error {
	if c.Kind == device.ControlMenu || c.Kind == device.ControlIntegerMenu {
		if err := listItems(n, c); err != nil {
			return err
		}
	}
	if c.WriteOnly {
		return nil
	}
	d := controlData{id: c.cid, wide: c.wide}
	if c.Kind == device.ControlText {
		d.text = make([]byte, max(0, min(c.max, maxTextBytes))+1)
	}
	switch err := n.getControl(&d); {
	case is(err, unix.ENODEV, unix.ENXIO):
		return err
	case err != nil:
		c.WriteOnly = true
	case c.Kind == device.ControlText:
		c.Value = device.TextValue(strings.ToValidUTF8(unix.ByteSliceToString(d.text), "\ufffd"))
	case c.Kind == device.ControlBitmask:
		c.Value = device.NumberValue(float64(uint32(d.value)))
	default:
		c.Value = device.NumberValue(float64(d.value))
	}
	return nil
}

// maxTextBytes bounds the memory for a control's text. Chosen: no driver comes
// near it.
const maxTextBytes = 1 << 16

// listItems asks for the choices of a menu. There may be holes.
func listItems(n node, c *control) error {
	for i := range int64(maxMenuItems) {
		index := c.min + i
		if index < 0 || index > c.max {
			break
		}
		m := rawMenu{ID: c.cid, Index: uint32(index)}
		switch err := n.queryMenu(&m); {
		case is(err, unix.ENODEV, unix.ENXIO):
			return err
		case err != nil:
			continue
		}
		name := text(m.Name[:])
		if c.Kind == device.ControlIntegerMenu {
			name = strconv.FormatInt(m.number(), 10)
		}
		c.Items = append(c.Items, device.ControlItem{Value: index, Name: name})
	}
	return nil
}

// number is the choice of an integer menu.
func (m *rawMenu) number() int64 {
	var v uint64
	for i, b := range m.Name[:8] { // little-endian, as all supported machines are
		v |= uint64(b) << (8 * i)
	}
	return int64(v)
}

// text reads the kernel's text up to its zero byte.
func text(b []byte) string { return strings.TrimSpace(unix.ByteSliceToString(b)) }

// controlID makes the name for programs as v4l2-ctl does: lower case, and one
// underscore for whatever stands between letters and digits.
func controlID(name string) string {
	return strings.Join(strings.FieldsFunc(strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + ('a' - 'A')
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return ' '
	}, name), func(r rune) bool { return r == ' ' }), "_")
}

// unusedID gives an ID that none of used has, and adds it to them.
func unusedID(used map[string]bool, id string) string {
	unique := id
	for i := 2; used[unique]; i++ {
		unique = id + "_" + strconv.Itoa(i)
	}
	used[unique] = true
	return unique
}

// byID finds a control.
func byID(list []control, id string) (control, bool) {
	i := slices.IndexFunc(list, func(c control) bool { return c.ID == id })
	if i < 0 {
		return control{}, false
	}
	return list[i], true
}
