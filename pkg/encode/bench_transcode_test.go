package encode_test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// A camera's 1280x720 picture, 4:2:2, made smaller and coarser; image-jpeg is
// decoding and encoding with the standard library, without any resizing. Run
// with
// go test -run '^$' -bench Transcode -benchmem ./pkg/encode .
func BenchmarkTranscode(b *testing.B) {
	src := photo(b, 1280, 720)
	for _, o := range []encode.Options{
		{Quality: 80, Width: 960},
		{Quality: 80, Width: 900},
		{Quality: 80, Width: 640},
		{Quality: 80, Width: 640, FastDCT: true, FastUpsample: true},
		{Quality: 80, Width: 128},
		{Quality: 55},
		{Quality: 55, Gray: true},
		{Quality: 80, Width: 640, Portable: true},
		{Quality: 55, Portable: true},
	} {
		x := newTranscoder(b, o)
		name := fmt.Sprintf("%d/q%d/gray=%v/fast=%v/%d", o.Width, o.Quality, o.Gray, o.FastDCT, len(x.Name()))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				transcode(b, x, src)
			}
		})
	}
	b.Run("image-jpeg", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := jpeg.Decode(bytes.NewReader(src))
			if err != nil {
				b.Fatal(err)
			}
			var out bytes.Buffer
			if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 55}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Raw pictures made smaller. Run with
// go test -run '^$' -bench Reduce -benchmem ./pkg/encode .
func BenchmarkReduce(b *testing.B) {
	for _, code := range []device.FourCC{device.YUYV, device.YU12, device.RGB24} {
		f := device.Format{FourCC: code, Width: 1280, Height: 720}
		data := scene(f)
		for _, width := range []int{1280, 960, 900, 640, 128, 1920} {
			e := newEncoder(b, f, encode.Options{Width: width})
			b.Run(fmt.Sprintf("%s/%d", code, width), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					encodeOnce(b, e, f, data)
				}
			})
		}
	}
}
