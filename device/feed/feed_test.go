package feed

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// put fills and publishes a picture with a number.
func put(f *Feed, n uint32) {
	p := f.Blank()
	p.Grow(4)[0] = byte(n)
	p.Buffer.DriverSeq = n
	f.Put(p)
}

// next takes a picture as a camera does.
func next(ctx context.Context, f *Feed, closed <-chan struct{}, use func(*device.Buffer) error) error {
	p, err := f.Take(ctx, closed)
	if err != nil {
		return err
	}
	defer f.GiveBack(p)
	return use(&p.Buffer)
}

func ignore(*device.Buffer) error { return nil }

func TestNewestPictureWinsAndTheOthersAreCounted(t *testing.T) {
	f := New()
	for n := range uint32(5) {
		put(f, n)
	}
	for _, want := range []struct {
		seq   uint32
		stale int
	}{{4, 4}, {9, 0}} {
		err := next(t.Context(), f, nil, func(b *device.Buffer) error {
			if b.DriverSeq != want.seq || b.Stale != want.stale || b.Data[0] != byte(want.seq) {
				t.Errorf("got picture %d with %d stale ones, want %+v", b.DriverSeq, b.Stale, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		put(f, 9)
	}
}

func TestNextGivesWhatEndsIt(t *testing.T) {
	mine, cause, over := errors.New("mine"), errors.New("cause"), errors.New("over")
	f := New()
	put(f, 1)
	if err := next(t.Context(), f, nil, func(*device.Buffer) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v, want the error of use", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := next(ctx, f, nil, ignore); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	closed := make(chan struct{})
	close(closed)
	if err := next(t.Context(), f, closed, ignore); !errors.Is(err, device.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	put(f, 2)
	f.End(over)
	f.End(mine)
	if err := next(t.Context(), f, nil, ignore); err != nil {
		t.Errorf("got %v, want the last picture", err)
	}
	for range 2 {
		if err := next(t.Context(), f, nil, ignore); !errors.Is(err, over) {
			t.Errorf("got %v, want the first end", err)
		}
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		done := make(chan error, 1)
		go func() { done <- next(t.Context(), f, nil, ignore) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("returned without a picture: %v", err)
		default:
		}
		put(f, 1)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPutWaitLosesNothing(t *testing.T) {
	f := New()
	const pictures = 1000
	var reader sync.WaitGroup
	reader.Go(func() {
		for n := range uint32(pictures) {
			p := f.Blank()
			p.Buffer.DriverSeq = n
			if !f.PutWait(p, nil) {
				t.Error("gave up")
			}
		}
		f.End(device.ErrEnded)
	})
	number := uint32(0)
	for {
		err := next(t.Context(), f, nil, func(b *device.Buffer) error {
			if b.DriverSeq != number || b.Stale != 0 {
				t.Errorf("got picture %d with %d stale ones, want %d", b.DriverSeq, b.Stale, number)
			}
			number++
			return nil
		})
		if err != nil {
			break
		}
	}
	reader.Wait()
	if number != pictures {
		t.Errorf("got %d pictures, want %d", number, pictures)
	}
}

func TestPutWaitEndsWithQuit(t *testing.T) {
	f := New()
	quit := make(chan struct{})
	close(quit)
	put(f, 1)
	p := f.Blank()
	if f.PutWait(p, quit) {
		t.Error("replaced a picture that nobody took")
	}
	f.Drop(p)
}

func TestPictureThatIsHeldIsLeftAloneUntilItsRelease(t *testing.T) {
	f := New()
	var releases []func()
	var kept [][]byte
	take := func(hold bool) {
		t.Helper()
		err := next(t.Context(), f, nil, func(b *device.Buffer) error {
			release, ok := b.Hold()
			if ok != hold {
				t.Errorf("picture %d: hold gave %v, want %v", b.DriverSeq, ok, hold)
			}
			if ok {
				releases, kept = append(releases, release), append(kept, b.Data)
				if _, again := b.Hold(); again {
					t.Error("held twice")
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	n := uint32(0)
	for range maxHeld {
		n++
		put(f, n)
		take(true)
	}
	for range 10 { // more than there are
		n++
		put(f, n)
		take(false)
	}
	for i, data := range kept {
		if data[0] != byte(i+1) {
			t.Errorf("picture %d was overwritten by %d", i+1, data[0])
		}
	}
	releases[0]()
	releases[0]() // no effect
	put(f, 99)
	take(true)
}

func TestReleaseMayComeWhileThePictureIsLent(t *testing.T) {
	f := New()
	for range 3 * maxHeld {
		put(f, 7)
		err := next(t.Context(), f, nil, func(b *device.Buffer) error {
			release, ok := b.Hold()
			if !ok {
				t.Fatal("not held")
			}
			release()
			put(f, 8)
			if b.Data[0] != 7 {
				t.Error("overwritten while lent")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := next(t.Context(), f, nil, ignore); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.free) > 3 {
		t.Errorf("%d pictures were made, want 3 at most", len(f.free))
	}
}

func TestHandingOverAllocatesNothing(t *testing.T) {
	f := New()
	ctx := t.Context()
	use := func(b *device.Buffer) error {
		if release, ok := b.Hold(); ok {
			release()
		}
		return nil
	}
	step := func() {
		put(f, 1)
		put(f, 2)
		if err := next(ctx, f, nil, use); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if got := testing.AllocsPerRun(100, step); got > 0 {
		t.Errorf("%v allocations per picture", got)
	}
}

func TestLifeExplainsAndEndsContexts(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	l := NewLife("x:0")
	cause := errors.New("cause")
	named := &device.OpError{Op: "read", Path: "y"}
	ctx, cancel := context.WithCancelCause(t.Context())
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", l.Explain(ctx, "start", cause), "start x:0: cause"},
		{"named", l.Explain(ctx, "start", named), "read y"},
		{"fine", l.Check(ctx, "start"), ""},
		{"not started", l.NotStarted("next"), "next x:0: not started"},
		{"started", l.Started("start"), "start x:0: already started"},
	} {
		if got := text(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	until, release := l.Until(ctx)
	release()
	if until.Err() == nil {
		t.Error("context goes on after its release")
	}
	until, release = l.Until(ctx)
	l.Close()
	l.Close()
	select {
	case <-until.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("context goes on after Close")
	}
	if !errors.Is(context.Cause(until), device.ErrClosed) || !l.IsClosed() {
		t.Errorf("got %v, want ErrClosed", context.Cause(until))
	}
	release()
	if err := l.Explain(ctx, "start", cause); !errors.Is(err, device.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	cancel(cause)
	if err := NewLife("x").Check(ctx, "start"); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines, before %d", now, goroutines)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// BenchmarkHandOver is what the mailbox itself costs per picture.
//
//	go test -bench HandOver -benchmem -run '^$' ./device/feed
func BenchmarkHandOver(b *testing.B) {
	f := New()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		f.Put(f.Blank())
		if err := next(ctx, f, nil, ignore); err != nil {
			b.Fatal(err)
		}
	}
}
