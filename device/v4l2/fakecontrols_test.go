package v4l2

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// fakeControl is one control of a fakeDevice. Fields are guarded by its mu.
type fakeControl struct {
	rawQueryControl
	menu    []string // by index from 0; empty names are holes
	numbers []int64  // of an integer menu
	value   int64
	text    string
	set     int           // how often it was set
	get     error         // what reading it gives
	refuse  error         // what setting it gives
	onSet   func(v int64) // called with mu held
}

func name32(s string) (b [32]byte) {
	copy(b[:31], s)
	return b
}

func query(id, typ uint32, name string, low, high int64, step uint64, def int64, flags uint32) rawQueryControl {
	return rawQueryControl{ID: id, Type: typ, Name: name32(name), Minimum: low, Maximum: high, Step: step, Default: def, Flags: flags, Elems: 1}
}

// everyControl is one control of each kind and some odd ones.
func everyControl() []*fakeControl {
	exposure := &fakeControl{rawQueryControl: query(0x9a0902, ctrlInteger, "Exposure Time, Absolute", 1, 5000, 1, 157, ctrlFlagInactive), value: 157}
	auto := &fakeControl{
		rawQueryControl: query(0x9a0901, ctrlMenu, "Auto Exposure", 0, 3, 1, 3, 0),
		menu:            []string{"", "Manual Mode", "", "Aperture Priority Mode"}, value: 3,
	}
	auto.onSet = func(v int64) {
		exposure.Flags, exposure.refuse = 0, nil
		if v != 1 {
			exposure.Flags, exposure.refuse = ctrlFlagInactive, unix.EACCES
		}
	}
	exposure.refuse = unix.EACCES
	return []*fakeControl{
		{rawQueryControl: query(0x980001, ctrlClass, "User Controls", 0, 0, 0, 0, ctrlFlagReadOnly|ctrlFlagWriteOnly)},
		{rawQueryControl: query(0x980900, ctrlInteger, "Brightness", -64, 64, 1, 0, 0), value: 7},
		{rawQueryControl: query(0x980901, ctrlInteger, "Contrast", 0, 95, 5, 50, ctrlFlagGrabbed), value: 50},
		{rawQueryControl: query(0x98090c, ctrlBoolean, "White Balance, Automatic", 0, 1, 1, 1, 0), value: 1},
		{rawQueryControl: query(0x98090d, ctrlButton, "Do White Balance", 0, 0, 0, 0, ctrlFlagWriteOnly)},
		{rawQueryControl: query(0x980918, ctrlMenu, "Power Line Frequency", 0, 2, 1, 1, 0), menu: []string{"Disabled", "50 Hz", "60 Hz"}, value: 2},
		{rawQueryControl: query(0x98091a, ctrlInteger, "White Balance Temperature", 2800, 6500, 10, 4600, ctrlFlagVolatile), value: 4600},
		{rawQueryControl: query(0x980930, ctrlInteger, "Brightness", 0, 1, 1, 0, 0)},
		{rawQueryControl: query(0x980931, ctrlInteger, "---", 0, 1, 1, 0, 0)},
		{rawQueryControl: query(0x980932, ctrlInteger, "Switched Off", 0, 1, 1, 0, ctrlFlagDisabled)},
		{rawQueryControl: query(0x9a0001, ctrlClass, "Camera Controls", 0, 0, 0, 0, ctrlFlagReadOnly|ctrlFlagWriteOnly)},
		auto,
		exposure,
		{rawQueryControl: query(0x9a0913, ctrlIntegerMenu, "Exposure, Bias", 0, 2, 1, 1, 0), numbers: []int64{-2000, 0, 1 << 40}, value: 1},
		{rawQueryControl: query(0x9a0910, ctrlBoolean, "Privacy", 0, 1, 1, 0, ctrlFlagReadOnly), value: 1},
		{rawQueryControl: query(0xf00001, ctrlClass, "Vivid Controls", 0, 0, 0, 0, 0)},
		{rawQueryControl: query(0xf00900, ctrlInteger64, "Integer 64 Bits", -1<<63, 1<<63-1, 1, 0, 0), value: 1 << 40},
		{rawQueryControl: query(0xf00901, ctrlBitmask, "Bitmask", 0, 0x80002000, 0, 0x80002000, 0), value: -0x80000000},
		{rawQueryControl: query(0xf00902, ctrlString, "String", 2, 8, 2, 0, 0), text: "  ab"},
		{rawQueryControl: func() rawQueryControl {
			q := query(0xf00903, ctrlInteger, "Grid", 0, 9, 1, 0, 0)
			q.NrOfDims, q.Elems = 1, 4
			return q
		}()},
		{rawQueryControl: query(0xf00904, 0x106, "Area", 0, 0, 0, 0, 0)},
		{rawQueryControl: query(0xf00905, ctrlInteger, "Unreadable", 0, 9, 1, 0, 0), get: unix.EIO},
	}
}

func (n *fakeNode) controlLocked(id uint32) *fakeControl {
	for _, c := range n.controls {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (n *fakeNode) queryControl(q *rawQueryControl) error {
	if err := n.call("queryctrl"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.controls == nil {
		return unix.ENOTTY
	}
	id, next := q.ID&ctrlIDMask, q.ID&ctrlNext != 0
	sorted := slices.Clone(n.controls)
	slices.SortStableFunc(sorted, func(a, b *fakeControl) int { return int(a.ID) - int(b.ID) })
	for _, c := range sorted {
		if c.ID == id && !next || c.ID > id && next {
			*q = c.rawQueryControl
			return nil
		}
	}
	return unix.EINVAL
}

func (n *fakeNode) queryMenu(m *rawMenu) error {
	if err := n.call("querymenu"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c, i := n.controlLocked(m.ID), int(m.Index)
	switch {
	case c == nil:
		return unix.EINVAL
	case i < len(c.numbers):
		binary.LittleEndian.PutUint64(m.Name[:], uint64(c.numbers[i]))
		return nil
	case i < len(c.menu) && c.menu[i] != "":
		m.Name = name32(c.menu[i])
		return nil
	}
	return unix.EINVAL
}

func (n *fakeNode) getControl(d *controlData) error {
	if err := n.call("getctrl"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.controlLocked(d.id)
	switch {
	case c == nil:
		return unix.EINVAL
	case c.get != nil:
		return c.get
	case c.Flags&ctrlFlagWriteOnly != 0:
		return unix.EACCES
	case c.Type == ctrlString:
		if len(d.text) < len(c.text)+1 {
			return unix.ENOSPC
		}
		copy(d.text, c.text)
	}
	d.value = c.value
	return nil
}

func (n *fakeNode) setControl(d *controlData) error {
	if err := n.call("setctrl"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.controlLocked(d.id)
	switch {
	case c == nil:
		return unix.EINVAL
	case c.Flags&ctrlFlagGrabbed != 0:
		return unix.EBUSY
	case c.Flags&ctrlFlagReadOnly != 0:
		return unix.EACCES
	case c.refuse != nil:
		return c.refuse
	case c.Type == ctrlString:
		c.text = unix.ByteSliceToString(d.text)
	case c.Type == ctrlInteger && c.Step > 1:
		c.value = c.Minimum + (d.value-c.Minimum+int64(c.Step)/2)/int64(c.Step)*int64(c.Step)
	default:
		c.value = d.value
	}
	c.set++
	if c.onSet != nil {
		c.onSet(d.value)
	}
	return nil
}

func (n *fakeNode) subscribe(event, id uint32) error {
	if err := n.call("subscribe"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if event == eventControl && n.controlLocked(id) == nil {
		return unix.EINVAL
	}
	n.subs[rawSubscription{Type: event, ID: id}] = true
	return nil
}

func (n *fakeNode) dequeueEvent(e *rawEvent) error {
	if err := n.call("dqevent"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.told) == 0 {
		return unix.ENOENT
	}
	*e = n.told[0]
	n.told = n.told[1:]
	return nil
}

// tell makes an event happen, if it was subscribed to.
func (n *fakeNode) tell(event, id uint32) {
	n.mu.Lock()
	if n.subs[rawSubscription{Type: event, ID: id}] {
		n.told = append(n.told, rawEvent{Type: event, ID: id})
	}
	n.mu.Unlock()
	n.changed()
}
