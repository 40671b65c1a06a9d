package v4l2

import (
	"cmp"
	"slices"

	"github.com/webgear-pi/webgear/device"
)

// What is asked for when the caller has no wish: 720p at 30 fps is what nearly
// every camera of the last ten years does and a Pi's network carries.
const (
	defaultWidth  = 1280
	defaultHeight = 720
	defaultFPS    = 30
)

// enough is the part of the wanted rate that counts as reaching it: cameras
// give 30 fps as 29.97 or as 10000000/333333.
const enough = 0.99

// withDefaults fills the zero fields of want, except the pixel format. Width
// and height only make sense together.
func withDefaults(want device.Format) device.Format {
	if want.Width <= 0 || want.Height <= 0 {
		want.Width, want.Height = defaultWidth, defaultHeight
	}
	if want.Rate.Float() <= 0 {
		want.Rate = device.Rate{Num: defaultFPS, Den: 1}
	}
	return want
}

// choose picks the mode to ask for. want has no zero field except perhaps the
// pixel format. These decide, in this order:
//
//  1. the wanted pixel format, if it is offered at all;
//  2. the size nearest to the wanted one, measured as the sum of the differences
//     in width and height;
//  3. whether the wanted rate is reached; modes that do not tell their rates come
//     after those that do reach it, and among modes that do not reach it the
//     fastest wins;
//  4. JPEG before raw, because it needs no encoding;
//  5. formats of the camera before those the kernel or a library makes;
//  6. the rank of the pixel format, then the order of the driver.
//
// ok is false when there is no usable mode.
func choose(modes []device.Mode, want device.Format) (best device.Mode, ok bool) {
	offered := slices.ContainsFunc(modes, func(m device.Mode) bool { return m.FourCC == want.FourCC })
	for _, m := range modes {
		if _, usable := m.FourCC.Rank(); !usable || (offered && m.FourCC != want.FourCC) {
			continue
		}
		if !ok || compareModes(m, best, want) < 0 {
			best, ok = m, true
		}
	}
	return best, ok
}

// compareModes is negative when a serves want better than b.
func compareModes(a, b device.Mode, want device.Format) int {
	rankA, _ := a.FourCC.Rank()
	rankB, _ := b.FourCC.Rank()
	return cmp.Or(
		cmp.Compare(distance(a, want), distance(b, want)),
		cmp.Compare(shortfall(a, want), shortfall(b, want)),
		-compareBool(a.FourCC.Compressed(), b.FourCC.Compressed()),
		compareBool(a.Emulated, b.Emulated),
		cmp.Compare(rankA, rankB),
	)
}

func distance(m device.Mode, want device.Format) int {
	return abs(m.Width-want.Width) + abs(m.Height-want.Height)
}

// shortfall is 0 for a mode that reaches the wanted rate, greater than 1 for one
// that does not, and 1 for one that does not tell.
func shortfall(m device.Mode, want device.Format) float64 {
	if len(m.Rates) == 0 {
		return 1
	}
	fastest := 0.0
	for _, r := range m.Rates {
		fastest = max(fastest, r.Float())
	}
	if fastest >= enough*want.Rate.Float() {
		return 0
	}
	return 1 + want.Rate.Float() - fastest
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func abs(n int) int { return max(n, -n) }
