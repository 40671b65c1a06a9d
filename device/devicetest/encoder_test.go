package devicetest

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

// plainEncoder encodes with image/jpeg and can be wrong in every way the suite
// knows.
type plainEncoder struct {
	format  device.Format
	quality atomic.Int32
	closed  bool
	last    []byte
	before  []byte
	wrong   string
}

func (e *plainEncoder) Name() string {
	if e.wrong == "no name" {
		return ""
	}
	return "plain"
}

func (e *plainEncoder) Size() (width, height int) {
	if e.wrong == "size" {
		return e.format.Height, e.format.Width
	}
	return e.format.Width, e.format.Height
}

func (e *plainEncoder) SetQuality(q int) error {
	if (q < 1 || q > 100) && e.wrong != "any quality" {
		return errors.New("no such quality")
	}
	if e.wrong != "quality stays" {
		e.quality.Store(int32(min(max(q, 1), 100)))
	}
	return nil
}

func (e *plainEncoder) Close() { e.closed = true }

func (e *plainEncoder) Encode(b *device.Buffer) ([]byte, error) {
	f := b.Format
	if e.closed && e.wrong != "works after close" {
		return nil, device.ErrClosed
	}
	if f.Stride == 0 {
		f.Stride = minStride(f)
	}
	if e.wrong == "never looks" && (len(b.Data) < rawBytes(f) || f.Width != e.format.Width) {
		return []byte{}, nil
	}
	if f.FourCC != e.format.FourCC || f.Width != e.format.Width || f.Height != e.format.Height ||
		f.Stride < minStride(f) || len(b.Data) < rawBytes(f) {
		return nil, errors.New("another format")
	}
	if e.wrong == "ignores padding" {
		f.Stride = minStride(f)
	}
	img := e.image(b.Data, f)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: int(e.quality.Load())}); err != nil {
		return nil, err
	}
	data := out.Bytes()
	switch e.wrong {
	case "one late":
		e.before, data = data, e.before
		if data == nil {
			data = e.before
		}
	case "reuses memory":
		if cap(e.last) < len(data) {
			e.last = make([]byte, 0, 4*len(data))
		}
		e.last = append(e.last[:0], data...)
		data = e.last
	case "cuts":
		data = data[:len(data)-2]
	case "no picture":
		data = []byte("text of no picture")
	case "half the size":
		data = JPEG(1, f.Width/2, f.Height/2)
	}
	return data, nil
}

// image shows YU12 and GREY.
func (e *plainEncoder) image(data []byte, f device.Format) image.Image {
	r := image.Rect(0, 0, f.Width, f.Height)
	if f.FourCC == device.GREY {
		img := &image.Gray{Pix: bytes.Clone(data), Stride: f.Stride, Rect: r}
		for i, y := range img.Pix {
			if f.Quantization == device.LimitedRange {
				img.Pix[i] = byte(min(max((int(y)-16)*255/219, 0), 255))
			}
		}
		return img
	}
	cb := f.Stride * f.Height
	cr := cb + f.Stride/2*((f.Height+1)/2)
	switch e.wrong {
	case "swaps chroma":
		cb, cr = cr, cb
	case "chroma from below":
		cb -= 16 * f.Stride
	}
	img := &image.YCbCr{
		Y: data, Cb: data[cb:], Cr: data[cr:], YStride: f.Stride, CStride: f.Stride / 2,
		SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: r,
	}
	if e.wrong != "green edge" && f.Quantization == device.FullRange {
		return img
	}
	full := image.NewYCbCr(r, image.YCbCrSubsampleRatio420)
	for y := range f.Height {
		for x := range f.Width {
			c := img.YCbCrAt(x, y)
			if f.Quantization == device.LimitedRange && e.wrong != "range" {
				c.Y = byte(min(max((int(c.Y)-16)*255/219, 0), 255))
				c.Cb = byte(min(max((int(c.Cb)-128)*255/224+128, 0), 255))
				c.Cr = byte(min(max((int(c.Cr)-128)*255/224+128, 0), 255))
			}
			if e.wrong == "green edge" && y == f.Height-1 {
				c = color.YCbCr{}
			}
			full.Y[full.YOffset(x, y)] = c.Y
			full.Cb[full.COffset(x, y)], full.Cr[full.COffset(x, y)] = c.Cb, c.Cr
		}
	}
	return full
}

func plainMaker(wrong string, leaks chan struct{}) device.EncoderMaker {
	return device.EncoderMaker{
		Name: "plain",
		Accepts: func(f device.Format) bool {
			if wrong == "accepts all" {
				return true
			}
			ok := f.Width > 0 && f.Height > 0 && f.Width <= device.MaxSide && f.Height <= device.MaxSide
			return ok && (f.FourCC == device.YU12 || f.FourCC == device.GREY) && wrong != "accepts nothing"
		},
		New: func(ctx context.Context, f device.Format, quality int) (device.Encoder, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if wrong != "accepts all" && (f.Width < 1 || f.Width > device.MaxSide || f.FourCC != device.YU12 && f.FourCC != device.GREY) {
				return nil, device.ErrUnsupported
			}
			if quality < 1 || quality > 100 {
				return nil, errors.New("no such quality")
			}
			if wrong == "leaks" {
				go func() { <-leaks }()
			}
			e := &plainEncoder{format: f, wrong: wrong}
			e.quality.Store(int32(quality))
			return e, nil
		},
	}
}

func encoderTestFormats() []device.Format {
	return []device.Format{
		{FourCC: device.YU12, Width: 96, Height: 64},
		{FourCC: device.GREY, Width: 99, Height: 65},
	}
}

func TestPlainEncoderPassesTheSuite(t *testing.T) {
	TestEncoder(t, plainMaker("", nil), encoderTestFormats()...)
}

// TestSuiteFindsBrokenEncoders proves that each rule can fail.
func TestSuiteFindsBrokenEncoders(t *testing.T) {
	for _, tt := range []struct{ wrong, rule, want string }{
		{"accepts nothing", "ResultShowsThePicture", "is not accepted"},
		{"no name", "ResultShowsThePicture", "is named"},
		{"size", "ResultShowsThePicture", "Size is 64x96"},
		{"cuts", "ResultShowsThePicture", "end with EOI"},
		{"no picture", "ResultShowsThePicture", "cannot be decoded"},
		{"half the size", "ResultShowsThePicture", "shows (48,32) pixels"},
		{"one late", "ResultShowsThePicture", "pixels are wrong"},
		{"swaps chroma", "ResultShowsThePicture", "pixels are wrong"},
		{"chroma from below", "ResultShowsThePicture", "pixels are wrong"},
		{"green edge", "ResultShowsThePicture", "at 0,6"},
		{"ignores padding", "RowsMayBePadded", "pixels are wrong"},
		{"range", "LimitedRangeIsConverted", "pixels are wrong"},
		{"reuses memory", "ResultIsNotTouchedAgain", "same memory"},
		{"quality stays", "QualityChangesTheSize", "want a quarter more"},
		{"any quality", "QualityOutOfRangeIsRefused", "SetQuality(0) succeeded"},
		{"never looks", "WrongPicturesAreRefused", "was encoded"},
		{"works after close", "CallsAfterCloseFail", "after Close succeeded"},
		{"accepts all", "UnknownFormatsAreNotAccepted", "is accepted"},
		{"leaks", "EncoderLeavesNothingBehind", "goroutines"},
	} {
		t.Run(tt.wrong, func(t *testing.T) {
			leaks := make(chan struct{})
			defer close(leaks)
			rules := encoderRules()
			i := slices.IndexFunc(rules, func(r encoderRule) bool { return r.name == tt.rule })
			if i < 0 {
				t.Fatalf("there is no rule %s", tt.rule)
			}
			var rec recorder
			var wg sync.WaitGroup
			wg.Go(func() { rules[i].check(&rec, newEncoderSuite(plainMaker(tt.wrong, leaks), encoderTestFormats())) })
			wg.Wait()
			if got := strings.Join(rec.failures, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("rule %s says %q, want %q", tt.rule, got, tt.want)
			}
		})
	}
}
