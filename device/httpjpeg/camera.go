package httpjpeg

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// DefaultTimeout is how long a camera may send nothing. Chosen: longer than the
// pauses of a camera on a bad radio link, shorter than a person's patience.
const DefaultTimeout = 10 * time.Second

// Rates at which snapshots are asked for, in pictures per second. Chosen: more
// than the highest is no longer a matter of single pictures, less than the
// lowest no longer one of live pictures.
const (
	minRate     = 0.1
	maxRate     = 30
	defaultRate = 5
)

// Options says where the pictures come from. Only URL is needed.
type Options struct {
	// URL is the address of a stream or of a snapshot. User and password in it
	// are sent as Basic authentication, to this host only.
	URL string
	// Client makes the connections, for proxies or certificates of one's own.
	// Its time-out and redirect rule are not used, and its idle connections are
	// left to its owner. Nil means one with a connect time-out of 5 s and no
	// proxy.
	Client *http.Client
	// Timeout is how long the camera may send nothing, and a third of how long
	// it may take for one picture. 0 means DefaultTimeout.
	Timeout time.Duration
	// Logger receives state changes. Nil means none.
	Logger *slog.Logger
}

// Camera is a camera on the network. It connects in Start.
type Camera struct {
	opt    Options
	target *target

	closed chan struct{} // closed by Close

	mu            sync.Mutex
	session       *session // nil while stopped
	width, height int      // of the pictures that were seen last; guarded by mu

	granted device.Format // only the capturing goroutine uses it
}

var _ device.Camera = (*Camera)(nil)

// New makes a camera from its URL. It does not connect yet.
func New(opt Options) (*Camera, error) {
	if opt.Timeout <= 0 {
		opt.Timeout = DefaultTimeout
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	t, err := newTarget(opt.URL, opt.Client)
	if err != nil {
		return nil, &device.OpError{Op: "httpjpeg open URL", Kind: device.ErrUnsupported, Err: err}
	}
	opt.URL = t.path // the rest is for the target only
	return &Camera{opt: opt, target: t, closed: make(chan struct{})}, nil
}

// Info says what the camera is. Passwords are left out of its path.
func (c *Camera) Info() device.Info {
	path := c.target.path
	return device.Info{Driver: "httpjpeg", Name: "Network camera " + c.target.url.Host, Path: path, ID: path}
}

// Modes gives the one mode of the pictures. The first call connects and waits
// for a picture, unless Start did already.
func (c *Camera) Modes(ctx context.Context) ([]device.Mode, error) {
	const op = "read format"
	if err := c.check(ctx, op); err != nil {
		return nil, err
	}
	width, height := c.size()
	if width == 0 {
		if _, err := c.start(ctx, op, defaultRate); err != nil {
			return nil, err
		}
		if err := c.Stop(); err != nil {
			return nil, err
		}
		width, height = c.size()
	}
	return []device.Mode{{FourCC: device.MJPG, Width: width, Height: height}}, nil
}

// Start connects and waits for the first picture. Whatever is asked for, the
// camera's own format is granted; the rate matters for snapshots only, and is
// not known for streams.
func (c *Camera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	const op = "start"
	if err := c.check(ctx, op); err != nil {
		return device.Format{}, err
	}
	fps := want.Rate.Float()
	if fps == 0 {
		fps = defaultRate
	}
	fps = min(max(fps, minRate), maxRate)
	s, err := c.start(ctx, op, fps)
	if err != nil {
		return device.Format{}, err
	}
	c.granted = device.Format{FourCC: device.MJPG, Width: s.width, Height: s.height}
	kind := "stream"
	if s.snapshot {
		c.granted.Rate = device.FPS(fps)
		kind = "snapshots"
	}
	c.opt.Logger.Debug("network camera connected", "path", c.target.path, "kind", kind, "width", s.width, "height", s.height)
	return c.granted, nil
}

// start begins a session and waits for its first picture.
func (c *Camera) start(ctx context.Context, op string, fps float64) (*session, error) {
	c.mu.Lock()
	switch {
	case c.isClosed():
		c.mu.Unlock()
		return nil, c.fail(op, device.ErrClosed, nil)
	case c.session != nil:
		c.mu.Unlock()
		return nil, c.fail(op, nil, errStarted)
	}
	s := begin(ctx, c.target, c.opt.Logger, c.opt.Timeout, time.Duration(float64(time.Second)/fps))
	c.session = s
	c.mu.Unlock()

	var err error
	select {
	case <-s.ready:
	case <-c.closed:
		err = c.fail(op, device.ErrClosed, nil)
	case <-ctx.Done():
		err = c.fail(op, nil, context.Cause(ctx))
	case <-s.done:
		err = c.sessionError(op, s.err)
	}
	select {
	case <-s.ready: // whatever else happened, Next tells of it
	default:
		_ = c.Stop() // the error tells more; it fails only when closed
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.width, c.height = s.width, s.height
	return s, nil
}

// Next waits for a picture that is newer than the last one and lends it.
func (c *Camera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	const op = "next"
	if err := c.check(ctx, op); err != nil {
		return err
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return c.fail(op, nil, errNotBegun)
	}
	for {
		p, stale, err := s.box.take()
		switch {
		case c.isClosed():
			return c.fail(op, device.ErrClosed, nil)
		case p != nil:
			defer s.box.giveBack(p)
			return use(&device.Buffer{
				Data: p.data, Format: c.granted, DriverSeq: p.seq, Stale: stale, Corrupt: p.corrupt,
				CapturedAt: p.capturedAt, ReceivedAt: p.receivedAt,
			})
		case err != nil:
			return c.sessionError(op, err)
		}
		select {
		case <-c.closed:
		case <-ctx.Done():
			return c.fail(op, nil, context.Cause(ctx))
		case <-s.box.wake:
		}
	}
}

// Stop disconnects.
func (c *Camera) Stop() error {
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	c.endSession(s)
	if c.isClosed() {
		return c.fail("stop", device.ErrClosed, nil)
	}
	return nil
}

// Close disconnects for good. A picture that is lent stays as it is.
func (c *Camera) Close() error {
	c.mu.Lock()
	if !c.isClosed() {
		close(c.closed)
	}
	s := c.session
	c.mu.Unlock()
	c.endSession(s)
	return nil
}

func (c *Camera) endSession(s *session) {
	if s == nil {
		return
	}
	s.end()
	if c.opt.Client == nil {
		c.target.client.CloseIdleConnections()
	}
}

func (c *Camera) size() (width, height int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.width, c.height
}

func (c *Camera) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// check refuses calls after Close and with a context that ended.
func (c *Camera) check(ctx context.Context, op string) error {
	switch {
	case c.isClosed():
		return c.fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return c.fail(op, nil, context.Cause(ctx))
	}
	return nil
}

// sessionError is what the end of a session means to the caller.
func (c *Camera) sessionError(op string, err error) error {
	if c.isClosed() || errors.Is(err, errStopped) {
		return c.fail(op, device.ErrClosed, nil)
	}
	return c.fail(op, kindOf(err), err)
}

func (c *Camera) fail(op string, kind, cause error) error {
	return &device.OpError{Op: "httpjpeg " + op, Path: c.target.path, Kind: kind, Err: cause}
}
