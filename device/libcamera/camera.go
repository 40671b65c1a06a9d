package libcamera

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/feed"
)

// Camera is one camera on the ribbon cable.
type Camera struct {
	drv     *Driver
	listed  *listed
	board   Board
	base    Options // of Open
	info    device.Info
	log     *slog.Logger
	life    *feed.Life
	changed chan struct{} // ControlsChanged

	mu       sync.Mutex
	opt      Options  // in force, or from the next Start on
	good     Options  // pictures came with these
	session  *session // nil unless capturing
	metadata Metadata
	told     bool // metadata was set
	delay    time.Duration
	timeouts uint64
}

var (
	_ device.Camera     = (*Camera)(nil)
	_ device.Controller = (*Camera)(nil)
)

func newCamera(d *Driver, c *listed, opt Options) *Camera {
	kept := d.keptOptions(c.id, opt)
	return &Camera{
		drv: d, listed: c, board: d.board(c), base: opt, opt: kept, good: opt, info: c.info(),
		life: feed.NewLife(c.info().Path), changed: make(chan struct{}, 1),
		log: d.log.With("path", c.info().Path, "sensor", c.sensor),
	}
}

// Info says what the camera is.
func (c *Camera) Info() device.Info { return c.info }

// Metadata gives what libcamera said about the newest picture. ok is false
// while it said nothing. It stays after Stop.
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

// Options gives those in force.
func (c *Camera) Options() Options {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opt
}

// plan chooses what is nearest to want, with the options in force.
func (c *Camera) plan(want device.Format, opt Options) plan {
	return newPlan(c.listed, c.board, c.drv.raw(c.board), opt, want)
}

// Modes lists usual sizes and those of the sensor's modes. Every other size is
// possible as well: the hardware scales.
func (c *Camera) Modes(ctx context.Context) ([]device.Mode, error) {
	if err := c.life.Check(ctx, "enumerate formats"); err != nil {
		return nil, err
	}
	return c.listed.offers(c.plan(device.Format{}, c.Options()).format.FourCC), nil
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
// does not reach is lowered. Controls that were set since the camera was opened
// and that the program refuses go back to what they were.
func (c *Camera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	const op = "start"
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	if err := c.life.Check(ctx, op); err != nil {
		return device.Format{}, err
	}
	if c.current() != nil {
		return device.Format{}, c.life.Started(op)
	}
	until, release := c.life.Until(ctx)
	defer release()
	if err := c.drv.begin(until); err != nil {
		return device.Format{}, c.life.Explain(ctx, op, err)
	}
	c.mu.Lock()
	opt, good := c.opt, c.good
	c.mu.Unlock()
	s, err := startSession(until, c, want, opt)
	if errors.Is(err, device.ErrUnsupported) && !reflect.DeepEqual(opt, good) {
		c.log.Warn("controls refused by rpicam-vid, going back to those before", "controls", strings.Join(differing(opt, good), ", "), "err", err)
		opt = good
		s, err = startSession(until, c, want, opt)
	}
	if err != nil {
		c.drv.end()
		if errors.Is(err, device.ErrNotFound) || errors.Is(err, device.ErrUnplugged) {
			c.drv.lost()
		}
		return device.Format{}, c.life.Explain(ctx, op, err)
	}
	c.inForce(opt)
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	return s.format, nil
}

// inForce notes options with which pictures came.
func (c *Camera) inForce(opt Options) {
	c.mu.Lock()
	c.opt, c.good = opt, opt
	c.mu.Unlock()
	c.drv.keepOptions(c.listed.id, c.base, opt)
}

func (c *Camera) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Next lends the newest picture. While changed controls start the program anew
// it waits.
func (c *Camera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	const op = "next"
	if err := c.life.Check(ctx, op); err != nil {
		return err
	}
	s := c.current()
	if s == nil {
		return c.life.NotStarted(op)
	}
	p, err := s.feed.Take(ctx, c.life.Closed())
	if err != nil {
		if errors.Is(err, device.ErrUnplugged) {
			c.drv.lost()
		}
		return c.life.Explain(ctx, op, err)
	}
	defer s.feed.GiveBack(p)
	return use(&p.Buffer)
}

// Stop ends the program. What automatic exposure had found stays known, see
// LastExposure.
func (c *Camera) Stop() error {
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	if c.life.IsClosed() {
		return c.life.Fail("stop", device.ErrClosed, nil)
	}
	c.end()
	return nil
}

// end halts the session if there is one. The caller holds life.Busy.
func (c *Camera) end() {
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	if s != nil {
		s.stop()
		c.keepExposure()
		c.drv.end()
	}
}

// Close ends everything. It waits for the program, which gets 2 s to give the
// camera back in order. Pictures that are lent or held stay as they are.
func (c *Camera) Close() error {
	c.life.Close()
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	c.end()
	return nil
}
