package v4l2

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

func mode(f device.FourCC, w, h int, fps ...float64) device.Mode {
	m := device.Mode{FourCC: f, Width: w, Height: h}
	for _, r := range fps {
		m.Rates = append(m.Rates, device.FPS(r))
	}
	return m
}

func TestChooseFollowsItsRule(t *testing.T) {
	emulated := mode(device.NV12, 1280, 720, 30)
	emulated.Emulated = true
	for _, tt := range []struct {
		name  string
		modes []device.Mode
		want  device.Format
		best  device.Mode
	}{
		{"JPEG before raw", []device.Mode{mode(device.YUYV, 1280, 720, 30), mode(device.MJPG, 1280, 720, 30)}, device.Format{}, mode(device.MJPG, 1280, 720, 30)},
		{"rate before JPEG", []device.Mode{mode(device.MJPG, 1280, 720, 15), mode(device.YUYV, 1280, 720, 30)}, device.Format{}, mode(device.YUYV, 1280, 720, 30)},
		{"size before rate", []device.Mode{mode(device.MJPG, 640, 480, 60), mode(device.YUYV, 1280, 720, 5)}, device.Format{}, mode(device.YUYV, 1280, 720, 5)},
		{"fastest when none is fast enough", []device.Mode{mode(device.MJPG, 1280, 720, 10), mode(device.YUYV, 1280, 720, 20)}, device.Format{}, mode(device.YUYV, 1280, 720, 20)},
		{"29.97 counts as 30", []device.Mode{mode(device.YUYV, 1280, 720, 30), mode(device.MJPG, 1280, 720, 29.97)}, device.Format{}, mode(device.MJPG, 1280, 720, 29.97)},
		{"unknown rate before too slow", []device.Mode{mode(device.MJPG, 1280, 720, 10), mode(device.YUYV, 1280, 720)}, device.Format{}, mode(device.YUYV, 1280, 720)},
		{"known rate before unknown", []device.Mode{mode(device.MJPG, 1280, 720), mode(device.YUYV, 1280, 720, 30)}, device.Format{}, mode(device.YUYV, 1280, 720, 30)},
		{"camera's own before emulated", []device.Mode{emulated, mode(device.RGB24, 1280, 720, 30)}, device.Format{}, mode(device.RGB24, 1280, 720, 30)},
		{"rank", []device.Mode{mode(device.RGB24, 1280, 720, 30), mode(device.YU12, 1280, 720, 30)}, device.Format{}, mode(device.YU12, 1280, 720, 30)},
		{"wanted pixel format", []device.Mode{mode(device.MJPG, 1280, 720, 30), mode(device.YUYV, 320, 240, 5)}, device.Format{FourCC: device.YUYV}, mode(device.YUYV, 320, 240, 5)},
		{"pixel format not offered", []device.Mode{mode(device.MJPG, 1280, 720, 30)}, device.Format{FourCC: device.YUYV}, mode(device.MJPG, 1280, 720, 30)},
		{"nearest size", []device.Mode{mode(device.MJPG, 640, 480, 30), mode(device.MJPG, 800, 600, 30), mode(device.MJPG, 1920, 1080, 30)}, device.Format{Width: 1024, Height: 768}, mode(device.MJPG, 800, 600, 30)},
		{"unusable formats are passed over", []device.Mode{mode(0x31384142, 1280, 720, 30), mode(device.GREY, 160, 120, 1)}, device.Format{}, mode(device.GREY, 160, 120, 1)},
		{"wanted rate", []device.Mode{mode(device.MJPG, 1280, 720, 30), mode(device.YUYV, 1280, 720, 60)}, device.Format{Rate: device.FPS(60)}, mode(device.YUYV, 1280, 720, 60)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := choose(tt.modes, withDefaults(tt.want))
			if !ok || fmt.Sprint(got) != fmt.Sprint(tt.best) {
				t.Errorf("choose for %v: got %v, %v, want %v", tt.want, got, ok, tt.best)
			}
			back := slices.Clone(tt.modes)
			slices.Reverse(back)
			if got, _ := choose(back, withDefaults(tt.want)); fmt.Sprint(got) != fmt.Sprint(tt.best) {
				t.Errorf("choose in the other order: got %v, want %v", got, tt.best)
			}
		})
	}
	if m, ok := choose(nil, withDefaults(device.Format{})); ok {
		t.Errorf("choose from nothing: got %v", m)
	}
}

func TestSizesInRange(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    sizeRange
		want device.Format
		got  [][2]uint32
	}{
		{"discrete", discreteSize(640, 480), device.Format{Width: 1, Height: 1}, [][2]uint32{{640, 480}}},
		{"continuous", sizeRange{32, 1280, 1, 32, 720, 1}, device.Format{}, [][2]uint32{{1280, 720}, {640, 480}, {800, 600}, {320, 240}, {640, 360}, {1280, 720}, {32, 32}}},
		{"wanted size first", sizeRange{32, 640, 2, 32, 480, 2}, device.Format{Width: 501, Height: 9999}, [][2]uint32{{502, 480}, {640, 480}, {320, 240}, {640, 360}, {640, 480}, {32, 32}}},
		{"steps that miss", sizeRange{100, 700, 300, 100, 500, 200}, device.Format{}, [][2]uint32{{700, 500}, {100, 100}}},
		{"maximum that is no step", sizeRange{16, 1000, 16, 16, 1000, 16}, device.Format{}, [][2]uint32{{640, 480}, {800, 608}, {320, 240}, {992, 992}, {16, 16}}},
		{"larger than the contract allows", sizeRange{8192, 1 << 31, 8192, 4096, 1 << 31, 4096}, device.Format{}, [][2]uint32{{8192, 4096}}},
		{"only larger", sizeRange{20000, 30000, 1, 20000, 30000, 1}, device.Format{}, nil},
		{"discrete and too large", discreteSize(16384, 16384), device.Format{}, nil},
		{"nothing", discreteSize(0, 0), device.Format{}, nil},
		{"backwards", sizeRange{100, 50, 1, 100, 50, 1}, device.Format{}, nil},
	} {
		got := sizesIn(tt.r, tt.want)
		if tt.name == "maximum that is no step" {
			tt.got = slices.DeleteFunc(tt.got, func(s [2]uint32) bool { return s == [2]uint32{800, 608} }) // 600 is no step
		}
		if !slices.Equal(got, tt.got) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.got)
		}
	}
}

func TestRatesInRange(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    intervalRange
		want string
	}{
		{"discrete", intervalRange{min: fract{1001, 30000}, max: fract{1001, 30000}, discrete: true}, "[29.97]"},
		{"100 ns", intervalRange{min: fract{333333, 10000000}, discrete: true}, "[30]"},
		{"continuous", intervalRange{min: fract{1, 30}, max: fract{1, 10}}, "[30 30 25 24 20 15 10 10]"},
		{"stepwise", intervalRange{min: fract{1, 60}, max: fract{4, 60}, step: fract{1, 60}}, "[60 60 30 20 15 15]"},
		{"zero denominator", intervalRange{min: fract{1, 0}, discrete: true}, "[]"},
		{"zero numerator", intervalRange{min: fract{0, 1}, discrete: true}, "[]"},
	} {
		if got := fmt.Sprint(ratesIn(tt.r)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestModesListEachOnceWithRatesHighestFirst(t *testing.T) {
	d := webcam()
	d.formats = []formatDesc{{fourcc: device.MJPG}, {fourcc: 0x34363248}, {fourcc: device.MJPG}, {fourcc: device.YUYV, emulated: true}}
	d.intervals = []intervalRange{{min: fract{1, 15}, discrete: true}, {min: fract{1, 30}, discrete: true}, {min: fract{2, 60}, discrete: true}}
	modes, err := mustOpen(t, d).Modes(context.Background())
	const want = "[{MJPG 640 480 [30 15] false} {MJPG 1280 720 [30 15] false} {YUYV 640 480 [30 15] true} {YUYV 1280 720 [30 15] true}]"
	if got := fmt.Sprint(modes); err != nil || got != want {
		t.Errorf("Modes: got %s, %v, want %s", got, err, want)
	}
}

func TestModesWithoutSizesGiveTheCurrentOne(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTTY, unix.EINVAL} {
		d := webcam()
		d.broken = map[string]error{"enumsize": errno}
		d.fmt = rawFormat{Width: 352, Height: 288}
		modes, err := mustOpen(t, d).Modes(context.Background())
		const want = "[{YUYV 352 288 [100 50] false} {MJPG 352 288 [100 50] false}]"
		if got := fmt.Sprint(modes); err != nil || got != want {
			t.Errorf("Modes: got %s, %v, want %s", got, err, want)
		}
	}
}

func TestListsOfAFaultyDriverEnd(t *testing.T) {
	d := webcam()
	d.sizes = slices.Repeat(d.sizes, 10000)
	d.intervals = slices.Repeat(d.intervals, 10000)
	d.formats = slices.Repeat(d.formats, 10000)
	modes, err := mustOpen(t, d).Modes(context.Background())
	if err != nil || len(modes) != 4 {
		t.Errorf("Modes: got %d, %v, want 4", len(modes), err)
	}
}

func TestColorsFollowTheKernelsDefaults(t *testing.T) {
	const srgb, smpte170m = 8, 1
	for _, tt := range []struct {
		fourcc                 device.FourCC
		colorspace, enc, quant uint32
		wantMatrix             device.Matrix
		wantQuant              device.Quantization
	}{
		{device.YUYV, 0, 0, 0, device.BT601, device.LimitedRange},
		{device.YUYV, srgb, 0, 0, device.BT601, device.LimitedRange},
		{device.YUYV, smpte170m, enc601, 0, device.BT601, device.LimitedRange},
		{device.YUYV, srgb, 0, quantFull, device.BT601, device.FullRange},
		{device.YUYV, colorspaceJPEG, 0, 0, device.BT601, device.FullRange},
		{device.YUYV, colorspaceJPEG, 0, quantLimited, device.BT601, device.LimitedRange},
		{device.NV12, colorspaceREC709, 0, 0, device.BT709, device.LimitedRange},
		{device.NV12, colorspaceDCIP3, 0, 0, device.BT709, device.LimitedRange},
		{device.NV12, colorspaceBT2020, 0, 0, device.BT709, device.LimitedRange},
		{device.NV12, colorspaceSMPTE240M, 0, 0, device.BT709, device.LimitedRange},
		{device.NV12, colorspaceREC709, enc601, 0, device.BT601, device.LimitedRange},
		{device.NV12, srgb, enc709, 0, device.BT709, device.LimitedRange},
		{device.RGB24, srgb, 0, 0, device.BT601, device.FullRange},
		{device.RGB24, srgb, 0, quantLimited, device.BT601, device.LimitedRange},
		{device.MJPG, srgb, 0, 0, device.BT601, device.FullRange},
	} {
		gotMatrix, gotQuant := matrix(tt.colorspace, tt.enc), quantization(tt.fourcc, tt.colorspace, tt.quant)
		if gotMatrix != tt.wantMatrix || gotQuant != tt.wantQuant {
			t.Errorf("%v colorspace %d, encoding %d, quantization %d: got %v, %v, want %v, %v",
				tt.fourcc, tt.colorspace, tt.enc, tt.quant, gotMatrix, gotQuant, tt.wantMatrix, tt.wantQuant)
		}
	}
}

func TestPictureBytes(t *testing.T) {
	for _, tt := range []struct {
		f    device.Format
		want int
	}{
		{device.Format{FourCC: device.YUYV, Width: 640, Height: 480, Stride: 1280}, 614400},
		{device.Format{FourCC: device.YUYV, Width: 640, Height: 480, Stride: 1536}, 1536*479 + 1280},
		{device.Format{FourCC: device.RGB24, Width: 640, Height: 480, Stride: 1920}, 921600},
		{device.Format{FourCC: device.GREY, Width: 640, Height: 480, Stride: 640}, 307200},
		{device.Format{FourCC: device.NV12, Width: 640, Height: 480, Stride: 640}, 460800},
		{device.Format{FourCC: device.YU12, Width: 640, Height: 480, Stride: 640}, 460800},
		{device.Format{FourCC: device.YU12, Width: 640, Height: 480}, 0},
		{device.Format{FourCC: device.MJPG, Width: 640, Height: 480, Stride: 640}, 0},
	} {
		if got := pictureBytes(tt.f); got != tt.want {
			t.Errorf("pictureBytes(%+v): got %d, want %d", tt.f, got, tt.want)
		}
	}
}
