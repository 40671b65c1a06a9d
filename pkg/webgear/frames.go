package webgear

import (
	"context"
	"iter"

	"github.com/webgear-pi/webgear/device"
)

// Frames gives the pictures that viewers see, for recording or analysis, with or
// without any viewer: the newest at once, then each newer one, until ctx ends or
// the stream does. Who takes longer than a picture lasts misses some and never
// slows anybody down; Frame.Seq tells. Frame.Placeholder is set for those that do
// not come from the source. A source that is slower than that is shown again once
// a second: then Frame.DriverSeq and Frame.CapturedAt stay the same. A source that
// works on demand is awake meanwhile. Frames are shared: do not change their data.
//
//	for f := range g.Frames(ctx) {
//		if f.Placeholder == "" {
//			_, err = file.Write(f.Data)
//		}
//	}
func (g *Gear) Frames(ctx context.Context) iter.Seq[*device.Frame] {
	return func(yield func(*device.Frame) bool) {
		sub := g.hub.Subscribe()
		defer sub.Close()
		for {
			f, final, err := sub.Next(ctx)
			if err != nil || !yield(f) || final {
				return
			}
		}
	}
}
