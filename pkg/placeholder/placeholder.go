// Package placeholder draws the card that viewers see while there is no live
// picture: what is wrong, why, and what to do about it, in the size of the
// stream. It knows nothing of causes; the caller brings the words.
//
// A Renderer holds the two fonts and nothing else; its methods are safe for
// concurrent use.
package placeholder

import (
	"fmt"
	"image"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// Card is what to tell the viewer. Each field may be empty.
type Card struct {
	// Title names the state in a few words: "Camera unplugged".
	Title string
	// Cause says why, in a sentence.
	Cause string
	// Remedy says what to do about it, in a sentence.
	Remedy string
	// Footer is one small line at the bottom: the host, the camera, since when.
	// What does not fit is cut off at the end.
	Footer string
}

// colour is a flat colour in full-range BT.601.
type colour struct{ y, cb, cr byte }

// Chosen by eye: a bluish near-black, on which the text has a contrast of 5 (footer)
// to 16 (title) as WCAG 2.1 counts it, and an amber accent.
const (
	titleLevel  = 238
	causeLevel  = 208
	remedyLevel = 164
	footerLevel = 132
	ruleLevel   = 58
)

func background() colour { return colour{27, 132, 125} }

func accent() colour { return colour{178, 42, 169} }

// Renderer draws cards.
type Renderer struct{ regular, bold *opentype.Font }

// New parses the fonts.
func New() (*Renderer, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("placeholder parse regular font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("placeholder parse bold font: %w", err)
	}
	return &Renderer{regular: regular, bold: bold}, nil
}

// Render draws a card and encodes it. quality is that of package encode, 0 means
// its default. sampling is the resolution of the colours as pkg/jpeg names it,
// "4:2:0" when empty: a client that decodes a stream need not start over
// when the placeholder is of the same kind as the live pictures.
func (r *Renderer) Render(width, height int, c Card, quality int, sampling string) ([]byte, error) {
	m, err := r.Draw(width, height, c)
	if err != nil {
		return nil, err
	}
	e, err := encode.NewPixelEncoder(encode.Options{Quality: quality, Gray: sampling == "4:0:0"})
	if err != nil {
		return nil, fmt.Errorf("placeholder: %w", err)
	}
	defer e.Close()
	out, err := e.EncodeImage(resample(m, sampling))
	if err != nil {
		return nil, fmt.Errorf("placeholder: %w", err)
	}
	return out, nil
}

// resample gives a 4:2:0 picture the colour resolution that sampling names, as
// far as it is finer.
func resample(m *image.YCbCr, sampling string) *image.YCbCr {
	ratio := map[string]image.YCbCrSubsampleRatio{
		"4:2:2": image.YCbCrSubsampleRatio422, "4:4:4": image.YCbCrSubsampleRatio444, "4:4:0": image.YCbCrSubsampleRatio440,
	}[sampling]
	if sampling != "4:2:2" && sampling != "4:4:4" && sampling != "4:4:0" {
		return m
	}
	out := image.NewYCbCr(m.Rect, ratio)
	copyRows(out.Y, out.YStride, m.Y, m.YStride, m.Rect.Dx())
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		for x := m.Rect.Min.X; x < m.Rect.Max.X; x++ {
			from, to := m.COffset(x, y), out.COffset(x, y)
			out.Cb[to], out.Cr[to] = m.Cb[from], m.Cr[from]
		}
	}
	return out
}

// copyRows copies rows of n bytes between two strides.
func copyRows(to []byte, toStride int, from []byte, fromStride, n int) {
	for t, f := 0, 0; t+n <= len(to) && f+n <= len(from); t, f = t+toStride, f+fromStride {
		copy(to[t:t+n], from[f:f+n])
	}
}

// Buffer draws a card as a raw picture: YU12, full range, BT.601, rows without
// padding. The caller owns it; its times are not set.
func (r *Renderer) Buffer(width, height int, c Card) (*device.Buffer, error) {
	data, _, err := r.draw(width, height, c)
	if err != nil {
		return nil, err
	}
	return &device.Buffer{
		Data:   data,
		Format: device.Format{FourCC: device.YU12, Width: width, Height: height, Stride: width},
	}, nil
}

// Draw draws a card as an image.
func (r *Renderer) Draw(width, height int, c Card) (*image.YCbCr, error) {
	_, m, err := r.draw(width, height, c)
	return m, err
}

func (r *Renderer) draw(width, height int, c Card) ([]byte, *image.YCbCr, error) {
	if width < 1 || height < 1 || width > device.MaxSide || height > device.MaxSide || width*height > device.MaxPixels {
		return nil, nil, fmt.Errorf("placeholder: size %dx%d: sides must be 1 to %d pixels, %d million pixels in all",
			width, height, device.MaxSide, device.MaxPixels>>20)
	}
	data, m := newCanvas(width, height)
	l, err := r.lay(width, height, c)
	if err != nil {
		return nil, nil, err
	}
	defer l.close()
	fill(m, m.Rect, background())
	l.paint(m)
	return data, m, nil
}

// newCanvas makes a picture whose planes follow one another, as YU12 wants it.
func newCanvas(w, h int) ([]byte, *image.YCbCr) {
	cw, ch := (w+1)/2, (h+1)/2
	data := make([]byte, w*h+2*cw*ch)
	return data, &image.YCbCr{
		Y: data[:w*h], Cb: data[w*h : w*h+cw*ch], Cr: data[w*h+cw*ch:],
		YStride: w, CStride: cw,
		SubsampleRatio: image.YCbCrSubsampleRatio420,
		Rect:           image.Rect(0, 0, w, h),
	}
}

// fill paints a rectangle; chroma goes by pairs of pixels.
func fill(m *image.YCbCr, r image.Rectangle, c colour) {
	r = r.Intersect(m.Rect)
	if r.Empty() {
		return
	}
	set := func(p []byte, stride int, r image.Rectangle, v byte) {
		first := p[r.Min.Y*stride+r.Min.X:][:r.Dx()]
		for x := range first {
			first[x] = v
		}
		for y := r.Min.Y + 1; y < r.Max.Y; y++ {
			copy(p[y*stride+r.Min.X:][:r.Dx()], first)
		}
	}
	set(m.Y, m.YStride, r, c.y)
	half := image.Rect(r.Min.X/2, r.Min.Y/2, (r.Max.X+1)/2, (r.Max.Y+1)/2)
	set(m.Cb, m.CStride, half, c.cb)
	set(m.Cr, m.CStride, half, c.cr)
}

// face makes a font of a size in pixels. Hinting would tear the letters apart
// at small sizes: it rounds their widths.
func face(f *opentype.Font, px float64) (font.Face, error) {
	fc, err := opentype.NewFace(f, &opentype.FaceOptions{Size: px, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, fmt.Errorf("placeholder font of %.1f pixels: %w", px, err)
	}
	return fc, nil
}
