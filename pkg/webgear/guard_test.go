package webgear

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/auth"
)

func TestGuardAndRedirectReachTheServer(t *testing.T) {
	store, err := auth.OpenStore(auth.StoreOptions{System: auth.System{SinceBoot: func() time.Duration { return time.Minute }}})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := auth.New(auth.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	none := func(context.Context) (device.Camera, error) { return nil, device.ErrUnplugged }
	for port, want := range map[int]int{0: http.StatusForbidden, 8443: http.StatusPermanentRedirect} {
		g, err := New(Options{Settings: DefaultSettings(), Open: none, Home: t.TempDir(), Guard: guard, RedirectHTTPS: port})
		if err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/state", http.NoBody)
		request.Host = "cam"
		resp, err := g.App().Test(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("port %d: %s", port, resp.Status)
		}
	}
}
