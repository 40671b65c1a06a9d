package encode

import (
	"fmt"
	"math"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

// The exact conversion, by way of R, G, B in floating point.
func exact(y, cb, cr byte, f device.Format) [3]float64 {
	l, u, v := float64(y)/255, (float64(cb)-128)/255, (float64(cr)-128)/255
	if f.Quantization == device.LimitedRange {
		l, u, v = (float64(y)-16)/219, (float64(cb)-128)/224, (float64(cr)-128)/224
	}
	kr, kb := 0.299, 0.114
	if f.Matrix == device.BT709 {
		kr, kb = 0.2126, 0.0722
	}
	r, b := l+2*(1-kr)*v, l+2*(1-kb)*u
	g := (l - kr*r - kb*b) / (1 - kr - kb)
	l = 0.299*r + 0.587*g + 0.114*b
	out := [3]float64{255 * l, 128 + 255*(b-l)/1.772, 128 + 255*(r-l)/1.402}
	for i, v := range out {
		out[i] = min(max(v, 0), 255)
	}
	return out
}

func TestConversionIsWithinOneLevelOfExact(t *testing.T) {
	t.Parallel()
	for _, q := range []device.Quantization{device.FullRange, device.LimitedRange} {
		for _, m := range []device.Matrix{device.BT601, device.BT709} {
			f := device.Format{FourCC: device.YU12, Quantization: q, Matrix: m}
			t.Run(fmt.Sprintf("range %d matrix %d", q, m), func(t *testing.T) {
				t.Parallel()
				c := newConversion(f)
				if c.none != (q == device.FullRange && m == device.BT601) {
					t.Fatalf("none is %v", c.none)
				}
				worst := 0.0
				for y := 0; y < 256; y += 5 {
					for cb := 0; cb < 256; cb += 15 {
						for cr := 0; cr < 256; cr += 15 {
							p := [3][]byte{{byte(y)}, {byte(cb)}, {byte(cr)}}
							c.apply(p[0], p[1], p[2], 1, 1, 1, 1, 1)
							for i, want := range exact(byte(y), byte(cb), byte(cr), f) {
								worst = max(worst, math.Abs(float64(p[i][0])-want))
							}
						}
					}
				}
				if worst > 1 {
					t.Errorf("off by %.2f levels", worst)
				}
			})
		}
	}
}

func TestBlackGreyAndWhiteStayNeutral(t *testing.T) {
	t.Parallel()
	for _, m := range []device.Matrix{device.BT601, device.BT709} {
		c := newConversion(device.Format{FourCC: device.YU12, Quantization: device.LimitedRange, Matrix: m})
		for in, want := range map[byte]byte{0: 0, 16: 0, 235: 255, 255: 255} {
			y, cb, cr := []byte{in}, []byte{128}, []byte{128}
			c.apply(y, cb, cr, 1, 1, 1, 1, 1)
			if y[0] != want || cb[0] != 128 || cr[0] != 128 {
				t.Errorf("matrix %d: %d gives %d, %d, %d; want %d, 128, 128", m, in, y[0], cb[0], cr[0], want)
			}
		}
	}
}
