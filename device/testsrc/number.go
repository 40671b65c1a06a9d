package testsrc

import (
	"image"
	"image/color"
)

// The frame number stands at the bottom of the picture as a row of 32 squares,
// the highest bit first, white for 1 and black for 0. A square's side is
// max(4, width/64) pixels; the row is centred, and a border of one square's
// width in mid-grey surrounds it:
//
//	x of bit 31 = (width - 32*side) / 2
//	y of all    = height - 2*side
//
// Pictures below 136 pixels width, or flatter than 12 squares, have no row.
const (
	numberBits   = 32
	minSquare    = 4
	squaresWide  = 64 // squares in the width of a picture
	squaresTall  = 12 // squares in the height, at least
	numberBlack  = 0
	numberBorder = 128
	numberWhite  = 255
)

// numberRow says where the squares are.
func numberRow(width, height int) (x, y, side int, ok bool) {
	side = max(minSquare, width/squaresWide)
	x, y = (width-numberBits*side)/2, height-2*side
	return x, y, side, x >= side && height >= squaresTall*side
}

// ReadNumber reads the frame number from a picture made by [Pattern], also
// after it was compressed or scaled. ok is false when there is none.
func ReadNumber(img image.Image) (number uint32, ok bool) {
	bounds := img.Bounds()
	x0, y0, side, ok := numberRow(bounds.Dx(), bounds.Dy())
	if !ok {
		return 0, false
	}
	// mean is the grey of a square's inner half; i may be outside of the row.
	mean := func(i int) int {
		sum, n := 0, 0
		for y := y0 + side/4; y < y0+side-side/4; y++ {
			for x := x0 + i*side + side/4; x < x0+(i+1)*side-side/4; x++ {
				grey, _ := color.GrayModel.Convert(img.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.Gray)
				sum += int(grey.Y)
				n++
			}
		}
		return sum / n
	}
	const third = 256 / 3
	for _, i := range []int{-1, numberBits} {
		if m := mean(i); m < third || m > 2*third {
			return 0, false
		}
	}
	for i := range numberBits {
		switch m := mean(i); {
		case m < third:
			number <<= 1
		case m > 2*third:
			number = number<<1 | 1
		default:
			return 0, false
		}
	}
	return number, true
}
