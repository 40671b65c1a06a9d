package devicetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// clockSkew is how far a time stamp may lie in the future: drivers convert
// between clocks. Chosen: far below a frame interval.
const clockSkew = 5 * time.Millisecond

// session is one camera under test. Every call is bounded; a call that does not
// return fails the test and is abandoned.
type session struct {
	tb
	*suite
	cam     device.Camera
	want    device.Format
	granted device.Format
	last    *device.Buffer // what the next picture must follow, Data left out
	played  bool           // pictures came since Start
}

// begin opens a camera. The caller defers end.
func (s *suite) begin(t tb) *session {
	return &session{tb: t, suite: s, cam: s.open(t)}
}

func (c *session) end() {
	c.Helper()
	if err := c.bounded("Close", c.cam.Close); err != nil {
		c.Errorf("Close: got %v, want nil", err)
	}
}

// async makes a call in a goroutine of its own.
func async(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

// await takes the result of a call, at most limit later.
func (c *session) await(what string, done <-chan error, limit time.Duration) error {
	c.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		c.Fatalf("%s did not return within %v", what, limit)
		return nil
	}
}

func (c *session) bounded(what string, call func() error) error {
	c.Helper()
	return c.await(what, async(call), c.timeout)
}

// context ends before a bounded call is given up, so that a silent camera is
// told apart from a call that hangs.
func (c *session) context() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), c.timeout*3/4,
		fmt.Errorf("no answer within %v", c.timeout*3/4))
}

// start starts the camera and checks what it granted.
func (c *session) start(want device.Format) {
	c.Helper()
	if err := c.tryStart(want); err != nil {
		c.Fatalf("Start(%v): %v", want, err)
	}
	for _, p := range formatProblems(c.granted) {
		c.Errorf("Start(%v): granted %+v: %s", want, c.granted, p)
	}
}

func (c *session) tryStart(want device.Format) error {
	c.Helper()
	ctx, cancel := c.context()
	defer cancel()
	c.want, c.last, c.played = want, nil, false
	return c.bounded("Start", func() (err error) {
		c.granted, err = c.cam.Start(ctx, want)
		return err
	})
}

func (c *session) stop() {
	c.Helper()
	if err := c.bounded("Stop", c.cam.Stop); err != nil {
		c.Fatalf("Stop: %v", err)
	}
}

// frame takes the next picture and checks it. The camera of a recording that is
// over is started again.
func (c *session) frame() device.Buffer {
	c.Helper()
	b, err := c.tryFrame()
	if c.finite && c.played && errors.Is(err, device.ErrEnded) {
		c.stop()
		c.start(c.want)
		b, err = c.tryFrame()
	}
	if err != nil {
		c.Fatalf("Next: %v", err)
	}
	return b
}

func (c *session) tryFrame() (device.Buffer, error) {
	c.Helper()
	ctx, cancel := c.context()
	defer cancel()
	var seen device.Buffer
	calls := 0
	var problems []string
	err := c.bounded("Next", func() error {
		return c.cam.Next(ctx, func(b *device.Buffer) error {
			calls++
			problems = bufferProblems(b, c.granted, c.last)
			seen = *b
			seen.Data = nil
			return nil
		})
	})
	for _, p := range problems {
		c.Errorf("Next: picture %d: %s", seen.DriverSeq, p)
	}
	if err != nil {
		return seen, err
	}
	if calls != 1 {
		c.Fatalf("Next returned nil after lending %d pictures, want 1", calls)
	}
	c.last, c.played = &seen, true
	return seen, nil
}

// pump takes pictures until Next fails, playing recordings again, and gives the
// error. It calls ready after each picture.
func (c *session) pump(ctx context.Context, ready func()) error {
	for {
		err := c.cam.Next(ctx, func(*device.Buffer) error { return nil })
		switch {
		case err == nil:
			ready()
		case c.finite && errors.Is(err, device.ErrEnded):
			if err := c.cam.Stop(); err != nil {
				return err
			}
			if _, err := c.cam.Start(ctx, c.want); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// formatProblems says what is wrong with a granted format.
func formatProblems(f device.Format) (problems []string) {
	if _, ok := f.FourCC.Rank(); !ok {
		problems = append(problems, fmt.Sprintf("pixel format %q is not usable", f.FourCC))
	}
	problems = append(problems, sizeProblems(f.Width, f.Height)...)
	if (f.Rate.Num == 0) != (f.Rate.Den == 0) {
		problems = append(problems, fmt.Sprintf("rate %d/%d is no fraction", f.Rate.Num, f.Rate.Den))
	}
	if f.Stride != 0 && f.Stride < minStride(f) {
		problems = append(problems, fmt.Sprintf("stride %d is below the %d bytes of a row", f.Stride, minStride(f)))
	}
	return problems
}

func sizeProblems(width, height int) (problems []string) {
	if width < 1 || height < 1 || width > device.MaxSide || height > device.MaxSide || width*height > device.MaxPixels {
		problems = append(problems, fmt.Sprintf("size %dx%d is out of range", width, height))
	}
	return problems
}

// bufferProblems says what is wrong with a lent picture that follows last.
func bufferProblems(b *device.Buffer, granted device.Format, last *device.Buffer) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	now := time.Now()

	got := b.Format
	if granted.Stride == 0 {
		got.Stride = 0 // Start need not know it yet
	}
	if got != granted {
		add("format %+v is not what was granted: %+v", b.Format, granted)
	}
	switch {
	case len(b.Data) == 0:
		add("no data")
	case b.Format.FourCC.Compressed():
		if !b.Corrupt && (len(b.Data) < 4 || b.Data[0] != 0xFF || b.Data[1] != 0xD8) {
			add("data does not begin like a JPEG: % x", b.Data[:min(4, len(b.Data))])
		}
	default:
		if b.Format.Stride < minStride(b.Format) {
			add("stride %d is below the %d bytes of a row", b.Format.Stride, minStride(b.Format))
		}
		if want := rawBytes(b.Format); len(b.Data) < want && !b.Corrupt {
			add("data has %d bytes, %v with stride %d needs %d", len(b.Data), b.Format, b.Format.Stride, want)
		}
	}

	for _, s := range []struct {
		name string
		at   time.Time
	}{{"CapturedAt", b.CapturedAt}, {"ReceivedAt", b.ReceivedAt}} {
		switch {
		case s.at.IsZero():
			add("%s is not set", s.name)
		case s.at == s.at.Round(0): //nolint:staticcheck // Round strips the monotonic reading, Equal would not see that
			add("%s has no monotonic reading", s.name)
		case s.at.After(now.Add(clockSkew)):
			add("%s is %v in the future", s.name, s.at.Sub(now))
		}
	}
	if b.ReceivedAt.Add(clockSkew).Before(b.CapturedAt) {
		add("received %v before it was captured", b.CapturedAt.Sub(b.ReceivedAt))
	}
	if b.Stale < 0 {
		add("Stale is %d", b.Stale)
	}
	if last == nil {
		return problems
	}
	advance := int64(int32(b.DriverSeq - last.DriverSeq)) // the counter may wrap
	switch {
	case advance <= 0:
		add("DriverSeq does not rise: %d after %d", b.DriverSeq, last.DriverSeq)
	case advance-1 < int64(b.Stale):
		add("Stale is %d, but DriverSeq went from %d to %d only", b.Stale, last.DriverSeq, b.DriverSeq)
	}
	if !b.CapturedAt.After(last.CapturedAt) {
		add("CapturedAt does not rise: %v after the picture before", b.CapturedAt.Sub(last.CapturedAt))
	}
	return problems
}
