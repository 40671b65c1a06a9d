//go:build labguest

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestNoPictureThatTheDriverDeliversIsLost runs a USB camera at 1920x1080 and
// 30 pictures per second and compares the driver's own numbers with what is
// published.
//
// One loss is meant, and counted: when a picture is ready before the daemon has
// looked at the last one, only the newer one is shown. On a machine that has
// the processor for it that does not happen. An emulated one may stand still for
// longer than the time between two pictures, so lower rates are tried then, and
// the fastest without any loss is said. A loss that is not counted is an error
// at every rate.
func TestNoPictureThatTheDriverDeliversIsLost(t *testing.T) {
	duration := 8 * time.Second
	if full() {
		duration = 30 * time.Second
	}
	rates := []int{30}
	if emulated() {
		rates = []int{30, 15, 5}
	}
	kernel := newTrace(t)
	c := plugIn(t)
	d := serve(t, c.id, "--resolution", "1920x1080", "--framerate", "30")
	v := watch(t, d, readRaw)
	v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
	var a account
	for _, fps := range rates {
		settled := c.tell(t, fmt.Sprintf("fps %d", fps)).Add(time.Second)
		v.await(t, settled, limit(5*time.Second), "a picture at that rate", part.live)

		before := d.counters(t)
		stop := kernel.record(t)
		began := time.Now()
		v.await(t, began, duration+limit(5*time.Second), "the end of the measurement", func(p part) bool { return p.at.Sub(began) >= duration })
		deliveries := stop()
		after := d.counters(t)
		if after["opens"] != before["opens"] {
			t.Logf("%d per second asked: void, the machine stood still so long that the camera was opened anew", fps)
			a = account{}
			continue
		}
		a = audit(t, deliveries, v.seen())
		counted := int(after["dropped_stale"] - before["dropped_stale"])
		t.Logf("%d per second asked, %.2f delivered: %v; the daemon says %d were overtaken", fps, a.fps, a, counted)
		if a.lost > counted {
			t.Errorf("%d pictures of %d were lost, but only %d counted", a.lost, a.delivered, counted)
		}
		if a.lost == 0 {
			return
		}
	}
	// Chosen: more than a busy host does to an emulated machine.
	if !emulated() || a.lost*4 > a.delivered {
		t.Errorf("%d of %d pictures were lost even at %d per second", a.lost, a.delivered, rates[len(rates)-1])
	}
}

// account is where the pictures of a measurement went.
type account struct {
	fps       float64
	delivered int // by the driver, from the first one shown to the last
	gaps      int // numbers that the driver used and did not deliver
	shown     int // to the viewer
	missed    int // published, and gone before the viewer had room for them
	lost      int // not published
}

func (a account) String() string {
	return fmt.Sprintf("%d by the driver (which skipped %d numbers), %d shown, %d missed by the viewer, %d lost",
		a.delivered, a.gaps, a.shown, a.missed, a.lost)
}

// audit compares what the driver delivered with what was published, of which a
// viewer's parts tell the number.
func audit(t *testing.T, all []delivery, seen []part) account {
	t.Helper()
	shown := map[uint64]bool{} // by number of publication; false for a placeholder
	for _, p := range seen {
		shown[p.sequence] = p.live()
		if p.live() && p.err != nil {
			t.Errorf("picture %d arrived spoilt: %v", p.number, p.err)
		}
	}
	if len(all) < 2*edge {
		t.Fatalf("the driver delivered %d pictures", len(all))
	}
	from, first := meet(t, all[:edge], seen)
	to, last := meet(t, all[len(all)-edge:], seen)
	to += len(all) - edge
	a := account{delivered: to - from + 1}
	published := int(last.sequence-first.sequence) + 1
	for n := first.sequence; n <= last.sequence; n++ {
		switch live, there := shown[n]; {
		case there && live:
			a.shown++
		case there: // the machine stood still for so long that the camera was called silent
			published--
		}
	}
	a.missed, a.lost = published-a.shown, a.delivered-published
	numbers := all[to].sequence - all[from].sequence
	a.gaps = int(numbers) + 1 - a.delivered
	a.fps = float64(numbers) / (all[to].taken - all[from].taken).Seconds()
	return a
}

// edge is how many pictures at each end of a measurement are searched for one
// that is surely the same here and there.
const edge = 10

// meet finds the picture whose times, as the driver and as the daemon know
// them, are closest together. They are equal but for the translation between two
// clocks, at which the daemon may be interrupted.
func meet(t *testing.T, all []delivery, seen []part) (index int, p part) {
	t.Helper()
	ahead := wallClock(t)
	closest := time.Hour
	for i, n := range all {
		for _, s := range seen {
			if apart := s.taken.Sub(time.Unix(0, int64(n.taken+ahead))).Abs(); s.live() && apart < closest {
				closest, index, p = apart, i, s
			}
		}
	}
	if closest > time.Millisecond {
		t.Fatalf("none of %d delivered pictures was seen; the closest two are %s apart", len(all), closest)
	}
	return index, p
}
