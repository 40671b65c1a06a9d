//go:build system

package webgear_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/libcamera"
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

func TestSystemSpec08Line25PiCameraThatFailsIsOpenedAgain(t *testing.T) {
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

func TestSystemSpec08Line25FirstFailureCanEndRun(t *testing.T) {
	open, _, fault := piCamera(t, nil)
	fault("busy")
	g, _ := newGear(t, webgear.Options{Open: open, Fatal: []error{device.ErrBusy}, Address: "127.0.0.1:0"})
	if err := g.Run(t.Context()); !errors.Is(err, device.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestSystemSpec08Line26FrozenPiCameraIsShownAsStalledAndComesBack(t *testing.T) {
	open, _, fault := piCamera(t, nil)
	r := serve(t, webgear.Options{Open: open, Want: device.Format{Width: 320, Height: 240}})
	v := r.watch("/video")
	v.await("")
	fault("timeout=0 stall=0")
	v.await("stalled")
	fault("")
	v.await("")
}
