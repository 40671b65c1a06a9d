package libcamera

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

// Camera is one camera on the ribbon cable.
type Camera struct {
	drv    *Driver
	listed *listed
	board  Board
	opt    Options
	info   device.Info
	log    *slog.Logger
	closed chan struct{} // closed by Close

	// busy is held by the calls that start and end the program. Whoever holds it
	// ends soon when closed is closed.
	busy sync.Mutex

	mu       sync.Mutex
	stream   *stream // nil unless capturing
	metadata Metadata
	told     bool // metadata was set
	timeouts uint64
}

var _ device.Camera = (*Camera)(nil)

var (
	errNotStarted = errors.New("not started")
	errStarted    = errors.New("already started")
)

func newCamera(d *Driver, c *listed, opt Options) *Camera {
	return &Camera{
		drv: d, listed: c, board: d.board(c), opt: opt, info: c.info(), closed: make(chan struct{}),
		log: d.log.With("path", c.info().Path, "sensor", c.sensor),
	}
}

// Info says what the camera is.
func (c *Camera) Info() device.Info { return c.info }

// Metadata gives what libcamera said about the newest picture. ok is false
// while it said nothing.
func (c *Camera) Metadata() (m Metadata, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metadata, c.told
}

// Timeouts counts how often the program found that the sensor had fallen silent
// and started it again, since Open.
func (c *Camera) Timeouts() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timeouts
}

func (c *Camera) fail(op string, kind, cause error) error {
	return &device.OpError{Op: op, Path: c.info.Path, Kind: kind, Err: cause}
}

func (c *Camera) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// check refuses calls after Close and with a context that has ended.
func (c *Camera) check(ctx context.Context, op string) error {
	switch {
	case c.isClosed():
		return c.fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return c.fail(op, nil, context.Cause(ctx))
	}
	return nil
}

// Modes lists usual sizes and those of the sensor's modes. Every other size is
// possible as well: the hardware scales.
func (c *Camera) Modes(ctx context.Context) ([]device.Mode, error) {
	if err := c.check(ctx, "enumerate formats"); err != nil {
		return nil, err
	}
	return c.listed.offers(newPlan(c.listed, c.board, c.opt, device.Format{}).format.FourCC), nil
}

// offers gives the sizes that a camera has in one format, the usual ones first.
func (c *listed) offers(code device.FourCC) []device.Mode {
	mostWidth, mostHeight := c.largest()
	type size struct{ width, height int }
	sizes := []size{{defaultWidth, defaultHeight}, {640, 480}, {1920, 1080}, {800, 600}, {1536, 864}}
	native := make([]size, 0, len(c.modes))
	for _, m := range c.modes {
		native = append(native, size{m.Width &^ 1, m.Height &^ 1})
	}
	slices.SortFunc(native, func(a, b size) int { return cmp.Compare(a.width*a.height, b.width*b.height) })
	var modes []device.Mode
	seen := map[size]bool{}
	for _, s := range append(sizes, native...) {
		if seen[s] || s.width > mostWidth || s.height > mostHeight || s.width < minSide || s.height < minSide {
			continue
		}
		seen[s] = true
		modes = append(modes, device.Mode{FourCC: code, Width: s.width, Height: s.height, Rates: rates(c.maxFPS(s.width, s.height))})
	}
	if len(modes) == 0 {
		modes = []device.Mode{{FourCC: code, Width: clampSide(defaultWidth, mostWidth), Height: clampSide(defaultHeight, mostHeight)}}
	}
	return modes
}

// rates gives the usual rates up to the sensor's own, which is first.
func rates(most float64) []device.Rate {
	if most == 0 {
		return nil
	}
	all := []device.Rate{device.FPS(most)}
	for _, fps := range []float64{120, 90, 60, 50, 30, 25, 20, 15, 10, 5, 1} {
		if fps < all[0].Float() {
			all = append(all, device.FPS(fps))
		}
	}
	return all
}

// Start runs the program and waits for its first picture. The size is granted as
// wanted within what the sensor has, with even sides; a rate that the sensor
// does not reach is lowered.
func (c *Camera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	const op = "start"
	c.busy.Lock()
	defer c.busy.Unlock()
	if err := c.check(ctx, op); err != nil {
		return device.Format{}, err
	}
	if c.current() != nil {
		return device.Format{}, c.fail(op, nil, errStarted)
	}
	ctx, release := c.until(ctx)
	defer release()
	if err := c.drv.begin(ctx); err != nil {
		return device.Format{}, c.startError(ctx, op, err)
	}
	s, err := c.launch(ctx, newPlan(c.listed, c.board, c.opt, want))
	if err != nil {
		c.drv.end()
		if errors.Is(err, device.ErrNotFound) || errors.Is(err, device.ErrUnplugged) {
			c.drv.lost()
		}
		return device.Format{}, c.startError(ctx, op, err)
	}
	c.mu.Lock()
	c.stream = s
	c.mu.Unlock()
	return s.format, nil
}

// launch starts the program, again without the options that it refuses.
func (c *Camera) launch(ctx context.Context, p plan) (*stream, error) {
	for range newerOptions() {
		s, refused, err := startStream(ctx, c, p)
		if err == nil {
			return s, nil
		}
		if refused == "" || c.drv.lacks(refused) || !slices.Contains(newerOptions(), refused) {
			return nil, err
		}
		c.drv.refuse(refused)
	}
	return nil, c.fail("start", device.ErrUnsupported, nil)
}

// startError says why the program could not be started.
func (c *Camera) startError(ctx context.Context, op string, err error) error {
	switch {
	case c.isClosed():
		return c.fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return c.fail(op, nil, context.Cause(ctx))
	}
	if _, ok := errors.AsType[*device.OpError](err); ok {
		return err
	}
	return c.fail(op, nil, err)
}

// until gives a context that also ends when the camera is closed, and a function
// that releases it.
func (c *Camera) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-c.closed:
			cancel(device.ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-gone
	}
}

func (c *Camera) current() *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream
}

// Next lends the newest picture.
func (c *Camera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	const op = "next"
	if err := c.check(ctx, op); err != nil {
		return err
	}
	s := c.current()
	if s == nil {
		return c.fail(op, nil, errNotStarted)
	}
	p, err := s.next(ctx, c.closed)
	switch {
	case err == nil:
	case c.isClosed():
		return c.fail(op, device.ErrClosed, nil)
	default:
		if errors.Is(err, device.ErrUnplugged) {
			c.drv.lost()
		}
		if _, ok := errors.AsType[*device.OpError](err); ok {
			return err
		}
		return c.fail(op, nil, err)
	}
	defer s.giveBack(p)
	return use(&p.lent)
}

// Stop ends the program.
func (c *Camera) Stop() error {
	c.busy.Lock()
	defer c.busy.Unlock()
	if c.isClosed() {
		return c.fail("stop", device.ErrClosed, nil)
	}
	c.end()
	return nil
}

// end halts the stream if there is one. The caller holds busy.
func (c *Camera) end() {
	c.mu.Lock()
	s := c.stream
	c.stream = nil
	c.mu.Unlock()
	if s != nil {
		s.halt()
		c.drv.end()
	}
}

// Close ends everything. It waits for the program, which gets 2 s to give the
// camera back in order. A picture that is lent stays as it is.
func (c *Camera) Close() error {
	c.mu.Lock()
	if !c.isClosed() {
		close(c.closed)
	}
	c.mu.Unlock()
	c.busy.Lock()
	defer c.busy.Unlock()
	c.end()
	return nil
}
