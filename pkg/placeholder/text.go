package placeholder

import (
	"image"
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// maxText bounds the letters of one field, since its length may come from
// outside. Chosen: more than fits a card.
const maxText = 500

// clean makes a text drawable: one space between words, '?' for what the font
// does not have (it covers Latin, Greek and Cyrillic).
func clean(f *opentype.Font, s string) string {
	var b strings.Builder
	var buf sfnt.Buffer
	n, space := 0, false
	for _, r := range s {
		if n == maxText {
			b.WriteRune('…')
			break
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		if i, err := f.GlyphIndex(&buf, r); err != nil || i == 0 {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// wrap breaks a text into lines of at most width pixels: between words where
// possible, inside words that are longer than a line. Every line has at least
// one letter, however narrow it is.
func wrap(f font.Face, text string, width int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(text) {
		joined := word
		if current != "" {
			joined = current + " " + word
		}
		if fits(f, joined, width) {
			current = joined
			continue
		}
		if current != "" {
			lines = append(lines, current)
		}
		for !fits(f, word, width) {
			n := prefix(f, word, width)
			if n == len(word) {
				break
			}
			lines = append(lines, word[:n])
			word = word[n:]
		}
		current = word
	}
	if current != "" {
		lines = append(lines, current)
	}
	return lines
}

// shorten cuts a text to one line and marks the cut.
func shorten(f font.Face, text string, width int) string {
	if fits(f, text, width) {
		return text
	}
	room := width - font.MeasureString(f, "…").Ceil()
	return strings.TrimRight(text[:prefix(f, text, room)], " …") + "…"
}

func fits(f font.Face, s string, width int) bool {
	return font.MeasureString(f, s).Ceil() <= width
}

// prefix returns how many bytes of s fit the width, at least the first letter's.
func prefix(f font.Face, s string, width int) int {
	var x fixed.Int26_6
	prev := rune(-1)
	for i, r := range s {
		if prev >= 0 {
			x += f.Kern(prev, r)
		}
		a, _ := f.GlyphAdvance(r)
		if x += a; i > 0 && x.Ceil() > width {
			return i
		}
		prev = r
	}
	return len(s)
}

// drawText blends a line into the picture's luminance; the letters take the
// faint tint of the background.
func drawText(m *image.YCbCr, l line) {
	dot := fixed.P(l.x, l.y)
	prev := rune(-1)
	for _, r := range l.text {
		if prev >= 0 {
			dot.X += l.face.Kern(prev, r)
		}
		dr, mask, at, advance, ok := l.face.Glyph(dot, r)
		if alpha, isAlpha := mask.(*image.Alpha); ok && isAlpha {
			blend(m, dr, alpha, at, int(l.level))
		}
		dot.X += advance
		prev = r
	}
}

// blend mixes the level into the picture by the mask.
func blend(m *image.YCbCr, dr image.Rectangle, mask *image.Alpha, at image.Point, level int) {
	clip := dr.Intersect(m.Rect)
	if clip.Empty() {
		return
	}
	at = at.Add(clip.Min.Sub(dr.Min))
	for y := range clip.Dy() {
		dst := m.Y[(clip.Min.Y+y)*m.YStride+clip.Min.X:][:clip.Dx()]
		src := mask.Pix[mask.PixOffset(at.X, at.Y+y):][:clip.Dx()]
		for x, a := range src {
			if a != 0 {
				v := int(dst[x])
				dst[x] = byte(v + (level-v)*int(a)/255)
			}
		}
	}
}
