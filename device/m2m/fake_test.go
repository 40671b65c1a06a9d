package m2m

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// fakeKernel is a scripted kernel: devices by node name.
type fakeKernel struct{ devices map[string]*fakeDevice }

func (k *fakeKernel) open(path string) (node, error) {
	d := k.devices[filepath.Base(path)]
	if d == nil {
		return nil, unix.ENOTTY
	}
	if err := d.call("open"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes++
	n := &fakeNode{fakeDevice: d, memory: map[int64][]byte{}}
	for i := range n.queues {
		n.queues[i].buffers = map[uint32]int64{}
	}
	return n, nil
}

// fakeDevice is one memory-to-memory device that answers ioctls like the Pi's
// codec and can fail in every way that is handled. It really encodes.
type fakeDevice struct {
	driver, card string
	caps         uint32
	inputs       []device.FourCC
	codecs       []device.FourCC
	maxSide      uint32
	lines        uint32 // heights are rounded up to a multiple of it
	columns      uint32 // widths are
	stride       uint32 // rows are, in bytes
	controls     map[uint32][3]int32
	visible      bool // it remembers the height that was asked for, as the size of its results
	crops        bool // it knows S_SELECTION

	// Scripts.
	given     device.FourCC  // what S_FMT makes of the codec's format, 0 means as asked
	stray     []byte         // the first result of each stream, with time stamp 0
	canned    []byte         // every result, instead of encoding
	delay     time.Duration  // that a result takes
	spurious  int            // polls that say that there is something when there is not
	offset    uint32         // data_offset of results
	countOnly uint32         // buffers that REQBUFS gives at most, 0 means as asked
	busyCtrl  bool           // controls cannot be set while streaming
	shared    map[int][]byte // memory of others, by its descriptor
	imports   string         // what becomes of it: "", "no memory type", "refused", "garbled", "lost"

	mu      sync.Mutex
	fail    map[string][]error // by call: what the next calls return, nil is success
	broken  map[string]error   // by call: what all calls return
	calls   []string
	quiet   bool     // no calls are recorded
	fate    []string // of the next pictures: "", "lost", "error", "empty", "wrong time", "last", "hangup", "cut", "text"
	gone    bool
	nodes   int // open now
	maps    int // mapped now
	set     map[uint32]int32
	rate    [2]uint32
	crop    [2]uint32
	asked   rawPixFormatMP // by the last S_FMT of the OUTPUT queue
	fed     [][]byte       // pictures, when keep is set
	keep    bool
	encoded int
}

// fakeNode is one open instance. The queues are OUTPUT and CAPTURE.
type fakeNode struct {
	*fakeDevice
	memory map[int64][]byte // by offset
	next   int64
	queues [2]fakeQueue
	events int16
	strayN int
}

type fakeQueue struct {
	format  rawPixFormatMP
	want    [2]uint32 // the size that was asked for
	buffers map[uint32]int64
	queued  []fakeBuffer
	done    []fakeBuffer
	on      bool
	ended   bool // LAST was given
	memory  uint32
}

type fakeBuffer struct {
	index     uint32
	used      uint32
	flags     uint32
	offset    uint32
	sec, usec int64
	ready     time.Time
	picture   []byte // where it is not the driver's
}

func piImageEncoder() *fakeDevice {
	return &fakeDevice{
		driver: piDriver, card: piImage, caps: capM2MMPlane | capStreaming,
		inputs:  []device.FourCC{0x34363238, device.YU12, device.YUYV, device.UYVY, device.RGB24},
		codecs:  []device.FourCC{device.JPEG},
		maxSide: 1920, lines: 16, columns: 1, stride: 32, visible: true, crops: true,
		controls: map[uint32][3]int32{cidJPEGQuality: {1, 100, 80}},
	}
}

func piVideoEncoder() *fakeDevice {
	d := piImageEncoder()
	d.card, d.lines, d.stride = piVideo, 1, 64
	d.inputs = []device.FourCC{device.YU12, device.NV12}
	d.codecs = []device.FourCC{fourccH264, device.MJPG}
	d.controls = map[uint32][3]int32{cidVideoBitrate: {25_000, 25_000_000, 10_000_000}}
	return d
}

const fourccH264 = device.FourCC('H' | '2'<<8 | '6'<<16 | '4'<<24)

// call notes a call and gives the error scripted for it.
func (d *fakeDevice) call(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.quiet {
		d.calls = append(d.calls, name)
	}
	if next := d.fail[name]; len(next) > 0 {
		d.fail[name] = next[1:]
		if next[0] != nil {
			return next[0]
		}
	}
	if err := d.broken[name]; err != nil {
		return err
	}
	if d.gone && name != "close" && name != "munmap" {
		return unix.ENODEV
	}
	return nil
}

func callName(req uintptr) string {
	switch req {
	case vidiocQueryCap:
		return "querycap"
	case vidiocEnumFmt:
		return "enumfmt"
	case vidiocEnumFrameSizes:
		return "enumsizes"
	case vidiocSetFmt:
		return "setfmt"
	case vidiocReqBufs:
		return "reqbufs"
	case vidiocQueryBuf:
		return "querybuf"
	case vidiocQBuf:
		return "qbuf"
	case vidiocDQBuf:
		return "dqbuf"
	case vidiocStreamOn:
		return "streamon"
	case vidiocStreamOff:
		return "streamoff"
	case vidiocSetParm:
		return "setparm"
	case vidiocSetCtrl:
		return "setctrl"
	case vidiocQueryCtrl:
		return "queryctrl"
	case vidiocSetSelection:
		return "selection"
	}
	return "unknown"
}

func (n *fakeNode) ioctl(req uintptr, arg unsafe.Pointer) error {
	if err := n.call(callName(req)); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch req {
	case vidiocQueryCap:
		c := (*rawCapability)(arg)
		copy(c.Driver[:], n.driver)
		copy(c.Card[:], n.card)
		c.Capabilities, c.DeviceCaps = n.caps|capDeviceCaps|1, n.caps
		return nil
	case vidiocEnumFmt:
		return n.enumFormat((*rawFormatDesc)(arg))
	case vidiocEnumFrameSizes:
		s := (*rawSizeEnum)(arg)
		if s.Index > 0 {
			return unix.EINVAL
		}
		s.Type, s.MinWidth, s.MaxWidth, s.StepWidth, s.MinHeight, s.MaxHeight, s.StepHeight = 3, 32, n.maxSide, 2, 32, n.maxSide, 2
		return nil
	case vidiocSetFmt:
		return n.setFormat((*rawFormat)(arg))
	case vidiocReqBufs:
		return n.request((*rawRequest)(arg))
	case vidiocQueryBuf, vidiocQBuf, vidiocDQBuf:
		return n.buffer(req, (*rawBuffer)(arg))
	case vidiocStreamOn, vidiocStreamOff:
		q := n.queue(*(*uint32)(arg))
		if q == nil {
			return unix.EINVAL
		}
		q.on, q.ended = req == vidiocStreamOn, false
		if !q.on {
			q.queued, q.done = nil, nil
		} else {
			n.strayN = 0
		}
		n.work()
		return nil
	case vidiocSetParm:
		p := (*rawParm)(arg)
		n.rate = [2]uint32{p.Denominator, p.Numerator}
		return nil
	case vidiocSetCtrl:
		c := (*rawControl)(arg)
		l, ok := n.controls[c.ID]
		switch {
		case !ok:
			return unix.EINVAL
		case n.busyCtrl && n.queues[0].on:
			return unix.EBUSY
		case c.Value < l[0] || c.Value > l[1]:
			return unix.ERANGE
		}
		if n.set == nil {
			n.set = map[uint32]int32{}
		}
		n.set[c.ID] = c.Value
		return nil
	case vidiocQueryCtrl:
		c := (*rawQueryControl)(arg)
		l, ok := n.controls[c.ID]
		if !ok {
			return unix.EINVAL
		}
		c.Minimum, c.Maximum, c.Default, c.Step = l[0], l[1], l[2], 1
		return nil
	case vidiocSetSelection:
		s := (*rawSelection)(arg)
		if !n.crops {
			return unix.ENOTTY
		}
		n.crop = [2]uint32{s.Width, s.Height}
		return nil
	}
	return unix.ENOTTY
}

// queue finds the one of a buffer type, nil when the device has no such type.
func (n *fakeNode) queue(typ uint32) *fakeQueue {
	output, capture := uint32(typeOutputMPlane), uint32(typeCaptureMPlane)
	if !n.multi() {
		output, capture = typeOutput, typeCapture
	}
	switch typ {
	case output:
		return &n.queues[0]
	case capture:
		return &n.queues[1]
	}
	return nil
}

func (n *fakeNode) multi() bool { return n.caps&capM2MMPlane != 0 }

func (n *fakeNode) enumFormat(d *rawFormatDesc) error {
	list := n.codecs
	q := n.queue(d.Type)
	if q == nil {
		return unix.EINVAL
	}
	if q == &n.queues[0] {
		list = n.inputs
	}
	if int(d.Index) >= len(list) {
		return unix.EINVAL
	}
	d.PixelFormat = uint32(list[d.Index])
	return nil
}

func (n *fakeNode) setFormat(f *rawFormat) error {
	q := n.queue(f.Type)
	if q == nil {
		return unix.EINVAL
	}
	if len(q.buffers) > 0 {
		return unix.EBUSY
	}
	var p rawPixFormatMP
	if n.multi() {
		p = *f.multi()
	} else {
		s := f.single()
		p = rawPixFormatMP{Width: s.Width, Height: s.Height, PixelFormat: s.PixelFormat, Colorspace: s.Colorspace, NumPlanes: 1, Quantization: uint8(s.Quantization), YCbCrEnc: uint8(s.YCbCrEnc)}
		p.Planes[0].BytesPerLine = s.BytesPerLine
	}
	q.want = [2]uint32{p.Width, p.Height}
	if q == &n.queues[0] {
		n.asked = p
		n.grantInput(&p)
	} else {
		p.Width, p.Height = n.queues[0].format.Width, n.queues[0].format.Height
		if n.given != 0 {
			p.PixelFormat = uint32(n.given)
		}
		p.Planes[0] = rawPlaneFormat{SizeImage: max(p.Width*p.Height*2, 1<<16) + n.offset}
	}
	q.format = p
	if n.multi() {
		*f.multi() = p
	} else {
		s := f.single()
		s.Width, s.Height, s.PixelFormat = p.Width, p.Height, p.PixelFormat
		s.BytesPerLine, s.SizeImage = p.Planes[0].BytesPerLine, p.Planes[0].SizeImage
	}
	return nil
}

func (n *fakeNode) grantInput(p *rawPixFormatMP) {
	up := func(v, to uint32) uint32 { return (v + to - 1) / to * to }
	p.Width = up(min(max(p.Width, 32), n.maxSide), n.columns)
	p.Height = up(min(max(p.Height, 32), n.maxSide), n.lines)
	planes := planesOf(device.FourCC(p.PixelFormat))
	if planes == nil {
		p.PixelFormat = uint32(n.inputs[1])
		planes = planesOf(n.inputs[1])
	}
	row := up(max(uint32(planes[0].row(int(p.Width))), p.Planes[0].BytesPerLine), n.stride)
	places := layOut(planes, int(p.Width), int(p.Height), int(row), int(p.Height))
	last := places[len(places)-1]
	p.Planes[0] = rawPlaneFormat{BytesPerLine: row, SizeImage: uint32(last.offset + last.stride*last.rows)}
}

func (n *fakeNode) request(r *rawRequest) error {
	q := n.queue(r.Type)
	if q == nil || r.Memory != memoryMMAP && (q != &n.queues[0] || n.imports == "no memory type") || q.on && r.Count > 0 {
		return unix.EINVAL
	}
	q.memory = r.Memory
	if n.countOnly > 0 {
		r.Count = min(r.Count, n.countOnly-1)
	}
	for _, offset := range q.buffers {
		delete(n.memory, offset)
	}
	q.buffers = map[uint32]int64{}
	for i := range r.Count {
		n.next += 1 << 12
		q.buffers[i] = n.next
		if r.Memory != memoryMMAP {
			continue
		}
		n.memory[n.next] = make([]byte, q.format.Planes[0].SizeImage)
	}
	return nil
}

func (n *fakeNode) mmap(offset int64, length int) ([]byte, error) {
	if err := n.call("mmap"); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.memory[offset]
	if m == nil || length > len(m) {
		return nil, unix.EINVAL
	}
	n.maps++
	return m[:length:length], nil
}

func (n *fakeNode) munmap([]byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.maps--
	return nil
}

func (n *fakeNode) close() error {
	err := n.call("close")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes--
	return err
}

// rig is a Finder in a world with the given devices.
func rig(tb testing.TB, cfg Config, devices map[string]*fakeDevice) *Finder {
	tb.Helper()
	cfg.Root = tb.TempDir()
	for name := range devices {
		writeFile(tb, filepath.Join(cfg.Root, "dev", name))
	}
	tb.Cleanup(func() {
		for name, d := range devices {
			if d.nodes != 0 || d.maps != 0 {
				tb.Errorf("%s: %d nodes are open and %d buffers mapped at the end", name, d.nodes, d.maps)
			}
		}
	})
	return newFinder(cfg, &fakeKernel{devices})
}
