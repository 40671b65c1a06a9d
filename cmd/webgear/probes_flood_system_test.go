//go:build system

package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownFiles has this process open so many.
func ownFiles(t *testing.T, n uint64) {
	t.Helper()
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	if own.Cur >= n {
		return
	}
	own.Cur, own.Max = n, max(own.Max, n)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatalf("this test needs %d descriptors: %v", n, err)
	}
}

// goroutines asks how many there are.
func (p *stranger) goroutines(t *testing.T, as tweak) int {
	t.Helper()
	var state struct {
		Goroutines int `json:"goroutines"`
	}
	a := p.ask(t, http.MethodGet, "/state", as)
	if err := json.Unmarshal(a.body, &state); err != nil || state.Goroutines == 0 {
		t.Fatalf("state: %d %v", a.status, err)
	}
	return state.Goroutines
}

// rate takes pictures until it is enough, and says how many a second there were.
func (v *viewer) rate(enough func(since time.Duration) bool) float64 {
	v.t.Helper()
	first := v.until("a picture", live)
	count := 0
	last := v.until("more pictures", func(p picture) bool { count++; return enough(p.got.Sub(first.got)) })
	return float64(count) / last.got.Sub(first.got).Seconds()
}

// skip forgets what came up to now.
func (v *viewer) skip() {
	for len(v.pictures) > 0 {
		<-v.pictures
	}
}

// flood opens thousands of connections that are worth nothing.
func (s *siege) flood(t *testing.T) {
	t.Helper()
	// Each takes all the room there is, which is 2048 connections to a listener.
	host := "Host: " + s.addr + "\r\n\r\n"
	admin := basic("admin", adminPassword)
	p := s.stranger(t)
	goroutines, files := p.goroutines(t, admin), s.daemon.files(t)
	t.Run("idle connections: 3000 that had an answer for everybody disturb nobody", func(t *testing.T) {
		s.crowd(t, s.addr, 3000, "GET /healthz HTTP/1.1\r\n"+host, "GET /state HTTP/1.1\r\n"+host, "GET /sign-in HTTP/1.1\r\n"+host, "GET /ui/ui.css HTTP/1.1\r\n"+host)
	})
	t.Run("half-open connections: 10000 disturb nobody", func(t *testing.T) {
		s.crowd(t, s.addr, 10000, "GET /video HTTP/1.1\r\nHost: a", "", "POST /sign-in HTTP/1.1\r\nContent-Length: 60000\r\n"+host)
	})
	t.Run("half-open connections: 3000 that begin to encrypt disturb nobody", func(t *testing.T) {
		s.crowd(t, s.secure, 3000, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", "\x16", "GET / HTTP/1.1\r\n")
	})
	t.Run("connections: nothing is left of them", func(t *testing.T) {
		// The HTTP library keeps idle goroutines for ten seconds.
		within(t, 40*time.Second, "all are forgotten", func() bool {
			return s.daemon.files(t) <= files+8 && p.goroutines(t, admin) <= goroutines+8
		})
	})
}

// crowd opens connections from several addresses that say one thing or another,
// and looks how those are served meanwhile who may watch.
func (s *siege) crowd(t *testing.T, at string, many int, say ...string) {
	t.Helper()
	const hosts = 8
	ownFiles(t, uint64(many+2000))
	admin := basic("admin", adminPassword)
	v := s.stranger(t).watch(t, admin)
	v.next(5)
	usual := v.rate(func(since time.Duration) bool { return since >= 2*time.Second })
	v.skip()
	conns := make(chan net.Conn, many)
	var wg sync.WaitGroup
	begun := time.Now()
	for range hosts {
		from := s.street.address(t)
		wg.Go(func() {
			_ = abroad(s.street.enter, func() error { // who cannot connect is counted
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 5 * time.Second}
				for i := range many / hosts {
					c, err := d.DialContext(t.Context(), "tcp", at)
					if err != nil {
						continue
					}
					_, _ = io.WriteString(c, say[i%len(say)]) // it may be refused
					conns <- c
				}
				return nil
			})
		})
	}
	cut := sync.OnceFunc(func() {
		wg.Wait()
		close(conns)
		for c := range conns {
			_ = c.Close()
		}
	})
	t.Cleanup(cut)
	var waits []time.Duration
	newcomer := func() {
		t.Helper()
		p := s.stranger(t)
		since := time.Now()
		url := "http://" + at + "/video"
		if at == s.secure {
			url = "https://" + at + "/video"
		}
		if a := p.askAt(t, http.MethodGet, url, admin); a.status != http.StatusOK || !isPicture(a.body) {
			t.Errorf("a newcomer: %d", a.status)
		}
		waits = append(waits, time.Since(since))
	}
	newcomer() // while they come
	newcomer()
	wg.Wait()
	took := time.Since(begun)
	for range 3 { // while they are there
		newcomer()
	}
	made := len(conns)
	meanwhile := v.rate(func(time.Duration) bool { return len(v.pictures) == 0 })
	t.Logf("%d connections in %v; first pictures after %v; %.1f pictures per second, %.1f before", made, took.Round(time.Millisecond), waits, meanwhile, usual)
	if meanwhile < 0.9*usual {
		t.Errorf("%.1f pictures per second, %.1f before", meanwhile, usual)
	}
	if made < many*9/10 {
		t.Errorf("only %d connections could be made", made)
	}
	late := 0
	for _, w := range waits {
		if w > time.Second {
			late++
		}
	}
	if late > 1 { // the computer of the test may be busy otherwise
		t.Errorf("first pictures took %v, want a second", waits)
	}
	s.runs(t)
	cut()
	v.next(2)
}
