package m2m

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is what goes to the kernel and back with a buffer. The structure holds
// a pointer to the plane, which the garbage collector does not see and must not
// move: messages live outside of its memory, see newArena.
type message struct {
	buf   rawBuffer
	plane rawPlane
}

// arena holds the messages of both queues.
type arena struct{ output, capture message }

// newArena maps memory for one. It is given back by freeArena.
func newArena() (*arena, []byte, error) {
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(arena{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, err
	}
	return (*arena)(unsafe.Pointer(&mem[0])), mem, nil
}

// queue is one of an encoder's two: raw pictures go into the OUTPUT queue, JPEG
// comes out of the CAPTURE queue. (The names are the kernel's, seen from the
// program.)
type queue struct {
	node  node
	typ   uint32
	multi bool
	msg   *message
	mem   uint32   // memoryMMAP, or memoryDMABUF for buffers of others
	count uint32   // of buffers
	maps  [][]byte // the driver's own buffers by index
	asked bool     // REQBUFS gave buffers that were not given back
	on    bool     // STREAMON was tried and STREAMOFF was not
}

// dequeued is a buffer that came back.
type dequeued struct {
	index uint32
	data  []byte // the part in use, in the driver's own memory
	flags uint32
	stamp time.Duration
}

// prepare fills the message.
func (q *queue) prepare(index uint32) {
	*q.msg = message{buf: rawBuffer{Index: index, Type: q.typ, Field: fieldNone, Memory: q.mem}}
	if q.multi {
		q.msg.buf.M = uintptr(unsafe.Pointer(&q.msg.plane))
		q.msg.buf.Length = 1
	}
}

// request gets count buffers of a kind of memory. The driver may give more.
func (q *queue) request(count, memory uint32) error {
	r := rawRequest{Count: count, Type: q.typ, Memory: memory}
	if err := q.node.ioctl(vidiocReqBufs, unsafe.Pointer(&r)); err != nil {
		return err
	}
	q.mem, q.count, q.asked = memory, r.Count, true
	if r.Count < count {
		return unix.ENOMEM
	}
	return nil
}

// allocate gets count buffers of the driver's own memory and maps them.
func (q *queue) allocate(count uint32) error {
	if err := q.request(count, memoryMMAP); err != nil {
		return err
	}
	for i := range q.count {
		q.prepare(i)
		if err := q.node.ioctl(vidiocQueryBuf, unsafe.Pointer(&q.msg.buf)); err != nil {
			return err
		}
		offset, length := q.msg.buf.M, q.msg.buf.Length
		if q.multi {
			offset, length = q.msg.plane.M, q.msg.plane.Length
		}
		// The union is wider than the offset on 64-bit machines, and all supported
		// machines are little-endian.
		data, err := q.node.mmap(int64(uint32(offset)), int(length))
		if err != nil {
			return err
		}
		q.maps = append(q.maps, data)
	}
	return nil
}

// enqueue gives a buffer to the driver, of a picture with its size in bytes.
func (q *queue) enqueue(index uint32, size int, stamp time.Duration) error {
	return q.give(index, size, len(q.maps[index]), 0, stamp)
}

// lend lets the driver read a picture where it is. The kernel refuses memory
// that is shorter than size.
func (q *queue) lend(index uint32, fd, size int, stamp time.Duration) error {
	return q.give(index, size, size, uintptr(fd), stamp)
}

func (q *queue) give(index uint32, size, room int, memory uintptr, stamp time.Duration) error {
	q.prepare(index)
	b := &q.msg.buf
	b.Sec, b.Usec = int64(stamp/time.Second), int64(stamp%time.Second/time.Microsecond)
	if q.multi {
		q.msg.plane.BytesUsed, q.msg.plane.Length, q.msg.plane.M = uint32(size), uint32(room), memory
	} else {
		b.BytesUsed, b.Length, b.M = uint32(size), uint32(room), memory
	}
	return q.node.ioctl(vidiocQBuf, unsafe.Pointer(b))
}

// dequeue takes a buffer back, or fails with EAGAIN when there is none.
func (q *queue) dequeue() (dequeued, error) {
	q.prepare(0)
	b := &q.msg.buf
	if err := q.node.ioctl(vidiocDQBuf, unsafe.Pointer(b)); err != nil {
		return dequeued{}, err
	}
	used, from := b.BytesUsed, uint32(0)
	if q.multi {
		used, from = q.msg.plane.BytesUsed, q.msg.plane.DataOffset
	}
	back := dequeued{
		index: b.Index,
		flags: b.Flags,
		stamp: time.Duration(b.Sec)*time.Second + time.Duration(b.Usec)*time.Microsecond,
	}
	own := q.mem == memoryMMAP
	if b.Index >= q.count || own && int64(used) > int64(len(q.maps[b.Index])) {
		return dequeued{}, fmt.Errorf("buffer %d of %d with %d bytes: %w", b.Index, q.count, used, unix.EPROTO)
	}
	if own {
		back.data = q.maps[b.Index][min(from, used):used]
	}
	return back, nil
}

// stream starts or stops the queue. Stopping takes all buffers from the driver.
func (q *queue) stream(on bool) error {
	req := uintptr(vidiocStreamOff)
	if on {
		req = vidiocStreamOn
	}
	q.on = on
	q.prepare(0)
	return q.node.ioctl(req, unsafe.Pointer(&q.msg.buf.Type))
}

// release undoes allocate or request, however far it came. Nothing that fails in it can be
// helped: closing the node takes the rest.
func (q *queue) release() {
	for _, m := range q.maps {
		_ = q.node.munmap(m)
	}
	if q.asked {
		r := rawRequest{Type: q.typ, Memory: q.mem}
		_ = q.node.ioctl(vidiocReqBufs, unsafe.Pointer(&r))
	}
	q.maps, q.count, q.asked = nil, 0, false
}
