package libcamera

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestStartFailsWithTheKindOfTheFailure(t *testing.T) {
	for _, tt := range []struct {
		name, fake string
		opt        Options
		kind       error
		want       string
	}{
		{"busy", "busy", Options{}, device.ErrBusy, "failed to acquire camera /base/soc"},
		{"permission", "denied", Options{}, device.ErrPermission, "add the user to the group video"},
		{"no camera any more", "die=0 say=no_cameras_available", Options{}, device.ErrNotFound, "rpicam-vid: no cameras available (exit status 255): check the ribbon cable"},
		{"unplugged", "die=0 say=imx708:_Remote_I/O_error", Options{}, device.ErrUnplugged, "Remote I/O error"},
		{"bad setting", "die=0 say=failed_to_configure_streams", Options{}, device.ErrUnsupported, "failed to configure streams"},
		{"unknown", "die=0 say=something_else", Options{}, device.ErrStalled, "something else"},
		{"killed", "crash=0", Options{}, device.ErrStalled, "signal: killed"},
		{"silent", "stall=0", Options{}, device.ErrStalled, "no picture within 300ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leakFree(t, func() {
				r := newRig(t, tt.fake, func(c *Config) { c.StartTimeout = 300 * time.Millisecond })
				cam, err := r.drv.Open(r.context(), "", tt.opt)
				if err != nil {
					t.Fatal(err)
				}
				_, err = cam.Start(r.context(), device.Format{})
				if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.want) || !strings.Contains(fmt.Sprint(err), "libcamera:0") {
					t.Errorf("got %v, want %v with %q", err, tt.kind, tt.want)
				}
				if err := cam.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNextFailsWithTheKindOfTheFailure(t *testing.T) {
	for _, tt := range []struct {
		name, fake string
		kind       error
		want       string
	}{
		{"camera gone", "die=3 say=No_such_device", device.ErrUnplugged, "rpicam-vid: No such device (exit status 255)"},
		{"died", "die=3", device.ErrStalled, "failed to queue request"},
		{"died in a picture", "half=3", device.ErrStalled, "failed to queue request"},
		{"killed", "crash=3", device.ErrStalled, "signal: killed"},
		{"died with many lines before", "chatty die=3 say=imx708_Remote_I/O_error", device.ErrUnplugged, "rpicam-vid: imx708 Remote I/O error (exit"},
	} {
		for _, board := range []string{"vc4", "pisp"} {
			t.Run(tt.name+", "+board, func(t *testing.T) {
				leakFree(t, func() {
					r := newRig(t, tt.fake+" list="+board)
					cam, err := r.drv.Open(r.context(), "", Options{})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := cam.Start(r.context(), device.Format{Width: 640, Height: 480}); err != nil {
						t.Fatal(err)
					}
					for range 2 { // it stays that way
						err = r.fail(cam)
						if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.want) {
							t.Errorf("got %v, want %v with %q", err, tt.kind, tt.want)
						}
					}
					if err := cam.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestSensorTimeoutsAreCountedAndLoggedOnce(t *testing.T) {
	r := newRig(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 640, Height: 480, Rate: device.FPS(60)})
	r.fault("timeout")
	eventually(t, "three timeouts", func() bool { return cam.Timeouts() >= 3 })
	r.take(cam) // the camera goes on
	if got := r.log.count("sensor fell silent"); got != 1 {
		t.Errorf("logged %d times, want once", got)
	}
}

func TestOldVersionsGetOnlyTheOptionsTheyHave(t *testing.T) {
	opt := Options{NoRaw: true, AeFlickerPeriod: 10 * time.Millisecond, BufferCount: 4, AfMode: "continuous", HdrMode: "sensor", Brightness: -0.5}
	for _, tt := range []struct{ version, has, lacks string }{
		{"1.9", "--no-raw --flicker-period=10000us --buffer-count=4 --autofocus-mode=continuous --hdr=sensor --brightness=-0.5", ""},
		{"1.2", "--buffer-count=4 --autofocus-mode=continuous --brightness=-0.5", "--no-raw --flicker-period --hdr"},
		{"1.0", "--brightness=-0.5 --metadata", "--no-raw --flicker-period --buffer-count --autofocus-mode --hdr"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			r := newRig(t, "list=vc4 version="+tt.version)
			cam, _ := r.start(opt, device.Format{})
			r.take(cam)
			runs := r.ran("--codec")
			last := runs[len(runs)-1]
			for option := range strings.FieldsSeq(tt.has) {
				if !strings.Contains(last, option) {
					t.Errorf("%s is missing: %s", option, last)
				}
			}
			for option := range strings.FieldsSeq(tt.lacks) {
				if strings.Contains(last, option) {
					t.Errorf("%s is there: %s", option, last)
				}
				if r.log.count(`option=`+option+"\n") != 1 {
					t.Errorf("the log does not say once that %s is left out", option)
				}
			}
			// What its help does not tell, here that --hdr is a switch, is found out
			// by trying, once.
			before := len(runs)
			if err := cam.Stop(); err != nil {
				t.Fatal(err)
			}
			if _, err := cam.Start(r.context(), device.Format{}); err != nil {
				t.Fatal(err)
			}
			if got := len(r.ran("--codec")) - before; got != 1 {
				t.Errorf("started again with %d runs, want 1", got)
			}
			if got := len(r.ran("--help")); got != 1 {
				t.Errorf("asked for help %d times", got)
			}
		})
	}
}

func TestOptionsOfAProgramWithoutHelpAreFoundOutByTrying(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "libcamera-vid")
	text := "#!/bin/sh\nfor a; do [ \"$a\" = --help ] && exit 1; done\nexec " + fakeProgram + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "list=vc4 version=1.2", func(c *Config) { c.Program = script })
	cam, _ := r.start(Options{NoRaw: true, AeFlickerPeriod: 10 * time.Millisecond}, device.Format{})
	r.take(cam)
	if got := len(r.ran("--codec")); got != 3 { // two options less
		t.Errorf("%d runs, want 3", got)
	}
}

func TestOptionThatIsRefusedForItsValueIsAnError(t *testing.T) {
	r := newRig(t, "list=vc4 die=0 say=Invalid_AWB_mode:_custom")
	cam := r.open("", Options{AwbMode: "custom"})
	_, err := cam.Start(r.context(), device.Format{})
	if !errors.Is(err, device.ErrUnsupported) || !strings.Contains(err.Error(), "Invalid AWB mode: custom") {
		t.Errorf("got %v", err)
	}
}
