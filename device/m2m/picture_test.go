package m2m

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

// TestCopierPutsPlanesWhereTheEncoderReadsThem spells out one picture: 4x2
// pixels into planes of 6 bytes by 4 rows, that is with an edge below and beside.
func TestCopierPutsPlanesWhereTheEncoderReadsThem(t *testing.T) {
	for _, tt := range []struct {
		format device.Format
		src    string
		want   string
	}{
		{
			device.Format{FourCC: device.YU12, Width: 4, Height: 2},
			"abcd" + "efgh" + "uU" + "vV",
			"abcddd" + "efghhh" + "efghhh" + "efghhh" + "uUU" + "uUU" + "vVV" + "vVV",
		},
		{
			device.Format{FourCC: device.YU12, Width: 4, Height: 2, Stride: 8},
			"abcd...." + "efgh...." + "uU.." + "vV",
			"abcddd" + "efghhh" + "efghhh" + "efghhh" + "uUU" + "uUU" + "vVV" + "vVV",
		},
		{
			device.Format{FourCC: device.NV12, Width: 4, Height: 2, Stride: 5},
			"abcd." + "efgh." + "uvUV",
			"abcddd" + "efghhh" + "efghhh" + "efghhh" + "uvUVUV" + "uvUVUV",
		},
		{
			device.Format{FourCC: device.YUYV, Width: 2, Height: 2},
			"aubv" + "cUdV",
			"aubv--" + "cUdV--" + "cUdV--" + "cUdV--",
		},
		{
			device.Format{FourCC: device.GREY, Width: 3, Height: 1},
			"abc",
			"abcccc" + "abcccc" + "abcccc" + "abcccc",
		},
		{
			device.Format{FourCC: device.RGB24, Width: 1, Height: 2, Stride: 4},
			"abc." + "def",
			"abcabc" + "defdef" + "defdef" + "defdef",
		},
	} {
		t.Run(fmt.Sprint(tt.format, " ", tt.format.Stride), func(t *testing.T) {
			c := newCopier(tt.format, tt.format.Width, 4, 6)
			if c.size != len(tt.src) {
				t.Errorf("picture has %d bytes, want %d", c.size, len(tt.src))
			}
			dst := bytes.Repeat([]byte{'-'}, len(tt.want)+4)
			c.copy(dst, []byte(tt.src))
			if got := string(dst); got != tt.want+"----" {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestEdgeOfPackedPicturesRepeatsTheLastPixel(t *testing.T) {
	for fourcc, want := range map[device.FourCC]string{device.YUYV: "aubvbubv", device.UYVY: "uavbubvb"} {
		src := map[device.FourCC]string{device.YUYV: "aubv", device.UYVY: "uavb"}[fourcc]
		f := device.Format{FourCC: fourcc, Width: 2, Height: 1}
		dst := make([]byte, 8)
		newCopier(f, 2, 1, 8).copy(dst, []byte(src))
		if string(dst) != want {
			t.Errorf("%v: got %q, want %q", fourcc, dst, want)
		}
	}
}

func TestLimitedRangeBecomesFull(t *testing.T) {
	for _, tt := range []struct {
		fourcc    device.FourCC
		src, want []byte
	}{
		{device.YUYV, []byte{16, 128, 235, 240, 0, 16, 255, 17}, []byte{0, 128, 255, 255, 0, 0, 255, 2}},
		{device.UYVY, []byte{128, 16, 240, 235, 16, 0, 17, 255}, []byte{128, 0, 255, 255, 0, 0, 2, 255}},
		{device.GREY, []byte{16, 235, 126, 125}, []byte{0, 255, 128, 127}},
		{device.RGB24, []byte{16, 235, 0}, []byte{16, 235, 0}},
	} {
		width := map[device.FourCC]int{device.YUYV: 4, device.UYVY: 4, device.GREY: 4, device.RGB24: 1}[tt.fourcc]
		f := device.Format{FourCC: tt.fourcc, Width: width, Height: 1, Quantization: device.LimitedRange}
		dst := make([]byte, len(tt.src))
		newCopier(f, width, 1, len(tt.src)).copy(dst, tt.src)
		if !bytes.Equal(dst, tt.want) {
			t.Errorf("%v: %v became %v, want %v", tt.fourcc, tt.src, dst, tt.want)
		}
	}
}

// FuzzCopier looks for geometries that make the copier leave its buffers.
func FuzzCopier(f *testing.F) {
	f.Add(uint8(0), uint8(40), uint8(30), uint8(0), uint8(3), uint8(9), uint8(40), false)
	f.Fuzz(func(_ *testing.T, kind, w, h, stride, wider, higher, longer uint8, limited bool) {
		fourccs := []device.FourCC{device.YU12, device.NV12, device.YUYV, device.UYVY, device.RGB24, device.GREY}
		format := device.Format{FourCC: fourccs[int(kind)%len(fourccs)], Width: int(w) + 1, Height: int(h) + 1}
		planes := planesOf(format.FourCC)
		if stride > 0 {
			format.Stride = planes[0].row(format.Width) + int(stride)
		}
		if limited {
			format.Quantization = device.LimitedRange
		}
		width, lines := format.Width+int(wider), format.Height+int(higher)
		room := planes[0].row(width) + int(longer)
		c := newCopier(format, width, lines, room)
		last := c.to[len(c.to)-1]
		dst := make([]byte, last.offset+last.stride*planes[len(planes)-1].rows(lines))
		c.copy(dst, make([]byte, c.size))
	})
}
