//go:build lab

package v4l2

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// The tests in this file need real kernel drivers: they run in the virtual
// machine of device/lab, with vivid and a simulated USB camera, as root.

// labDrivers are the cameras that the machine must have.
func labDrivers() []string { return []string{"vivid", uvcDriver} }

func labCameras(t *testing.T) (*Driver, []Found) {
	t.Helper()
	d := New(Config{Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))})
	found, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var usable []Found
	have := map[string]bool{}
	for _, f := range found {
		t.Logf("%s: %s %q on %s, id %s, usable %v: %s, %d modes, err %v",
			f.Info.Path, f.Info.Driver, f.Info.Name, f.Info.Bus, f.Info.ID, f.Usable, f.Reason, len(f.Modes), f.Err)
		if f.Usable {
			usable = append(usable, f)
			have[f.Info.Driver] = true
		}
	}
	for _, driver := range labDrivers() {
		if !have[driver] {
			t.Errorf("no usable camera of driver %s", driver)
		}
	}
	return d, usable
}

func TestLabCamerasDeliver(t *testing.T) {
	d, cameras := labCameras(t)
	for _, f := range cameras {
		done := map[device.FourCC]bool{}
		for _, m := range f.Modes {
			if done[m.FourCC] || m.Width > 1280 || m.Width < 320 {
				continue
			}
			done[m.FourCC] = true
			want := device.Format{FourCC: m.FourCC, Width: m.Width, Height: m.Height, Rate: device.FPS(10)}
			t.Run(fmt.Sprintf("%s %s", f.Info.Driver, want), func(t *testing.T) { deliver(t, d, f.Info.Path, want) })
		}
	}
}

func deliver(t *testing.T, d *Driver, path string, want device.Format) {
	t.Helper()
	cam, err := d.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cam.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	granted, err := cam.Start(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if granted.FourCC != want.FourCC || granted.Width != want.Width || granted.Height != want.Height {
		t.Errorf("got %v, want %v", granted, want)
	}
	if found, err := d.List(t.Context()); err != nil {
		t.Error(err)
	} else {
		for _, f := range found {
			if f.Info.Path == path && (!f.Usable || f.Reason != "camera, open in this program") {
				t.Errorf("our own camera is listed as usable %v, %q", f.Usable, f.Reason)
			}
		}
	}
	if found, err := New(Config{}).List(t.Context()); err != nil {
		t.Error(err)
	} else {
		for _, f := range found {
			if f.Info.Path == path && f.Reason != "in use by another program" {
				t.Errorf("another driver's camera is listed as usable %v, %q", f.Usable, f.Reason)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last device.Buffer
	var stale, lost, corrupt, size int
	began := time.Now()
	const frames = 30
	for i := range frames {
		err := cam.Next(ctx, func(b *device.Buffer) error {
			if i == 0 {
				began = time.Now()
			} else {
				if b.DriverSeq <= last.DriverSeq {
					t.Errorf("sequence %d after %d", b.DriverSeq, last.DriverSeq)
				}
				lost += int(b.DriverSeq-last.DriverSeq) - 1 - b.Stale
			}
			if age := b.ReceivedAt.Sub(b.CapturedAt); age < 0 || age > 5*time.Second {
				t.Errorf("captured %v before it was received", age)
			}
			if whole := pictureBytes(granted); !b.Corrupt && len(b.Data) < whole {
				t.Errorf("%d bytes, want at least %d", len(b.Data), whole)
			}
			if granted.FourCC.Compressed() && !b.Corrupt && (b.Data[0] != 0xff || b.Data[1] != 0xd8) {
				t.Errorf("JPEG begins with % x", b.Data[:2])
			}
			stale += b.Stale
			if b.Corrupt {
				corrupt++
			}
			size = len(b.Data)
			last = *b
			return nil
		})
		if err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
	}
	t.Logf("granted %+v: %.1f fps, %d bytes, %d stale, %d lost, %d corrupt",
		granted, (frames-1)/time.Since(began).Seconds(), size, stale, lost, corrupt)
}

func TestLabCamerasKeepContract(t *testing.T) {
	d, cameras := labCameras(t)
	tried := map[string]bool{}
	for _, f := range cameras {
		if tried[f.Info.Driver] {
			continue
		}
		tried[f.Info.Driver] = true
		t.Run(f.Info.Driver, func(t *testing.T) {
			devicetest.TestCamera(t, func(t *testing.T) device.Camera {
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

// TestLabBothEnumerationsAgree holds go4vl's answers against the plain ioctls.
// Without cgo they are the same.
func TestLabBothEnumerationsAgree(t *testing.T) {
	_, cameras := labCameras(t)
	for _, f := range cameras {
		n, err := system{}.open(f.Info.Path)
		if err != nil {
			t.Fatal(err)
		}
		through, plain := n, plainNode{n.(*fdNode)}
		formats, err := listFormats(through)
		if err != nil {
			t.Fatal(err)
		}
		again, err := listFormats(plain)
		if err != nil || !reflect.DeepEqual(formats, again) {
			t.Errorf("%s: formats %v, by plain ioctls %v, %v", f.Info.Driver, formats, again, err)
		}
		want, err := listModes(t.Context(), plain, formats, device.Format{})
		if err != nil || !reflect.DeepEqual(f.Modes, want) {
			t.Errorf("%s: modes %v, by plain ioctls %v, %v", f.Info.Driver, f.Modes, want, err)
		}
		a, errA := through.queryCap()
		b, errB := plain.queryCap()
		if a != b || errA != nil || errB != nil {
			t.Errorf("%s: capabilities %v, %v, by plain ioctls %v, %v", f.Info.Driver, a, errA, b, errB)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}
}

// plainNode asks without go4vl.
type plainNode struct{ *fdNode }

func (n plainNode) queryCap() (capability, error)           { return n.queryCapIoctl() }
func (n plainNode) enumFormat(i uint32) (formatDesc, error) { return n.enumFormatIoctl(i) }
func (n plainNode) enumSize(i uint32, f device.FourCC) (sizeRange, error) {
	return n.enumSizeIoctl(i, f)
}

func (n plainNode) enumInterval(i uint32, f device.FourCC, w, h uint32) (intervalRange, error) {
	return n.enumIntervalIoctl(i, f, w, h)
}
