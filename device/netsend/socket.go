package netsend

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is one connection that never blocks.
type Socket struct {
	fd     int
	tcp    bool
	fitted int // bytes that the send buffer was sized for
	vector vector
}

// minBuffer is the least the kernel may hold for a socket, in bytes. Chosen:
// a Wi-Fi link of 50 Mbit/s with 10 ms of delay has that much under way.
const minBuffer = 64 << 10

// maxRead is how much is read from a socket at a time, and maxReads how often:
// somebody who sends more than that to whom nothing was asked is no viewer.
const (
	maxRead  = 4 << 10
	maxReads = 32
)

// ErrTalkative says that the peer keeps sending what nobody asked for.
var ErrTalkative = errors.New("peer sends too much")

// Write gives the pieces to the kernel by one writev and returns how many bytes
// it took, which may be less than all or none without an error: then the
// Poller tells when there is room. What follows a short write, until then, takes
// nothing.
func (s *Socket) Write(pieces [][]byte) (int, error) {
	for {
		n, err := writev(s.fd, &s.vector, pieces)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case !errors.Is(err, unix.EINTR):
			return 0, os.NewSyscallError("writev", err)
		}
	}
}

// Discard reads, and forgets, what the peer sent. The error is io.EOF when the
// peer has closed its side.
func (s *Socket) Discard() error {
	var scratch [maxRead]byte
	for range maxReads {
		n, err := unix.Read(s.fd, scratch[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.EOF
		}
	}
	return ErrTalkative
}

// Fit bounds what the kernel holds for the peer to about two messages of size
// bytes, so that a slow one finds those and not the whole past: Linux would let
// it grow to 4 MiB.
//
// Of that, what was not even sent is at most one message (TCP_NOTSENT_LOWAT), so
// a connection with little under way is not given more than it can carry.
//
// Linux doubles the size of the buffer it is asked for, to make room for its own
// bookkeeping (man 7 socket, SO_SNDBUF), and with large messages that is
// small: asking for the size of one makes room for two. More than
// net.core.wmem_max (208 KiB by default) is not granted; larger messages just
// find room for less.
func (s *Socket) Fit(size int) {
	size = max(size, minBuffer/2)
	if size <= s.fitted && size > s.fitted/3 {
		return
	}
	size += size / 4 // messages differ: leave room, to come here rarely
	s.fitted = size
	// Best effort, all of it: the kernel's defaults work, with more delay.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
	if s.tcp {
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, size)
	}
}

// Keep makes the kernel find out in about timeout that the peer's computer is
// gone, whether it is being sent something or not. With data under way it gives
// up half a timeout later, so that a caller with the same timeout for peers that
// take nothing comes first.
func (s *Socket) Keep(timeout time.Duration) {
	if !s.tcp {
		return
	}
	const probes = 3
	interval := max(1, int(timeout.Seconds())/(probes+1))
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, interval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, interval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((timeout + timeout/2).Milliseconds())},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		_ = unix.SetsockoptInt(s.fd, o.level, o.name, o.value) // best effort: the kernel's defaults find out too, later
	}
}

// Close closes the connection in order: what the kernel has is still sent.
func (s *Socket) Close() {
	_ = s.Discard()      // unread bytes would turn the end into a reset
	_ = unix.Close(s.fd) // nothing to be done about it
	s.fd = -1
}

// Reset throws away what the kernel has not sent, and the connection with it.
func (s *Socket) Reset() {
	if s.tcp {
		_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // best effort
	}
	_ = unix.Close(s.fd) // nothing to be done about it
	s.fd = -1
}
