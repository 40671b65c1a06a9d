package capture

import (
	"fmt"
	"image/color"

	"github.com/webgear-pi/webgear/device"
)

// rawLayout finds samples in raw pictures of one format.
type rawLayout struct {
	format          device.Format
	stride, cStride int
	cb, cr          int // offsets of the chroma planes, for NV12 and YU12
	size            int // bytes that a picture has at least
}

// newRawLayout says where the samples of a format are.
func newRawLayout(f device.Format) (rawLayout, error) {
	if f.Width < 1 || f.Height < 1 || f.Width > device.MaxSide || f.Height > device.MaxSide || f.Width*f.Height > device.MaxPixels {
		return rawLayout{}, fmt.Errorf("picture of %dx%d pixels", f.Width, f.Height)
	}
	l := rawLayout{format: f, stride: f.Stride}
	row := f.Width
	switch f.FourCC {
	case device.YUYV, device.UYVY:
		row = 2 * f.Width
	case device.RGB24:
		row = 3 * f.Width
	}
	l.stride = max(l.stride, row)
	cw, ch := (f.Width+1)/2, (f.Height+1)/2
	l.size = l.stride*(f.Height-1) + row
	switch f.FourCC {
	case device.NV12:
		l.cStride = (l.stride + 1) / 2 * 2
		l.cb = l.stride * f.Height
		l.cr = l.cb + 1
		l.size = l.cb + l.cStride*(ch-1) + 2*cw
	case device.YU12:
		l.cStride = (l.stride + 1) / 2
		l.cb = l.stride * f.Height
		l.cr = l.cb + l.cStride*ch
		l.size = l.cr + l.cStride*(ch-1) + cw
	case device.YUYV, device.UYVY, device.RGB24, device.GREY:
	default:
		return rawLayout{}, fmt.Errorf("pixel format %q cannot be encoded", f.FourCC.String())
	}
	return l, nil
}

// holds says whether the buffer has a whole picture of the format.
func (l *rawLayout) holds(b *device.Buffer) bool {
	if b.Format.Stride != 0 && b.Format.Stride != l.format.Stride {
		o, err := newRawLayout(b.Format)
		return err == nil && len(b.Data) >= o.size
	}
	return len(b.Data) >= l.size
}

// fields measures a raw picture, in JPEG's colours.
func (l *rawLayout) fields(b *device.Buffer) fields {
	if b.Format.Stride != 0 && b.Format.Stride != l.format.Stride {
		if o, err := newRawLayout(b.Format); err == nil {
			l = &o
		}
	}
	f := measure(l.format.Width, l.format.Height, func(x, y int) (float64, float64, float64) {
		luma, cb, cr := l.sample(b.Data, x, y)
		return float64(luma), float64(cb), float64(cr)
	})
	if l.format.FourCC == device.RGB24 {
		return f // RGB has no range or matrix
	}
	for i := range f {
		f[i] = toJPEG(f[i], l.format)
	}
	return f
}

// sample reads one pixel.
func (l *rawLayout) sample(data []byte, x, y int) (luma, cb, cr byte) {
	row := y * l.stride
	switch l.format.FourCC {
	case device.YUYV, device.UYVY:
		yo, co := 0, 1
		if l.format.FourCC == device.UYVY {
			yo, co = 1, 0
		}
		if l.format.Width < 2 {
			return data[row+yo], 128, 128
		}
		pair := min(x/2, l.format.Width/2-1) // an odd last pixel has half a pair
		return data[row+2*x+yo], data[row+4*pair+co], data[row+4*pair+co+2]
	case device.RGB24:
		p := data[row+3*x:]
		return color.RGBToYCbCr(p[0], p[1], p[2])
	case device.NV12:
		c := y/2*l.cStride + x/2*2
		return data[row+x], data[l.cb+c], data[l.cr+c]
	case device.YU12:
		c := y/2*l.cStride + x/2
		return data[row+x], data[l.cb+c], data[l.cr+c]
	}
	return data[row+x], 128, 128
}

// toJPEG turns means into full range and BT.601, as JPEG has it.
func toJPEG(v [3]float64, f device.Format) [3]float64 {
	luma, cb, cr := v[0], v[1]-128, v[2]-128
	if f.FourCC == device.GREY {
		cb, cr = 0, 0
	}
	if f.Quantization == device.LimitedRange {
		luma = (luma - 16) * 255 / 219
		cb, cr = cb*255/224, cr*255/224
	}
	if f.Matrix == device.BT709 {
		// Through R, G, B: the coefficients of ITU-R BT.709 and of JFIF.
		r, g, b := luma+1.5748*cr, luma-0.1873*cb-0.4681*cr, luma+1.8556*cb
		luma = 0.299*r + 0.587*g + 0.114*b
		cb, cr = (b-luma)/1.772, (r-luma)/1.402
	}
	clamp := func(x float64) float64 { return max(0, min(255, x)) }
	return [3]float64{clamp(luma), clamp(cb + 128), clamp(cr + 128)}
}
