package source

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// parse parses on a machine without cameras, and returns what was logged.
func parse(t *testing.T, spec string, opt Options) (*Source, string, error) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s, err := Parse(spec, opt, v4l2.New(v4l2.Config{Root: root, Logger: logger}), logger)
	return s, log.String(), err
}

// withoutPrograms hides rpicam-vid and all others.
func withoutPrograms(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", t.TempDir())
}

func TestSourcesThatCannotBeAreRefusedWithWhatThereIs(t *testing.T) {
	for spec, want := range map[string]string{
		"banana": `unknown source "banana": use auto, test`, "": `unknown source ""`, "-i": `unknown source "-i"`,
		"test:": "WIDTHxHEIGHT", "test:1280": "WIDTHxHEIGHT", "test:0x0": "16 to", "test:640x480@0": "0.1 to 1000",
		"/dev/video0:1x1": "16 to", "99999999999999999999": "webgear probe",
	} {
		if _, _, err := parse(t, spec, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", spec, err, want)
		}
	}
	if _, _, err := parse(t, "test", Options{API: "opencv"}); err == nil || !strings.Contains(err.Error(), "camgear, pigear or ffgear") {
		t.Errorf("unknown api: %v", err)
	}
}

func TestSizeMayFollowACameraAndWins(t *testing.T) {
	want := device.Format{Width: 320, Height: 240, Rate: device.FPS(5)}
	for _, spec := range []string{"/dev/video0:1920x1080@60", "0:1920x1080@60", "auto:1920x1080@60", "test:1920x1080@60", "csi:0:1920x1080@60", "/dev/v4l/by-path/platform-usb-0:1.2:1.0-video-index0:1920x1080@60"} {
		s, _, err := parse(t, spec, Options{Want: want})
		if err != nil || s.Want.Width != 1920 || s.Want.Height != 1080 || s.Want.Rate != device.FPS(60) {
			t.Errorf("%s: got %+v, %v", spec, s, err)
		}
	}
	s, _, err := parse(t, "/dev/v4l/by-path/platform-usb-0:1.2:1.0-video-index0", Options{Want: want})
	if err != nil || s.Want != want {
		t.Errorf("a path with colons: got %+v, %v", s, err)
	}
}

func TestKindsOfSources(t *testing.T) {
	withoutPrograms(t)
	dir := t.TempDir()
	picture := filepath.Join(dir, "1.jpg")
	clip := filepath.Join(dir, "clip.mp4")
	for _, path := range []string{picture, clip} {
		if err := os.WriteFile(path, devicetest.JPEG(1, 64, 48), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		spec    string
		opt     Options
		hotplug bool
		demand  bool
		opens   string // the driver, or empty
		fails   error  // or why it does not open
	}{
		{spec: "auto", hotplug: true, demand: true, opens: "testsrc"},
		{spec: "test", demand: true, opens: "testsrc"},
		{spec: dir, opens: "testsrc"},
		{spec: picture, opens: "testsrc"},
		{spec: "0", hotplug: true, demand: true, fails: device.ErrNotFound},
		{spec: "/dev/video0", hotplug: true, demand: true, fails: device.ErrNotFound},
		{spec: filepath.Join(dir, "none.mjpeg"), fails: device.ErrNotFound},
		{spec: filepath.Join(dir, "none.mp4"), fails: device.ErrNotFound},
		{spec: "http://127.0.0.1:1/video", demand: true, fails: device.ErrDisconnected},
		{spec: "csi", demand: true, fails: device.ErrNotInstalled},
		{spec: "http://127.0.0.1:1/a.MP4?x=1", fails: device.ErrDisconnected},
		{spec: "rtsp://127.0.0.1:1/x", demand: true, fails: device.ErrNotInstalled},
		{spec: "bus:usb-1", hotplug: true, demand: true, fails: device.ErrNotFound},
		{spec: "videotestsrc ! appsink", fails: device.ErrNotInstalled},
		{spec: "0", demand: true, opt: Options{API: PiGear}, fails: device.ErrNotInstalled},
	} {
		s, _, err := parse(t, tt.spec, tt.opt)
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
			continue
		}
		if s.Hotplug != tt.hotplug || s.OnDemand != tt.demand || s.Auto != (tt.spec == "auto") || (s.Better != nil) != s.Auto {
			t.Errorf("%s: got %+v", tt.spec, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		cam, err := s.Open(ctx)
		if err == nil {
			if _, serr := cam.Start(ctx, s.Want); serr != nil {
				err = serr
			}
			if got := cam.Info().Driver; tt.fails == nil && got != tt.opens {
				t.Errorf("%s: driver %q, want %q", tt.spec, got, tt.opens)
			}
			_ = cam.Close()
		}
		cancel()
		if tt.fails != nil && !errors.Is(err, tt.fails) || tt.fails == nil && err != nil {
			t.Errorf("%s: got %v, want %v", tt.spec, err, tt.fails)
		}
	}
}

func TestSourceIsNamedAsItIs(t *testing.T) {
	for _, tt := range []struct {
		spec string
		opt  Options
		want string
	}{
		{"auto", Options{}, "auto"},
		{"auto", Options{API: PiGear, CameraNum: 1}, "csi:1"},
		{"rtsp://me:secret@host/x", Options{}, "rtsp://me:xxxxx@host/x"},
		{"/dev/video0:640x480", Options{}, "/dev/video0:640x480"},
	} {
		s, _, err := parse(t, tt.spec, tt.opt)
		if err != nil || s.Name != tt.want {
			t.Errorf("%s: got %+v, %v, want %s", tt.spec, s, err, tt.want)
		}
	}
}

func TestFilesAndFilmsHaveRemediesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	for _, spec := range []string{filepath.Join(dir, "none.mjpeg"), filepath.Join(dir, "none.mp4"), filepath.Join(dir, "none") + "/"} {
		s, _, err := parse(t, spec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Open(t.Context())
		if _, ok := errors.AsType[*device.OpError](err); !ok || !errors.Is(err, device.ErrNotFound) || Remedy(err) != fileRemedy || strings.Contains(err.Error(), fileRemedy) {
			t.Errorf("%s: got %v with the remedy %q", spec, err, Remedy(err))
		}
	}
	if got := Remedy(devicetest.NotFound("/dev/video0")); got != "" {
		t.Errorf("a camera that is not there has the remedy %q", got)
	}
	src := devicetest.NewFakeSource(devicetest.FakeOptions{})
	cam, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	film := filmCamera{cam}
	defer func() { _ = film.Close() }() // again, in the end
	if _, err := film.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	lost := &device.OpError{Op: "read", Path: "x", Kind: device.ErrDisconnected}
	if err := film.better(lost); !errors.Is(err, device.ErrDisconnected) || Remedy(err) != rangeRemedy || err.Error() != lost.Error() {
		t.Errorf("got %v with the remedy %q", err, Remedy(err))
	}
	if err := film.Close(); err != nil {
		t.Error(err)
	}
	if err := film.Next(t.Context(), nil); !errors.Is(err, device.ErrClosed) || Remedy(err) != "" {
		t.Errorf("got %v", err)
	}
}

// named is a camera that has a name of its own.
type named struct {
	device.Camera
	id string
}

func (n *named) Info() device.Info { return device.Info{Path: "/dev/video0", ID: n.id} }

// adjustable is a camera with controls.
type adjustable struct{ device.Camera }

func (adjustable) Controls(context.Context) ([]device.Control, error) { return nil, nil }

func (adjustable) SetControls(context.Context, map[string]device.ControlValue) ([]device.Control, error) {
	return nil, nil
}

func (adjustable) ControlsChanged() <-chan struct{} { return nil }

func TestDelayHidesNoControls(t *testing.T) {
	p := &parser{opt: Options{TimeDelay: time.Second}}
	if _, ok := p.late(adjustable{}).(device.Controller); !ok {
		t.Error("controls are gone")
	}
	if _, ok := p.late(&named{}).(device.Controller); ok {
		t.Error("controls came from nowhere")
	}
}

func TestRawDecidesAboutThePiCamera(t *testing.T) {
	usePi(t)
	for _, tt := range []struct {
		opt  Options
		want device.FourCC
	}{
		{Options{Raw: func() bool { return true }}, device.YU12},
		{Options{Raw: func() bool { return false }}, device.MJPG},
		{Options{Raw: func() bool { return false }, Codec: libcamera.CodecYUV420}, device.YU12},
	} {
		s, _, err := parse(t, "csi", tt.opt)
		if err != nil {
			t.Fatal(err)
		}
		cam, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if modes, err := cam.Modes(t.Context()); err != nil || modes[0].FourCC != tt.want {
			t.Errorf("%+v: got %v, %v", tt.opt, modes, err)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOptionKeysAreTakenOrDiscardedWithOneWarning(t *testing.T) {
	s, log, err := parse(t, "/dev/video0", Options{Keys: map[string]any{
		" CAP_PROP_FRAME_WIDTH ": 800, "CAP_PROP_FRAME_HEIGHT": 600.0, "CAP_PROP_FPS": uint64(15), "CAP_PROP_FOURCC": "YUYV",
	}})
	if want := (device.Format{FourCC: device.YUYV, Width: 800, Height: 600, Rate: device.FPS(15)}); err != nil || s.Want != want || log != "" {
		t.Errorf("got %+v, %v, logged %s", s, err, log)
	}
	for key, bad := range map[string]any{
		"CAP_PROP_FRAME_WIDTH": "wide", "CAP_PROP_FPS": -1, "CAP_PROP_FOURCC": "H264", "CAP_PROP_BRIGHTNESS": 3, "THREADED_QUEUE_MODE": "invalid",
		"THREAD_TIMEOUT": "wrong", "STREAM_RESOLUTION": 5, "STREAM_PARAMS": "invalid", "SMOOTHING_RADIUS": 1.5, "BORDER_SIZE": -1,
		"BORDER_TYPE": "pink", "CROP_N_ZOOM": "yes", "STABILIZER_MODE": "KALMAN", "im_wrong": true,
	} {
		_, log, err := parse(t, "/dev/video0", Options{Keys: map[string]any{key: bad}})
		if err != nil || strings.Count(log, "\n") != 1 || !strings.Contains(log, "key="+key) || !strings.Contains(log, "level=WARN") {
			t.Errorf("%s: %v, logged %q", key, err, log)
		}
	}
}

// usePi makes the fake rpicam-vid the only program there is.
func usePi(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "rpicam-vid"), "../libcamera/fakerpicam")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("PATH", bin)
}

func TestPiCameraIsFoundByAutoAndByName(t *testing.T) {
	usePi(t)
	for _, spec := range []string{"auto", "csi", "csi:0", "libcamera:0"} {
		s, _, err := parse(t, spec, Options{Want: device.Format{Width: 640, Height: 480}})
		if err != nil {
			t.Fatal(err)
		}
		cam, err := s.Open(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		granted, err := cam.Start(t.Context(), s.Want)
		if err != nil || granted.Width != 640 || cam.Info().Driver != "libcamera" {
			t.Errorf("%s: granted %v, %v, driver %s", spec, granted, err, cam.Info().Driver)
		}
		if err := cam.Next(t.Context(), func(b *device.Buffer) error {
			if len(b.Data) == 0 {
				t.Errorf("%s: empty picture", spec)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		if err := cam.Close(); err != nil {
			t.Errorf("%s: close: %v", spec, err)
		}
	}
}

func TestDelayIsWaitedAndEndsWithTheContextOrClose(t *testing.T) {
	s, _, err := parse(t, "test", Options{TimeDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cam, err := s.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cam.Close() }() // again, in the end
	started := make(chan error, 1)
	go func() {
		_, err := cam.Start(ctx, s.Want)
		started <- err
	}()
	cancel(cause)
	if err := <-started; !errors.Is(err, cause) {
		t.Errorf("context: got %v", err)
	}
	go func() {
		_, err := cam.Start(t.Context(), s.Want)
		started <- err
	}()
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	if err := <-started; !errors.Is(err, device.ErrClosed) {
		t.Errorf("close: got %v", err)
	}
}
