package encode_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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

// reportCPU adds the processor time of the program to a benchmark when the
// function it returns is called: unlike the clock it means something on a machine
// that others use too.
func reportCPU(b *testing.B) func() {
	b.Helper()
	began := processorTime(b)
	return func() {
		b.ReportMetric(float64(processorTime(b)-began)/float64(b.N)/1e6, "cpu-ms/op")
	}
}

func processorTime(b *testing.B) int64 {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
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
		for _, o := range []encode.Options{{}, {Subsampling: encode.Subsampling420}, {Portable: true}} {
			e := newEncoder(b, f, o)
			if o.Subsampling == encode.Subsampling420 && f.FourCC != device.YUYV {
				continue // the same
			}
			b.Run(fmt.Sprintf("%s/%dx%d/range%d/matrix%d/%s/%s", f.FourCC, f.Width, f.Height, f.Quantization, f.Matrix, o.Subsampling,
				strings.ReplaceAll(e.Name(), "/", "-")), func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				report := reportCPU(b)
				for b.Loop() {
					size = len(encodeOnce(b, e, f, data))
				}
				report()
				b.ReportMetric(float64(size)/1000, "KB/frame")
			})
		}
	}
}
