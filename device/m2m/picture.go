package m2m

import (
	"fmt"

	"github.com/webgear-pi/webgear/device"
)

// blockSide is the largest unit that JPEG codes at once, in pixels: with 4:2:0
// chroma a block of 8x8 samples covers 16x16. Encoders read that far beyond the
// picture's edges, so there must be something that belongs to it.
const blockSide = 16

// samples says what the bytes of a plane are, for the conversion of range.
type samples uint8

const (
	luma       samples = iota
	chroma             // Cb, Cr or both in turn
	lumaFirst          // Y, C, Y, C
	lumaSecond         // C, Y, C, Y
	colours            // R, G, B, which have one range only
)

// plane is how one plane of a raw format is made up: groups of bytes that stand
// for span pixels of a row, one such row for every lines rows of the picture. Its
// stride is that of the first plane divided by narrow.
type plane struct {
	group, span, lines, narrow int
	samples                    samples
}

// planesOf returns the planes of a raw format, nil for others.
func planesOf(f device.FourCC) []plane {
	switch f {
	case device.YU12:
		return []plane{{1, 1, 1, 1, luma}, {1, 2, 2, 2, chroma}, {1, 2, 2, 2, chroma}}
	case device.NV12:
		return []plane{{1, 1, 1, 1, luma}, {2, 2, 2, 1, chroma}}
	case device.YUYV:
		return []plane{{4, 2, 1, 1, lumaFirst}}
	case device.UYVY:
		return []plane{{4, 2, 1, 1, lumaSecond}}
	case device.RGB24:
		return []plane{{3, 1, 1, 1, colours}}
	case device.GREY:
		return []plane{{1, 1, 1, 1, luma}}
	}
	return nil
}

// row is how many bytes of a row w pixels take.
func (p plane) row(w int) int { return (w + p.span - 1) / p.span * p.group }

// rows is how many rows the plane has for h of the picture.
func (p plane) rows(h int) int { return (h + p.lines - 1) / p.lines }

// place is where a plane lies in a buffer. All numbers are bytes, but for rows.
type place struct{ offset, stride, row, rows int }

// layOut places the planes of a picture one behind the other, each with room for
// lines rows of the picture. A stride of 0 means rows without padding.
func layOut(planes []plane, width, height, stride, lines int) []place {
	if stride == 0 {
		stride = planes[0].row(width)
	}
	places := make([]place, len(planes))
	at := 0
	for i, p := range planes {
		// NV12's pairs of chroma need an even stride, so it is rounded up.
		s := (stride + p.narrow - 1) / p.narrow
		s = (s + p.group - 1) / p.group * p.group
		if p.group > 2 {
			s = stride // of packed pixels it may cut a group in half
		}
		places[i] = place{at, s, p.row(width), p.rows(height)}
		at += s * p.rows(lines)
	}
	return places
}

// sizeOf is how many bytes a picture has up to its last sample.
func sizeOf(places []place) int {
	p := places[len(places)-1]
	return p.offset + p.stride*(p.rows-1) + p.row
}

// checkStride refuses rows that are shorter than the picture or absurd.
func checkStride(f device.Format) error {
	planes := planesOf(f.FourCC)
	if planes == nil {
		return fmt.Errorf("pixel format %q is none that is encoded here", f.FourCC.String())
	}
	if least := planes[0].row(f.Width); f.Stride != 0 && (f.Stride < least || f.Stride > 16*least+4096) {
		return fmt.Errorf("stride of %d bytes does not fit rows of %d", f.Stride, least)
	}
	return nil
}

// copier puts pictures into the encoder's buffers, whose rows and planes may lie
// differently. What is beyond the picture's right and lower edge gets the colour
// of the edge: the encoder codes whole blocks, and what stood there before would
// shine through.
//
// It only writes to the buffers: they are uncached on the Pi, where reading is
// many times slower.
type copier struct {
	planes []plane
	format device.Format
	from   []place
	to     []place
	full   []int // bytes of a row that are filled, edge included
	below  []int // rows that are filled, edge included
	size   int   // bytes that a picture must have
	limits *limits
}

// newCopier is for pictures of format f and an encoder that wants rows of stride
// bytes and planes of lines rows.
func newCopier(f device.Format, width, lines, stride int) *copier {
	c := &copier{planes: planesOf(f.FourCC)}
	c.to = layOut(c.planes, f.Width, f.Height, stride, lines)
	edge := max(width, (f.Width+blockSide-1)/blockSide*blockSide)
	for i, p := range c.planes {
		c.full = append(c.full, min(p.row(edge), c.to[i].stride/p.group*p.group))
		c.below = append(c.below, p.rows(lines))
	}
	if f.Quantization == device.LimitedRange && f.FourCC != device.RGB24 {
		c.limits = newLimits()
	}
	c.read(f)
	return c
}

// read says how the pictures to copy lie.
func (c *copier) read(f device.Format) {
	c.format = f
	c.from = layOut(c.planes, f.Width, f.Height, f.Stride, f.Height)
	c.size = sizeOf(c.from)
}

// identity says that the copy would be the same bytes at the same places, so that
// the encoder can as well read the picture where it is. Packed pictures may lack
// the lines below the edge, which are not shown.
func (c *copier) identity() bool {
	if c.limits != nil {
		return false
	}
	for i := range c.planes {
		from, to := c.from[i], c.to[i]
		if from.offset != to.offset || from.stride != to.stride || c.full[i] > from.row {
			return false
		}
	}
	return len(c.planes) == 1 || c.below[0] == c.from[0].rows
}

// copy fills dst with the picture in src, which has at least c.size bytes.
func (c *copier) copy(dst, src []byte) {
	for i, p := range c.planes {
		from, to := c.from[i], c.to[i]
		src, dst := src[from.offset:], dst[to.offset:]
		y := 0
		if c.limits == nil && from.stride == to.stride && c.full[i] <= from.row {
			n := from.stride*(from.rows-1) + from.row
			copy(dst[:n], src[:n])
			y = from.rows
		}
		for ; y < c.below[i]; y++ {
			c.row(dst[y*to.stride:][:c.full[i]], src[min(y, from.rows-1)*from.stride:][:from.row], p)
		}
	}
}

// row copies one row and goes on with its last pixels, if dst is longer.
func (c *copier) row(dst, src []byte, p plane) {
	first, second := c.limits.tables(p.samples)
	if first == nil {
		copy(dst, src)
	} else {
		convert(dst, src, first, second)
	}
	if len(dst) <= len(src) {
		return
	}
	var last [4]byte // the largest group
	tail := last[:copy(last[:], src[len(src)-p.group:])]
	if p.group == 4 {
		// Both pixels of the last pair: the second luma sample, twice.
		if p.samples == lumaFirst {
			tail[0] = tail[2]
		} else {
			tail[1] = tail[3]
		}
	}
	for at := len(src); at < len(dst); at += p.group {
		if first == nil {
			copy(dst[at:], tail)
		} else {
			convert(dst[at:], tail, first, second)
		}
	}
}

// convert copies src through two tables in turn.
func convert(dst, src []byte, first, second *[256]byte) {
	n := min(len(dst), len(src))
	i := 0
	for ; i+1 < n; i += 2 {
		dst[i], dst[i+1] = first[src[i]], second[src[i+1]]
	}
	if i < n {
		dst[i] = first[src[i]]
	}
}

// limits turns limited range into the full one that JPEG means. The factors are
// those of ITU-R BT.601: 219 steps of luma, 224 of chroma.
type limits struct{ luma, chroma [256]byte }

func newLimits() *limits {
	var l limits
	for i := range 256 {
		l.luma[i] = clamp((2*(i-16)*255 + 219) / (2 * 219))
		c := 2 * (i - 128) * 255
		if c >= 0 {
			c += 224
		} else {
			c -= 224
		}
		l.chroma[i] = clamp(128 + c/(2*224))
	}
	return &l
}

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }

// tables are those for the bytes of even and of odd index, nil to copy them as
// they are.
func (l *limits) tables(s samples) (first, second *[256]byte) {
	if l == nil {
		return nil, nil
	}
	switch s {
	case luma:
		return &l.luma, &l.luma
	case chroma:
		return &l.chroma, &l.chroma
	case lumaFirst:
		return &l.luma, &l.chroma
	case lumaSecond:
		return &l.chroma, &l.luma
	}
	return nil, nil
}
