package devicetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func closeWakesBlockedNext(t tb, s *suite) {
	t.Helper()
	const (
		atOnce      = "at once after Start"
		amidst      = "while pictures flow"
		inSilence   = "while the camera is silent"
		wakeTimeout = 5 // the part of the time limit that counts as prompt
	)
	for _, when := range []string{atOnce, amidst, inSilence} {
		if when == inSilence && s.stall == nil {
			continue
		}
		func() {
			c := s.begin(t)
			defer c.end()
			c.start(device.Format{})
			if when == inSilence {
				c.frame()
				s.stall(c.cam)
			}
			ready := make(chan struct{})
			once := sync.OnceFunc(func() { close(ready) })
			done := async(func() error { return c.pump(context.Background(), once) })
			var blocked <-chan time.Time
			switch when {
			case amidst:
				blocked = time.After(s.timeout)
			case inSilence:
				blocked = time.After(30 * time.Millisecond) // time to block, not needed to pass
			default:
				once()
			}
			select {
			case <-ready:
			case <-blocked:
			}
			if err := c.bounded("Close", c.cam.Close); err != nil {
				t.Errorf("Close %s: got %v, want nil", when, err)
			}
			err := c.await("Next after Close "+when, done, s.timeout/wakeTimeout)
			if !errors.Is(err, device.ErrClosed) {
				t.Errorf("Next after Close %s: got %v, want ErrClosed", when, err)
			}
		}()
	}
}

// closeLeavesLentPictureAlone closes while a picture is lent: its memory must
// stay until it is given back.
func closeLeavesLentPictureAlone(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	ctx, cancel := c.context()
	defer cancel()
	var closed <-chan error
	intact := false
	err := c.bounded("Next", func() error {
		return c.cam.Next(ctx, func(b *device.Buffer) error {
			before := bytes.Clone(b.Data)
			done := make(chan struct{})
			closed = async(func() error {
				defer close(done)
				return c.cam.Close()
			})
			timer := time.NewTimer(100 * time.Millisecond) // Close may wait for the picture
			defer timer.Stop()
			select {
			case <-done:
			case <-timer.C:
			}
			intact = bytes.Equal(before, b.Data)
			return nil
		})
	})
	if err != nil && !errors.Is(err, device.ErrClosed) {
		t.Errorf("Next that lent a picture during Close: got %v, want nil or ErrClosed", err)
	}
	if closed == nil {
		t.Fatalf("Next lent no picture: %v", err)
	}
	if err := c.await("Close", closed, s.timeout); err != nil {
		t.Errorf("Close while a picture is lent: got %v, want nil", err)
	}
	if !intact {
		t.Errorf("Close changed a picture that was lent")
	}
}

func closeMayBeRepeated(t tb, s *suite) {
	t.Helper()
	for _, started := range []bool{false, true} {
		c := s.begin(t)
		if started {
			c.start(device.Format{})
			c.frame()
		}
		var all []<-chan error
		for range 4 {
			all = append(all, async(c.cam.Close))
		}
		for _, done := range all {
			if err := c.await("Close by several goroutines", done, s.timeout); err != nil {
				t.Errorf("Close by several goroutines: got %v, want nil", err)
			}
		}
		c.end()
	}
}

func callsAfterCloseReturnErrClosed(t tb, s *suite) {
	t.Helper()
	for _, started := range []bool{false, true} {
		c := s.begin(t)
		if started {
			c.start(device.Format{})
			c.frame()
		}
		c.end()
		ctx, cancel := c.context()
		for _, call := range []struct {
			name string
			call func() error
		}{
			{"Modes", func() error { _, err := c.cam.Modes(ctx); return err }},
			{"Start", func() error { _, err := c.cam.Start(ctx, device.Format{}); return err }},
			{"Next", func() error {
				return c.cam.Next(ctx, func(*device.Buffer) error { return errors.New("picture was lent") })
			}},
			{"Stop", c.cam.Stop},
		} {
			if err := c.bounded(call.name, call.call); !errors.Is(err, device.ErrClosed) {
				t.Errorf("%s after Close: got %v, want ErrClosed", call.name, err)
			}
		}
		cancel()
		c.end()
	}
}

func stopThenStartWorks(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.stop() // of a camera that was never started
	for _, want := range []device.Format{{}, odd(), {}} {
		c.start(want)
		c.frame()
		c.frame()
		c.stop()
		c.stop() // of a stopped camera
	}
	c.start(device.Format{})
	c.stop() // without having taken a picture
	c.start(device.Format{})
	c.frame()
}

// recordingEnds plays a recording to its end, twice.
func recordingEnds(t tb, s *suite) {
	t.Helper()
	if !s.finite {
		return
	}
	c := s.begin(t)
	defer c.end()
	var counts [2]int
	deadline := time.Now().Add(s.timeout)
	for i := range counts {
		c.start(device.Format{})
		for {
			_, err := c.tryFrame()
			if errors.Is(err, device.ErrEnded) {
				break
			}
			if err != nil {
				t.Fatalf("Next: %v", err)
			}
			counts[i]++
			if time.Now().After(deadline) {
				t.Fatalf("recording did not end within %v", s.timeout)
			}
		}
		if _, err := c.tryFrame(); !errors.Is(err, device.ErrEnded) {
			t.Errorf("Next after the end: got %v, want ErrEnded again", err)
		}
		c.stop()
	}
	if counts[0] == 0 || counts[0] != counts[1] {
		t.Errorf("recording had %d pictures, and %d when played again", counts[0], counts[1])
	}
}

func closeLeavesNothingBehind(t tb, s *suite) {
	t.Helper()
	cycle := func(use func(c *session)) {
		c := s.begin(t)
		defer c.end()
		use(c)
	}
	stopped := func(c *session) {
		c.start(device.Format{})
		c.frame()
		c.stop()
	}
	cycle(stopped) // what is made once per process, such as the runtime's poller, does not count
	goroutines, files := runtime.NumGoroutine(), openFiles()
	for range 2 {
		cycle(func(*session) {})
		cycle(stopped)
		cycle(func(c *session) { c.start(device.Format{}) })
		cycle(func(c *session) { c.start(device.Format{}); c.frame() })
	}

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(min(s.timeout, 5*time.Second))
	for {
		g, f := runtime.NumGoroutine(), openFiles()
		if g <= goroutines && f <= files {
			return
		}
		select {
		case <-tick.C:
			continue
		case <-deadline:
		}
		if g > goroutines {
			stacks := make([]byte, 1<<16)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Errorf("%d goroutines after Close, %d before Open:\n%s", g, goroutines, stacks)
		}
		if f > files {
			t.Errorf("%d open files after Close, %d before Open", f, files)
		}
		return
	}
}

// openFiles counts this process's file descriptors, 0 where there is no /proc.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
