package device

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FourCC is a V4L2 pixel format code: four ASCII characters, first one lowest.
type FourCC uint32

// The formats that webgear can turn into pictures. Values are those of
// V4L2_PIX_FMT_* in the kernel's include/uapi/linux/videodev2.h.
const (
	// MJPG is Motion-JPEG as USB cameras send it; tables may be missing.
	MJPG = FourCC('M' | 'J'<<8 | 'P'<<16 | 'G'<<24)
	// JPEG is a JFIF picture per frame.
	JPEG = FourCC('J' | 'P'<<8 | 'E'<<16 | 'G'<<24)
	// YUYV is 4:2:2 packed, Y0 Cb Y1 Cr.
	YUYV = FourCC('Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24)
	// UYVY is 4:2:2 packed, Cb Y0 Cr Y1.
	UYVY = FourCC('U' | 'Y'<<8 | 'V'<<16 | 'Y'<<24)
	// NV12 is 4:2:0, a Y plane and one of interleaved Cb and Cr.
	NV12 = FourCC('N' | 'V'<<8 | '1'<<16 | '2'<<24)
	// YU12 is 4:2:0 planar, Y, Cb, Cr, also known as I420.
	YU12 = FourCC('Y' | 'U'<<8 | '1'<<16 | '2'<<24)
	// RGB24 is packed R, G, B; the kernel's code is "RGB3".
	RGB24 = FourCC('R' | 'G'<<8 | 'B'<<16 | '3'<<24)
	// GREY is 8-bit luminance only.
	GREY = FourCC('G' | 'R'<<8 | 'E'<<16 | 'Y'<<24)
)

// formatNames holds the formats webgear can use, best first: what needs no
// encoding, then what needs the least work to encode. The second name is
// FFmpeg's pix_fmt or codec name and is accepted as an alias.
var formatNames = []struct { //nolint:gochecknoglobals // a constant table; Go has no constant slices
	code  FourCC
	alias []string
}{
	{MJPG, []string{"mjpeg"}},
	{JPEG, nil},
	{YU12, []string{"i420", "yuv420p"}},
	{NV12, nil},
	{YUYV, []string{"yuyv422", "yuy2"}},
	{UYVY, []string{"uyvy422"}},
	{GREY, []string{"gray", "gray8"}},
	{RGB24, []string{"rgb24", "rgb"}},
}

// String returns the code as text, such as "YUYV"; unprintable bytes appear
// as '.'. Zero gives "".
func (f FourCC) String() string {
	if f == 0 {
		return ""
	}
	b := []byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)}
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '.'
		}
	}
	return strings.TrimRight(string(b), " ")
}

// MarshalText gives the code's four characters.
func (f FourCC) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText gives, for any code.
func (f *FourCC) UnmarshalText(text []byte) error {
	if len(text) > 4 {
		return fmt.Errorf("pixel format %q: more than four characters", text)
	}
	var b [4]byte
	if len(text) > 0 {
		copy(b[:], "    ")
	}
	copy(b[:], text)
	*f = FourCC(b[0]) | FourCC(b[1])<<8 | FourCC(b[2])<<16 | FourCC(b[3])<<24
	return nil
}

// Rank orders formats by the work they cost: 0 is best. ok is false for a
// format that webgear cannot use.
func (f FourCC) Rank() (rank int, ok bool) {
	for i, n := range formatNames {
		if n.code == f {
			return i, true
		}
	}
	return 0, false
}

// Compressed reports whether pictures of this format are JPEG already.
func (f FourCC) Compressed() bool { return f == MJPG || f == JPEG }

// ParseFourCC accepts a usable format by its code ("YUYV", "RGB3") or FFmpeg's
// name for it ("yuyv422"), in any case.
func ParseFourCC(s string) (FourCC, error) {
	want := strings.ToLower(strings.TrimSpace(s))
	var known []string
	for _, n := range formatNames {
		if strings.ToLower(n.code.String()) == want {
			return n.code, nil
		}
		if slices.Contains(n.alias, want) {
			return n.code, nil
		}
		known = append(known, n.code.String())
	}
	return 0, fmt.Errorf("unknown pixel format %q: use one of %s", s, strings.Join(known, ", "))
}

// Rate is a frame rate in frames per second as an exact fraction. V4L2 speaks
// of the frame interval, its inverse: 30 fps is the interval 1/30.
// The zero Rate means "not known" or "driver's choice".
type Rate struct {
	Num uint32 `json:"num"`
	Den uint32 `json:"den"`
}

// FPS returns a Rate for a number of frames per second, exact to 1/1000.
func FPS(fps float64) Rate {
	if fps <= 0 {
		return Rate{}
	}
	num, den := uint32(fps*1000+0.5), uint32(1000)
	for a, b := num, den; ; a, b = b, a%b {
		if b == 0 {
			return Rate{num / a, den / a}
		}
	}
}

// Float returns frames per second, 0 when not known.
func (r Rate) Float() float64 {
	if r.Num == 0 || r.Den == 0 {
		return 0
	}
	return float64(r.Num) / float64(r.Den)
}

// String prints frames per second with at most two decimals: "30", "29.97".
func (r Rate) String() string {
	s := strconv.FormatFloat(r.Float(), 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON gives frames per second as a number.
func (r Rate) MarshalJSON() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalJSON reads frames per second as a number.
func (r *Rate) UnmarshalJSON(text []byte) error {
	fps, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("frame rate %s: not a number", text)
	}
	*r = FPS(fps)
	return nil
}

// Quantization says which numbers a raw format uses for black and white.
type Quantization uint8

// Ranges of sample values.
const (
	// FullRange is 0 to 255 for all samples, as JPEG wants it.
	FullRange Quantization = iota
	// LimitedRange is 16 to 235 for Y, 16 to 240 for Cb and Cr.
	LimitedRange
)

// Matrix says how R, G, B were turned into Y, Cb, Cr.
type Matrix uint8

// Conversion matrices. JPEG (JFIF) means BT.601.
const (
	BT601 Matrix = iota
	BT709
)

// Format is one way a camera can deliver pictures, as wanted or as granted.
type Format struct {
	FourCC FourCC `json:"pixel_format"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	// Rate is frames per second.
	Rate Rate `json:"frame_rate"`
	// Stride is bytes per row of the first plane, raw formats only. 0 means
	// rows without padding. The chroma planes of YU12 have half the stride,
	// that of NV12 the same.
	Stride int `json:"stride_bytes,omitempty"`
	// Quantization and Matrix describe raw YUV samples.
	Quantization Quantization `json:"-"`
	Matrix       Matrix       `json:"-"`
}

// String prints "MJPG 1280x720 at 30 fps", leaving out what is zero.
func (f Format) String() string {
	var p []string
	if f.FourCC != 0 {
		p = append(p, f.FourCC.String())
	}
	if f.Width != 0 || f.Height != 0 {
		p = append(p, fmt.Sprintf("%dx%d", f.Width, f.Height))
	}
	if f.Rate.Float() > 0 {
		p = append(p, "at "+f.Rate.String()+" fps")
	}
	return cmp.Or(strings.Join(p, " "), "any format")
}

// Mode is one pixel format at one size, with the rates offered for it.
type Mode struct {
	FourCC FourCC `json:"pixel_format"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	// Rates are the offered frame rates, highest first; empty when the driver
	// does not tell.
	Rates []Rate `json:"frame_rates,omitempty"`
	// Emulated is set when the kernel or a library makes this format from
	// another one.
	Emulated bool `json:"emulated,omitempty"`
}

// Largest picture webgear accepts. Chosen: twice the sides of the largest Pi
// camera module (64 MP, 9152x6944) would not fit a 1 GiB board's memory as raw
// buffers, so the area is bounded as well.
const (
	MaxSide   = 16384
	MaxPixels = 1 << 26
)

// ParseSize reads "1280x720" or "1280x720@30"; the rate is zero when absent.
// Sides go from 16 to MaxSide pixels, rates from 0.1 to 1000 per second.
func ParseSize(s string) (width, height int, rate Rate, err error) {
	size, fps, hasRate := strings.Cut(strings.ToLower(s), "@")
	w, h, ok := strings.Cut(size, "x")
	width, werr := strconv.Atoi(w)
	height, herr := strconv.Atoi(h)
	if !ok || werr != nil || herr != nil {
		return 0, 0, Rate{}, fmt.Errorf("size %q: write it as WIDTHxHEIGHT or WIDTHxHEIGHT@FPS, such as 1280x720@30", s)
	}
	if width < 16 || height < 16 || width > MaxSide || height > MaxSide {
		return 0, 0, Rate{}, fmt.Errorf("size %q: each side must be 16 to %d pixels", s, MaxSide)
	}
	if width*height > MaxPixels {
		return 0, 0, Rate{}, fmt.Errorf("size %q: at most %d million pixels in all", s, MaxPixels>>20)
	}
	if hasRate {
		f, ferr := strconv.ParseFloat(fps, 64)
		if ferr != nil || !(f >= 0.1 && f <= 1000) {
			return 0, 0, Rate{}, fmt.Errorf("size %q: the rate must be 0.1 to 1000 frames per second", s)
		}
		rate = FPS(f)
	}
	return width, height, rate, nil
}
