package server

import (
	"testing"
	"time"
)

func TestRateFollowsTheFrames(t *testing.T) {
	var r rate
	at := time.Unix(1e9, 0)
	if got := r.perSecond(at); got != 0 {
		t.Errorf("before the first frame: %v", got)
	}
	for range 100 {
		r.count(at)
		at = at.Add(40 * time.Millisecond)
	}
	if got := r.perSecond(at); got != 25 {
		t.Errorf("at 25 frames per second: %v", got)
	}
	for range 4 {
		r.count(at)
		at = at.Add(time.Second)
	}
	if got := r.perSecond(at); got != 1 {
		t.Errorf("at 1 frame per second: %v", got)
	}
	if got := r.perSecond(at.Add(9 * time.Second)); got != 0.1 {
		t.Errorf("10 s after the last frame: %v", got)
	}
}
