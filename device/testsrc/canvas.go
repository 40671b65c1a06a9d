package testsrc

import (
	"image"
	"image/color"
	"math"
	"strconv"
	"time"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"

	"github.com/webgear-pi/webgear/device"
)

// Luma of the lower panel, which is neutral so that what changes there needs no
// colour.
const (
	panelLuma = 26
	dialLuma  = 44
	dimLuma   = 170
	textLuma  = 235
	neutral   = 128 // Cb and Cr of grey
)

// canvas is one picture in memory. The background is drawn once; draw changes
// only what moves.
type canvas struct {
	width, height     int
	stride            int // of y; that of cb and cr is half
	data              []byte
	y, cb, cr         []byte
	barsHeight        int
	clock, frame      *line // nil when they do not fit
	text              []byte
	ball              ball
	dial              dial
	squares           image.Point
	squareSide        int // 0 without the row of squares
	number            uint32
	numbered          bool // squares show number
	note              image.Rectangle
	framesPerMovement float64
}

func newCanvas(f device.Format, text string) (*canvas, error) {
	c := &canvas{width: f.Width, height: f.Height, stride: even(f.Width + 1)}
	luma, chroma := c.stride*c.height, c.stride/2*((c.height+1)/2)
	c.data = make([]byte, luma+2*chroma)
	c.y, c.cb, c.cr = c.data[:luma:luma], c.data[luma:luma+chroma:luma+chroma], c.data[luma+chroma:]
	c.framesPerMovement = max(8, math.Round(f.Rate.Float()*ballSeconds))
	c.background()
	if err := c.layText(f, text); err != nil {
		return nil, err
	}
	c.layBall()
	return c, nil
}

// draw shows a frame.
func (c *canvas) draw(number uint32, now time.Time) {
	c.ball.move(c, float64(number)/c.framesPerMovement)
	if c.dial.radius > 0 {
		c.dial.point(c, now)
	}
	if c.clock != nil {
		c.text = now.AppendFormat(c.text[:0], "15:04:05.000")
		c.clock.set(c, c.text)
	}
	if c.frame != nil {
		c.text = now.AppendFormat(c.text[:0], "2006-01-02  frame ")
		c.text = appendNumber(c.text, number)
		c.frame.set(c, c.text)
	}
	c.drawNumber(number)
}

// background draws bars, a ramp from black to white, and the empty panel.
func (c *canvas) background() {
	bars := [8]color.RGBA{
		{R: 235, G: 235, B: 235},
		{R: 191, G: 191},
		{G: 191, B: 191},
		{G: 191},
		{R: 191, B: 191},
		{R: 191},
		{B: 191},
		{},
	}
	c.barsHeight = even(c.height * 64 / 100)
	rampEnd := c.barsHeight + even(c.height*5/100)
	row := make([]byte, c.stride)
	rowCb, rowCr := make([]byte, c.stride/2), make([]byte, c.stride/2)
	for x := range row {
		bar := bars[x*len(bars)/c.stride]
		var cb, cr byte
		row[x], cb, cr = color.RGBToYCbCr(bar.R, bar.G, bar.B)
		rowCb[x/2], rowCr[x/2] = cb, cr
	}
	ramp := make([]byte, c.stride)
	for x := range ramp {
		ramp[x] = byte(x * 255 / (c.stride - 1))
	}
	for y := range c.height {
		dst := c.y[y*c.stride:][:c.stride]
		switch {
		case y < c.barsHeight:
			copy(dst, row)
		case y < rampEnd:
			copy(dst, ramp)
		default:
			fill(dst, panelLuma)
		}
	}
	half := c.stride / 2
	for y := range (c.height + 1) / 2 {
		cb, cr := c.cb[y*half:][:half], c.cr[y*half:][:half]
		if y < c.barsHeight/2 {
			copy(cb, rowCb)
			copy(cr, rowCr)
		} else {
			fill(cb, neutral)
			fill(cr, neutral)
		}
	}

	x, y, side, ok := numberRow(c.width, c.height)
	if !ok {
		return
	}
	c.squares, c.squareSide = image.Pt(x, y), side
	c.box(x-side, y-side, (numberBits+2)*side, 3*side, numberBorder)
}

// layText places dial, clock and texts in the panel, leaving out what would be
// too small.
func (c *canvas) layText(f device.Format, text string) error {
	mono, err := opentype.Parse(gomonobold.TTF)
	if err != nil {
		return err
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return err
	}
	if err := c.layNote(bold, text); err != nil {
		return err
	}

	top := c.barsHeight + even(c.height*5/100)
	room := c.height - top - 3*c.squareSide
	pad := max(2, room/10)
	room -= 2 * pad
	const clockChars, frameChars = 12, 28 // "15:04:05.000", "2006-01-02  frame 4294967295"

	// One big line and two small ones beside a dial, or the big one alone.
	dialSide := even(min(room, c.width/5))
	fit := func(chars int, width int) float64 { return math.Floor(float64(width)/float64(chars)) / monoAdvance }
	left := c.width - dialSide - 4*pad
	big := min(float64(room)*0.42, fit(clockChars, left))
	small := min(float64(room)*0.19, fit(frameChars, left))
	if small < minText {
		big = min(float64(room)*0.7, fit(clockChars, left))
	}
	if big < minText {
		if dialSide = even(min(room, c.width/4)); dialSide >= 8 {
			c.dial.lay(c, pad, top+pad, dialSide)
		}
		return nil
	}
	if c.clock, err = newLine(mono, big, panelLuma, textLuma, charset); err != nil {
		return err
	}
	block := c.clock.cellH
	var size *line
	if small >= minText {
		if c.frame, err = newLine(mono, small, panelLuma, dimLuma, charset); err != nil {
			return err
		}
		if size, err = newLine(mono, small, panelLuma, dimLuma, charset); err != nil {
			return err
		}
		block += 2 * c.frame.cellH
	}
	wide := clockChars * c.clock.cellW
	if c.frame != nil {
		wide = max(wide, frameChars*c.frame.cellW)
	}
	x := max(pad, (c.width-dialSide-2*pad-wide)/2) // centred as a whole
	y := top + pad + max(0, (room-block)/2)
	c.dial.lay(c, x, top+pad+(room-dialSide)/2, dialSide)
	x += dialSide + 2*pad
	c.clock.x, c.clock.y = x, y
	if c.frame != nil {
		c.frame.x, c.frame.y = x, y+c.clock.cellH
		size.x, size.y = x, c.frame.y+c.frame.cellH
		size.set(c, []byte(sizeText(f)))
	}
	return nil
}

// layNote writes the note into a dark box over the bars.
func (c *canvas) layNote(bold *opentype.Font, text string) error {
	width, height := c.width*86/100, c.barsHeight*30/100
	mask, err := note(bold, text, width, height)
	if err != nil || mask == nil {
		return err
	}
	pad := even(max(4, height/6))
	w, h := even(mask.Rect.Dx()+2*pad+1), even(mask.Rect.Dy()+pad+1)
	x, y := even((c.width-w)/2), even(c.barsHeight*7/100)
	if x < 0 || y+h > c.barsHeight {
		return nil
	}
	c.note = image.Rect(x, y, x+w, y+h)
	const veil = 205 // of 255: how much of the bars the box hides
	for row := y; row < y+h; row++ {
		for i, dst := 0, c.y[row*c.stride+x:][:w]; i < len(dst); i++ {
			dst[i] = blend(dst[i], 16, veil)
		}
	}
	for row := y / 2; row < (y+h)/2; row++ {
		for _, plane := range [][]byte{c.cb, c.cr} {
			fill(plane[row*c.stride/2+x/2:][:w/2], neutral) // colour would tint the text
		}
	}
	tx, ty := x+(w-mask.Rect.Dx())/2, y+(h-mask.Rect.Dy())/2
	for row := range mask.Rect.Dy() {
		dst := c.y[(ty+row)*c.stride+tx:]
		for i, a := range mask.Pix[row*mask.Stride:][:mask.Rect.Dx()] {
			dst[i] = blend(dst[i], 255, a)
		}
	}
	return nil
}

// drawNumber draws the squares of the bits that changed.
func (c *canvas) drawNumber(number uint32) {
	if c.squareSide == 0 {
		return
	}
	changed := c.number ^ number
	if !c.numbered {
		changed = 1<<32 - 1
	}
	c.number, c.numbered = number, true
	for i := range numberBits {
		bit := uint32(1) << (numberBits - 1 - i)
		if changed&bit == 0 {
			continue
		}
		value := byte(numberBlack)
		if number&bit != 0 {
			value = numberWhite
		}
		c.box(c.squares.X+i*c.squareSide, c.squares.Y, c.squareSide, c.squareSide, value)
	}
}

// box fills a rectangle of the Y plane.
func (c *canvas) box(x, y, width, height int, luma byte) {
	for row := y; row < y+height; row++ {
		fill(c.y[row*c.stride+x:][:width], luma)
	}
}

func fill(b []byte, value byte) {
	for i := range b {
		b[i] = value
	}
}

// appendNumber appends a number with at least six digits, so that the text
// rarely changes its length.
func appendNumber(b []byte, n uint32) []byte {
	const digits = 6
	limit := uint32(1)
	for range digits - 1 {
		if limit *= 10; n < limit {
			b = append(b, '0')
		}
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// even rounds down, so that chroma samples are not shared.
func even(n int) int { return n &^ 1 }
