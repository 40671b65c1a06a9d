package devicetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestFakePassesTheSuite(t *testing.T) {
	TestCameraWith(t, Options{
		Open: func(*testing.T) device.Camera {
			return NewFake(FakeOptions{Interval: 5 * time.Millisecond})
		},
		Stall: func(t *testing.T, cam device.Camera) {
			t.Helper()
			cam.(*Fake).Stall()
		},
		Timeout: 5 * time.Second,
	})
}

func TestFakeRecordingPassesTheSuite(t *testing.T) {
	TestCameraWith(t, Options{
		Open: func(*testing.T) device.Camera {
			return &recording{Fake: NewFake(FakeOptions{Interval: 2 * time.Millisecond}), length: 3}
		},
		Finite:  true,
		Timeout: 5 * time.Second,
	})
}

func TestFakeThatLendsLongerPassesTheSuite(t *testing.T) {
	TestCameraWith(t, Options{
		Open: func(*testing.T) device.Camera {
			return NewFake(FakeOptions{Interval: 5 * time.Millisecond, Holds: 2})
		},
		Timeout: 5 * time.Second,
	})
}

// TestSuiteFindsBrokenCameras proves that each rule can fail.
func TestSuiteFindsBrokenCameras(t *testing.T) {
	good := func() *Fake { return NewFake(FakeOptions{Interval: 5 * time.Millisecond}) }
	change := func(edit func(b *device.Buffer)) func() device.Camera {
		return func() device.Camera { return &editing{Fake: good(), edit: edit} }
	}
	start := time.Now()
	tests := []struct {
		name string
		open func() device.Camera
		rule string
		want string // part of the message
	}{
		{"info changes", func() device.Camera { return &moody{Fake: good()} }, "InfoNeverChanges", "as in the beginning"},
		{"no modes", func() device.Camera {
			return NewFake(FakeOptions{Modes: []device.Mode{}, Interval: time.Millisecond, Grant: grantSmall})
		}, "ModesAreSaneBeforeStartAndAfterStop", "none of 0 modes"},
		{"rates upside down", func() device.Camera {
			return NewFake(FakeOptions{Interval: time.Millisecond, Modes: []device.Mode{
				{FourCC: device.MJPG, Width: 64, Height: 48, Rates: []device.Rate{{Num: 5, Den: 1}, {Num: 30, Den: 1}}},
			}})
		}, "ModesAreSaneBeforeStartAndAfterStop", "not sorted"},
		{"grants nothing", func() device.Camera {
			return NewFake(FakeOptions{Interval: time.Millisecond, Grant: func(device.Format) (device.Format, error) {
				return device.Format{}, nil
			}})
		}, "StartGrantsUsableFormat", "not usable"},
		{"refuses odd sizes", func() device.Camera {
			return NewFake(FakeOptions{Interval: time.Millisecond, Grant: func(want device.Format) (device.Format, error) {
				if want.Width == 333 {
					return device.Format{}, errors.New("no such size")
				}
				return grantSmall(want)
			}})
		}, "StartGrantsUsableFormat", "no such size"},
		{"sequence repeats", change(func(b *device.Buffer) { b.DriverSeq = 7 }), "NextLendsRisingPictures", "DriverSeq does not rise"},
		{"stale without gap", change(func(b *device.Buffer) { b.Stale = 1000 }), "NextLendsRisingPictures", "Stale is 1000"},
		{"time stands still", change(func(b *device.Buffer) { b.CapturedAt = start }), "NextLendsRisingPictures", "CapturedAt does not rise"},
		{"time of 1970", change(func(b *device.Buffer) { b.CapturedAt = time.Unix(99, 0) }), "NextLendsRisingPictures", "no monotonic reading"},
		{"time of tomorrow", change(func(b *device.Buffer) { b.CapturedAt = b.CapturedAt.Add(24 * time.Hour) }), "NextLendsRisingPictures", "in the future"},
		{"not received", change(func(b *device.Buffer) { b.ReceivedAt = time.Time{} }), "NextLendsRisingPictures", "ReceivedAt is not set"},
		{"empty", change(func(b *device.Buffer) { b.Data = nil }), "NextLendsRisingPictures", "no data"},
		{"not a JPEG", change(func(b *device.Buffer) { b.Data = Garbage(99) }), "NextLendsRisingPictures", "does not begin like a JPEG"},
		{"other format", change(func(b *device.Buffer) { b.Format.Width++ }), "NextLendsRisingPictures", "not what was granted"},
		{"short raw picture", func() device.Camera {
			return &editing{
				Fake: NewFake(FakeOptions{Interval: time.Millisecond, Grant: func(device.Format) (device.Format, error) {
					return device.Format{FourCC: device.NV12, Width: 64, Height: 48}, nil
				}}),
				edit: func(b *device.Buffer) { b.Data = b.Data[:64*48] },
			}
		}, "NextLendsRisingPictures", "needs 4608"},
		{"oldest first", func() device.Camera { return &queueing{Fake: good()} }, "NextSkipsToTheNewestPicture", "want a newer one"},
		{"swallows errors", func() device.Camera { return &swallowing{Fake: good()} }, "NextReturnsErrorOfUse", "error of use"},
		{"lends unasked", func() device.Camera { return &eager{Fake: good()} }, "NextBeforeStartAndAfterStopFails", "lent a picture"},
		{"looks at no ended context", func() device.Camera { return &uncancelled{Fake: good()} }, "NextReturnsCauseOfEndedContext", "got <nil>"},
		{"deaf to the context", func() device.Camera { return &uncancelled{Fake: good(), check: true} }, "ContextWakesBlockedNext", "woken"},
		{"deaf to Close", func() device.Camera { return &deaf{Fake: good()} }, "CloseWakesBlockedNext", "did not return"},
		{"other error after Close", func() device.Camera { return &deaf{Fake: good(), closes: true} }, "CloseWakesBlockedNext", "want ErrClosed"},
		{"frees what is lent", func() device.Camera { return &freeing{Fake: good()} }, "CloseLeavesLentPictureAlone", "changed a picture"},
		{"overwrites what is held", change(func(b *device.Buffer) {
			b.Hold = func() (func(), bool) { return func() {}, true }
		}), "HeldPicturesStayUntilReleased", "changed while it was held"},
		{"frees what is held", func() device.Camera { return &unmapping{Fake: good()} }, "StopAndCloseWaitForHeldPictures", "Stop changed a picture that was held"},
		{"closes once", func() device.Camera { return &once{Fake: good()} }, "CloseMayBeRepeated", "closed already"},
		{"stops after Close", func() device.Camera { return &lenient{Fake: good()} }, "CallsAfterCloseReturnErrClosed", "Stop after Close"},
		{"starts once", func() device.Camera { return &startsOnce{Fake: good()} }, "StopThenStartWorks", "cannot start again"},
		{"never ends", func() device.Camera { return good() }, "RecordingEnds", "did not end"},
		{"leaks a goroutine", func() device.Camera { return newLeaky(t, true) }, "CloseLeavesNothingBehind", "goroutines after Close"},
		{"leaks a file", func() device.Camera { return newLeaky(t, false) }, "CloseLeavesNothingBehind", "open files after Close"},
	}
	proven := map[string]bool{}
	for _, tt := range tests {
		proven[tt.rule] = true
		t.Run(tt.name, func(t *testing.T) {
			got := check(t, tt.rule, tt.open, tt.rule == "RecordingEnds")
			if !strings.Contains(got, tt.want) {
				t.Errorf("rule %s: got %q, want a failure with %q", tt.rule, got, tt.want)
			}
		})
	}
	for _, r := range rules() {
		if !proven[r.name] {
			t.Errorf("no broken camera proves rule %s", r.name)
		}
	}
}

// check runs one rule and gives its failures.
func check(t *testing.T, name string, open func() device.Camera, finite bool) string {
	t.Helper()
	all := rules()
	i := slices.IndexFunc(all, func(r rule) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("no rule %s", name)
	}
	s := newSuite(Options{Timeout: 400 * time.Millisecond, Finite: finite})
	s.open = func(tb) device.Camera { return open() }
	var rec recorder
	var done sync.WaitGroup
	done.Go(func() { all[i].check(&rec, s) })
	done.Wait()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return strings.Join(rec.failures, "\n")
}

// recorder is a test that may fail.
type recorder struct {
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func grantSmall(device.Format) (device.Format, error) {
	return device.Format{FourCC: device.MJPG, Width: 64, Height: 48, Rate: device.FPS(1000)}, nil
}

type recording struct {
	*Fake
	length, played int
}

func (c *recording) Start(ctx context.Context, want device.Format) (device.Format, error) {
	c.played = 0
	return c.Fake.Start(ctx, want)
}

func (c *recording) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if c.Started() && ctx.Err() == nil && c.played == c.length {
		return device.ErrEnded
	}
	return c.Fake.Next(ctx, func(b *device.Buffer) error { c.played++; return use(b) })
}

type editing struct {
	*Fake
	edit func(*device.Buffer)
}

func (c *editing) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Fake.Next(ctx, func(b *device.Buffer) error { c.edit(b); return use(b) })
}

type moody struct {
	*Fake
	calls int
}

func (c *moody) Info() device.Info {
	c.calls++
	info := c.Fake.Info()
	info.Bus = fmt.Sprint(c.calls)
	return info
}

// queueing keeps all pictures and lends the oldest.
type queueing struct {
	*Fake
	seq uint32
	at  time.Time
}

func (c *queueing) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Fake.Next(ctx, func(b *device.Buffer) error {
		if c.at.IsZero() {
			c.at = b.CapturedAt
		}
		c.at = c.at.Add(time.Millisecond)
		b.CapturedAt, b.DriverSeq, b.Stale = c.at, c.seq, 0
		c.seq++
		return use(b)
	})
}

type swallowing struct{ *Fake }

func (c *swallowing) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Fake.Next(ctx, func(b *device.Buffer) error { _ = use(b); return nil })
}

type eager struct{ *Fake }

func (c *eager) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if c.Started() {
		return c.Fake.Next(ctx, use)
	}
	return use(&device.Buffer{Data: []byte{1}})
}

type uncancelled struct {
	*Fake
	check bool // at the beginning at least
}

func (c *uncancelled) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if c.check && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.Fake.Next(context.WithoutCancel(ctx), use)
}

// deaf does not wake Next when it is closed, or wakes it with another error.
type deaf struct {
	*Fake
	closes bool
}

func (c *deaf) Next(ctx context.Context, use func(*device.Buffer) error) error {
	err := c.Fake.Next(ctx, use)
	if errors.Is(err, device.ErrClosed) {
		return errors.New("bad file descriptor")
	}
	return err
}

func (c *deaf) Close() error {
	if c.closes {
		return c.Fake.Close()
	}
	c.Stall()
	return nil
}

type freeing struct {
	*Fake
	mu   sync.Mutex
	lent []byte
}

func (c *freeing) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Fake.Next(ctx, func(b *device.Buffer) error {
		c.mu.Lock()
		c.lent = b.Data
		c.mu.Unlock()
		return use(b)
	})
}

func (c *freeing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.lent)
	return c.Fake.Close()
}

// unmapping takes held pictures away when it stops.
type unmapping struct {
	*Fake
	held []byte
}

func (c *unmapping) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Fake.Next(ctx, func(b *device.Buffer) error {
		b.Data = slices.Clone(b.Data)
		b.Hold = func() (func(), bool) {
			c.held = b.Data
			return func() {}, true
		}
		return use(b)
	})
}

func (c *unmapping) Stop() error {
	clear(c.held)
	return c.Fake.Stop()
}

type once struct{ *Fake }

func (c *once) Close() error {
	if c.Counts().Closes > 0 {
		return errors.New("closed already")
	}
	return c.Fake.Close()
}

type lenient struct{ *Fake }

func (c *lenient) Stop() error {
	if err := c.Fake.Stop(); !errors.Is(err, device.ErrClosed) {
		return err
	}
	return nil
}

type startsOnce struct{ *Fake }

func (c *startsOnce) Start(ctx context.Context, want device.Format) (device.Format, error) {
	if c.Counts().Starts > 0 {
		return device.Format{}, errors.New("cannot start again")
	}
	return c.Fake.Start(ctx, want)
}

// newLeaky leaves a goroutine or a file behind until the test is over.
func newLeaky(t *testing.T, goroutine bool) device.Camera {
	t.Helper()
	if goroutine {
		end := make(chan struct{})
		var ended sync.WaitGroup
		ended.Go(func() { <-end })
		t.Cleanup(func() { close(end); ended.Wait() })
	} else {
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
	}
	return NewFake(FakeOptions{Interval: time.Millisecond})
}
