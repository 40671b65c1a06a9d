package libcamera

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func TestListingIsRememberedAndNeverDisturbsACapture(t *testing.T) {
	r := newRig(t, "list=two")
	for range 3 {
		found, err := r.drv.List(r.context())
		if err != nil || len(found) != 2 {
			t.Fatalf("got %+v, %v", found, err)
		}
		f := found[1]
		want := device.Info{Driver: "libcamera", Name: "imx219", Path: "libcamera:1", ID: "/base/axi/pcie@1000120000/rp1/i2c@80000/imx219@10", Bus: "csi"}
		if f.Info != want || f.Board != BoardPiSP || f.Index != 1 || f.Width != 3280 || f.BitDepth != 10 || f.ColourFilter != "RGGB" || f.Modes[0].FourCC != device.MJPG {
			t.Errorf("got %+v", f)
		}
	}
	cam, _ := r.start(Options{}, device.Format{})
	r.take(cam)
	r.drv.Forget()
	if found, err := r.drv.List(r.context()); err != nil || len(found) != 2 {
		t.Errorf("while a camera captures: got %+v, %v", found, err)
	}
	if got := len(r.ran("--list-cameras")); got != 1 {
		t.Errorf("listed %d times, want once", got)
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.drv.List(r.context()); err != nil {
		t.Fatal(err)
	}
	if got := len(r.ran("--list-cameras")); got != 2 {
		t.Errorf("listed %d times after Forget, want 2", got)
	}
}

func TestCameraIsOpenedByIndexIDPathOrSensor(t *testing.T) {
	r := newRig(t, "list=two")
	for ref, want := range map[string]string{
		"": "imx708_wide", "0": "imx708_wide", "1": "imx219", "libcamera:1": "imx219", "imx219": "imx219",
		"/base/axi/pcie@1000120000/rp1/i2c@80000/imx219@10": "imx219",
	} {
		if got := r.open(ref, Options{}).Info().Name; got != want {
			t.Errorf("%q: got %s, want %s", ref, got, want)
		}
	}
	cam := r.open("1", Options{})
	if _, err := cam.Start(r.context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if runs := r.ran("--codec"); !strings.Contains(runs[0], "--camera 1 ") {
		t.Errorf("ran %s", runs[0])
	}
	for _, ref := range []string{"2", "imx477", "/base/x"} {
		if _, err := r.drv.Open(r.context(), ref, Options{}); !errors.Is(err, device.ErrNotFound) {
			t.Errorf("%q: got %v", ref, err)
		}
	}
	if _, err := r.drv.Open(r.context(), "", Options{Rotation: 90}); !errors.Is(err, device.ErrUnsupported) || !strings.Contains(err.Error(), "quarter turn") {
		t.Errorf("got %v", err)
	}
	none := newRig(t, "list=none")
	if _, err := none.drv.Open(none.context(), "", Options{}); !errors.Is(err, device.ErrNotFound) || !strings.Contains(err.Error(), "check the ribbon cable") {
		t.Errorf("got %v", err)
	}
	if found, err := none.drv.List(none.context()); err != nil || len(found) != 0 || len(none.ran("--list-cameras")) != 1 {
		t.Errorf("got %v, %v, %d runs", found, err, len(none.ran("--list-cameras")))
	}
}

func TestTwoCapturesOfOneCameraAreBusy(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	r := newRig(t, "list=vc4 lock="+lock)
	first, _ := r.start(Options{}, device.Format{})
	second := r.open("", Options{})
	if _, err := second.Start(r.context(), device.Format{}); !errors.Is(err, device.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Start(r.context(), device.Format{}); err != nil {
		t.Errorf("after the other stopped: %v", err)
	}
}

func TestMissingProgramIsNamedWithItsPackage(t *testing.T) {
	var asked []string
	d := New(Config{LookPath: func(name string) (string, error) {
		asked = append(asked, name)
		return "", os.ErrNotExist
	}})
	d.cfg.Program = "" // as it is
	if d.Available() {
		t.Error("available without a program")
	}
	if got := strings.Join(asked, " "); !strings.HasPrefix(got, "rpicam-vid libcamera-vid") {
		t.Errorf("looked for %s", got)
	}
	_, err := New(Config{Program: "/nowhere/rpicam-vid"}).List(context.Background())
	if !errors.Is(err, device.ErrNotInstalled) || !strings.Contains(err.Error(), "apt install rpicam-apps") {
		t.Errorf("got %v", err)
	}
	old := New(Config{LookPath: func(name string) (string, error) {
		if name == "libcamera-vid" {
			return "/usr/bin/libcamera-vid", nil
		}
		return "", os.ErrNotExist
	}})
	if got := old.program(); got != "/usr/bin/libcamera-vid" {
		t.Errorf("chose %s", got)
	}
}

func TestVersionIsAskedOnce(t *testing.T) {
	r := newRig(t, "version=1.2")
	for range 2 {
		v, err := r.drv.Version(r.context())
		if err != nil || !strings.Contains(v, "libcamera-apps build: v1.2.0") || !strings.Contains(v, "; libcamera build: ") {
			t.Errorf("got %q, %v", v, err)
		}
	}
	if got := len(r.ran("--version")); got != 1 {
		t.Errorf("asked %d times", got)
	}
}
