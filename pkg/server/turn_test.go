package server

import (
	"testing"
	"time"
)

// TestPublisherNeverWaitsForAnotherSender publishes while somebody else has the
// turn to send.
func TestPublisherNeverWaitsForAnotherSender(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("1"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	eventually(t, "it is a viewer", func() bool { return len(r.Stream().Viewers) == 1 })
	r.fan.turn.Lock()
	published := make(chan struct{})
	go func() {
		defer close(published)
		r.hub.Publish(picture("2"))
	}()
	select {
	case <-published:
	case <-time.After(10 * time.Second):
		t.Error("Publish waits")
	}
	r.fan.turn.Unlock()
	if p := v.next(t); string(p.Data) != "2" {
		t.Errorf("got %q, want the picture that was published meanwhile", p.Data)
	}
}

// TestPictureIsSentToTheRestWhenThePublishersTimeIsOver lets a round end before it
// has begun.
func TestPictureIsSentToTheRestWhenThePublishersTimeIsOver(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("1"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	eventually(t, "it is a viewer", func() bool { return len(r.Stream().Viewers) == 1 })
	f := r.fan
	f.turn.Lock()
	r.hub.Publish(picture("2")) // cannot have the turn
	f.now = time.Now()
	if f.round(f.main, f.now.Add(-time.Second)) {
		t.Error("a round without time says that it is done")
	}
	if n := f.main.all[0].frames.Load(); n != 1 {
		t.Errorf("%d pictures were sent, want 1", n)
	}
	f.turn.Unlock()
	if p := v.next(t); string(p.Data) != "2" {
		t.Errorf("got %q", p.Data)
	}
}

// TestViewerWithoutRoomGetsTheNewestPictureLater lets the kernel refuse pictures
// altogether, which must not be sent when they are old.
func TestViewerWithoutRoomGetsTheNewestPictureLater(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("1"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	eventually(t, "it is a viewer", func() bool { return len(r.Stream().Viewers) == 1 })
	big := make([]byte, 50_000)
	stuck := func() bool {
		viewers := r.Stream().Viewers
		return len(viewers) == 1 && viewers[0].FramesBehind >= 3
	}
	eventually(t, "it is stuck", func() bool {
		r.hub.Publish(picture(string(big)))
		return stuck()
	})
	frames := r.Stream().Viewers[0].Frames
	r.hub.Publish(picture("the newest"))
	old := uint64(0)
	for string(v.next(t).Data) != "the newest" {
		old++
	}
	if taken := frames - 1; old > taken+1 {
		t.Errorf("%d old pictures came, the kernel had %d and at most a part of another one", old, taken)
	}
	eventually(t, "all are accounted for", func() bool {
		viewers := r.Stream().Viewers
		return len(viewers) == 1 && viewers[0].Frames+viewers[0].Dropped == r.hub.Latest().Seq
	})
}
