package v4l2

import "github.com/webgear-pi/webgear/device"

// Choose says which format Camera.Start would ask for among these modes, and
// why. ok is false when none of them can be used.
func Choose(modes []device.Mode, want device.Format) (f device.Format, reason string, ok bool) {
	want = withDefaults(want)
	m, ok := choose(modes, want)
	if !ok {
		return device.Format{}, "none of its pixel formats can be used", false
	}
	f = device.Format{FourCC: m.FourCC, Width: m.Width, Height: m.Height, Rate: want.Rate}
	switch {
	case m.FourCC == want.FourCC:
		reason = "the pixel format was asked for"
	case m.FourCC.Compressed() && m.Emulated:
		reason = "JPEG that the kernel makes from another format"
	case m.FourCC.Compressed():
		reason = "the camera's own JPEG is passed through without encoding"
	default:
		reason = "raw pictures are encoded once for all viewers"
	}
	return f, reason, true
}
