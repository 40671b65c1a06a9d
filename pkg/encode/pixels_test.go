package encode_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

func newPixelEncoder(tb testing.TB, o encode.Options) *encode.PixelEncoder {
	tb.Helper()
	e, err := encode.NewPixelEncoder(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

// orders says where in a pixel red, green and blue are.
var orders = map[encode.Colorspace][4]int{
	encode.RGB: {3, 0, 1, 2}, encode.BGR: {3, 2, 1, 0},
	encode.RGBX: {4, 0, 1, 2}, encode.BGRX: {4, 2, 1, 0}, encode.XBGR: {4, 3, 2, 1}, encode.XRGB: {4, 1, 2, 3},
	encode.RGBA: {4, 0, 1, 2}, encode.BGRA: {4, 2, 1, 0}, encode.ABGR: {4, 3, 2, 1}, encode.ARGB: {4, 1, 2, 3},
}

// pixels draws the ramp; bytes that nobody should look at are poisoned.
func pixels(c encode.Colorspace, w, h, extra int) (data []byte, stride int) {
	size := map[encode.Colorspace]int{encode.GRAY: 1, encode.CMYK: 4}[c]
	if o, ok := orders[c]; ok {
		size = o[0]
	}
	stride = w*size + extra
	data = bytes.Repeat([]byte{poison}, stride*(h-1)+w*size)
	for y := range h {
		for x := range w {
			v := ramp((float64(x)+0.5)/float64(w), (float64(y)+0.5)/float64(h))
			p := data[y*stride+x*size:]
			switch c {
			case encode.GRAY:
				p[0], _, _ = toYCC(v, device.Format{})
			case encode.CMYK:
				p[0], p[1], p[2], p[3] = color.RGBToCMYK(uint8(v[0]), uint8(v[1]), uint8(v[2]))
			default:
				o := orders[c]
				p[o[1]], p[o[2]], p[o[3]] = uint8(v[0]), uint8(v[1]), uint8(v[2])
			}
		}
	}
	return data, stride
}

func TestPixelsOfEveryOrderKeepTheirColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for c := encode.BGR; c <= encode.CMYK; c++ {
			for _, extra := range []int{0, 5} {
				data, stride := pixels(c, 161, 97, extra)
				data = guarded(t, data)
				for _, to := range [][2]int{{161, 97}, {120, 72}, {80, 48}, {16, 9}, {300, 200}} {
					for _, gray := range []bool{false, true} {
						o := o
						o.Quality, o.Width, o.Height, o.Gray = 95, to[0], to[1], gray
						out, err := newPixelEncoder(t, o).EncodePixels(data, 161, 97, stride, c)
						if err != nil {
							t.Fatal(err)
						}
						checkRamp(t, fmt.Sprintf("%s, stride %d, to %v", c, stride, to), out, to[0], to[1])
						info, err := jpeg.Header(out)
						if want := gray || c == encode.GRAY; err != nil || (info.Components == 1) != want {
							t.Errorf("%s: got %+v, %v, want grey %v", c, info, err, want)
						}
					}
				}
			}
		}
	})
}

func TestParseColorspaceIgnoresCaseAndSpace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]encode.Colorspace{
		"RGB": encode.RGB, "bgr": encode.BGR, "  gray  ": encode.GRAY, "Rgb A": encode.RGBA, "\tcmyk\n": encode.CMYK,
		"XBGR": encode.XBGR, "xrgb": encode.XRGB, "RGBX": encode.RGBX, "BGRX": encode.BGRX,
		"BGRA": encode.BGRA, "ABGR": encode.ABGR, "ARGB": encode.ARGB,
	} {
		c, err := encode.ParseColorspace(text)
		if err != nil || c != want {
			t.Errorf("%q: got %v, %v", text, c, err)
		}
		if again, err := encode.ParseColorspace(c.String()); again != c || err != nil {
			t.Errorf("%v does not survive printing: %v, %v", c, again, err)
		}
	}
	for _, text := range []string{"", "invalid", "RGBB", "HSV"} {
		c, err := encode.ParseColorspace(text)
		if c != encode.BGR || err == nil || !strings.Contains(err.Error(), "use one of BGR, RGB, RGBX") {
			t.Errorf("%q: got %v, %v", text, c, err)
		}
	}
}

func TestEncodePixelsRefuses(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		e := newPixelEncoder(t, o)
		data := make([]byte, 16*16*3)
		for _, tt := range []struct {
			name         string
			n, w, h, str int
			c            encode.Colorspace
			text         string
		}{
			{"short", 767, 16, 16, 0, encode.BGR, "encode BGR 16x16: buffer has 767 bytes, the picture needs 768"},
			{"nothing", 0, 16, 16, 0, encode.BGR, "buffer has 0 bytes"},
			{"no width", 768, 0, 16, 0, encode.BGR, "size 0x16"},
			{"too large", 768, 16384, 16384, 0, encode.BGR, "64 million pixels"},
			{"stride too small", 768, 16, 16, 47, encode.BGR, "stride of 47 bytes"},
			{"stride negative", 768, 16, 16, -48, encode.BGR, "stride of -48 bytes"},
			{"stride huge", 768, 16, 16, 1 << 30, encode.BGR, "stride of"},
			{"no such order", 768, 16, 16, 0, 99, "encode Colorspace(99) 16x16: unknown colorspace"},
		} {
			_, err := e.EncodePixels(data[:tt.n], tt.w, tt.h, tt.str, tt.c)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
			}
		}
		if _, err := e.EncodePixels(data, 16, 16, 0, encode.BGR); err != nil {
			t.Error(err)
		}
		e.Close()
		e.Close()
		if _, err := e.EncodePixels(data, 16, 16, 0, encode.BGR); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("closed: got %v", err)
		}
	})
}

// images of the ramp, in every type there is way for.
func images(w, h int) map[string]image.Image {
	r := image.Rect(-6, 10, w-6, 10+h)
	at := func(x, y int) color.RGBA {
		v := ramp((float64(x-r.Min.X)+0.5)/float64(w), (float64(y-r.Min.Y)+0.5)/float64(h))
		return color.RGBA{uint8(v[0]), uint8(v[1]), uint8(v[2]), 255}
	}
	all := map[string]image.Image{}
	for name, m := range map[string]interface {
		image.Image
		Set(x, y int, c color.Color)
	}{
		"Gray": image.NewGray(r), "Gray16": image.NewGray16(r), "RGBA": image.NewRGBA(r), "NRGBA": image.NewNRGBA(r), "RGBA64": image.NewRGBA64(r), "CMYK": image.NewCMYK(r),
	} {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				m.Set(x, y, at(x, y))
			}
		}
		all[name] = m
	}
	for s := image.YCbCrSubsampleRatio444; s <= image.YCbCrSubsampleRatio410; s++ {
		m := image.NewYCbCr(r, s)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				c := at(x, y)
				l, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
				m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = l, cb, cr
			}
		}
		all[s.String()] = m
	}
	return all
}

func TestImagesOfEveryTypeKeepTheirColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for name, m := range images(161, 97) {
			for _, to := range [][2]int{{161, 97}, {120, 72}, {80, 48}} {
				for _, gray := range []bool{false, true} {
					o := o
					o.Quality, o.Width, o.Height, o.Gray = 95, to[0], to[1], gray
					out, err := newPixelEncoder(t, o).EncodeImage(m)
					if err != nil {
						t.Fatal(err)
					}
					checkRamp(t, fmt.Sprintf("%s to %v", name, to), out, to[0], to[1])
					info, err := jpeg.Header(out)
					if want := gray || strings.HasPrefix(name, "Gray"); err != nil || (info.Components == 1) != want {
						t.Errorf("%s: got %+v, %v, want grey %v", name, info, err, want)
					}
				}
			}
		}
	})
}

// A part of an image may begin anywhere, between chroma samples too.
func TestPartsOfImagesAreThoseParts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for name, m := range images(161, 97) {
			sub, ok := m.(interface {
				SubImage(image.Rectangle) image.Image
			})
			if !ok {
				t.Fatalf("%s has no parts", name)
			}
			for _, at := range []image.Point{{12, 20}, {13, 21}} {
				r := image.Rectangle{at, at.Add(image.Pt(40, 30))}
				o.Quality = 95
				out, err := newPixelEncoder(t, o).EncodeImage(sub.SubImage(r))
				if err != nil {
					t.Fatal(err)
				}
				got := decode(t, out)
				for _, p := range []image.Point{{4, 4}, {20, 15}, {36, 26}} {
					want := ramp((float64(at.X+p.X+6)+0.5)/161, (float64(at.Y+p.Y-10)+0.5)/97)
					if d := far(got, p.X, p.Y, want); d > 8 {
						t.Errorf("%s at %v: off by %d at %v", name, at, d, p)
					}
				}
			}
		}
	})
}

func TestTransparencyShowsBlack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		m := image.NewNRGBA(image.Rect(0, 0, 16, 16))
		for i := 0; i < len(m.Pix); i += 4 {
			copy(m.Pix[i:], []byte{200, 100, 50, 128})
		}
		out, err := newPixelEncoder(t, o).EncodeImage(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := far(decode(t, out), 8, 8, rgb{100, 50, 25}); d > 4 {
			t.Errorf("off by %d", d)
		}
	})
}

// Fields of images are everybody's: they may contradict each other.
func TestEncodeImageRefusesBrokenImages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		r := image.Rect(0, 0, 32, 32)
		good := image.NewYCbCr(r, image.YCbCrSubsampleRatio420)
		short := *good
		short.Cr = short.Cr[:255]
		narrow := *good
		narrow.CStride = 15
		far := *good
		far.Rect = r.Add(image.Pt(-64, 64))
		for name, m := range map[string]image.Image{
			"empty":         image.NewGray(image.Rectangle{}),
			"no pixels":     &image.Gray{Stride: 32, Rect: r},
			"short":         &image.RGBA{Pix: make([]byte, 32*32*4-1), Stride: 128, Rect: r},
			"narrow":        &image.Gray{Pix: make([]byte, 9999), Stride: 31, Rect: r},
			"backwards":     &image.Gray{Pix: make([]byte, 9999), Stride: -32, Rect: r},
			"short chroma":  &short,
			"narrow chroma": &narrow,
		} {
			if _, err := newPixelEncoder(t, o).EncodeImage(m); err == nil || !strings.Contains(err.Error(), "encode image ") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if _, err := newPixelEncoder(t, o).EncodeImage(&far); err != nil {
			t.Errorf("elsewhere: %v", err) // offsets count from the corner
		}
	})
}

func TestPixelEncoderFollowsSizesAndQuality(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		e := newPixelEncoder(t, o)
		noisy := noise(64 * 64 * 3)
		last := 0
		for _, q := range []int{10, 55, 100} {
			if err := e.SetQuality(q); err != nil {
				t.Fatal(err)
			}
			for _, w := range []int{16, 64, 32, 64} {
				out, err := e.EncodePixels(noisy, w, w, 0, encode.BGR)
				if err != nil {
					t.Fatal(err)
				}
				if m := decode(t, out); m.Bounds().Dx() != w {
					t.Errorf("got %v, want width %d", m.Bounds(), w)
				}
				if w == 64 && len(out) <= last {
					t.Errorf("quality %d gives %d bytes, a lower one %d", q, len(out), last)
				}
				if w == 32 {
					continue
				}
			}
			out, err := e.EncodePixels(noisy, 64, 64, 0, encode.BGR)
			if err != nil {
				t.Fatal(err)
			}
			last = len(out)
		}
	})
}
