package v4l2

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// answers takes a driver's answers from what the fuzzer says.
type answers struct{ data []byte }

func (a *answers) byte() byte {
	if len(a.data) == 0 {
		return 0
	}
	b := a.data[0]
	a.data = a.data[1:]
	return b
}

// number gives small, sensible and wild numbers.
func (a *answers) number() uint32 {
	b := a.byte()
	switch b % 4 {
	case 0:
		return uint32(b)
	case 1:
		return []uint32{160, 320, 480, 640, 720, 1280, 1920, 16384}[b/4%8]
	}
	var n [4]byte
	for i := range n {
		n[i] = a.byte()
	}
	return binary.LittleEndian.Uint32(n[:])
}

func (a *answers) fourcc() device.FourCC {
	known := []device.FourCC{device.MJPG, device.YUYV, device.NV12, device.YU12, device.GREY, device.RGB24}
	if b := a.byte(); b < 200 {
		return known[int(b)%len(known)]
	}
	return device.FourCC(a.number())
}

func (a *answers) size() sizeRange {
	if a.byte()%2 == 0 {
		return discreteSize(a.number(), a.number())
	}
	return sizeRange{minW: a.number(), minH: a.number(), maxW: a.number(), maxH: a.number(), stepW: a.number(), stepH: a.number()}
}

func (a *answers) interval() intervalRange {
	return intervalRange{
		min: fract{a.number(), a.number()}, max: fract{a.number(), a.number()}, step: fract{a.number(), a.number()}, discrete: a.byte()%2 == 0,
	}
}

// FuzzKernelAnswers has a driver that answers anything to every question. Modes,
// Start and the pictures stay within their bounds, nothing is read beyond a buffer,
// nothing hangs, and nothing stays open.
func FuzzKernelAnswers(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 2, 0, 1, 9, 1, 5, 2, 4, 4, 8, 4, 8, 4, 8, 0, 0, 0, 200, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{3, 0, 1, 2, 255, 3, 1, 1, 2, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 255, 255, 255, 127, 1, 1, 3, 7, 7, 7, 7, 0, 0, 1, 2, 3})
	f.Add([]byte{2, 1, 1, 2, 0, 9, 13, 1, 4, 120, 4, 120, 0, 2, 4, 60, 4, 60, 4, 60, 0, 0, 0, 3, 2, 16, 0, 0, 0, 0, 0, 0, 1, 5, 1, 1, 1, 1, 40, 41, 42})
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &answers{data: data}
		d := webcam()
		d.formats, d.sizes, d.intervals = nil, nil, nil
		for range a.byte() % 4 {
			d.formats = append(d.formats, formatDesc{fourcc: a.fourcc()})
		}
		for range a.byte() % 4 {
			d.sizes = append(d.sizes, a.size())
		}
		for range a.byte() % 4 {
			d.intervals = append(d.intervals, a.interval())
		}
		grants := a.byte()%4 == 0
		fixed := rawFormat{Width: a.number(), Height: a.number(), PixelFormat: uint32(a.fourcc()), BytesPerLine: a.number(), SizeImage: a.number() % (1 << 22)}
		d.grant = func(f *rawFormat) {
			if grants {
				w := *f
				w.Width, w.Height, w.PixelFormat, w.BytesPerLine, w.SizeImage = fixed.Width, fixed.Height, fixed.PixelFormat, fixed.BytesPerLine, fixed.SizeImage
				*f = w
			}
			f.SizeImage %= 1 << 24 // the fake has to allocate it
		}
		rate := fract{a.number(), a.number()}
		d.rates = func(want fract) fract {
			if a.byte()%2 == 0 {
				return want
			}
			return rate
		}
		d.buffers = uint32(a.byte() % 6)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		drv := newFake(t, map[string]*fakeDevice{"video0": d})
		cam, err := drv.Open(ctx, "/dev/video0")
		if err != nil {
			return
		}
		modes, err := cam.Modes(ctx)
		if err == nil && len(modes) > 4096 {
			t.Errorf("%d modes", len(modes))
		}
		for _, m := range modes {
			if m.Width < 1 || m.Height < 1 || len(m.Rates) > 1024 {
				t.Errorf("a mode of %dx%d with %d rates", m.Width, m.Height, len(m.Rates))
			}
		}
		granted, err := cam.Start(ctx, device.Format{})
		if err == nil {
			if granted.Width < 1 || granted.Height < 1 || granted.Width > device.MaxSide || granted.Height > device.MaxSide || granted.Stride < 0 {
				t.Errorf("granted %+v", granted)
			}
			pictures(ctx, t, a, d, cam, granted)
		}
		if err := cam.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if ctx.Err() != nil {
			t.Error("it hung")
		}
	})
}

// pictures has the driver deliver buffers with any index, length and flags.
func pictures(ctx context.Context, t *testing.T, a *answers, d *fakeDevice, cam device.Camera, granted device.Format) {
	t.Helper()
	for range 1 + a.byte()%6 {
		d.mu.Lock()
		n := d.owner
		d.mu.Unlock()
		if n == nil {
			return
		}
		frame := fakeFrame{data: make([]byte, a.number()%(1<<20)), flags: a.number() & 0x1fff, seq: a.number()}
		copy(frame.data, a.data)
		frame.stamp = time.Duration(a.number()) * time.Millisecond
		switch a.byte() % 8 {
		case 0:
			frame.err = []error{unix.EIO, unix.EAGAIN, unix.ENODEV, unix.EPIPE}[a.byte()%4]
		case 1:
			frame.index = a.number()
		}
		n.deliver(frame)
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		err := cam.Next(short, func(b *device.Buffer) error {
			sum := byte(0)
			for _, c := range b.Data { // faults where memory ends earlier than it says
				sum ^= c
			}
			if !granted.FourCC.Compressed() && !b.Corrupt && len(b.Data) == 0 {
				t.Error("an empty raw picture")
			}
			if b.Stale < 0 || b.CapturedAt.After(time.Now().Add(time.Second)) {
				t.Errorf("%d stale, taken at %v, read %d", b.Stale, b.CapturedAt, sum)
			}
			return nil
		})
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
}

// TestNextEndsInThePauseAfterAFailure has a driver that fails once and then says
// nothing more: the pause must not swallow the end of the context, nor Close.
func TestNextEndsInThePauseAfterAFailure(t *testing.T) {
	for _, name := range []string{"context", "close"} {
		t.Run(name, func(t *testing.T) {
			d := webcam()
			drv := newFake(t, map[string]*fakeDevice{"video0": d})
			cam, err := drv.Open(t.Context(), "/dev/video0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cam.Close() }()
			if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
				t.Fatal(err)
			}
			d.owner.deliver(fakeFrame{err: unix.EIO})
			ctx, cancel := context.WithTimeout(t.Context(), retryPause/4)
			defer cancel()
			want := context.DeadlineExceeded
			if name == "close" {
				ctx, want = t.Context(), device.ErrClosed
				timer := time.AfterFunc(retryPause/4, func() { _ = cam.Close() })
				defer timer.Stop()
			}
			ended := make(chan error, 1)
			go func() { ended <- cam.Next(ctx, func(*device.Buffer) error { return nil }) }()
			select {
			case err := <-ended:
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			case <-time.After(5 * time.Second):
				d.owner.deliver(fakeFrame{data: jpegPicture}) // so that the test can end
				t.Errorf("waits for ever, or until a picture comes: %v", <-ended)
			}
		})
	}
}
