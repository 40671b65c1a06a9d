package v4l2

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// queryControl asks the newer question, which knows 64-bit ranges and arrays,
// and the older one of drivers that do not have it (Linux before 3.17 had
// none).
func (n *fdNode) queryControl(q *rawQueryControl) error {
	err := n.ioctl(vidiocQueryExtCtrl, unsafe.Pointer(q))
	if !is(err, unix.ENOTTY) {
		return err
	}
	old := rawQueryOld{ID: q.ID &^ ctrlNextCompound}
	if err := n.ioctl(vidiocQueryCtrl, unsafe.Pointer(&old)); err != nil {
		return err
	}
	*q = old.wide()
	return nil
}

// wide gives the older answer in the form of the newer one.
func (o *rawQueryOld) wide() rawQueryControl {
	q := rawQueryControl{
		ID: o.ID, Type: o.Type, Name: o.Name, Minimum: int64(o.Minimum), Maximum: int64(o.Maximum),
		Step: uint64(uint32(o.Step)), Default: int64(o.Default), Flags: o.Flags, Elems: 1,
	}
	if o.Type == ctrlBitmask { // no sign
		q.Maximum, q.Default = int64(uint32(o.Maximum)), int64(uint32(o.Default))
	}
	return q
}

func (n *fdNode) queryMenu(m *rawMenu) error { return n.ioctl(vidiocQueryMenu, unsafe.Pointer(m)) }

func (n *fdNode) getControl(d *controlData) error { return n.control(vidiocGetExtCtrls, d) }
func (n *fdNode) setControl(d *controlData) error { return n.control(vidiocSetExtCtrls, d) }

// control asks about one control at a time: an error then belongs to it, and one
// that fails does not keep the others from being read.
func (n *fdNode) control(req uintptr, d *controlData) error {
	c := &rawControl{ID: d.id}
	list := &rawControls{Count: 1, Controls: c}
	// The kernel follows both pointers; the packed one is a number to Go, and
	// the pin is what keeps its text where it is.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(c)
	if len(d.text) > 0 {
		first := &d.text[0]
		pin.Pin(first)
		c.Size = uint32(len(d.text))
		binary.NativeEndian.PutUint64(c.Value[:], uint64(uintptr(unsafe.Pointer(first))))
	} else {
		binary.NativeEndian.PutUint64(c.Value[:], uint64(d.value))
	}
	if err := n.ioctl(req, unsafe.Pointer(list)); err != nil {
		return err
	}
	switch {
	case len(d.text) > 0:
	case d.wide:
		d.value = int64(binary.NativeEndian.Uint64(c.Value[:]))
	default:
		// All supported machines are little-endian: the first half of the union.
		d.value = int64(int32(binary.NativeEndian.Uint32(c.Value[:])))
	}
	return nil
}

func (n *fdNode) subscribe(event, id uint32) error {
	s := rawSubscription{Type: event, ID: id}
	return n.ioctl(vidiocSubscribeEvent, unsafe.Pointer(&s))
}

func (n *fdNode) dequeueEvent(e *rawEvent) error { return n.ioctl(vidiocDQEvent, unsafe.Pointer(e)) }
