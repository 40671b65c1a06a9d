package gate

import (
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scarce leaves the process so many descriptors until the test is over or more is
// called.
func scarce(t *testing.T, left int) (more func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	now := before
	now.Cur = uint64(len(entries) - 1 + left) // less the one that read the folder
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	more = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(more)
	return more
}

// waiting is a gate before a socket on which some have connected already.
func waiting(t *testing.T, clients int, say string) (r *rig, conns []net.Conn) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &rig{t: t, log: &syncBuffer{}}
	r.gate = New(ln, Options{Logger: slog.New(slog.NewTextHandler(r.log, nil))})
	t.Cleanup(func() { _ = r.gate.Close(); r.serving.Wait() }) // after the clients have left
	for range clients {
		conn := r.dial("127.0.0.2")
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return r, conns
}

// run serves until the end of the test.
func (r *rig) run() {
	r.serving.Go(func() {
		for {
			conn, err := r.gate.Accept()
			if err != nil {
				return
			}
			r.serving.Go(func() { serve(conn) })
		}
	})
}

func TestWithoutDescriptorsThoseAreToldWhoCome(t *testing.T) {
	leakCheck(t)
	const clients, left = 20, 5
	r, conns := waiting(t, clients, "GET / HTTP/1.1\r\n\r\n")
	more := scarce(t, left)
	r.run()
	served, told := 0, 0
	for _, conn := range conns {
		buf := make([]byte, 6)
		switch _, err := io.ReadFull(conn, buf); {
		case err != nil: // reset: it was closed with its request unread
			told++
		case string(buf) == "served":
			served++
		case string(buf) == answer[:6]:
			told++
		default:
			t.Errorf("got %q", buf)
		}
	}
	// Go's own poller may have taken one.
	if served < left-2 || served > left+1 || told != clients-served {
		t.Errorf("%d served and %d told, want about %d served", served, told, left)
	}
	// Those whose request was not seen yet are worth no more than who came.
	got := r.gate.Refused()
	if got.Descriptors+got.Displaced != uint64(told) || got.Failures == 0 || got.Failures > clients+2 {
		t.Errorf("got %+v, want %d for want of descriptors", got, told)
	}
	if n := r.log.count("connections cannot be accepted"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	more()
	began := time.Now()
	r.served("127.0.0.3")
	if took := time.Since(began); took > 3*maxPause {
		t.Errorf("served %v after there were descriptors again", took)
	}
}

func TestWithoutDescriptorsHalfOpenConnectionsAreEnded(t *testing.T) {
	leakCheck(t)
	const clients, left = 20, 5
	r, conns := waiting(t, clients, "GET / HT")
	viewer := r.dial("127.0.0.3")
	if _, err := io.WriteString(viewer, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	scarce(t, left)
	r.run()
	buf := make([]byte, 6)
	if _, err := io.ReadFull(viewer, buf); err != nil || string(buf) != "served" {
		t.Errorf("got %q, %v; want the one with a request served", buf, err)
	}
	r.gone(conns[0])
	if got := r.gate.Refused(); got.Descriptors != 0 || got.Displaced < clients-left-1 {
		t.Errorf("got %+v, want half-open ones displaced", got)
	}
}
