package webgear_test

import (
	"bytes"
	"context"
	"errors"
	stdjpeg "image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/placeholder"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// piCamera is the Pi's camera through a stand-in for rpicam-vid. fault changes
// what goes wrong with it, in the stand-in's words.
func piCamera(t *testing.T, settings map[string]any) (open webgear.Opener, warnings []string, fault func(words string)) {
	t.Helper()
	dir := t.TempDir()
	program, control := filepath.Join(dir, "rpicam-vid"), filepath.Join(dir, "control")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../device/libcamera/fakerpicam")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fault = func(words string) {
		if err := os.WriteFile(control+".new", []byte(words), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(control+".new", control); err != nil {
			t.Fatal(err)
		}
	}
	fault("")
	options, _, warnings := libcamera.FromPiGear(settings, device.Format{})
	drv := libcamera.New(libcamera.Config{Program: program, Env: []string{"FAKERPICAM_CONTROL=" + control}})
	return func(ctx context.Context) (device.Camera, error) {
		cam, err := drv.Open(ctx, "", options)
		if err != nil {
			return nil, err
		}
		return cam, nil
	}, warnings, fault
}

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

func TestSpec08Line25PiCameraThatFailsIsOpenedAgain(t *testing.T) {
	open, warnings, fault := piCamera(t, map[string]any{"controls": map[string]any{"ImWrong": 3}})
	if len(warnings) != 1 || !strings.Contains(warnings[0], "ImWrong") {
		t.Errorf("a control that cannot be set: warned %q", warnings)
	}
	fault("die=0 say=ERROR:_***_no_cameras_available_***") // at the first picture
	r := serve(t, webgear.Options{Open: open})
	v := r.watch("/video")
	if cause := v.must().cause(); cause == "" {
		t.Error("a camera that fails at once shows a live picture")
	}
	fault("die=20") // and in the middle, again and again
	v.await("")
	for cause := ""; cause == ""; {
		cause = v.must().cause()
	}
	fault("")
	v.await("")
}

func TestSpec08Line25FirstFailureCanEndRun(t *testing.T) {
	open, _, fault := piCamera(t, nil)
	fault("busy")
	g, _ := newGear(t, webgear.Options{Open: open, Fatal: []error{device.ErrBusy}, Address: "127.0.0.1:0"})
	if err := g.Run(t.Context()); !errors.Is(err, device.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestSpec08Line26FrozenPiCameraIsShownAsStalledAndComesBack(t *testing.T) {
	open, _, fault := piCamera(t, nil)
	r := serve(t, webgear.Options{Open: open, Want: device.Format{Width: 320, Height: 240}})
	v := r.watch("/video")
	v.await("")
	fault("timeout=0 stall=0")
	v.await("stalled")
	fault("")
	v.await("")
}
