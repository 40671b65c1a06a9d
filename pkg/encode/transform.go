package encode

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"strings"
	"sync/atomic"

	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// Transform is a way to turn and mirror pictures. The zero value leaves them as
// they are.
type Transform uint8

// Bits of a Transform, done in this order. They make all eight ways.
const (
	transposed Transform = 1 << iota // columns become rows
	flippedX                         // left and right change places
	flippedY                         // top and bottom change places
)

// Ways to turn and mirror; more are combinations, see Then.
const (
	TransformNone Transform = 0
	// Rotate90 turns clockwise, Rotate270 the other way.
	Rotate90  = transposed | flippedX
	Rotate180 = flippedX | flippedY
	Rotate270 = transposed | flippedY
	// FlipHorizontal shows what a mirror shows: left and right change places.
	FlipHorizontal = flippedX
	// FlipVertical turns a picture upside down as water does: top and bottom
	// change places.
	FlipVertical = flippedY
)

// transformNames has the names of the simple ways; the two that are left are
// combinations.
var transformNames = map[string]Transform{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"none": TransformNone, "90": Rotate90, "180": Rotate180, "270": Rotate270,
	"hflip": FlipHorizontal, "vflip": FlipVertical,
}

// Then does t first and next afterwards.
func (t Transform) Then(next Transform) Transform {
	if next&transposed != 0 {
		// Mirrored before, it is mirrored along the other axis afterwards.
		t = t&transposed ^ transposed | t&flippedX<<1 | t&flippedY>>1
	}
	return t ^ next&^transposed
}

// SwapsSides reports whether width and height change places.
func (t Transform) SwapsSides() bool { return t&transposed != 0 }

// String returns what ParseTransform reads.
func (t Transform) String() string {
	for name, v := range transformNames {
		if v == t {
			return name
		}
	}
	switch t {
	case Rotate90.Then(FlipHorizontal):
		return "90,hflip"
	case Rotate90.Then(FlipVertical):
		return "90,vflip"
	}
	return fmt.Sprintf("Transform(%d)", uint8(t))
}

// ParseTransform reads "none", "90", "180", "270", "hflip" and "vflip", or
// several of them with commas, which are done from left to right. Angles are
// clockwise. Nothing means none.
func ParseTransform(s string) (Transform, error) {
	t := TransformNone
	if strings.TrimSpace(s) == "" {
		return t, nil
	}
	for word := range strings.SplitSeq(s, ",") {
		next, ok := transformNames[strings.ToLower(strings.TrimSpace(word))]
		if !ok {
			return 0, fmt.Errorf("transform %q: use none, 90, 180, 270, hflip or vflip, several with commas", s)
		}
		t = t.Then(next)
	}
	return t, nil
}

// Transformer turns and mirrors JPEG files. With libjpeg-turbo it does so without
// any loss: the coefficients change places, nothing is decoded to pixels, and
// what the file becomes can be turned back. Raw pictures are encoded first and
// turned then, so that there is one way for all cameras; a camera that can turn
// its pictures by itself should do it, for a picture that was encoded here costs
// about as much again, and more in good quality.
//
// A file is made of blocks, 16 by 16 pixels with 4:2:0, 16 by 8 with 4:2:2, 8 by 8
// without chroma. Where width or height is no multiple of that, the last column
// or row of blocks is not full, and has to stay the last. A side that mirroring
// would make the first one is cut to whole blocks, by less than one: turned by
// 180 degrees, 1920x1080 in 4:2:0 becomes 1920x1072. Size tells what came out.
//
// The sampling of chroma is turned too: 4:2:2 becomes 4:4:0 by 90 degrees.
// Metadata and restart markers are left behind; progressive files become
// sequential ones. 4:1:1 and 4:1:0 would become what few programs show: turned by
// 90 or 270 degrees, and only then, they are encoded anew as 4:4:4. image/jpeg has
// to encode everything anew, and always writes 4:2:0; it cuts the same.
//
// It takes what jpeg.Clean accepts. Damaged picture data is shown as far as it
// goes and reported by Damaged; image/jpeg gives an error for it.
type Transformer struct {
	transform     Transform
	quality       atomic.Int32    // of what is encoded anew
	work          turning         // nil once closed
	anew          standardTurning // for what work cannot turn
	name          string
	width, height int
	damaged       bool
}

// turning does the work; src has a header that fits the size.
type turning interface {
	turn(src []byte, width, height, quality int) (turned, error)
	close()
}

// turned is a result.
type turned struct {
	data          []byte
	width, height int
	damaged       bool
}

// NewTransformer prepares a transformer. Of the options it uses Portable and, for
// what is encoded anew, Quality. The caller closes it.
func NewTransformer(t Transform, o Options) (*Transformer, error) {
	if t > transposed|flippedX|flippedY {
		return nil, fmt.Errorf("transform: %s is no way to turn pictures", t)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	x := &Transformer{transform: t, anew: standardTurning{transform: t}}
	x.anew.pixels.options.Portable = o.Portable
	x.quality.Store(int32(cmp.Or(o.Quality, DefaultQuality)))
	if o.Portable {
		x.work, x.name = newStandardTurning(t), standardName
		return x, nil
	}
	var err error
	if x.work, x.name, err = newTurning(t); err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	return x, nil
}

// Name says what does the work: "libjpeg-turbo" or "image/jpeg".
func (x *Transformer) Name() string { return x.name }

// SetQuality sets the quality of later pictures, 1 to 100, if they are encoded
// anew; without loss there is none to set. It may be called from any goroutine.
func (x *Transformer) SetQuality(quality int) error { return setQuality(&x.quality, quality) }

// Transform returns src turned. The result has memory of its own, which the
// transformer never touches again, unless nothing is to be turned: then it is
// src itself.
func (x *Transformer) Transform(src []byte) ([]byte, error) {
	x.damaged, x.width, x.height = false, 0, 0
	if x.work == nil {
		return nil, errors.New("transform: transformer is closed")
	}
	info, err := jpeg.Header(src)
	if err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	r := turned{data: src, width: info.Width, height: info.Height}
	if err = checkSize(info.Width, info.Height); err == nil && x.transform != TransformNone {
		work := x.work
		if x.transform.SwapsSides() && (info.Sampling == "4:1:1" || info.Sampling == "4:1:0") {
			work = &x.anew
		}
		r, err = work.turn(src, info.Width, info.Height, int(x.quality.Load()))
	}
	x.damaged = r.damaged
	if err != nil {
		return nil, fmt.Errorf("transform %s of JPEG %dx%d: %w", x.transform, info.Width, info.Height, err)
	}
	x.width, x.height = r.width, r.height
	return r.data, nil
}

// Size returns the size of the last result in pixels, 0 after an error.
func (x *Transformer) Size() (width, height int) { return x.width, x.height }

// Damaged reports whether the last picture had damaged data that was turned all
// the same.
func (x *Transformer) Damaged() bool { return x.damaged }

// Close frees the transformer's memory. Later calls of Transform fail, of Close
// do nothing.
func (x *Transformer) Close() {
	if x.work != nil {
		x.work.close()
		x.anew.close()
		x.work = nil
	}
}

// standardTurning decodes with the standard library, moves pixels and encodes
// anew.
type standardTurning struct {
	transform Transform
	pixels    PixelEncoder
}

func newStandardTurning(t Transform) *standardTurning {
	return &standardTurning{t, PixelEncoder{options: Options{Portable: true}}}
}

func (s *standardTurning) turn(src []byte, _, _, quality int) (turned, error) {
	p, err := jpeg.Clean(src) // image/jpeg wants Huffman tables and an end
	if err != nil {
		return turned{}, err
	}
	m, err := stdjpeg.Decode(bytes.NewReader(p.Data))
	if err != nil {
		return turned{}, err
	}
	if m, err = s.image(m); err != nil {
		return turned{}, err
	}
	s.pixels.quality.Store(int32(quality))
	out, err := s.pixels.run(s.pixels.describe(m))
	r := m.Bounds()
	return turned{data: out, width: r.Dx(), height: r.Dy()}, err
}

func (s *standardTurning) close() { s.pixels.Close() }

// image turns what image/jpeg makes of files.
func (s *standardTurning) image(m image.Image) (image.Image, error) {
	hs, vs := 1, 1
	c, isYCbCr := m.(*image.YCbCr)
	if isYCbCr {
		hs, vs = factors(c.SubsampleRatio)
	}
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	ow, oh := w, h
	if s.transform.SwapsSides() {
		ow, oh, hs, vs = h, w, vs, hs
	}
	if s.transform&flippedX != 0 {
		ow -= ow % (8 * hs)
	}
	if s.transform&flippedY != 0 {
		oh -= oh % (8 * vs)
	}
	if ow == 0 || oh == 0 {
		return nil, errors.New("the picture is smaller than one block")
	}
	r := image.Rect(0, 0, ow, oh)
	switch m := m.(type) {
	case *image.Gray:
		return &image.Gray{Pix: s.plane(m.Pix, m.Stride, 1, ow, oh), Stride: ow, Rect: r}, nil
	case *image.RGBA:
		return &image.RGBA{Pix: s.plane(m.Pix, m.Stride, 4, ow, oh), Stride: 4 * ow, Rect: r}, nil
	}
	if !isYCbCr {
		return nil, fmt.Errorf("image/jpeg made a %T of it", m)
	}
	if vs > 2 { // there is no name for 4:1:1 on its side
		c, hs, vs = full(c), 1, 1
	}
	cw, ch := (ow+hs-1)/hs, (oh+vs-1)/vs
	return &image.YCbCr{
		Y:       s.plane(c.Y, c.YStride, 1, ow, oh),
		Cb:      s.plane(c.Cb, c.CStride, 1, cw, ch),
		Cr:      s.plane(c.Cr, c.CStride, 1, cw, ch),
		YStride: ow, CStride: cw, SubsampleRatio: ratio(hs, vs), Rect: r,
	}, nil
}

// full gives every pixel chroma of its own.
func full(m *image.YCbCr) *image.YCbCr {
	r := m.Bounds()
	f := image.NewYCbCr(r, image.YCbCrSubsampleRatio444)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			to, from := f.YOffset(x, y), m.COffset(x, y)
			f.Y[to], f.Cb[to], f.Cr[to] = m.Y[m.YOffset(x, y)], m.Cb[from], m.Cr[from]
		}
	}
	return f
}

// plane turns pixels of n bytes; w and h are the result's.
func (s *standardTurning) plane(src []byte, stride, n, w, h int) []byte {
	dst := make([]byte, n*w*h)
	for y := range h {
		from := y
		if s.transform&flippedY != 0 {
			from = h - 1 - y
		}
		for x := range w {
			fx, fy := x, from
			if s.transform&flippedX != 0 {
				fx = w - 1 - x
			}
			if s.transform&transposed != 0 {
				fx, fy = fy, fx
			}
			copy(dst[(y*w+x)*n:][:n], src[fy*stride+fx*n:])
		}
	}
	return dst
}
