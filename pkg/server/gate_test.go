package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/gate"
)

// startGated runs a server behind a gate.
func startGated(tb testing.TB, bounds gate.Options, wrap func(net.Listener) net.Listener) (*rig, *gate.Listener) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	bounds.Logger = slog.New(slog.DiscardHandler)
	g := gate.New(ln, bounds)
	return startOn(tb, wrap(g), Options{Limits: Limits{ViewerTimeout: 5 * time.Second}}), g
}

// awaitOpen waits until so many connections count.
func awaitOpen(tb testing.TB, g *gate.Listener, want int) {
	tb.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for {
		all, half := g.Open()
		if all == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%d connections count, %d of them half-open; want %d", all, half, want)
		}
	}
}

func TestAViewerBehindAGateCountsAsLongAsItWatches(t *testing.T) {
	certificate := certificate(t)
	for name, tt := range map[string]struct {
		wrap func(net.Listener) net.Listener
		tls  bool
	}{
		"bare": {func(ln net.Listener) net.Listener { return ln }, false},
		"tls": {func(ln net.Listener) net.Listener {
			return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := startGated(t, gate.Options{MaxConnections: 2}, tt.wrap)
			if tt.tls {
				r.client = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is our own
			}
			r.hub.Publish(picture("one"))
			v := r.watch(t, getVideo)
			if p, err := v.parts.Next(); err != nil || !bytes.Contains(p.Data, []byte("one")) {
				t.Fatalf("got %d bytes, %v", len(p.Data), err)
			}
			if all, half := g.Open(); all != 1 || half != 0 {
				t.Errorf("%d connections count, %d half-open; want the viewer", all, half)
			}
			var fast int
			r.fan.turn.Lock()
			fast = len(r.fan.byKey)
			r.fan.turn.Unlock()
			if want := map[bool]int{false: 1, true: 0}[tt.tls]; fast != want {
				t.Errorf("the fan has %d viewers, want %d", fast, want)
			}
			_ = v.conn.Close()
			awaitOpen(t, g, 0)
		})
	}
}

// TestHalfOpenConnectionsAreDisplacedInPeace has connections displaced at every
// moment of their life, which fasthttp must take as if their clients had left: it
// panics when it finds a connection closed.
func TestHalfOpenConnectionsAreDisplacedInPeace(t *testing.T) {
	r, g := startGated(t, gate.Options{MaxConnections: 8}, func(ln net.Listener) net.Listener { return ln })
	r.hub.Publish(picture("one"))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 150 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				request := "GET /state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
				if (i+n)%4 > 0 {
					request = request[:(i*150+n)%len(request)] // never whole
				}
				_, _ = io.WriteString(conn, request) // it may be displaced already
				if (i+n)%4 == 0 {
					_, _ = io.Copy(io.Discard, conn)
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	awaitOpen(t, g, 0)
	resp, err := http.Get("http://" + r.addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := g.Refused(); got.Displaced == 0 {
		t.Errorf("got %+v, want some displaced", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestOnlyThoseWhoMayLookKeepTheirConnections: what everybody can have is no reason to
// keep a connection while others find no room.
func TestOnlyThoseWhoMayLookKeepTheirConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := gate.New(networkListener{ln}, gate.Options{})
	g := guardedOn(t, at, auth.Options{}, Options{})
	for _, a := range []auth.Account{{Name: "admin", Role: auth.Admin, Hash: cheap(adminPassword)}, {Name: "eve", Role: auth.Viewer, Hash: cheap(evePassword)}} {
		if err := g.guard.Store().SetHash(t.Context(), a.Name, a.Role, a.Hash); err != nil {
			t.Fatal(err)
		}
	}
	eve := g.signIn(t, "eve", evePassword)
	awaitOpen(t, at, 0)
	for _, tt := range []struct {
		request string
		code    int
		keeps   bool
	}{
		{"GET /healthz", 200, false},
		{"GET /sign-in", 200, false},
		{"GET /ui/ui.css", 200, false},
		{"GET /state", 401, false},
		{"POST /api/v1/links", 401, false},
		{"GET /sign-in\n" + eve, 200, true},
		{"GET /state\n" + eve, 200, true},
		{"GET /nothing\n" + basic("eve", evePassword), 404, true},
		{"POST /api/v1/links\n" + basic("eve", evePassword), 403, false},
	} {
		line, fields, _ := strings.Cut(tt.request, "\n")
		conn := dial(t, g.addr)
		text := line + " HTTP/1.1\r\nHost: localhost\r\n"
		if fields != "" {
			text += fields + "\r\n"
		}
		if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		all, half := at.Open()
		if resp.StatusCode != tt.code || all != 1 || (half == 0) != tt.keeps {
			t.Errorf("%s: %d; %d connections, %d of them without worth", line, resp.StatusCode, all, half)
		}
		_ = conn.Close()
		awaitOpen(t, at, 0)
	}
}

// TestMetricsHaveConnections: one that is open and left, and the one that asks.
func TestMetricsHaveConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := gate.New(networkListener{ln}, gate.Options{MaxConnections: 2})
	r := guardedOn(t, at, auth.Options{Mode: auth.Open}, Options{})
	first := dial(t, r.addr)
	awaitOpen(t, at, 1)
	resp, err := http.Get("http://" + r.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	_ = first.Close()
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"webgear_connections 2\n", "webgear_connections_without_worth 1\n", `webgear_connections_refused_total{cause="displaced"} 0`, `webgear_connections_refused_total{cause="limit"} 0`} {
		if !strings.Contains(string(b), line) {
			t.Errorf("%q is missing in\n%s", line, b)
		}
	}
}
