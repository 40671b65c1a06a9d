package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestGoroutinesEndWithTheirViewers(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture(strings.Repeat("x", 1000)))
	raw(t, r.addr, "GET /state HTTP/1.1")
	eventually(t, "the request is over", func() bool { return len(ourGoroutines()) == baseGoroutines })
	for range 200 {
		v := watch(t, r.addr, getVideo)
		v.next(t)
		_ = v.conn.Close()
	}
	eventually(t, "200 viewers are gone", func() bool {
		return len(r.Stream().Viewers) == 0 && len(ourGoroutines()) == baseGoroutines
	})
	if s := r.Stream(); s.ViewersTotal != 200 {
		t.Errorf("%d viewers in total", s.ViewersTotal)
	}
}

// baseGoroutines is what an idle server of these tests has: Run, the listener,
// and the fan with the one that watches its sockets.
const baseGoroutines = 4

func TestShutdownEndsHealthyViewersInOrderAndStalledOnesByForce(t *testing.T) {
	r := start(t, Options{})
	big := strings.Repeat("x", 2<<20) // more than the sockets of somebody hold who reads nothing
	r.hub.Publish(picture("first"))
	var healthy []*client
	for range 15 {
		v := watch(t, r.addr, getVideo)
		v.next(t)
		healthy = append(healthy, v)
	}
	for range 5 {
		watch(t, r.addr, getVideo)
	}
	idle := dial(t, r.addr) // says nothing at all
	keep := dial(t, r.addr) // waits for its next request
	if _, err := io.WriteString(keep, "GET /healthz HTTP/1.1\r\nHost: cam\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	half := dial(t, r.addr) // has begun one
	if _, err := io.WriteString(half, "GET /healthz HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	r.viewing(t, 20)
	var wg sync.WaitGroup
	ends := make([]string, len(healthy))
	for i, v := range healthy {
		wg.Go(func() {
			for {
				p, err := v.parts.Next()
				if err != nil {
					ends[i] += " " + err.Error()
					return
				}
				ends[i] = string(p.Data[:3])
			}
		})
	}
	r.hub.Publish(picture(big))
	eventually(t, "five are stuck", func() bool {
		n := 0
		for _, v := range r.Stream().Viewers {
			if v.Frames == 2 {
				n++
			}
		}
		return n == 15
	})
	took := r.stop()
	wg.Wait()
	t.Logf("20 viewers, 5 of them stalled: Run ended in %s", took)
	if took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	for i, end := range ends {
		if end != "bye EOF" {
			t.Errorf("healthy viewer %d: %q", i, end)
		}
	}
	for name, conn := range map[string]net.Conn{"idle": idle, "keep-alive": keep, "half": half} {
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s connection is still open", name)
		}
	}
}

func TestShutdownWithoutStalledViewersIsQuick(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("first"))
	for range 20 {
		v := watch(t, r.addr, getVideo)
		v.next(t)
		go func() { _, _ = io.Copy(io.Discard, v) }()
	}
	if took := r.stop(); took > 500*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

func TestShutdownWithoutTheHubClosedEndsViewersAfterTheGraceTime(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Hub: newHubWith(picture("x"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	v := watch(t, ln.Addr().String(), getVideo)
	v.next(t)
	began := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if _, err := v.parts.Next(); err == nil {
		t.Error("the stream goes on")
	}
}
