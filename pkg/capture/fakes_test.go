package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// fakeMaker makes encoders that fail in every way, and otherwise encode.
type fakeMaker struct {
	name     string
	hardware bool
	refuses  bool
	newErr   error
	fail     func(n int) error                          // of the n-th picture, from 1
	spoil    func(n int, b device.Buffer) device.Buffer // what is encoded instead
	result   func(out []byte) []byte                    // what is made of it
	takes    time.Duration
	hangs    atomic.Bool   // Encode waits for hang
	hang     chan struct{} // closed to let it go on

	mu sync.Mutex
	c  makerCounts
}

type makerCounts struct{ opened, closed, pictures, most, now int }

func (m *fakeMaker) counts() makerCounts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.c
}

func (m *fakeMaker) maker() device.EncoderMaker {
	return device.EncoderMaker{
		Name: m.name, Hardware: m.hardware,
		Accepts: func(f device.Format) bool { return !m.refuses && !f.FourCC.Compressed() },
		New: func(_ context.Context, f device.Format, quality int) (device.Encoder, error) {
			if m.newErr != nil {
				return nil, m.newErr
			}
			e, err := encode.New(f, encode.Options{Quality: quality})
			if err != nil {
				return nil, err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.c.opened++
			return &fakeEncoder{Encoder: e, m: m}, nil
		},
	}
}

type fakeEncoder struct {
	*encode.Encoder
	m      *fakeMaker
	busy   atomic.Bool
	closed atomic.Bool
}

func (e *fakeEncoder) Name() string { return e.m.name }

func (e *fakeEncoder) Encode(b *device.Buffer) ([]byte, error) {
	if !e.busy.CompareAndSwap(false, true) || e.closed.Load() {
		return nil, errors.New("misuse: two pictures at once, or closed")
	}
	defer e.busy.Store(false)
	m := e.m
	m.mu.Lock()
	m.c.pictures++
	m.c.now++
	m.c.most = max(m.c.most, m.c.now)
	n := m.c.pictures
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.c.now--
		m.mu.Unlock()
	}()
	if m.takes > 0 {
		time.Sleep(m.takes) // in the bubble
	}
	if m.hangs.Load() {
		<-m.hang
	}
	if m.fail != nil {
		if err := m.fail(n); err != nil {
			return nil, err
		}
	}
	in := *b
	if m.spoil != nil {
		in = m.spoil(n, in)
	}
	out, err := e.Encoder.Encode(&in)
	if err == nil && m.result != nil {
		out = m.result(out)
	}
	return out, err
}

func (e *fakeEncoder) Close() {
	if e.closed.CompareAndSwap(false, true) {
		e.m.mu.Lock()
		e.m.c.closed++
		e.m.mu.Unlock()
	}
	e.Encoder.Close()
}

// fakeControls makes a camera with controls, and lends its pictures in memory
// that can be held.
type fakeControls struct {
	device.Camera
	changed chan struct{}
	quiet   func() // called by SetControls, for controls that restart

	mu    sync.Mutex
	list  []device.Control
	sets  []map[string]device.ControlValue
	held  int
	free  *sync.Cond
	holds int // ever
	shut  bool
	stuck bool // no memory to spare
}

func newFakeControls(cam device.Camera) *fakeControls {
	c := &fakeControls{Camera: cam, changed: make(chan struct{}, 1), quiet: func() {}}
	c.free = sync.NewCond(&c.mu)
	c.list = []device.Control{
		{ID: "brightness", Kind: device.ControlInteger, Min: 0, Max: 100, Value: device.NumberValue(50)},
		{ID: "exposure", Kind: device.ControlInteger, Min: 0, Max: 1000, Value: device.NumberValue(100), Restarts: true},
		{ID: "model", Kind: device.ControlText, ReadOnly: true},
		{ID: "focus_now", Kind: device.ControlButton},
	}
	return c
}

func (c *fakeControls) Controls(ctx context.Context) ([]device.Control, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, device.ErrClosed
	}
	return slices.Clone(c.list), ctx.Err()
}

func (c *fakeControls) SetControls(_ context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, device.ErrClosed
	}
	for id, v := range values {
		i := slices.IndexFunc(c.list, func(x device.Control) bool { return x.ID == id })
		if i < 0 || c.list[i].ReadOnly || v.Number > c.list[i].Max && c.list[i].Kind == device.ControlInteger {
			return nil, fmt.Errorf("control %s: cannot be set to %s", id, v)
		}
	}
	restarts := false
	for i, x := range c.list {
		if v, ok := values[x.ID]; ok {
			c.list[i].Value = v
			restarts = restarts || x.Restarts
		}
	}
	c.sets = append(c.sets, values)
	if restarts {
		c.quiet()
	}
	c.tellLocked()
	return slices.Clone(c.list), nil
}

func (c *fakeControls) ControlsChanged() <-chan struct{} { return c.changed }

func (c *fakeControls) tellLocked() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// change changes a value as a user of another program would.
func (c *fakeControls) change(i int, v float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list[i].Value = device.NumberValue(v)
	c.tellLocked()
}

// values prints the list.
func (c *fakeControls) value(i int) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list[i].Value.Number
}

func (c *fakeControls) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Camera.Next(ctx, func(b *device.Buffer) error {
		mine := *b
		mine.Data = bytes.Clone(b.Data)
		kept := false
		mine.Hold = func() (func(), bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.stuck || c.held >= 2 {
				return nil, false
			}
			kept = true
			c.held++
			c.holds++
			return sync.OnceFunc(func() {
				for i := range mine.Data {
					mine.Data[i] = 0xdb
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				c.held--
				c.free.Broadcast()
			}), true
		}
		err := use(&mine)
		if !kept {
			for i := range mine.Data {
				mine.Data[i] = 0xdb
			}
		}
		return err
	})
}

// Close waits for pictures that are held.
func (c *fakeControls) Close() error {
	err := c.Camera.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for c.held > 0 {
		c.free.Wait()
	}
	return err
}
