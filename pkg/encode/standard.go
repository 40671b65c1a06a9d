package encode

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
)

const standardName = "image/jpeg"

// standard encodes with the standard library. That always writes 4:2:0, or one
// component for grey.
type standard struct {
	job
	out     bytes.Buffer
	scratch []byte
}

func newStandard(j job) *standard { return &standard{job: j} }

func (s *standard) close() { *s = standard{} }

func (s *standard) encode(p picture, quality int) ([]byte, error) {
	m := s.image(p)
	if s.resizes() {
		m = s.resize(m)
	}
	s.out.Reset()
	if err := jpeg.Encode(flusher{&s.out}, m, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	// Clone would round the capacity up further.
	out := make([]byte, s.out.Len())
	copy(out, s.out.Bytes())
	return out, nil
}

// flusher spares image/jpeg a buffered writer of its own.
type flusher struct{ *bytes.Buffer }

func (flusher) Flush() error { return nil }

// image shows the picture as an image: in place where the standard library has
// the layout and nothing is to be converted, otherwise as planes in scratch
// memory.
func (s *standard) image(p picture) image.Image {
	w, h := s.width, s.height
	if s.gray || s.kind == kindGrey {
		return s.grey(p)
	}
	hs, vs := s.hs, s.vs
	if s.kind == kindPacked {
		hs, vs = 1, 1
	}
	cw, ch := (w+hs-1)/hs, (h+vs-1)/vs
	m := &image.YCbCr{Rect: image.Rect(0, 0, w, h), SubsampleRatio: ratio(hs, vs), YStride: w, CStride: cw}
	if s.convert.none && s.kind == kindPlanar {
		m.Y, m.Cb, m.Cr = p.y, p.cb, p.cr
		m.YStride, m.CStride = p.stride, p.cStride
		return m
	}
	b := s.planes(w*h + 2*cw*ch)
	m.Y, m.Cb, m.Cr = b[:w*h], b[w*h:w*h+cw*ch], b[w*h+cw*ch:]
	switch s.kind {
	case kindPlanar:
		copyRows(m.Y, w, p.y, p.stride, w, h)
		copyRows(m.Cb, cw, p.cb, p.cStride, cw, ch)
		copyRows(m.Cr, cw, p.cr, p.cStride, cw, ch)
	case kindNV12:
		copyRows(m.Y, w, p.y, p.stride, w, h)
		for y := range ch {
			for x := range cw {
				c := y*p.cStride + 2*x
				m.Cb[y*cw+x], m.Cr[y*cw+x] = p.cb[c], p.cb[c+1]
			}
		}
	case kindPacked:
		at := s.pixel.reader()
		for y := range h {
			for x := range w {
				i := y*w + x
				m.Y[i], m.Cb[i], m.Cr[i] = color.RGBToYCbCr(at(p.y[y*p.stride:], x))
			}
		}
	default:
		s.split(m, p)
	}
	if !s.convert.none {
		s.convert.apply(m.Y, m.Cb, m.Cr, w, h, w, cw, vs-1)
	}
	return m
}

// grey takes the luma alone.
func (s *standard) grey(p picture) *image.Gray {
	w, h := s.width, s.height
	m := &image.Gray{Pix: p.y, Stride: p.stride, Rect: image.Rect(0, 0, w, h)}
	packed := s.kind == kindPacked || s.kind == kindYUYV || s.kind == kindUYVY
	if s.convert.none && !packed {
		return m
	}
	m.Pix, m.Stride = s.planes(w*h), w
	switch s.kind {
	case kindPacked:
		at := s.pixel.reader()
		for y := range h {
			for x := range w {
				m.Pix[y*w+x], _, _ = color.RGBToYCbCr(at(p.y[y*p.stride:], x))
			}
		}
	case kindYUYV, kindUYVY:
		for y := range h {
			src := p.y[y*p.stride:][:p.row]
			if s.kind == kindUYVY {
				src = src[1:]
			}
			for x := range w {
				m.Pix[y*w+x] = src[2*x]
			}
		}
	default:
		copyRows(m.Pix, w, p.y, p.stride, w, h)
	}
	if !s.convert.none {
		s.convert.apply(m.Pix, nil, nil, w, h, w, 0, 0)
	}
	return m
}

// split takes packed 4:2:2 rows apart.
func (s *standard) split(m *image.YCbCr, p picture) {
	yo, co := 0, 1
	if s.kind == kindUYVY {
		yo, co = 1, 0
	}
	w := s.width
	for row := range s.height {
		src := p.y[row*p.stride:][:p.row]
		y, cb, cr := m.Y[row*m.YStride:][:w], m.Cb[row*m.CStride:], m.Cr[row*m.CStride:]
		for x := range y {
			y[x] = src[2*x+yo]
		}
		for i := range (w + 1) / 2 {
			cb[i] = src[4*i+co]
			switch {
			case 4*i+co+2 < len(src):
				cr[i] = src[4*i+co+2]
			case i > 0: // half a pair at the end of the row
				cr[i] = cr[i-1]
			default:
				cr[i] = 128
			}
		}
	}
}

// resize takes what image returned to the size of the output.
func (s *standard) resize(m image.Image) image.Image {
	w, h, ow, oh := s.width, s.height, s.outWidth, s.outHeight
	r := image.Rect(0, 0, ow, oh)
	c, ok := m.(*image.YCbCr)
	if !ok {
		g, _ := m.(*image.Gray)
		return &image.Gray{Pix: resize(g.Pix, g.Stride, w, h, ow, oh, false), Stride: ow, Rect: r}
	}
	hs, vs := factors(c.SubsampleRatio)
	cw, ch, ocw, och := (w+hs-1)/hs, (h+vs-1)/vs, (ow+hs-1)/hs, (oh+vs-1)/vs
	smooth := s.smooth && hs*vs > 1
	return &image.YCbCr{
		Y:       resize(c.Y, c.YStride, w, h, ow, oh, false),
		Cb:      resize(c.Cb, c.CStride, cw, ch, ocw, och, smooth),
		Cr:      resize(c.Cr, c.CStride, cw, ch, ocw, och, smooth),
		YStride: ow, CStride: ocw, SubsampleRatio: c.SubsampleRatio, Rect: r,
	}
}

// planes returns scratch memory, kept from picture to picture.
func (s *standard) planes(n int) []byte {
	if cap(s.scratch) < n {
		s.scratch = make([]byte, n)
	}
	return s.scratch[:n]
}

func copyRows(dst []byte, dstStride int, src []byte, srcStride, w, h int) {
	for y := range h {
		copy(dst[y*dstStride:][:w], src[y*srcStride:])
	}
}

// ratio is the standard library's name for hs by vs luma samples per chroma
// sample.
func ratio(hs, vs int) image.YCbCrSubsampleRatio {
	switch {
	case hs == 1 && vs == 2:
		return image.YCbCrSubsampleRatio440
	case hs == 2 && vs == 1:
		return image.YCbCrSubsampleRatio422
	case hs == 2:
		return image.YCbCrSubsampleRatio420
	case hs == 4 && vs == 1:
		return image.YCbCrSubsampleRatio411
	case hs == 4:
		return image.YCbCrSubsampleRatio410
	default:
		return image.YCbCrSubsampleRatio444
	}
}

// factors is the opposite of ratio.
func factors(r image.YCbCrSubsampleRatio) (hs, vs int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	default:
		return 1, 1
	}
}
