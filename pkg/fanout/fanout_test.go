package fanout

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/webgear-pi/webgear/device"
)

func TestNextReturnsTheNewestAndCountsWhatWasMissed(t *testing.T) {
	h := New()
	s := h.Subscribe()
	defer s.Close()
	for range 3 {
		h.Publish(&device.Frame{})
	}
	f, final, err := s.Next(t.Context())
	if err != nil || final || f.Seq != 3 {
		t.Fatalf("got frame %+v, final %v, %v; want the third", f, final, err)
	}
	if s.Dropped() != 0 {
		t.Errorf("frames from before the first Next count as dropped: %d", s.Dropped())
	}
	for range 5 {
		h.Publish(&device.Frame{})
	}
	if f, _, _ = s.Next(t.Context()); f.Seq != 8 || s.Dropped() != 4 {
		t.Errorf("got frame %d with %d dropped, want 8 and 4", f.Seq, s.Dropped())
	}
}

func TestFrameThatWasGivenBackComesAgainOrCountsAsDropped(t *testing.T) {
	h := New()
	s := h.Subscribe()
	defer s.Close()
	take := func(want, dropped uint64) {
		t.Helper()
		if f, _, err := s.Take(); err != nil || f == nil || f.Seq != want || s.Dropped() != dropped {
			t.Fatalf("got %+v, %v with %d dropped, want frame %d and %d", f, err, s.Dropped(), want, dropped)
		}
	}
	h.Publish(&device.Frame{})
	take(1, 0)
	s.GiveBack()
	take(1, 0)
	for range 3 {
		h.Publish(&device.Frame{})
	}
	take(4, 2)
	s.GiveBack()
	take(4, 2)
	s.GiveBack()
	h.Close(&device.Frame{})
	take(5, 3)
	s.GiveBack()
	if f, final, err := s.Take(); err != nil || !final || f == nil {
		t.Errorf("the final frame did not come again: %+v, %v", f, err)
	}
}

func TestNextWaitsForANewerFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		s := h.Subscribe()
		defer s.Close()
		got := make(chan *device.Frame)
		go func() {
			for range 2 {
				f, _, _ := s.Next(t.Context())
				got <- f
			}
		}()
		first, second := &device.Frame{}, &device.Frame{}
		for _, f := range []*device.Frame{first, second} {
			synctest.Wait()
			select {
			case <-got:
				t.Fatal("Next returned without a new frame")
			default:
			}
			h.Publish(f)
			if g := <-got; g != f {
				t.Fatalf("got %p, want the frame that was published, %p", g, f)
			}
		}
	})
}

func TestNextReturnsTheCauseOfTheContext(t *testing.T) {
	h := New()
	s := h.Subscribe()
	defer s.Close()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, _, err := s.Next(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestCloseDeliversTheLastFrameOnceAndThenErrClosed(t *testing.T) {
	h := New()
	s, late := h.Subscribe(), h.Subscribe()
	h.Publish(&device.Frame{})
	if _, final, err := s.Next(t.Context()); final || err != nil {
		t.Fatal("final before Close")
	}
	last := &device.Frame{}
	h.Close(last)
	h.Close(&device.Frame{})
	h.Publish(&device.Frame{})
	for name, s := range map[string]*Subscriber{"subscribed before": s, "late": late} {
		f, final, err := s.Next(t.Context())
		if f != last || !final || err != nil {
			t.Errorf("%s: got %p, final %v, %v; want the last frame %p", name, f, final, err, last)
		}
		if _, _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v after the last frame, want ErrClosed", name, err)
		}
	}
	if h.Latest() != last {
		t.Error("Latest is not the last frame")
	}
}

func TestCloseWithoutAFrameEndsWaitingSubscribers(t *testing.T) {
	h := New()
	s := h.Subscribe()
	h.Close(nil)
	if _, _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestReceivedAndDroppedAddUpToPublished(t *testing.T) {
	const readers, frames = 8, 20000
	h := New()
	var wg sync.WaitGroup
	for range readers {
		s := h.Subscribe()
		wg.Go(func() {
			defer s.Close()
			var received, first, last uint64
			for {
				f, final, err := s.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if f.Seq <= last {
					t.Errorf("frame %d after %d", f.Seq, last)
				}
				if first == 0 {
					first = f.Seq
				}
				last = f.Seq
				received++
				if final {
					break
				}
			}
			if received+s.Dropped() != last-first+1 || last != frames {
				t.Errorf("received %d, dropped %d, from frame %d to %d", received, s.Dropped(), first, last)
			}
		})
	}
	for range frames - 1 {
		h.Publish(&device.Frame{})
	}
	h.Close(&device.Frame{})
	wg.Wait()
	if n := h.Subscribers(); n != 0 {
		t.Errorf("%d subscribers left", n)
	}
}

func TestSubscriberIsCountedUntilClosedOnce(t *testing.T) {
	h := New()
	a, b := h.Subscribe(), h.Subscribe()
	a.Close()
	a.Close()
	if n := h.Subscribers(); n != 1 {
		t.Errorf("got %d subscribers, want 1", n)
	}
	b.Close()
}

func TestTakeNeverWaits(t *testing.T) {
	h := New()
	s := h.Subscribe()
	defer s.Close()
	if f, final, err := s.Take(); f != nil || final || err != nil {
		t.Errorf("before the first frame: got %+v, %v, %v", f, final, err)
	}
	h.Publish(&device.Frame{})
	h.Publish(&device.Frame{})
	if f, final, err := s.Take(); f == nil || f.Seq != 2 || final || err != nil {
		t.Errorf("got %+v, %v, %v; want the second frame", f, final, err)
	}
	if f, _, _ := s.Take(); f != nil {
		t.Errorf("got frame %d twice", f.Seq)
	}
	h.Close(nil)
	if _, _, err := s.Take(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestSkippedAndDroppedAreCountedApart(t *testing.T) {
	h := New()
	s := h.Subscribe()
	defer s.Close()
	publish := func(n int) {
		for range n {
			h.Publish(&device.Frame{})
		}
	}
	s.Skip() // nothing there
	publish(1)
	_, _, _ = s.Take()
	publish(1)
	s.Skip()
	s.Skip()
	publish(3)
	s.Skip()
	publish(3)
	f, _, _ := s.Take()
	if f.Seq != 8 || s.Skipped() != 2 || s.Dropped() != 4 {
		t.Errorf("frame %d, skipped %d, dropped %d; want 8, 2, 4", f.Seq, s.Skipped(), s.Dropped())
	}
	last := &device.Frame{}
	h.Close(last)
	s.Skip()
	if f, final, err := s.Take(); f != last || !final || err != nil {
		t.Errorf("the final frame was skipped: %+v, %v, %v", f, final, err)
	}
}

func TestChangedIsClosedByTheNextFrame(t *testing.T) {
	h := New()
	for name, change := range map[string]func(){
		"publish": func() { h.Publish(&device.Frame{}) },
		"again":   func() { h.Publish(&device.Frame{}) },
	} {
		ch := h.Changed()
		select {
		case <-ch:
			t.Fatalf("%s: closed before anything changed", name)
		default:
		}
		if ch != h.Changed() {
			t.Errorf("%s: two channels for one change", name)
		}
		change()
		<-ch
	}
	ch := h.Changed()
	h.Close(nil)
	<-ch
}

// TestPublishingToNobodyAllocatesNothing holds the cost of a picture that no one
// watches. The frame itself is its maker's.
func TestPublishingToNobodyAllocatesNothing(t *testing.T) {
	h := New()
	f := &device.Frame{}
	if n := testing.AllocsPerRun(1000, func() { h.Publish(f) }); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	// Subscribers that do not wait cost nothing either.
	s := h.Subscribe()
	defer s.Close()
	if n := testing.AllocsPerRun(1000, func() { h.Publish(f); _, _, _ = s.Take() }); n != 0 {
		t.Errorf("%v allocations per frame that is taken", n)
	}
}

// BenchmarkPublish: go test -bench Publish -benchmem ./pkg/fanout.
func BenchmarkPublish(b *testing.B) {
	h := New()
	f := &device.Frame{}
	b.ReportAllocs()
	for b.Loop() {
		h.Publish(f)
	}
}
