package fanout

import (
	"sync"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func TestFollowersAreCalledWhenTheFrameIsThere(t *testing.T) {
	h := New()
	sub := h.Subscribe()
	defer sub.Close()
	var got []uint64
	ended := false
	stop := h.Follow(func() {
		f, final, err := sub.Take()
		if err != nil || f == nil {
			t.Fatalf("called without a frame: %v", err)
		}
		got = append(got, f.Seq)
		ended = final
	})
	other := 0
	stopOther := h.Follow(func() { other++ })
	h.Publish(&device.Frame{})
	stopOther()
	stopOther()
	h.Publish(&device.Frame{})
	h.Close(&device.Frame{})
	h.Publish(&device.Frame{})
	if len(got) != 3 || got[2] != 3 || !ended || sub.Dropped() != 0 {
		t.Errorf("got frames %v, ended %v, %d dropped", got, ended, sub.Dropped())
	}
	if other != 1 {
		t.Errorf("the one that stopped was called %d times", other)
	}
	stop()
}

// TestFollowersMayStopAndUseTheHubWhileTheyAreCalled would lock up if the hub were
// locked meanwhile.
func TestFollowersMayStopAndUseTheHubWhileTheyAreCalled(t *testing.T) {
	h := New()
	calls := 0
	var stop func()
	stop = h.Follow(func() {
		calls++
		stop()
		_ = h.Latest()
		h.Follow(func() { calls += 10 })
	})
	h.Publish(&device.Frame{})
	h.Publish(&device.Frame{})
	if calls != 11 {
		t.Errorf("calls add up to %d, want 11", calls)
	}
}

func TestFollowingAndStoppingBesideThePublisher(t *testing.T) {
	h := New()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				h.Follow(func() {})()
			}
		})
	}
	for range 500 {
		h.Publish(&device.Frame{})
	}
	wg.Wait()
	if len(h.followers) != 0 {
		t.Errorf("%d followers are left", len(h.followers))
	}
}

// TestPublishingToNobodyDoesNotAllocate holds the cost of a frame that nobody
// waits for, with somebody who follows and without.
func TestPublishingToNobodyDoesNotAllocate(t *testing.T) {
	h := New()
	f := &device.Frame{}
	for _, who := range []string{"nobody", "a follower"} {
		if n := testing.AllocsPerRun(100, func() { h.Publish(f) }); n != 0 {
			t.Errorf("%s: %v allocations", who, n)
		}
		h.Follow(func() {})
	}
}
