package placeholder

import (
	"image"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
)

// Sizes as parts of the unit, which is the height of a 4:3 picture that fits in:
// 240 pixels at 320x240, 720 at 1280x720. Chosen by eye; the smallest text is
// 10.8 pixels at 320x240.
const (
	marginPart = 0.085
	titlePart  = 0.112
	bodyPart   = 0.060
	footerPart = 0.045
	// smallestUnit is where even the title would be below 7 pixels. Smaller
	// pictures show the accent only.
	smallestUnit = 64
	// Long texts shrink in steps down to this; what then still does not fit is cut.
	smallestScale = 0.55
	scaleStep     = 0.9
)

// style is how a paragraph looks.
type style struct {
	face    font.Face
	level   byte    // luminance
	size    float64 // pixels
	leading float64 // line height as part of the size
}

// line is text at a place; y is its baseline.
type line struct {
	text string
	x, y int
	style
}

// sheet is a card with everything in its place.
type sheet struct {
	lines  []line
	accent image.Rectangle
	rule   image.Rectangle
	faces  []font.Face
}

// close frees the fonts.
func (s *sheet) close() {
	for _, f := range s.faces {
		_ = f.Close() // never fails: there is nothing behind it
	}
}

// style makes a font for the sheet.
func (s *sheet) style(f *opentype.Font, px float64, level byte, leading float64) (style, error) {
	fc, err := face(f, px)
	if err != nil {
		return style{}, err
	}
	s.faces = append(s.faces, fc)
	return style{face: fc, level: level, size: px, leading: leading}, nil
}

// lay finds a place for everything: a block of text in the middle of the height,
// and the footer.
func (r *Renderer) lay(w, h int, c Card) (*sheet, error) {
	s := &sheet{}
	unit := min(float64(h), 0.75*float64(w))
	if unit < smallestUnit {
		t := max(1, h/8)
		s.accent = image.Rect(w/4, h/2-t/2, w-w/4, h/2-t/2+t)
		return s, nil
	}
	margin := int(marginPart * unit)
	bottom := h - margin // of the room for the block
	if err := s.layFooter(r, w, h, margin, unit, c.Footer, &bottom); err != nil {
		s.close()
		return nil, err
	}
	room := image.Rect(margin, margin, w-margin, bottom)
	for scale := 1.0; ; scale *= scaleStep {
		last := scale*scaleStep < smallestScale
		fits, err := s.layBlock(r, room, unit*scale, c, last)
		if err != nil {
			s.close()
			return nil, err
		}
		if fits || last {
			return s, nil
		}
	}
}

func (s *sheet) layFooter(r *Renderer, w, h, margin int, unit float64, text string, bottom *int) error {
	if text = clean(r.regular, text); text == "" {
		return nil
	}
	st, err := s.style(r.regular, footerPart*unit, footerLevel, 1)
	if err != nil {
		return err
	}
	text = shorten(st.face, text, w-2*margin)
	base := h - margin + int(0.3*st.size)
	s.lines = append(s.lines, line{text: text, x: margin, y: base, style: st})
	top := base - int(1.75*st.size)
	s.rule = image.Rect(margin, top, w-margin, top+max(1, int(unit/360)))
	*bottom = top - int(0.6*st.size)
	return nil
}

// layBlock lays title, cause and remedy. Unless they fit, or force is set, it
// leaves the sheet as it was; force cuts what is too much.
func (s *sheet) layBlock(r *Renderer, room image.Rectangle, unit float64, c Card, force bool) (bool, error) {
	kept := len(s.lines)
	bar := image.Pt(int(0.16*unit), max(2, int(0.012*unit)))
	y := float64(bar.Y)
	for i, p := range []struct {
		text  string
		font  *opentype.Font
		part  float64
		level byte
		above float64 // space above, as part of the unit
	}{
		{c.Title, r.bold, titlePart, titleLevel, 0.035},
		{c.Cause, r.regular, bodyPart, causeLevel, 0.025},
		{c.Remedy, r.regular, bodyPart, remedyLevel, 0.025},
	} {
		text := clean(p.font, p.text)
		if text == "" {
			continue
		}
		leading := 1.3
		width := room.Dx()
		if i == 0 {
			leading = 1.12
		} else {
			// Lines of more than about 60 letters are hard to read.
			width = min(width, int(30*p.part*unit))
		}
		st, err := s.style(p.font, p.part*unit, p.level, leading)
		if err != nil {
			return false, err
		}
		y += p.above * unit
		for _, t := range wrap(st.face, text, width) {
			y += leading * st.size
			s.lines = append(s.lines, line{text: t, x: room.Min.X, y: int(y - 0.25*leading*st.size), style: st})
		}
	}
	if int(y) > room.Dy() {
		if !force {
			s.lines = s.lines[:kept]
			return false, nil
		}
		s.cut(kept, room)
	}
	top := room.Min.Y + max(0, room.Dy()-int(y))/2
	for i := kept; i < len(s.lines); i++ {
		s.lines[i].y += top
	}
	s.accent = image.Rectangle{Min: image.Pt(room.Min.X, top), Max: image.Pt(room.Min.X, top).Add(bar)}
	return true, nil
}

// cut drops the lines of the block that reach below the room and marks the last
// one that stays.
func (s *sheet) cut(from int, room image.Rectangle) {
	n := from
	for n < len(s.lines) && float64(s.lines[n].y)+0.25*s.lines[n].size <= float64(room.Dy()) {
		n++
	}
	if n > from && n < len(s.lines) {
		last := &s.lines[n-1]
		last.text = shorten(last.face, last.text+" …", room.Dx())
	}
	s.lines = s.lines[:n]
}

// paint draws the sheet on a filled picture.
func (s *sheet) paint(m *image.YCbCr) {
	fill(m, s.accent, accent())
	rule := background()
	rule.y = ruleLevel
	fill(m, s.rule, rule)
	for _, l := range s.lines {
		drawText(m, l)
	}
}
