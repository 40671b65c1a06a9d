package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// patience is what a test waits for something that has to come.
const patience = 20 * time.Second

// rig is a gate before a socket, and a server that answers one request for each
// connection and then says nothing until its client leaves.
type rig struct {
	t    *testing.T
	gate *Listener
	log  *syncBuffer
	// serving is for the goroutines of the server.
	serving sync.WaitGroup
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

func start(t *testing.T, opts Options) *rig {
	t.Helper()
	leakCheck(t)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, log: &syncBuffer{}}
	opts.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	r.gate = New(ln, opts)
	r.serving.Go(func() {
		for {
			conn, err := r.gate.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept: %v", err)
				}
				return
			}
			r.serving.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		if err := r.gate.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		r.serving.Wait()
		if all, half := r.gate.Open(); all != 0 || half != 0 || len(r.gate.hosts) != 0 || len(r.gate.waiting) != 0 {
			t.Errorf("at the end %d connections count, %d half-open, of %d clients", all, half, len(r.gate.hosts))
		}
	})
	return r
}

// leakCheck fails the test when goroutines are left at its end, after all other
// clean-ups.
func leakCheck(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		tick, deadline := time.NewTicker(5*time.Millisecond), time.After(patience)
		defer tick.Stop()
		for runtime.NumGoroutine() > before {
			select {
			case <-tick.C:
			case <-deadline:
				t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
				return
			}
		}
	})
}

// serve answers the first request and reads until the end.
func serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var got []byte
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); bytes.Contains(got, []byte("\r\n\r\n")) {
			conn.(*Conn).Served()
			_, _ = io.WriteString(conn, "served")
			got = nil
		}
		if err != nil {
			return
		}
	}
}

// dial connects from an address of this computer.
func (r *rig) dial(from string) net.Conn {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(r.t.Context(), "tcp", r.gate.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// request sends what makes a request whole and returns the beginning of the answer.
func (r *rig) request(conn net.Conn) string {
	r.t.Helper()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") // who is turned away cannot write
	buf := make([]byte, 6)
	n, _ := io.ReadFull(conn, buf)
	return string(buf[:n])
}

// served wants a new connection to be served, and returns it.
func (r *rig) served(from string) net.Conn {
	r.t.Helper()
	conn := r.dial(from)
	if got := r.request(conn); got != "served" {
		r.t.Fatalf("from %s: got %q, want to be served", from, got)
	}
	return conn
}

// half opens a connection that never says more, and waits until it is counted.
func (r *rig) half(from string) net.Conn {
	r.t.Helper()
	count := func() int { _, half := r.gate.Open(); return half + int(r.gate.Refused().Displaced) }
	before := count()
	conn := r.dial(from)
	if _, err := io.WriteString(conn, "GET / HT"); err != nil {
		r.t.Fatal(err)
	}
	r.until("the connection is there", func() bool { return count() > before })
	return conn
}

// until waits for something that happens elsewhere.
func (r *rig) until(what string, happened func() bool) {
	r.t.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			all, half := r.gate.Open()
			r.t.Fatalf("not within %v: %s; %d open, %d half-open, %+v", patience, what, all, half, r.gate.Refused())
		}
	}
}

// gone wants the other side to have closed without a word.
func (r *rig) gone(conn net.Conn) {
	r.t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		r.t.Fatalf("got %d bytes, %v; want the connection closed", n, err)
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func TestWhoIsBeyondABoundGets503(t *testing.T) {
	for name, tt := range map[string]struct {
		opts Options
		from string
		want Refused
	}{
		"in all":     {Options{MaxConnections: 3}, "127.0.0.3", Refused{Total: 1}},
		"of address": {Options{MaxConnectionsPerAddress: 3}, "127.0.0.2", Refused{Address: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, tt.opts)
			var conns []net.Conn
			for range 3 {
				conns = append(conns, r.served("127.0.0.2"))
			}
			conn := r.dial(tt.from)
			got, err := io.ReadAll(conn)
			if err != nil || string(got) != answer {
				t.Errorf("got %q, %v; want the answer of the gate", got, err)
			}
			for _, want := range []string{"HTTP/1.1 503 ", "\r\nRetry-After: ", "\r\nConnection: close\r\n"} {
				if !strings.Contains(answer, want) {
					t.Errorf("answer without %q", want)
				}
			}
			if _, body, _ := strings.Cut(answer, "\r\n\r\n"); !strings.Contains(answer, fmt.Sprintf("Content-Length: %d\r\n", len(body))) {
				t.Errorf("%d bytes of body are not announced in %q", len(body), answer)
			}
			if got := r.gate.Refused(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			_ = conns[0].Close()
			r.until("there is room again", func() bool { all, _ := r.gate.Open(); return all == 2 })
			r.served(tt.from)
		})
	}
}

func TestAnAnswerIsReadByWhoSentARequestMeanwhile(t *testing.T) {
	r := start(t, Options{MaxConnections: 1})
	r.served("127.0.0.2")
	conn := r.dial("127.0.0.3")
	r.until("it is turned away", func() bool { return r.gate.Refused().Total == 1 })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != answer {
		t.Errorf("got %q, %v; want the answer of the gate", got, err)
	}
}

func TestTenThousandHalfOpenConnectionsLockNobodyOut(t *testing.T) {
	for name, opts := range map[string]Options{
		"with a bound in all":           {MaxConnections: 128},
		"with a bound for each address": {MaxConnections: 128, MaxConnectionsPerAddress: 32},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, opts)
			watching := r.served("127.0.0.4") // was there before
			const flood = 10_000
			// Those that have to be left over, and some that the gate may not have seen yet.
			most := opts.MaxConnections + 200
			var conns []net.Conn
			for i := range flood {
				conns = append(conns, r.dial("127.0.0.2"))
				if len(conns) > most {
					r.gone(conns[0]) // it was displaced
					_ = conns[0].Close()
					conns = conns[1:]
				}
				if i%1000 == 999 {
					began := time.Now()
					conn := r.served("127.0.0.3")
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("a viewer was served after %v, with %d half-open connections", took, i+1)
					}
					_ = conn.Close()
				}
			}
			same := r.served("127.0.0.2") // even who shares the address
			_ = same.Close()
			if got := r.request(watching); got != "served" {
				t.Errorf("who was there got %q, want to be served again", got)
			}
			if all, _ := r.gate.Open(); all > opts.MaxConnections {
				t.Errorf("%d connections, at most %d are allowed", all, opts.MaxConnections)
			}
			if got := r.gate.Refused(); got.Displaced < flood-uint64(most) || got.Total != 0 || got.Address != 0 {
				t.Errorf("got %+v", got)
			}
			for _, conn := range append(conns, watching) {
				_ = conn.Close()
			}
			r.until("nothing counts", func() bool { all, half := r.gate.Open(); return all == 0 && half == 0 })
			if n := r.log.count("connections are turned away"); n != 1 {
				t.Errorf("logged %d times, want once", n)
			}
		})
	}
}

func TestWhoIsDisplacedIsTheOldestOfWhoHasMost(t *testing.T) {
	r := start(t, Options{MaxConnections: 6})
	served := r.served("127.0.0.2") // a complete request protects
	var poor, rich []net.Conn
	poor = append(poor, r.half("127.0.0.3"))
	for range 4 {
		rich = append(rich, r.half("127.0.0.2"))
	}
	r.served("127.0.0.4")
	r.gone(rich[0])
	r.served("127.0.0.3")
	r.gone(rich[1])
	if all, half := r.gate.Open(); all != 6 || half != 3 {
		t.Errorf("%d open, %d half-open; want 6 and 3", all, half)
	}
	for i, conn := range append(poor, rich[2], rich[3], served) {
		_, _ = io.WriteString(conn, "TP/1.1\r\n\r\n")
		buf := make([]byte, 6)
		if _, err := io.ReadFull(conn, buf); i < 3 && (err != nil || string(buf) != "served") {
			t.Errorf("half-open connection %d: got %q, %v; want it left alone", i, buf, err)
		}
	}
}

func TestNobodyIsDisplacedForWhoHasAsManyBeforeTheGraceIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFakeListener()
		g := New(ln, Options{MaxConnections: 2})
		accept := accepting(g)
		for _, from := range []string{"192.0.2.1", "192.0.2.2"} {
			ln.came <- newFakeConn(from)
			<-accept
		}
		third := newFakeConn("192.0.2.3")
		ln.came <- third
		synctest.Wait()
		if got := g.Refused(); got != (Refused{Total: 1}) {
			t.Errorf("got %+v, want the newest turned away", got)
		}
		time.Sleep(grace) // in the bubble
		fourth := newFakeConn("192.0.2.4")
		ln.came <- fourth
		if got := (<-accept).(*Conn).NetConn(); got != fourth {
			t.Errorf("got %v, want the newest", got)
		}
		if got := g.Refused(); got != (Refused{Total: 1, Displaced: 1}) {
			t.Errorf("got %+v, want one displaced", got)
		}
		_ = g.Close()
		<-accept
	})
}

func TestWhoTakesADescriptorIsCountedUntilItIsReleased(t *testing.T) {
	g := New(newFakeListener(), Options{MaxConnections: 1})
	defer func() { _ = g.Close() }()
	admit := func() *Conn {
		c, _, _ := g.admit(newFakeConn("192.0.2.1"), time.Now())
		return c
	}
	for name, end := range map[string]func(c *Conn, release func()){
		"closed first":   func(c *Conn, release func()) { _ = c.Close(); _ = c.Close(); busy(t, g, 1); release(); release() },
		"released first": func(c *Conn, release func()) { release(); release(); busy(t, g, 1); _ = c.Close(); _ = c.Close() },
	} {
		c := admit()
		release := c.Hold()
		if other := admit(); other != nil {
			t.Fatalf("%s: a held connection was displaced", name)
		}
		end(c, release)
		busy(t, g, 0)
		c.Hold()() // too late
		busy(t, g, 0)
	}
}

func busy(t *testing.T, g *Listener, want int) {
	t.Helper()
	if all, half := g.Open(); all != want || half != 0 {
		t.Errorf("%d open, %d half-open; want %d and 0", all, half, want)
	}
}

func TestADisplacedConnectionLooksAsIfItsClientHadLeft(t *testing.T) {
	leakCheck(t)
	conns := make(chan net.Conn, 2)
	ln := newFakeListener()
	g := New(ln, Options{MaxConnections: 1})
	go func() {
		defer close(conns)
		for {
			conn, err := g.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	ln.came <- newFakeConn("192.0.2.1")
	first := <-conns
	read := make(chan error)
	go func() { _, err := first.Read(make([]byte, 1)); read <- err }()
	ln.came <- newFakeConn("192.0.2.1")
	<-conns
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Errorf("Read: got %v, want io.EOF", err)
	}
	now := time.Now()
	if err := errors.Join(first.SetDeadline(now), first.SetReadDeadline(now), first.SetWriteDeadline(now), first.Close()); err != nil {
		t.Errorf("got %v, want no error that a server takes for its own", err)
	}
	_ = g.Close()
	for range conns {
		t.Error("accepted after Close")
	}
}

func TestClients(t *testing.T) {
	tcp := func(s string) net.Addr {
		a := netip.MustParseAddrPort(s)
		return net.TCPAddrFromAddrPort(a)
	}
	for _, tt := range []struct {
		a, b net.Addr
		same bool
	}{
		{tcp("192.0.2.1:1"), tcp("192.0.2.1:2"), true},
		{tcp("192.0.2.1:1"), tcp("192.0.2.2:1"), false},
		{tcp("192.0.2.1:1"), tcp("[::ffff:192.0.2.1]:1"), true},
		{tcp("[2001:db8::1]:1"), tcp("[2001:db8::ffff:1:2:3]:1"), true},
		{tcp("[2001:db8::1]:1"), tcp("[2001:db8:0:1::1]:1"), false},
		{tcp("[fe80::1%eth0]:1"), tcp("[fe80::2%eth0]:1"), false},
		{tcp("[fe80::1%eth0]:1"), tcp("[fe80::1%eth0]:2"), true},
		{tcp("192.0.2.1:1"), &net.UnixAddr{Name: "@", Net: "unix"}, false},
	} {
		if got := keyOf(tt.a) == keyOf(tt.b); got != tt.same {
			t.Errorf("%v and %v: the same client is %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

func TestSomeHaveNoBoundOfTheirOwn(t *testing.T) {
	g := New(newFakeListener(), Options{MaxConnectionsPerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	defer func() { _ = g.Close() }()
	for _, tt := range []struct {
		from string
		want int
	}{{"10.1.2.3", 5}, {"192.0.2.1", 1}, {"", 5}} { // the last is a Unix socket
		n := 0
		for range 5 {
			if c, _, _ := g.admit(newFakeConn(tt.from), time.Now()); c != nil {
				c.Served()
				n++
			}
		}
		if n != tt.want {
			t.Errorf("%d connections from %q, want %d", n, tt.from, tt.want)
		}
	}
}

func TestTrustIsThatOfTheListener(t *testing.T) {
	ln := newFakeListener()
	for _, tt := range []struct {
		ln   net.Listener
		want auth.Trust
	}{
		{ln, auth.TrustOf(ln.Addr())},
		{&trusting{ln, auth.Network}, auth.Network},
		{&trusting{ln, auth.Local}, auth.Local},
	} {
		g := New(tt.ln, Options{})
		if got := g.Trust(); got != tt.want {
			t.Errorf("got %v, want %v", got, tt.want)
		}
		_ = g.Close()
	}
}

type trusting struct {
	net.Listener
	trust auth.Trust
}

func (l *trusting) Trust() auth.Trust { return l.trust }
