package encode_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// planar is the 4:2:0 picture of a packed one, by definition: the mean of the
// chroma of each two rows, of which there may be one less at the end.
func planar(f device.Format, data []byte) (device.Format, []byte) {
	w, h, stride := f.Width, f.Height, f.Stride
	if stride == 0 {
		stride = (w + 1) / 2 * 4
	}
	luma, cb, cr := 0, 1, 3
	if f.FourCC == device.UYVY {
		luma, cb, cr = 1, 0, 2
	}
	var out []byte
	for y := range h {
		for x := range w {
			out = append(out, data[y*stride+2*x+luma])
		}
	}
	for _, c := range []int{cb, cr} {
		for y := 0; y < h; y += 2 {
			for x := range (w + 1) / 2 {
				a := int(data[y*stride+4*x+c])
				b := a
				if y+1 < h {
					b = int(data[(y+1)*stride+4*x+c])
				}
				out = append(out, byte((a+b+1)/2))
			}
		}
	}
	f.FourCC, f.Stride = device.YU12, w
	if w%2 != 0 { // chroma rows have half the stride, rounded up
		f.Stride = 0
	}
	return f, out
}

// What comes out is, byte by byte, the file of the 4:2:0 picture.
func TestSubsampling420TakesTheMeanOfTwoRows(t *testing.T) {
	t.Parallel()
	for _, code := range []device.FourCC{device.YUYV, device.UYVY} {
		for _, size := range [][2]int{{64, 48}, {66, 50}, {80, 33}, {17, 16}, {16, 1}, {2, 3}, {161, 97}} {
			for _, q := range []device.Quantization{device.FullRange, device.LimitedRange} {
				f := device.Format{FourCC: code, Width: size[0], Height: size[1], Quantization: q, Stride: (size[0]+1)/2*4 + 12}
				data := noise(f.Stride * f.Height)
				got := encodeOnce(t, newEncoder(t, f, encode.Options{Subsampling: encode.Subsampling420}), f, guarded(t, data))
				pf, pdata := planar(f, data)
				if !bytes.Equal(got, encodeOnce(t, newEncoder(t, pf, encode.Options{}), pf, pdata)) && defaultName != "image/jpeg" {
					t.Errorf("%s: not the file of the 4:2:0 picture", f)
				}
				if info, err := jpeg.Header(got); err != nil || info.Sampling != "4:2:0" {
					t.Errorf("%s: got %+v, %v", f, info, err)
				}
			}
		}
	}
}

// Resizing and BT.709 go other ways through the code.
func TestSubsampling420KeepsColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Quality, o.Subsampling = 95, encode.Subsampling420
		for _, code := range formats {
			for _, m := range []device.Matrix{device.BT601, device.BT709} {
				for _, to := range [][2]int{{161, 97}, {120, 72}, {80, 48}, {300, 200}} {
					f := device.Format{FourCC: code, Width: 161, Height: 97, Quantization: device.LimitedRange, Matrix: m}
					if code == device.RGB24 || code == device.GREY {
						f.Quantization, f.Matrix = device.FullRange, device.BT601
					}
					data := draw(f, func(x, y int) rgb { return ramp((float64(x)+0.5)/161, (float64(y)+0.5)/97) })
					o := o
					o.Width, o.Height = to[0], to[1]
					out := encodeOnce(t, newEncoder(t, f, o), f, guarded(t, data))
					checkRamp(t, fmt.Sprintf("%s matrix %d to %v", f, m, to), out, to[0], to[1])
					want := "4:2:0"
					if code == device.GREY {
						want = "4:0:0"
					}
					if info, err := jpeg.Header(out); err != nil || info.Sampling != want {
						t.Errorf("%s: got %+v, %v, want %s", f, info, err, want)
					}
				}
			}
		}
	})
}

func TestSubsampling420OfGrayIsGray(t *testing.T) {
	t.Parallel()
	f := device.Format{FourCC: device.YUYV, Width: 48, Height: 32}
	data := scene(f)
	plain := encodeOnce(t, newEncoder(t, f, encode.Options{Gray: true}), f, data)
	if !bytes.Equal(plain, encodeOnce(t, newEncoder(t, f, encode.Options{Gray: true, Subsampling: encode.Subsampling420}), f, data)) {
		t.Error("another file than without")
	}
}

func TestParseSubsampling(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]encode.Subsampling{
		"": encode.SubsamplingSource, "source": encode.SubsamplingSource, "4:2:0": encode.Subsampling420,
	} {
		got, err := encode.ParseSubsampling(text)
		if err != nil || got != want {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
		if back, err := encode.ParseSubsampling(got.String()); err != nil || back != got {
			t.Errorf("%s came back as %s, %v", got, back, err)
		}
	}
	if _, err := encode.ParseSubsampling("4:1:1"); err == nil || !strings.Contains(err.Error(), "use source or 4:2:0") {
		t.Errorf("got %v", err)
	}
}
