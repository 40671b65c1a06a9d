package v4l2

import (
	"time"

	"github.com/webgear-pi/webgear/device"
)

// kernel is what the package needs from the operating system. The tests have a
// scripted one that can fail everywhere.
type kernel interface {
	// open opens the video node at path for reading and writing. It fails with
	// errNotDevice for anything that is not a video node.
	open(path string) (node, error)
}

// node is one open video node. Errors are bare errnos.
//
// One goroutine uses a node, except that wake, queue, exportBuffer and the calls
// about controls may come from any goroutine until close begins.
type node interface {
	queryCap() (capability, error)
	// The enum calls fail with EINVAL past the last index and with ENOTTY when
	// the driver does not know them.
	enumFormat(index uint32) (formatDesc, error)
	enumSize(index uint32, f device.FourCC) (sizeRange, error)
	enumInterval(index uint32, f device.FourCC, width, height uint32) (intervalRange, error)

	getFormat(*rawFormat) error
	setFormat(*rawFormat) error
	getParm(*rawParm) error
	setParm(*rawParm) error

	requestBuffers(*rawRequest) error
	queryBuffer(*rawBuffer) error
	mmap(offset int64, length int) ([]byte, error)
	munmap([]byte) error
	queue(*rawBuffer) error
	// exportBuffer makes a file descriptor of a buffer's memory, which
	// closeExport closes.
	exportBuffer(*rawExport) error
	closeExport(fd int) error
	// dequeue never blocks: EAGAIN says that nothing is there.
	dequeue(*rawBuffer) error
	stream(on bool) error

	// queryControl fails with EINVAL past the last control and with ENOTTY when
	// there is none at all.
	queryControl(*rawQueryControl) error
	// queryMenu fails with EINVAL for an index that is no choice.
	queryMenu(*rawMenu) error
	getControl(*controlData) error
	setControl(*controlData) error

	subscribe(event, id uint32) error
	// dequeueEvent never blocks: ENOENT says that nothing is there.
	dequeueEvent(*rawEvent) error

	// wait blocks until the node has a picture or an event to tell and returns
	// poll's events, or 0 after wake.
	wait() (events int16, err error)
	// pause blocks for d or until wake.
	pause(d time.Duration) error
	// wake ends the current or else the next wait or pause.
	wake()
	// now reads CLOCK_MONOTONIC, the clock of the buffers' time stamps.
	now() (time.Duration, error)
	close() error
}

// capability is the part of struct v4l2_capability that matters here.
type capability struct {
	driver, card, bus string
	// caps are those of this node (device_caps) where the driver tells them
	// apart from those of the whole device.
	caps uint32
}

// controlData is the value of one control for the kernel: text, where it is not
// empty, with the zero byte at its end, and a number otherwise.
type controlData struct {
	id    uint32
	value int64
	wide  bool // 64 bits, else 32
	text  []byte
}

// formatDesc is one answer of VIDIOC_ENUM_FMT.
type formatDesc struct {
	fourcc   device.FourCC
	emulated bool
}

// sizeRange is one answer of VIDIOC_ENUM_FRAMESIZES. For a discrete size
// minimum and maximum are equal; steps are at least 1.
type sizeRange struct {
	minW, maxW, stepW uint32
	minH, maxH, stepH uint32
}

func (r sizeRange) discrete() bool { return r.minW == r.maxW && r.minH == r.maxH }

// fract is struct v4l2_fract: here a frame interval in seconds.
type fract struct{ num, den uint32 }

// intervalRange is one answer of VIDIOC_ENUM_FRAMEINTERVALS. For a discrete
// interval minimum and maximum are equal; a zero step means continuous.
type intervalRange struct {
	min, max, step fract
	discrete       bool
}
