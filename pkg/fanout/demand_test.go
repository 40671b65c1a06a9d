package fanout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDemandTellsWhenSomebodyComesAndWhenTheLastOneLeaves(t *testing.T) {
	h := New()
	change := h.Demand()
	if h.Watched() || closed(change) {
		t.Fatal("a new hub is watched")
	}
	sub := h.Subscribe()
	if !h.Watched() || !closed(change) {
		t.Error("a subscription is no demand")
	}
	change = h.Demand()
	release := h.Want()
	sub.Close()
	sub.Close()
	if !h.Watched() || closed(change) {
		t.Error("one of two left, and that was told as a change")
	}
	release()
	release()
	if h.Watched() || !closed(change) {
		t.Error("the last one left, and nobody was told")
	}
}

func TestAfterWaitsForALivePictureThatIsNewEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		old := &device.Frame{CapturedAt: time.Now()}
		h.Publish(old)
		if f, err := h.After(t.Context(), old.CapturedAt); err != nil || f != old {
			t.Errorf("got %+v, %v, want the newest", f, err)
		}
		time.Sleep(time.Second)
		got := make(chan *device.Frame, 1)
		go func() {
			f, _ := h.After(t.Context(), time.Now())
			got <- f
		}()
		synctest.Wait()
		if !h.Watched() {
			t.Error("who waits does not count as a watcher")
		}
		h.Publish(&device.Frame{CapturedAt: time.Now(), Placeholder: "unplugged"})
		h.Publish(&device.Frame{CapturedAt: time.Now().Add(-time.Millisecond)})
		synctest.Wait()
		fresh := &device.Frame{CapturedAt: time.Now()}
		h.Publish(fresh)
		if f := <-got; f != fresh {
			t.Errorf("got %+v", f)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.After(ctx, time.Now().Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		h.Close(nil)
		if _, err := h.After(t.Context(), time.Now().Add(time.Hour)); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if h.Watched() {
			t.Error("a watcher was forgotten")
		}
	})
}
