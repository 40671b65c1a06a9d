//go:build lab

package v4l2

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// TestLabInputsKeepContract runs the conformance suite on each of vivid's
// inputs: webcam, TV, S-Video and HDMI, as far as the machine has them, and then
// takes pictures of each pixel format there.
func TestLabInputsKeepContract(t *testing.T) {
	d, f := labCamera(t, "vivid")
	inputs := 0
	for input := range 4 {
		out, err := exec.CommandContext(t.Context(), "v4l2-ctl", "-d", f.Info.Path, "-i", strconv.Itoa(input)).CombinedOutput()
		if err != nil {
			t.Logf("input %d: %v: %s", input, err, out)
			break
		}
		inputs++
		t.Run(fmt.Sprintf("input %d", input), func(t *testing.T) {
			t.Logf("%s", out)
			devicetest.TestCamera(t, func(t *testing.T) device.Camera {
				t.Helper()
				cam, err := d.Open(t.Context(), f.Info.Path)
				if err != nil {
					t.Fatal(err)
				}
				return cam
			})
			everyPixelFormat(t, d, f.Info.Path)
		})
	}
	if inputs == 0 {
		t.Error("vivid has no input")
	}
}

// everyPixelFormat takes pictures in each format that is claimed.
func everyPixelFormat(t *testing.T, d *Driver, path string) {
	t.Helper()
	cam := labOpen(t, d, path)
	modes, err := cam.Modes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := map[device.FourCC]bool{}
	for _, m := range modes {
		if done[m.FourCC] {
			continue
		}
		done[m.FourCC] = true
		want := device.Format{FourCC: m.FourCC, Width: 640, Height: 480}
		granted, err := cam.Start(t.Context(), want)
		if err != nil {
			t.Errorf("Start(%v): %v", want, err)
			continue
		}
		if granted.FourCC != m.FourCC {
			t.Errorf("Start(%v): granted %v", want, granted)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for range 3 {
			err := cam.Next(ctx, func(b *device.Buffer) error {
				if whole := pictureBytes(granted); !b.Corrupt && len(b.Data) < whole {
					t.Errorf("%v: %d bytes, want at least %d", granted, len(b.Data), whole)
				}
				return nil
			})
			if err != nil {
				t.Errorf("Next in %v: %v", granted, err)
				break
			}
		}
		cancel()
		if err := cam.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
		t.Logf("%v", granted)
	}
}

// TestLabFullHDLosesNothing takes 1080p JPEG at full speed from the USB camera.
// A busy host may starve the camera, so that one of three tries has to do.
func TestLabFullHDLosesNothing(t *testing.T) {
	d, f := labCamera(t, uvcDriver)
	for range 3 {
		if fullHD(t, d, f.Info.Path) == 0 {
			return
		}
	}
	t.Error("pictures were lost in each of three tries")
}

// fullHD takes five seconds and returns how many pictures did not come, that
// are not told as skipped.
func fullHD(t *testing.T, d *Driver, path string) (lost int) {
	t.Helper()
	cam := labOpen(t, d, path)
	granted, err := cam.Start(t.Context(), device.Format{FourCC: device.MJPG, Width: 1920, Height: 1080, Rate: device.FPS(30)})
	if err != nil || granted.Width != 1920 || granted.FourCC != device.MJPG {
		t.Fatalf("Start: %v, %v", granted, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last device.Buffer
	var stale, bytes int
	var began time.Time
	const frames = 150
	for i := range frames {
		err := cam.Next(ctx, func(b *device.Buffer) error {
			if i == 0 {
				began = time.Now()
			} else {
				if int32(b.DriverSeq-last.DriverSeq) <= 0 || !b.CapturedAt.After(last.CapturedAt) {
					t.Errorf("picture %d, %v, after %d, %v", b.DriverSeq, b.CapturedAt, last.DriverSeq, last.CapturedAt)
				}
				lost += int(int32(b.DriverSeq-last.DriverSeq)) - 1 - b.Stale
			}
			stale += b.Stale
			bytes += len(b.Data)
			last = *b
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fps := (frames - 1) / time.Since(began).Seconds()
	t.Logf("%v: %.1f fps, %d bytes per picture, %d stale, %d lost", granted, fps, bytes/frames, stale, lost)
	if err := cam.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return lost
}
