package v4l2

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

// Camera is an open V4L2 camera. It implements [device.Camera].
//
// While one method runs, the node and the fields it works on belong to that
// method's goroutine; mu is held only to enter, to leave and around the marks
// below. Close waits for the method to leave, so that no buffer is unmapped
// under it; the one exception is a Close during the function given to Next
// (it may come from that very function): then Next releases the camera as soon
// as the function returned.
type Camera struct {
	info   device.Info
	node   node
	name   string // of the node, for the Driver's list of open ones
	driver *Driver
	log    *slog.Logger

	mu       sync.Mutex
	changed  *sync.Cond // running, lent or released changed; uses mu
	running  bool       // a method is at work
	lent     bool       // a buffer is out with the function given to Next
	closed   bool       // Close was called
	released bool       // the node is closed

	// The fields from here on belong to the method at work.
	stream stream
}

var _ device.Camera = (*Camera)(nil)

// Open opens the camera at path, a video node or a link to one, such as those
// below /dev/v4l. It changes nothing in the camera. Errors are *device.OpError
// of kind ErrNotFound, ErrPermission, ErrBusy, ErrUnsupported (with what the
// path leads to as Detail) or ErrUnplugged.
func (d *Driver) Open(ctx context.Context, path string) (*Camera, error) {
	if ctx.Err() != nil {
		return nil, &device.OpError{Op: "open", Path: path, Err: context.Cause(ctx)}
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
	id := d.stableNames()[name]
	if id == "" {
		id = path
	}
	c := &Camera{
		info:   cameraInfo(kind, path, id),
		node:   n,
		name:   name,
		driver: d,
		log:    d.log.With("path", path),
	}
	c.changed = sync.NewCond(&c.mu)
	d.opened(name, 1)
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

// Close stops and releases the camera. It returns nil when it was closed
// before, and what went wrong while releasing it otherwise; the camera is
// released in any case.
func (c *Camera) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.closed
	c.closed = true
	if first {
		c.node.wake()
	}
	for c.running && !c.lent {
		c.changed.Wait()
	}
	if first && !c.running {
		return c.releaseLocked()
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

// leave ends a method and does what a Close in between left to it.
func (c *Camera) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	if c.closed && !c.released {
		if err := c.releaseLocked(); err != nil {
			c.log.Debug("camera released with errors", "err", err)
		}
	}
	c.changed.Broadcast()
}

// releaseLocked ends the stream and closes the node. The caller holds mu, and no
// method is at work. After unplugging this is what lets the kernel give the
// node's number to the camera when it comes back.
func (c *Camera) releaseLocked() error {
	if c.released {
		return nil
	}
	err := c.stopStream()
	if cerr := c.node.close(); cerr != nil {
		err = errors.Join(err, &device.OpError{Op: "close", Path: c.info.Path, Err: cerr})
	}
	c.released = true
	c.driver.opened(c.name, -1)
	c.changed.Broadcast()
	return err
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

// setLent marks that a buffer is out, for Close.
func (c *Camera) setLent(lent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent = lent
	c.changed.Broadcast()
}

func (c *Camera) errClosed(op string) error {
	return &device.OpError{Op: op, Path: c.info.Path, Kind: device.ErrClosed}
}

// failure describes why op failed on this camera.
func (c *Camera) failure(op, detail string, err error) error {
	return failure(c.node, op, c.info.Path, detail, err)
}
