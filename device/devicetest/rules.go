package devicetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// odd is what no camera offers.
func odd() device.Format {
	return device.Format{FourCC: device.RGB24, Width: 333, Height: 77, Rate: device.FPS(7.7)}
}

func infoNeverChanges(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	first := c.cam.Info()
	for _, field := range []struct{ name, value string }{
		{"Driver", first.Driver}, {"Name", first.Name}, {"Path", first.Path}, {"ID", first.ID},
	} {
		if field.value == "" {
			t.Errorf("Info: %s is empty", field.name)
		}
	}
	same := func(when string) {
		t.Helper()
		if got := c.cam.Info(); got != first {
			t.Errorf("Info %s: got %+v, want %+v as in the beginning", when, got, first)
		}
	}
	c.start(device.Format{})
	same("after Start")
	c.frame()
	same("after Next")
	c.stop()
	same("after Stop")
	c.end()
	same("after Close")
}

func modesAreSane(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	check := func(when string) {
		t.Helper()
		ctx, cancel := c.context()
		defer cancel()
		var modes []device.Mode
		err := c.bounded("Modes", func() (err error) {
			modes, err = c.cam.Modes(ctx)
			return err
		})
		if err != nil {
			t.Fatalf("Modes %s: %v", when, err)
		}
		for _, p := range modeProblems(modes) {
			t.Errorf("Modes %s: %s", when, p)
		}
	}
	check("before Start")
	c.start(device.Format{})
	c.frame()
	c.stop()
	check("after Stop")
}

// modeProblems says what is wrong with a list of modes.
func modeProblems(modes []device.Mode) (problems []string) {
	usable := false
	seen := map[string]bool{}
	for _, m := range modes {
		name := fmt.Sprintf("%s %dx%d", m.FourCC, m.Width, m.Height)
		if m.FourCC == 0 {
			problems = append(problems, name+": no pixel format")
		}
		for _, p := range sizeProblems(m.Width, m.Height) {
			problems = append(problems, name+": "+p)
		}
		if seen[name] {
			problems = append(problems, name+": listed twice")
		}
		seen[name] = true
		if _, ok := m.FourCC.Rank(); ok {
			usable = true
		}
		for _, r := range m.Rates {
			if r.Float() <= 0 {
				problems = append(problems, fmt.Sprintf("%s: rate %d/%d is not positive", name, r.Num, r.Den))
			}
		}
		if !slices.IsSortedFunc(m.Rates, func(a, b device.Rate) int {
			// a.Num/a.Den against b.Num/b.Den, highest first, exactly.
			x, y := uint64(a.Num)*uint64(b.Den), uint64(b.Num)*uint64(a.Den)
			switch {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		}) {
			problems = append(problems, fmt.Sprintf("%s: rates are not sorted, highest first: %v", name, m.Rates))
		}
	}
	if !usable {
		problems = append(problems, fmt.Sprintf("none of %d modes is usable", len(modes)))
	}
	return problems
}

func startGrantsUsableFormat(t tb, s *suite) {
	t.Helper()
	wants := []device.Format{
		{},
		odd(),
		{Width: 333, Height: 77},
		{Width: 16, Height: 16, Rate: device.FPS(0.5)},
		{Width: 8000, Height: 6000, Rate: device.FPS(960)},
		{FourCC: device.GREY},
		{FourCC: device.MJPG, Width: 640},
		{Rate: device.FPS(15)},
	}
	c := s.begin(t)
	defer c.end()
	for _, want := range wants {
		c.start(want)
		c.frame()
		c.stop()
	}
}

func nextLendsRisingPictures(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	for range s.frames {
		c.frame()
	}
}

// nextSkipsToTheNewestPicture keeps a picture for three and a half intervals.
// Of the two or three that wait then, the oldest is two and a half old.
func nextSkipsToTheNewestPicture(t tb, s *suite) {
	t.Helper()
	if s.finite {
		return // pictures of a recording do not wait
	}
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	fps := c.granted.Rate.Float()
	if fps <= 0 {
		return // nothing to measure by
	}
	interval := time.Duration(float64(time.Second) / fps)
	c.frame()
	var age time.Duration
	for range 5 { // a busy machine may spoil some
		ctx, cancel := c.context()
		err := c.bounded("Next", func() error {
			return c.cam.Next(ctx, func(b *device.Buffer) error {
				timer := time.NewTimer(time.Until(b.CapturedAt.Add(interval * 7 / 2)))
				defer timer.Stop()
				<-timer.C
				c.last = &device.Buffer{DriverSeq: b.DriverSeq, CapturedAt: b.CapturedAt}
				return nil
			})
		})
		cancel()
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		kept := time.Now()
		age = kept.Sub(c.frame().CapturedAt)
		if age < 2*interval {
			return
		}
	}
	t.Errorf("Next after a picture was kept for 3.5 intervals of %v: got one captured %v before, want a newer one", interval, age)
}

func nextReturnsErrorOfUse(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	c.frame()
	mine := errors.New("error of use")
	for range 3 {
		ctx, cancel := c.context()
		err := c.bounded("Next", func() error {
			return c.cam.Next(ctx, func(*device.Buffer) error { return mine })
		})
		cancel()
		if c.finite && errors.Is(err, device.ErrEnded) {
			c.stop()
			c.start(device.Format{})
			continue
		}
		if !errors.Is(err, mine) {
			t.Errorf("Next: got %v, want the error of use: %v", err, mine)
		}
	}
	c.last = nil
	c.frame() // the camera goes on
}

func nextWithoutStartFails(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	check := func(when string) {
		t.Helper()
		ctx, cancel := c.context()
		defer cancel()
		err := c.bounded("Next", func() error {
			return c.cam.Next(ctx, func(*device.Buffer) error {
				return errors.New("picture was lent")
			})
		})
		switch {
		case err == nil || err.Error() == "picture was lent":
			t.Errorf("Next %s lent a picture, want an error", when)
		case errors.Is(err, device.ErrClosed), errors.Is(err, context.Cause(ctx)) && ctx.Err() != nil:
			t.Errorf("Next %s: got %v, want another error", when, err)
		}
	}
	check("before Start")
	c.start(device.Format{})
	c.frame()
	c.stop()
	check("after Stop")
}

func nextReturnsCauseOfEndedContext(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	err := c.bounded("Next", func() error {
		return c.cam.Next(ctx, func(*device.Buffer) error { return nil })
	})
	if !errors.Is(err, cause) {
		t.Errorf("Next with an ended context: got %v, want its cause: %v", err, cause)
	}
	c.frame()
}

func contextWakesBlockedNext(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	b := c.frame()

	// While pictures flow: cancel in the middle between two of them, until that
	// hits a Next that waits. One that ignores its context never ends with it.
	cause := errors.New("cause of the test")
	if fps := b.Format.Rate.Float(); fps > 0 {
		quarter := time.Duration(float64(time.Second) / fps / 4)
		deadline := time.Now().Add(s.timeout / 2)
		for woken := false; !woken; {
			c.frame()
			ctx, cancel := context.WithTimeoutCause(context.Background(), quarter, cause)
			err := c.bounded("Next", func() error {
				return c.cam.Next(ctx, func(*device.Buffer) error { return nil })
			})
			cancel()
			switch {
			case err == nil || c.finite && errors.Is(err, device.ErrEnded):
			case errors.Is(err, cause):
				woken = true
			default:
				t.Fatalf("Next: got %v, want the cause of its context: %v", err, cause)
			}
			if !woken && time.Now().After(deadline) {
				t.Fatalf("no Next was woken by its context after a quarter of an interval (%v)", quarter)
			}
		}
	}

	// In silence, where the camera can be silenced.
	if s.stall != nil {
		s.stall(c.cam)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := async(func() error { return c.pump(ctx, func() {}) })
	timer := time.AfterFunc(30*time.Millisecond, func() { cancel(cause) }) // time to block, not needed to pass
	defer timer.Stop()
	if err := c.await("Next after its context ended", done, s.timeout); !errors.Is(err, cause) {
		t.Errorf("Next: got %v, want the cause of its context: %v", err, cause)
	}
}
