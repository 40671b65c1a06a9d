package webgear

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/capture"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/placeholder"
	"github.com/webgear-pi/webgear/pkg/status"
)

// errSettings is why hardware cannot encode what the settings ask for.
var errSettings = errors.New("the settings ask for smaller or grey pictures, which only software makes")

// encoders lists the ways to make JPEG of raw pictures, best first: those of the
// program, then ours.
func (o *Options) encoders() []device.EncoderMaker {
	var all []device.EncoderMaker
	for _, m := range o.Encoders {
		switch {
		case o.SoftwareEncoding && m.Hardware:
			continue
		case m.Hardware && (o.FrameSizeReduction > 0 || o.gray()):
			m.New = func(context.Context, device.Format, int) (device.Encoder, error) { return nil, errSettings }
		}
		all = append(all, m)
	}
	software := func(f device.Format) []device.EncoderMaker {
		e := encode.Options{Gray: o.gray(), FastDCT: o.JPEGFastDCT}
		e.Subsampling, _ = encode.ParseSubsampling(o.Subsampling) // it was checked; the default otherwise
		if o.FrameSizeReduction > 0 {
			e.Width, e.Height = encode.Reduce(f.Width, f.Height, o.FrameSizeReduction)
		}
		return encode.Makers(e)
	}
	for i, m := range software(device.Format{}) {
		// The size of the result depends on that of the camera's pictures.
		m.New = func(ctx context.Context, f device.Format, quality int) (device.Encoder, error) {
			return software(f)[i].New(ctx, f, quality)
		}
		all = append(all, m)
	}
	return all
}

// ProbeEncoders finds out which of the encoders of a program and our own would
// encode pictures of a format, by a picture that is drawn for it: the first one
// that proves to work is "in use", and what became of those before it is told.
// Only YU12 can be drawn; f counts by its size. The error says that none works.
func ProbeEncoders(ctx context.Context, hardware []device.EncoderMaker, f device.Format) ([]status.EncoderCandidate, error) {
	cards, err := placeholder.New()
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	b, err := cards.Buffer(f.Width, f.Height, placeholder.Card{
		Title: "Test picture", Cause: "It is encoded to find out what works.", Footer: f.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	o := Options{Settings: DefaultSettings(), Encoders: hardware}
	return capture.ProbeEncoders(ctx, o.encoders(), o.quality(), b, slog.New(slog.DiscardHandler))
}
