package v4l2

import (
	"cmp"
	"context"
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Most entries taken from one list of the kernel, chosen well above what any
// camera has: a faulty driver that never says "no more" must not hold us.
const (
	maxFormats   = 64
	maxSizes     = 256
	maxIntervals = 64
)

// commonSizes are listed for drivers that offer whole ranges.
var commonSizes = [][2]uint32{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	{1280, 720},
	{1920, 1080},
	{640, 480},
	{800, 600},
	{320, 240},
	{640, 360},
	{1024, 768},
	{1280, 960},
	{1600, 1200},
	{2592, 1944},
	{3840, 2160},
}

// commonRates are listed for drivers that offer whole ranges of intervals, in
// frames per second.
var commonRates = []uint32{120, 90, 60, 50, 30, 25, 24, 20, 15, 10, 5, 1} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// listFormats asks for all pixel formats.
func listFormats(n node) ([]formatDesc, error) {
	var formats []formatDesc
	for i := range uint32(maxFormats) {
		f, err := n.enumFormat(i)
		if is(err, unix.EINVAL) {
			break
		}
		if err != nil {
			return nil, err
		}
		formats = append(formats, f)
	}
	return formats, nil
}

// listModes asks for the sizes and rates of the usable ones among formats. In
// ranges the size nearest to that of want is listed first, when it has one.
func listModes(ctx context.Context, n node, formats []formatDesc, want device.Format) ([]device.Mode, error) {
	var modes []device.Mode
	type key struct {
		fourcc device.FourCC
		size   [2]uint32
	}
	seen := map[key]bool{} // Some cameras describe one pixel format twice.
	for _, f := range formats {
		if _, ok := f.fourcc.Rank(); !ok {
			continue
		}
		sizes, err := listSizes(n, f.fourcc, want)
		if err != nil {
			return nil, err
		}
		for _, s := range sizes {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if seen[key{f.fourcc, s}] {
				continue
			}
			seen[key{f.fourcc, s}] = true
			rates, err := listRates(n, f.fourcc, s[0], s[1])
			if err != nil {
				return nil, err
			}
			modes = append(modes, device.Mode{
				FourCC: f.fourcc, Width: int(s[0]), Height: int(s[1]),
				Rates: rates, Emulated: f.emulated,
			})
		}
	}
	return modes, nil
}

// listSizes asks for the sizes of one pixel format. Drivers that do not know
// the question have the size they are set to.
func listSizes(n node, f device.FourCC, want device.Format) ([][2]uint32, error) {
	var sizes [][2]uint32
	for i := range uint32(maxSizes) {
		r, err := n.enumSize(i, f)
		if is(err, unix.EINVAL, unix.ENOTTY) {
			break
		}
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, sizesIn(r, want)...)
	}
	if len(sizes) == 0 {
		current := rawFormat{Type: bufTypeVideoCapture}
		if err := n.getFormat(&current); err != nil {
			return nil, err
		}
		sizes = sizesIn(discreteSize(current.Width, current.Height), want)
	}
	return unique(sizes), nil
}

// unique drops repeated values and keeps the order.
func unique[T comparable](list []T) []T {
	var out []T
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// sizesIn lists the sizes to offer from a range: the one nearest to want, the
// common ones, the largest and the smallest. Sizes that no Camera may deliver
// are left out.
func sizesIn(r sizeRange, want device.Format) [][2]uint32 {
	if r.discrete() {
		if !acceptable(r.minW, r.minH) {
			return nil
		}
		return [][2]uint32{{r.minW, r.minH}}
	}
	r.maxW, r.maxH = min(r.maxW, device.MaxSide), min(r.maxH, device.MaxSide)
	if r.minW > r.maxW || r.minH > r.maxH {
		return nil
	}
	fit := func(w, h uint32) [2]uint32 {
		return [2]uint32{nearestStep(w, r.minW, r.maxW, r.stepW), nearestStep(h, r.minH, r.maxH, r.stepH)}
	}
	var sizes [][2]uint32
	if want.Width > 0 && want.Height > 0 {
		sizes = append(sizes, fit(clampSide(want.Width), clampSide(want.Height)))
	}
	for _, s := range commonSizes {
		if fit(s[0], s[1]) == s {
			sizes = append(sizes, s)
		}
	}
	sizes = append(sizes, fit(r.maxW, r.maxH), fit(r.minW, r.minH))
	return slices.DeleteFunc(sizes, func(s [2]uint32) bool { return !acceptable(s[0], s[1]) })
}

func clampSide(side int) uint32 { return uint32(min(max(side, 0), device.MaxSide)) }

// acceptable says whether pictures of this size are within the contract.
func acceptable(w, h uint32) bool {
	return w > 0 && h > 0 && w <= device.MaxSide && h <= device.MaxSide && uint64(w)*uint64(h) <= device.MaxPixels
}

// nearestStep returns the value nearest to want among low, low+step, … up to
// high.
func nearestStep(want, low, high, step uint32) uint32 {
	step = max(step, 1)
	if want <= low {
		return low
	}
	steps := (min(want, high) - low + step/2) / step
	return low + min(steps, (high-low)/step)*step
}

// listRates asks for the frame rates at one size, highest first; none when the
// driver does not tell.
func listRates(n node, f device.FourCC, w, h uint32) ([]device.Rate, error) {
	var rates []device.Rate
	for i := range uint32(maxIntervals) {
		r, err := n.enumInterval(i, f, w, h)
		if is(err, unix.EINVAL, unix.ENOTTY) {
			break
		}
		if err != nil {
			return nil, err
		}
		rates = append(rates, ratesIn(r)...)
		if !r.discrete {
			break // A range is the whole answer.
		}
	}
	rates = unique(rates)
	slices.SortFunc(rates, func(a, b device.Rate) int {
		return cmp.Compare(uint64(b.Num)*uint64(a.Den), uint64(a.Num)*uint64(b.Den))
	})
	return rates, nil
}

// ratesIn lists the rates to offer from a range of frame intervals: both ends
// and the common rates between that fall on a step.
func ratesIn(r intervalRange) []device.Rate {
	var rates []device.Rate
	add := func(f fract) {
		if rate := rateOf(f); rate != (device.Rate{}) {
			rates = append(rates, rate)
		}
	}
	add(r.min)
	if r.discrete {
		return rates
	}
	low, high, step := seconds(r.min), seconds(r.max), seconds(r.step)
	for _, fps := range commonRates {
		s := 1 / float64(fps)
		if s < low || s > high {
			continue
		}
		// Steps are fractions of the driver's clock, microseconds or 100 ns;
		// a thousandth of one is rounding.
		if k := (s - low) / step; step > 0 && math.Abs(k-math.Round(k)) > 1e-3 {
			continue
		}
		add(fract{1, fps})
	}
	add(r.max)
	return rates
}

// seconds returns an interval as a number, 0 when it is none.
func seconds(f fract) float64 {
	if f.den == 0 {
		return 0
	}
	return float64(f.num) / float64(f.den)
}

// rateOf turns a frame interval into the rate, in lowest terms.
func rateOf(f fract) device.Rate {
	if f.num == 0 || f.den == 0 {
		return device.Rate{}
	}
	a, b := f.num, f.den
	for b != 0 {
		a, b = b, a%b
	}
	return device.Rate{Num: f.den / a, Den: f.num / a}
}
