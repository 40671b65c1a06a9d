package encode_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// Several pictures at once: pictures per second grow with the width, up to the
// number of cores; encode is without Parallel. Run with
// go test -run '^$' -bench Parallel -benchmem ./pkg/encode .
func BenchmarkParallel(b *testing.B) {
	f := device.Format{FourCC: device.YUYV, Width: 1280, Height: 720}
	data := scene(f)
	maker := encode.Makers(encode.Options{})[0]
	report := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	}
	b.Run("encode", func(b *testing.B) {
		e, err := maker.New(b.Context(), f, 80)
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Encode(&device.Buffer{Data: data, Format: f}); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	for width := 1; width <= 3; width++ {
		b.Run(fmt.Sprintf("width%d", width), func(b *testing.B) {
			p, err := encode.NewParallel(b.Context(), width, func(ctx context.Context) (device.Encoder, error) {
				return maker.New(ctx, f, 80)
			}, func(r encode.Result) {
				if r.Err != nil {
					b.Error(r.Err)
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			buffer := &device.Buffer{Data: data, Format: f, Hold: func() (func(), bool) { return func() {}, true }}
			b.ReportAllocs()
			for b.Loop() {
				submit(b, p, buffer)
			}
			p.Flush()
			report(b)
		})
	}
}
