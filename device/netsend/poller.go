package netsend

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that the connection is no bare TCP or Unix socket.
var ErrUnsupported = errors.New("not a bare socket")

// Event says what happened to a socket.
type Event struct {
	// Key is what the socket was adopted with.
	Key uint64
	// Writable: there is room after a write that was cut short.
	Writable bool
	// Readable: the peer has sent something, closed its side or is gone.
	Readable bool
	// Gone: the connection is over, in both directions.
	Gone bool
}

// Poller knows when its sockets have room, and when their peers leave. One
// epoll instance serves all of them, and is itself watched by Go's own, so a
// goroutine waits for it without keeping a thread.
type Poller struct {
	file *os.File
	conn syscall.RawConn
	fd   atomic.Int64 // -1 once closed
	raw  []unix.EpollEvent
}

// batch is how many events are fetched by one call. Chosen: more than viewers
// that get stuck in one round.
const batch = 128

// NewPoller returns a poller without sockets.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// os.NewFile asks Go's poller to watch it only when it is non-blocking.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // nothing was done with it
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll"), raw: make([]unix.EpollEvent, batch)}
	p.fd.Store(int64(fd))
	if p.conn, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close() // nothing was done with it
		return nil, err
	}
	return p, nil
}

// Wait waits for events and appends them to dst, at most 128. After Close it
// returns an error. One goroutine at a time may call it.
func (p *Poller) Wait(dst []Event) ([]Event, error) {
	n := 0
	var failed error
	err := p.conn.Read(func(fd uintptr) bool {
		for {
			n, failed = unix.EpollWait(int(fd), p.raw, 0)
			if !errors.Is(failed, unix.EINTR) {
				return n != 0 || failed != nil
			}
		}
	})
	if err = errors.Join(err, os.NewSyscallError("epoll_wait", failed)); err != nil {
		return dst, err
	}
	for _, e := range p.raw[:n] {
		dst = append(dst, Event{
			Key:      uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32,
			Writable: e.Events&unix.EPOLLOUT != 0,
			Readable: e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0,
			Gone:     e.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
		})
	}
	return dst, nil
}

// Close ends the poller; Wait returns. Its sockets stay open.
func (p *Poller) Close() error {
	p.fd.Store(-1)
	return p.file.Close()
}

// Adopt returns a socket for the connection, watched by p. It has a descriptor
// of its own: the caller may close conn, and should not use it any more. The
// error is ErrUnsupported for connections that are more than a socket, such as
// TLS. Events carry key, which the caller should use once only.
func (p *Poller) Adopt(conn net.Conn, key uint64) (*Socket, error) {
	var rc syscall.RawConn
	var err error
	s := &Socket{fd: -1}
	switch c := conn.(type) {
	case *net.TCPConn:
		s.tcp = true
		s.locate(c)
		rc, err = c.SyscallConn()
	case *net.UnixConn:
		rc, err = c.SyscallConn()
	default:
		return nil, fmt.Errorf("adopt %T: %w", conn, ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	var dupErr error
	err = rc.Control(func(fd uintptr) {
		s.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, os.NewSyscallError("dup", dupErr)); err != nil {
		return nil, err
	}
	// Edge-triggered, once for all: no call per write that is cut short.
	e := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(uint32(key)), Pad: int32(uint32(key >> 32)), //nolint:gosec // the two halves of the key
	}
	if err := unix.EpollCtl(int(p.fd.Load()), unix.EPOLL_CTL_ADD, s.fd, &e); err != nil {
		s.Close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return s, nil
}
