//go:build cgo && (amd64 || arm64)

package m2m

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
	_ = [1]byte{}[C.sizeof_struct_v4l2_format-unsafe.Sizeof(rawFormat{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_pix_format-unsafe.Sizeof(rawPixFormat{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_pix_format-pixFormatBytes]
	_ = [1]byte{}[C.sizeof_struct_v4l2_pix_format_mplane-unsafe.Sizeof(rawPixFormatMP{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_pix_format_mplane-pixFormatMPBytes]
	_ = [1]byte{}[C.sizeof_struct_v4l2_plane_pix_format-unsafe.Sizeof(rawPlaneFormat{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_streamparm-unsafe.Sizeof(rawParm{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_outputparm-outputParmBytes]
	_ = [1]byte{}[C.sizeof_struct_v4l2_requestbuffers-unsafe.Sizeof(rawRequest{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_buffer-unsafe.Sizeof(rawBuffer{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_plane-unsafe.Sizeof(rawPlane{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_selection-unsafe.Sizeof(rawSelection{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_control-unsafe.Sizeof(rawControl{})]
	_ = [1]byte{}[C.sizeof_struct_v4l2_queryctrl-unsafe.Sizeof(rawQueryControl{})]
	_ = [1]byte{}[C.VIDEO_MAX_PLANES-maxPlanes]

	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_format{}.fmt)-unsafe.Offsetof(rawFormat{}.fmt)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_streamparm{}.parm)-unsafe.Offsetof(rawParm{}.Capability)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_outputparm{}.timeperframe)+4-unsafe.Offsetof(rawParm{}.Numerator)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.timestamp)-unsafe.Offsetof(rawBuffer{}.Sec)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.sequence)-unsafe.Offsetof(rawBuffer{}.Sequence)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.m)-unsafe.Offsetof(rawBuffer{}.M)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_buffer{}.length)-unsafe.Offsetof(rawBuffer{}.Length)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_plane{}.m)-unsafe.Offsetof(rawPlane{}.M)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_plane{}.data_offset)-unsafe.Offsetof(rawPlane{}.DataOffset)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_pix_format_mplane{}.quantization)-unsafe.Offsetof(rawPixFormatMP{}.Quantization)]
	_ = [1]byte{}[unsafe.Offsetof(C.struct_v4l2_selection{}.r)-unsafe.Offsetof(rawSelection{}.Left)]

	_ = [1]byte{}[C.VIDIOC_QUERYCAP-vidiocQueryCap]
	_ = [1]byte{}[C.VIDIOC_ENUM_FMT-vidiocEnumFmt]
	_ = [1]byte{}[C.VIDIOC_S_FMT-vidiocSetFmt]
	_ = [1]byte{}[C.VIDIOC_REQBUFS-vidiocReqBufs]
	_ = [1]byte{}[C.VIDIOC_QUERYBUF-vidiocQueryBuf]
	_ = [1]byte{}[C.VIDIOC_QBUF-vidiocQBuf]
	_ = [1]byte{}[C.VIDIOC_DQBUF-vidiocDQBuf]
	_ = [1]byte{}[C.VIDIOC_STREAMON-vidiocStreamOn]
	_ = [1]byte{}[C.VIDIOC_STREAMOFF-vidiocStreamOff]
	_ = [1]byte{}[C.VIDIOC_S_PARM-vidiocSetParm]
	_ = [1]byte{}[C.VIDIOC_S_CTRL-vidiocSetCtrl]
	_ = [1]byte{}[C.VIDIOC_QUERYCTRL-vidiocQueryCtrl]
	_ = [1]byte{}[C.VIDIOC_ENUM_FRAMESIZES-vidiocEnumFrameSizes]
	_ = [1]byte{}[C.VIDIOC_S_SELECTION-vidiocSetSelection]

	_ = [1]byte{}[C.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE-typeCaptureMPlane]
	_ = [1]byte{}[C.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE-typeOutputMPlane]
	_ = [1]byte{}[C.V4L2_BUF_TYPE_VIDEO_OUTPUT-typeOutput]
	_ = [1]byte{}[C.V4L2_MEMORY_MMAP-memoryMMAP]
	_ = [1]byte{}[C.V4L2_MEMORY_DMABUF-memoryDMABUF]
	_ = [1]byte{}[C.V4L2_COLORSPACE_JPEG-colorspaceJPEG]
	_ = [1]byte{}[C.V4L2_YCBCR_ENC_601-enc601]
	_ = [1]byte{}[C.V4L2_QUANTIZATION_FULL_RANGE-quantFull]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_M2M-capM2M]
	_ = [1]byte{}[C.V4L2_CAP_VIDEO_M2M_MPLANE-capM2MMPlane]
	_ = [1]byte{}[C.V4L2_CAP_STREAMING-capStreaming]
	_ = [1]byte{}[C.V4L2_CAP_DEVICE_CAPS-capDeviceCaps]
	_ = [1]byte{}[C.V4L2_BUF_FLAG_ERROR-bufFlagError]
	_ = [1]byte{}[C.V4L2_BUF_FLAG_LAST-bufFlagLast]
	_ = [1]byte{}[C.V4L2_CTRL_FLAG_DISABLED-ctrlFlagDisabled]
	_ = [1]byte{}[C.V4L2_CTRL_FLAG_READ_ONLY-ctrlFlagReadOnly]
	_ = [1]byte{}[C.V4L2_SEL_TGT_CROP-selTargetCrop]
	_ = [1]byte{}[C.V4L2_CID_JPEG_COMPRESSION_QUALITY-cidJPEGQuality]
	_ = [1]byte{}[C.V4L2_CID_MPEG_VIDEO_BITRATE-cidVideoBitrate]
)
