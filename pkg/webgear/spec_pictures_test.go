package webgear_test

import (
	"bytes"
	"errors"
	stdjpeg "image/jpeg"
	"math"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/placeholder"
)

func TestSpec08Line16PlaceholderHasTheSizeOfThePicture(t *testing.T) {
	r, err := placeholder.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, sampling := range map[string]string{"colour": "4:2:0", "grey": "4:0:0"} {
		for _, text := range []string{"", "No Input", strings.Repeat("123 ", 50)} {
			out, err := r.Render(640, 480, placeholder.Card{Title: text}, 0, sampling)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := jpeg.Header(out); err != nil || info.Width != 640 || info.Height != 480 {
				t.Errorf("%s %q: got %+v, %v", name, text, info, err)
			}
		}
	}
	if _, err := r.Render(0, 0, placeholder.Card{}, 0, ""); err == nil {
		t.Error("a picture of no size was drawn")
	}
}

// WebGear picks the best of the filters that its OpenCV has. There is one here:
// the mean of the pixels that a smaller pixel covers, which never flickers.
func TestSpec08Line17PicturesAreMadeSmallerByTheirMean(t *testing.T) {
	f := device.Format{FourCC: device.GREY, Width: 64, Height: 64}
	enc, err := encode.New(f, encode.Options{Quality: 100, Width: 16, Height: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	stripes := make([]byte, 64*64)
	for i := range stripes {
		stripes[i] = byte(i % 2 * 200) // every second column is bright
	}
	out, err := enc.Encode(&device.Buffer{Data: stripes, Format: f})
	if err != nil {
		t.Fatal(err)
	}
	img, err := stdjpeg.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for x := range 16 {
		if v, _, _, _ := img.At(x, 8).RGBA(); math.Abs(float64(v>>8)-100) > 3 {
			t.Errorf("column %d has %d, want the mean, 100", x, v>>8)
		}
	}
}

func TestSpec08Line24OptionsOfThePiCameraAreChecked(t *testing.T) {
	for name, spoil := range map[string]func(*config.Camera){
		"framerate":      func(c *config.Camera) { c.Framerate = -1 },
		"resolution":     func(c *config.Camera) { c.Resolution = "invalid" },
		"camera_num":     func(c *config.Camera) { c.CameraNum = -1 },
		"no such camera": func(c *config.Camera) { c.API = "picamera" },
	} {
		c := config.Default()
		spoil(&c.Camera)
		if fe, ok := errors.AsType[*config.FieldError](c.Validate()); !ok {
			t.Errorf("%s: got %v, want an error that names the key", name, fe)
		}
	}
	for value, taken := range map[any]bool{15.0: false, 1.0: false, 10.0: false, "invalid": false, 1.5: true, 9: true} {
		_, log, err := parsed(t, "test", source.Options{Keys: map[string]any{"HWFAILURE_TIMEOUT": value}})
		if err != nil || strings.Contains(log, "HWFAILURE_TIMEOUT") == taken {
			t.Errorf("HWFAILURE_TIMEOUT %v: %v, logged %q", value, err, log)
		}
	}
}
