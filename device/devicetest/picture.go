package devicetest

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strconv"

	"github.com/webgear-pi/webgear/device"
)

// numberMark stands before the number in a picture's COM segment.
const numberMark = "devicetest number "

// JPEG makes a small valid JPEG file, one grey, with number in a COM segment
// where [JPEGNumber] finds it. The grey changes with the number. Sides that are
// not possible in a JPEG give nil.
func JPEG(number uint32, width, height int) []byte {
	return withNumber(greyJPEG(byte(number), width, height), number)
}

// JPEGNumber reads the number that [JPEG] or a [Fake] put into a picture.
func JPEGNumber(data []byte) (number uint32, ok bool) {
	_, rest, found := bytes.Cut(data, []byte(numberMark))
	if !found {
		return 0, false
	}
	digits, _, found := bytes.Cut(rest, []byte{0})
	if !found {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 32)
	return uint32(n), err == nil
}

// Truncated cuts the last third off a picture, as a full USB bus does.
func Truncated(data []byte) []byte { return bytes.Clone(data[:len(data)*2/3]) }

// Garbage gives size bytes that look like no picture: they hold no 0xFF, thus
// no JPEG marker.
func Garbage(size int) []byte {
	b := make([]byte, size)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223 // the LCG of Numerical Recipes; any would do
		b[i] = byte(x>>24) &^ 0x80
	}
	return b
}

func greyJPEG(grey byte, width, height int) []byte {
	if width < 1 || height < 1 || width > 65535 || height > 65535 {
		return nil
	}
	img := image.NewGray(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{Y: grey}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		return nil
	}
	return b.Bytes()
}

// withNumber puts a COM segment behind the SOI marker of a picture.
func withNumber(data []byte, number uint32) []byte {
	if len(data) < 2 {
		return nil
	}
	text := append(strconv.AppendUint([]byte(numberMark), uint64(number), 10), 0)
	out := make([]byte, 0, len(data)+4+len(text))
	out = append(out, data[:2]...)
	out = append(out, 0xFF, 0xFE, 0, byte(len(text)+2)) // the text is far below 253 bytes
	out = append(out, text...)
	return append(out, data[2:]...)
}

// minStride gives the bytes of one row of the first plane without padding, 0
// for compressed and unknown formats.
func minStride(f device.Format) int {
	switch f.FourCC {
	case device.YUYV, device.UYVY:
		return (f.Width + f.Width&1) * 2
	case device.YU12, device.NV12:
		return f.Width + f.Width&1 // a pair of pixels shares its colour
	case device.RGB24:
		return f.Width * 3
	case device.GREY:
		return f.Width
	default:
		return 0
	}
}

// rawBytes gives the size of all planes of a raw picture, 0 for compressed and
// unknown formats.
func rawBytes(f device.Format) int {
	stride := f.Stride
	if stride == 0 {
		stride = minStride(f)
	}
	switch f.FourCC {
	case device.YU12, device.NV12:
		return stride*f.Height + stride*((f.Height+1)/2)
	case device.YUYV, device.UYVY, device.RGB24, device.GREY:
		return stride * f.Height
	default:
		return 0
	}
}
