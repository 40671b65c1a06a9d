//go:build lab

package v4l2

import (
	"context"
	"errors"
	"maps"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// The tests in this file are about the controls of real drivers; see
// lab_test.go. vivid has one of every kind.

func labCamera(t *testing.T, driver string) (*Driver, Found) {
	t.Helper()
	d, cameras := labCameras(t)
	for _, f := range cameras {
		if f.Info.Driver == driver {
			return d, f
		}
	}
	t.Fatalf("no camera of driver %s", driver)
	return nil, Found{}
}

func labOpen(t *testing.T, d *Driver, path string) *Camera {
	t.Helper()
	cam, err := d.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cam
}

func labControls(t *testing.T, cam *Camera) map[string]device.Control {
	t.Helper()
	list, err := cam.Controls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]device.Control{}
	for _, c := range list {
		byName[c.ID] = c
	}
	return byName
}

func TestLabControlsAreThoseOfV4L2Ctl(t *testing.T) {
	d, cameras := labCameras(t)
	for _, f := range cameras {
		t.Run(f.Info.Driver, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "v4l2-ctl", "-d", f.Info.Path, "--list-ctrls").Output()
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for line := range strings.Lines(string(out)) {
				// "brightness 0x00980900 (int)    : min=0 max=255 …"; arrays have dims=.
				if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[1], "0x") &&
					!strings.Contains(line, "dims=") && isScalar(fields[2]) {
					want[fields[0]] = true
				}
			}
			have := map[string]bool{}
			began := time.Now()
			list, err := d.Controls(t.Context(), f.Info.Path)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d controls in %v", len(list), time.Since(began))
			for _, c := range list {
				t.Logf("%s %q: %s %s, %v to %v step %v, default %v, now %v %s, %v, read-only %v, write-only %v, inactive %v, busy %v",
					c.ID, c.Name, c.Group, c.Kind, c.Min, c.Max, c.Step, c.Default, c.Value, c.Unit, c.Items, c.ReadOnly, c.WriteOnly, c.Inactive, c.Busy)
				have[c.ID] = true
			}
			if !maps.Equal(have, want) {
				t.Errorf("controls %v, v4l2-ctl has %v", have, want)
			}
		})
	}
}

func isScalar(kind string) bool {
	switch strings.Trim(kind, "():") {
	case "int", "int64", "bool", "menu", "intmenu", "button", "bitmask", "str":
		return true
	}
	return false
}

func TestLabControlsKeepContract(t *testing.T) {
	d, cameras := labCameras(t)
	for _, f := range cameras {
		t.Run(f.Info.Driver, func(t *testing.T) {
			devicetest.TestController(t, func(t *testing.T) device.Camera {
				t.Helper()
				cam, err := d.Open(t.Context(), f.Info.Path)
				if err != nil {
					t.Fatal(err)
				}
				return cam
			})
		})
	}
}

func TestLabVividTakesEveryKindOfValue(t *testing.T) {
	d, f := labCamera(t, "vivid")
	cam := labOpen(t, d, f.Info.Path)
	for _, tt := range []struct {
		id    string
		value device.ControlValue
	}{
		{"brightness", device.NumberValue(17)},
		{"integer_32_bits", device.NumberValue(math.MinInt32)},
		{"integer_64_bits", device.NumberValue(math.MaxInt64)},
		{"integer_64_bits", device.NumberValue(-(1 << 53))},
		{"bitmask", device.NumberValue(0x80000000)},
		{"boolean", device.NumberValue(0)},
		{"menu", device.NumberValue(4)},
		{"integer_menu", device.NumberValue(5)},
		{"string", device.TextValue("abc")},
	} {
		before := labControls(t, cam)
		c, ok := before[tt.id]
		if !ok {
			t.Errorf("no control %s", tt.id)
			continue
		}
		list, err := cam.SetControls(t.Context(), map[string]device.ControlValue{tt.id: tt.value})
		if err != nil {
			t.Errorf("%s = %v (%v to %v): %v", tt.id, tt.value, c.Min, c.Max, err)
			continue
		}
		for _, now := range list {
			if now.ID == tt.id && now.Value != tt.value {
				t.Errorf("%s: got %v, want %v", tt.id, now.Value, tt.value)
			}
		}
	}
}

func TestLabAutomaticModeFreesItsValue(t *testing.T) {
	// vivid's gain is inactive, and volatile, while "Gain, Automatic" is on.
	d, f := labCamera(t, "vivid")
	cam := labOpen(t, d, f.Info.Path)
	set := func(auto, gain float64) map[string]device.Control {
		t.Helper()
		_, err := cam.SetControls(t.Context(), map[string]device.ControlValue{
			"gain": device.NumberValue(gain), "gain_automatic": device.NumberValue(auto),
		})
		if err != nil {
			t.Fatal(err)
		}
		return labControls(t, cam)
	}
	if c := set(0, 42)["gain"]; c.Inactive || c.Value.Number != 42 {
		t.Errorf("manual: got %+v", c)
	}
	if c := set(1, 43)["gain"]; !c.Inactive && !c.Volatile {
		t.Errorf("automatic: got %+v", c)
	}
}

func TestLabControlEventFromAnotherProcess(t *testing.T) {
	for _, driver := range labDrivers() {
		t.Run(driver, func(t *testing.T) {
			d, f := labCamera(t, driver)
			cam := labOpen(t, d, f.Info.Path)
			now := labControls(t, cam)["brightness"].Value.Number
			if _, err := cam.Start(t.Context(), device.Format{Width: 640, Height: 480}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			take := func() {
				t.Helper()
				if err := cam.Next(ctx, func(*device.Buffer) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			take()
			for drained := false; !drained; { // what came of opening
				select {
				case <-cam.ControlsChanged():
				default:
					drained = true
				}
			}
			value := "brightness=100"
			if now == 100 {
				value = "brightness=101"
			}
			if out, err := exec.CommandContext(ctx, "v4l2-ctl", "-d", f.Info.Path, "-c", value).CombinedOutput(); err != nil {
				t.Fatalf("v4l2-ctl: %v\n%s", err, out)
			}
			for told := false; !told; {
				take()
				select {
				case <-cam.ControlsChanged():
					told = true
				default:
				}
			}
			if got := labControls(t, cam)["brightness"].Value; "brightness="+got.String() != value {
				t.Errorf("brightness: got %v, want %s", got, value)
			}
		})
	}
}

func TestLabVividFailsOnRequest(t *testing.T) {
	d, f := labCamera(t, "vivid")
	for _, tt := range []struct {
		button string
		check  func(t *testing.T, cam *Camera)
	}{
		{"inject_vidioc_reqbufs_error", wantStartFailsOnce},
		{"inject_vidioc_streamon_error", wantStartFailsOnce},
		{"inject_v4l2_buf_flag_error", func(t *testing.T, cam *Camera) {
			t.Helper()
			for range 3 { // bad pictures are not lent while there are better ones
				if err := cam.Next(t.Context(), func(*device.Buffer) error { return nil }); err != nil {
					t.Errorf("Next: %v", err)
				}
			}
		}},
		{"inject_fatal_streaming_error", func(t *testing.T, cam *Camera) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var err error
			for err == nil {
				err = cam.Next(ctx, func(*device.Buffer) error { return nil })
			}
			if !errors.Is(err, device.ErrStalled) {
				t.Errorf("Next: got %v, want ErrStalled", err)
			}
			if err := cam.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if _, err := cam.Start(t.Context(), device.Format{Width: 640, Height: 480}); err != nil {
				t.Errorf("Start afterwards: %v", err)
			}
		}},
	} {
		t.Run(tt.button, func(t *testing.T) {
			cam := labOpen(t, d, f.Info.Path)
			fails := strings.Contains(tt.button, "vidioc")
			press := func() {
				t.Helper()
				if _, err := cam.SetControls(t.Context(), map[string]device.ControlValue{tt.button: device.NumberValue(1)}); err != nil {
					t.Fatal(err)
				}
			}
			if fails {
				press()
				tt.check(t, cam)
				return
			}
			if _, err := cam.Start(t.Context(), device.Format{Width: 640, Height: 480}); err != nil {
				t.Fatal(err)
			}
			press()
			tt.check(t, cam)
		})
	}
}

func wantStartFailsOnce(t *testing.T, cam *Camera) {
	t.Helper()
	if _, err := cam.Start(t.Context(), device.Format{}); err == nil {
		t.Error("Start succeeded, want an error")
	}
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Errorf("Start afterwards: %v", err)
	}
}
