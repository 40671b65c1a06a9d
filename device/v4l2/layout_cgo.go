//go:build cgo && (amd64 || arm64)

package v4l2

// #include <stddef.h>
// #include <linux/videodev2.h>
import "C"

import "unsafe"

// The compiler refuses this file when a structure or a number differs from the
// kernel's header. 32-bit ARM is left out: the header follows the C library's
// 32-bit time there, the code does not.
var (
	_ = [1]byte{}[C.sizeof_struct_v4l2_capability-unsafe.Sizeof(rawCapability{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_fmtdesc-unsafe.Sizeof(rawFormatDesc{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_frmsizeenum-unsafe.Sizeof(rawSizeEnum{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_frmivalenum-unsafe.Sizeof(rawIntervalEnum{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_format-unsafe.Sizeof(rawFormat{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_pix_format-pixFormatBytes]
	_ = [1]byte{}[C.sizeof_struct_v4l2_streamparm-unsafe.Sizeof(rawParm{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_captureparm-captureParmBytes]
	_ = [1]byte{}[C.sizeof_struct_v4l2_requestbuffers-unsafe.Sizeof(rawRequest{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_buffer-unsafe.Sizeof(rawBuffer{})]

	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_format{}.fmt)-unsafe.Offsetof(rawFormat{}.Width)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_streamparm{}.parm)-unsafe.Offsetof(rawParm{}.Capability)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.timestamp)-unsafe.Offsetof(rawBuffer{}.Sec)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.sequence)-unsafe.Offsetof(rawBuffer{}.Sequence)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.m)-unsafe.Offsetof(rawBuffer{}.Offset)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.length)-unsafe.Offsetof(rawBuffer{}.Length)]

	_ = [1]byte{}[C.VIDIOC_QUERYCAP-vidiocQueryCap]
	_ = [1]byte{}[C.VIDIOC_ENUM_FMT-vidiocEnumFmt]
	_ = [1]byte{}[C.VIDIOC_G_FMT-vidiocGetFmt]
	_ = [1]byte{}[C.VIDIOC_S_FMT-vidiocSetFmt]
	_ = [1]byte{}[C.VIDIOC_REQBUFS-vidiocReqBufs]
	_ = [1]byte{}[C.VIDIOC_QUERYBUF-vidiocQueryBuf]
	_ = [1]byte{}[C.VIDIOC_QBUF-vidiocQBuf]
	_ = [1]byte{}[C.VIDIOC_DQBUF-vidiocDQBuf]
	_ = [1]byte{}[C.VIDIOC_STREAMON-vidiocStreamOn]
	_ = [1]byte{}[C.VIDIOC_STREAMOFF-vidiocStreamOff]
	_ = [1]byte{}[C.VIDIOC_G_PARM-vidiocGetParm]
	_ = [1]byte{}[C.VIDIOC_S_PARM-vidiocSetParm]
	_ = [1]byte{}[C.VIDIOC_ENUM_FRAMESIZES-vidiocEnumFrameSizes]
	_ = [1]byte{}[C.VIDIOC_ENUM_FRAMEINTERVALS-vidiocEnumFrameIntervals]

	_ = [1]byte{}[C.V4L2_CAP_VIDEO_CAPTURE-capVideoCapture]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_OUTPUT-capVideoOutput]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_CAPTURE_MPLANE-capVideoCaptureMPlane]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_OUTPUT_MPLANE-capVideoOutputMPlane]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_M2M_MPLANE-capVideoM2MMPlane]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_M2M-capVideoM2M]
	_ = [1]byte{}[C.V4L2_CAP_META_CAPTURE-capMetaCapture]
	_ = [1]byte{}[C.V4L2_CAP_STREAMING-capStreaming]
	_ = [1]byte{}[C.V4L2_CAP_META_OUTPUT-capMetaOutput]
	_ = [1]byte{}[C.V4L2_CAP_TOUCH-capTouch]
	_ = [1]byte{}[C.V4L2_CAP_IO_MC-capIOMC]
	_ = [1]byte{}[C.V4L2_CAP_DEVICE_CAPS-capDeviceCaps]
	_ = [1]byte{}[C.V4L2_FMT_FLAG_EMULATED-fmtFlagEmulated]
	_ = [1]byte{}[C.V4L2_BUF_FLAG_ERROR-bufFlagError]
	_ = [1]byte{}[C.V4L2_BUF_FLAG_TIMESTAMP_MASK-bufFlagTimestampMask]
	_ = [1]byte{}[C.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC-bufFlagTimestampMono]
	_ = [1]byte{}[C.V4L2_CAP_TIMEPERFRAME-parmCapTimePerFrame]
	_ = [1]byte{}[C.V4L2_COLORSPACE_BT2020-colorspaceBT2020]
	_ = [1]byte{}[C.V4L2_YCBCR_ENC_BT2020_CONST_LUM-encBT2020ConstLum]
)
