package webgear

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// A custom source is a function or a channel that gives pictures. It is asked
// once per picture, however many viewers there are. A function is asked at the
// wanted rate, 30 per second unless Options.Want says otherwise, and may take
// longer; it should return when its context ends. io.EOF, or closing the
// channel, is the end of the pictures. Any other error is shown to the viewers
// as a failure, and the function is asked again.

// JPEGFunc is a source of whole JPEG files. The function gives a slice away: it
// must not change it afterwards.
func JPEGFunc(next func(ctx context.Context) ([]byte, error)) Opener {
	return custom("function", true, func(*encode.PixelEncoder) func(context.Context) ([]byte, error) { return next })
}

// ImageFunc is a source of pictures, which are encoded with the settings. An
// image may be drawn anew for every call.
func ImageFunc(next func(ctx context.Context) (image.Image, error)) Opener {
	return custom("function", true, func(enc *encode.PixelEncoder) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			img, err := next(ctx)
			if err != nil {
				return nil, err
			}
			if img == nil {
				return nil, errors.New("no image")
			}
			return enc.EncodeImage(img)
		}
	})
}

// PixelFunc is a source of raw pictures of width by height pixels, rows without
// padding, in the layout that colorspace names, such as BGR.
func PixelFunc(width, height int, colorspace string, next func(ctx context.Context) ([]byte, error)) Opener {
	return custom("function", true, func(enc *encode.PixelEncoder) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			space, err := encode.ParseColorspace(colorspace)
			if err != nil {
				return nil, err
			}
			pixels, err := next(ctx)
			if err != nil {
				return nil, err
			}
			return enc.EncodePixels(pixels, width, height, 0, space)
		}
	})
}

// JPEGChannel is a source of whole JPEG files, shown as they come.
func JPEGChannel(pictures <-chan []byte) Opener {
	return custom("channel", false, func(*encode.PixelEncoder) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) { return receive(ctx, pictures) }
	})
}

// ImageChannel is a source of pictures, encoded and shown as they come.
func ImageChannel(pictures <-chan image.Image) Opener {
	return custom("channel", false, func(enc *encode.PixelEncoder) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			img, err := receive(ctx, pictures)
			if err != nil {
				return nil, err
			}
			return enc.EncodeImage(img)
		}
	})
}

// receive waits for the channel; its end is io.EOF.
func receive[T any](ctx context.Context, from <-chan T) (T, error) {
	var zero T
	select {
	case v, ok := <-from:
		if !ok {
			return zero, io.EOF
		}
		return v, nil
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// custom makes an opener. The encoder is for sources that do not give JPEG; it
// uses the best quality that is worth its bytes, because the settings may have
// it encoded again.
func custom(name string, paced bool, source func(*encode.PixelEncoder) func(context.Context) ([]byte, error)) Opener {
	return func(context.Context) (device.Camera, error) {
		enc, err := encode.NewPixelEncoder(encode.Options{Quality: defaultQuality})
		if err != nil {
			return nil, err
		}
		return &customCamera{name: name, paced: paced, enc: enc, next: source(enc), closed: make(chan struct{})}, nil
	}
}

// customCamera makes a camera of a function.
type customCamera struct {
	name  string
	paced bool
	enc   *encode.PixelEncoder
	next  func(context.Context) ([]byte, error)

	granted device.Format
	due     time.Time // of the next picture
	seq     uint32
	first   []byte // told Start the size; shown by the first Next

	once   sync.Once
	closed chan struct{}
	// calls is held while next runs, so that the encoder outlives it.
	calls sync.Mutex
}

// Info says what the camera is.
func (c *customCamera) Info() device.Info {
	return device.Info{Driver: "custom", Name: "Custom source", Path: c.name, ID: c.name}
}

// Modes is empty before Start: only the pictures tell their size.
func (c *customCamera) Modes(context.Context) ([]device.Mode, error) {
	if c.isClosed() {
		return nil, c.fail("enumerate formats", device.ErrClosed, nil)
	}
	if c.granted.FourCC == 0 {
		return nil, nil
	}
	return []device.Mode{{FourCC: device.MJPG, Width: c.granted.Width, Height: c.granted.Height, Rates: []device.Rate{c.granted.Rate}}}, nil
}

// Start gets the first picture, which tells the size.
func (c *customCamera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	picture, err := c.call(ctx)
	if err != nil {
		return device.Format{}, err
	}
	info, err := jpeg.Header(picture)
	if err != nil {
		return device.Format{}, c.fail("start", device.ErrDamaged, err)
	}
	rate := want.Rate
	if c.paced && rate.Float() <= 0 {
		rate = device.Rate{Num: 30, Den: 1}
	}
	c.granted = device.Format{FourCC: device.MJPG, Width: info.Width, Height: info.Height, Rate: rate}
	c.first, c.due = picture, time.Now()
	return c.granted, nil
}

// Next asks the source, not before the next picture is due.
func (c *customCamera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	picture := c.first
	c.first = nil
	if picture == nil {
		if err := c.pace(ctx); err != nil {
			return err
		}
		var err error
		if picture, err = c.call(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	c.seq++
	return use(&device.Buffer{Data: picture, Format: c.granted, DriverSeq: c.seq, CapturedAt: now, ReceivedAt: now})
}

// pace waits until the next picture is due. A source that is late is not hurried
// afterwards.
func (c *customCamera) pace(ctx context.Context) error {
	if !c.paced {
		return nil
	}
	interval := time.Duration(float64(time.Second) / c.granted.Rate.Float())
	c.due = c.due.Add(interval)
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

// call asks the source for a picture and does not wait longer than the context
// allows, even when the function does.
func (c *customCamera) call(ctx context.Context) ([]byte, error) {
	if c.isClosed() {
		return nil, c.fail("read", device.ErrClosed, nil)
	}
	type result struct {
		picture []byte
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		c.calls.Lock()
		defer c.calls.Unlock()
		defer func() {
			if c.isClosed() {
				c.enc.Close() // Close could not, while the function ran
			}
		}()
		defer func() {
			if v := recover(); v != nil {
				done <- result{nil, fmt.Errorf("panic: %v", v)}
			}
		}()
		p, err := c.next(ctx)
		done <- result{p, err}
	}()
	select {
	case r := <-done:
		switch {
		case errors.Is(r.err, io.EOF):
			return nil, c.fail("read", device.ErrEnded, nil)
		case r.err != nil:
			return nil, c.fail("read", nil, r.err)
		}
		return r.picture, nil
	case <-ctx.Done():
		return nil, c.fail("read", nil, context.Cause(ctx))
	case <-c.closed:
		return nil, c.fail("read", device.ErrClosed, nil)
	}
}

// Stop does nothing: between two calls a function rests.
func (c *customCamera) Stop() error {
	if c.isClosed() {
		return c.fail("stop", device.ErrClosed, nil)
	}
	c.first = nil
	return nil
}

// Close ends the camera. A function that still runs is not waited for.
func (c *customCamera) Close() error {
	c.once.Do(func() {
		close(c.closed)
		if c.calls.TryLock() {
			defer c.calls.Unlock()
			c.enc.Close()
		}
	})
	return nil
}

func (c *customCamera) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *customCamera) fail(op string, kind, err error) error {
	return &device.OpError{Op: "custom source " + op, Path: c.name, Kind: kind, Err: err}
}
