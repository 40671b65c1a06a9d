package encode

import (
	"math"

	"github.com/webgear-pi/webgear/device"
)

// conversion takes samples to what JPEG wants:
//
//	Y'  = Y  + yy*Y  + yb*Cb + yr*Cr + y0
//	Cb' = Cb + bb*Cb + br*Cr + b0
//	Cr' = Cr + rb*Cb + rr*Cr + r0
//
// A linear form rather than a table, and in 16 bits, since compilers make
// vector code of it. Coefficients have 9 fraction bits; they are all below 1/4,
// so that the product with a sample fits 16 bits. Sums and offsets have 5; the
// offsets include rounding. The result is within one level of the exact one.
type conversion struct {
	none  bool // samples are right as they are
	cross bool // yb, yr, br or rb is not zero

	yy, yb, yr, y0 int16
	bb, br, b0     int16
	rb, rr, r0     int16
}

// Weights of red and blue in Y: ITU-R BT.601-7 2.5.1 and BT.709-6 3.2.
const (
	kr601, kb601 = 0.299, 0.114
	kr709, kb709 = 0.2126, 0.0722
)

// newConversion picks the conversion for the format's samples. RGB needs none:
// it is converted with the right matrix to begin with.
func newConversion(f device.Format) conversion {
	grey := f.FourCC == device.GREY
	c := conversion{
		none:  f.FourCC == device.RGB24 || f.Quantization == device.FullRange && (grey || f.Matrix == device.BT601),
		cross: f.Matrix == device.BT709 && !grey,
	}
	// Limited range: 16 to 235 for Y, 16 to 240 for Cb and Cr.
	ys, cs, black := 1.0, 1.0, 0.0
	if f.Quantization == device.LimitedRange {
		ys, cs, black = 255.0/219, 255.0/224, 16
	}
	// What one unit of Cb or Cr adds to each component.
	yb, bb, rb := 0.0, 1.0, 0.0
	yr, br, rr := 0.0, 0.0, 1.0
	if c.cross {
		yb, bb, rb = to601(1, 0)
		yr, br, rr = to601(0, 1)
	}
	coef := func(v float64) int16 { return int16(math.Round(v * 512)) }
	c.yy, c.yb, c.yr = coef(ys-1), coef(yb*cs), coef(yr*cs)
	c.bb, c.br = coef(bb*cs-1), coef(br*cs)
	c.rb, c.rr = coef(rb*cs), coef(rr*cs-1)
	// Offsets follow from the rounded coefficients, so that black, and grey,
	// come out exactly; plus half a level for rounding, and half of what each
	// of up to three products loses by being cut off.
	offset := func(in, out float64, k ...int16) int16 {
		v := out - in
		for i, k := range k {
			if i > 0 {
				in = 128
			}
			v -= in * float64(k) / 512
		}
		return int16(math.Round((v+0.5)*32 + float64(len(k))/2 - 0.5))
	}
	c.y0 = offset(black, 0, c.yy, c.yb, c.yr)
	c.b0 = offset(128, 128, c.bb, c.br)
	c.r0 = offset(128, 128, c.rr, c.rb)
	return c
}

// to601 takes the BT.709 colour difference cb, cr at Y = 0 to BT.601, by way of
// R, G, B.
func to601(cb, cr float64) (y, cb601, cr601 float64) {
	r := 2 * (1 - kr709) * cr
	b := 2 * (1 - kb709) * cb
	g := -(kr709*r + kb709*b) / (1 - kr709 - kb709)
	y = kr601*r + (1-kr601-kb601)*g + kb601*b
	return y, (b - y) / (2 * (1 - kb601)), (r - y) / (2 * (1 - kr601))
}

// term is a sample times a coefficient, with 5 fraction bits.
func term(v byte, k int16) int16 { return int16(v) * k >> 4 }

// whole is the sample itself, with 5 fraction bits.
func whole(v byte) int16 { return int16(v) << 5 }

// clamp cuts a sum of terms to a sample.
func clamp(v int16) byte { return byte(min(max(v>>5, 0), 255)) }

// apply converts picture planes in place. A row of chroma belongs to 1<<vs rows
// of luma, each of its samples to two columns.
func (c *conversion) apply(y, cb, cr []byte, w, h, yStride, cStride, vs int) {
	cw := (w + 1) / 2
	for row := range h {
		line := y[row*yStride:][:w]
		if !c.cross {
			for x, v := range line {
				line[x] = clamp(whole(v) + term(v, c.yy) + c.y0)
			}
			continue
		}
		b, r := cb[row>>vs*cStride:][:cw], cr[row>>vs*cStride:][:cw]
		for x, v := range line {
			line[x] = clamp(whole(v) + term(v, c.yy) + term(b[x>>1], c.yb) + term(r[x>>1], c.yr) + c.y0)
		}
	}
	if cb == nil {
		return
	}
	for row := range (h + 1<<vs - 1) >> vs {
		b, r := cb[row*cStride:][:cw], cr[row*cStride:][:cw]
		for x := range b {
			vb, vr := b[x], r[x]
			b[x], r[x] = clamp(whole(vb)+term(vb, c.bb)+term(vr, c.br)+c.b0), clamp(whole(vr)+term(vb, c.rb)+term(vr, c.rr)+c.r0)
		}
	}
}
