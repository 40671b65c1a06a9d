package encode

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"sync/atomic"

	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// Transcoder makes other JPEG files of JPEG files: smaller, coarser or grey. The
// sampling of the chroma stays; libjpeg-turbo neither upsamples nor converts
// colours on the way. Metadata is left behind.
//
// It takes what jpeg.Clean accepts. Damaged picture data is shown as far as it
// goes, as a browser would, and reported by Damaged; image/jpeg gives an error
// for it.
type Transcoder struct {
	options Options
	quality atomic.Int32 // 0: nobody asked for one
	work    transcoding  // nil once closed
	name    string
	damaged bool
}

// transcoding does the work; src has a header that fits the sizes.
type transcoding interface {
	transcode(src []byte, s sizes, quality int) (out []byte, damaged bool, err error)
	close()
}

// sizes of a picture before and after.
type sizes struct{ width, height, outWidth, outHeight int }

// NewTranscoder prepares a transcoder. The caller closes it.
func NewTranscoder(o Options) (*Transcoder, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	t := &Transcoder{options: o}
	t.quality.Store(int32(o.Quality))
	if o.Portable {
		t.work, t.name = newStandardTranscoding(o), standardName
		return t, nil
	}
	var err error
	if t.work, t.name, err = newTranscoding(o); err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	return t, nil
}

// Name says what does the work: "libjpeg-turbo" or "image/jpeg".
func (t *Transcoder) Name() string { return t.name }

// SetQuality sets the quality of later pictures, 1 to 100. It may be called from
// any goroutine.
func (t *Transcoder) SetQuality(quality int) error { return setQuality(&t.quality, quality) }

// Transcode returns src with the size, quality and colours of the options. The
// result has memory of its own, which the transcoder never touches again, unless
// there is nothing to do: that is when no quality was asked for, and size and
// colours are right. Then src itself is returned.
func (t *Transcoder) Transcode(src []byte) ([]byte, error) {
	t.damaged = false
	if t.work == nil {
		return nil, errors.New("transcode: transcoder is closed")
	}
	info, err := jpeg.Header(src)
	if err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	s := sizes{width: info.Width, height: info.Height}
	out, err := t.run(src, s, info.Components)
	if err != nil {
		return nil, fmt.Errorf("transcode JPEG %dx%d: %w", s.width, s.height, err)
	}
	return out, nil
}

func (t *Transcoder) run(src []byte, s sizes, components int) ([]byte, error) {
	if err := checkSize(s.width, s.height); err != nil {
		return nil, err
	}
	var err error
	if s.outWidth, s.outHeight, err = t.options.size(s.width, s.height); err != nil {
		return nil, err
	}
	quality := int(t.quality.Load())
	same := s.outWidth == s.width && s.outHeight == s.height
	if same && quality == 0 && (!t.options.Gray || components == 1) {
		return src, nil
	}
	out, damaged, err := t.work.transcode(src, s, cmp.Or(quality, DefaultQuality))
	t.damaged = damaged
	return out, err
}

// Damaged reports whether the last picture had damaged data that was decoded
// all the same.
func (t *Transcoder) Damaged() bool { return t.damaged }

// Close frees the transcoder's memory. Later calls of Transcode fail, of Close do
// nothing.
func (t *Transcoder) Close() {
	if t.work != nil {
		t.work.close()
		t.work = nil
	}
}

// standardTranscoding decodes and encodes with the standard library.
type standardTranscoding struct{ pixels PixelEncoder }

func newStandardTranscoding(o Options) *standardTranscoding {
	o.Portable = true
	return &standardTranscoding{PixelEncoder{options: o, smooth: !o.FastUpsample}}
}

func (s *standardTranscoding) transcode(src []byte, _ sizes, quality int) (out []byte, damaged bool, err error) {
	p, err := jpeg.Clean(src) // image/jpeg wants Huffman tables and an end
	if err != nil {
		return nil, false, err
	}
	var m image.Image
	if m, err = stdjpeg.Decode(bytes.NewReader(p.Data)); err != nil {
		return nil, false, err
	}
	s.pixels.quality.Store(int32(quality))
	out, err = s.pixels.run(s.pixels.describe(m))
	return out, false, err
}

func (s *standardTranscoding) close() { s.pixels.Close() }
