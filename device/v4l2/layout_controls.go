package v4l2

import "unsafe"

// This file goes on where layout.go ends: the structures of controls and
// events. They have the same size on all supported machines, except for those
// with a pointer.

// Values of enum v4l2_ctrl_type.
const (
	ctrlInteger     = 1
	ctrlBoolean     = 2
	ctrlMenu        = 3
	ctrlButton      = 4
	ctrlInteger64   = 5
	ctrlClass       = 6
	ctrlString      = 7
	ctrlBitmask     = 8
	ctrlIntegerMenu = 9
)

// V4L2_CTRL_FLAG_* and V4L2_CTRL_ID_MASK.
const (
	ctrlFlagDisabled  = 0x0001
	ctrlFlagGrabbed   = 0x0002
	ctrlFlagReadOnly  = 0x0004
	ctrlFlagInactive  = 0x0010
	ctrlFlagWriteOnly = 0x0040
	ctrlFlagVolatile  = 0x0080

	ctrlNext         = 0x80000000
	ctrlNextCompound = 0x40000000
	ctrlIDMask       = 0x0fffffff
	ctrlClassMask    = 0x0fff0000
)

// Values of V4L2_EVENT_* and V4L2_BUF_FLAG_LAST.
const (
	eventEOS          = 2
	eventControl      = 3
	eventSourceChange = 5

	bufFlagLast = 0x00100000
)

// rawQueryControl is struct v4l2_query_ext_ctrl.
type rawQueryControl struct {
	ID       uint32
	Type     uint32
	Name     [32]byte
	Minimum  int64
	Maximum  int64
	Step     uint64
	Default  int64
	Flags    uint32
	ElemSize uint32
	Elems    uint32
	NrOfDims uint32
	Dims     [4]uint32
	_        [32]uint32
}

// rawQueryOld is struct v4l2_queryctrl.
type rawQueryOld struct {
	ID      uint32
	Type    uint32
	Name    [32]byte
	Minimum int32
	Maximum int32
	Step    int32
	Default int32
	Flags   uint32
	_       [2]uint32
}

// rawMenu is struct v4l2_querymenu, which is packed. Name holds a name or, for
// integer menus, a number in its first eight bytes.
type rawMenu struct {
	ID    uint32
	Index uint32
	Name  [32]byte
	_     uint32
}

// rawControl is struct v4l2_ext_control, which is packed: Value is a number of
// 32 or 64 bits or a pointer to text.
type rawControl struct {
	ID    uint32
	Size  uint32
	_     uint32
	Value [8]byte
}

// rawControls is struct v4l2_ext_controls.
type rawControls struct {
	Which     uint32
	Count     uint32
	ErrorIdx  uint32
	RequestFD int32
	_         uint32
	Controls  *rawControl
}

// rawSubscription is struct v4l2_event_subscription.
type rawSubscription struct {
	Type  uint32
	ID    uint32
	Flags uint32
	_     [5]uint32
}

// rawEvent is struct v4l2_event. Padding is spelled out as in rawBuffer.
type rawEvent struct {
	Type      uint32
	_         uint32
	Data      [16]uint32 // the union u
	Pending   uint32
	Sequence  uint32
	Sec, Nsec int64
	ID        uint32
	_         [8]uint32
	_         uint32
}

const (
	vidiocQueryCtrl      = iocBoth | unsafe.Sizeof(rawQueryOld{})<<16 | iocV | 36
	vidiocQueryMenu      = iocBoth | unsafe.Sizeof(rawMenu{})<<16 | iocV | 37
	vidiocGetExtCtrls    = iocBoth | unsafe.Sizeof(rawControls{})<<16 | iocV | 71
	vidiocSetExtCtrls    = iocBoth | unsafe.Sizeof(rawControls{})<<16 | iocV | 72
	vidiocDQEvent        = iocRead | unsafe.Sizeof(rawEvent{})<<16 | iocV | 89
	vidiocSubscribeEvent = iocWrite | unsafe.Sizeof(rawSubscription{})<<16 | iocV | 90
	vidiocQueryExtCtrl   = iocBoth | unsafe.Sizeof(rawQueryControl{})<<16 | iocV | 103
)
