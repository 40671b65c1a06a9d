package placeholder

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// How a still is dimmed. Chosen by eye: everything can be made out, nobody takes
// it for live, and the text has contrast on white clouds, too.
const (
	stillPart = 0.4 // of the luminance stays
	bandPart  = 0.5 // of that below the text
	// bandHeight and stillText are parts of the unit, as for cards.
	bandHeight = 0.15
	stillText  = 0.062
)

// Still makes a picture that was live once into one that says what it is: it is
// dimmed, and text stands in a dark band at the bottom. It keeps size, colours and
// sampling. Pictures that image/jpeg cannot decode to luminance and chroma are an
// error.
func (r *Renderer) Still(picture []byte, text string, quality int) ([]byte, error) {
	info, err := jpeg.Header(picture)
	if err != nil {
		return nil, fmt.Errorf("placeholder of a still: %w", err)
	}
	if info.Width*info.Height > device.MaxPixels {
		return nil, errors.New("placeholder of a still: the picture is too large")
	}
	decoded, err := stdjpeg.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, fmt.Errorf("placeholder of a still: %w", err)
	}
	var m *image.YCbCr
	switch d := decoded.(type) {
	case *image.YCbCr:
		m = d
	case *image.Gray:
		// Only the luminance is drawn on.
		m = &image.YCbCr{Y: d.Pix, YStride: d.Stride, Rect: d.Rect}
	default:
		return nil, fmt.Errorf("placeholder of a still: %T cannot be drawn on", decoded)
	}
	if err := r.label(m, text); err != nil {
		return nil, err
	}
	e, err := encode.NewPixelEncoder(encode.Options{Quality: quality})
	if err != nil {
		return nil, fmt.Errorf("placeholder: %w", err)
	}
	defer e.Close()
	out, err := e.EncodeImage(decoded)
	if err != nil {
		return nil, fmt.Errorf("placeholder: %w", err)
	}
	return out, nil
}

// label dims the picture and writes the text into a band at the bottom.
func (r *Renderer) label(m *image.YCbCr, text string) error {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	unit := min(float64(h), 0.75*float64(w))
	band := h - int(bandHeight*unit)
	if unit < smallestUnit {
		band = h
	}
	for y := range h {
		part := stillPart
		if y >= band {
			part *= bandPart
		}
		dim(m.Y[y*m.YStride:][:w], part)
	}
	// The colours fade with the light, or shadows would glow.
	dimChroma(m.Cb, stillPart)
	dimChroma(m.Cr, stillPart)
	if text = clean(r.regular, text); text == "" || unit < smallestUnit {
		return nil
	}
	// The text shrinks until it fits, down to what can still be read.
	margin := int(marginPart * unit)
	for size := stillText * unit; ; size *= scaleStep {
		f, err := face(r.regular, size)
		if err != nil {
			return err
		}
		last := size*scaleStep < smallestScale*stillText*unit
		if !last && !fits(f, text, w-2*margin) {
			_ = f.Close() // never fails: there is nothing behind it
			continue
		}
		drawText(m, line{
			text: shorten(f, text, w-2*margin), x: margin, y: band + (h-band)/2 + int(0.35*size),
			style: style{face: f, level: titleLevel, size: size},
		})
		_ = f.Close() // as above
		return nil
	}
}

// dim takes part of the luminance.
func dim(row []byte, part float64) {
	factor := int(part * 256)
	for i, v := range row {
		row[i] = byte(int(v) * factor >> 8)
	}
}

// dimChroma takes part of the distance from grey.
func dimChroma(plane []byte, part float64) {
	factor := int(part * 256)
	for i, v := range plane {
		plane[i] = byte(128 + (int(v)-128)*factor/256)
	}
}
