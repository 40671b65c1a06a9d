package encode

import "github.com/webgear-pi/webgear/device"

// kind says how samples are arranged.
type kind uint8

const (
	kindGrey   kind = iota
	kindPacked      // pixels of 3 or 4 bytes, see Colorspace
	kindYUYV
	kindUYVY
	kindNV12
	kindPlanar // Y, Cb, Cr
)

// job is what an engine is made for.
type job struct {
	kind                kind
	pixel               Colorspace // of kindPacked
	width, height       int
	outWidth, outHeight int
	// hs and vs are luma columns and rows per chroma sample of the file: 1, 2 or
	// 4, and 1 or 2. The input has the same unless it is packed pixels, or
	// halve is set.
	hs, vs int
	// halve makes 4:2:0 of packed 4:2:2.
	halve bool
	gray  bool
	// fastDCT is for libjpeg-turbo, smooth for the standard library: chroma is
	// taken for points on a line when it shrinks.
	fastDCT, smooth bool
	convert         conversion
}

// resizes reports whether the output has another size than the input.
func (j *job) resizes() bool { return j.width != j.outWidth || j.height != j.outHeight }

// picture is where the samples are: the planes that the kind has, each up to the
// last byte used. NV12 has its chroma in cb. Strides and row, the bytes used of
// a row of the first plane, are in bytes.
type picture struct {
	y, cb, cr            []byte
	stride, row, cStride int
}

// engine does the work. What it returns it never touches again.
type engine interface {
	encode(p picture, quality int) ([]byte, error)
	close()
}

// newJob is the one for a raw format of package device.
func newJob(f device.Format, o Options) (job, error) {
	j := job{width: f.Width, height: f.Height, hs: 2, vs: 2, gray: o.Gray, fastDCT: o.FastDCT}
	switch f.FourCC {
	case device.GREY:
		j.kind, j.hs, j.vs = kindGrey, 1, 1
	case device.RGB24:
		j.kind, j.pixel = kindPacked, RGB
	case device.YUYV:
		j.kind, j.vs = kindYUYV, 1
	case device.UYVY:
		j.kind, j.vs = kindUYVY, 1
	case device.NV12:
		j.kind = kindNV12
	default:
		j.kind = kindPlanar
	}
	j.halve = j.vs == 1 && j.kind != kindGrey && o.Subsampling == Subsampling420 && !o.Gray
	if o.Gray && f.FourCC != device.RGB24 {
		f.FourCC = device.GREY // chroma has no say in the luma
	}
	j.convert = newConversion(f)
	var err error
	j.outWidth, j.outHeight, err = o.size(f.Width, f.Height)
	return j, err
}

// newPicture finds the planes in a buffer.
func newPicture(data []byte, l layout) picture {
	p := picture{y: data, stride: l.stride, row: l.row, cStride: l.cStride}
	if l.cb > 0 {
		p.cb, p.cr = data[l.cb:], data[l.cr:]
	}
	return p
}

// openEngine takes the best one there is, unless o wants the portable one.
func openEngine(j job, o Options) (engine, string, error) {
	if o.Portable {
		return newStandard(j), standardName, nil
	}
	return newEngine(j)
}
