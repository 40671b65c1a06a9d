package encode

import (
	"errors"
	"fmt"

	"github.com/webgear-pi/webgear/device"
)

// maxStride bounds bytes per row: four times the widest RGB row (MaxSide pixels
// of 3 bytes), so that no sum overflows.
const maxStride = 4 * 3 * device.MaxSide

// layout says where in a buffer the samples are, in bytes.
type layout struct {
	stride  int // first plane
	cStride int // chroma planes, 0 for formats of one plane
	cb, cr  int // offset of the chroma planes; for NV12 cr is cb+1
	row     int // bytes used of a row of the first plane
	size    int // up to the last byte used
}

// newLayout checks the geometry of f. The last row of the last plane may lack
// its padding, as some drivers leave it out.
func newLayout(f device.Format) (layout, error) {
	w, h := f.Width, f.Height
	if err := checkSize(w, h); err != nil {
		return layout{}, err
	}
	cw, ch := (w+1)/2, (h+1)/2
	var l layout
	least := w // smallest usable stride
	switch f.FourCC {
	case device.YUYV, device.UYVY:
		// At odd widths a driver may cut the last pair of pixels in half.
		l.row, least = 4*cw, 2*w
	case device.RGB24:
		l.row, least = 3*w, 3*w
	case device.GREY, device.NV12, device.YU12:
		l.row = w
	default:
		if f.FourCC.Compressed() {
			return layout{}, errors.New("pictures are JPEG already")
		}
		return layout{}, fmt.Errorf("pixel format %q cannot be encoded", f.FourCC.String())
	}
	l.stride = f.Stride
	if l.stride == 0 {
		l.stride = l.row
	}
	if l.stride < least || l.stride > maxStride {
		return layout{}, fmt.Errorf("stride of %d bytes: must be %d to %d", f.Stride, least, maxStride)
	}
	if l.stride < l.row {
		l.row = least
	}
	// Bytes before the last row, and in it.
	last, rest := l.stride*(h-1), l.row
	switch f.FourCC {
	case device.NV12:
		// Half as many samples per row, two of them; rounded up at odd strides.
		l.cStride = (l.stride + 1) / 2 * 2
		l.cb = l.stride * h
		l.cr = l.cb + 1
		last, rest = l.cb+l.cStride*(ch-1), 2*cw
	case device.YU12:
		l.cStride = (l.stride + 1) / 2
		l.cb = l.stride * h
		l.cr = l.cb + l.cStride*ch
		last, rest = l.cr+l.cStride*(ch-1), cw
	}
	if int64(l.stride)*int64(h)*3/2+int64(l.cStride) > maxBuffer {
		return layout{}, fmt.Errorf("stride of %d bytes: picture is larger than %d bytes", l.stride, maxBuffer)
	}
	l.size = last + rest
	return l, nil
}

// maxBuffer bounds a whole picture in bytes, so that offsets fit an int
// everywhere. Chosen: far more than MaxPixels at 3 bytes each.
const maxBuffer = 1 << 30
