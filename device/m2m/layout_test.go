package m2m

import (
	"testing"
	"unsafe"
)

// TestLayoutIsTheKernels holds sizes, offsets and request numbers against those
// of C compilers for the kernel's header; 32-bit ARM with 64-bit time.
func TestLayoutIsTheKernels(t *testing.T) {
	wide := unsafe.Sizeof(uintptr(0)) == 8
	pick := func(on64, on32 uintptr) uintptr {
		if wide {
			return on64
		}
		return on32
	}
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof v4l2_buffer", unsafe.Sizeof(rawBuffer{}), pick(88, 80)},
		{"sizeof v4l2_plane", unsafe.Sizeof(rawPlane{}), pick(64, 60)},
		{"sizeof v4l2_format", unsafe.Sizeof(rawFormat{}), pick(208, 204)},
		{"sizeof v4l2_pix_format_mplane", unsafe.Sizeof(rawPixFormatMP{}), 192},
		{"offset of the format's union", unsafe.Offsetof(rawFormat{}.fmt), pick(8, 4)},
		{"offset timestamp", unsafe.Offsetof(rawBuffer{}.Sec), 24},
		{"offset sequence", unsafe.Offsetof(rawBuffer{}.Sequence), 56},
		{"offset memory", unsafe.Offsetof(rawBuffer{}.Memory), 60},
		{"offset m", unsafe.Offsetof(rawBuffer{}.M), 64},
		{"offset length", unsafe.Offsetof(rawBuffer{}.Length), pick(72, 68)},
		{"offset plane m", unsafe.Offsetof(rawPlane{}.M), 8},
		{"offset data_offset", unsafe.Offsetof(rawPlane{}.DataOffset), pick(16, 12)},
		{"QUERYCAP", vidiocQueryCap, 0x80685600},
		{"ENUM_FMT", vidiocEnumFmt, 0xc0405602},
		{"S_FMT", vidiocSetFmt, pick(0xc0d05605, 0xc0cc5605)},
		{"REQBUFS", vidiocReqBufs, 0xc0145608},
		{"QUERYBUF", vidiocQueryBuf, pick(0xc0585609, 0xc0505609)},
		{"QBUF", vidiocQBuf, pick(0xc058560f, 0xc050560f)},
		{"DQBUF", vidiocDQBuf, pick(0xc0585611, 0xc0505611)},
		{"STREAMON", vidiocStreamOn, 0x40045612},
		{"STREAMOFF", vidiocStreamOff, 0x40045613},
		{"S_PARM", vidiocSetParm, 0xc0cc5616},
		{"S_CTRL", vidiocSetCtrl, 0xc008561c},
		{"QUERYCTRL", vidiocQueryCtrl, 0xc0445624},
		{"S_SELECTION", vidiocSetSelection, 0xc040565f},
		{"ENUM_FRAMESIZES", vidiocEnumFrameSizes, 0xc02c564a},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %#x, want %#x", tt.name, tt.got, tt.want)
		}
	}
}
