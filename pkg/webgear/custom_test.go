package webgear_test

import (
	"context"
	"errors"
	"image"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// afterThree gives three good pictures and then what f says.
func afterThree(f func(ctx context.Context, n int) ([]byte, error)) webgear.Opener {
	n := 0
	return webgear.JPEGFunc(func(ctx context.Context) ([]byte, error) {
		if n++; n > 3 {
			return f(ctx, n)
		}
		return picture(n), nil
	})
}

func TestViewersSeeThePlaceholderThatFitsTheFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		f     func(ctx context.Context, n int) ([]byte, error)
		cause string
		said  string // in the state
	}{
		"panic":   {func(context.Context, int) ([]byte, error) { panic("boom") }, "failed", "panic: boom at custom_test.go:"},
		"error":   {func(context.Context, int) ([]byte, error) { return nil, errors.New("on fire") }, "failed", "on fire"},
		"garbage": {func(context.Context, int) ([]byte, error) { return devicetest.Garbage(5000), nil }, "damaged", "not a JPEG"},
		"nil":     {func(context.Context, int) ([]byte, error) { return nil, nil }, "damaged", "empty"},
		"cut":     {func(_ context.Context, n int) ([]byte, error) { return devicetest.Truncated(picture(n)), nil }, "damaged", "truncated"},
		"busy":    {func(context.Context, int) ([]byte, error) { return nil, device.ErrBusy }, "busy", "in use"},
		"blocks":  {func(ctx context.Context, _ int) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }, "stalled", "delivers no pictures"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Open: afterThree(tt.f)})
			v := r.watch("/video")
			if p := v.await(tt.cause); p.size(t) != image.Pt(64, 48) {
				t.Errorf("placeholder is %v", p.size(t))
			}
			if c := r.Status().Camera; !strings.Contains(c.Error, tt.said) {
				t.Errorf("state says %q, want %q", c.Error, tt.said)
			}
		})
	}
}

func TestOneFailureIsOverWithTheNextPicture(t *testing.T) {
	for name, f := range map[string]func(n int) ([]byte, error){
		"error":   func(int) ([]byte, error) { return nil, errors.New("once") },
		"panic":   func(int) ([]byte, error) { panic("once") },
		"nil":     func(int) ([]byte, error) { return nil, nil },
		"garbage": func(int) ([]byte, error) { return devicetest.Garbage(5000), nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Open: afterThree(func(_ context.Context, n int) ([]byte, error) {
				if n == 4 {
					return f(n)
				}
				return picture(n), nil
			})})
			v := r.watch("/video")
			for live := false; !live; {
				p := v.must()
				n, ok := devicetest.JPEGNumber(p.data)
				live = ok && n > 5
			}
		})
	}
}

func TestFirstPictureMayFail(t *testing.T) {
	n := 0
	r := serve(t, webgear.Options{Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		switch n++; n {
		case 1:
			return nil, errors.New("not yet")
		case 2:
			return devicetest.Garbage(300), nil
		}
		return picture(n), nil
	})})
	r.watch("/video").await("")
}

func TestSourceThatIgnoresItsContextDoesNotDelayTheEnd(t *testing.T) {
	for name, when := range map[string]int{"first picture": 1, "later": 5} {
		t.Run(name, func(t *testing.T) {
			release, n := make(chan struct{}), 0
			r := serve(t, webgear.Options{Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) {
				if n++; n == when {
					<-release
				}
				return picture(n), nil
			})})
			t.Cleanup(func() { close(release) })
			v := r.watch("/video")
			if when > 1 {
				v.await("")
			}
			eventually(t, "the viewer is served", func() bool { return len(r.Status().Stream.Viewers) == 1 })
			if took, err := r.stop(); err != nil || took > 5*time.Second {
				t.Errorf("stopping took %v, %v", took, err)
			}
			if causes := v.rest(); len(causes) == 0 || causes[len(causes)-1] != "stopped" {
				t.Errorf("got %q", causes)
			}
		})
	}
}

func TestPicturesMayChangeTheirSize(t *testing.T) {
	sizes := []image.Point{{64, 48}, {320, 240}, {33, 17}, {1, 1}, {640, 480}}
	for name, tt := range map[string]struct {
		reduction float64
		open      func() webgear.Opener
	}{
		"images":          {0, nil},
		"smaller images":  {50, nil},
		"JPEG":            {0, func() webgear.Opener { return changing(sizes) }},
		"smaller JPEG":    {50, func() webgear.Opener { return changing(sizes) }},
		"channel":         {0, func() webgear.Opener { return changingChannel(t, sizes) }},
		"smaller channel": {50, func() webgear.Opener { return changingChannel(t, sizes) }},
	} {
		t.Run(name, func(t *testing.T) {
			open := tt.open
			if open == nil {
				open = func() webgear.Opener {
					n := 0
					return webgear.ImageFunc(func(context.Context) (image.Image, error) {
						n++
						s := sizes[n%len(sizes)]
						return busy(s.X, s.Y), nil
					})
				}
			}
			s := webgear.DefaultSettings()
			s.FrameSizeReduction = tt.reduction
			r := serve(t, webgear.Options{Settings: s, Open: open()})
			v := r.watch("/video")
			missing := map[image.Point]bool{}
			for _, p := range sizes {
				w := int(float64(p.X) * (100 - tt.reduction) / 100)
				missing[image.Pt(max(1, w), max(1, int(float64(p.Y)*(100-tt.reduction)/100)))] = true
			}
			for i := 0; i < 200 && len(missing) > 0; i++ {
				delete(missing, v.await("").size(t))
			}
			if len(missing) > 0 {
				t.Errorf("never came: %v", missing)
			}
		})
	}
}

// changing gives JPEG pictures of these sizes in turn.
func changing(sizes []image.Point) webgear.Opener {
	n := 0
	return webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		n++
		s := sizes[n%len(sizes)]
		return devicetest.JPEG(uint32(n), s.X, s.Y), nil
	})
}

// changingChannel gives images of these sizes in turn, as fast as they are taken.
func changingChannel(t *testing.T, sizes []image.Point) webgear.Opener {
	t.Helper()
	images, stop, done := make(chan image.Image), make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			s := sizes[n%len(sizes)]
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			select {
			case images <- busy(s.X, s.Y):
			case <-stop:
				return
			}
		}
	}()
	return webgear.ImageChannel(images)
}

func TestHugePicturesAreLeftOut(t *testing.T) {
	r := serve(t, webgear.Options{Open: webgear.ImageFunc(func() func(context.Context) (image.Image, error) {
		n := 0
		return func(context.Context) (image.Image, error) {
			if n++; n == 4 {
				return image.Rect(0, 0, 1<<30, 1<<30), nil
			}
			return busy(64, 48), nil
		}
	}())})
	v := r.watch("/video")
	for range 10 {
		if p := v.must(); p.size(t) != image.Pt(64, 48) {
			t.Errorf("picture of %v", p.size(t))
		}
	}
}

func TestEndOfAFunctionAndOfAChannelAreTheSame(t *testing.T) {
	images := make(chan image.Image, 1)
	images <- busy(64, 48)
	close(images)
	for name, open := range map[string]webgear.Opener{
		"function":      afterThree(func(context.Context, int) ([]byte, error) { return nil, io.EOF }),
		"wrapped":       afterThree(func(context.Context, int) ([]byte, error) { return nil, errors.Join(errors.New("over"), io.EOF) }),
		"channel":       webgear.ImageChannel(images),
		"empty channel": webgear.JPEGChannel(closedChannel()),
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Open: open})
			if causes := r.watch("/video").rest(); len(causes) == 0 || causes[len(causes)-1] != "ended" {
				t.Errorf("got %q", causes)
			}
			if a := r.get("/"); a.StatusCode != http.StatusOK {
				t.Errorf("the page is gone: %s", a.Status)
			}
		})
	}
}

func closedChannel() <-chan []byte {
	c := make(chan []byte)
	close(c)
	return c
}

func TestPixelsAreShownInTheirColours(t *testing.T) {
	for _, tt := range []struct {
		given, setting string
		pixel          []byte
	}{
		{"BGR", "", []byte{0, 0, 255}},
		{"rgb ", "", []byte{255, 0, 0}},
		{"", "", []byte{0, 0, 255}}, // BGR is the default
		{"", "RGBX", []byte{255, 0, 0, 9}},
		{"", "ARGB", []byte{255, 255, 0, 0}},
		{"BGRA", "RGB", []byte{0, 0, 255, 255}}, // what is given wins
	} {
		s := webgear.DefaultSettings()
		s.JPEGColorspace = tt.setting
		r := serve(t, webgear.Options{Settings: s, Open: webgear.PixelFunc(64, 48, tt.given, func(context.Context) ([]byte, error) {
			return slices.Repeat(tt.pixel, 64*48), nil
		})})
		m, _, err := image.Decode(strings.NewReader(string(r.watch("/video").await("").data)))
		if err != nil {
			t.Fatal(err)
		}
		if red, green, blue, _ := m.At(32, 24).RGBA(); red < 0xf000 || green > 0x0800 || blue > 0x0800 {
			t.Errorf("%q, setting %q: got %x %x %x, want red", tt.given, tt.setting, red, green, blue)
		}
		if _, err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// A source that does everything wrong, in any order, must not take the program
// down, and the last good picture must be seen.
func TestChaoticSourceNeverEndsTheProgram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	n := 0
	r := serve(t, webgear.Options{Want: device.Format{Rate: device.FPS(500)}, Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		n++
		switch rnd.IntN(12) {
		case 0:
			return nil, nil
		case 1:
			return devicetest.Garbage(rnd.IntN(1000)), nil
		case 2:
			return devicetest.Truncated(picture(n)), nil
		case 3:
			if n > 400 {
				break
			}
			if n%10 == 0 {
				panic(n)
			}
		case 4:
			b := picture(n)
			b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
			return b, nil
		}
		return picture(n), nil
	})})
	v := r.watch("/video")
	for seen := uint32(0); seen < 600; {
		p := v.must()
		if k, ok := devicetest.JPEGNumber(p.data); ok && k < 1<<20 { // a flipped bit may be in the number
			seen = max(seen, k)
		}
	}
}
