package netsend

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newInquiry(tb testing.TB) *Inquiry {
	tb.Helper()
	q, err := NewInquiry()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(q.Close)
	return q
}

func ask(q *Inquiry, sockets ...*Socket) error {
	for _, s := range sockets {
		q.Add(s)
	}
	return q.Ask()
}

// unreadOf asks about one socket.
func unreadOf(tb testing.TB, q *Inquiry, s *Socket) int {
	tb.Helper()
	if err := ask(q, s); err != nil {
		tb.Fatal(err)
	}
	if s.where == nil {
		tb.Fatal("the peer is not known")
	}
	return s.unread
}

// pairOn is pair with any listener.
func pairOn(tb testing.TB, p *Poller, network, listen, dial string) (*Socket, net.Conn) {
	tb.Helper()
	ln, err := net.Listen(network, listen)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	peer, err := net.Dial("tcp", net.JoinHostPort(dial, port))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = peer.Close() })
	if err := peer.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the socket does not need it
	s, err := p.Adopt(conn, 1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s, peer
}

// ownAddress is an address of this computer that is not of the loopback interface,
// or that one where there is no other.
func ownAddress(tb testing.TB) string {
	tb.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		tb.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

func TestWhatThePeersProgramHasNotReadIsKnownToTheByte(t *testing.T) {
	for name, tt := range map[string]struct{ network, listen, dial string }{
		"IPv4":                       {"tcp4", "127.0.0.1:0", "127.0.0.1"},
		"IPv6":                       {"tcp6", "[::1]:0", "::1"},
		"IPv4 to a socket for both":  {"tcp", "[::]:0", "127.0.0.1"},
		"an address of the computer": {"tcp", "[::]:0", ownAddress(t)},
		"another loopback address":   {"tcp4", "0.0.0.0:0", "127.9.9.9"},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := newPoller(t), newInquiry(t)
			s, peer := pairOn(t, p, tt.network, tt.listen, tt.dial)
			if s.where == nil {
				t.Fatal("the peer is on this computer")
			}
			if n := unreadOf(t, q, s); n != 0 {
				t.Errorf("%d bytes unread before any were sent", n)
			}
			const sent = 50_000
			if n, err := s.Write([][]byte{make([]byte, sent)}); n != sent || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
			for left := sent; ; left -= 10_000 {
				if n := unreadOf(t, q, s); n != left {
					t.Errorf("%d bytes unread, want %d", n, left)
				}
				if left == 0 {
					break
				}
				if _, err := io.CopyN(io.Discard, peer, 10_000); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestWhatWasNotSentIsUnreadToo fills the peer's buffer and our own, and lets the peer
// read a part. What the peer had to refuse for want of room, at most a segment, is
// missing in the figure.
func TestWhatWasNotSentIsUnreadToo(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	s, peer := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	sent := 0
	for {
		n, err := s.Write([][]byte{make([]byte, 1<<20)})
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n == 0 {
			break
		}
	}
	if s.ioctl(unix.SIOCOUTQNSD) < segment {
		t.Fatalf("%d bytes were not sent: the test proves nothing", s.ioctl(unix.SIOCOUTQNSD))
	}
	for _, read := range []int{0, 200_000, 1_000_000} {
		if _, err := io.CopyN(io.Discard, peer, int64(read)); err != nil {
			t.Fatal(err)
		}
		sent -= read
		if n := unreadOf(t, q, s); n > sent || n < sent-segment {
			t.Errorf("%d bytes unread, want %d", n, sent)
		}
	}
}

func TestManySocketsAreToldApart(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	var sockets []*Socket
	for i := range 2*maxAsked + 5 {
		s, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
		if i > 0 {
			if _, err := s.Write([][]byte{make([]byte, i)}); err != nil {
				t.Fatal(err)
			}
		}
		sockets = append(sockets, s)
	}
	for range 3 {
		if err := ask(q, sockets...); err != nil {
			t.Fatal(err)
		}
		for i, s := range sockets {
			if s.unread != i {
				t.Errorf("socket %d: %d", i, s.unread)
			}
		}
	}
}

func TestPeersThatTheKernelDoesNotKnowAreElsewhere(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	here, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	if _, err := here.Write([][]byte{make([]byte, 7)}); err != nil {
		t.Fatal(err)
	}
	other, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	other.where = request(net.IPv4(127, 0, 0, 1), 1, net.IPv4(127, 0, 0, 1), 2) // as if in another network namespace
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	waiting, err := net.Dial("tcp4", ln.Addr().String()) // what a listener has to say for itself
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = waiting.Close() }()
	reused, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	reused.where = request(net.IPv4(127, 0, 0, 1), ln.Addr().(*net.TCPAddr).Port, net.IPv4(127, 0, 0, 1), 2)
	if err := ask(q, other, here, reused); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Socket{"another": other, "listener": reused} {
		if progress := s.Conclude(9, 1); !progress || s.MayLag(100) {
			t.Errorf("%s: %v, may lag: %v", name, progress, s.MayLag(100))
		}
	}
	if here.unread != 7 || !here.MayLag(100) {
		t.Errorf("the one between: %d, may lag: %v", here.unread, here.MayLag(100))
	}
}

// TestOnlyReadingIsProgress holds what a time-out is measured by: more that was sent is
// no progress, a single byte that was read is, and so is it to have nothing left, until
// something waits again.
func TestOnlyReadingIsProgress(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	s, peer := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	for i, step := range []struct {
		send, read int
		want       bool
	}{{100, 0, false}, {100, 0, false}, {0, 0, false}, {0, 1, true}, {0, 0, false}, {100, 0, false}, {0, 299, true}, {0, 0, true}, {100, 0, true}, {100, 0, false}} {
		if _, err := s.Write([][]byte{make([]byte, step.send)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, peer, int64(step.read)); err != nil {
			t.Fatal(err)
		}
		if err := ask(q, s); err != nil {
			t.Fatal(err)
		}
		if progress := s.Conclude(1, 1); progress != step.want {
			t.Errorf("step %d: %d unread, progress: %v", i, s.unread, progress)
		}
	}
}

// TestProgressIsSeenWhileTheSocketIsFull lets a peer read so little that there is no room
// for more.
func TestProgressIsSeenWhileTheSocketIsFull(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	s, peer := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	for n := 1; n > 0; {
		var err error
		if n, err = s.Write([][]byte{make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	q.Progress(s)
	for i, read := range []int{0, 0, 100_000, 0, 1, 0, 0, 10} {
		if _, err := io.CopyN(io.Discard, peer, int64(read)); err != nil {
			t.Fatal(err)
		}
		if got := q.Progress(s); got != (read > 0) {
			t.Errorf("step %d: %d bytes read, progress: %v", i, read, got)
		}
	}
	unix1, _ := pair(t, p, "unix", 2)
	if q.Progress(unix1) {
		t.Error("progress of a peer that is not asked")
	}
}

func TestOnlyPeersOnThisComputerAreLocal(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		ours, peer string
		want       bool
	}{
		{"127.0.0.1:1", "127.0.0.1:2", true},
		{"127.0.0.1:1", "127.0.0.9:2", true},
		{"[::1]:1", "[::1]:2", true},
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:2", false},
		{"[2001:db8::1]:1", "[2001:db8::1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8::2]:2", false},
		{"[fe80::1%lo]:1", "[fe80::1%lo]:2", false}, // bound to an interface
	} {
		s := &Socket{}
		s.locate(addresses{ours: tcp(tt.ours), peer: tcp(tt.peer)})
		if s.MayLag(MaxUnread) != tt.want || s.MayLag(MaxUnread-1) {
			t.Errorf("%s and %s: %v, %v", tt.ours, tt.peer, s.MayLag(MaxUnread), s.MayLag(MaxUnread-1))
		}
		if s.unread != unknown {
			t.Errorf("%s and %s: known before it was asked", tt.ours, tt.peer)
		}
	}
	s, _ := pair(t, newPoller(t), "unix", 1)
	if s.MayLag(100) {
		t.Error("a Unix socket's buffer is the sender's: nothing to ask")
	}
}

// addresses is a connection that has nothing else.
type addresses struct {
	net.Conn
	ours, peer net.Addr
}

func (a addresses) LocalAddr() net.Addr  { return a.ours }
func (a addresses) RemoteAddr() net.Addr { return a.peer }

// TestLateAnswersAreNotTakenForOthers leaves the answers of a round where they are.
func TestLateAnswersAreNotTakenForOthers(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	a, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	b, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	if _, err := a.Write([][]byte{make([]byte, 11)}); err != nil {
		t.Fatal(err)
	}
	if n := unreadOf(t, q, a); n != 11 {
		t.Fatalf("%d bytes unread", n)
	}
	if err := q.send(); err != nil { // the same request again, whose answer nobody fetches
		t.Fatal(err)
	}
	if n := unreadOf(t, q, b); n != 0 {
		t.Errorf("%d bytes unread: the answer was meant for another", n)
	}
}

// TestPeerLagsWhenMoreThanTheLastMessageIsUnread goes through what there may be to
// read of five messages of 1,000 bytes.
func TestPeerLagsWhenMoreThanTheLastMessageIsUnread(t *testing.T) {
	for _, tt := range []struct {
		unread           int
		mayLag5, mayLag6 bool // after that, and one message later
	}{
		{unread: 0},
		{unread: 100},
		{unread: leftover},
		{unread: leftover + 1, mayLag6: true},
		{unread: 1000, mayLag6: true},
		{unread: 1000 + leftover, mayLag6: true},
		{unread: 1001 + leftover, mayLag5: true, mayLag6: true},
		{unread: 5000, mayLag5: true, mayLag6: true},
		{unread: 9000, mayLag5: true, mayLag6: true}, // with what was sent before the messages
		{unread: unknown},
	} {
		s := &Socket{fd: -1, where: []byte{}, written: 5000, unread: tt.unread}
		if !s.MayLag(5) {
			t.Error("it may lag before it was asked")
		}
		s.Conclude(5, 1000)
		if s.MayLag(5) != tt.mayLag5 || s.MayLag(6) != tt.mayLag6 || !s.MayLag(7) {
			t.Errorf("%d bytes: may lag: %v, %v, %v", tt.unread, s.MayLag(5), s.MayLag(6), s.MayLag(7))
		}
	}
}

// TestNobodyLagsAfterTheInquiryFailed takes its descriptor away.
func TestNobodyLagsAfterTheInquiryFailed(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	s, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	if _, err := s.Write([][]byte{make([]byte, 50_000)}); err != nil {
		t.Fatal(err)
	}
	if err := ask(q, s); err != nil {
		t.Fatal(err)
	}
	if s.Conclude(5, 10_000); !s.MayLag(5) {
		t.Errorf("%d bytes unread, and it does not lag", s.unread)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(fd, q.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if err := ask(q, s); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if progress := s.Conclude(5, 10_000); !progress || s.MayLag(5) {
			t.Errorf("progress: %v, may lag: %v", progress, s.MayLag(5))
		}
		if err := ask(q, s); err != nil {
			t.Errorf("the error came again: %v", err)
		}
	}
}

func TestAskingDoesNotAllocate(t *testing.T) {
	p, q := newPoller(t), newInquiry(t)
	s, _ := pairOn(t, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
	if n := testing.AllocsPerRun(100, func() { _ = ask(q, s, s, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAnswer lets a socket hear anything:
// go test -run xxx -fuzz Answer -fuzztime 10s ./device/netsend.
func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, answerSize), answerSize)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		s := &Socket{fd: -1, unread: unknown}
		answer := make([]byte, answerSize)
		copy(answer, b)
		s.hear(answer, size)
		if s.unread < unknown {
			t.Errorf("%d bytes", s.unread)
		}
	})
}

// BenchmarkAsk gives the cost of asking about many viewers at once:
// go test -run xxx -bench Ask -benchmem ./device/netsend.
func BenchmarkAsk(b *testing.B) {
	for _, n := range []int{1, 32, 64, 100} {
		b.Run(fmt.Sprintf("sockets=%d", n), func(b *testing.B) {
			p, err := NewPoller()
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			q := newInquiry(b)
			var sockets []*Socket
			for range n {
				s, _ := pairOn(b, p, "tcp4", "127.0.0.1:0", "127.0.0.1")
				sockets = append(sockets, s)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(q, sockets...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/socket")
		})
	}
}
