package encode

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"sync/atomic"
)

// PixelEncoder makes JPEG files of what a program drew or got from elsewhere:
// images and packed pixels of any size, which may change from one to the next.
// It is quickest when it does not. Packed pixels become 4:2:2.
type PixelEncoder struct {
	options Options
	quality atomic.Int32
	job     job
	engine  engine // nil until the first picture
	closed  bool
	smooth  bool        // see job
	rgba    *image.RGBA // scratch, for images that need converting
}

// NewPixelEncoder prepares an encoder. The caller closes it.
func NewPixelEncoder(o Options) (*PixelEncoder, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	e := &PixelEncoder{options: o}
	e.quality.Store(int32(cmp.Or(o.Quality, DefaultQuality)))
	return e, nil
}

// SetQuality sets the quality of later pictures, 1 to 100. It may be called from
// any goroutine.
func (e *PixelEncoder) SetQuality(quality int) error { return setQuality(&e.quality, quality) }

// EncodePixels returns a picture of width by height packed pixels as a JPEG file
// in memory of its own. stride is bytes per row, 0 for rows without padding; the
// last row may lack its padding.
func (e *PixelEncoder) EncodePixels(data []byte, width, height, stride int, c Colorspace) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("encode %s %dx%d: %w", c, width, height, err)
	}
	if err := checkSize(width, height); err != nil {
		return fail(err)
	}
	row := width * c.bytes()
	if stride == 0 {
		stride = row
	}
	if row == 0 {
		return fail(errors.New("unknown colorspace"))
	}
	if stride < row || stride > maxStride {
		return fail(fmt.Errorf("stride of %d bytes: must be %d to %d", stride, row, maxStride))
	}
	if need := int64(stride)*int64(height-1) + int64(row); int64(len(data)) < need {
		return fail(fmt.Errorf("buffer has %d bytes, the picture needs %d", len(data), need))
	}
	j := job{kind: kindPacked, pixel: c, width: width, height: height, hs: 2, vs: 1}
	if c == GRAY {
		j.kind, j.hs = kindGrey, 1
	}
	out, err := e.run(j, picture{y: data, stride: stride, row: row})
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// EncodeImage returns m as a JPEG file in memory of its own. YCbCr images keep
// their chroma resolution; what is transparent shows black behind it, as with
// image/jpeg.
func (e *PixelEncoder) EncodeImage(m image.Image) ([]byte, error) {
	r := m.Bounds()
	err := checkSize(r.Dx(), r.Dy())
	if err == nil {
		var out []byte
		if out, err = e.run(e.describe(m)); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("encode image %dx%d: %w", r.Dx(), r.Dy(), err)
}

// run completes the job and does it, with a new engine when it is another one
// than last time.
func (e *PixelEncoder) run(j job, p picture) ([]byte, error) {
	if e.closed {
		return nil, errors.New("encoder is closed")
	}
	var err error
	if j.outWidth, j.outHeight, err = e.options.size(j.width, j.height); err != nil {
		return nil, err
	}
	j.gray, j.fastDCT, j.convert.none = j.gray || e.options.Gray, e.options.FastDCT, true
	j.smooth = e.smooth
	if err := p.check(&j); err != nil {
		return nil, err
	}
	if e.engine == nil || e.job != j {
		if e.engine != nil {
			e.engine.close()
			e.engine = nil
		}
		if e.engine, _, err = openEngine(j, e.options); err != nil {
			return nil, err
		}
		e.job = j
	}
	out, err := e.engine.encode(p, int(e.quality.Load()))
	if err != nil {
		return nil, err
	}
	return quiet(out), nil
}

// describe finds the samples of an image, in place where that is possible.
func (e *PixelEncoder) describe(m image.Image) (job, picture) {
	r := m.Bounds()
	j := job{width: r.Dx(), height: r.Dy(), hs: 1, vs: 1}
	switch m := m.(type) {
	case *image.Gray:
		return j, picture{y: from(m.Pix, m.PixOffset(r.Min.X, r.Min.Y)), stride: m.Stride, row: j.width}
	case *image.YCbCr:
		hs, vs := factors(m.SubsampleRatio)
		// A part of a picture may begin between two chroma samples.
		if r.Min.X%hs == 0 && r.Min.Y%vs == 0 {
			j.kind, j.hs, j.vs = kindPlanar, hs, vs
			c := m.COffset(r.Min.X, r.Min.Y)
			return j, picture{
				y: from(m.Y, m.YOffset(r.Min.X, r.Min.Y)), cb: from(m.Cb, c), cr: from(m.Cr, c),
				stride: m.YStride, row: j.width, cStride: m.CStride,
			}
		}
	case *image.RGBA:
		return packedImage(j, from(m.Pix, m.PixOffset(r.Min.X, r.Min.Y)), m.Stride)
	case *image.NRGBA:
		if m.Opaque() {
			return packedImage(j, from(m.Pix, m.PixOffset(r.Min.X, r.Min.Y)), m.Stride)
		}
	}
	j.gray = m.ColorModel() == color.Gray16Model
	if e.rgba == nil || e.rgba.Rect.Dx() != j.width || e.rgba.Rect.Dy() != j.height {
		e.rgba = image.NewRGBA(image.Rect(0, 0, j.width, j.height))
	}
	draw.Draw(e.rgba, e.rgba.Rect, m, r.Min, draw.Src)
	return packedImage(j, e.rgba.Pix, e.rgba.Stride)
}

// packedImage is for RGBA bytes; transparency was multiplied in.
func packedImage(j job, pix []byte, stride int) (job, picture) {
	j.kind, j.pixel, j.hs = kindPacked, RGBA, 2
	return j, picture{y: pix, stride: stride, row: 4 * j.width}
}

// from cuts off what stands before an offset; nothing is left of images whose
// fields contradict each other.
func from(b []byte, offset int) []byte {
	if offset < 0 || offset > len(b) {
		return nil
	}
	return b[offset:]
}

// check makes sure that all samples of the job are there. C would not notice.
func (p *picture) check(j *job) error {
	rows := func(b []byte, stride, row, n int) bool {
		return stride >= row && stride <= maxStride && int64(len(b)) >= int64(stride)*int64(n-1)+int64(row)
	}
	cw, ch := (j.width+j.hs-1)/j.hs, (j.height+j.vs-1)/j.vs
	if !rows(p.y, p.stride, p.row, j.height) ||
		j.kind == kindPlanar && (!rows(p.cb, p.cStride, cw, ch) || !rows(p.cr, p.cStride, cw, ch)) {
		return errors.New("buffers and strides do not fit the size")
	}
	return nil
}

// Close frees the encoder's memory. Later calls of EncodePixels and EncodeImage
// fail, of Close do nothing.
func (e *PixelEncoder) Close() {
	if e.engine != nil {
		e.engine.close()
	}
	e.engine, e.rgba, e.closed = nil, nil, true
}
