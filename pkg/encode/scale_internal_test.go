package encode

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"testing"
)

// speckle is a plane without any regularity.
func speckle(n int) []byte {
	b, s := make([]byte, n), uint32(7)
	for i := range b {
		s = s*1664525 + 1013904223
		b[i] = byte(s >> 24)
	}
	return b
}

// average is the definition of area averaging, in floating point.
func average(src []byte, w, h, ow, oh, x, y int) float64 {
	cover := func(i, in, out, j int) float64 {
		s := float64(in) / float64(out)
		return max(0, min(float64(i+1)*s, float64(j+1))-max(float64(i)*s, float64(j))) / s
	}
	sum := 0.0
	for j := range h {
		wy := cover(y, h, oh, j)
		for i := 0; wy > 0 && i < w; i++ {
			sum += wy * cover(x, w, ow, i) * float64(src[j*w+i])
		}
	}
	return sum
}

var ratios = [][4]int{
	{64, 48, 48, 36},
	{64, 48, 32, 24},
	{61, 47, 45, 35},
	{61, 47, 6, 4},
	{61, 47, 60, 46},
	{61, 47, 1, 1},
	{300, 3, 299, 2},
	{64, 48, 64, 24},
	{64, 48, 32, 48},
	{5, 5, 5, 5},
}

func TestResizeAveragesAreas(t *testing.T) {
	t.Parallel()
	for _, r := range ratios {
		w, h, ow, oh := r[0], r[1], r[2], r[3]
		src := speckle(w * h)
		got := resize(src, w, w, h, ow, oh, false)
		for i, v := range got {
			// Weights have 8 bits each way.
			if want := average(src, w, h, ow, oh, i%ow, i/ow); math.Abs(float64(v)-want) > 2 {
				t.Fatalf("%v: got %d at %d,%d, want %.2f", r, v, i%ow, i/ow, want)
			}
		}
	}
}

func TestResizeInterpolatesBetweenCentres(t *testing.T) {
	t.Parallel()
	if got, want := resize([]byte{0, 100}, 2, 2, 1, 4, 1, false), []byte{0, 25, 75, 100}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A peak keeps its place and sum, as a point on a line that shrinks.
	if got := resize([]byte{0, 0, 0, 255, 0, 0, 0, 0}, 8, 8, 1, 4, 1, true); got[0] != 0 || got[1] < 104 || got[1] > 120 || got[2] < 8 || got[2] > 24 || got[3] != 0 {
		t.Errorf("got %v", got)
	}
}

func TestWeightsAddUpAndStayInside(t *testing.T) {
	t.Parallel()
	for in := 1; in < 70; in++ {
		for out := 1; out < 150; out += 1 + in%3 {
			for _, smooth := range []bool{false, true} {
				a := newAxis(in, out, smooth)
				end := 0
				for i, w := range a.weights {
					sum := uint32(0)
					for _, v := range w {
						sum += v
					}
					if sum != 256 || a.start[i] < 0 || a.start[i]+len(w) > in || a.start[i]+len(w) < end {
						t.Fatalf("%d to %d, smooth %v, sample %d: weights %v from %d", in, out, smooth, i, w, a.start[i])
					}
					end = a.start[i] + len(w)
				}
			}
		}
	}
}

// The engines share the arithmetic, not the code: at the best quality their
// pictures hardly differ. Without cgo they are the same.
func TestEnginesResizeAlike(t *testing.T) {
	t.Parallel()
	for _, r := range append(ratios, [4]int{61, 47, 122, 99}, [4]int{3, 2, 64, 64}) {
		for _, k := range []kind{kindGrey, kindPacked} {
			j := job{kind: k, pixel: RGB, gray: true, width: r[0], height: r[1], outWidth: r[2], outHeight: r[3], hs: 1, vs: 1, convert: conversion{none: true}}
			p := picture{y: speckle(3 * r[0] * r[1]), stride: 3 * r[0], row: 3 * r[0]}
			e, _, err := newEngine(j)
			if err != nil {
				t.Fatal(err)
			}
			a, b := grey(t, e, p), grey(t, newStandard(j), p)
			for i := range a.Pix {
				if d := int(a.Pix[i]) - int(b.Pix[i]); d < -4 || d > 4 {
					t.Fatalf("%v kind %d: sample %d is %d and %d", r, k, i, a.Pix[i], b.Pix[i])
				}
			}
			e.close()
		}
	}
}

func grey(t *testing.T, e engine, p picture) *image.Gray {
	t.Helper()
	out, err := e.encode(p, 100)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(out))
	g, ok := m.(*image.Gray)
	if err != nil || !ok {
		t.Fatal(fmt.Errorf("got %T, %w", m, err))
	}
	return g
}
