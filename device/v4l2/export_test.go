package v4l2

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// lentDMABUF delivers a picture and asks for its descriptor, as often as times
// says.
func lentDMABUF(t *testing.T, cam *Camera, n *fakeNode, times int) (fd int, ok bool) {
	t.Helper()
	n.deliver(fakeFrame{data: jpegPicture})
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		for range times {
			fd, ok = b.DMABUF()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fd, ok
}

func count(d *fakeDevice, call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c == call {
			n++
		}
	}
	return n
}

func TestBuffersAreExportedOnceAndWhenAskedForOnly(t *testing.T) {
	d := webcam()
	cam, n := start(t, d)
	for range 5 {
		lentDMABUF(t, cam, n, 0)
	}
	if got := count(d, "expbuf"); got != 0 {
		t.Errorf("exported %d times, although nobody asked", got)
	}
	seen := map[int]bool{}
	for range 3 * wantBuffers {
		fd, ok := lentDMABUF(t, cam, n, 2)
		if !ok {
			t.Fatal("not exported")
		}
		seen[fd] = true
	}
	if got := count(d, "expbuf"); got != wantBuffers || len(seen) != wantBuffers || d.exported != wantBuffers {
		t.Errorf("exported %d times, %d descriptors, %d of them open, want %d", got, len(seen), d.exported, wantBuffers)
	}
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	if d.exported != 0 {
		t.Errorf("%d descriptors are open after Stop", d.exported)
	}
	closed := slices.Index(d.calls, "closeexport")
	if unmapped := slices.Index(d.calls, "munmap"); closed < 0 || closed > unmapped {
		t.Errorf("closed as call %d, unmapped as call %d", closed, unmapped)
	}
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := lentDMABUF(t, cam, n, 1); !ok {
		t.Error("not exported after the second start")
	}
}

func TestBuffersThatCannotBeExportedAreAskedOnce(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTTY, unix.EINVAL, unix.EMFILE} {
		d := webcam()
		d.broken = map[string]error{"expbuf": errno}
		cam, n := start(t, d)
		for range 3 * wantBuffers {
			if fd, ok := lentDMABUF(t, cam, n, 2); ok {
				t.Errorf("%v: exported as %d", errno, fd)
			}
		}
		if got := count(d, "expbuf"); got != wantBuffers {
			t.Errorf("%v: asked %d times, want once for each of %d buffers", errno, got, wantBuffers)
		}
	}
}

func TestHeldPicturesMayBeExportedUntilTheyAreReleased(t *testing.T) {
	d := webcam()
	cam, n := start(t, d)
	n.deliver(fakeFrame{data: jpegPicture})
	var kept device.Buffer
	var release func()
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		kept = *b
		release, _ = b.Hold()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := lentDMABUF(t, cam, n, 1)
	fd, ok := kept.DMABUF()
	if !ok || fd == other {
		t.Errorf("held picture: descriptor %d, %v, that of the next picture is %d", fd, ok, other)
	}
	done := make(chan error)
	go func() { done <- cam.Close() }()
	until(t, n.isOff)
	if d.exported != 2 {
		t.Errorf("%d descriptors are open while the picture is held, want 2", d.exported)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if fd, ok := kept.DMABUF(); ok {
		t.Errorf("exported as %d after Close", fd)
	}
}
