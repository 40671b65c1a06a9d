package v4l2

import (
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// fakeKernel is a scripted kernel: devices by node name. Paths are real, in a
// directory of the test, so that links and permissions of the tree are too.
type fakeKernel struct{ devices map[string]*fakeDevice }

func (k *fakeKernel) open(path string) (node, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, unix.ENOENT
	}
	d := k.devices[filepath.Base(target)]
	if d == nil {
		return nil, &notDeviceError{"a regular file"}
	}
	return d.open()
}

// fakeDevice is one device and can fail in every way that is handled.
type fakeDevice struct {
	cap       capability
	formats   []formatDesc
	sizes     []sizeRange     // for all formats
	intervals []intervalRange // for all sizes
	grant     func(*rawFormat)
	buffers   uint32                        // most buffers granted, 0 means as asked
	sizesOf   map[device.FourCC][]sizeRange // instead of sizes
	rates     func(fract) fract             // what S_PARM grants, instead of 50 or 100 fps
	controls  []*fakeControl
	auto      bool // frames come by themselves, at the granted rate
	instant   bool // a frame is there whenever one is waited for

	mu       sync.Mutex
	fail     map[string][]error // by call: what the next calls return, nil is success
	broken   map[string]error   // by call: what all calls return
	calls    []string
	owner    *fakeNode // who has buffers
	exported int       // descriptors of buffers, open now
	nodes    int       // open now
	opened   int       // ever
	gone     bool
	fmt      rawFormat
	parm     fract
}

// fakeFrame is one picture to deliver.
type fakeFrame struct {
	data  []byte
	flags uint32
	seq   uint32
	stamp time.Duration // 0 means now
	index uint32        // added to the buffer's real index
	err   error         // of DQBUF, instead of a picture
}

type fakeNode struct {
	*fakeDevice
	wakeup chan struct{} // an eventfd: one signal may wait
	change chan struct{}

	// Guarded by mu of the device.
	memory [][]byte
	mapped int
	queued []uint32
	filled []rawBuffer
	errs   []error // after filled, in order
	on     bool
	events int16 // added to those of poll
	told   []rawEvent
	subs   map[rawSubscription]bool
	seq    uint32
	tick   time.Time
	closed bool
}

var errFakeMisuse = unix.EBADF

func webcam() *fakeDevice {
	return &fakeDevice{
		cap:     capability{driver: "uvcvideo", card: "Test Cam", bus: "usb-1", caps: capVideoCapture | capStreaming},
		formats: []formatDesc{{fourcc: device.YUYV}, {fourcc: device.MJPG}},
		sizes:   []sizeRange{discreteSize(640, 480), discreteSize(1280, 720)},
		intervals: []intervalRange{
			{min: fract{1, 100}, max: fract{1, 100}, discrete: true},
			{min: fract{1, 50}, max: fract{1, 50}, discrete: true},
		},
	}
}

func (d *fakeDevice) open() (node, error) {
	if err := d.call("open"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes++
	d.opened++
	return &fakeNode{fakeDevice: d, wakeup: make(chan struct{}, 1), change: make(chan struct{}, 1), subs: map[rawSubscription]bool{}}, nil
}

// call logs a call and gives the error scripted for it.
func (d *fakeDevice) call(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.instant {
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

func (n *fakeNode) queryCap() (capability, error) { return n.cap, n.call("querycap") }

func (n *fakeNode) enumFormat(i uint32) (formatDesc, error) {
	if err := n.call("enumformat"); err != nil {
		return formatDesc{}, err
	}
	return at(n.formats, i)
}

func (n *fakeNode) enumSize(i uint32, f device.FourCC) (sizeRange, error) {
	if err := n.call("enumsize"); err != nil {
		return sizeRange{}, err
	}
	if n.sizesOf != nil {
		return at(n.sizesOf[f], i)
	}
	return at(n.sizes, i)
}

func (n *fakeNode) enumInterval(i uint32, _ device.FourCC, _, _ uint32) (intervalRange, error) {
	if err := n.call("enuminterval"); err != nil {
		return intervalRange{}, err
	}
	return at(n.intervals, i)
}

func at[T any](list []T, i uint32) (v T, err error) {
	if int(i) >= len(list) {
		return v, unix.EINVAL
	}
	return list[i], nil
}

func (n *fakeNode) getFormat(f *rawFormat) error {
	if err := n.call("gfmt"); err != nil {
		return err
	}
	*f = n.fmt
	return nil
}

func (n *fakeNode) setFormat(f *rawFormat) error {
	if err := n.call("sfmt"); err != nil {
		return err
	}
	f.BytesPerLine, f.SizeImage = 0, 1<<16
	if device.FourCC(f.PixelFormat) == device.YUYV {
		f.BytesPerLine, f.SizeImage = 2*f.Width, 2*f.Width*f.Height
	}
	if n.grant != nil {
		n.grant(f)
	}
	n.fmt = *f
	return nil
}

func (n *fakeNode) getParm(p *rawParm) error {
	err := n.call("gparm")
	p.TimePerFrame = n.parm
	return err
}

func (n *fakeNode) setParm(p *rawParm) error {
	if err := n.call("sparm"); err != nil {
		return err
	}
	if n.rates != nil {
		n.parm = n.rates(p.TimePerFrame)
		return nil
	}
	n.parm = fract{1, 50}
	if seconds(p.TimePerFrame) < 1.0/75 {
		n.parm = fract{1, 100}
	}
	return nil
}

func (n *fakeNode) requestBuffers(r *rawRequest) error {
	if err := n.call("reqbufs"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owner != nil && n.owner != n || n.mapped > 0 {
		return unix.EBUSY
	}
	n.owner, n.memory, n.queued, n.filled = nil, nil, nil, nil
	if n.buffers > 0 {
		r.Count = min(r.Count, n.buffers)
	}
	for range r.Count {
		n.owner, n.memory = n, append(n.memory, make([]byte, n.fmt.SizeImage))
	}
	return nil
}

func (n *fakeNode) queryBuffer(b *rawBuffer) error {
	if err := n.call("querybuf"); err != nil {
		return err
	}
	b.Offset, b.Length = uintptr(b.Index)<<12, uint32(len(n.memory[b.Index]))
	return nil
}

func (n *fakeNode) mmap(offset int64, length int) ([]byte, error) {
	if err := n.call("mmap"); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mapped++
	return n.memory[offset>>12][:length], nil
}

func (n *fakeNode) munmap(data []byte) error {
	n.mu.Lock()
	n.mapped--
	for i := range data {
		data[i] = 0xdb // so that a use after unmapping is seen
	}
	n.mu.Unlock()
	return n.call("munmap")
}

func (n *fakeNode) queue(b *rawBuffer) error {
	if err := n.call("qbuf"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queued = append(n.queued, b.Index)
	return nil
}

func (n *fakeNode) exportBuffer(e *rawExport) error {
	if err := n.call("expbuf"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if int(e.Index) >= len(n.memory) || e.Type != bufTypeVideoCapture || e.Flags&unix.O_CLOEXEC == 0 {
		return unix.EINVAL
	}
	n.exported++
	e.FD = int32(100 + e.Index)
	return nil
}

func (n *fakeNode) closeExport(int) error {
	n.mu.Lock()
	n.exported--
	n.mu.Unlock()
	return n.call("closeexport")
}

func (n *fakeNode) dequeue(b *rawBuffer) error {
	if err := n.call("dqbuf"); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.produceLocked()
	if len(n.filled) > 0 {
		*b = n.filled[0]
		n.filled = append(n.filled[:0], n.filled[1:]...)
		return nil
	}
	if len(n.errs) > 0 {
		err := n.errs[0]
		n.errs = n.errs[1:]
		return err
	}
	return unix.EAGAIN
}

func (n *fakeNode) stream(on bool) error {
	name := "streamoff"
	if on {
		name = "streamon"
	}
	if err := n.call(name); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on, n.tick = on, time.Now().Add(n.intervalLocked())
	if !on {
		n.queued, n.filled, n.seq = nil, nil, 0
	}
	return nil
}

func (n *fakeNode) intervalLocked() time.Duration {
	return time.Duration(seconds(n.parm) * float64(time.Second))
}

// produceLocked makes the frames that are due.
func (n *fakeNode) produceLocked() {
	for n.auto && n.on && !n.tick.After(time.Now()) {
		n.fillLocked(fakeFrame{data: picture(&n.fmt), seq: n.seq, stamp: time.Since(epoch) - time.Since(n.tick)})
		n.seq++
		n.tick = n.tick.Add(n.intervalLocked())
	}
}

// picture is what a working camera delivers in this format.
func picture(f *rawFormat) []byte {
	if device.FourCC(f.PixelFormat).Compressed() {
		return []byte{0xff, 0xd8, 'p', 'i', 'c', 0xff, 0xd9}
	}
	return make([]byte, f.SizeImage)
}

// epoch is when CLOCK_MONOTONIC of the fake was 0.
var epoch = time.Now().Add(-time.Hour)

// fillLocked puts a frame into the next queued buffer; without one it is lost.
func (n *fakeNode) fillLocked(f fakeFrame) {
	if f.err != nil {
		n.errs = append(n.errs, f.err)
		return
	}
	if len(n.queued) == 0 {
		return
	}
	i := n.queued[0]
	n.queued = append(n.queued[:0], n.queued[1:]...)
	if f.stamp == 0 {
		f.stamp = time.Since(epoch)
	}
	n.filled = append(n.filled, rawBuffer{
		Index: i + f.index, BytesUsed: uint32(copy(n.memory[i], f.data)), Flags: f.flags | bufFlagTimestampMono,
		Sequence: f.seq, Sec: int64(f.stamp / time.Second), Usec: int64(f.stamp % time.Second / time.Microsecond),
	})
}

// deliver makes frames available at once.
func (n *fakeNode) deliver(frames ...fakeFrame) {
	n.mu.Lock()
	for _, f := range frames {
		n.fillLocked(f)
	}
	n.mu.Unlock()
	n.changed()
}

// unplug takes the device away.
func (d *fakeDevice) unplug() {
	d.mu.Lock()
	d.gone = true
	n := d.owner
	d.mu.Unlock()
	if n != nil {
		n.changed()
	}
}

func (n *fakeNode) changed() {
	select {
	case n.change <- struct{}{}:
	default:
	}
}

func (n *fakeNode) wait() (int16, error) {
	if err := n.call("poll"); err != nil && !n.isGone() {
		return 0, err
	}
	for {
		events, due := n.poll()
		select {
		case <-n.wakeup:
			return 0, nil
		default:
		}
		if events != 0 {
			return events, nil
		}
		var timer <-chan time.Time
		if due > 0 {
			timer = time.After(due)
		}
		select {
		case <-n.wakeup:
			return 0, nil
		case <-n.change:
		case <-timer:
		}
	}
}

func (n *fakeNode) isGone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// poll returns the events now and when to look again, 0 for never.
func (n *fakeNode) poll() (events int16, due time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return unix.POLLERR | unix.POLLHUP, 0
	}
	if n.instant && len(n.filled) == 0 {
		n.fillLocked(fakeFrame{data: jpegPicture, seq: n.seq, stamp: time.Hour})
		n.seq++
	}
	n.produceLocked()
	if len(n.filled) > 0 || len(n.errs) > 0 {
		events = unix.POLLIN
	}
	if len(n.told) > 0 {
		events |= unix.POLLPRI
	}
	if n.auto && n.on {
		due = max(time.Until(n.tick), 1)
	}
	return events | n.events, due
}

var jpegPicture = []byte{0xff, 0xd8, 'p', 'i', 'c', 0xff, 0xd9}

func (n *fakeNode) pause(d time.Duration) error {
	if err := n.call("pause"); err != nil && !n.isGone() {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.wakeup:
	}
	return nil
}

func (n *fakeNode) wake() {
	select {
	case n.wakeup <- struct{}{}:
	default:
	}
}

func (n *fakeNode) now() (time.Duration, error) { return time.Since(epoch), n.call("clock") }

func (n *fakeNode) close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return errFakeMisuse
	}
	n.closed = true
	n.nodes--
	if n.owner == n {
		n.owner = nil
	}
	n.mu.Unlock()
	return n.call("close")
}
