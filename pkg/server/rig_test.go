package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// part is one part of the stream, whole.
type part struct {
	Header textproto.MIMEHeader
	Data   []byte
}

// partReader reads whole parts.
type partReader struct{ parts *multipart.Reader }

func readParts(r io.Reader) partReader { return partReader{multipart.NewReader(r, mjpeg.Boundary)} }

// Next returns the next part; io.EOF comes after the closing delimiter only.
func (r partReader) Next() (part, error) {
	p, err := r.parts.NextRawPart()
	if err != nil {
		return part{}, err
	}
	data, err := io.ReadAll(p)
	return part{p.Header, data}, err
}

// rig is a running server with a hub that the test feeds.
type rig struct {
	*Server
	hub  *fanout.Hub
	addr string
	log  *logBuffer
	// client is how to talk to it over TLS, or nil.
	client *tls.Config
	// stop ends Run as main does it, and returns how long that took.
	stop func() time.Duration
}

// start runs a server with o on a free port of the loopback, until the test
// ends. Then none of its goroutines may be left.
func start(tb testing.TB, o Options) *rig {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return startOn(tb, ln, o)
}

func startOn(tb testing.TB, ln net.Listener, o Options, before ...func(*Server)) *rig {
	tb.Helper()
	r := &rig{hub: fanout.New(), addr: ln.Addr().String(), log: &logBuffer{}}
	o.Hub = r.hub
	o.Logger = slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.Server, err = New(o); err != nil {
		tb.Fatal(err)
	}
	for _, do := range before {
		do(r.Server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, ln) }()
	r.stop = sync.OnceValue(func() time.Duration {
		began := time.Now()
		r.hub.Close(picture("bye"))
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
		return time.Since(began)
	})
	tb.Cleanup(func() {
		if took := r.stop(); took > 5*time.Second {
			tb.Errorf("Run took %s to end", took)
		}
		eventually(tb, "all goroutines end", func() bool { return len(ourGoroutines()) == 0 })
	})
	return r
}

// ourGoroutines returns the stacks of goroutines that run code of this package
// outside of tests.
func ourGoroutines() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var ours []string
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "webgear/pkg/server") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*B)") {
			ours = append(ours, g)
		}
	}
	return ours
}

// eventually waits until cond holds, at most 10 seconds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("waited in vain: %s\n%s", what, strings.Join(ourGoroutines(), "\n\n"))
		}
	}
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns the log lines that contain s.
func (l *logBuffer) lines(s string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, s) {
			found = append(found, line)
		}
	}
	return found
}

// picture is a frame with any bytes.
func picture(data string) *device.Frame {
	return &device.Frame{Data: []byte(data), CapturedAt: time.UnixMicro(1767225600_000042)}
}

// answer is what raw got.
type answer struct {
	*http.Response
	body string
}

// raw sends a request line and fields as they are, over a connection of its own.
func raw(t *testing.T, addr, request string) answer {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, request+"\r\nHost: cam\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return answer{resp, string(body)}
}

// dial connects until the test ends, with a deadline for everything.
func dial(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	return conn
}
