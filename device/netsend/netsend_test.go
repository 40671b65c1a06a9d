package netsend

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns a socket and the connection at its other end.
func pair(t *testing.T, p *Poller, network string, key uint64) (*Socket, net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	peer, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if err := peer.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Adopt(conn, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.fd >= 0 {
			s.Close()
		}
	})
	_ = conn.Close() // the socket does not need it
	return s, peer
}

func newPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// await waits until an event for key satisfies want.
func await(t *testing.T, p *Poller, key uint64, want func(Event) bool) {
	t.Helper()
	for {
		events, err := p.Wait(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Key == key && want(e) {
				return
			}
		}
	}
}

func TestSocketOutlivesTheConnectionItCameFrom(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newPoller(t)
			s, peer := pair(t, p, network, 1)
			if n, err := s.Write([][]byte{[]byte("one "), nil, []byte("two")}); n != 7 || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
			s.Close()
			if got, err := io.ReadAll(peer); string(got) != "one two" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFullSocketTakesNothingUntilThePollerSaysThatThereIsRoom(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newPoller(t)
			const key = 7 | 9<<40
			s, peer := pair(t, p, network, key)
			data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
			sent, err := s.Write([][]byte{data})
			if err != nil || sent == 0 || sent == len(data) {
				t.Fatalf("wrote %d, %v", sent, err)
			}
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(peer)
				got <- b
			}()
			for sent < len(data) {
				n, err := s.Write([][]byte{data[sent:]})
				if err != nil {
					t.Fatal(err)
				}
				if sent += n; n == 0 {
					await(t, p, key, func(e Event) bool { return e.Writable })
				}
			}
			s.Close()
			if b := <-got; !bytes.Equal(b, data) {
				t.Errorf("%d bytes arrived, not those that were sent", len(b))
			}
		})
	}
}

func TestPeersThatLeaveAreNoticed(t *testing.T) {
	for name, leave := range map[string]func(net.Conn) error{
		"close":      net.Conn.Close,
		"half-close": func(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() },
		"reset": func(c net.Conn) error {
			_ = c.(*net.TCPConn).SetLinger(0)
			return c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPoller(t)
			s, peer := pair(t, p, "tcp", 3)
			if _, err := io.WriteString(peer, "hello"); err != nil {
				t.Fatal(err)
			}
			await(t, p, 3, func(e Event) bool { return e.Readable })
			if err := s.Discard(); err != nil {
				t.Fatalf("still there, but: %v", err)
			}
			if err := leave(peer); err != nil {
				t.Fatal(err)
			}
			await(t, p, 3, func(e Event) bool { return e.Readable || e.Gone })
			if err := s.Discard(); name == "reset" && !errors.Is(err, unix.ECONNRESET) || name != "reset" && !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPeerThatKeepsTalkingIsReported(t *testing.T) {
	p := newPoller(t)
	s, peer := pair(t, p, "tcp", 3)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for b := make([]byte, 1<<20); ; {
			if _, err := peer.Write(b); err != nil {
				return
			}
		}
	}()
	for err := error(nil); !errors.Is(err, ErrTalkative); err = s.Discard() {
		if err != nil {
			t.Fatal(err)
		}
		await(t, p, 3, func(e Event) bool { return e.Readable })
	}
	s.Reset()
	<-stop
}

func TestClosingThePollerEndsTheWait(t *testing.T) {
	p := newPoller(t)
	done := make(chan error)
	go func() {
		_, err := p.Wait(nil)
		done <- err
	}()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("Wait returned without an error")
	}
	if _, err := p.Wait(nil); err == nil {
		t.Error("Wait after Close returned without an error")
	}
}

func TestOnlyBareSocketsAreAdopted(t *testing.T) {
	p := newPoller(t)
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, err := p.Adopt(a, 1); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestMessageUnderWayIsNotOverwritten gives messages to a peer that does not read
// yet while their places are used again and again. What is in the kernel must
// stay what it was.
func TestMessageUnderWayIsNotOverwritten(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newPoller(t)
			s, peer := pair(t, p, network, 1)
			s.Fit(1 << 20)
			m, err := NewMemory(2)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			message := func(i int) [][]byte {
				return [][]byte{{byte(i), 'h'}, bytes.Repeat([]byte{byte(i)}, 20_000), {'t', byte(i)}}
			}
			var want []byte
			for i := range 40 {
				msg, err := m.Put(message(i))
				if err != nil {
					t.Fatal(err)
				}
				n, err := m.Send(s, msg, 0)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, bytes.Join(message(i), nil)[:n]...)
			}
			if len(want) < 60_000 {
				t.Fatalf("only %d bytes were under way: the test proves nothing", len(want))
			}
			s.Close()
			got, err := io.ReadAll(peer)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("of %d bytes %d arrived, %v, the same: %v", len(want), len(got), err, bytes.Equal(got, want))
			}
			t.Logf("%d bytes were under way", len(want))
		})
	}
}

func TestMessageIsSentFromWhereItWasCut(t *testing.T) {
	p := newPoller(t)
	s, peer := pair(t, p, "tcp", 1)
	m, err := NewMemory(1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	msg, err := m.Put([][]byte{[]byte("header "), []byte("picture")})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.Send(s, msg, 7); n != 7 || err != nil {
		t.Fatalf("sent %d, %v", n, err)
	}
	s.Close()
	if got, err := io.ReadAll(peer); string(got) != "picture" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := m.Put([][]byte{[]byte("next")}); err != nil || m.Holds(msg) || m.Holds(Message{}) {
		t.Errorf("a message that was replaced is still held, %v", err)
	}
}

func TestFitBoundsTheBuffer(t *testing.T) {
	p := newPoller(t)
	s, _ := pair(t, p, "tcp", 1)
	for _, tt := range []struct{ message, buffer, unsent int }{
		{1000, 16 << 10, 8 << 10}, {30_000, 37_500, 8 << 10}, {100_000, 125_000, 64<<10 + 1}, {300_000, 375_000, 256<<10 + 1},
	} {
		s.Fit(tt.message)
		size, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		if err != nil || size != tt.buffer {
			t.Errorf("%d bytes: send buffer %d, %v; want %d", tt.message, size, err, tt.buffer)
		}
		if unsent, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); err != nil || unsent != tt.unsent {
			t.Errorf("%d bytes: unsent %d, %v; want %d", tt.message, unsent, err, tt.unsent)
		}
	}
}

func TestKeepSetsTheTimesOfTheKernel(t *testing.T) {
	for name, local := range map[string]bool{"here": true, "elsewhere": false} {
		s, _ := pair(t, newPoller(t), "tcp", 1)
		timeout := 0
		if !local {
			s.where, timeout = nil, 15_000
		}
		s.Keep(10 * time.Second)
		for option, o := range map[string][2]int{"user timeout": {unix.TCP_USER_TIMEOUT, timeout}, "no delay": {unix.TCP_NODELAY, 1}, "idle": {unix.TCP_KEEPIDLE, 2}} {
			if got, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_TCP, o[0]); err != nil || got != o[1] {
				t.Errorf("%s, %s: %d, %v; want %d", name, option, got, err, o[1])
			}
		}
	}
}

func TestSendingDoesNotAllocate(t *testing.T) {
	p := newPoller(t)
	s, peer := pair(t, p, "tcp", 1)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	m, err := NewMemory(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	pieces := [][]byte{[]byte("header"), []byte("picture"), []byte("trailer")}
	msg, err := m.Put(pieces)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Write(pieces) }); n != 0 {
		t.Errorf("writev: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = m.Send(s, msg, 0) }); n != 0 {
		t.Errorf("sendfile: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = m.Put(pieces) }); n != 0 {
		t.Errorf("put: %v allocations", n)
	}
}
