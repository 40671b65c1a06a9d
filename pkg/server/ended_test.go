package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// soon is how long a viewer may go on without the right to. The race detector on a
// busy computer is not to fail this, so it is more than the second of the promise.
const soon = 3 * time.Second

// endsSoon waits for the end of a stream, and returns what came last.
func endsSoon(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("still running after %s", soon)
	}
	return string(rest)
}

func TestStreamEndsWithTheRightToIt(t *testing.T) {
	for name, tc := range map[string]struct {
		// begin returns what to ask for, and what takes the right away.
		begin func(t *testing.T, g *guarded) (path, field string, end func() error)
	}{
		"signed out": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			return "/video", g.eve, func() error { g.form(t, "/sign-out", "", g.eve); return nil }
		}},
		"another password": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			return "/video", basic("eve", evePassword), func() error {
				return g.guard.Store().SetHash(t.Context(), "eve", auth.Nobody, cheap("something else"))
			}
		}},
		"account removed": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			return "/stream", g.eve, func() error { return g.guard.Store().RemoveAccount(t.Context(), "eve") }
		}},
		"signed out everywhere": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			return "/?action=stream", g.eve, func() error { return g.guard.Store().EndSessions(t.Context(), "eve") }
		}},
		"token revoked": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			id, field := g.token(t, "x", auth.Viewer)
			return "/video", field, func() error { return g.guard.Store().RevokeToken(t.Context(), id) }
		}},
		"links revoked": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			return g.link(t, "/video"), "X: y", func() error { return g.guard.Store().RevokeLinks(t.Context()) }
		}},
		"link is over": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			query, _, err := g.guard.Store().SignLink("/video", 2*time.Second)
			return "/video?" + query, "X: y", func() error { return err }
		}},
		"of a rendition": {func(t *testing.T, g *guarded) (string, string, func() error) {
			t.Helper()
			id, field := g.token(t, "x", auth.Viewer)
			return "/video?quality=50", field, func() error { return g.guard.Store().RevokeToken(t.Context(), id) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := claimed(t, auth.Options{}, Options{Rendition: func(int, int) (Rendition, error) { return plainRendition{}, nil }})
			path, field, end := tc.begin(t, g)
			g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
			mine := watch(t, g.addr, "GET "+path+" HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n")
			mine.next(t)
			other := watch(t, g.addr, "GET /video HTTP/1.1\r\nHost: cam\r\n"+g.admin+"\r\n\r\n")
			other.next(t)
			g.viewing(t, 2)
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if rest := endsSoon(t, mine.conn); !strings.HasSuffix(rest, "\r\n--frame--\r\n") {
				t.Errorf("it ends with %q", rest)
			}
			eventually(t, "it is counted", func() bool { return g.figures.barred.Load() == 1 })
			g.hub.Publish(picture("\xff\xd8two\xff\xd9"))
			if got := string(other.next(t).Data); got != "\xff\xd8two\xff\xd9" {
				t.Errorf("the other one got %q", got)
			}
			if a := g.ask(t, "GET", "/metrics", "", g.admin); !strings.Contains(a.body, `webgear_viewers_ended_total{cause="access_ended"} 1`) {
				t.Error("the metrics do not say so")
			}
		})
	}
}

func TestEndIsInOrderBetweenPictures(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	id, field := g.token(t, "x", auth.Viewer)
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	v := watch(t, g.addr, "GET /video HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n")
	v.next(t)
	g.viewing(t, 1)
	if err := g.guard.Store().RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p, err := v.parts.Next()
	for err == nil && len(p.Data) == 0 {
		p, err = v.parts.Next()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("after the last picture: %q, %v", p.Data, err)
	}
}

func TestViewersWhoReadNothingAreEndedToo(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	id, field := g.token(t, "x", auth.Viewer)
	conn := dial(t, g.addr)
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /video HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is stuck", func() bool {
		g.hub.Publish(picture(strings.Repeat("x", 4<<20)))
		g.fan.turn.Lock()
		defer g.fan.turn.Unlock()
		return g.fan.stuck == 1
	})
	if err := g.guard.Store().RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return len(g.Stream().Viewers) == 0 && g.figures.barred.Load() == 1 })
}

func TestEncryptedStreamEndsWithTheRightToIt(t *testing.T) {
	for name, big := range map[string]bool{"idle": false, "in the middle of a picture": true} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			g := guardedOn(t, &worthListener{tls.NewListener(ln, config)}, auth.Options{}, Options{})
			if err := g.guard.Store().SetHash(t.Context(), "admin", auth.Admin, cheap(adminPassword)); err != nil {
				t.Fatal(err)
			}
			id, field := g.token(t, "x", auth.Viewer)
			data := "\xff\xd8one\xff\xd9"
			if big {
				data = strings.Repeat("x", 16<<20)
			}
			g.hub.Publish(picture(data))
			conn := tls.Client(dial(t, g.addr), &tls.Config{InsecureSkipVerify: true})
			if _, err := io.WriteString(conn, "GET /video HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "somebody watches", func() bool {
				all := g.Stream().Viewers
				return len(all) == 1 && (big || all[0].Frames == 1)
			})
			if err := g.guard.Store().RevokeToken(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if big { // it does not read
				eventually(t, "it is gone", func() bool { return len(g.Stream().Viewers) == 0 })
			} else if rest := endsSoon(t, conn); !strings.HasSuffix(rest, "\r\n--frame--\r\n") {
				t.Errorf("it ends with %q", rest)
			}
			eventually(t, "it is counted", func() bool { return g.figures.barred.Load() == 1 })
		})
	}
}

// worthListener is one for others whose connections are of package tls.
type worthListener struct{ net.Listener }

func (worthListener) Trust() auth.Trust { return auth.Network }

// A stream that another server lends is under the same rules.
func TestMountedStreamIsGuarded(t *testing.T) {
	hub := newRigHub()
	lent, err := New(Options{Hub: hub})
	if err != nil {
		t.Fatal(err)
	}
	g, stop := mountedOn(t, lent)
	hub.Publish(picture("\xff\xd8two\xff\xd9"))
	if a := g.ask(t, "GET", "/video2", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: %s", a.Status)
	}
	a := g.ask(t, "GET", g.link(t, "/video2"), "")
	if a.StatusCode != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("by a link: %s %v", a.Status, a.Header)
	}
	id, field := g.token(t, "x", auth.Viewer)
	v := watch(t, g.addr, "GET /video2 HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n")
	v.next(t)
	if err := g.guard.Store().RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	endsSoon(t, v.conn)
	eventually(t, "it is counted", func() bool { return lent.figures.barred.Load() == 1 })
	stop()
}

// A viewer who leaves before the stream began gives back what was kept for it.
func TestConnectionsThatBreakGiveTheirPlaceBack(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{Limits: Limits{MaxViewers: 4}})
	_, field := g.token(t, "x", auth.Viewer)
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	pipelined := strings.Repeat("GET /snapshot HTTP/1.1\r\nHost: cam\r\n"+field+"\r\n\r\n", 20) + "GET /video HTTP/1.1\r\nHost: cam\r\n" + field + "\r\n\r\n"
	for range 40 {
		conn := dial(t, g.addr)
		if _, err := io.WriteString(conn, pipelined); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close() // with a reset
	}
	eventually(t, "all places are free", func() bool {
		g.viewers.mu.Lock()
		defer g.viewers.mu.Unlock()
		return g.viewers.admitted == 0
	})
	g.conns.mu.Lock()
	defer g.conns.mu.Unlock()
	if len(g.conns.due) != 0 {
		t.Errorf("%d viewers are still to come", len(g.conns.due))
	}
}

func TestPlaceIsGivenBackWhenTheLibraryGivesUp(t *testing.T) {
	var cs connections
	a, b := net.Pipe()
	undone := 0
	cs.expect(a, func() { undone++ })
	cs.expect(b, func() { undone += 10 })
	cs.arrived(b)
	cs.track(a, 4) // closed
	cs.track(b, 4)
	cs.track(a, 4)
	if undone != 1 {
		t.Error(fmt.Sprint("undone ", undone))
	}
	_, _ = a.Close(), b.Close()
}
