package devicetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/webgear-pi/webgear/device"
)

// Kernel answers for video nodes as Linux does, as far as looking at them goes:
// what they are, and what formats, sizes and rates they have. Its Open goes into
// the Nodes of v4l2.Config and m2m.Config, together with Root. Nodes may come and
// go. All methods may be called from any goroutine.
type Kernel struct {
	// Root is the directory with dev and sys in it.
	Root string

	tb    testing.TB
	mu    sync.Mutex
	nodes map[string]VideoNode // by the base of their path, guarded by mu
}

// NewKernel makes a kernel with these nodes, in a directory of its own.
func NewKernel(tb testing.TB, nodes ...VideoNode) *Kernel {
	tb.Helper()
	k := &Kernel{Root: tb.TempDir(), tb: tb, nodes: map[string]VideoNode{}}
	if err := os.MkdirAll(filepath.Join(k.Root, "dev"), 0o700); err != nil {
		tb.Fatal(err)
	}
	for _, n := range nodes {
		k.Plug(n)
	}
	return k
}

// Plug makes a node appear, with what sysfs has about it.
func (k *Kernel) Plug(n VideoNode) {
	k.tb.Helper()
	name := filepath.Base(n.Path)
	k.mu.Lock()
	k.nodes[name] = n
	k.mu.Unlock()
	k.write("sys/class/video4linux/"+name+"/name", n.Name+"\n")
	if !strings.Contains(n.Driver, " ") { // those are names of V4L2 only
		k.Link("../../../../bus/drivers/"+n.Driver, "sys/class/video4linux/"+name+"/device/driver")
	}
	k.write("dev/"+name, "")
}

// Unplug makes the node at a path disappear.
func (k *Kernel) Unplug(path string) {
	k.tb.Helper()
	name := filepath.Base(path)
	k.mu.Lock()
	delete(k.nodes, name)
	k.mu.Unlock()
	for _, gone := range []string{"dev/" + name, "sys/class/video4linux/" + name} {
		if err := os.RemoveAll(filepath.Join(k.Root, gone)); err != nil {
			k.tb.Fatal(err)
		}
	}
}

// Link makes a symbolic link, such as one below dev/v4l, or makes it lead
// elsewhere; to nothing takes it away.
func (k *Kernel) Link(target, path string) {
	k.tb.Helper()
	path = filepath.Join(k.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		k.tb.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		k.tb.Fatal(err)
	}
	if target == "" {
		return
	}
	if err := os.Symlink(target, path); err != nil {
		k.tb.Fatal(err)
	}
}

func (k *Kernel) write(path, text string) {
	k.tb.Helper()
	path = filepath.Join(k.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		k.tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.tb.Fatal(err)
	}
}

// Open opens the node at a path below Root, which may be a link.
func (k *Kernel) Open(path string) (ioctl func(req uintptr, arg unsafe.Pointer) error, err error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, syscall.ENOENT
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nodes[filepath.Base(target)]
	if !ok {
		return nil, syscall.ENODEV
	}
	return func(req uintptr, arg unsafe.Pointer) error {
		k.mu.Lock()
		now, ok := k.nodes[filepath.Base(n.Path)]
		k.mu.Unlock()
		if !ok || now.Bus != n.Bus || now.Card != n.Card {
			return syscall.ENODEV // what was opened is gone, whoever has its number now
		}
		return n.ioctl(req, arg)
	}, nil
}

// Numbers of ioctls (the lowest byte of VIDIOC_*), and values of enum
// v4l2_buf_type and enum v4l2_frmsizetypes.
const (
	nrQueryCap   = 0
	nrEnumFmt    = 2
	nrReqBufs    = 8
	nrEnumSizes  = 74
	nrEnumRates  = 75
	typeCapture  = 1
	typeOutput   = 2
	typePlanes   = 8 // added, where a buffer has several
	sizeDiscrete = 1
	sizeStepwise = 3
)

// ioctl answers one question. The structures are those of
// include/uapi/linux/videodev2.h, here as words of 32 bits.
func (n *VideoNode) ioctl(req uintptr, arg unsafe.Pointer) error {
	words := func(count int) []uint32 { return unsafe.Slice((*uint32)(arg), count) }
	switch req & 0xff {
	case nrQueryCap:
		b := unsafe.Slice((*byte)(arg), 80)
		copy(b[:15], n.Driver)
		copy(b[16:47], n.Card)
		copy(b[48:79], n.Bus)
		w := words(26)
		w[21], w[22] = n.Capabilities, n.DeviceCaps
		return nil
	case nrEnumFmt:
		w := words(16)
		list := n.queue(w[1])
		if int(w[0]) >= len(list) {
			return syscall.EINVAL
		}
		w[11] = uint32(list[w[0]])
		return nil
	case nrEnumSizes:
		w := words(11)
		if !slices.Contains(append(slices.Clone(n.Formats), n.Inputs...), device.FourCC(w[1])) {
			return syscall.EINVAL
		}
		return n.size(w)
	case nrEnumRates:
		w := words(13)
		if w[0] > 0 || !n.Camera {
			return syscall.EINVAL
		}
		w[4], w[5], w[6] = sizeDiscrete, 1, 30
		return nil
	case nrReqBufs:
		return nil
	}
	return syscall.ENOTTY
}

// size answers VIDIOC_ENUM_FRAMESIZES: two sizes of cameras, a range of others.
func (n *VideoNode) size(w []uint32) error {
	if n.Camera {
		sizes := [][2]uint32{{640, 480}, {1280, 720}}
		if int(w[0]) >= len(sizes) {
			return syscall.EINVAL
		}
		w[2], w[3], w[4] = sizeDiscrete, sizes[w[0]][0], sizes[w[0]][1]
		return nil
	}
	if w[0] > 0 {
		return syscall.EINVAL
	}
	const least, most, step = 32, 1920, 2 // of bcm2835-codec
	w[2] = sizeStepwise
	copy(w[3:9], []uint32{least, most, step, least, most, step})
	return nil
}

// queue is what may go through a queue of this type.
func (n *VideoNode) queue(typ uint32) []device.FourCC {
	planes := uint32(0)
	if n.DeviceCaps&(capM2MMPlane|capCaptureMPlane|capOutputMPlane) != 0 {
		planes = typePlanes
	}
	switch typ - planes {
	case typeCapture:
		return n.Formats
	case typeOutput:
		return n.Inputs
	}
	return nil
}
