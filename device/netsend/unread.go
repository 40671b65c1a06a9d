package netsend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Inquiry asks the kernel how much of what its sockets were given has not been read
// by the programs at the other ends, where those run on the same computer.
//
// Between two programs of one computer, the receiver's buffer is no bound: segments of
// the loopback interface are 64 KiB, and Linux measures by them when it lets the buffer
// grow, to a megabyte and more. But the other end is a socket of the same kernel there,
// and the kernel tells anybody how much waits in it (man 7 sock_diag): one request
// for exactly that socket, found by its addresses. The requests for many sockets go
// in one datagram.
//
// Its methods are for one goroutine, which is also the one of the sockets. After an
// error nothing is known about anybody.
type Inquiry struct {
	fd       int
	sockets  []*Socket // to ask about
	round    uint32    // numbers the datagrams, so that a late answer is not taken for another
	requests []byte
	answers  []byte
	vectors  []unix.Iovec
	headers  []unix.Mmsghdr
}

// The numbers of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h, in bytes
// where they are sizes. requestSize is a header with inet_diag_req_v2. An
// answer is a header with inet_diag_msg and more, which nobody asked for and is cut off.
const (
	headerSize  = unix.SizeofNlMsghdr
	requestSize = headerSize + 56
	answerSize  = headerSize + 72
	idAt        = headerSize + 8 // of the addresses, in a request
	stateAt     = headerSize + 1
	queueAt     = headerSize + 56
	errorAt     = headerSize
	seqAt       = 8
	stateListen = unix.BPF_TCP_LISTEN
)

// maxAsked is how many sockets are asked about by one datagram. Chosen: the answers, of
// 1.3 KB with the kernel's own bookkeeping, fit into a receive buffer of the
// usual 208 KiB, and the calls are over in 50 µs.
const maxAsked = 64

// unknown is what a peer has not read for which there is no answer.
const unknown = -1

// NewInquiry returns an inquiry. There is an error where the kernel has no such thing,
// or this program may not use it; then the inquiry is one after an error. It may take a
// while: some kernels load a module for it first.
func NewInquiry() (*Inquiry, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return &Inquiry{fd: -1}, fmt.Errorf("open sock_diag: %w", os.NewSyscallError("socket", err))
	}
	q := &Inquiry{
		fd:       fd,
		requests: make([]byte, 0, maxAsked*requestSize),
		answers:  make([]byte, maxAsked*answerSize),
		vectors:  make([]unix.Iovec, maxAsked),
		headers:  make([]unix.Mmsghdr, maxAsked),
	}
	q.spare()
	for i := range q.headers {
		q.vectors[i].Base = &q.answers[i*answerSize]
		q.vectors[i].SetLen(answerSize)
		q.headers[i].Hdr.Iov = &q.vectors[i]
		q.headers[i].Hdr.SetIovlen(1)
	}
	// A socket that cannot exist, as port 0 is none: the answer is that there is none.
	nobody := &Socket{where: request(net.IPv4(127, 0, 0, 1), 0, net.IPv4(127, 0, 0, 1), 0)}
	q.Add(nobody)
	if err = q.Ask(); err == nil && nobody.where != nil {
		err = errors.New("no answer")
	}
	if err != nil {
		q.Close()
		return q, fmt.Errorf("try sock_diag: %w", err)
	}
	return q, nil
}

// spare has the kernel leave out the answers that nothing is unread, which are most:
// fetching them takes as long as all that was done for them before. Best effort: those
// that come nevertheless are understood.
func (q *Inquiry) spare() {
	var kind [2]byte
	binary.NativeEndian.PutUint16(kind[:], unix.SOCK_DIAG_BY_FAMILY)
	// A filter loads numbers in the order of the network, whatever the computer's is.
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: uint32(binary.BigEndian.Uint16(kind[:]))},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: queueAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	_ = unix.SetsockoptSockFprog(q.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}) //nolint:gosec // six
}

// Close ends the inquiry. Closing again does nothing.
func (q *Inquiry) Close() {
	if q.fd >= 0 {
		_ = unix.Close(q.fd) // nothing to be done about it
		q.fd = -1
	}
}

// Add makes s one of those whom Ask asks about.
func (q *Inquiry) Add(s *Socket) {
	s.unread = unknown
	if q.fd >= 0 && s.where != nil {
		q.sockets = append(q.sockets, s)
	}
}

// Ask finds out what the peers of the sockets that were added have not read, for Unread
// to tell, by two system calls for each 64 of them, and forgets the sockets.
func (q *Inquiry) Ask() error {
	var err error
	for at := 0; at < len(q.sockets) && err == nil; at += maxAsked {
		err = q.ask(q.sockets[at:min(at+maxAsked, len(q.sockets))])
	}
	if err != nil {
		q.Close()
		for _, s := range q.sockets {
			s.unread = unknown
		}
	}
	clear(q.sockets) // it must not keep them alive
	q.sockets = q.sockets[:0]
	return err
}

// Progress asks about one socket, whatever it is doing, and reports whether its peer is known
// to have read something since the last time that it or Conclude told so.
func (q *Inquiry) Progress(s *Socket) bool {
	q.Add(s)
	return q.Ask() == nil && s.unread != unknown && s.advance()
}

// ask is Ask for as many as fit into one datagram.
func (q *Inquiry) ask(sockets []*Socket) error {
	q.round++
	q.requests = q.requests[:0]
	for i, s := range sockets {
		q.requests = append(q.requests, s.where...)
		binary.NativeEndian.PutUint32(q.requests[i*requestSize+seqAt:], q.seq(i))
	}
	if err := q.send(); err != nil {
		return err
	}
	for _, s := range sockets {
		s.unread, s.waiting = 0, 0 // as for those who are passed over
	}
	// The answers are there when the request was taken. One that found no room is lost.
	for {
		n, err := q.receive()
		if err != nil {
			return err
		}
		for i := range n {
			answer := q.answers[i*answerSize:][:answerSize]
			at := int(binary.NativeEndian.Uint32(answer[seqAt:]) - q.seq(0))
			if at >= 0 && at < len(sockets) { // not of a round that was given up
				sockets[at].hear(answer, int(q.headers[i].Len))
			}
		}
		if n < len(q.headers) {
			return nil
		}
	}
}

// seq is the number of a request.
func (q *Inquiry) seq(i int) uint32 { return q.round*maxAsked + uint32(i) } //nolint:gosec // i is below maxAsked

// send gives the requests to the kernel, which answers them at once. The call is
// made like those of the hot path.
func (q *Inquiry) send() error {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(&q.requests[0])), uintptr(len(q.requests)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return os.NewSyscallError("write", errno)
		}
	}
}

// receive fetches answers and returns how many.
func (q *Inquiry) receive() (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(q.fd), uintptr(unsafe.Pointer(&q.headers[0])), uintptr(len(q.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR, unix.ENOBUFS: // an answer found no room; others may be there
		default:
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// hear notes what the kernel says about the peer's socket.
func (s *Socket) hear(answer []byte, size int) {
	if size < errorAt+4 {
		return
	}
	switch binary.NativeEndian.Uint16(answer[4:]) {
	case unix.NLMSG_ERROR:
		switch unix.Errno(-int32(binary.NativeEndian.Uint32(answer[errorAt:]))) { //nolint:gosec // a small negative number
		case unix.ENOMEM, unix.ENOBUFS, unix.EAGAIN: // it could not answer now
		default:
			s.where, s.unread = nil, unknown // the peer is in another network namespace, or gone
		}
	case unix.SOCK_DIAG_BY_FAMILY:
		if size < answerSize || answer[stateAt] == stateListen {
			s.where, s.unread = nil, unknown // the peer is gone, and somebody listens where it was
			return
		}
		s.waiting = int(binary.NativeEndian.Uint32(answer[queueAt:]))
		s.unread = s.waiting
		if s.waiting > 0 {
			// What was not even sent is unread as well; what was sent, and may not be
			// acknowledged yet, waits at the other end. Where nothing waits to be read,
			// the rest is about to be sent and need not be counted.
			s.unread += s.ioctl(unix.SIOCOUTQNSD)
		}
	}
}

// ioctl asks the kernel how many bytes it has for the peer, of one kind or another.
func (s *Socket) ioctl(request uintptr) int {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(s.fd), request, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}

// MaxUnread is how many messages a peer on this computer may leave unread before it is
// to be asked about, and leftover how many bytes besides: a line between two
// messages, or the header of the next one, which some programs read with that.
// Chosen: with one, a peer would count as late that is busy for a moment with the
// message before.
const (
	MaxUnread = 2
	leftover  = 512
)

// MayLag reports whether the peer, as far as is known, may have MaxUnread or more of
// all messages to read, so many of which were written. It never may when it is
// not on this computer, or in another network namespace: then nothing is to be found out.
func (s *Socket) MayLag(messages uint64) bool {
	return s.where != nil && messages-s.proof >= MaxUnread
}

// Conclude draws the conclusions from what an Inquiry found: when the peer has nothing
// to read but the last of so many messages, which has size bytes, MayLag is false until
// more are written. progress tells whether it has read anything since Conclude was
// called before, or even all. Without an answer it is taken to have read all.
func (s *Socket) Conclude(messages uint64, size int) (progress bool) {
	switch n := max(0, s.unread); {
	case n <= leftover:
		s.proof = messages
	case n <= size+leftover:
		s.proof = messages - 1
	}
	return s.unread == unknown || s.advance()
}

// advance notes how far the peer has read, and reports whether that is further than before,
// or all there was. What is not acknowledged counts as not read, here: it may have been
// refused for want of room, and is sent again.
func (s *Socket) advance() bool {
	if s.waiting == 0 {
		return true
	}
	left := uint64(s.waiting + s.ioctl(unix.SIOCOUTQ)) //nolint:gosec // not negative
	read := s.written - min(left, s.written)
	if read <= s.read {
		return false
	}
	s.read = read
	return true
}

// locate finds out whether the peer may be on this computer.
func (s *Socket) locate(conn net.Conn) {
	s.unread = unknown
	ours, ok1 := conn.LocalAddr().(*net.TCPAddr)
	peer, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 || ours.Zone != "" || peer.Zone != "" || !peer.IP.IsLoopback() && !peer.IP.Equal(ours.IP) {
		return
	}
	s.where = request(peer.IP, peer.Port, ours.IP, ours.Port)
}

// request returns what to ask for the socket with these addresses, its own first.
func request(ip net.IP, port int, peerIP net.IP, peerPort int) []byte {
	b := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(b[0:], requestSize)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	b[headerSize] = unix.AF_INET6
	b[headerSize+1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[headerSize+4:], 1<<32-1) // in whatever state
	binary.BigEndian.PutUint16(b[idAt:], uint16(port))       //nolint:gosec // a port
	binary.BigEndian.PutUint16(b[idAt+2:], uint16(peerPort)) //nolint:gosec // a port
	// A socket for both versions of the protocol is found by its IPv4 address too.
	if a, z := ip.To4(), peerIP.To4(); a != nil && z != nil {
		b[headerSize] = unix.AF_INET
		ip, peerIP = a, z
	}
	copy(b[idAt+4:], ip)
	copy(b[idAt+20:], peerIP)
	// Interface 0 is any; the cookie is none (INET_DIAG_NOCOOKIE).
	binary.NativeEndian.PutUint64(b[idAt+40:], 1<<64-1)
	return b
}
