package netsend

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Memory is a file in memory with a few places for messages, each of which is
// given to any number of sockets without being copied for them: the kernel's
// buffers of all sockets point to the same pages.
//
// Pages that are under way must not change. So before a place is used again a
// hole is punched into the file there: the sockets keep the old pages, and the
// new message gets new ones.
type Memory struct {
	file   *os.File
	fd     int
	places []place
	next   int
	age    uint64
	vector vector
}

// place is one message in the file.
type place struct {
	age  uint64 // of the message that is there; 0 when there is none
	size int64
}

// Message is what was put into a Memory. The zero value is none.
type Message struct {
	place int
	age   uint64
}

// placeStride is the distance of two places in the file, in bytes, and so the
// limit of a message. The file is sparse: unused room costs nothing.
const placeStride = 64 << 20

// lead is where in its place a message begins, in bytes. A sendfile goes in steps of
// 16 pages, and what a step leaves of a segment is sent at once when an
// acknowledgement comes in between, as on the loopback interface it does. Of
// its segments of 65,483 bytes, so placed, the first step fills exactly one. On other
// interfaces it makes no difference.
const lead = 64<<10 - 65_483

// ErrTooLarge says that a message does not fit into a Memory.
var ErrTooLarge = errors.New("message too large")

// NewMemory returns a memory with room for so many messages.
func NewMemory(places int) (*Memory, error) {
	fd, err := unix.MemfdCreate("frames", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return &Memory{file: os.NewFile(uintptr(fd), "frames"), fd: fd, places: make([]place, places)}, nil
}

// Put stores the pieces as one message, in place of the oldest one.
func (m *Memory) Put(pieces [][]byte) (Message, error) {
	i := m.next
	offset := int64(i)*placeStride + lead
	var size int64
	for _, p := range pieces {
		size += int64(len(p))
	}
	if size > placeStride-lead {
		return Message{}, ErrTooLarge
	}
	old := m.places[i]
	m.places[i] = place{}
	m.next = (i + 1) % len(m.places)
	if old.size > 0 {
		// Whole pages only: of a page that is punched in part, the kernel clears
		// that part, for those who have it under way too.
		page := int64(os.Getpagesize())
		length := (lead + old.size + page - 1) / page * page
		if err := punch(m.fd, offset-lead, length); err != nil {
			return Message{}, os.NewSyscallError("fallocate", err)
		}
	}
	// Noted before the write, so that what a failed one leaves is punched out.
	m.places[i].size = size
	for at := int64(0); at < size; {
		n, err := pwritev(m.fd, &m.vector, pieces, offset+at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Message{}, os.NewSyscallError("pwritev", err)
		}
		if at += int64(n); at < size {
			pieces = rest(pieces, n)
		}
	}
	m.age++
	m.places[i].age = m.age
	return Message{place: i, age: m.age}, nil
}

// Holds reports whether the message is still there.
func (m *Memory) Holds(msg Message) bool { return msg.age != 0 && m.places[msg.place].age == msg.age }

// Send gives the message to the socket, from byte number from on, by one
// sendfile. It returns as Write does. The message must still be there.
func (m *Memory) Send(s *Socket, msg Message, from int) (int, error) {
	offset := int64(msg.place)*placeStride + lead + int64(from)
	left := int(m.places[msg.place].size) - from
	for {
		n, err := sendfile(s.fd, m.fd, offset, left)
		switch {
		case err == nil:
			s.written += uint64(n) //nolint:gosec // not negative
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case !errors.Is(err, unix.EINTR):
			return 0, os.NewSyscallError("sendfile", err)
		}
	}
}

// Close frees the memory. What is under way stays until it has arrived.
func (m *Memory) Close() error { return m.file.Close() }

// rest returns the pieces without their first n bytes, in new memory.
func rest(pieces [][]byte, n int) [][]byte {
	var left [][]byte
	for _, p := range pieces {
		if n >= len(p) {
			n -= len(p)
			continue
		}
		left = append(left, p[n:])
		n = 0
	}
	return left
}
