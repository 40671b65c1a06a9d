// Package encode makes JPEG files: of raw pictures from cameras (Encoder, and
// Parallel for several at once), of images and pixels that a program drew
// (PixelEncoder), and of JPEG files that are to be smaller, coarser or grey
// (Transcoder), or turned (Transformer). It uses libjpeg-turbo where
// the program was built with cgo, image/jpeg otherwise. Both take the same input
// and give the same colours; libjpeg-turbo is about ten times as fast and keeps
// the chroma resolution of the source, where image/jpeg always writes 4:2:0.
//
// JPEG means full range and BT.601, so pictures in limited range or BT.709 are
// converted first. Pictures need not be a whole number of blocks: edges are
// filled up with the last column and row. To shrink a picture, areas are
// averaged; to enlarge it, samples are interpolated.
//
// Only Parallel starts goroutines. Everything belongs to one goroutine at a time;
// only SetQuality may be called from any. Buffers are read only as far as their
// format describes and, but for those that Parallel holds, only during the call.
package encode

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/webgear-pi/webgear/device"
)

// Encoder makes JPEG files from pictures of one format.
type Encoder struct {
	format  device.Format
	layout  layout
	engine  engine // nil once closed
	name    string
	width   int // of the output
	height  int
	quality atomic.Int32
}

// New prepares an encoder for pictures of format f, one of the raw formats of
// package device. The caller closes it.
func New(f device.Format, o Options) (*Encoder, error) {
	l, err := newLayout(f)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	j, err := newJob(f, o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	e := &Encoder{format: f, layout: l, width: j.outWidth, height: j.outHeight}
	e.quality.Store(int32(cmp.Or(o.Quality, DefaultQuality)))
	if e.engine, e.name, err = openEngine(j, o); err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	return e, nil
}

// Name says what encodes: "libjpeg-turbo" or "image/jpeg".
func (e *Encoder) Name() string { return e.name }

// Size returns the size of the files' pictures in pixels.
func (e *Encoder) Size() (width, height int) { return e.width, e.height }

// SetQuality sets the quality of later pictures, 1 to 100. It may be called from
// any goroutine.
func (e *Encoder) SetQuality(quality int) error { return setQuality(&e.quality, quality) }

func setQuality(to *atomic.Int32, quality int) error {
	if err := checkQuality(quality); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	to.Store(int32(quality))
	return nil
}

// Encode returns b as a JPEG file in memory of its own, which the encoder never
// touches again. The buffer must have the pixel format and size that the encoder
// was made for; its stride may differ, 0 means that of New.
func (e *Encoder) Encode(b *device.Buffer) ([]byte, error) {
	if e.engine == nil {
		return nil, errors.New("encode: encoder is closed")
	}
	f := b.Format
	if f.FourCC != e.format.FourCC || f.Width != e.format.Width || f.Height != e.format.Height {
		return nil, fmt.Errorf("encode %s: encoder was made for %s", f, e.format)
	}
	l := e.layout
	if f.Stride != 0 && f.Stride != e.format.Stride {
		var err error
		if l, err = newLayout(f); err != nil {
			return nil, fmt.Errorf("encode %s: %w", f, err)
		}
	}
	if len(b.Data) < l.size {
		return nil, fmt.Errorf("encode %s: buffer has %d bytes, the picture needs %d", f, len(b.Data), l.size)
	}
	out, err := e.engine.encode(newPicture(b.Data[:l.size:l.size], l), int(e.quality.Load()))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	return quiet(out), nil
}

// Close frees the encoder's memory. Later calls of Encode fail, of Close do
// nothing.
func (e *Encoder) Close() {
	if e.engine != nil {
		e.engine.close()
		e.engine = nil
	}
}
