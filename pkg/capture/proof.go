package capture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// errUnproven is the failure of an encoder that made another picture than it was
// given.
var errUnproven = errors.New("makes wrong pictures")

const (
	// cells is how many fields a picture is divided into, each way, to be
	// compared: enough to find planes that are shifted or swapped.
	cells = 4
	// perCell is how many samples of a raw field count, each way.
	perCell = 8
	// maxOff is how much the mean of the whole picture may be off, maxCellOff that
	// of a field. Chosen: hardware does not stretch limited range, which is 16 at
	// most; a missing plane is off by 100 and more.
	maxOff, maxCellOff = 22, 40
	// telling is the difference between fields below which a picture is too
	// uniform to prove much.
	telling = 12
	// proofWidth is how wide the result is decoded. libjpeg-turbo scales while
	// decoding, which is cheap.
	proofWidth = 160
)

// fields are the means of luma, blue and red chroma in the fields of a picture.
type fields [cells * cells][3]float64

// proof compares an encoder's result with the raw picture. isTelling says that
// the picture had something to compare.
func proof(b *device.Buffer, raw rawLayout, out []byte, width, height int) (isTelling bool, err error) {
	info, err := jpeg.Header(out)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnproven, err)
	}
	if info.Width != width || info.Height != height {
		return false, fmt.Errorf("%w: %dx%d pixels instead of %dx%d", errUnproven, info.Width, info.Height, width, height)
	}
	m, err := decodeSmall(out, width)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnproven, err)
	}
	want, got := raw.fields(b), fieldsOf(m)
	planes := 3
	if info.Components == 1 {
		planes = 1 // the settings ask for grey
	}
	for p, name := range []string{"luma", "blue chroma", "red chroma"}[:planes] {
		var sumWant, sumGot float64
		low, high := want[0][p], want[0][p]
		for i := range want {
			low, high = min(low, want[i][p]), max(high, want[i][p])
			sumWant += want[i][p] / float64(len(want))
			sumGot += got[i][p] / float64(len(want))
			if d := got[i][p] - want[i][p]; d > maxCellOff || d < -maxCellOff {
				return false, fmt.Errorf("%w: %s of field %d is %.0f instead of %.0f", errUnproven, name, i, got[i][p], want[i][p])
			}
		}
		if d := sumGot - sumWant; d > maxOff || d < -maxOff {
			return false, fmt.Errorf("%w: mean %s is %.0f instead of %.0f", errUnproven, name, sumGot, sumWant)
		}
		isTelling = isTelling || high-low >= telling
	}
	return isTelling, nil
}

// decodeSmall decodes a JPEG to about proofWidth.
func decodeSmall(data []byte, width int) (image.Image, error) {
	if width > 2*proofWidth {
		t, err := encode.NewTranscoder(encode.Options{Width: proofWidth, Quality: 95})
		if err != nil {
			return nil, err
		}
		defer t.Close()
		if data, err = t.Transcode(data); err != nil {
			return nil, err
		}
		if t.Damaged() {
			return nil, errors.New("picture data is damaged")
		}
	}
	return stdjpeg.Decode(bytes.NewReader(data))
}

// fieldsOf measures a decoded picture.
func fieldsOf(m image.Image) (f fields) {
	r := m.Bounds()
	at := func(x, y int) (byte, byte, byte) {
		red, green, blue, _ := m.At(x, y).RGBA()
		return color.RGBToYCbCr(byte(red>>8), byte(green>>8), byte(blue>>8))
	}
	switch m := m.(type) {
	case *image.YCbCr:
		at = func(x, y int) (byte, byte, byte) {
			c := m.COffset(x, y)
			return m.Y[m.YOffset(x, y)], m.Cb[c], m.Cr[c]
		}
	case *image.Gray:
		at = func(x, y int) (byte, byte, byte) { return m.GrayAt(x, y).Y, 128, 128 }
	}
	return measure(r.Dx(), r.Dy(), func(x, y int) (float64, float64, float64) {
		luma, cb, cr := at(r.Min.X+x, r.Min.Y+y)
		return float64(luma), float64(cb), float64(cr)
	})
}

// measure takes the mean of samples spread over each field.
func measure(w, h int, at func(x, y int) (luma, cb, cr float64)) (f fields) {
	for i := range f {
		x0, x1 := i%cells*w/cells, (i%cells+1)*w/cells
		y0, y1 := i/cells*h/cells, (i/cells+1)*h/cells
		for s := range perCell * perCell {
			x := x0 + (2*(s%perCell)+1)*(x1-x0)/(2*perCell)
			y := y0 + (2*(s/perCell)+1)*(y1-y0)/(2*perCell)
			luma, cb, cr := at(x, y)
			f[i][0] += luma / (perCell * perCell)
			f[i][1] += cb / (perCell * perCell)
			f[i][2] += cr / (perCell * perCell)
		}
	}
	return f
}
