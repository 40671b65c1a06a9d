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

	where   []byte // what an Inquiry asks about the peer; nil unless it is on this computer
	unread  int    // bytes, as an Inquiry found it; unknown when it did not
	waiting int    // bytes of them that have arrived
	written uint64 // bytes, ever
	read    uint64 // bytes of them that the peer is known to have read
	proof   uint64 // messages that the peer is known to have read, or taken to
}

// segment is the most that Linux puts into one buffer of a TCP socket, in bytes
// (GSO_LEGACY_MAX_SIZE); it looks whether there is room before each. minUnsent is
// how many bytes may wait to be sent when a small message is written. Chosen:
// so little that a message which has hardly begun to leave is not followed by
// another one. maxUnsent is for large ones; they go in pieces. Chosen: the kernel's
// memory is not to be filled with the pictures of those who do not read.
const (
	segment   = 64 << 10
	minUnsent = 8 << 10
	maxUnsent = 1 << 20
)

// minBuffer is the least that is asked for as a send buffer, in bytes. Chosen: below
// the pictures of small cameras, and several segments of Ethernet.
const minBuffer = 8 << 10

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
			s.written += uint64(n) //nolint:gosec // not negative
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

// Fit prepares for messages of about size bytes. While the peer does not read, the
// kernel takes no more than what fills the peer's own buffer, and at most one
// message beside that: Linux would let it grow to 4 MiB. A message is refused
// altogether, rather than begun, while more than a little of the one before was
// not even sent (TCP_NOTSENT_LOWAT); what is under way does not count for that, so a
// connection with a long delay carries as much as its buffer holds: two messages,
// as the kernel looks for room before it takes another segment and not after.
//
// Linux doubles the size of the buffer it is asked for, to make room for its own
// bookkeeping (man 7 socket, SO_SNDBUF), and with large messages that is
// small: asking for half of one makes room for one. More than net.core.wmem_max
// (208 KiB by default) is not granted; larger messages go in several pieces.
func (s *Socket) Fit(size int) {
	if size <= s.fitted && size > s.fitted/3 {
		return
	}
	s.fitted = size + size/4 // messages differ: leave room, to come here rarely
	// Best effort, all of it: the kernel's defaults work, with more delay.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, max(s.fitted/2, minBuffer))
	if s.tcp {
		// A message must be able to go in whole when nothing is waiting.
		unsent := min(max(minUnsent, size/segment*segment+1), maxUnsent)
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	}
}

// Keep makes the kernel find out in about timeout that the peer's computer is
// gone, whether it is being sent something or not. With data under way it gives
// up half a timeout later, so that a caller with the same timeout for peers that
// take nothing comes first. It never gives up a peer on this computer for that: one
// that reads too little to make room would take nothing, but an Inquiry knows better.
func (s *Socket) Keep(timeout time.Duration) {
	if !s.tcp {
		return
	}
	const probes = 3
	interval := max(1, int(timeout.Seconds())/(probes+1))
	giveUp := timeout + timeout/2
	if s.where != nil {
		giveUp = 0
	}
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, interval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, interval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(giveUp.Milliseconds())},
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
