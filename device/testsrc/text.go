package testsrc

import (
	"image"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// minText is the smallest text that can be read, in pixels of the font's size.
// Chosen by looking at Go Mono Bold.
const minText = 9

// monoAdvance is the width of a character of Go Mono relative to its size: 1229
// of 2048 units, rounded up so that what was made to fit does.
const monoAdvance = 0.601

// line is a line of text in a monospaced font on a plain neutral background.
// Its characters are drawn beforehand; to show one is to copy it.
type line struct {
	x, y         int // top left
	cellW, cellH int
	glyphs       [128][]byte // luma; nil shows a space
	space        []byte
	shown        []byte
}

// charset is what the changing lines consist of.
const charset = "0123456789:.-framepsxtYU "

func newLine(ttf *opentype.Font, size float64, ground, paint byte, chars string) (*line, error) {
	face, err := opentype.NewFace(ttf, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	defer func() { _ = face.Close() }() // frees nothing that could fail
	m := face.Metrics()
	l := &line{cellW: font.MeasureString(face, "0").Ceil(), cellH: (m.Ascent + m.Descent).Ceil()}
	cell := image.NewAlpha(image.Rect(0, 0, l.cellW, l.cellH))
	for _, r := range chars + " " {
		clear(cell.Pix)
		d := font.Drawer{Dst: cell, Src: image.Opaque, Face: face, Dot: fixed.Point26_6{Y: m.Ascent}}
		d.DrawString(string(r))
		glyph := make([]byte, len(cell.Pix))
		for i, a := range cell.Pix {
			glyph[i] = blend(ground, paint, a)
		}
		if r == ' ' {
			l.space = glyph
		} else if int(r) < len(l.glyphs) {
			l.glyphs[r] = glyph
		}
	}
	return l, nil
}

// set shows text, drawing only the characters that changed.
func (l *line) set(c *canvas, text []byte) {
	for i := range max(len(text), len(l.shown)) {
		char := byte(' ')
		if i < len(text) {
			char = text[i]
		}
		if i < len(l.shown) && l.shown[i] == char {
			continue
		}
		x := l.x + i*l.cellW
		if x+l.cellW > c.width {
			break
		}
		glyph := l.space
		if int(char) < len(l.glyphs) && l.glyphs[char] != nil {
			glyph = l.glyphs[char]
		}
		for row := range l.cellH {
			at := (l.y+row)*c.stride + x
			copy(c.y[at:at+l.cellW], glyph[row*l.cellW:])
		}
	}
	l.shown = append(l.shown[:0], text...)
}

// note is wrapped text as a mask of its coverage.
func note(ttf *opentype.Font, text string, width, height int) (*image.Alpha, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, nil //nolint:nilnil // nothing to draw is no error
	}
	for size := float64(height) / 2; size >= minText; size *= 0.93 {
		face, err := opentype.NewFace(ttf, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return nil, err
		}
		lines := wrap(face, words, width)
		m := face.Metrics()
		step := (m.Ascent + m.Descent).Ceil()
		if lines == nil || len(lines)*step > height {
			continue
		}
		wide := 0
		for _, s := range lines {
			wide = max(wide, font.MeasureString(face, s).Ceil())
		}
		mask := image.NewAlpha(image.Rect(0, 0, wide, len(lines)*step))
		for i, s := range lines {
			x := (fixed.I(wide) - font.MeasureString(face, s)) / 2
			d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.Point26_6{X: x, Y: fixed.I(i*step) + m.Ascent}}
			d.DrawString(s)
		}
		return mask, nil
	}
	return nil, nil //nolint:nilnil // no size at which it can be read
}

// wrap breaks words into lines, nil when a word is too wide.
func wrap(face font.Face, words []string, width int) []string {
	var lines []string
	for _, word := range words {
		if font.MeasureString(face, word).Ceil() > width {
			return nil
		}
		if n := len(lines); n > 0 {
			if longer := lines[n-1] + " " + word; font.MeasureString(face, longer).Ceil() <= width {
				lines[n-1] = longer
				continue
			}
		}
		lines = append(lines, word)
	}
	return lines
}

// blend mixes two values; alpha 255 is all paint.
func blend(ground, paint, alpha byte) byte {
	return byte((int(ground)*(255-int(alpha)) + int(paint)*int(alpha) + 127) / 255)
}
