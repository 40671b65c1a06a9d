package testsrc

import (
	"fmt"
	"image"
	"math"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// ballSeconds is how long the ball takes from left to right and back.
const ballSeconds = 4

// ball is a white ball with a dark rim that jumps across the bars. What it hides
// is kept and put back before it moves on.
type ball struct {
	side  int // even; 0 without a ball
	track image.Rectangle

	luma, alpha []byte // of the ball: side x side
	chromaAlpha []byte // side/2 x side/2

	at               image.Point
	shown            bool
	under            []byte // of Y at at
	underCb, underCr []byte
}

func (c *canvas) layBall() {
	top := c.barsHeight * 8 / 100
	if !c.note.Empty() {
		top = c.note.Max.Y + c.barsHeight*3/100
	}
	b := &c.ball
	b.track = image.Rect(0, top, c.width, c.barsHeight*97/100)
	b.side = even(min(c.barsHeight*24/100, c.width/4, b.track.Dy()))
	if b.side < 2 {
		b.side = 0
		return
	}
	n := b.side
	b.luma, b.alpha, b.under = make([]byte, n*n), make([]byte, n*n), make([]byte, n*n)
	b.chromaAlpha = make([]byte, n*n/4)
	b.underCb, b.underCr = make([]byte, n*n/4), make([]byte, n*n/4)
	radius := float64(n) / 2
	rim := max(1, radius/9)
	for y := range n {
		for x := range n {
			dx, dy := float64(x)+0.5-radius, float64(y)+0.5-radius
			d := math.Hypot(dx, dy)
			// Lit from the upper left, so that it looks round.
			light := 255 - 110*math.Hypot(dx+radius*0.3, dy+radius*0.35)/(radius*1.5)
			inner := coverage(radius - rim - d)
			b.luma[y*n+x] = byte(24 + (light-24)*inner)
			b.alpha[y*n+x] = byte(255 * coverage(radius-d))
		}
	}
	for y := range n / 2 {
		for x := range n / 2 {
			i := 2*y*n + 2*x
			b.chromaAlpha[y*n/2+x] = byte((int(b.alpha[i]) + int(b.alpha[i+1]) + int(b.alpha[i+n]) + int(b.alpha[i+n+1])) / 4)
		}
	}
}

// coverage is how much of a pixel lies inside, given its distance to the edge.
func coverage(inside float64) float64 { return min(max(inside+0.5, 0), 1) }

// move puts the ball where it is at a time, counted in movements.
func (b *ball) move(c *canvas, movement float64) {
	if b.side == 0 {
		return
	}
	if b.shown {
		b.swap(c, false)
	}
	_, phase := math.Modf(movement)
	x := (1 - math.Cos(2*math.Pi*phase)) / 2
	y := math.Abs(math.Cos(6 * math.Pi * phase))
	b.at = image.Pt(
		even(b.track.Min.X+int(x*float64(b.track.Dx()-b.side))),
		even(b.track.Min.Y+int((1-y)*float64(b.track.Dy()-b.side))),
	)
	b.shown = true
	b.swap(c, true)
}

// swap keeps what is below the ball and draws it, or puts back what was kept.
func (b *ball) swap(c *canvas, show bool) {
	n := b.side
	for row := range n {
		dst, kept := c.y[(b.at.Y+row)*c.stride+b.at.X:][:n], b.under[row*n:][:n]
		if !show {
			copy(dst, kept)
			continue
		}
		copy(kept, dst)
		luma, alpha := b.luma[row*n:][:n], b.alpha[row*n:][:n]
		for i, a := range alpha {
			switch a {
			case 0:
			case 255:
				dst[i] = luma[i]
			default:
				dst[i] = blend(dst[i], luma[i], a)
			}
		}
	}
	n /= 2
	for row := range n {
		at := (b.at.Y/2+row)*c.stride/2 + b.at.X/2
		cb, cr := c.cb[at:][:n], c.cr[at:][:n]
		keptCb, keptCr := b.underCb[row*n:][:n], b.underCr[row*n:][:n]
		if !show {
			copy(cb, keptCb)
			copy(cr, keptCr)
			continue
		}
		copy(keptCb, cb)
		copy(keptCr, cr)
		for i, a := range b.chromaAlpha[row*n:][:n] {
			if a != 0 {
				cb[i], cr[i] = blend(cb[i], neutral, a), blend(cr[i], neutral, a)
			}
		}
	}
}

// dial is a clock face with a second hand that sweeps.
type dial struct {
	x, y, side int
	radius     float64 // 0 without a dial
	face       []byte  // what stands below the hand
	dirty      image.Rectangle
}

// lay draws the face.
func (d *dial) lay(c *canvas, x, y, side int) {
	d.x, d.y, d.side, d.radius = x, y, side, float64(side)/2
	d.face = make([]byte, side*side)
	ring := max(1, d.radius/16)
	for py := range side {
		for px := range side {
			dx, dy := float64(px)+0.5-d.radius, float64(py)+0.5-d.radius
			r := math.Hypot(dx, dy)
			luma := blend(panelLuma, dimLuma, byte(255*coverage(d.radius-r)))
			luma = blend(luma, dialLuma, byte(255*coverage(d.radius-ring-r)))
			d.face[py*side+px] = luma
		}
	}
	for hour := range 12 {
		long := 0.86
		if hour%3 == 0 {
			long = 0.76
		}
		sin, cos := math.Sincos(float64(hour) * math.Pi / 6)
		d.ray(d.face, side, 0, 0, sin, cos, long*d.radius-ring, d.radius-2*ring, max(0.6, d.radius/40), dimLuma)
	}
	for row := range side {
		copy(c.y[(y+row)*c.stride+x:][:side], d.face[row*side:])
	}
}

// point moves the hand to a time.
func (d *dial) point(c *canvas, now time.Time) {
	for row := d.dirty.Min.Y; row < d.dirty.Max.Y; row++ {
		from := d.face[row*d.side:][d.dirty.Min.X:d.dirty.Max.X]
		copy(c.y[(d.y+row)*c.stride+d.x+d.dirty.Min.X:], from)
	}
	seconds := float64(now.Second()) + float64(now.Nanosecond())/1e9
	sin, cos := math.Sincos(seconds * math.Pi / 30)
	d.dirty = d.ray(c.y, c.stride, d.x, d.y, sin, cos, -0.2*d.radius, 0.72*d.radius, max(0.8, d.radius/26), textLuma)
}

// ray draws a thick line on a ray from the centre, from one distance to another,
// into a plane in which the dial stands at x0, y0. It returns the part of the
// dial that it touched.
func (d *dial) ray(plane []byte, stride, x0, y0 int, sin, cos, from, to, half float64, luma byte) image.Rectangle {
	ax, ay := d.radius+sin*from, d.radius-cos*from
	bx, by := d.radius+sin*to, d.radius-cos*to
	touched := image.Rect(
		int(math.Floor(min(ax, bx)-half-1)), int(math.Floor(min(ay, by)-half-1)),
		int(math.Ceil(max(ax, bx)+half+1)), int(math.Ceil(max(ay, by)+half+1)),
	).Intersect(image.Rect(0, 0, d.side, d.side))
	for y := touched.Min.Y; y < touched.Max.Y; y++ {
		// Where the line crosses this row; only pixels near to that can be hit.
		dy := float64(y) + 0.5 - d.radius
		first, last := touched.Min.X, touched.Max.X
		if math.Abs(cos) > 0.1 {
			centre, reach := d.radius-dy*sin/cos, (half+1)/math.Abs(cos)
			first = max(first, int(math.Floor(centre-reach)))
			last = min(last, int(math.Ceil(centre+reach)))
		}
		for x := first; x < last; x++ {
			dx := float64(x) + 0.5 - d.radius
			along, across := dx*sin-dy*cos, math.Abs(dx*cos+dy*sin)
			cover := min(coverage(half-across), coverage(along-from), coverage(to-along))
			if cover > 0 {
				at := (y0+y)*stride + x0 + x
				plane[at] = blend(plane[at], luma, byte(255*cover))
			}
		}
	}
	return touched
}

// sizeText tells what is delivered, in characters of charset.
func sizeText(f device.Format) string {
	return fmt.Sprintf("%dx%d  %v fps  YU12", f.Width, f.Height, f.Rate)
}
