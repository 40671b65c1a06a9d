package testsrc

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// minSide is the smallest picture, as device.ParseSize has it.
const minSide = 16

// PatternOptions says what a [Pattern] shows. The zero value is 1280x720 at 30 fps.
type PatternOptions struct {
	// Width and Height are the size when Start is not asked for one, each side
	// 16 to device.MaxSide pixels. 0 means 1280x720.
	Width, Height int
	// Rate is the frame rate when Start is not asked for one, 0.1 to 1000 fps.
	// 0 means 30.
	Rate device.Rate
	// Name is what the camera is called; empty means "Test picture".
	Name string
	// Note is shown in the picture, such as the reason why it is shown.
	Note string
	// Now gives the clock in the picture. Nil means time.Now.
	Now func() time.Time
}

// Pattern is a camera that draws its pictures: colour bars, a ball in motion, a
// clock, the frame number as text and in a form that [ReadNumber] understands.
// It delivers YU12, full range, BT.601.
type Pattern struct {
	life
	opt PatternOptions

	// Only the capturing goroutine uses what follows.
	granted device.Format
	canvas  *canvas
	pace    *pacer
}

var _ device.Camera = (*Pattern)(nil)

// NewPattern makes a test picture. An impossible size or rate is an error that
// matches device.ErrUnsupported.
func NewPattern(opt PatternOptions) (*Pattern, error) {
	if opt.Width == 0 && opt.Height == 0 {
		opt.Width, opt.Height = 1280, 720
	}
	if opt.Rate.Float() == 0 {
		opt.Rate = device.Rate{Num: 30, Den: 1}
	}
	if opt.Name == "" {
		opt.Name = "Test picture"
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	p := &Pattern{life: life{path: "testsrc", closed: make(chan struct{})}, opt: opt}
	if w, h := fitSize(opt.Width, opt.Height); w != opt.Width || h != opt.Height {
		return nil, p.fail("open", device.ErrUnsupported, fmt.Errorf("size %dx%d: each side must be %d to %d pixels, at most %d million in all",
			opt.Width, opt.Height, minSide, device.MaxSide, device.MaxPixels>>20))
	}
	if grantRate(opt.Rate, opt.Rate) != opt.Rate {
		return nil, p.fail("open", device.ErrUnsupported, fmt.Errorf("rate %v: must be %v to %v frames per second", opt.Rate, minRate, maxRate))
	}
	return p, nil
}

// Info says what the camera is.
func (p *Pattern) Info() device.Info {
	return device.Info{Driver: "testsrc", Name: p.opt.Name, Path: p.path, ID: p.path, Synthetic: true}
}

// Modes lists a choice: the size of the options first, then common ones. Start
// grants any other size as well.
func (p *Pattern) Modes(ctx context.Context) ([]device.Mode, error) {
	if err := p.check(ctx, "enumerate formats", false); err != nil {
		return nil, err
	}
	rates := []device.Rate{{Num: 60, Den: 1}, {Num: 30, Den: 1}, {Num: 25, Den: 1}, {Num: 15, Den: 1}, {Num: 5, Den: 1}, {Num: 1, Den: 1}}
	if !slices.Contains(rates, p.opt.Rate) {
		at := slices.IndexFunc(rates, func(r device.Rate) bool { return r.Float() < p.opt.Rate.Float() })
		if at < 0 {
			at = len(rates)
		}
		rates = slices.Insert(rates, at, p.opt.Rate)
	}
	modes := []device.Mode{{FourCC: device.YU12, Width: p.opt.Width, Height: p.opt.Height, Rates: rates}}
	for _, size := range [][2]int{{1920, 1080}, {1280, 720}, {640, 480}, {320, 240}} {
		if size[0] != p.opt.Width || size[1] != p.opt.Height {
			modes = append(modes, device.Mode{FourCC: device.YU12, Width: size[0], Height: size[1], Rates: slices.Clone(rates)})
		}
	}
	return modes, nil
}

// Start grants any size and rate within the limits, always as YU12.
func (p *Pattern) Start(ctx context.Context, want device.Format) (device.Format, error) {
	if err := p.check(ctx, "start", false); err != nil {
		return device.Format{}, err
	}
	if err := p.begin("start"); err != nil {
		return device.Format{}, err
	}
	got := device.Format{FourCC: device.YU12, Width: want.Width, Height: want.Height, Rate: grantRate(want.Rate, p.opt.Rate)}
	if got.Width <= 0 {
		got.Width = p.opt.Width
	}
	if got.Height <= 0 {
		got.Height = p.opt.Height
	}
	got.Width, got.Height = fitSize(got.Width, got.Height)
	c, err := newCanvas(got, p.opt.Note)
	if err != nil {
		_ = p.Stop() // it did not begin
		return device.Format{}, p.fail("start", nil, err)
	}
	got.Stride = c.stride
	p.granted, p.canvas, p.pace = got, c, newPacer(got.Rate)
	return got, nil
}

// Next waits until the next picture is due and draws it. Pictures whose time
// passed unasked show as a gap in DriverSeq.
func (p *Pattern) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if err := p.check(ctx, "next", true); err != nil {
		return err
	}
	number, err := p.pace.wait(ctx, &p.life)
	if err != nil {
		return err
	}
	captured := time.Now()
	p.canvas.draw(uint32(number), p.opt.Now())
	return use(&device.Buffer{
		Data: p.canvas.data, Format: p.granted, DriverSeq: uint32(number),
		CapturedAt: captured, ReceivedAt: time.Now(),
	})
}

// Stop ends capturing and frees the picture's memory.
func (p *Pattern) Stop() error {
	if err := p.life.Stop(); err != nil {
		return err
	}
	p.canvas, p.pace = nil, nil
	return nil
}

// Close ends everything. A picture that is lent stays as it is.
func (p *Pattern) Close() error {
	p.finish()
	return nil
}

// fitSize brings a size within the limits, keeping its shape where it has too
// many pixels.
func fitSize(width, height int) (w, h int) {
	w = min(max(width, minSide), device.MaxSide)
	h = min(max(height, minSide), device.MaxSide)
	if w*h > device.MaxPixels {
		shrink := math.Sqrt(float64(device.MaxPixels) / float64(w*h))
		w, h = int(float64(w)*shrink), int(float64(h)*shrink)
	}
	return w, h
}
