package m2m

import (
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func TestBitRateFollowsQualitySizeAndRate(t *testing.T) {
	format := func(w, h int, fps float64) device.Format {
		return device.Format{FourCC: device.YU12, Width: w, Height: h, Rate: device.FPS(fps)}
	}
	for _, tt := range []struct {
		format  device.Format
		quality int
		want    int32
	}{
		{format(1920, 1080, 30), 80, 25_000_000}, // the encoder's limit
		{format(1280, 720, 30), 50, 11_059_200},  // 0.4 bits per pixel
		{format(1280, 720, 0), 50, 11_059_200},   // 30 fps are assumed
		{format(1280, 720, 15), 75, 11_059_200},  // 25 points double it
		{format(640, 480, 30), 100, 14_745_600},
		{format(640, 480, 5), 50, 614_400},
		{format(64, 48, 1), 1, 25_000}, // the least
	} {
		n := &fakeNode{fakeDevice: piVideoEncoder()}
		if got := findControl(n, tt.format).value(tt.quality); got != tt.want {
			t.Errorf("%v at quality %d: got %d bits per second, want %d", tt.format, tt.quality, got, tt.want)
		}
	}
}

func TestQualityStaysInTheRangeOfTheControl(t *testing.T) {
	d := piImageEncoder()
	d.controls[cidJPEGQuality] = [3]int32{48, 95, 80}
	c := findControl(&fakeNode{fakeDevice: d}, small())
	for quality, want := range map[int]int32{1: 48, 48: 48, 60: 60, 100: 95} {
		if got := c.value(quality); got != want {
			t.Errorf("quality %d: control is set to %d, want %d", quality, got, want)
		}
	}
}
