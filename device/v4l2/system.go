package v4l2

import (
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// videoMajor is the device number that Linux gives to all V4L2 nodes
// (Documentation/admin-guide/devices.txt, "81 char").
const videoMajor = 81

// system is the running kernel.
type system struct{}

// open looks at what path is before opening it: opening a strange device can
// have effects, and a FIFO or a file would look like a camera that fails.
func (system) open(path string) (node, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return nil, err
	}
	if what := kindOfFile(&st); what != "" {
		return nil, &notDeviceError{what}
	}
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(fd) // Nothing was done with it; the first error counts.
		return nil, err
	}
	return &fdNode{fd: fd, wakeFD: wakeFD}, nil
}

// kindOfFile names what st is, or nothing for a video node.
func kindOfFile(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		if unix.Major(uint64(st.Rdev)) == videoMajor { //nolint:unconvert // 32 bits wide on some machines
			return ""
		}
		return "another kind of device"
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a block device"
}

// fdNode is an open video node.
type fdNode struct {
	fd     int
	answer func(req uintptr, arg unsafe.Pointer) error // instead of the kernel, nil as a rule

	mu     sync.Mutex
	wakeFD int // an eventfd, guarded by mu for wake and close; -1 once closed

	fds [2]unix.PollFd // scratch of wait, here so that it is not allocated each time
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
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// go4vl fails on such a descriptor, and then the ioctls are asked.
	return &fdNode{fd: -1, wakeFD: wakeFD, answer: answer}, nil
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

func (n *fdNode) getFormat(f *rawFormat) error { return n.ioctl(vidiocGetFmt, unsafe.Pointer(f)) }
func (n *fdNode) setFormat(f *rawFormat) error { return n.ioctl(vidiocSetFmt, unsafe.Pointer(f)) }
func (n *fdNode) getParm(p *rawParm) error     { return n.ioctl(vidiocGetParm, unsafe.Pointer(p)) }
func (n *fdNode) setParm(p *rawParm) error     { return n.ioctl(vidiocSetParm, unsafe.Pointer(p)) }
func (n *fdNode) requestBuffers(r *rawRequest) error {
	return n.ioctl(vidiocReqBufs, unsafe.Pointer(r))
}

func (n *fdNode) queryBuffer(b *rawBuffer) error { return n.ioctl(vidiocQueryBuf, unsafe.Pointer(b)) }
func (n *fdNode) queue(b *rawBuffer) error       { return n.ioctl(vidiocQBuf, unsafe.Pointer(b)) }
func (n *fdNode) dequeue(b *rawBuffer) error     { return n.ioctl(vidiocDQBuf, unsafe.Pointer(b)) }
func (n *fdNode) exportBuffer(e *rawExport) error {
	return n.ioctl(vidiocExpBuf, unsafe.Pointer(e))
}
func (n *fdNode) closeExport(fd int) error { return unix.Close(fd) }
func (n *fdNode) munmap(data []byte) error { return unix.Munmap(data) }
func (n *fdNode) mmap(off int64, l int) ([]byte, error) {
	// Read only, so that a user of a lent picture that writes to it crashes
	// instead of damaging what the camera is about to fill.
	return unix.Mmap(n.fd, off, l, unix.PROT_READ, unix.MAP_SHARED)
}

func (n *fdNode) stream(on bool) error {
	typ, req := uint32(bufTypeVideoCapture), uintptr(vidiocStreamOff)
	if on {
		req = vidiocStreamOn
	}
	return n.ioctl(req, unsafe.Pointer(&typ))
}

func (n *fdNode) wait() (int16, error) {
	n.fds[0] = unix.PollFd{Fd: int32(n.fd), Events: unix.POLLIN | unix.POLLPRI}
	n.fds[1] = unix.PollFd{Fd: int32(n.wakeFD), Events: unix.POLLIN}
	if err := n.poll(n.fds[:], -1); err != nil {
		return 0, err
	}
	if n.fds[1].Revents != 0 {
		return 0, n.drainWake()
	}
	return n.fds[0].Revents, nil
}

func (n *fdNode) pause(d time.Duration) error {
	n.fds[1] = unix.PollFd{Fd: int32(n.wakeFD), Events: unix.POLLIN}
	if err := n.poll(n.fds[1:], int(d.Milliseconds())); err != nil || n.fds[1].Revents == 0 {
		return err
	}
	return n.drainWake()
}

// poll retries EINTR with the full timeout: Go interrupts threads with SIGURG,
// and none of the timeouts is exact.
func (n *fdNode) poll(fds []unix.PollFd, timeoutMillis int) error {
	return retry(func() error {
		_, err := unix.Poll(fds, timeoutMillis)
		return err
	})
}

func (n *fdNode) drainWake() error {
	var count [8]byte
	if _, err := unix.Read(n.wakeFD, count[:]); err != nil && !is(err, unix.EAGAIN, unix.EINTR) {
		return err
	}
	return nil
}

func (n *fdNode) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wakeFD >= 0 {
		// An eventfd takes any eight bytes as a number to add. It can only
		// fail with EAGAIN when it is about to overflow, and then it is set.
		_, _ = unix.Write(n.wakeFD, []byte{0: 1, 7: 0})
	}
}

func (n *fdNode) now() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano()), err
}

func (n *fdNode) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = unix.Close(n.wakeFD) // An eventfd has nothing to lose.
	n.wakeFD = -1
	if n.answer != nil {
		return nil
	}
	return unix.Close(n.fd)
}

// The plain ioctls of enumeration follow. Builds without cgo use nothing else;
// with cgo they give the errno that go4vl loses.

func (n *fdNode) queryCapIoctl() (capability, error) {
	var c rawCapability
	if err := n.ioctl(vidiocQueryCap, unsafe.Pointer(&c)); err != nil {
		return capability{}, err
	}
	caps := c.Capabilities
	if caps&capDeviceCaps != 0 {
		caps = c.DeviceCaps
	}
	return capability{
		driver: unix.ByteSliceToString(c.Driver[:]),
		card:   unix.ByteSliceToString(c.Card[:]),
		bus:    unix.ByteSliceToString(c.BusInfo[:]),
		caps:   caps,
	}, nil
}

func (n *fdNode) enumFormatIoctl(index uint32) (formatDesc, error) {
	d := rawFormatDesc{Index: index, Type: bufTypeVideoCapture}
	if err := n.ioctl(vidiocEnumFmt, unsafe.Pointer(&d)); err != nil {
		return formatDesc{}, err
	}
	return formatDesc{fourcc: device.FourCC(d.PixelFormat), emulated: d.Flags&fmtFlagEmulated != 0}, nil
}

func (n *fdNode) enumSizeIoctl(index uint32, f device.FourCC) (sizeRange, error) {
	s := rawSizeEnum{Index: index, PixelFormat: uint32(f)}
	if err := n.ioctl(vidiocEnumFrameSizes, unsafe.Pointer(&s)); err != nil {
		return sizeRange{}, err
	}
	if s.Type == frameTypeDiscrete {
		return discreteSize(s.MinWidth, s.MaxWidth), nil
	}
	return sizeRange{
		minW: s.MinWidth, maxW: s.MaxWidth, stepW: max(s.StepWidth, 1),
		minH: s.MinHeight, maxH: s.MaxHeight, stepH: max(s.StepHeight, 1),
	}, nil
}

func discreteSize(w, h uint32) sizeRange {
	return sizeRange{minW: w, maxW: w, stepW: 1, minH: h, maxH: h, stepH: 1}
}

func (n *fdNode) enumIntervalIoctl(index uint32, f device.FourCC, width, height uint32) (intervalRange, error) {
	i := rawIntervalEnum{Index: index, PixelFormat: uint32(f), Width: width, Height: height}
	if err := n.ioctl(vidiocEnumFrameIntervals, unsafe.Pointer(&i)); err != nil {
		return intervalRange{}, err
	}
	switch i.Type {
	case frameTypeDiscrete:
		return intervalRange{min: i.Min, max: i.Min, discrete: true}, nil
	case frameTypeContinuous:
		// The kernel's documentation wants a step of 1 here, which means nothing.
		return intervalRange{min: i.Min, max: i.Max}, nil
	}
	return intervalRange{min: i.Min, max: i.Max, step: i.Step}, nil
}

// retry calls f until it fails with something else than EINTR.
func retry(f func() error) error {
	for {
		if err := f(); !is(err, unix.EINTR) {
			return err
		}
	}
}
