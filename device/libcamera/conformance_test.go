package libcamera

import (
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

func TestCameraKeepsTheContract(t *testing.T) {
	for _, tt := range []struct {
		name, fake string
		opt        Options
	}{
		{"raw pictures of VC4", "list=vc4", Options{}},
		{"JPEG pictures of PiSP", "list=pisp split=1000", Options{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			devicetest.TestCameraWith(t, devicetest.Options{
				Open: func(t *testing.T) device.Camera {
					t.Helper()
					r := newRig(t, tt.fake)
					return r.open("", tt.opt)
				},
				Stall: func(t *testing.T, cam device.Camera) {
					t.Helper()
					c, ok := cam.(*Camera)
					if !ok {
						t.Fatalf("got a %T", cam)
					}
					silence(t, c)
				},
				Timeout: 20 * time.Second,
			})
		})
	}
}

// silence makes the program of a camera deliver nothing.
func silence(t *testing.T, c *Camera) {
	t.Helper()
	for _, e := range c.drv.cfg.Env {
		const name = "FAKERPICAM_CONTROL="
		if len(e) > len(name) && e[:len(name)] == name {
			(&rig{t: t, control: e[len(name):]}).fault("stall")
		}
	}
}
