package server

import (
	"net/http"
	"testing"
)

func TestLimitsChangeWhileViewersStay(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("1"))
	first := watch(t, r.addr, getVideo)
	first.next(t)
	if err := r.SetLimits(Limits{MaxViewers: 1}); err != nil {
		t.Fatal(err)
	}
	if a := raw(t, r.addr, "GET /video HTTP/1.1"); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the second viewer got %d, want 503", a.StatusCode)
	}
	r.hub.Publish(picture("2"))
	first.next(t)
	if err := r.SetLimits(Limits{MaxViewers: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
	if err := r.SetLimits(Limits{}); err != nil {
		t.Fatal(err)
	}
	watch(t, r.addr, getVideo).next(t)
}
