package server

import (
	"testing"
	"time"
	"unsafe"

	"github.com/webgear-pi/webgear/pkg/fanout"
)

// jumped is the same moment after somebody set the clock: another time of day, the
// same reading of the monotonic clock. The seconds of a time.Time that has one
// begin at bit 30 of its first word.
func jumped(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(int64(by/time.Second) << 30)
	return t
}

func TestSettingTheClockDisturbsNoViewer(t *testing.T) {
	came := time.Now()
	if d := jumped(came, time.Hour).Sub(came); d != 0 {
		t.Fatalf("the trick of this test does not work: %v", d)
	}
	for name, jump := range map[string]time.Duration{"back": -30 * 24 * time.Hour, "ahead": 30 * 24 * time.Hour, "not": 0} {
		v := &viewer{since: came, pace: pace{interval: time.Second}}
		v.pace.took(came)
		v.wants.Store(v.nextMoment())
		r := &rendition{viewers: map[*viewer]struct{}{v: {}}, feed: feed{hub: fanout.New()}, source: fanout.New()}
		if r.wanted(jumped(came.Add(200*time.Millisecond), jump)) {
			t.Errorf("clock set %s: a picture too early", name)
		}
		if !r.wanted(jumped(came.Add(600*time.Millisecond), jump)) {
			t.Errorf("clock set %s: no picture any more", name)
		}
		f := picture("x")
		f.PublishedAt = came.Add(time.Second)
		v.took(f, came.Add(time.Second))
		v.handed(f, jumped(came.Add(1030*time.Millisecond), jump))
		if got := time.Duration(v.lag.last.Load()); got != 30*time.Millisecond {
			t.Errorf("clock set %s: a lag of %v, want 30 ms", name, got)
		}
	}
}
