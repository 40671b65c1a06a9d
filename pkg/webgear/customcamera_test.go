package webgear

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/encode"
)

func TestCustomCamerasKeepTheContract(t *testing.T) {
	for name, opener := range map[string]func(t *testing.T) Opener{
		"JPEG function": func(*testing.T) Opener {
			n := uint32(0)
			return JPEGFunc(func(context.Context) ([]byte, error) {
				n++
				return devicetest.JPEG(n, 64, 48), nil
			})
		},
		"image function": func(*testing.T) Opener {
			m := image.NewGray(image.Rect(0, 0, 64, 48))
			return ImageFunc(func(context.Context) (image.Image, error) {
				m.SetGray(1, 1, color.Gray{m.GrayAt(1, 1).Y + 1})
				return m, nil
			})
		},
		"pixel function": func(*testing.T) Opener {
			return PixelFunc(64, 48, "BGR", func(context.Context) ([]byte, error) { return make([]byte, 64*48*3), nil })
		},
		"image channel": func(t *testing.T) Opener {
			t.Helper()
			pictures := make(chan image.Image)
			feed(t, pictures, image.Image(image.NewGray(image.Rect(0, 0, 64, 48))))
			return ImageChannel(pictures)
		},
		"JPEG channel": func(t *testing.T) Opener {
			t.Helper()
			pictures := make(chan []byte)
			feed(t, pictures, devicetest.JPEG(1, 64, 48))
			return JPEGChannel(pictures)
		},
	} {
		t.Run(name, func(t *testing.T) {
			open := opener(t)
			devicetest.TestCamera(t, func(t *testing.T) device.Camera {
				t.Helper()
				cam, err := open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return cam
			})
		})
	}
}

// claiming is a small JPEG that says it has sides of so many pixels.
func claiming(side int) []byte {
	b := devicetest.JPEG(1, 64, 64)
	i := bytes.Index(b, []byte{0xff, 0xc0}) + 5 // behind marker, length and precision
	binary.BigEndian.PutUint16(b[i:], uint16(side))
	binary.BigEndian.PutUint16(b[i+2:], uint16(side))
	return b
}

// feed sends v every 10 ms until the test ends.
func feed[T any](t *testing.T, to chan<- T, v T) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			select {
			case to <- v:
			case <-stop:
				return
			}
		}
	}()
}

// started opens and starts a camera that is closed at the end of the test.
func started(t *testing.T, open Opener, want device.Format) device.Camera {
	t.Helper()
	cam, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cam.Close() })
	if _, err := cam.Start(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	return cam
}

func TestFunctionThatIgnoresItsContextIsNeverCalledTwiceAtOnce(t *testing.T) {
	var calls, running, most int
	entered, release := make(chan struct{}, 10), make(chan struct{})
	open := JPEGFunc(func(context.Context) ([]byte, error) {
		calls++
		running++
		most = max(most, running)
		n := calls
		entered <- struct{}{}
		if n == 2 {
			<-release // whatever the context says
		}
		running--
		return devicetest.JPEG(uint32(n), 64, 48), nil
	})
	old := started(t, open, device.Format{})
	use := func(*device.Buffer) error { return nil }
	if err := old.Next(t.Context(), use); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := old.Next(ctx, use); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next: got %v, want the end of its context", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	// Now another camera is opened for the same function.
	cam, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cam.Close() }()
	ctx2, cancel2 := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel2()
	if _, err := cam.Start(ctx2, device.Format{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start while the function runs: got %v, want the end of its context", err)
	}
	close(release)
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Errorf("Start when the function had returned: %v", err)
	}
	if len(entered) != 3 || most != 1 { // what the function counts is ordered by its calls
		t.Errorf("function was called %d times, %d at once; want 3, one at a time", len(entered), most)
	}
}

func TestFailuresOfTheFunctionAreErrorsOfTheCamera(t *testing.T) {
	broken := errors.New("sensor on fire")
	var none *image.RGBA
	empty := map[string]int(nil)
	if t.Context().Err() != nil {
		empty = map[string]int{} // never; it keeps vet from seeing the mistake that is wanted
	}
	for name, tt := range map[string]struct {
		open Opener
		kind error
		text string
	}{
		"error":         {JPEGFunc(func(context.Context) ([]byte, error) { return nil, broken }), broken, "custom source read function: sensor on fire"},
		"end":           {JPEGFunc(func(context.Context) ([]byte, error) { return nil, io.EOF }), device.ErrEnded, "custom source read function: ended"},
		"panic":         {JPEGFunc(func(context.Context) ([]byte, error) { panic("boom") }), nil, "panic: boom at customcamera_test.go:"},
		"nil map":       {JPEGFunc(func(context.Context) ([]byte, error) { empty["x"]++; return nil, nil }), nil, "nil map at customcamera_test.go:"},
		"goexit":        {JPEGFunc(func(context.Context) ([]byte, error) { runtime.Goexit(); return nil, nil }), nil, "ended its goroutine"},
		"no JPEG":       {JPEGFunc(func(context.Context) ([]byte, error) { return []byte("garbage"), nil }), device.ErrDamaged, "start function"},
		"nothing":       {JPEGFunc(func(context.Context) ([]byte, error) { return nil, nil }), device.ErrDamaged, "start function"},
		"no image":      {ImageFunc(func(context.Context) (image.Image, error) { return nil, nil }), device.ErrDamaged, "start function"},
		"nil image":     {ImageFunc(func(context.Context) (image.Image, error) { return none, nil }), nil, "panic: "},
		"empty image":   {ImageFunc(func(context.Context) (image.Image, error) { return &image.RGBA{}, nil }), nil, "image of 0x0 pixels"},
		"huge image":    {ImageFunc(func(context.Context) (image.Image, error) { return image.Rect(0, 0, 1<<20, 1<<20), nil }), nil, "image of 1048576x1048576 pixels"},
		"huge JPEG":     {JPEGFunc(func(context.Context) ([]byte, error) { return claiming(30000), nil }), device.ErrUnsupported, "30000x30000"},
		"too few bytes": {PixelFunc(64, 48, "RGB", func(context.Context) ([]byte, error) { return make([]byte, 10), nil }), nil, "buffer has 10 bytes"},
		"closed channel": {func() Opener {
			c := make(chan image.Image)
			close(c)
			return ImageChannel(c)
		}(), device.ErrEnded, "custom source read channel: ended"},
	} {
		t.Run(name, func(t *testing.T) {
			cam, err := tt.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cam.Close() }()
			_, err = cam.Start(t.Context(), device.Format{})
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Start: got %v, want %v and %q", err, tt.kind, tt.text)
			}
		})
	}
}

func TestPictureTooLargeInTheMiddleIsFlaggedNotBelieved(t *testing.T) {
	sizes := []int{64, 65000, 64}
	open := JPEGFunc(func(context.Context) ([]byte, error) {
		side := sizes[0]
		sizes = sizes[1:]
		return claiming(side), nil
	})
	cam := started(t, open, device.Format{Rate: device.FPS(1000)})
	for _, corrupt := range []bool{false, true, false} {
		err := cam.Next(t.Context(), func(b *device.Buffer) error {
			if b.Corrupt != corrupt {
				t.Errorf("picture of %dx%d: flagged %v", b.Format.Width, b.Format.Height, b.Corrupt)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMistakesOfTheCallerShowWhenOpened(t *testing.T) {
	pixels := func(context.Context) ([]byte, error) { return nil, nil }
	for name, open := range map[string]Opener{
		"no JPEG function":   JPEGFunc(nil),
		"no image function":  ImageFunc(nil),
		"no pixel function":  PixelFunc(64, 48, "BGR", nil),
		"no JPEG channel":    JPEGChannel(nil),
		"no image channel":   ImageChannel(nil),
		"unknown colorspace": PixelFunc(64, 48, "HSV", pixels),
		"no width":           PixelFunc(0, 48, "BGR", pixels),
		"negative height":    PixelFunc(64, -1, "BGR", pixels),
		"huge":               PixelFunc(16384, 16384, "BGR", pixels),
	} {
		cam, err := open(t.Context())
		if cam != nil || !errors.Is(err, errMisuse) {
			t.Errorf("%s: got %v, %v", name, cam, err)
		}
	}
}

func TestFunctionIsAskedAtTheWantedRate(t *testing.T) {
	cam := started(t, JPEGFunc(func(context.Context) ([]byte, error) { return devicetest.JPEG(1, 64, 48), nil }), device.Format{Rate: device.FPS(50)})
	began := time.Now()
	for range 26 { // the first comes at once
		if err := cam.Next(t.Context(), func(*device.Buffer) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 490*time.Millisecond || took > 5*time.Second {
		t.Errorf("25 intervals of 20 ms took %v", took)
	}
}

// A drawn picture is encoded once, with the settings: a second encoding would
// give other bytes than the encoder alone.
func TestDrawnPicturesAreEncodedOnceWithTheSettings(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 200, 100))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i)
	}
	for _, s := range []Settings{{}, {FrameSizeReduction: 50}, {JPEGQuality: 40}, {JPEGColorspace: "GRAY", FrameSizeReduction: 25, JPEGQuality: 70}} {
		o := encode.Options{Quality: cmp.Or(s.JPEGQuality, 90), Gray: s.JPEGColorspace == "GRAY"}
		if s.FrameSizeReduction > 0 {
			o.Width, o.Height = encode.Reduce(200, 100, s.FrameSizeReduction)
		} else {
			s.JPEGFastDCT = true // the defaults
			o.FastDCT = true
		}
		enc, err := encode.NewPixelEncoder(o)
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		want, err := enc.EncodeImage(m)
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(Options{Settings: s, Home: t.TempDir(), Open: ImageFunc(func(context.Context) (image.Image, error) { return m, nil })})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.sup.Run(ctx) }()
		for f := range g.Frames(ctx) {
			if !bytes.Equal(f.Data, want) {
				t.Errorf("%+v: got %d bytes, %dx%d; want %d bytes", s, len(f.Data), f.Width, f.Height, len(want))
			}
			break
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
