package m2m

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

const (
	// outputBuffers hold the picture: Encode waits for each, so one is enough.
	outputBuffers = 1
	// captureBuffers hold the file: the Pi's firmware may give one back that has
	// nothing to do with the picture, and then needs another.
	captureBuffers = 2
)

// Encoder is one hardware encoder at work. See [device.Encoder].
type Encoder struct {
	name, path     string
	log            *slog.Logger
	timeout, first time.Duration
	format         device.Format
	control        control
	quality        atomic.Int32
	closed         atomic.Bool

	// The fields below belong to the goroutine that encodes.
	node            node
	memory          []byte // of the messages
	output, capture queue
	copier          *copier
	pictureBytes    int // of a whole picture in the encoder's buffer
	applied         int32
	on              bool // both queues run
	proven          bool // a picture came back since they do
	began           time.Time
	stamp           time.Duration // of the last picture
	next            int           // of the buffers for pictures
	dropped         int
	imports         imports
	copied          uint64 // bytes of pictures, into the encoder's memory
}

var (
	_ device.Encoder = (*Encoder)(nil)

	errFormat  = errors.New("another format than the encoder was made for")
	errQuality = errors.New("quality must be 1 to 100")
	errFlagged = errors.New("the encoder flags the result as damaged")
	errEmpty   = errors.New("the result is empty")
	errDrained = errors.New("the encoder says that it is at the end")
	errSilent  = errors.New("no answer in time")
)

// open prepares the encoder e for pictures of a format.
func (f *Finder) open(ctx context.Context, e *found, format device.Format, quality int) (*Encoder, error) {
	const op = "m2m open"
	if ctx.Err() != nil {
		return nil, &device.OpError{Op: op, Path: e.path, Err: context.Cause(ctx)}
	}
	if !e.accepts(format) {
		return nil, &device.OpError{Op: op, Path: e.path, Detail: format.String(), Kind: device.ErrUnsupported}
	}
	if quality < 1 || quality > 100 {
		return nil, &device.OpError{Op: op, Path: e.path, Err: errQuality}
	}
	n, err := f.kernel.open(f.real(e.path))
	if err != nil {
		return nil, openError(e.path, err)
	}
	enc := &Encoder{
		name: e.name(), path: e.path, log: f.log, timeout: f.timeout, first: f.first,
		format: format, node: n, began: time.Now(),
	}
	enc.quality.Store(int32(quality))
	if err := enc.setUp(e); err != nil {
		enc.Close()
		return nil, err
	}
	return enc, nil
}

// setUp negotiates and gets buffers. After an error the caller closes.
func (e *Encoder) setUp(f *found) error {
	c, err := queryCap(e.node)
	if err != nil {
		return e.fail("m2m query capabilities", "", err)
	}
	if c.driver != f.driver || c.card != f.card {
		// Nodes are numbered as they come.
		return &device.OpError{Op: "m2m open", Path: e.path, Detail: "is " + c.card + " now", Kind: device.ErrNotFound}
	}
	messages, memory, err := newArena()
	if err != nil {
		return e.fail("m2m allocate", "", err)
	}
	e.memory = memory
	output, capture := f.types()
	e.output = queue{node: e.node, typ: output, multi: f.multi, msg: &messages.output, mem: memoryMMAP}
	e.capture = queue{node: e.node, typ: capture, multi: f.multi, msg: &messages.capture, mem: memoryMMAP}
	if err := e.negotiate(f); err != nil {
		return err
	}
	if err := setRate(e.node, output, e.format); err != nil {
		return e.fail("m2m set rate", e.format.Rate.String()+" fps", err)
	}
	if e.control = findControl(e.node, e.format); e.control.id == 0 {
		e.log.Warn("encoder has no control for quality", "path", e.path, "encoder", f.card)
	} else if err := e.control.set(e.node, int(e.quality.Load())); err != nil {
		return e.fail("m2m set quality", fmt.Sprint(e.quality.Load()), err)
	}
	e.applied = e.quality.Load()
	if err := e.ownBuffers(); err != nil {
		return err
	}
	if err := e.capture.allocate(captureBuffers); err != nil {
		return e.noBuffers(err)
	}
	return nil
}

// ownBuffers gets memory that pictures are copied into.
func (e *Encoder) ownBuffers() error {
	if err := e.output.allocate(outputBuffers); err != nil {
		return e.noBuffers(err)
	}
	for _, m := range e.output.maps {
		if len(m) < e.pictureBytes {
			return e.fail("m2m request buffers", fmt.Sprintf("of %d bytes for pictures of %d", len(m), e.pictureBytes), unix.EPROTO)
		}
	}
	return nil
}

// noBuffers describes a failure to get buffers.
func (e *Encoder) noBuffers(err error) error {
	detail := "for " + e.format.String()
	if is(err, unix.ENOMEM) {
		detail += ": contiguous memory is used up; raise cma= on the kernel's command line, lower gpu_mem, or close other programs"
	}
	return e.fail("m2m request buffers", detail, err)
}

// start gives the driver its buffers and starts both queues.
func (e *Encoder) start() error {
	e.on, e.proven = true, false
	for i := range e.capture.maps {
		if err := e.capture.enqueue(uint32(i), 0, 0); err != nil {
			return e.fail("m2m queue buffer", "", err)
		}
	}
	for _, q := range []*queue{&e.output, &e.capture} {
		if err := q.stream(true); err != nil {
			return e.fail("m2m stream on", "", err)
		}
	}
	return nil
}

// stop takes all buffers from the driver, so that start begins anew. What fails
// in it shows when the encoder is used again.
func (e *Encoder) stop() {
	for _, q := range []*queue{&e.output, &e.capture} {
		if e.on || q.on {
			_ = q.stream(false)
		}
	}
	e.on = false
}

// Name gives the encoder's card and node.
func (e *Encoder) Name() string { return e.name }

// Size is that of the pictures: the hardware does not scale.
func (e *Encoder) Size() (width, height int) { return e.format.Width, e.format.Height }

// SetQuality sets the quality of later pictures, from the next one on. It fails
// when the hardware has no control for it.
func (e *Encoder) SetQuality(quality int) error {
	const op = "m2m set quality"
	switch {
	case e.closed.Load():
		return &device.OpError{Op: op, Path: e.path, Kind: device.ErrClosed}
	case quality < 1 || quality > 100:
		return &device.OpError{Op: op, Path: e.path, Detail: fmt.Sprint(quality), Err: errQuality}
	case e.control.id == 0:
		return &device.OpError{Op: op, Path: e.path, Kind: device.ErrUnsupported}
	}
	e.quality.Store(int32(quality))
	return nil
}

// applyQuality passes a new quality on. A driver that takes it only while
// stopped is stopped.
func (e *Encoder) applyQuality() error {
	q := e.quality.Load()
	if q == e.applied {
		return nil
	}
	err := e.control.set(e.node, int(q))
	if is(err, unix.EBUSY) && e.on {
		e.stop()
		err = e.control.set(e.node, int(q))
	}
	if err != nil {
		return e.fail("m2m set quality", fmt.Sprint(q), err)
	}
	e.applied = q
	return nil
}

// Close stops the hardware and gives its memory back.
func (e *Encoder) Close() {
	if e.closed.Swap(true) {
		return
	}
	e.stop()
	e.output.release()
	e.capture.release()
	_ = e.node.close() // There is nobody to tell.
	if e.memory != nil {
		_ = unix.Munmap(e.memory)
		e.memory, e.output.msg, e.capture.msg = nil, nil, nil
	}
	e.log.Debug("encoder closed", "path", e.path, "dropped", e.dropped, "imported", e.imports.pictures, "copied_bytes", e.copied)
}

// fail describes why op failed.
func (e *Encoder) fail(op, detail string, err error) error {
	f := &device.OpError{Op: op, Path: e.path, Detail: detail, Err: err}
	switch {
	case is(err, unix.ENODEV, unix.ENXIO):
		f.Kind = device.ErrUnplugged
	case is(err, unix.EBUSY):
		f.Kind = device.ErrBusy
	case errors.Is(err, errSilent):
		f.Kind = device.ErrStalled
	case errors.Is(err, errFlagged), errors.Is(err, errEmpty), errors.Is(err, errDrained):
		f.Kind = device.ErrDamaged
	}
	return f
}

// openError describes why an encoder could not be opened.
func openError(path string, err error) error {
	f := &device.OpError{Op: "m2m open", Path: path, Err: err}
	switch {
	case is(err, unix.ENOENT, unix.ENOTTY, unix.ENODEV, unix.ENXIO):
		f.Kind = device.ErrNotFound
	case is(err, unix.EACCES, unix.EPERM):
		f.Kind = device.ErrPermission
	case is(err, unix.EBUSY):
		f.Kind = device.ErrBusy
	}
	return f
}

// setCrop tells the encoder which part of a padded picture is to be seen. Those
// that remember the height that was asked for need no telling, some cannot be
// told; what they make of it is checked with each file.
func (e *Encoder) setCrop() {
	s := rawSelection{Type: e.output.typ, Target: selTargetCrop, Width: uint32(e.format.Width), Height: uint32(e.format.Height)}
	if err := e.node.ioctl(vidiocSetSelection, unsafe.Pointer(&s)); err != nil {
		e.log.Debug("encoder took no crop", "path", e.path, "err", err)
	}
}
