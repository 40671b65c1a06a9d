package encode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// scene is content of a camera's complexity: gradients, edges, a little noise.
func scene(f device.Format) []byte {
	n := noise(4096)
	return draw(f, func(x, y int) rgb {
		v := int(n[(x*31+y*17)&4095] >> 4)
		edge := (x / 40 & 1) * (y / 56 & 1) * 60
		return rgb{min(x*200/f.Width+v+edge, 255), min(y*200/f.Height+v, 255), min(90+v+edge, 255)}
	})
}

// Run with: go test -run '^$' -bench Encode -benchmem ./pkg/encode .
func BenchmarkEncode(b *testing.B) {
	for _, f := range []device.Format{
		{FourCC: device.YUYV, Width: 1280, Height: 720},
		{FourCC: device.YUYV, Width: 1280, Height: 720, Quantization: device.LimitedRange},
		{FourCC: device.YU12, Width: 1280, Height: 720},
		{FourCC: device.YU12, Width: 1280, Height: 720, Quantization: device.LimitedRange},
		{FourCC: device.YU12, Width: 1280, Height: 720, Quantization: device.LimitedRange, Matrix: device.BT709},
		{FourCC: device.NV12, Width: 1280, Height: 720},
		{FourCC: device.RGB24, Width: 1280, Height: 720},
		{FourCC: device.YU12, Width: 1920, Height: 1080},
	} {
		data := scene(f)
		for _, o := range []encode.Options{{}, {Portable: true}} {
			e := newEncoder(b, f, o)
			b.Run(fmt.Sprintf("%s/%dx%d/range%d/matrix%d/%s", f.FourCC, f.Width, f.Height, f.Quantization, f.Matrix,
				strings.ReplaceAll(e.Name(), "/", "-")), func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					size = len(encodeOnce(b, e, f, data))
				}
				b.ReportMetric(float64(size)/1000, "KB/frame")
			})
		}
	}
}
