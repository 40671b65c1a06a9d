package v4l2

import "unsafe"

// The structures below are those of the kernel's include/uapi/linux/videodev2.h
// (Linux 6.1) for amd64, arm64 and 32-bit ARM with 64-bit time, which kernels
// know since 5.6. In builds with cgo the compiler holds them against the header
// (layout_cgo.go).

// Values of enum v4l2_buf_type, v4l2_memory and v4l2_field.
const (
	bufTypeVideoCapture = 1
	memoryMMAP          = 1
	fieldNone           = 1
)

// Capability bits, V4L2_CAP_*.
const (
	capVideoCapture       = 0x00000001
	capVideoOutput        = 0x00000002
	capVideoCaptureMPlane = 0x00001000
	capVideoOutputMPlane  = 0x00002000
	capVideoM2MMPlane     = 0x00004000
	capVideoM2M           = 0x00008000
	capMetaCapture        = 0x00800000
	capStreaming          = 0x04000000
	capMetaOutput         = 0x08000000
	capTouch              = 0x10000000
	capIOMC               = 0x20000000
	capDeviceCaps         = 0x80000000
)

// Flags: V4L2_FMT_FLAG_EMULATED, V4L2_BUF_FLAG_*, V4L2_CAP_TIMEPERFRAME.
const (
	fmtFlagEmulated       = 0x0002
	bufFlagError          = 0x0040
	bufFlagTimestampMask  = 0xe000
	bufFlagTimestampMono  = 0x2000
	parmCapTimePerFrame   = 0x1000
	frameTypeDiscrete     = 1
	frameTypeContinuous   = 2
	pixFmtPrivMagic       = 0xfeedcafe
	maxUnionBytes         = 200 // of the union in v4l2_format and v4l2_streamparm
	pixFormatBytes        = 48
	captureParmBytes      = 40
	longBytes             = unsafe.Sizeof(uintptr(0))
	formatUnionPaddingLen = longBytes - 4 // the union in v4l2_format holds pointers
)

// rawCapability is struct v4l2_capability.
type rawCapability struct {
	Driver       [16]byte
	Card         [32]byte
	BusInfo      [32]byte
	Version      uint32
	Capabilities uint32
	DeviceCaps   uint32
	_            [3]uint32
}

// rawFormatDesc is struct v4l2_fmtdesc.
type rawFormatDesc struct {
	Index       uint32
	Type        uint32
	Flags       uint32
	Description [32]byte
	PixelFormat uint32
	MbusCode    uint32
	_           [3]uint32
}

// rawSizeEnum is struct v4l2_frmsizeenum; a discrete size fills MinWidth and
// MaxWidth only, which are its width and height.
type rawSizeEnum struct {
	Index       uint32
	PixelFormat uint32
	Type        uint32
	MinWidth    uint32
	MaxWidth    uint32
	StepWidth   uint32
	MinHeight   uint32
	MaxHeight   uint32
	StepHeight  uint32
	_           [2]uint32
}

// rawIntervalEnum is struct v4l2_frmivalenum; a discrete interval fills Min.
type rawIntervalEnum struct {
	Index          uint32
	PixelFormat    uint32
	Width          uint32
	Height         uint32
	Type           uint32
	Min, Max, Step fract
	_              [2]uint32
}

// rawFormat is struct v4l2_format holding a struct v4l2_pix_format.
type rawFormat struct {
	Type         uint32
	_            [formatUnionPaddingLen]byte
	Width        uint32
	Height       uint32
	PixelFormat  uint32
	Field        uint32
	BytesPerLine uint32
	SizeImage    uint32
	Colorspace   uint32
	Priv         uint32
	Flags        uint32
	YCbCrEnc     uint32
	Quantization uint32
	XferFunc     uint32
	_            [maxUnionBytes - pixFormatBytes]byte
}

// rawParm is struct v4l2_streamparm holding a struct v4l2_captureparm.
type rawParm struct {
	Type         uint32
	Capability   uint32
	CaptureMode  uint32
	TimePerFrame fract
	ExtendedMode uint32
	ReadBuffers  uint32
	_            [4]uint32
	_            [maxUnionBytes - captureParmBytes]byte
}

// rawRequest is struct v4l2_requestbuffers.
type rawRequest struct {
	Count        uint32
	Type         uint32
	Memory       uint32
	Capabilities uint32
	Flags        uint32
}

// rawBuffer is struct v4l2_buffer. The padding before the time stamp is spelled
// out because Go aligns 64-bit fields to 4 bytes on 32-bit ARM, C to 8.
type rawBuffer struct {
	Index     uint32
	Type      uint32
	BytesUsed uint32
	Flags     uint32
	Field     uint32
	_         uint32
	Sec, Usec int64
	_         [16]byte // struct v4l2_timecode
	Sequence  uint32
	Memory    uint32
	Offset    uintptr // union m: the offset for mmap is its first 32 bits
	Length    uint32
	_         [2]uint32
}

// rawExport is struct v4l2_exportbuffer.
type rawExport struct {
	Type  uint32
	Index uint32
	Plane uint32
	Flags uint32
	FD    int32
	_     [11]uint32
}

// offset returns m.offset: on 64-bit machines the union is wider than it, and
// all supported machines are little-endian.
func (b *rawBuffer) offset() int64 { return int64(uint32(b.Offset)) }

// ioctl request numbers, as _IOC of asm-generic/ioctl.h makes them: direction
// (2 bits), size (14), type 'V', number.
const (
	iocWrite = 1 << 30
	iocRead  = 2 << 30
	iocBoth  = iocRead | iocWrite
	iocV     = 'V' << 8

	vidiocQueryCap           = iocRead | unsafe.Sizeof(rawCapability{})<<16 | iocV // number 0
	vidiocEnumFmt            = iocBoth | unsafe.Sizeof(rawFormatDesc{})<<16 | iocV | 2
	vidiocGetFmt             = iocBoth | unsafe.Sizeof(rawFormat{})<<16 | iocV | 4
	vidiocSetFmt             = iocBoth | unsafe.Sizeof(rawFormat{})<<16 | iocV | 5
	vidiocReqBufs            = iocBoth | unsafe.Sizeof(rawRequest{})<<16 | iocV | 8
	vidiocQueryBuf           = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 9
	vidiocQBuf               = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 15
	vidiocExpBuf             = iocBoth | unsafe.Sizeof(rawExport{})<<16 | iocV | 16
	vidiocDQBuf              = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 17
	vidiocStreamOn           = iocWrite | 4<<16 | iocV | 18
	vidiocStreamOff          = iocWrite | 4<<16 | iocV | 19
	vidiocGetParm            = iocBoth | unsafe.Sizeof(rawParm{})<<16 | iocV | 21
	vidiocSetParm            = iocBoth | unsafe.Sizeof(rawParm{})<<16 | iocV | 22
	vidiocEnumFrameSizes     = iocBoth | unsafe.Sizeof(rawSizeEnum{})<<16 | iocV | 74
	vidiocEnumFrameIntervals = iocBoth | unsafe.Sizeof(rawIntervalEnum{})<<16 | iocV | 75
)
