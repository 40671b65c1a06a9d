package webgear

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// JPEGFunc is a source of whole JPEG files. The function gives a slice away: it
// must not change it afterwards.
func JPEGFunc(next func(ctx context.Context) ([]byte, error)) Opener {
	return custom{name: "function", paced: true, missing: next == nil, next: func(ctx context.Context, _ *drawer) ([]byte, error) {
		return next(ctx)
	}}.opener()
}

// ImageFunc is a source of images. The function may draw into the same image
// every time: it was encoded when the function is called again.
func ImageFunc(next func(ctx context.Context) (image.Image, error)) Opener {
	return custom{name: "function", paced: true, draws: true, missing: next == nil, next: func(ctx context.Context, d *drawer) ([]byte, error) {
		m, err := next(ctx)
		if err != nil {
			return nil, err
		}
		return d.image(m)
	}}.opener()
}

// PixelFunc is a source of raw pictures of width by height pixels, rows without
// padding. colorspace is one of Colorspaces, in any case; empty means
// Settings.JPEGColorspace. The function may fill the same slice every time.
func PixelFunc(width, height int, colorspace string, next func(ctx context.Context) ([]byte, error)) Opener {
	s := custom{name: "function", paced: true, draws: true, missing: next == nil}
	if colorspace != "" {
		if _, err := encode.ParseColorspace(colorspace); err != nil {
			s.wrong = err
		}
	}
	if tooLarge(width, height) {
		s.wrong = fmt.Errorf("%dx%d pixels: sides must be 1 to %d, and %d million in all at most", width, height, device.MaxSide, device.MaxPixels>>20)
	}
	s.next = func(ctx context.Context, d *drawer) ([]byte, error) {
		pixels, err := next(ctx)
		if err != nil {
			return nil, err
		}
		return d.pixels(pixels, width, height, colorspace)
	}
	return s.opener()
}

// JPEGChannel is a source of whole JPEG files, shown as they come. Who sends one
// gives it away.
func JPEGChannel(pictures <-chan []byte) Opener {
	return custom{name: "channel", missing: pictures == nil, next: func(ctx context.Context, _ *drawer) ([]byte, error) {
		return receive(ctx, pictures)
	}}.opener()
}

// ImageChannel is a source of images, encoded and shown as they come. Who sends
// one gives it away.
func ImageChannel(pictures <-chan image.Image) Opener {
	return custom{name: "channel", draws: true, missing: pictures == nil, next: func(ctx context.Context, d *drawer) ([]byte, error) {
		m, err := receive(ctx, pictures)
		if err != nil {
			return nil, err
		}
		return d.image(m)
	}}.opener()
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

// errMisuse is a mistake in the program that asking again does not mend.
var errMisuse = errors.New("wrong use")

// custom says what a custom source is.
type custom struct {
	name string
	// paced sources are asked at the wanted rate, others whenever possible.
	paced bool
	// draws is set when the pictures are encoded here, with the settings.
	draws bool
	// missing and wrong are mistakes of the caller.
	missing bool
	wrong   error
	next    func(ctx context.Context, d *drawer) ([]byte, error)
}

// opener makes a camera at each call. They share the right to ask the source, so
// that a function that still runs for an old camera is not called by a new one.
func (s custom) opener() Opener {
	if s.missing {
		s.wrong = fmt.Errorf("the %s is nil", s.name)
	}
	turn := make(chan struct{}, 1)
	return func(context.Context) (device.Camera, error) {
		if s.wrong != nil {
			return nil, &device.OpError{Op: "custom source open", Path: s.name, Kind: errMisuse, Err: s.wrong}
		}
		return &customCamera{custom: s, turn: turn, closed: make(chan struct{}), drawer: newDrawer(DefaultSettings())}, nil
	}
}

// tooLarge says whether a picture is larger than the rest of the program takes.
func tooLarge(width, height int) bool {
	return width < 1 || height < 1 || width > device.MaxSide || height > device.MaxSide || width*height > device.MaxPixels
}

// drawer encodes what a custom source gives. It belongs to the one who asks the
// source.
type drawer struct {
	settings      Settings
	width, height int // of the pictures that enc was made for
	enc           *encode.PixelEncoder
}

func newDrawer(s Settings) *drawer { return &drawer{settings: s} }

// image encodes an image.
func (d *drawer) image(m image.Image) ([]byte, error) {
	if m == nil {
		return nil, nil // no picture, as a nil slice is none
	}
	r := m.Bounds()
	if err := d.prepare(r.Dx(), r.Dy()); err != nil {
		return nil, err
	}
	return d.enc.EncodeImage(m)
}

// pixels encodes packed pixels.
func (d *drawer) pixels(data []byte, width, height int, colorspace string) ([]byte, error) {
	if data == nil {
		return nil, nil // no picture
	}
	if colorspace == "" {
		colorspace = d.settings.JPEGColorspace
	}
	space, err := encode.ParseColorspace(colorspace)
	if err != nil {
		return nil, err
	}
	if err := d.prepare(width, height); err != nil {
		return nil, err
	}
	return d.enc.EncodePixels(data, width, height, 0, space)
}

// prepare makes the encoder for pictures of a size.
func (d *drawer) prepare(width, height int) error {
	if tooLarge(width, height) {
		return fmt.Errorf("image of %dx%d pixels: too large or empty", width, height)
	}
	s := &d.settings
	if d.enc != nil && (s.FrameSizeReduction == 0 || width == d.width && height == d.height) {
		return nil // sizes matter to the encoder only when it changes them
	}
	d.close()
	o := encode.Options{Quality: s.quality(), Gray: s.gray(), FastDCT: s.JPEGFastDCT}
	if s.FrameSizeReduction > 0 {
		o.Width, o.Height = encode.Reduce(width, height, s.FrameSizeReduction)
	}
	enc, err := encode.NewPixelEncoder(o)
	if err != nil {
		return err
	}
	d.enc, d.width, d.height = enc, width, height
	return nil
}

// close frees the memory.
func (d *drawer) close() {
	if d.enc != nil {
		d.enc.Close()
		d.enc = nil
	}
}
