package v4l2

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// onBus is a webcam at a port.
func onBus(bus string) *fakeDevice {
	d := webcam()
	d.cap.bus = bus
	return d
}

func TestIDIsTheMostStableNameThereIs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bus   string
		links map[string]string
		index string
		want  string
	}{
		{"by-id", "usb-1", map[string]string{"by-id/usb-A-video-index0": "video0", "by-path/p-video-index0": "video0"}, "", "/dev/v4l/by-id/usb-A-video-index0"},
		{"by-path", "usb-1", map[string]string{"by-path/p-video-index0": "video0"}, "", "/dev/v4l/by-path/p-video-index0"},
		{"bus", "usb-1", nil, "", "bus:usb-1"},
		{"first node of a bus", "usb-1", nil, "0\n", "bus:usb-1"},
		{"second node of a bus", "usb-1", nil, "1\n", "bus:usb-1#1"},
		{"nothing", "", nil, "", "/dev/video0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			driver := newFake(t, map[string]*fakeDevice{"video0": onBus(tt.bus)})
			for link, node := range tt.links {
				symlink(t, driver.root, "../../"+node, "dev/v4l/"+link)
			}
			if tt.index != "" {
				writeFile(t, driver.root, "sys/class/video4linux/video0/index", tt.index)
			}
			found, err := driver.List(t.Context())
			if err != nil || found[0].Info.ID != tt.want {
				t.Errorf("List: got %q, %v, want %q", found[0].Info.ID, err, tt.want)
			}
			for _, path := range []string{"/dev/video0", tt.want} {
				cam, err := driver.Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				if got := cam.Info(); got.ID != tt.want {
					t.Errorf("Open(%s): ID %q, want %q", path, got.ID, tt.want)
				}
				if err := cam.Close(); err != nil {
					t.Error(err)
				}
			}
			if node, err := driver.Resolve(t.Context(), tt.want); node != "/dev/video0" || err != nil {
				t.Errorf("Resolve: got %q, %v", node, err)
			}
		})
	}
}

// TestCameraIsFoundUnderAnotherNumber pulls a camera out and plugs it in again,
// where its number is different and its old one is another camera's.
func TestCameraIsFoundUnderAnotherNumber(t *testing.T) {
	for _, links := range []bool{true, false} {
		devices := map[string]*fakeDevice{"video0": onBus("usb-1"), "video2": onBus("usb-2")}
		driver := newFake(t, devices)
		const link = "dev/v4l/by-id/usb-A-video-index0"
		if links {
			symlink(t, driver.root, "../../video0", link)
		}
		cam, err := driver.Open(t.Context(), "/dev/video0")
		if err != nil {
			t.Fatal(err)
		}
		id := cam.Info().ID
		_ = cam.Close()

		devices["video0"].cap.bus, devices["video2"].cap.bus = "usb-2", "usb-1"
		if links {
			if err := os.Remove(filepath.Join(driver.root, link)); err != nil {
				t.Fatal(err)
			}
			if _, err := driver.OpenID(t.Context(), id); !errors.Is(err, device.ErrNotFound) {
				t.Errorf("OpenID while it is away: got %v, want ErrNotFound", err)
			}
			symlink(t, driver.root, "../../video2", link)
		}
		cam, err = driver.OpenID(t.Context(), id)
		if err != nil {
			t.Fatalf("OpenID(%s): %v", id, err)
		}
		if got := cam.Info(); got.Path != "/dev/video2" || got.ID != id || got.Bus != "usb-1" {
			t.Errorf("OpenID(%s): got %+v, want the camera at /dev/video2", id, got)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestResolveSaysThatThereIsNoSuchCamera(t *testing.T) {
	driver := newFake(t, map[string]*fakeDevice{"video0": onBus("usb-1"), "video1": onBus("usb-3")})
	driver.kernel.(*fakeKernel).devices["video1"].cap.caps = meta
	symlink(t, driver.root, "/etc/passwd", "dev/v4l/by-id/out")
	symlink(t, driver.root, "loop", "dev/loop")
	for _, id := range []string{"bus:usb-2", "bus:usb-3", "bus:", "/dev/video7", "/dev/v4l/by-id/none", "/dev/v4l/by-id/out", "/dev/loop"} {
		if node, err := driver.Resolve(t.Context(), id); !errors.Is(err, device.ErrNotFound) {
			t.Errorf("Resolve(%s): got %q, %v, want ErrNotFound", id, node, err)
		}
		if _, err := driver.OpenID(t.Context(), id); !errors.Is(err, device.ErrNotFound) {
			t.Errorf("OpenID(%s): got %v, want ErrNotFound", id, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := driver.Resolve(ctx, "bus:usb-1"); !errors.Is(err, cause) {
		t.Errorf("Resolve: got %v, want %v", err, cause)
	}
	driver.kernel.(*fakeKernel).devices["video0"].fail = map[string][]error{"open": {unix.EACCES}}
	if _, err := driver.Resolve(t.Context(), "bus:usb-1"); !errors.Is(err, device.ErrNotFound) {
		t.Errorf("Resolve without permission: got %v, want ErrNotFound", err)
	}
}
