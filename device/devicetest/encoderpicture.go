package devicetest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"

	"github.com/webgear-pi/webgear/device"
)

// tileSide is the side of the squares in the pictures that encoders get, in
// pixels. Their edges lie between the blocks of a JPEG, so that even an encoder
// that keeps no detail at all has them right, and a picture that was shifted by
// a single row or column is wrong along all of them.
const tileSide = 32

// sample is a pixel in the colours of JPEG: full range, BT.601.
type sample struct{ y, cb, cr byte }

// painting says what a picture shows, pixel by pixel.
type painting func(x, y int) sample

// tiles is a mosaic of flat squares, dark and bright. Each number gives another
// one. The colours are so dull that all of them exist in RGB.
func tiles(number int) painting {
	var colours [16 * 16]sample // the mosaic repeats
	for i := range colours {
		r := scatter(uint32(i), uint32(number), 0)
		y := 20 + int(r&0xFF)%216
		// B is Y + 1.772 (Cb - 128) and has to stay within a byte; so do R and G then.
		most := min(24, min(y, 255-y)*5/9)
		colours[i] = sample{byte(y), byte(128 - most + int(r>>8&0xFF)%(2*most+1)), byte(128 - most + int(r>>16&0xFF)%(2*most+1))}
	}
	return func(x, y int) sample { return colours[y/tileSide%16*16+x/tileSide%16] }
}

// noise is grey and hard to compress: fine grain on coarse.
func noise(x, y int) sample {
	coarse, fine := scatter(uint32(x/8), uint32(y/8), 1), scatter(uint32(x), uint32(y), 2)
	return sample{40 + byte(coarse)%120 + byte(fine)%60, 128, 128}
}

// scatter mixes three numbers (multipliers of xxHash; any would do).
func scatter(a, b, c uint32) uint32 {
	h := a*2654435761 + b*2246822519 + c*3266489917
	h ^= h >> 15
	h *= 2246822519
	h ^= h >> 13
	h *= 3266489917
	return h ^ h>>16
}

// encoderPadding stands in what is no part of a picture: if it gets into the
// result, that shows.
const encoderPadding = 0xEE

// paint makes a raw picture of format f, nil when f is none.
func paint(f device.Format, show painting) *device.Buffer {
	if f.Stride == 0 {
		f.Stride = minStride(f)
	}
	data := bytes.Repeat([]byte{encoderPadding}, rawBytes(f))
	if len(data) == 0 {
		return nil
	}
	at := func(x, y int) sample {
		s := show(min(x, f.Width-1), min(y, f.Height-1))
		if f.Quantization == device.LimitedRange {
			s.y = byte(16 + (int(s.y)*219+127)/255)
			s.cb = byte(128 + (int(s.cb)-128)*224/255)
			s.cr = byte(128 + (int(s.cr)-128)*224/255)
		}
		return s
	}
	half := f.Stride / 2
	chroma := data[min(len(data), f.Stride*f.Height):]
	for y := range f.Height {
		row := data[y*f.Stride:]
		for x := range f.Width {
			s := at(x, y)
			switch f.FourCC {
			case device.RGB24:
				row[3*x], row[3*x+1], row[3*x+2] = color.YCbCrToRGB(s.y, s.cb, s.cr)
			case device.YUYV, device.UYVY:
				luma, colour := 2*x, 2*x+1
				if f.FourCC == device.UYVY {
					luma, colour = colour, luma
				}
				row[luma] = s.y
				if row[colour] = s.cb; x%2 == 1 {
					row[colour] = at(x-1, y).cr
				}
			case device.GREY:
				row[x] = s.y
			case device.YU12:
				if row[x] = s.y; x%2 == 0 && y%2 == 0 {
					chroma[y/2*half+x/2] = s.cb
					chroma[((f.Height+1)/2+y/2)*half+x/2] = s.cr
				}
			case device.NV12:
				if row[x] = s.y; x%2 == 0 && y%2 == 0 {
					chroma[y/2*f.Stride+x], chroma[y/2*f.Stride+x+1] = s.cb, s.cr
				}
			}
		}
	}
	return &device.Buffer{Data: data, Format: f}
}

// maxDeviation is how far a sample may be off. Chosen: libjpeg at quality 90 is
// off by 2 in flat colour, conversions of range and to RGB add 1 or 2 each.
const maxDeviation = 8

// compare decodes a JPEG and says what is wrong with it as a picture of show in
// format f.
func compare(data []byte, f device.Format, show painting) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(data) < 4 || data[0] != 0xFF || data[1] != 0xD8 || data[len(data)-2] != 0xFF || data[len(data)-1] != 0xD9 {
		add("%d bytes that do not begin with SOI and end with EOI", len(data))
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		add("cannot be decoded: %v", err)
		return problems
	}
	if got, want := img.Bounds().Size(), image.Pt(f.Width, f.Height); got != want {
		add("shows %v pixels, want %v", got, want)
		return problems
	}
	var get painting
	switch img := img.(type) {
	case *image.YCbCr:
		get = func(x, y int) sample {
			i := img.COffset(x, y)
			return sample{img.Y[img.YOffset(x, y)], img.Cb[i], img.Cr[i]}
		}
	case *image.Gray:
		get = func(x, y int) sample { return sample{img.GrayAt(x, y).Y, 128, 128} }
	default:
		add("decodes to %T", img)
		return problems
	}
	wrong := 0
	for y := range f.Height {
		for x := range f.Width {
			got, want := get(x, y), show(x, y)
			if f.FourCC == device.GREY {
				want.cb, want.cr = 128, 128
			}
			if deviates(got.y, want.y) || deviates(got.cb, want.cb) || deviates(got.cr, want.cr) {
				if wrong++; wrong == 1 {
					add("at %d,%d: got %v, want %v", x, y, got, want)
				}
			}
		}
	}
	if wrong > 0 {
		add("%d of %d pixels are wrong", wrong, f.Width*f.Height)
	}
	return problems
}

func deviates(got, want byte) bool {
	return max(got, want)-min(got, want) > maxDeviation
}
