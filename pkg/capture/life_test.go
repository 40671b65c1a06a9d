package capture

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/fanout"
)

func TestCausesOfAFailureToOpenAreShownAndLoggedOnce(t *testing.T) {
	for code, err := range map[string]error{
		"busy":       devicetest.Busy("/dev/fake0"),
		"permission": devicetest.Permission("/dev/fake0"),
		"not-found":  devicetest.NotFound("/dev/fake0"),
		"failed":     errors.New("something else"),
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := auto()
				src.SetDown(err)
				r := start(t, src, nil)
				r.expect(time.Minute, code)
				src.Plug()
				r.expect(time.Second, "live")
				r.stop()
				if n := strings.Count(r.log.String(), "camera offline"); n != 1 {
					t.Errorf("logged %d times:\n%s", n, r.log)
				}
			})
		})
	}
}

func TestStartThatFailsDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		r := start(t, src, func(c *Config) {
			c.Open = func(ctx context.Context) (device.Camera, error) {
				cam, err := src.Open(ctx)
				if err == nil {
					src.Current().SetStartError(devicetest.Busy("/dev/fake0"))
				}
				return cam, err
			}
		})
		r.expect(time.Minute, "busy")
		if c := src.Counts(); c.Opened > 40 || c.Opened != c.Closed {
			t.Errorf("source %+v in a minute", c)
		}
	})
}

func TestFirstFailureEndsRunOnlyWhenItsKindIsFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		src.SetDown(devicetest.Busy("/dev/fake0"))
		hub := fanout.New()
		sup := New(Config{
			Open: src.Open, Fatal: []error{device.ErrUnsupported, device.ErrBusy}, Hub: hub, Logger: slog.New(slog.DiscardHandler),
			Draw: func(Card) ([]byte, error) { return []byte("card"), nil },
		})
		if err := sup.Run(t.Context()); !errors.Is(err, device.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		s := hub.Subscribe()
		if _, final, _ := s.Next(t.Context()); !final {
			t.Error("the hub was not closed")
		}
	})
}

func TestEndOfARecordingEndsTheStreamForEveryViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(time.Second, "live")
		r.src.Current().Fail(&device.OpError{Op: "read", Path: "x.mjpeg", Kind: device.ErrEnded})
		r.expect(time.Minute, "ended")
		if c := r.src.Counts(); c.Tries != 1 || c.Closed != 1 {
			t.Errorf("source %+v", c)
		}
		late := r.hub.Subscribe()
		defer late.Close()
		if f, final, err := late.Next(t.Context()); err != nil || !final || f.Placeholder != "ended" {
			t.Errorf("a late viewer got %+v, final %v, %v", f, final, err)
		}
		if n := r.sup.Status().Counters.Placeholders; n != 1 {
			t.Errorf("%d placeholders, want one", n)
		}
	})
}

func TestEndOfARecordingIsShownOnceASecondWhenTheStreamIsInfinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), func(c *Config) { c.Infinite = true })
		r.expect(time.Second, "live")
		r.src.Current().Fail(&device.OpError{Op: "read", Path: "x.mjpeg", Kind: device.ErrEnded})
		r.expect(10*time.Second+time.Millisecond, "no-input")
		if n := r.sup.Status().Counters.Placeholders; n != 11 {
			t.Errorf("%d placeholders in 10 s, want 11", n)
		}
		if c := r.src.Counts(); c.Tries != 1 {
			t.Errorf("source %+v", c)
		}
	})
}

func TestARealCameraReplacesTheSyntheticOneWhenItAppears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		synthetic := devicetest.NewFakeSource(devicetest.FakeOptions{Interval: interval, Info: device.Info{Synthetic: true}})
		changes := make(chan struct{}, 1)
		var present bool
		camera := auto()
		r := start(t, synthetic, func(c *Config) {
			c.Changes = changes
			c.Better = func(context.Context) bool { return present }
			c.Open = func(ctx context.Context) (device.Camera, error) {
				if present {
					return camera.Open(ctx)
				}
				return synthetic.Open(ctx)
			}
		})
		r.expect(time.Second, "live")
		changes <- struct{}{} // something else was plugged in
		r.expect(time.Second, "live")
		if c := synthetic.Counts(); c.Tries != 1 {
			t.Errorf("synthetic camera opened %d times", c.Tries)
		}
		present = true
		changes <- struct{}{}
		r.expect(time.Second, "live")
		if c := camera.Counts(); c.Opened != 1 || synthetic.Counts().Closed != 1 {
			t.Errorf("camera %+v, synthetic %+v", c, synthetic.Counts())
		}
	})
}

func TestStoppingEndsWithAFarewellAndClosesTheCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(time.Second, "live")
		begin := time.Now()
		r.stop()
		if d := time.Since(begin); d > 100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if got := r.shown(); got != "stopped" || !r.ended {
			t.Errorf("the viewer saw %q, ended %v", got, r.ended)
		}
		if c := r.src.Counts(); c.Closed != 1 {
			t.Errorf("source %+v", c)
		}
	})
}

func TestFiftyUnplugsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		for range 50 {
			r.expect(time.Second, "live")
			r.src.Unplug()
			r.expect(time.Second, "unplugged")
			r.src.Plug()
			time.Sleep(interval)
			r.shown()
		}
		r.stop()
		if c := r.src.Counts(); c.Opened != c.Closed {
			t.Errorf("source %+v", c)
		}
		// The bubble itself fails the test when a goroutine is left.
	})
}

func TestFrameRateIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if fps := r.sup.Status().FPS; fps < 29 || fps > 32 {
			t.Errorf("got %v fps from a camera with one frame every %v", fps, interval)
		}
		r.src.Unplug()
		time.Sleep(10 * time.Second)
		if fps := r.sup.Status().FPS; fps != 0 {
			t.Errorf("got %v fps from no camera", fps)
		}
	})
}

func TestEncoderThatHangsIsShownAsAStallAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enc := &fakeMaker{name: "fake encoder", hang: make(chan struct{})}
		r := start(t, auto(), func(c *Config) {
			c.Want = device.Format{FourCC: device.YUYV}
			c.Encoders = []device.EncoderMaker{enc.maker()}
		})
		r.expect(time.Second, "live")
		enc.hangs.Store(true)
		r.expect(firstFrame-time.Second, "live") // the last one is repeated
		r.expect(2*time.Second, "stalled")
		enc.hangs.Store(false)
		close(enc.hang)
		r.expect(500*time.Millisecond, "live")
	})
}
