package source

import (
	"context"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// native finishes a source that we read ourselves: what only ffmpeg could do is
// warned of, once, and the delay is ours.
func (p *parser) native(s *Source) *Source {
	const reason = "has no effect on this source"
	if p.opt.Stabilize {
		p.log.Warn("source option discarded", "key", "stabilize", "reason", reason)
	}
	if p.opt.Colorspace != "" {
		p.log.Warn("source option discarded", "key", "colorspace", "reason", reason)
	}
	p.warnExtra()
	return p.delayed(s)
}

// warnExtra warns of FFmpeg's options where ffmpeg is not used.
func (p *parser) warnExtra() {
	for _, name := range sorted(p.keys.extra) {
		p.log.Warn("source option discarded", "key", name, "reason", "this source is not read by ffmpeg: set the api to ffgear")
	}
}

// delayed makes Start of each camera wait.
func (p *parser) delayed(s *Source) *Source {
	open := s.Open
	s.Open = func(ctx context.Context) (device.Camera, error) {
		cam, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return p.late(cam), nil
	}
	return s
}

// late makes the camera wait when it is started, if that is wanted.
func (p *parser) late(cam device.Camera) device.Camera {
	if p.opt.TimeDelay <= 0 {
		return cam
	}
	late := &lateCamera{Camera: cam, delay: p.opt.TimeDelay, closed: make(chan struct{})}
	if c, ok := cam.(device.Controller); ok {
		return struct {
			*lateCamera
			device.Controller
		}{late, c}
	}
	return late
}

// lateCamera waits after it was started, so that a camera can settle.
type lateCamera struct {
	device.Camera
	delay  time.Duration
	once   sync.Once
	closed chan struct{}
}

// Start starts the camera and waits for the delay. Pictures that come meanwhile
// are skipped as any others.
func (c *lateCamera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	granted, err := c.Camera.Start(ctx, want)
	if err != nil {
		return granted, err
	}
	t := time.NewTimer(c.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return granted, nil
	case <-ctx.Done():
		err = &device.OpError{Op: "start", Path: c.Info().Path, Err: context.Cause(ctx)}
		_ = c.Stop() // the context says more
		return device.Format{}, err
	case <-c.closed:
		return device.Format{}, &device.OpError{Op: "start", Path: c.Info().Path, Kind: device.ErrClosed}
	}
}

// Close also ends a Start that waits.
func (c *lateCamera) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Camera.Close()
}
