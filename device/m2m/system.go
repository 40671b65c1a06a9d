package m2m

import (
	"errors"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is what the package needs from the operating system. The tests have a
// scripted one that can fail everywhere.
type kernel interface {
	// open opens the video node at path. It fails with ENOTTY for what is none.
	open(path string) (node, error)
}

// node is one open video node. Errors are bare errnos. One goroutine uses it.
type node interface {
	// ioctl never blocks: for VIDIOC_DQBUF EAGAIN says that nothing is there.
	ioctl(req uintptr, arg unsafe.Pointer) error
	mmap(offset int64, length int) ([]byte, error)
	munmap(data []byte) error
	// poll waits until a buffer can be dequeued from one of the queues, or for d
	// at most, and returns poll's events.
	poll(d time.Duration) (events int16, err error)
	close() error
}

// videoMajor is the device number that Linux gives to all V4L2 nodes
// (Documentation/admin-guide/devices.txt, "81 char").
const videoMajor = 81

// system is the running kernel.
type system struct{}

// open looks at what path is before opening it: opening a strange device can
// have effects.
func (system) open(path string) (node, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(uint64(st.Rdev)) != videoMajor { //nolint:unconvert // 32 bits wide on some machines
		return nil, unix.ENOTTY
	}
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &fdNode{fd: fd}, nil
}

// described is a kernel of which only the answers of its nodes are there.
type described struct {
	nodes func(path string) (ioctl func(req uintptr, arg unsafe.Pointer) error, err error)
}

func (k described) open(path string) (node, error) {
	answer, err := k.nodes(path)
	if err != nil {
		return nil, err
	}
	return &fdNode{fd: -1, answer: answer}, nil
}

// fdNode is an open video node.
type fdNode struct {
	fd     int
	answer func(req uintptr, arg unsafe.Pointer) error // instead of the kernel, nil as a rule

	fds [1]unix.PollFd // scratch of poll, here so that it is not allocated each time
}

// ioctl retries EINTR only: on a non-blocking node EAGAIN is an answer.
func (n *fdNode) ioctl(req uintptr, arg unsafe.Pointer) error {
	if n.answer != nil {
		return n.answer(req, arg)
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), req, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

func (n *fdNode) mmap(offset int64, length int) ([]byte, error) {
	return unix.Mmap(n.fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (n *fdNode) munmap(data []byte) error { return unix.Munmap(data) }

// poll goes on after EINTR with what is left of d: Go interrupts threads with
// SIGURG.
func (n *fdNode) poll(d time.Duration) (int16, error) {
	deadline := time.Now().Add(d)
	for {
		n.fds[0] = unix.PollFd{Fd: int32(n.fd), Events: unix.POLLIN | unix.POLLOUT}
		left := max(0, time.Until(deadline)+time.Millisecond-1) // rounded up, so that 0 is never asked in a loop
		if _, err := unix.Poll(n.fds[:], int(left.Milliseconds())); err == nil {
			return n.fds[0].Revents, nil
		} else if !is(err, unix.EINTR) {
			return 0, err
		}
	}
}

func (n *fdNode) close() error {
	if n.answer != nil {
		return nil
	}
	return unix.Close(n.fd)
}

// retry calls f until it fails with something else than EINTR.
func retry(f func() error) error {
	for {
		if err := f(); !is(err, unix.EINTR) {
			return err
		}
	}
}

// is reports whether err is one of the errnos.
func is(err error, errnos ...unix.Errno) bool {
	got, ok := errors.AsType[unix.Errno](err)
	return ok && slices.Contains(errnos, got)
}
