package capture

import (
	"context"
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

func TestAliveIsFalseWhenADriverHangs(t *testing.T) {
	for name, tt := range map[string]struct {
		open, next, closing, silent bool
		slack                       time.Duration
		// dies is the second in which life ends.
		dies int
	}{
		"in open":                               {open: true, dies: 70},
		"in open, which was told to wait":       {open: true, slack: time.Minute, dies: 130},
		"in the wait for a picture":             {next: true, dies: 22}, // silent for 12 s, then it is to be opened anew
		"in close, after 12 s without pictures": {closing: true, silent: true, dies: 22},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				src := auto()
				if tt.silent {
					src = devicetest.NewFakeSource(devicetest.FakeOptions{})
				}
				r := start(t, src, func(c *Config) {
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
	for name, change := range map[string]func(*Config){
		"delivers": func(*Config) {},
		"is missing": func(c *Config) {
			c.Open = func(context.Context) (device.Camera, error) { return nil, device.ErrNotFound }
		},
		"is silent": func(c *Config) { c.Open = devicetest.NewFakeSource(devicetest.FakeOptions{}).Open },
		"has ended": func(c *Config) {
			c.Open = func(context.Context) (device.Camera, error) { return nil, device.ErrEnded }
		},
		"sleeps": func(c *Config) { c.OnDemand, c.Linger = true, time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startUnwatched(t, auto(), change)
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
