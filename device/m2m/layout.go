package m2m

import "unsafe"

// The structures below are those of the kernel's include/uapi/linux/videodev2.h
// (Linux 6.1) for amd64, arm64 and 32-bit ARM with 64-bit time, which kernels
// know since 5.6. In builds with cgo the compiler holds them against the header
// (layout_cgo.go).

// Values of enum v4l2_buf_type, v4l2_memory, v4l2_field, v4l2_colorspace,
// v4l2_ycbcr_encoding and v4l2_quantization.
const (
	typeCapture       = 1
	typeOutput        = 2
	typeCaptureMPlane = 9
	typeOutputMPlane  = 10

	memoryMMAP   = 1
	memoryDMABUF = 4

	fieldNone      = 1
	colorspaceJPEG = 7
	enc601         = 1
	quantFull      = 1
)

// Bits: V4L2_CAP_*, V4L2_BUF_FLAG_*, V4L2_CTRL_FLAG_*, and others.
const (
	capM2MMPlane  = 0x00004000
	capM2M        = 0x00008000
	capStreaming  = 0x04000000
	capDeviceCaps = 0x80000000

	bufFlagError = 0x00000040
	bufFlagLast  = 0x00100000

	ctrlFlagDisabled = 0x0001
	ctrlFlagReadOnly = 0x0004

	frameTypeDiscrete = 1
	selTargetCrop     = 0

	cidJPEGQuality  = 0x009d0903 // V4L2_CID_JPEG_COMPRESSION_QUALITY
	cidVideoBitrate = 0x009909cf // V4L2_CID_MPEG_VIDEO_BITRATE
)

const (
	unionBytes            = 200 // of the union in v4l2_format and v4l2_streamparm
	pixFormatBytes        = 48
	pixFormatMPBytes      = 192
	outputParmBytes       = 40
	longBytes             = unsafe.Sizeof(uintptr(0))
	formatUnionPaddingLen = longBytes - 4 // the union in v4l2_format holds pointers
	maxPlanes             = 8             // VIDEO_MAX_PLANES
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

// rawFormat is struct v4l2_format, whose union holds one of the two below.
type rawFormat struct {
	Type uint32
	_    [formatUnionPaddingLen]byte
	fmt  [unionBytes / 4]uint32 // words, for the alignment
}

func (f *rawFormat) single() *rawPixFormat  { return (*rawPixFormat)(unsafe.Pointer(&f.fmt)) }
func (f *rawFormat) multi() *rawPixFormatMP { return (*rawPixFormatMP)(unsafe.Pointer(&f.fmt)) }

// rawPixFormat is struct v4l2_pix_format.
type rawPixFormat struct {
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
}

// pixFmtPrivMagic in Priv says that the fields behind it are meant.
const pixFmtPrivMagic = 0xfeedcafe

// rawPixFormatMP is struct v4l2_pix_format_mplane.
type rawPixFormatMP struct {
	Width        uint32
	Height       uint32
	PixelFormat  uint32
	Field        uint32
	Colorspace   uint32
	Planes       [maxPlanes]rawPlaneFormat
	NumPlanes    uint8
	Flags        uint8
	YCbCrEnc     uint8
	Quantization uint8
	XferFunc     uint8
	_            [7]uint8
}

// rawPlaneFormat is struct v4l2_plane_pix_format.
type rawPlaneFormat struct {
	SizeImage    uint32
	BytesPerLine uint32
	_            [6]uint16
}

// rawParm is struct v4l2_streamparm holding a struct v4l2_outputparm.
type rawParm struct {
	Type         uint32
	Capability   uint32
	OutputMode   uint32
	Numerator    uint32 // of the time per frame in seconds
	Denominator  uint32
	ExtendedMode uint32
	WriteBuffers uint32
	_            [4]uint32
	_            [unionBytes - outputParmBytes]byte
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
	M         uintptr // union m: of one plane the offset or file descriptor, of many a pointer to them
	Length    uint32  // of one plane its bytes, of many their number
	_         [2]uint32
}

// rawPlane is struct v4l2_plane.
type rawPlane struct {
	BytesUsed  uint32
	Length     uint32
	M          uintptr // union m: the offset or file descriptor is its first 32 bits
	DataOffset uint32
	_          [11]uint32
}

// rawSelection is struct v4l2_selection.
type rawSelection struct {
	Type          uint32
	Target        uint32
	Flags         uint32
	Left, Top     int32
	Width, Height uint32
	_             [9]uint32
}

// rawControl is struct v4l2_control.
type rawControl struct {
	ID    uint32
	Value int32
}

// rawQueryControl is struct v4l2_queryctrl.
type rawQueryControl struct {
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

// ioctl request numbers, as _IOC of asm-generic/ioctl.h makes them: direction
// (2 bits), size (14), type 'V', number.
const (
	iocWrite = 1 << 30
	iocRead  = 2 << 30
	iocBoth  = iocRead | iocWrite
	iocV     = 'V' << 8

	vidiocQueryCap       = iocRead | unsafe.Sizeof(rawCapability{})<<16 | iocV // number 0
	vidiocEnumFmt        = iocBoth | unsafe.Sizeof(rawFormatDesc{})<<16 | iocV | 2
	vidiocSetFmt         = iocBoth | unsafe.Sizeof(rawFormat{})<<16 | iocV | 5
	vidiocReqBufs        = iocBoth | unsafe.Sizeof(rawRequest{})<<16 | iocV | 8
	vidiocQueryBuf       = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 9
	vidiocQBuf           = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 15
	vidiocDQBuf          = iocBoth | unsafe.Sizeof(rawBuffer{})<<16 | iocV | 17
	vidiocStreamOn       = iocWrite | 4<<16 | iocV | 18
	vidiocStreamOff      = iocWrite | 4<<16 | iocV | 19
	vidiocSetParm        = iocBoth | unsafe.Sizeof(rawParm{})<<16 | iocV | 22
	vidiocSetCtrl        = iocBoth | unsafe.Sizeof(rawControl{})<<16 | iocV | 28
	vidiocQueryCtrl      = iocBoth | unsafe.Sizeof(rawQueryControl{})<<16 | iocV | 36
	vidiocEnumFrameSizes = iocBoth | unsafe.Sizeof(rawSizeEnum{})<<16 | iocV | 74
	vidiocSetSelection   = iocBoth | unsafe.Sizeof(rawSelection{})<<16 | iocV | 95
)
