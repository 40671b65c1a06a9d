package v4l2

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

func TestCameraKeepsContract(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fourcc device.FourCC
	}{
		{"jpeg", device.MJPG},
		{"raw", device.YUYV},
	} {
		t.Run(tt.name, func(t *testing.T) {
			devicetest.TestCameraWith(t, devicetest.Options{
				Open: func(t *testing.T) device.Camera {
					t.Helper()
					d := webcam()
					d.auto, d.formats = true, []formatDesc{{fourcc: tt.fourcc}}
					return mustOpen(t, d)
				},
				Stall: func(_ *testing.T, cam device.Camera) {
					n := cam.(*Camera).node.(*fakeNode)
					n.mu.Lock()
					n.auto = false
					n.mu.Unlock()
				},
				Timeout: 10 * time.Second,
			})
		})
	}
}

// mustOpen opens d as /dev/video0. The camera is closed at the end of the test,
// before it is checked that nothing stayed open.
func mustOpen(tb testing.TB, d *fakeDevice) *Camera {
	tb.Helper()
	cam, err := newFake(tb, map[string]*fakeDevice{"video0": d}).Open(context.Background(), "/dev/video0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cam.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return cam
}

// start opens and starts d and gives the handle to deliver frames through.
func start(tb testing.TB, d *fakeDevice) (*Camera, *fakeNode) {
	tb.Helper()
	cam := mustOpen(tb, d)
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		tb.Fatal(err)
	}
	return cam, cam.node.(*fakeNode)
}

func TestStartGrantsWhatTheDriverGranted(t *testing.T) {
	yuyv := func(f *rawFormat) {
		f.PixelFormat, f.Width, f.Height = uint32(device.YUYV), 640, 360
		f.BytesPerLine, f.SizeImage, f.Colorspace = 1536, 1536*360, colorspaceREC709
	}
	for _, tt := range []struct {
		name  string
		grant func(*rawFormat)
		want  device.Format
		got   device.Format
	}{
		{
			"defaults", nil,
			device.Format{},
			device.Format{FourCC: device.MJPG, Width: 1280, Height: 720, Rate: device.FPS(50)},
		},
		{
			"wanted format", nil,
			device.Format{FourCC: device.YUYV, Width: 600, Height: 500, Rate: device.FPS(90)},
			device.Format{
				FourCC: device.YUYV, Width: 640, Height: 480, Rate: device.FPS(100), Stride: 1280,
				Quantization: device.LimitedRange,
			},
		},
		{
			"format that is not offered", nil,
			device.Format{FourCC: device.NV12, Width: 640, Height: 480},
			device.Format{FourCC: device.MJPG, Width: 640, Height: 480, Rate: device.FPS(50)},
		},
		{
			"other format and size granted", yuyv,
			device.Format{FourCC: device.MJPG},
			device.Format{
				FourCC: device.YUYV, Width: 640, Height: 360, Rate: device.FPS(50), Stride: 1536,
				Quantization: device.LimitedRange, Matrix: device.BT709,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webcam()
			d.grant = tt.grant
			got, err := mustOpen(t, d).Start(context.Background(), tt.want)
			if err != nil || got != tt.got {
				t.Errorf("Start(%+v): got %+v, %v, want %+v", tt.want, got, err, tt.got)
			}
		})
	}
}

func TestStartRefusesUnusableGrant(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grant func(*rawFormat)
	}{
		{"H.264 instead of MJPG", func(f *rawFormat) { f.PixelFormat = 'H' | '2'<<8 | '6'<<16 | '4'<<24 }},
		{"no width", func(f *rawFormat) { f.Width = 0 }},
		{"too large", func(f *rawFormat) { f.Width, f.Height = 16384, 16384 }},
		{"more than a side may have", func(f *rawFormat) { f.Width = 1 << 31 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webcam()
			d.grant = tt.grant
			cam := mustOpen(t, d)
			if _, err := cam.Start(context.Background(), device.Format{}); !errors.Is(err, device.ErrUnsupported) {
				t.Errorf("Start: got %v, want ErrUnsupported", err)
			}
			d.grant = nil
			if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
				t.Errorf("Start afterwards: %v", err)
			}
		})
	}
}

func TestStartUndoesEverythingWhenACallFails(t *testing.T) {
	for _, call := range []string{
		"enumformat", "enumsize", "enuminterval", "sfmt", "gfmt", "sparm", "gparm",
		"reqbufs", "querybuf", "mmap", "qbuf", "streamon",
	} {
		for _, tt := range []struct {
			errno unix.Errno
			gone  bool // the node is gone when asked
			kind  error
		}{
			{unix.EBUSY, false, device.ErrBusy},
			{unix.ENODEV, false, device.ErrUnplugged},
			{unix.ENXIO, false, device.ErrUnplugged},
			{unix.EPIPE, true, device.ErrUnplugged},
			{unix.EIO, true, device.ErrUnplugged},
			{unix.EIO, false, nil},
			{unix.ENOMEM, false, nil},
			{unix.ENOSPC, false, nil},
		} {
			t.Run(call+" "+tt.errno.Error(), func(t *testing.T) {
				d := webcam()
				cam := mustOpen(t, d)
				n := cam.node.(*fakeNode)
				d.fail = map[string][]error{call: {tt.errno}}
				if call == "qbuf" || call == "mmap" || call == "querybuf" {
					d.fail[call] = []error{nil, nil, tt.errno} // in the middle
				}
				if tt.gone {
					d.broken = map[string]error{"querycap": unix.ENODEV}
				}
				_, err := cam.Start(context.Background(), device.Format{})
				if err == nil || !errors.Is(err, tt.errno) || (tt.kind != nil && !errors.Is(err, tt.kind)) {
					t.Errorf("Start: got %v, want %v of kind %v", err, tt.errno, tt.kind)
				}
				if op, ok := errors.AsType[*device.OpError](err); !ok || (tt.kind == nil && op.Kind != nil) {
					t.Errorf("Start: got %#v, want an OpError of kind %v", err, tt.kind)
				}
				if n.mapped != 0 || d.owner != nil || n.on {
					t.Errorf("left behind: %d mappings, buffers %v, streaming %v", n.mapped, d.owner != nil, n.on)
				}
				d.broken = nil
				if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
					t.Errorf("Start afterwards: %v", err)
				}
			})
		}
	}
}

func TestStartManagesWithoutFrameRates(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTTY, unix.EINVAL} {
		d := webcam()
		d.broken = map[string]error{"sparm": errno, "gparm": errno, "enuminterval": errno}
		got, err := mustOpen(t, d).Start(context.Background(), device.Format{})
		if want := (device.Format{FourCC: device.MJPG, Width: 1280, Height: 720}); err != nil || got != want {
			t.Errorf("Start without S_PARM (%v): got %v, %v, want %v", errno, got, err, want)
		}
	}
}

func TestStartTakesFewerBuffersDownToTwo(t *testing.T) {
	for _, buffers := range []uint32{1, 2, 3} {
		d := webcam()
		d.buffers = buffers
		_, err := mustOpen(t, d).Start(context.Background(), device.Format{})
		if ok := err == nil; ok != (buffers >= 2) {
			t.Errorf("Start with %d buffers: %v", buffers, err)
		}
	}
}

func TestStartTwiceFails(t *testing.T) {
	cam, _ := start(t, webcam())
	if _, err := cam.Start(context.Background(), device.Format{}); !errors.Is(err, errStarted) {
		t.Errorf("second Start: got %v, want %v", err, errStarted)
	}
}

func TestStartReportsBusyCamera(t *testing.T) {
	d := webcam()
	driver := newFake(t, map[string]*fakeDevice{"video0": d})
	for i, want := range []error{nil, device.ErrBusy} {
		cam, err := driver.Open(context.Background(), "/dev/video0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cam.Close() }()
		if _, err := cam.Start(context.Background(), device.Format{}); !errors.Is(err, want) {
			t.Errorf("Start by opener %d: got %v, want %v", i, err, want)
		}
	}
}

func TestCloseDuringUseReleasesAfterUse(t *testing.T) {
	d := webcam()
	cam, n := start(t, d)
	n.deliver(fakeFrame{data: jpegPicture})
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		if err := cam.Close(); err != nil {
			t.Errorf("Close inside use: %v", err)
		}
		if b.Data[0] != 0xff || n.closed {
			t.Error("the picture was taken away while it was lent")
		}
		return nil
	})
	if err != nil || !n.closed || n.mapped != 0 {
		t.Errorf("after Next (%v): closed %v, %d mappings, want a released camera", err, n.closed, n.mapped)
	}
	if err := cam.Next(context.Background(), nil); !errors.Is(err, device.ErrClosed) {
		t.Errorf("Next: got %v, want ErrClosed", err)
	}
}

func TestOverlappingCallsAreRefused(t *testing.T) {
	cam, n := start(t, webcam())
	n.deliver(fakeFrame{data: jpegPicture})
	err := cam.Next(context.Background(), func(*device.Buffer) error { return cam.Stop() })
	if !errors.Is(err, errOverlap) {
		t.Errorf("Stop inside use: got %v, want %v", err, errOverlap)
	}
}

func TestCloseReportsWhatWentWrongOnceAndReleases(t *testing.T) {
	d := webcam()
	cam, n := start(t, d)
	d.fail = map[string][]error{"streamoff": {unix.EIO}, "munmap": {unix.EINVAL}, "close": {unix.EIO}}
	if err := cam.Close(); !errors.Is(err, unix.EIO) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Close: got %v, want EIO and EINVAL", err)
	}
	if err := cam.Close(); err != nil || !n.closed || n.mapped != 0 {
		t.Errorf("second Close: got %v, closed %v, %d mappings", err, n.closed, n.mapped)
	}
}

func TestContextThatEndsLaterLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	cam, n := start(t, webcam())
	ctx, cancel := context.WithCancel(context.Background())
	n.deliver(fakeFrame{data: jpegPicture})
	if err := cam.Next(ctx, func(*device.Buffer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	cancel() // must not wake a closed node
	waitForGoroutines(t, before)
}

// waitForGoroutines waits until no more than want are left.
func waitForGoroutines(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for runtime.NumGoroutine() > want {
		select {
		case <-tick.C:
		case <-deadline:
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, want %d:\n%s", runtime.NumGoroutine(), want, buf[:runtime.Stack(buf, true)])
		}
	}
}
