package m2m

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

func names(list []device.EncoderMaker) []string {
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

func TestFindOrdersEncodersAndPassesOverTheRest(t *testing.T) {
	other := func(driver, card string, change func(d *fakeDevice)) *fakeDevice {
		d := piImageEncoder()
		d.driver, d.card = driver, card
		change(d)
		return d
	}
	devices := map[string]*fakeDevice{
		"video31": piImageEncoder(),
		"video11": piVideoEncoder(),
		"video9":  other("mtk-jpeg", "mtk-jpeg-enc", func(*fakeDevice) {}),
		"video10": other(piDriver, "bcm2835-codec-decode", func(d *fakeDevice) {
			d.inputs, d.codecs = []device.FourCC{device.MJPG, fourccH264}, []device.FourCC{device.YU12}
		}),
		"video12": other(piDriver, "bcm2835-codec-isp", func(d *fakeDevice) { d.codecs = []device.FourCC{device.YU12, device.RGB24} }),
		"video0":  other("uvcvideo", "camera", func(d *fakeDevice) { d.caps = 1 | capStreaming }),
		"video2":  other("x", "no streaming", func(d *fakeDevice) { d.caps = capM2M }),
		"video3":  other("x", "one plane", func(d *fakeDevice) { d.caps = capM2M | capStreaming }),
		"video4":  other("x", "raw formats that nobody knows", func(d *fakeDevice) { d.inputs = []device.FourCC{fourccH264} }),
		"video5":  other("x", "H264 only", func(d *fakeDevice) { d.codecs = []device.FourCC{fourccH264} }),
		"video6":  other("x", "fails", func(d *fakeDevice) { d.broken = map[string]error{"querycap": unix.ENODEV} }),
		"video7":  other("x", "forbidden", func(d *fakeDevice) { d.broken = map[string]error{"open": unix.EACCES} }),
		"media0":  piImageEncoder(),
		"video":   piImageEncoder(),
		"video1x": piImageEncoder(),
	}
	list, err := rig(t, Config{}, devices).Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bcm2835-codec-encode_image on /dev/video31", "bcm2835-codec-encode on /dev/video11",
		"one plane on /dev/video3", "mtk-jpeg-enc on /dev/video9",
	}
	if got := names(list); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, m := range list {
		if !m.Hardware {
			t.Errorf("%s is no hardware", m.Name)
		}
	}
}

func TestFindLeavesCamerasAlone(t *testing.T) {
	camera := piImageEncoder()
	f := rig(t, Config{}, map[string]*fakeDevice{"video0": camera, "video31": piImageEncoder()})
	dir := filepath.Join(f.root, "sys/class/video4linux/video0/device")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../bus/usb/drivers/uvcvideo", filepath.Join(dir, "driver")); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Find(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("got %q, %v, want the encoder", names(list), err)
	}
	if len(camera.calls) > 0 {
		t.Errorf("the camera was asked: %v", camera.calls)
	}
}

func TestFindFailsWithTheDirectoryAndTheContext(t *testing.T) {
	f := rig(t, Config{}, map[string]*fakeDevice{"video31": piImageEncoder()})
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := f.Find(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	if _, err := New(Config{Root: t.TempDir()}).Find(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: got %v", err)
	}
}

func TestSystemRefusesWhatIsNoVideoNode(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "dev/video0"))
	if err := os.Symlink("/dev/null", filepath.Join(root, "dev/video1")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "dev/video2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := New(Config{Root: root}).Find(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("got %q, %v, want nothing", names(list), err)
	}
	for name, want := range map[string]error{"video0": unix.ENOTTY, "video1": unix.ENOTTY, "video2": unix.ENOTTY, "video3": unix.ENOENT} {
		if _, err := (system{}).open(filepath.Join(root, "dev", name)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

func TestAcceptsWhatCanBeEncoded(t *testing.T) {
	image, video := onOne(t, piImageEncoder()), onOne(t, piVideoEncoder())
	base := device.Format{FourCC: device.YU12, Width: 1280, Height: 720}
	for _, tt := range []struct {
		name         string
		edit         func(f *device.Format)
		image, video bool
	}{
		{"YU12", func(*device.Format) {}, true, true},
		{"NV12", func(f *device.Format) { f.FourCC = device.NV12 }, false, true},
		{"YUYV", func(f *device.Format) { f.FourCC = device.YUYV }, true, false},
		{"UYVY", func(f *device.Format) { f.FourCC = device.UYVY }, true, false},
		{"RGB", func(f *device.Format) { f.FourCC = device.RGB24 }, true, false},
		{"GREY", func(f *device.Format) { f.FourCC = device.GREY }, false, false},
		{"MJPG", func(f *device.Format) { f.FourCC = device.MJPG }, false, false},
		{"largest", func(f *device.Format) { f.Width, f.Height = 1920, 1920 }, true, true},
		{"too wide", func(f *device.Format) { f.Width = 1922 }, false, false},
		{"too high", func(f *device.Format) { f.Height = 1922 }, false, false},
		{"too small", func(f *device.Format) { f.Width = 30 }, false, false},
		{"odd width", func(f *device.Format) { f.Width = 639 }, false, false},
		{"odd height", func(f *device.Format) { f.Height = 479 }, false, false},
		{"odd height without shared rows", func(f *device.Format) { f.FourCC, f.Height = device.YUYV, 479 }, true, false},
		{"odd size in RGB", func(f *device.Format) { f.FourCC, f.Width, f.Height = device.RGB24, 639, 479 }, true, false},
		{"limited range", func(f *device.Format) { f.Quantization = device.LimitedRange }, true, true},
		{"BT.709", func(f *device.Format) { f.Matrix = device.BT709 }, false, false},
		{"RGB has no matrix", func(f *device.Format) { f.FourCC, f.Matrix = device.RGB24, device.BT709 }, true, false},
		{"short rows", func(f *device.Format) { f.Stride = 1279 }, false, false},
		{"long rows", func(f *device.Format) { f.Stride = 1536 }, true, true},
		{"absurd rows", func(f *device.Format) { f.Stride = 1 << 30 }, false, false},
	} {
		f := base
		tt.edit(&f)
		if got := image.Accepts(f); got != tt.image {
			t.Errorf("%s: image encoder accepts %v, want %v", tt.name, got, tt.image)
		}
		if got := video.Accepts(f); got != tt.video {
			t.Errorf("%s: video encoder accepts %v, want %v", tt.name, got, tt.video)
		}
		e, err := image.New(t.Context(), f, 80)
		switch {
		case err == nil && !tt.image:
			t.Errorf("%s: New made an encoder", tt.name)
		case err != nil && (tt.image || !errors.Is(err, device.ErrUnsupported)):
			t.Errorf("%s: New: got %v", tt.name, err)
		}
		if err == nil {
			e.Close()
		}
	}
}
