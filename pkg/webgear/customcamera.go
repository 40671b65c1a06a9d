package webgear

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// customCamera makes a camera of a custom source.
type customCamera struct {
	custom
	// turn holds a value while somebody asks the source.
	turn chan struct{}

	granted device.Format
	started bool
	due     time.Time // of the next picture
	seq     uint32
	first   []byte // told the size; shown by the first Next

	closed chan struct{}

	mu       sync.Mutex // guards what follows, and closing of closed
	isClosed bool
	asking   bool    // a call of the source is on its way
	drawer   *drawer // used by that call; freed once closed and not asking
}

// defaultRate is how often a function is asked, per second.
const defaultRate = 30

// Info says what the camera is.
func (c *customCamera) Info() device.Info {
	return device.Info{Driver: "custom", Name: "Custom source", Path: c.name, ID: c.name}
}

// Modes gives the one mode there is. Before Start it asks for a picture, which
// alone can tell the size; Start shows it then.
func (c *customCamera) Modes(ctx context.Context) ([]device.Mode, error) {
	if err := c.look(ctx); err != nil {
		return nil, err
	}
	m := device.Mode{FourCC: device.MJPG, Width: c.granted.Width, Height: c.granted.Height}
	if c.granted.Rate.Float() > 0 {
		m.Rates = []device.Rate{c.granted.Rate}
	}
	return []device.Mode{m}, nil
}

// Start gets the first picture, which tells the size.
func (c *customCamera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	if err := c.look(ctx); err != nil {
		return device.Format{}, err
	}
	c.granted.Rate = want.Rate
	if c.paced && want.Rate.Float() <= 0 {
		c.granted.Rate = device.Rate{Num: defaultRate, Den: 1}
	}
	c.started, c.due = true, time.Now()
	return c.granted, nil
}

// look sees to it that there is a first picture.
func (c *customCamera) look(ctx context.Context) error {
	if c.first != nil && ctx.Err() == nil && !c.done() {
		return nil
	}
	picture, err := c.ask(ctx)
	if err != nil {
		return err
	}
	info, err := jpeg.Header(picture)
	switch {
	case err != nil:
		return c.fail("start", device.ErrDamaged, err)
	case tooLarge(info.Width, info.Height):
		return c.fail("start", device.ErrUnsupported, fmt.Errorf("picture of %dx%d pixels is too large", info.Width, info.Height))
	}
	c.granted.FourCC, c.granted.Width, c.granted.Height = device.MJPG, info.Width, info.Height
	c.first = picture
	return nil
}

// Next asks the source, not before the next picture is due.
func (c *customCamera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	switch {
	case c.done():
		return c.fail("read", device.ErrClosed, nil)
	case ctx.Err() != nil:
		return c.fail("read", nil, context.Cause(ctx))
	case !c.started:
		return c.fail("read", nil, errors.New("not started"))
	}
	picture := c.first
	c.first = nil
	if picture == nil {
		err := c.pace(ctx)
		if err == nil {
			picture, err = c.ask(ctx)
		}
		if err != nil {
			return err
		}
	}
	now := time.Now()
	c.seq++
	b := &device.Buffer{Data: picture, Format: c.granted, DriverSeq: c.seq, CapturedAt: now, ReceivedAt: now}
	if info, err := jpeg.Header(picture); err == nil {
		b.Format.Width, b.Format.Height = info.Width, info.Height
		b.Corrupt = tooLarge(info.Width, info.Height) // nobody may take its size for real
	}
	return use(b)
}

// pace waits until the next picture is due. A source that is late is not hurried
// afterwards.
func (c *customCamera) pace(ctx context.Context) error {
	if !c.paced {
		return nil
	}
	c.due = c.due.Add(time.Duration(float64(time.Second) / c.granted.Rate.Float()))
	wait := time.Until(c.due)
	if wait <= 0 {
		c.due = time.Now()
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return c.fail("read", nil, context.Cause(ctx))
	case <-c.closed:
		return c.fail("read", device.ErrClosed, nil)
	}
}

// answer is what the source gave.
type answer struct {
	picture []byte
	err     error
}

// ask asks the source for a picture and does not wait longer than the context
// and the camera live, even when the source does. Then its goroutine is on its
// own until the function returns; nobody else asks meanwhile.
func (c *customCamera) ask(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := func() error {
		if c.done() {
			return c.fail("read", device.ErrClosed, nil)
		}
		return c.fail("read", nil, context.Cause(ctx))
	}
	if c.done() || ctx.Err() != nil {
		return nil, ended()
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ended()
	case <-c.closed:
		return nil, ended()
	}
	if !c.begin() {
		<-c.turn
		return nil, ended()
	}
	got := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("the function ended its goroutine")}
		defer func() {
			if v := recover(); v != nil {
				a = answer{err: fmt.Errorf("panic: %v%s", v, panicPlace())}
			}
			c.end()
			<-c.turn
			got <- a
		}()
		p, err := c.next(ctx, c.drawer)
		a = answer{p, err}
	}()
	select {
	case a := <-got:
		switch {
		case a.err != nil && (c.done() || ctx.Err() != nil):
			return nil, ended() // it was told to stop, and did, whatever it says
		case errors.Is(a.err, io.EOF):
			return nil, c.fail("read", device.ErrEnded, nil)
		case a.err != nil:
			return nil, c.fail("read", nil, a.err)
		}
		return a.picture, nil
	case <-ctx.Done():
		return nil, ended()
	case <-c.closed:
		return nil, ended()
	}
}

// begin notes a call of the source; false when the camera was closed.
func (c *customCamera) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = !c.isClosed
	return c.asking
}

// end notes that the call is over. If Close came meanwhile, what it had to leave
// is done here.
func (c *customCamera) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
	if c.isClosed {
		c.drawer.close()
	}
}

// panicPlace finds out in which line of the program a panic began, as
// " at file:line". It is for the function that recovers.
func panicPlace() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for thrown := false; ; {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if thrown && !inRuntime {
			return fmt.Sprintf(" at %s:%d", filepath.Base(f.File), f.Line)
		}
		thrown = thrown || inRuntime
		if !more {
			return ""
		}
	}
}

// Stop lets the source rest.
func (c *customCamera) Stop() error {
	if c.done() {
		return c.fail("stop", device.ErrClosed, nil)
	}
	c.first, c.started = nil, false
	return nil
}

// Close ends the camera. A function that ignores the end of its context is not
// waited for.
func (c *customCamera) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return nil
	}
	c.isClosed = true
	close(c.closed)
	if !c.asking {
		c.drawer.close()
	}
	return nil
}

// configure makes the settings those by which images and pixels are encoded. It
// comes before everything else.
func (c *customCamera) configure(s Settings) { c.drawer = newDrawer(s) }

func (c *customCamera) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isClosed
}

func (c *customCamera) fail(op string, kind, err error) error {
	return &device.OpError{Op: "custom source " + op, Path: c.name, Kind: kind, Err: err}
}
