package encode_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

const poison = 0xee

type rgb [3]int

// bars are the colours of the test picture: 75 % bars, so that limited range
// and BT.709 have room on both sides.
var bars = []rgb{
	{191, 191, 191},
	{191, 191, 0},
	{0, 191, 191},
	{0, 191, 0},
	{191, 0, 191},
	{191, 0, 0},
	{0, 0, 191},
	{16, 16, 16},
}

// toYCC is the definition of the formats in floating point: ITU-R BT.601 and
// BT.709 with their two ranges.
func toYCC(c rgb, f device.Format) (y, cb, cr uint8) {
	kr, kb := 0.299, 0.114
	if f.Matrix == device.BT709 {
		kr, kb = 0.2126, 0.0722
	}
	r, g, b := float64(c[0])/255, float64(c[1])/255, float64(c[2])/255
	l := kr*r + (1-kr-kb)*g + kb*b
	u, v := (b-l)/(2*(1-kb)), (r-l)/(2*(1-kr))
	put := func(v float64) uint8 { return uint8(math.Round(min(max(v, 0), 255))) }
	if f.Quantization == device.LimitedRange {
		return put(16 + 219*l), put(128 + 224*u), put(128 + 224*v)
	}
	return put(255 * l), put(128 + 255*u), put(128 + 255*v)
}

// draw makes a picture in the format f from a colour per pixel. Padding is
// poisoned; nothing follows the last sample.
func draw(f device.Format, at func(x, y int) rgb) []byte {
	w, h := f.Width, f.Height
	cw, ch := (w+1)/2, (h+1)/2
	stride := f.Stride
	packed := map[device.FourCC]int{device.YUYV: 4 * cw, device.UYVY: 4 * cw, device.RGB24: 3 * w}[f.FourCC]
	if packed == 0 {
		packed = w
	}
	if stride == 0 {
		stride = packed
	}
	var size int
	switch f.FourCC {
	case device.NV12:
		size = stride*h + (stride+1)/2*2*(ch-1) + 2*cw
	case device.YU12:
		size = stride*h + (stride+1)/2*ch + (stride+1)/2*(ch-1) + cw
	default:
		size = stride*(h-1) + min(packed, stride)
	}
	d := bytes.Repeat([]byte{poison}, size)
	put := func(i int, v uint8) {
		if i < len(d) { // half a pair at the end of a row
			d[i] = v
		}
	}
	c := at(0, 0)
	l, u, v := toYCC(c, f)
	for y := range h {
		for x := range w {
			if next := at(x, y); next != c {
				c = next
				l, u, v = toYCC(c, f)
			}
			row := y * stride
			switch f.FourCC {
			case device.RGB24:
				d[row+3*x], d[row+3*x+1], d[row+3*x+2] = uint8(c[0]), uint8(c[1]), uint8(c[2])
			case device.YUYV, device.UYVY:
				yo, co := 0, 1
				if f.FourCC == device.UYVY {
					yo, co = 1, 0
				}
				d[row+2*x+yo] = l
				if x%2 == 0 {
					put(row+2*x+co, u)
					if 2*x+co+2 < stride {
						put(row+2*x+co+2, v)
					}
				}
			case device.NV12:
				d[row+x] = l
				i := stride*h + y/2*((stride+1)/2*2) + x/2*2
				d[i], d[i+1] = u, v
			case device.YU12:
				d[row+x] = l
				i := stride*h + y/2*((stride+1)/2) + x/2
				d[i], d[i+(stride+1)/2*ch] = u, v
			case device.GREY:
				d[row+x] = l
			}
		}
	}
	return d
}

// guarded copies data to the very end of a mapping whose next page may not be
// touched: a read one byte too far ends the test program.
func guarded(t *testing.T, data []byte) []byte {
	t.Helper()
	page := unix.Getpagesize()
	n := (len(data) + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, n+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(m) })
	copy(m[page+n-len(data):], data)
	for _, guard := range [][]byte{m[:page], m[page+n:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	// The encoder must not write to a picture either.
	if err := unix.Mprotect(m[page:page+n], unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	return m[page+n-len(data) : page+n : page+n]
}

// both runs a test with either engine; without cgo they are the same.
func both(t *testing.T, test func(t *testing.T, o encode.Options)) {
	t.Helper()
	t.Run("default", func(t *testing.T) { t.Parallel(); test(t, encode.Options{}) })
	t.Run("portable", func(t *testing.T) { t.Parallel(); test(t, encode.Options{Portable: true}) })
}

func newEncoder(tb testing.TB, f device.Format, o encode.Options) *encode.Encoder {
	tb.Helper()
	e, err := encode.New(f, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

func encodeOnce(tb testing.TB, e *encode.Encoder, f device.Format, data []byte) []byte {
	tb.Helper()
	out, err := e.Encode(&device.Buffer{Data: data, Format: f})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func decode(tb testing.TB, b []byte) image.Image {
	tb.Helper()
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// far returns the largest difference of a pixel to want; grey pictures are
// compared by luminance.
func far(m image.Image, x, y int, want rgb) int {
	switch m := m.(type) {
	case *image.YCbCr:
		r, g, b := color.YCbCrToRGB(m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)])
		return max(abs(int(r)-want[0]), abs(int(g)-want[1]), abs(int(b)-want[2]))
	case *image.RGBA: // files whose planes are R, G, B
		c := m.RGBAAt(x, y)
		return max(abs(int(c.R)-want[0]), abs(int(c.G)-want[1]), abs(int(c.B)-want[2]))
	case *image.Gray:
		l, _, _ := toYCC(want, device.Format{})
		return abs(int(m.GrayAt(x, y).Y) - int(l))
	}
	return 256
}

func abs(v int) int { return max(v, -v) }

var formats = []device.FourCC{device.YUYV, device.UYVY, device.NV12, device.YU12, device.RGB24, device.GREY}

// variants calls test for every format, range and matrix that makes a difference.
func variants(w, h int, test func(name string, f device.Format)) {
	for _, code := range formats {
		for _, q := range []device.Quantization{device.FullRange, device.LimitedRange} {
			for _, m := range []device.Matrix{device.BT601, device.BT709} {
				if code == device.RGB24 && (q != device.FullRange || m != device.BT601) ||
					code == device.GREY && m != device.BT601 {
					continue
				}
				f := device.Format{FourCC: code, Width: w, Height: h, Quantization: q, Matrix: m}
				test(fmt.Sprintf("%s %dx%d range %d matrix %d", code, w, h, q, m), f)
			}
		}
	}
}

func TestBarsKeepTheirColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, size := range [][2]int{{640, 48}, {641, 49}} {
			variants(size[0], size[1], func(name string, f device.Format) {
				at := func(x, _ int) rgb { return bars[min(x/80, 7)] }
				e := newEncoder(t, f, o)
				m := decode(t, encodeOnce(t, e, f, draw(f, at)))
				if m.Bounds().Dx() != f.Width || m.Bounds().Dy() != f.Height {
					t.Fatalf("%s: decoded size is %v", name, m.Bounds())
				}
				for x := range f.Width {
					if x%80 < 16 || x%80 >= 64 { // edges of the bars blur
						continue
					}
					for y := x % 5; y < f.Height; y += 5 {
						if d := far(m, x, y, at(x, y)); d > 4 {
							t.Fatalf("%s: bar %v is off by %d at %d,%d: got %v", name, at(x, y), d, x, y, m.At(x, y))
						}
					}
				}
			})
		}
	})
}

// Rows must neither be swapped nor skipped: horizontal bars, 16 rows each.
func TestRowsStayInOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		variants(33, 141, func(name string, f device.Format) {
			at := func(_, y int) rgb { return bars[min(y/16, 7)] }
			e := newEncoder(t, f, o)
			m := decode(t, encodeOnce(t, e, f, draw(f, at)))
			for y := range f.Height {
				if d := far(m, 20, y, at(0, y)); d > 4 {
					t.Fatalf("%s: row %d is off by %d", name, y, d)
				}
			}
		})
	})
}

// Plain pictures show every foreign byte, up to the edges: poison in the
// padding, scratch memory, or what a larger picture before left behind.
func TestPaddingNeverShows(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, size := range [][2]int{{17, 33}, {1, 1}, {2, 2}, {8, 8}, {15, 16}, {16, 15}, {24, 40}, {641, 361}} {
			for _, extra := range []int{0, 1, 6, 64} {
				if size[0] > 600 && extra != 6 { // the large one takes time
					continue
				}
				variants(size[0], size[1], func(name string, f device.Format) {
					for _, c := range []rgb{bars[2], bars[7]} {
						e := newEncoder(t, f, o)
						g := f
						if extra > 0 {
							g.Stride = extra + map[device.FourCC]int{
								device.YUYV: (f.Width + 1) / 2 * 4, device.UYVY: (f.Width + 1) / 2 * 4, device.RGB24: 3 * f.Width,
								device.NV12: f.Width, device.YU12: f.Width, device.GREY: f.Width,
							}[f.FourCC]
						}
						m := decode(t, encodeOnce(t, e, g, draw(g, func(int, int) rgb { return c })))
						for y := range f.Height {
							for x := range f.Width {
								// All of the edges, one in 61 elsewhere.
								if x < f.Width-2 && y < f.Height-2 && (x+7*y)%61 != 0 {
									continue
								}
								if d := far(m, x, y, c); d > 4 {
									t.Fatalf("%s, stride %d, %v: off by %d at %d,%d", name, g.Stride, c, d, x, y)
								}
							}
						}
					}
				})
			}
		}
	})
}

// Drivers may cut the last pair of an odd row: its second chroma sample is
// missing and must not be taken from the next row.
func TestHalfAPairAtTheEndOfARow(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, code := range []device.FourCC{device.YUYV, device.UYVY} {
			f := device.Format{FourCC: code, Width: 17, Height: 9, Stride: 34}
			data := draw(f, func(int, int) rgb { return bars[5] })
			if len(data) != 34*9 {
				t.Fatalf("test picture has %d bytes", len(data))
			}
			m := decode(t, encodeOnce(t, newEncoder(t, f, o), f, guarded(t, data)))
			if d := far(m, 16, 8, bars[5]); d > 4 {
				t.Errorf("%s: last pixel is off by %d", code, d)
			}
		}
	})
}

func TestNothingBeyondTheBufferIsRead(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, size := range [][2]int{{1, 1}, {17, 33}, {64, 32}, {98, 50}, {641, 361}, {1920, 24}} {
			variants(size[0], size[1], func(_ string, f device.Format) {
				data := guarded(t, draw(f, func(x, y int) rgb { return rgb{x & 255, y & 255, 7} }))
				encodeOnce(t, newEncoder(t, f, o), f, data)
			})
		}
	})
}

func TestShortBufferIsRefusedNamingBothSizes(t *testing.T) {
	t.Parallel()
	for code, need := range map[device.FourCC]int{
		device.YUYV: 64*5 + 60, device.UYVY: 64*5 + 60, device.RGB24: 96*5 + 90, device.GREY: 32*5 + 30,
		device.NV12: 32*6 + 32*2 + 30, device.YU12: 32*6 + 16*3 + 16*2 + 15,
	} {
		f := device.Format{FourCC: code, Width: 30, Height: 6, Stride: 32}
		switch code {
		case device.YUYV, device.UYVY:
			f.Stride = 64
		case device.RGB24:
			f.Stride = 96
		}
		e := newEncoder(t, f, encode.Options{})
		encodeOnce(t, e, f, make([]byte, need))
		for _, n := range []int{need - 1, 0} {
			_, err := e.Encode(&device.Buffer{Data: make([]byte, n), Format: f})
			want := fmt.Sprintf("buffer has %d bytes, the picture needs %d", n, need)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", code, err, want)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := device.Format{FourCC: device.YU12, Width: 64, Height: 48}
	tests := []struct {
		name   string
		change func(*device.Format, *encode.Options)
		text   string
	}{
		{"width 0", func(f *device.Format, _ *encode.Options) { f.Width = 0 }, "size 0x48"},
		{"height -1", func(f *device.Format, _ *encode.Options) { f.Height = -1 }, "size 64x-1"},
		{"too wide", func(f *device.Format, _ *encode.Options) { f.Width = device.MaxSide + 1 }, "sides must be"},
		{"too large", func(f *device.Format, _ *encode.Options) { f.Width, f.Height = 16384, 16384 }, "64 million pixels"},
		{"stride too small", func(f *device.Format, _ *encode.Options) { f.Stride = 63 }, "stride of 63 bytes"},
		{"stride negative", func(f *device.Format, _ *encode.Options) { f.Stride = -64 }, "stride of -64 bytes"},
		{"stride huge", func(f *device.Format, _ *encode.Options) { f.Stride = 1 << 30 }, "stride of 1073741824 bytes"},
		{"whole picture huge", func(f *device.Format, _ *encode.Options) { f.Height, f.Stride = 16384, 150000 }, "larger than"},
		{"JPEG already", func(f *device.Format, _ *encode.Options) { f.FourCC = device.MJPG }, "JPEG already"},
		{"unknown format", func(f *device.Format, _ *encode.Options) { f.FourCC = 0x34363248 }, `"H264" cannot`},
		{"quality 101", func(_ *device.Format, o *encode.Options) { o.Quality = 101 }, "quality 101"},
		{"quality -1", func(_ *device.Format, o *encode.Options) { o.Quality = -1 }, "quality -1"},
	}
	for _, tt := range tests {
		f, o := good, encode.Options{}
		tt.change(&f, &o)
		e, err := encode.New(f, o)
		if err == nil {
			e.Close()
			t.Errorf("%s: accepted", tt.name)
		} else if !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error %q does not say %q", tt.name, err, tt.text)
		}
	}
}

func TestEncodeRefusesOtherFormatsAndClosedEncoders(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		f := device.Format{FourCC: device.GREY, Width: 16, Height: 16}
		e := newEncoder(t, f, o)
		for _, g := range []device.Format{
			{FourCC: device.GREY, Width: 16, Height: 8},
			{FourCC: device.YU12, Width: 16, Height: 16},
			{FourCC: device.GREY, Width: 16, Height: 16, Stride: 15},
		} {
			if _, err := e.Encode(&device.Buffer{Data: make([]byte, 999), Format: g}); err == nil {
				t.Errorf("%v, stride %d: accepted", g, g.Stride)
			}
		}
		e.Close()
		e.Close()
		if _, err := e.Encode(&device.Buffer{Data: make([]byte, 256), Format: f}); err == nil {
			t.Error("closed encoder encodes")
		}
	})
}

// noise is the worst case for the size of the output: it has to grow.
func noise(n int) []byte {
	b, s := make([]byte, n), uint32(1)
	for i := range b {
		s = s*1664525 + 1013904223
		b[i] = byte(s >> 24)
	}
	return b
}

func TestQualityChangesSizeAndLargeOutputIsWhole(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		f := device.Format{FourCC: device.YU12, Width: 640, Height: 480}
		data := noise(640 * 480 * 3 / 2)
		last := 0
		for _, q := range []int{1, 30, 80, 100} {
			o.Quality = q
			out := encodeOnce(t, newEncoder(t, f, o), f, data)
			decode(t, out)
			if len(out) <= last {
				t.Errorf("quality %d gives %d bytes, a lower one %d", q, len(out), last)
			}
			last = len(out)
		}
		if last < 300000 {
			t.Errorf("only %d bytes: the picture does not test growing", last)
		}
		o.Quality = 0
		a := encodeOnce(t, newEncoder(t, f, o), f, data)
		o.Quality = encode.DefaultQuality
		if b := encodeOnce(t, newEncoder(t, f, o), f, data); !bytes.Equal(a, b) {
			t.Error("quality 0 is not the default")
		}
	})
}

func TestResultsAreExactIndependentAndRepeatable(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		f := device.Format{FourCC: device.YUYV, Width: 320, Height: 240}
		e := newEncoder(t, f, o)
		one := encodeOnce(t, e, f, noise(320*240*2))
		kept := bytes.Clone(one)
		encodeOnce(t, e, f, make([]byte, 320*240*2))
		if !bytes.Equal(one, kept) {
			t.Error("a later picture changed an earlier result")
		}
		if two := encodeOnce(t, e, f, noise(320*240*2)); !bytes.Equal(one, two) {
			t.Error("the same picture gives another file")
		}
		if cap(one) > len(one)+len(one)/4 {
			t.Errorf("%d bytes kept for a file of %d", cap(one), len(one))
		}
	})
}

func TestNameTellsTheEngine(t *testing.T) {
	t.Parallel()
	f := device.Format{FourCC: device.GREY, Width: 16, Height: 16}
	if got := newEncoder(t, f, encode.Options{}).Name(); got != defaultName {
		t.Errorf("got %q, want %q", got, defaultName)
	}
	if got := newEncoder(t, f, encode.Options{Portable: true}).Name(); got != "image/jpeg" {
		t.Errorf("portable: got %q", got)
	}
}
