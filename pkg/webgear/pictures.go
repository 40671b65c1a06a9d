package webgear

import (
	"errors"
	"fmt"

	"github.com/webgear-pi/webgear/pkg/capture"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// defaultQuality is WebGear's, for pictures that have to be encoded.
const defaultQuality = 90

// check refuses settings that New was given with values that ParseSettings
// would have discarded, and brings the others into the same form.
func (s *Settings) check() error {
	d := DefaultSettings()
	if s.VideoEndpoint == "" {
		s.VideoEndpoint = d.VideoEndpoint
	}
	if s.JPEGColorspace == "" {
		s.JPEGColorspace = d.JPEGColorspace
	}
	var reduction float64
	if reason := parseEndpoint(s.VideoEndpoint, &s.VideoEndpoint); reason != "" {
		return fmt.Errorf("video endpoint %q: %s", s.VideoEndpoint, reason)
	}
	if reason := parseNumber(s.FrameSizeReduction, 0, 90, &reduction); reason != "" {
		return fmt.Errorf("frame size reduction %v: %s", s.FrameSizeReduction, reason)
	}
	if reason := parseQuality(s.JPEGQuality, &s.JPEGQuality); reason != "" && s.JPEGQuality != 0 {
		return fmt.Errorf("JPEG quality %d: %s", s.JPEGQuality, reason)
	}
	if reason := parseColorspace(s.JPEGColorspace, &s.JPEGColorspace); reason != "" {
		return fmt.Errorf("JPEG colorspace %q: %s", s.JPEGColorspace, reason)
	}
	return nil
}

// gray says whether pictures are to have no colour.
func (s *Settings) gray() bool { return s.JPEGColorspace == "GRAY" }

// quality is for pictures that have to be encoded.
func (s *Settings) quality() int {
	if s.JPEGQuality == 0 {
		return defaultQuality
	}
	return s.JPEGQuality
}

// newRework returns what makes a rework of JPEG pictures, or nil when they are
// to pass through untouched.
func (g *Gear) newRework(s *Settings) func() capture.Rework {
	if s.FrameSizeReduction == 0 && s.JPEGQuality == 0 && !s.gray() {
		return nil
	}
	return func() capture.Rework {
		if g.drawn {
			return untouched{}
		}
		return &rework{settings: s}
	}
}

// untouched is the rework of pictures that were encoded with the settings.
type untouched struct{}

func (untouched) Rework(picture []byte, width, height int) (out []byte, w, h int, err error) {
	return picture, width, height, nil
}

// Name is empty: nobody changes anything.
func (untouched) Name() string { return "" }

func (untouched) Close() {}

// rework makes JPEG pictures smaller, coarser or grey.
type rework struct {
	settings      *Settings
	width, height int // of the input that work was made for
	work          *encode.Transcoder
}

// Rework returns another picture and its size.
func (r *rework) Rework(picture []byte, width, height int) (out []byte, w, h int, err error) {
	w, h = encode.Reduce(width, height, r.settings.FrameSizeReduction)
	if r.settings.JPEGQuality == 0 && w == width && h == height {
		// Only grey is asked for.
		if info, err := jpeg.Header(picture); err == nil && info.Components == 1 {
			return picture, w, h, nil
		}
	}
	if r.work == nil || width != r.width || height != r.height {
		r.Close()
		r.work, err = encode.NewTranscoder(encode.Options{
			Quality: r.settings.quality(), Width: w, Height: h, Gray: r.settings.gray(),
			FastDCT: r.settings.JPEGFastDCT, FastUpsample: r.settings.JPEGFastUpsample,
		})
		if err != nil {
			r.work = nil
			return nil, 0, 0, err
		}
		r.width, r.height = width, height
	}
	out, err = r.work.Transcode(picture)
	if err == nil && r.work.Damaged() {
		err = errors.New("picture data is damaged")
	}
	return out, w, h, err
}

// Name says what does the work.
func (r *rework) Name() string {
	if r.work == nil {
		return "settings"
	}
	return r.work.Name()
}

// Close frees the memory.
func (r *rework) Close() {
	if r.work != nil {
		r.work.Close()
		r.work = nil
	}
}

// newFinish returns what makes that which turns pictures, or nil when they are
// right as they are.
func (o *Options) newFinish() (func() capture.Rework, error) {
	t, err := encode.ParseTransform(o.Transform)
	if err != nil || t == encode.TransformNone {
		return nil, err
	}
	return func() capture.Rework { return &turn{transform: t, quality: o.quality()} }, nil
}

// turn turns and mirrors JPEG pictures.
type turn struct {
	transform encode.Transform
	quality   int
	work      *encode.Transformer // nil before the first picture
}

// Rework returns the turned picture and its size.
func (t *turn) Rework(picture []byte, _, _ int) (out []byte, w, h int, err error) {
	if t.work == nil {
		if t.work, err = encode.NewTransformer(t.transform, encode.Options{Quality: t.quality}); err != nil {
			t.work = nil
			return nil, 0, 0, err
		}
	}
	out, err = t.work.Transform(picture)
	if err == nil && t.work.Damaged() {
		err = errors.New("picture data is damaged")
	}
	w, h = t.work.Size()
	return out, w, h, err
}

// Name says what does the work.
func (t *turn) Name() string { return "transform " + t.transform.String() }

// Close frees the memory.
func (t *turn) Close() {
	if t.work != nil {
		t.work.Close()
		t.work = nil
	}
}
