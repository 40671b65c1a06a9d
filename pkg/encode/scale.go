package encode

import "slices"

// axis says what each output sample along one side is made of. Weights add up
// to 256. scale.c does the same in C.
type axis struct {
	start   []int
	weights [][]uint32
}

// newAxis averages areas when it shrinks and interpolates when it grows; smooth
// takes the input as points on a line to shrink, rather than as steps.
//
// Running sums are rounded rather than weights, so that they add up however many
// there are. Samples beyond an edge count for the one at the edge.
func newAxis(in, out int, smooth bool) axis {
	a := axis{make([]int, out), make([][]uint32, out)}
	step := float64(in) / float64(out)
	for i := range out {
		if in == out {
			a.start[i], a.weights[i] = i, []uint32{256}
			continue
		}
		from, to := float64(i)*step, float64(i+1)*step
		lo, hi := int(from)-1, int(to)+1
		first := max(lo, 0)
		w := make([]uint32, hi-lo+1)
		sum, used := 0.0, 0
		for j := lo; j <= hi; j++ {
			sum += share(from, to, float64(j), smooth)
			upto := int(sum*256 + 0.5)
			if j == hi {
				upto = 256
			}
			w[min(max(j, 0), in-1)-first] += uint32(upto - used)
			used = upto
		}
		skip := slices.IndexFunc(w, func(v uint32) bool { return v != 0 })
		for w[len(w)-1] == 0 {
			w = w[:len(w)-1]
		}
		a.start[i], a.weights[i] = first+skip, w[skip:]
	}
	return a
}

// share is what input sample j has to do with the output sample that covers
// from to to.
func share(from, to, j float64, smooth bool) float64 {
	switch {
	case to-from < 1: // growing: the two samples around the centre
		d := (from+to)/2 - j - 0.5
		return max(0, 1-max(d, -d))
	case smooth:
		return (belowTriangle(to-j-0.5) - belowTriangle(from-j-0.5)) / (to - from)
	default:
		return max(0, min(to, j+1)-max(from, j)) / (to - from)
	}
}

// belowTriangle is the area below the triangle from -1 to 1 with the height 1,
// left of t.
func belowTriangle(t float64) float64 {
	t = min(max(t, -1), 1)
	if t < 0 {
		return (1 + t) * (1 + t) / 2
	}
	return 1 - (1-t)*(1-t)/2
}

// resize returns the plane src, of w by h samples, as one of ow by oh without
// padding.
func resize(src []byte, stride, w, h, ow, oh int, smooth bool) []byte {
	across, down := newAxis(w, ow, smooth), newAxis(h, oh, smooth)
	dst := make([]byte, ow*oh)
	sums := make([]uint32, w)
	for y, weights := range down.weights {
		clear(sums)
		for k, weight := range weights {
			for x, v := range src[(down.start[y]+k)*stride:][:w] {
				sums[x] += uint32(v) * weight
			}
		}
		line := dst[y*ow:][:ow]
		for x, weights := range across.weights {
			sum := uint32(1 << 15)
			for k, v := range sums[across.start[x]:][:len(weights)] {
				sum += v * weights[k]
			}
			line[x] = byte(sum >> 16)
		}
	}
	return dst
}
