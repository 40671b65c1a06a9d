package v4l2

import (
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func discreteRates(fps ...uint32) []intervalRange {
	var out []intervalRange
	for _, f := range fps {
		i := fract{1, f}
		out = append(out, intervalRange{min: i, max: i, discrete: true})
	}
	return out
}

// within grants what is asked, as drivers do that offer ranges.
func within(low, high fract) func(fract) fract {
	return func(asked fract) fract {
		switch {
		case seconds(asked) < seconds(low):
			return low
		case seconds(asked) > seconds(high):
			return high
		}
		return asked
	}
}

// TestNegotiation goes through Start, with every way in which drivers tell sizes
// and intervals. The rule is in the comment of choose.
func TestNegotiation(t *testing.T) {
	own := func(codes ...device.FourCC) (out []formatDesc) {
		for _, c := range codes {
			out = append(out, formatDesc{fourcc: c})
		}
		return out
	}
	continuous := []intervalRange{{min: fract{1, 90}, max: fract{1, 1}}}
	stepwise := []intervalRange{{min: fract{1, 60}, max: fract{60, 60}, step: fract{1, 60}}}
	stepSizes := []sizeRange{{minW: 32, maxW: 2592, stepW: 2, minH: 32, maxH: 1944, stepH: 2}}
	anySize := []sizeRange{{minW: 16, maxW: 1920, stepW: 1, minH: 16, maxH: 1080, stepH: 1}}
	for _, tt := range []struct {
		name      string
		formats   []formatDesc
		sizesOf   map[device.FourCC][]sizeRange
		sizes     []sizeRange
		intervals []intervalRange
		rates     func(fract) fract
		want      device.Format
		asked     string // pixel format and size
		fps       float64
	}{
		{
			name: "discrete: JPEG at the wanted size", formats: own(device.YUYV, device.MJPG),
			sizes: []sizeRange{discreteSize(640, 480), discreteSize(1920, 1080)}, intervals: discreteRates(30, 15),
			want: device.Format{Width: 1920, Height: 1080}, rates: within(fract{1, 30}, fract{1, 15}), asked: "MJPG 1920x1080", fps: 30,
		},
		{
			name: "discrete: the size decides before JPEG", formats: own(device.YUYV, device.MJPG),
			sizesOf:   map[device.FourCC][]sizeRange{device.MJPG: {discreteSize(640, 480)}, device.YUYV: {discreteSize(1280, 720)}},
			intervals: discreteRates(30), rates: within(fract{1, 30}, fract{1, 30}), asked: "YUYV 1280x720", fps: 30,
		},
		{
			name: "discrete: between two sizes the nearer", formats: own(device.MJPG),
			sizes: []sizeRange{discreteSize(800, 600), discreteSize(1024, 768), discreteSize(1920, 1080)}, intervals: discreteRates(30),
			want: device.Format{Width: 1000, Height: 700}, rates: within(fract{1, 30}, fract{1, 30}), asked: "MJPG 1024x768", fps: 30,
		},
		{
			name: "discrete: rate that is not offered", formats: own(device.MJPG),
			sizes: []sizeRange{discreteSize(640, 480)}, intervals: discreteRates(25, 10),
			want: device.Format{Width: 640, Height: 480, Rate: device.FPS(60)}, rates: within(fract{1, 25}, fract{1, 10}), asked: "MJPG 640x480", fps: 25,
		},
		{
			name: "stepwise: the wanted size on a step", formats: own(device.JPEG, device.YU12),
			sizes: stepSizes, intervals: continuous, want: device.Format{Width: 1001, Height: 561, Rate: device.FPS(42)},
			rates: within(fract{1, 90}, fract{1, 1}), asked: "JPEG 1002x562", fps: 42,
		},
		{
			name: "stepwise: larger than the largest", formats: own(device.JPEG),
			sizes: stepSizes, intervals: continuous, want: device.Format{Width: 9000, Height: 9000},
			rates: within(fract{1, 90}, fract{1, 1}), asked: "JPEG 2592x1944", fps: 30,
		},
		{
			name: "stepwise: smaller than the smallest", formats: own(device.JPEG),
			sizes: stepSizes, intervals: continuous, want: device.Format{Width: 16, Height: 16},
			rates: within(fract{1, 90}, fract{1, 1}), asked: "JPEG 32x32", fps: 30,
		},
		{
			name: "continuous: exactly the wanted size", formats: own(device.YUYV),
			sizes: anySize, intervals: stepwise, want: device.Format{Width: 333, Height: 77, Rate: device.FPS(20)},
			rates: within(fract{1, 60}, fract{1, 1}), asked: "YUYV 333x77", fps: 20,
		},
		{
			name: "continuous: the default", formats: own(device.YUYV),
			sizes: anySize, intervals: stepwise, rates: within(fract{1, 60}, fract{1, 1}), asked: "YUYV 1280x720", fps: 30,
		},
		{
			name: "the legacy Pi camera: its own JPEG", formats: own(device.YU12, device.YUYV, device.RGB24, device.JPEG, device.MJPG, device.NV12),
			sizes: stepSizes, intervals: continuous, rates: within(fract{1, 90}, fract{1, 1}), asked: "MJPG 1280x720", fps: 30,
		},
		{
			name: "made by the camera before made by the kernel", formats: []formatDesc{{fourcc: device.YU12, emulated: true}, {fourcc: device.YUYV}},
			sizes: anySize, intervals: stepwise, rates: within(fract{1, 60}, fract{1, 1}), asked: "YUYV 1280x720", fps: 30,
		},
		{
			name: "the pixel format that is asked for", formats: own(device.MJPG, device.YUYV),
			sizesOf:   map[device.FourCC][]sizeRange{device.MJPG: {discreteSize(1280, 720)}, device.YUYV: {discreteSize(320, 240)}},
			intervals: discreteRates(30), want: device.Format{FourCC: device.YUYV}, rates: within(fract{1, 30}, fract{1, 30}), asked: "YUYV 320x240", fps: 30,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webcam()
			d.formats, d.sizes, d.sizesOf, d.intervals, d.rates = tt.formats, tt.sizes, tt.sizesOf, tt.intervals, tt.rates
			got, err := mustOpen(t, d).Start(t.Context(), tt.want)
			if err != nil {
				t.Fatal(err)
			}
			size := device.Format{FourCC: got.FourCC, Width: got.Width, Height: got.Height}
			if size.String() != tt.asked || got.Rate.Float() != tt.fps {
				t.Errorf("Start(%v): got %v, want %s at %v fps", tt.want, got, tt.asked, tt.fps)
			}
		})
	}
}
