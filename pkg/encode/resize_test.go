package encode_test

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

func TestReduceCutsBothSidesByTheSameRatio(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		w, h    int
		percent float64
		ow, oh  int
	}{
		{640, 480, 25, 480, 360},
		{640, 480, 0, 640, 480},
		{640, 480, 50, 320, 240},
		{640, 480, 90, 64, 48},
		{1280, 720, 25, 960, 540},
		{800, 500, 85, 120, 75},
		{1920, 1080, 33.3, 1280, 720},
		{641, 361, 25, 480, 270},
		{641, 361, 50, 320, 180},
		{1, 1, 90, 1, 1},
		{3, 1000, 90, 1, 333},
		{1000, 3, 90, 100, 1},
		{640, 480, 100, 1, 1},
		{640, 480, 150, 1, 1},
		{640, 480, -5, 640, 480},
		{640, 480, math.NaN(), 640, 480},
		{16384, 4096, 10, 14745, 3686},
		{0, 0, 25, 1, 1},
	} {
		if w, h := encode.Reduce(tt.w, tt.h, tt.percent); w != tt.ow || h != tt.oh {
			t.Errorf("%dx%d less %v %%: got %dx%d, want %dx%d", tt.w, tt.h, tt.percent, w, h, tt.ow, tt.oh)
		}
	}
}

// ramp is a picture without edges: at any size a pixel has the colour of its
// place.
func ramp(u, v float64) rgb {
	return rgb{40 + int(160*u), 40 + int(160*v), 200 - int(60*u+60*v)}
}

// sizesToTry are the reductions of the setting, odd ones, and enlargements.
func sizesToTry(w, h int) [][2]int {
	var all [][2]int
	for _, p := range []float64{0, 10, 25, 33, 50, 75, 90} {
		ow, oh := encode.Reduce(w, h, p)
		all = append(all, [2]int{ow, oh})
	}
	return append(all, [2]int{w * 2, h * 2}, [2]int{w + 1, h / 2}, [2]int{w / 3, h*3/2 + 1}, [2]int{w, h / 2}, [2]int{w / 2, h})
}

// checkRamp compares every pixel of a file with the ramp. Small pictures have
// steeper ramps, and chroma for two pixels each.
func checkRamp(tb testing.TB, name string, file []byte, w, h int) {
	tb.Helper()
	tolerance := 8 + 240/min(w, h)
	if min(w, h) < 20 { // one chroma sample for a quarter of the picture
		tolerance = 40
	}
	m := decode(tb, file)
	if m.Bounds().Dx() != w || m.Bounds().Dy() != h {
		tb.Errorf("%s: got %v, want %dx%d", name, m.Bounds(), w, h)
		return
	}
	for y := range h {
		for x := range w {
			want := ramp((float64(x)+0.5)/float64(w), (float64(y)+0.5)/float64(h))
			if d := far(m, x, y, want); d > tolerance {
				tb.Errorf("%s: off by %d at %d,%d: got %v, want %v", name, d, x, y, m.At(x, y), want)
				return
			}
		}
	}
}

func TestResizedPicturesHaveTheExactSizeAndColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, size := range [][2]int{{160, 96}, {161, 97}} {
			variants(size[0], size[1], func(name string, f device.Format) {
				data := draw(f, func(x, y int) rgb {
					return ramp((float64(x)+0.5)/float64(f.Width), (float64(y)+0.5)/float64(f.Height))
				})
				data = guarded(t, data)
				for _, to := range sizesToTry(f.Width, f.Height) {
					o := o
					o.Quality, o.Width, o.Height = 95, to[0], to[1]
					e := newEncoder(t, f, o)
					checkRamp(t, fmt.Sprintf("%s to %v", name, to), encodeOnce(t, e, f, data), to[0], to[1])
					if w, h := e.Size(); w != to[0] || h != to[1] {
						t.Errorf("%s: Size is %d, %d", name, w, h)
					}
					e.Close()
				}
			})
		}
	})
}

func TestOneSideFollowsFromTheOther(t *testing.T) {
	t.Parallel()
	f := device.Format{FourCC: device.YU12, Width: 640, Height: 480}
	for _, tt := range []struct{ w, h, ow, oh int }{{320, 0, 320, 240}, {0, 120, 160, 120}, {1, 0, 1, 1}, {0, 0, 640, 480}, {101, 0, 101, 76}} {
		e := newEncoder(t, f, encode.Options{Width: tt.w, Height: tt.h})
		if w, h := e.Size(); w != tt.ow || h != tt.oh {
			t.Errorf("%dx%d asked for: got %dx%d, want %dx%d", tt.w, tt.h, w, h, tt.ow, tt.oh)
		}
	}
}

// Noise at the edges of memory: no byte outside of a plane may be used, at
// extreme ratios as well.
func TestResizingReadsNothingBeyondTheBuffer(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for _, size := range [][4]int{{1, 1, 7, 5}, {2, 3, 1, 1}, {17, 33, 16, 32}, {300, 2, 1, 300}, {641, 361, 480, 270}, {1000, 40, 3, 1}, {8, 8, 9, 9}, {4, 700, 40, 2}} {
			variants(size[0], size[1], func(_ string, f device.Format) {
				o := o
				o.Width, o.Height = size[2], size[3]
				e := newEncoder(t, f, o)
				m := decode(t, encodeOnce(t, e, f, guarded(t, draw(f, func(x, y int) rgb { return rgb{x & 255, y & 255, 7} }))))
				if m.Bounds().Dx() != size[2] || m.Bounds().Dy() != size[3] {
					t.Errorf("%s %v: got %v", f, size, m.Bounds())
				}
				e.Close()
			})
		}
	})
}

// A black picture stays black and a white one white: weights add up.
func TestResizingKeepsBlackAndWhite(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		f := device.Format{FourCC: device.GREY, Width: 211, Height: 97}
		for _, v := range []byte{0, 255} {
			for _, to := range append(sizesToTry(f.Width, f.Height), [2]int{1, 1}, [2]int{500, 3}) {
				o := o
				o.Width, o.Height = to[0], to[1]
				e := newEncoder(t, f, o)
				m := decode(t, encodeOnce(t, e, f, bytes.Repeat([]byte{v}, f.Width*f.Height)))
				g, ok := m.(*image.Gray)
				for i := 0; ok && i < to[1]; i++ {
					if bytes.Count(g.Pix[i*g.Stride:][:to[0]], []byte{v}) != to[0] {
						t.Errorf("%d at %v: row %d is %v", v, to, i, g.Pix[i*g.Stride:][:to[0]])
						break
					}
				}
				if !ok {
					t.Errorf("grey became %T", m)
				}
				e.Close()
			}
		}
	})
}

func TestGrayHasOneComponentAndTheSourcesLuma(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Gray = true
		for _, to := range [][2]int{{0, 0}, {101, 60}} {
			variants(161, 97, func(name string, f device.Format) {
				o := o
				o.Width, o.Height = to[0], to[1]
				e := newEncoder(t, f, o)
				at := func(int, int) rgb { return bars[4] }
				g, ok := decode(t, encodeOnce(t, e, f, guarded(t, draw(f, at)))).(*image.Gray)
				if !ok {
					t.Fatalf("%s: not grey", name)
				}
				want, _, _ := toYCC(bars[4], device.Format{Matrix: f.Matrix})
				b := g.Bounds()
				for _, p := range []image.Point{{0, 0}, {b.Max.X - 1, b.Max.Y - 1}, {b.Max.X / 2, b.Max.Y / 2}} {
					if d := abs(int(g.GrayAt(p.X, p.Y).Y) - int(want)); d > 2 {
						t.Errorf("%s: luma is %d at %v, want %d", name, g.GrayAt(p.X, p.Y).Y, p, want)
					}
				}
				e.Close()
			})
		}
	})
}

func TestSetQualityTakesEffectAtTheNextPicture(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		f := device.Format{FourCC: device.YUYV, Width: 320, Height: 240}
		data := scene(f)
		e := newEncoder(t, f, o)
		last := 0
		for _, q := range []int{10, 55, 100} {
			if err := e.SetQuality(q); err != nil {
				t.Fatal(err)
			}
			out := encodeOnce(t, e, f, data)
			if len(out) <= last {
				t.Errorf("quality %d gives %d bytes, a lower one %d", q, len(out), last)
			}
			last = len(out)
			o := o
			o.Quality = q
			if !bytes.Equal(out, encodeOnce(t, newEncoder(t, f, o), f, data)) {
				t.Errorf("quality %d set later differs from the same one set at first", q)
			}
		}
		for _, q := range []int{0, 101, -1} {
			if err := e.SetQuality(q); err == nil || !strings.Contains(err.Error(), "is not in 1 to 100") {
				t.Errorf("quality %d: got %v", q, err)
			}
		}
		if len(encodeOnce(t, e, f, data)) != last {
			t.Error("a refused quality took effect")
		}
	})
}

func TestSizesOfTheOutputAreChecked(t *testing.T) {
	t.Parallel()
	f := device.Format{FourCC: device.YU12, Width: 64, Height: 48}
	for _, o := range []encode.Options{
		{Width: -1},
		{Height: -1, Width: 5},
		{Width: device.MaxSide + 1},
		{Width: device.MaxSide, Height: device.MaxSide},
		{Width: device.MaxSide}, // the height that follows is as large
	} {
		if e, err := encode.New(f, o); err == nil {
			e.Close()
			t.Errorf("%dx%d accepted", o.Width, o.Height)
		} else if !strings.Contains(err.Error(), "output size") {
			t.Errorf("got %v", err)
		}
	}
}
