package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// faultSequences is how many random stories are played. To play one again, set
// firstSeed to its seed and this to 1.
const (
	faultSequences = 200
	firstSeed      = 1
)

// TestViewersEndOnLivePicturesAfterAnySequenceOfFaults plays cameras and encoders
// that fail in every way while viewers come and go.
func TestViewersEndOnLivePicturesAfterAnySequenceOfFaults(t *testing.T) {
	for seed := uint64(firstSeed); seed < firstSeed+faultSequences; seed++ {
		ok := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playFaults(t, rand.New(rand.NewPCG(seed, 7))) })
		})
		if !ok {
			return // one is enough to look at
		}
	}
}

func playFaults(t *testing.T, dice *rand.Rand) {
	t.Helper()
	every := time.Duration(40+dice.IntN(100)) * time.Millisecond
	src := rawSource(every)
	if dice.IntN(4) == 0 {
		src = devicetest.NewFakeSource(devicetest.FakeOptions{Interval: every})
	}
	failing := func(in int) func(int) error {
		drawn := rand.New(rand.NewPCG(dice.Uint64(), 1)) // used by one goroutine
		return func(int) error {
			switch drawn.IntN(in) {
			case 0:
				return errors.New("hiccup")
			case 1:
				return &device.OpError{Op: "encode", Kind: device.ErrStalled}
			case 2:
				if drawn.IntN(20) == 0 {
					return device.ErrUnplugged
				}
			}
			return nil
		}
	}
	hw := &fakeMaker{name: "hw", hardware: true, fail: failing(4 + dice.IntN(30)), takes: every * time.Duration(dice.IntN(3)) / 2}
	sw := &fakeMaker{name: "sw", takes: every * time.Duration(dice.IntN(6)) / 2}
	if dice.IntN(3) == 0 {
		hw.newErr = errors.New("busy")
	}
	stuck := dice.IntN(2) == 0
	cams := &controlled{src: src, make: func(c *fakeControls) { c.stuck = stuck }}
	r := startUnwatched(t, src, func(c *Config) {
		c.Open, c.Cores = cams.open, 4
		c.Encoders = []device.EncoderMaker{hw.maker(), sw.maker()}
		c.OnDemand, c.Linger = dice.IntN(2) == 0, time.Duration(1+dice.IntN(1500))*time.Millisecond
		c.DropSame = dice.IntN(3)
		c.Still = func([]byte, time.Time) ([]byte, error) { return []byte("still"), nil }
	})
	var leaving []func()
	var story []string
	note := func(what string, do func()) { story = append(story, what); do() }
	current := func(do func(*devicetest.Fake)) func() {
		return func() {
			if cam := src.Current(); cam != nil {
				do(cam)
			}
		}
	}
	for range 5 + dice.IntN(15) {
		switch dice.IntN(11) {
		case 0:
			note("unplug", src.Unplug)
		case 1:
			note("plug", src.Plug)
		case 2:
			note("stall", current((*devicetest.Fake).Stall))
		case 3:
			note("resume", current((*devicetest.Fake).Resume))
		case 4:
			note("input/output error", current((*devicetest.Fake).FailIO))
		case 5:
			note("busy", func() { src.SetDown(devicetest.Busy("/dev/fake0")) })
		case 6:
			note("garbage", current(func(f *devicetest.Fake) { f.Send(devicetest.Garbage(200)) }))
		case 7, 8:
			note("viewer comes", func() { leaving = append(leaving, r.watch()) })
		case 9:
			if n := len(leaving); n > 0 {
				note("viewer leaves", leaving[n-1])
				leaving = leaving[:n-1]
			}
		case 10:
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			_, err := r.sup.SetControls(ctx, numbers(map[string]float64{"brightness": float64(dice.IntN(100)), "exposure": 5}))
			note(fmt.Sprint("controls: ", err), cancel)
		}
		wait := time.Duration(dice.IntN(900)) * time.Millisecond
		story = append(story, wait.String())
		time.Sleep(wait)
	}
	leave := r.watch()
	src.Plug()
	current((*devicetest.Fake).Resume)()
	live := func() bool {
		f := r.hub.Latest()
		return f != nil && f.Placeholder == "" && time.Since(f.CapturedAt) < 10*every
	}
	healed := time.Now()
	for synctest.Wait(); !live() && time.Since(healed) < 2*maxReopen; synctest.Wait() {
		time.Sleep(every)
	}
	if took := time.Since(healed); !live() || took > 5*time.Second {
		st := r.sup.Status()
		t.Errorf("after %q no live picture for %v; %s, cause %+v, %s", story, took, st.State, st.Cause, states(st))
	}
	r.mu.Lock()
	for i, f := range r.seen {
		if f.Placeholder == "" && len(f.Data) < 100 {
			t.Errorf("frame %d is live and %d bytes long", i, len(f.Data))
		}
	}
	r.mu.Unlock()
	leave()
	for _, l := range leaving {
		l()
	}
	r.stop()
	if c := src.Counts(); c.Opened != c.Closed {
		t.Errorf("after %q cameras are left: %+v", story, c)
	}
	for _, m := range []*fakeMaker{hw, sw} {
		if c := m.counts(); c.opened != c.closed || c.now != 0 {
			t.Errorf("after %q encoders are left: %s %+v", story, m.name, c)
		}
	}
	for _, c := range cams.cams {
		if c.held != 0 {
			t.Errorf("after %q %d pictures are held", story, c.held)
		}
		if fake, ok := c.Camera.(*devicetest.Fake); ok && len(fake.Misuse()) > 0 {
			t.Errorf("after %q: %v", story, fake.Misuse())
		}
	}
	if r.hub.Watched() {
		t.Errorf("after %q a want is left", story)
	}
}
