package encode

import (
	"fmt"
	"math"

	"github.com/webgear-pi/webgear/device"
)

// DefaultQuality is used when none is asked for. Chosen: good to look at on a
// screen; higher values mostly cost bytes.
const DefaultQuality = 80

// Options say how to encode. The zero value is a good choice.
type Options struct {
	// Quality goes from 1 (smallest) to 100 (best), on the scale of libjpeg;
	// 0 means DefaultQuality and, for a Transcoder, no wish for another one.
	Quality int
	// Width and Height are the size of the output in pixels; 0 and 0 mean that
	// of the input. When only one is 0 it follows from the other in proportion.
	Width, Height int
	// Subsampling is the chroma resolution of an Encoder's files. It means
	// nothing to the others.
	Subsampling Subsampling
	// Gray makes pictures of one component: the source's luma.
	Gray bool
	// FastDCT takes libjpeg's less exact transform (JDCT_IFAST). It pays on
	// processors without vector instructions only. image/jpeg has one transform.
	FastDCT bool
	// FastUpsample lets a Transcoder that resizes take each chroma sample of the
	// source as a block of one colour rather than as a point on a line.
	// Encoders never upsample: for them it means nothing.
	FastUpsample bool
	// Portable asks for image/jpeg even where libjpeg-turbo is there.
	Portable bool
}

// Subsampling says how much chroma a file has.
type Subsampling uint8

const (
	// SubsamplingSource keeps what the camera sends: packed 4:2:2 stays 4:2:2.
	// image/jpeg makes 4:2:0 of everything all the same.
	SubsamplingSource Subsampling = iota
	// Subsampling420 makes 4:2:0 of packed 4:2:2, each pair of rows having their
	// mean: fewer bytes and less work for chroma that is seldom missed.
	Subsampling420
)

// String returns what ParseSubsampling reads.
func (s Subsampling) String() string {
	if s == Subsampling420 {
		return "4:2:0"
	}
	return "source"
}

// ParseSubsampling reads "source", or nothing, and "4:2:0".
func ParseSubsampling(s string) (Subsampling, error) {
	switch s {
	case "", SubsamplingSource.String():
		return SubsamplingSource, nil
	case Subsampling420.String():
		return Subsampling420, nil
	}
	return 0, fmt.Errorf("chroma subsampling %q: use source or 4:2:0", s)
}

// check refuses what no engine could do.
func (o Options) check() error {
	if err := checkQuality(o.Quality); o.Quality != 0 && err != nil {
		return err
	}
	if o.Width < 0 || o.Height < 0 || o.Width > device.MaxSide || o.Height > device.MaxSide || o.Width*o.Height > device.MaxPixels {
		return fmt.Errorf("output %w", errSize(o.Width, o.Height))
	}
	return nil
}

func checkQuality(q int) error {
	if q < 1 || q > 100 {
		return fmt.Errorf("quality %d is not in 1 to 100", q)
	}
	return nil
}

func errSize(w, h int) error {
	return fmt.Errorf("size %dx%d: sides must be 1 to %d pixels, %d million pixels in all",
		w, h, device.MaxSide, device.MaxPixels>>20)
}

// checkSize holds for pictures that come in.
func checkSize(w, h int) error {
	if w < 1 || h < 1 || w > device.MaxSide || h > device.MaxSide || w*h > device.MaxPixels {
		return errSize(w, h)
	}
	return nil
}

// size is the output's for an input of w by h.
func (o Options) size(w, h int) (int, int, error) {
	ow, oh := o.Width, o.Height
	switch {
	case ow == 0 && oh == 0:
		return w, h, nil
	case ow == 0:
		ow = max(1, (w*oh+h/2)/h)
	case oh == 0:
		oh = max(1, (h*ow+w/2)/w)
	}
	if err := checkSize(ow, oh); err != nil {
		return 0, 0, fmt.Errorf("output %w", err)
	}
	return ow, oh, nil
}

// Reduce returns a size whose sides are percent smaller, cut off to whole
// pixels but at least 1: the width first, then the height by the ratio that the
// width got. Percentages outside 0 to 100 count as the nearest of these.
func Reduce(width, height int, percent float64) (w, h int) {
	if width < 1 || height < 1 {
		return max(width, 1), max(height, 1)
	}
	// Not a number compares with nothing and must not get through.
	if !(percent > 0) {
		return width, height
	}
	w = max(1, int(math.Trunc(float64(width)*(100-min(percent, 100))/100)))
	// In whole numbers, so that no rounding error costs a pixel: 480 times 3/4
	// is 360, not 359.
	h = max(1, int(int64(height)*int64(w)/int64(width)))
	return w, h
}
