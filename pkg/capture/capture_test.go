package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/status"
)

// interval is the pace of the automatic fake camera.
const interval = 33 * time.Millisecond

// rig is a supervisor that runs on a scripted source, with one viewer.
type rig struct {
	t    *testing.T
	src  *devicetest.FakeSource
	hub  *fanout.Hub
	sup  *Supervisor
	log  *bytes.Buffer
	stop func()

	mu    sync.Mutex
	seen  []*device.Frame
	ended bool
}

// start runs a supervisor with a viewer inside a synctest bubble until the test
// is over.
func start(t *testing.T, src *devicetest.FakeSource, change func(*Config)) *rig {
	t.Helper()
	r := startUnwatched(t, src, change)
	r.watch()
	return r
}

// watch adds a viewer, who stays until the stream is over or leave is called.
func (r *rig) watch() (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	s := r.hub.Subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.Close()
		for {
			f, _, err := s.Next(ctx)
			r.mu.Lock()
			if err != nil {
				r.ended = ctx.Err() == nil
				r.mu.Unlock()
				return
			}
			r.seen = append(r.seen, f)
			r.mu.Unlock()
		}
	}()
	leave = func() { cancel(); <-done }
	stop := r.stop
	r.stop = sync.OnceFunc(func() { stop(); <-done; cancel() })
	return leave
}

// startUnwatched is start without the viewer.
func startUnwatched(t *testing.T, src *devicetest.FakeSource, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, src: src, hub: fanout.New(), log: &bytes.Buffer{}}
	cfg := Config{
		Source: "fake", Open: src.Open, Changes: src.Changes(), Hub: r.hub,
		Encoders: []device.EncoderMaker{(&fakeMaker{name: "fake encoder"}).maker()},
		Draw: func(c Card) ([]byte, error) {
			return fmt.Appendf(nil, "card %s %dx%d", c.Cause.Code, c.Width, c.Height), nil
		},
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	r.sup = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.sup.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(func() { r.stop() })
	return r
}

// shown lists what the viewer saw since the last call, as "live" or the code
// of a placeholder, repetitions folded.
func (r *rig) shown() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, f := range r.seen {
		what := "live"
		if f.Placeholder != "" {
			what = f.Placeholder
		}
		if len(out) == 0 || out[len(out)-1] != what {
			out = append(out, what)
		}
	}
	r.seen = nil
	return strings.Join(out, " ")
}

// expect lets time pass and compares what was seen meanwhile.
func (r *rig) expect(after time.Duration, want string) {
	r.t.Helper()
	time.Sleep(after) // in the bubble: advances the fake clock
	if got := r.shown(); got != want {
		r.t.Errorf("after %v the viewer saw %q, want %q", after, got, want)
	}
}

// auto is a source whose cameras deliver by themselves.
func auto() *devicetest.FakeSource {
	return devicetest.NewFakeSource(devicetest.FakeOptions{Interval: interval})
}

func TestLiveFramesAreNumberedWithoutGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		time.Sleep(10 * interval)
		synctest.Wait()
		r.mu.Lock()
		seen := r.seen
		r.mu.Unlock()
		if len(seen) < 10 {
			t.Fatalf("%d frames in 10 intervals", len(seen))
		}
		for i, f := range seen {
			n, ok := devicetest.JPEGNumber(f.Data)
			if !ok || n != f.DriverSeq || f.Seq != uint64(i+1) || f.Width != 64 || f.Height != 48 {
				t.Errorf("frame %d: number %d %v, driver %d, seq %d, %dx%d", i, n, ok, f.DriverSeq, f.Seq, f.Width, f.Height)
			}
			if f.PublishedAt.Before(f.CapturedAt) {
				t.Errorf("frame %d published before it was captured", i)
			}
		}
		if st := r.sup.Status(); st.State != status.Online || st.Encoder != "camera" || st.Info.Name != "Fake camera" || st.Granted.Width != 64 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestUnplugShowsTheCauseAtOnceAndLivePicturesWithinASecondOfTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(time.Second, "live")
		r.src.Unplug()
		r.expect(10*time.Millisecond, "unplugged")
		r.expect(5*time.Second, "unplugged")
		if st := r.sup.Status(); st.State != status.Offline || st.Cause.Code != "unplugged" || !strings.Contains(st.Error, "no such device") {
			t.Errorf("status %+v, cause %+v", st, st.Cause)
		}
		r.src.Plug()
		r.expect(200*time.Millisecond, "live")
		c := r.sup.Status().Counters
		if c.Losses != 1 || c.Opens != 2 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestReturnWithoutAnEventIsNoticedWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), func(c *Config) { c.Changes = nil })
		r.expect(time.Second, "live")
		r.src.Unplug()
		r.expect(20*time.Second, "unplugged")
		r.src.Plug()
		time.Sleep(maxRetry)
		r.shown()
		r.expect(time.Second, "live")
	})
}

func TestPlaceholderIsRepeatedEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		src.SetDown(devicetest.Busy("/dev/fake0"))
		r := start(t, src, nil)
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.seen); n != 11 {
			t.Errorf("%d placeholders in 10 s, want 11", n)
		}
		for _, f := range r.seen {
			if f.Placeholder != "busy" || !strings.HasPrefix(string(f.Data), "card busy 1280x720") {
				t.Errorf("got %q: %s", f.Placeholder, f.Data)
			}
		}
	})
}

func TestSilenceIsAStallWithinHalfASecondAndEndsWithTheNextPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(time.Second, "live")
		r.src.Current().Stall()
		r.expect(350*time.Millisecond, "")
		r.expect(100*time.Millisecond, "stalled")
		r.expect(9*time.Second, "stalled")
		r.src.Current().Resume()
		r.expect(100*time.Millisecond, "live")
		if c := r.sup.Status().Counters; c.Stalls != 1 || c.Opens != 1 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestSilentCameraIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(time.Second, "live")
		r.src.Current().Stall() // for ever; only a new camera helps
		r.expect(reopenAfter+time.Second, "stalled live")
		if c := r.src.Counts(); c.Opened != 2 || c.Closed != 1 {
			t.Errorf("source %+v", c)
		}
	})
}

func TestSlowCameraIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{Interval: 2 * time.Second})
		r := start(t, src, nil)
		r.expect(20*time.Second, "live")
		src.Current().Stall()
		r.expect(10*time.Second, "live stalled") // the last one is repeated
	})
}

func TestCameraThatGetsSlowInTheDarkIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{})
		r := start(t, src, nil)
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			cam.Send(devicetest.JPEG(uint32(i), 64, 48))
			time.Sleep(min(time.Duration(i)*15*time.Millisecond, 350*time.Millisecond))
		}
		for i := range 10 {
			cam.Send(devicetest.JPEG(uint32(30+i), 64, 48))
			time.Sleep(600 * time.Millisecond)
		}
		if got := r.shown(); got != "live" {
			t.Errorf("the viewer saw %q", got)
		}
	})
}

func TestSlowSourceThatDoesNotTellItsRateIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{Modes: []device.Mode{{FourCC: device.MJPG, Width: 64, Height: 48}}})
		r := start(t, src, nil)
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		feed := func(n int) {
			for i := range n {
				cam.Send(devicetest.JPEG(uint32(i), 64, 48))
				time.Sleep(1500 * time.Millisecond)
			}
		}
		feed(4)
		r.shown()
		feed(10)
		if got := r.shown(); got != "live" {
			t.Errorf("the viewer saw %q", got)
		}
	})
}

func TestBadPicturesAreNeverShownAndNamedWhenNoGoodOneComes(t *testing.T) {
	good := devicetest.JPEG(1, 64, 48)
	for name, tt := range map[string]struct {
		bad   devicetest.Picture
		code  string
		count func(status.Counters) uint64
	}{
		"truncated": {devicetest.Picture{Data: devicetest.Truncated(good)}, "damaged", func(c status.Counters) uint64 { return c.InvalidTruncated }},
		"garbage":   {devicetest.Picture{Data: devicetest.Garbage(5000)}, "damaged", func(c status.Counters) uint64 { return c.InvalidGarbage }},
		"empty":     {devicetest.Picture{}, "damaged", func(c status.Counters) uint64 { return c.InvalidEmpty }},
		"flagged":   {devicetest.Picture{Data: good, Corrupt: true}, "damaged", func(c status.Counters) uint64 { return c.InvalidFlagged }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := devicetest.NewFakeSource(devicetest.FakeOptions{})
				r := start(t, src, nil)
				cam := <-src.Cameras()
				if _, err := cam.WaitStarted(t.Context()); err != nil {
					t.Fatal(err)
				}
				feed := func(n int, p devicetest.Picture) {
					for range n {
						if err := cam.SendWait(t.Context(), p); err != nil {
							t.Fatal(err)
						}
						time.Sleep(interval)
					}
				}
				feed(5, devicetest.Picture{Data: good})
				feed(3, tt.bad)
				feed(5, devicetest.Picture{Data: good})
				if got := r.shown(); got != "live" {
					t.Errorf("some bad pictures: the viewer saw %q, want only live ones", got)
				}
				feed(15, tt.bad)
				if got := r.shown(); got != tt.code {
					t.Errorf("only bad pictures: the viewer saw %q, want %q", got, tt.code)
				}
				if got := tt.count(r.sup.Status().Counters); got != 18 {
					t.Errorf("%d counted, want 18", got)
				}
				feed(1, devicetest.Picture{Data: good})
				if got := r.shown(); got != "live" {
					t.Errorf("good again: the viewer saw %q", got)
				}
			})
		})
	}
}

func TestIntactPicturesPassUntouchedAndPaddedOnesAreRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{})
		r := start(t, src, nil)
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		good := devicetest.JPEG(7, 64, 48)
		if err := cam.SendWait(t.Context(), devicetest.Picture{Data: good}); err != nil {
			t.Fatal(err)
		}
		if f := r.hub.Latest(); f == nil || !bytes.Equal(f.Data, good) {
			t.Error("an intact picture was changed")
		}
		if err := cam.SendWait(t.Context(), devicetest.Picture{Data: append(bytes.Clone(good), 0, 0, 0, 0)}); err != nil {
			t.Fatal(err)
		}
		if f := r.hub.Latest(); f == nil || !bytes.Equal(f.Data, good) {
			t.Error("padding was not removed")
		}
		if c := r.sup.Status().Counters; c.Repaired != 1 || c.Frames != 2 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestLostAndStalePicturesAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{})
		r := start(t, src, nil)
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := devicetest.Picture{Data: devicetest.JPEG(1, 64, 48)}
		_ = cam.SendWait(t.Context(), p)
		p.Lost = 3
		_ = cam.SendWait(t.Context(), p)
		if c := r.sup.Status().Counters; c.DroppedByDriver != 3 || c.DroppedStale != 0 || c.Frames != 2 {
			t.Errorf("counters %+v, want 3 dropped by the driver", c)
		}
	})
}

func TestRawPicturesAreEncodedOnceAndTheEncoderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enc := &fakeMaker{name: "fake encoder"}
		src := auto()
		r := start(t, src, func(c *Config) {
			c.Want = device.Format{FourCC: device.YUYV}
			c.Encoders = []device.EncoderMaker{enc.maker()}
		})
		r.expect(time.Second, "live")
		if st := r.sup.Status(); st.Encoder != "fake encoder" || st.EncoderHardware {
			t.Errorf("encoder %q", st.Encoder)
		}
		r.stop()
		c := enc.counts()
		if c.opened != 1 || c.closed != 1 || c.pictures != int(r.sup.Status().Counters.Frames) {
			t.Errorf("encoder %+v, status %+v", c, r.sup.Status().Counters)
		}
		if m := src.Current().Misuse(); len(m) > 0 {
			t.Error(m)
		}
	})
}

func TestEncoderThatFailsIsADamagedPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), func(c *Config) {
			c.Want = device.Format{FourCC: device.YUYV}
			c.Encoders = []device.EncoderMaker{(&fakeMaker{name: "broken", fail: func(int) error { return errors.New("no") }}).maker()}
		})
		r.expect(firstFrame+time.Second, "starting damaged")
		if c := r.sup.Status().Counters; c.InvalidEncode == 0 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestNothingIsShownWhileACameraTakesItsTimeToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{})
		r := start(t, src, nil)
		r.expect(startGrace-time.Millisecond, "")
		r.expect(time.Second, "starting")
		r.expect(firstFrame, "starting stalled")
	})
}
