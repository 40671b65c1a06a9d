package capture

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// hanging is a camera whose methods do not come back before hang is closed, as
// those of a driver that is stuck in the kernel.
type hanging struct {
	device.Camera
	next, closing bool
	hang          chan struct{}
}

func (h *hanging) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if h.next {
		<-h.hang
	}
	return h.Camera.Next(ctx, use)
}

func (h *hanging) Close() error {
	if h.closing {
		<-h.hang
	}
	return h.Camera.Close()
}

// driven is what a camera with a driver says of itself.
func driven(o devicetest.FakeOptions) devicetest.FakeOptions {
	o.Info.Bus = "usb-1"
	return o
}

func TestAliveIsFalseWhenADriverHangs(t *testing.T) {
	for name, tt := range map[string]struct {
		driven, open, next, closing, encoder, silent bool
		slack                                        time.Duration
		// dies is the second in which life ends.
		dies int
	}{
		"in open":                               {open: true, dies: 70},
		"in open, which was told to wait":       {open: true, slack: time.Minute, dies: 130},
		"in the wait for a picture":             {driven: true, next: true, dies: 5},
		"in that, where no question is asked":   {next: true, dies: 19},                                // silent for 12 s, then it is to be opened anew
		"in close, after 12 s without pictures": {driven: true, closing: true, silent: true, dies: 19}, // until then it was just silent
		"in an encoder":                         {driven: true, encoder: true, dies: 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				o := devicetest.FakeOptions{}
				if !tt.silent {
					o.Interval = interval
				}
				if tt.driven {
					o = driven(o)
				}
				m := &fakeMaker{name: "fake", hang: hang}
				if tt.encoder {
					o.Modes = []device.Mode{{FourCC: device.YUYV, Width: 64, Height: 48, Rates: []device.Rate{{Num: 30, Den: 1}}}}
					m.hangs.Store(true)
				}
				src := devicetest.NewFakeSource(o)
				r := start(t, src, func(c *Config) {
					c.Encoders = []device.EncoderMaker{m.maker()}
					c.Open = func(ctx context.Context) (device.Camera, error) {
						if tt.open {
							<-hang
						}
						cam, err := src.Open(ctx)
						if err != nil {
							return nil, err
						}
						return &hanging{Camera: cam, next: tt.next, closing: tt.closing, hang: hang}, nil
					}
				})
				if tt.encoder {
					synctest.Wait()
					src.Current().Send(make([]byte, 64*48*2))
				}
				for second := range 200 {
					synctest.Wait()
					if alive := r.sup.Alive(tt.slack); alive != (second < tt.dies) {
						t.Errorf("alive is %v after %d s", alive, second)
						break
					}
					time.Sleep(time.Second)
				}
				close(hang)
				r.stop()
				if !r.sup.Alive(0) {
					t.Error("dead after the end of Run")
				}
			})
		})
	}
}

func TestAliveIsTrueWhateverTheCameraDoes(t *testing.T) {
	for name, tt := range map[string]struct {
		o      devicetest.FakeOptions
		change func(*Config)
	}{
		"delivers": {o: devicetest.FakeOptions{Interval: interval}},
		"is slow":  {o: devicetest.FakeOptions{Interval: 9 * time.Second}},
		"is missing": {change: func(c *Config) {
			c.Open = func(context.Context) (device.Camera, error) { return nil, device.ErrNotFound }
		}},
		"is silent": {},
		"has ended": {change: func(c *Config) {
			c.Open = func(context.Context) (device.Camera, error) { return nil, device.ErrEnded }
		}},
		"sleeps": {o: devicetest.FakeOptions{Interval: interval}, change: func(c *Config) { c.OnDemand, c.Linger = true, time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := devicetest.NewFakeSource(driven(tt.o))
				r := startUnwatched(t, src, tt.change)
				for second := range 600 {
					synctest.Wait()
					if !r.sup.Alive(0) {
						t.Fatalf("dead after %d s", second)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// asked counts the questions, which are calls of Next that end without a picture.
type asked struct {
	device.Camera
	questions atomic.Int32
}

func (a *asked) Next(ctx context.Context, use func(*device.Buffer) error) error {
	err := a.Camera.Next(ctx, use)
	if err != nil {
		a.questions.Add(1)
	}
	return err
}

func TestASilentCameraIsAskedAndNotDisturbed(t *testing.T) {
	for name, tt := range map[string]struct {
		o    devicetest.FakeOptions
		want int32
	}{
		"with a driver":    {driven(devicetest.FakeOptions{Interval: interval}), 5},
		"without a driver": {devicetest.FakeOptions{Interval: interval}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := devicetest.NewFakeSource(tt.o)
				var cam *asked
				r := start(t, src, func(c *Config) {
					c.Open = func(ctx context.Context) (device.Camera, error) {
						opened, err := src.Open(ctx)
						cam = &asked{Camera: opened}
						return cam, err
					}
				})
				time.Sleep(10 * time.Second)
				if n := cam.questions.Load(); n != 0 {
					t.Errorf("asked %d times while pictures came", n)
				}
				src.Current().Stall()
				time.Sleep(reopenAfter - time.Second)
				src.Current().Resume()
				time.Sleep(10 * time.Second)
				if n := cam.questions.Load(); n != tt.want {
					t.Errorf("asked %d times in %v of silence, want %d times", n, reopenAfter-time.Second, tt.want)
				}
				c := r.sup.Status().Counters
				if c.Opens != 1 || c.Losses != 0 || c.Failures != 0 || c.Stalls != 1 {
					t.Errorf("got %+v, want the camera left alone", c)
				}
			})
		})
	}
}

// TestNobodyIsLateWhileTheComputerHasNoTime has the heart beat late, as when the
// program was stopped or all processors were taken.
func TestNobodyIsLateWhileTheComputerHasNoTime(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		beats []time.Duration // one after the other
		want  time.Duration
	}{
		"in time":           {[]time.Duration{time.Second, time.Second}, 2 * time.Second},
		"a little late":     {[]time.Duration{1050 * time.Millisecond, 950 * time.Millisecond}, 2 * time.Second},
		"stopped for 20 s":  {[]time.Duration{time.Second, 20 * time.Second, time.Second}, 3100 * time.Millisecond},
		"half of the time":  {[]time.Duration{2200 * time.Millisecond, 2200 * time.Millisecond}, 2200 * time.Millisecond},
		"between two beats": {[]time.Duration{time.Millisecond}, time.Millisecond},
	} {
		h, at := heart{latest: now}, now
		for _, d := range tt.beats {
			at = at.Add(d)
			h = heart{lived: h.at(at), latest: at}
		}
		if got := h.at(at); got != tt.want {
			t.Errorf("%s: lived %v, want %v", name, got, tt.want)
		}
	}

	s := New(Config{})
	s.heart = heart{latest: now.Add(-time.Minute)} // stopped since
	s.duties.answered = answerTime
	if !s.Alive(0) {
		t.Error("dead because the program was stopped")
	}
	s.heart = heart{lived: time.Minute, latest: now}
	if s.Alive(0) {
		t.Error("alive, although a question was not answered in a minute of life")
	}
}
