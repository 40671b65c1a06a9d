package v4l2

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

// Camera is an open V4L2 camera. It implements [device.Camera] and
// [device.Controller].
//
// While one method of capturing runs, the node and the fields it works on
// belong to that method's goroutine; mu is held only to enter, to leave and
// around the marks below. Calls about controls enter and leave as well, beside
// it, one at a time. Whoever is the last to leave after Close, or to give back a
// picture that was held, releases the camera: nothing is unmapped under anyone.
// Close waits for that, except during the function given to Next, where it may
// have been called from.
type Camera struct {
	info   device.Info
	node   node
	name   string // of the node, for the Driver's list of open ones
	first  bool   // it was not open before
	driver *Driver
	log    *slog.Logger

	mu       sync.Mutex
	changed  *sync.Cond // running, lent or released changed; uses mu
	running  bool       // a method of capturing is at work
	lent     bool       // a buffer is out with the function given to Next
	kept     bool       // that function called Hold
	out      int        // buffers that are held
	spare    int        // how many may be
	filling  bool       // buffers that come back are queued again
	lost     error      // why one that came back could not be
	asking   int        // calls about controls, at work or waiting
	closed   bool       // Close was called
	closers  int        // calls of Close that wait
	released bool       // the node is closed
	trouble  error      // what went wrong while it was released

	// turn is full while a call about controls is at work, and subscribed (the
	// controls whose changes are told) is its.
	turn       chan struct{}
	subscribed map[uint32]bool
	changes    chan struct{} // holds one signal for all changes of controls

	// The fields from here on belong to the method of capturing at work.
	stream stream
}

var (
	_ device.Camera     = (*Camera)(nil)
	_ device.Controller = (*Camera)(nil)
)

// Open opens the camera at path: a video node, a link to one such as those
// below /dev/v4l, or any other [device.Info] ID. It changes nothing in the camera. Errors are *device.OpError
// of kind ErrNotFound, ErrPermission, ErrBusy, ErrUnsupported (with what the
// path leads to as Detail) or ErrUnplugged.
func (d *Driver) Open(ctx context.Context, path string) (*Camera, error) {
	if ctx.Err() != nil {
		return nil, &device.OpError{Op: "open", Path: path, Err: context.Cause(ctx)}
	}
	path, err := d.find(ctx, path)
	if err != nil {
		return nil, err
	}
	n, err := d.kernel.open(d.real(path))
	if err != nil {
		return nil, openError(path, err)
	}
	c, err := d.adopt(n, path)
	if err != nil {
		_ = n.close() // Nothing was done with it; the first error counts.
		return nil, err
	}
	return c, nil
}

// OpenAlone is Open, and fails with ErrBusy when this Driver has the camera open
// already. The kernel would only say so at Start.
func (d *Driver) OpenAlone(ctx context.Context, path string) (*Camera, error) {
	c, err := d.Open(ctx, path)
	if err != nil || c.first {
		return c, err
	}
	_ = c.Close() // Nothing was done with it.
	return nil, &device.OpError{Op: "open", Path: path, Kind: device.ErrBusy, Err: errOurs}
}

var errOurs = errors.New("in use by another source of this program")

// adopt makes an open node a Camera, if it is one.
func (d *Driver) adopt(n node, path string) (*Camera, error) {
	kind, err := n.queryCap()
	if err != nil {
		return nil, notV4L2(n, path, err)
	}
	reason := judge(kind)
	if reason == "" {
		formats, err := listFormats(n)
		if err != nil {
			return nil, failure(n, "v4l2 list formats", path, "", err)
		}
		reason = judgeFormats(formats)
	}
	if reason != "" {
		return nil, &device.OpError{Op: "open", Path: path, Detail: reason, Kind: device.ErrUnsupported}
	}
	name := d.nodeName(path)
	id := cmp.Or(d.stableNames()[name], d.busID(name, kind.bus), path)
	c := &Camera{
		info:       cameraInfo(kind, path, id),
		node:       n,
		name:       name,
		driver:     d,
		log:        d.log.With("path", path),
		turn:       make(chan struct{}, 1),
		subscribed: map[uint32]bool{},
		changes:    make(chan struct{}, 1),
	}
	c.changed = sync.NewCond(&c.mu)
	c.first = d.opened(name, 1) == 1
	return c, nil
}

// Info says what the camera is.
func (c *Camera) Info() device.Info { return c.info }

// Modes lists the usable pixel formats with their sizes and rates, in the order
// of the driver. Where the driver offers a range of sizes, common ones within
// it are listed, then the largest and the smallest.
func (c *Camera) Modes(ctx context.Context) ([]device.Mode, error) {
	const op = "v4l2 list modes"
	if err := c.enter(op); err != nil {
		return nil, err
	}
	defer c.leave()
	return c.modes(ctx, op, device.Format{})
}

func (c *Camera) modes(ctx context.Context, op string, want device.Format) ([]device.Mode, error) {
	if err := c.interrupted(ctx, op); err != nil {
		return nil, err
	}
	formats, err := listFormats(c.node)
	if err != nil {
		return nil, c.failure(op, "", err)
	}
	modes, err := listModes(ctx, c.node, formats, want)
	if err != nil {
		return nil, c.failure(op, "", err)
	}
	return modes, nil
}

// Close stops and releases the camera. It waits for pictures that are held to be
// given back. It returns nil when it was closed before, and what went wrong
// while releasing it otherwise; the camera is released in any case.
func (c *Camera) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.closed
	c.closed = true
	if first {
		c.node.wake()
	}
	c.closers++
	defer func() { c.closers-- }()
	for !c.released && (!c.running || !c.lent) {
		if c.releaseLocked(); c.released {
			break
		}
		c.changed.Wait()
	}
	if first && c.released {
		return c.trouble
	}
	return nil
}

// enter begins a method. The error matches ErrClosed after Close.
func (c *Camera) enter(op string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.errClosed(op)
	}
	if c.running {
		return &device.OpError{Op: op, Path: c.info.Path, Err: errOverlap}
	}
	c.running = true
	return nil
}

// errOverlap says that the rule of one capturing goroutine was broken.
var errOverlap = errors.New("another call is still running")

// leave ends a method.
func (c *Camera) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	c.leftLocked()
}

// leftLocked does what a Close in between left to who leaves last. The caller
// holds mu.
func (c *Camera) leftLocked() {
	c.releaseLocked()
	c.changed.Broadcast()
}

// enterControls begins a call about controls, when no other is at work.
func (c *Camera) enterControls(ctx context.Context, op string) (leave func(), err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, c.errClosed(op)
	}
	c.asking++
	c.mu.Unlock()
	left := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking--
		c.leftLocked()
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		left()
		return nil, &device.OpError{Op: op, Path: c.info.Path, Err: context.Cause(ctx)}
	}
	return func() {
		<-c.turn
		left()
	}, nil
}

// releaseLocked ends the stream and closes the node, once Close was called and
// nobody uses them any more. The caller holds mu. After unplugging this is what
// lets the kernel give the node's number to the camera when it comes back.
func (c *Camera) releaseLocked() {
	if !c.closed || c.running || c.released {
		return
	}
	c.filling = false
	// The camera stops at once, even while pictures are held.
	c.trouble = errors.Join(c.trouble, c.streamOff())
	if c.out > 0 || c.asking > 0 {
		return
	}
	c.trouble = errors.Join(c.trouble, c.freeStream())
	if err := c.node.close(); err != nil {
		c.trouble = errors.Join(c.trouble, &device.OpError{Op: "close", Path: c.info.Path, Err: err})
	}
	c.released = true
	if c.trouble != nil && c.closers == 0 {
		c.log.Debug("camera released with errors", "err", c.trouble)
	}
	c.driver.opened(c.name, -1)
	c.changed.Broadcast()
}

// interrupted returns why a method should end: Close or the context.
func (c *Camera) interrupted(ctx context.Context, op string) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return c.errClosed(op)
	}
	if ctx.Err() != nil {
		return &device.OpError{Op: op, Path: c.info.Path, Err: context.Cause(ctx)}
	}
	return nil
}

// wake ends a wait. It may be called from any goroutine at any time.
func (c *Camera) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.released {
		c.node.wake()
	}
}

func (c *Camera) errClosed(op string) error {
	return &device.OpError{Op: op, Path: c.info.Path, Kind: device.ErrClosed}
}

// failure describes why op failed on this camera.
func (c *Camera) failure(op, detail string, err error) error {
	return failure(c.node, op, c.info.Path, detail, err)
}
