package v4l2

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// keep delivers a picture, takes it and holds it.
func keep(t *testing.T, cam *Camera, n *fakeNode) (data []byte, release func(), ok bool) {
	t.Helper()
	n.deliver(fakeFrame{data: jpegPicture})
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		if b.Hold != nil {
			release, ok = b.Hold()
		}
		data = b.Data
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return data, release, ok
}

func (n *fakeNode) isOff() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.on
}

func (n *fakeNode) countQueued() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queued)
}

func TestAllButTwoBuffersMayBeHeld(t *testing.T) {
	for _, tt := range []struct {
		buffers uint32
		want    int
	}{{2, 0}, {3, 1}, {4, 2}} {
		d := webcam()
		d.buffers = tt.buffers
		cam, n := start(t, d)
		var releases []func()
		for range 6 {
			if _, release, ok := keep(t, cam, n); ok {
				releases = append(releases, release)
			}
		}
		if len(releases) != tt.want || n.countQueued() != int(tt.buffers)-tt.want {
			t.Errorf("%d buffers: %d held and %d queued, want %d held", tt.buffers, len(releases), n.countQueued(), tt.want)
		}
		for _, r := range releases {
			r()
			r() // once is enough
		}
		if n.countQueued() != int(tt.buffers) {
			t.Errorf("%d buffers: %d queued in the end", tt.buffers, n.countQueued())
		}
		if _, release, ok := keep(t, cam, n); ok != (tt.want > 0) {
			t.Errorf("%d buffers: held again: %v", tt.buffers, ok)
		} else if ok {
			release()
		}
	}
}

func TestHoldWorksOnceAndOnlyDuringUse(t *testing.T) {
	cam, n := start(t, webcam())
	n.deliver(fakeFrame{data: jpegPicture})
	var hold func() (func(), bool)
	var release func()
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		hold = b.Hold
		var ok bool
		if release, ok = hold(); !ok {
			t.Error("not held")
		}
		if _, again := hold(); again {
			t.Error("held twice")
		}
		return errors.New("mine") // does not matter
	})
	if err == nil {
		t.Error("Next returned nil")
	}
	if _, ok := hold(); ok {
		t.Error("held after use")
	}
	release()
	if n.countQueued() != wantBuffers {
		t.Errorf("%d buffers queued of %d", n.countQueued(), wantBuffers)
	}
}

func TestStopWaitsForHeldPictures(t *testing.T) {
	cam, n := start(t, webcam())
	data, release, ok := keep(t, cam, n)
	if !ok {
		t.Fatal("not held")
	}
	done := make(chan error)
	go func() { done <- cam.Stop() }()
	until(t, n.isOff)
	if !bytes.Equal(data, jpegPicture) {
		t.Error("the picture was taken away while it was held")
	}
	select {
	case err := <-done:
		t.Errorf("Stop returned %v while a picture was held", err)
	default:
	}
	queued := n.countQueued()
	release()
	if err := <-done; err != nil || n.mapped != 0 {
		t.Errorf("Stop: got %v with %d mappings", err, n.mapped)
	}
	if n.countQueued() > queued {
		t.Error("the buffer was queued at a stopped camera")
	}
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		t.Errorf("Start afterwards: %v", err)
	}
}

func TestCloseWaitsForHeldPicturesAndStopsAtOnce(t *testing.T) {
	cam, n := start(t, webcam())
	data, release, _ := keep(t, cam, n)
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- cam.Close() }()
	}
	until(t, n.isOff)
	if !bytes.Equal(data, jpegPicture) {
		t.Error("the picture was taken away while it was held")
	}
	select {
	case err := <-done:
		t.Errorf("Close returned %v while a picture was held", err)
	default:
	}
	release()
	for range 2 {
		if err := <-done; err != nil || !n.closed || n.mapped != 0 {
			t.Errorf("Close: got %v, closed %v, %d mappings", err, n.closed, n.mapped)
		}
	}
}

func TestCloseDuringUseLeavesHeldPictureToItsHolder(t *testing.T) {
	cam, n := start(t, webcam())
	n.deliver(fakeFrame{data: jpegPicture})
	var release func()
	var data []byte
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		release, _ = b.Hold()
		data = b.Data
		return cam.Close()
	})
	if err != nil || n.closed || !bytes.Equal(data, jpegPicture) {
		t.Errorf("Next: %v, closed %v while the picture is held", err, n.closed)
	}
	release() // by the capturing goroutine itself
	if !n.closed || n.mapped != 0 {
		t.Errorf("closed %v, %d mappings after the release", n.closed, n.mapped)
	}
}

func TestUnpluggedWhileHeldKeepsThePicture(t *testing.T) {
	cam, n := start(t, webcam())
	data, release, _ := keep(t, cam, n)
	n.unplug()
	if _, err := next(cam); !errors.Is(err, device.ErrUnplugged) {
		t.Errorf("Next: got %v, want ErrUnplugged", err)
	}
	done := make(chan error)
	go func() { done <- cam.Close() }()
	if !bytes.Equal(data, jpegPicture) {
		t.Error("the picture was taken away")
	}
	release()
	if err := <-done; err != nil || !n.closed || n.mapped != 0 {
		t.Errorf("Close: got %v, closed %v, %d mappings", err, n.closed, n.mapped)
	}
}

func TestNextTellsThatAHeldBufferCouldNotBeGivenBack(t *testing.T) {
	for errno, told := range map[unix.Errno]bool{unix.EINVAL: true, unix.ENODEV: false} {
		d := webcam()
		cam, n := start(t, d)
		_, release, _ := keep(t, cam, n)
		d.mu.Lock()
		d.fail = map[string][]error{"qbuf": {errno}}
		d.mu.Unlock()
		release()
		n.deliver(fakeFrame{data: jpegPicture})
		if _, err := next(cam); errors.Is(err, errno) != told {
			t.Errorf("Next after %v: got %v, want it told: %v", errno, err, told)
		}
		if told {
			if _, err := next(cam); err != nil {
				t.Errorf("Next: told twice: %v", err)
			}
		}
	}
}

// TestHoldersRaceWithTheCamera is for the race detector: holders give back from
// their own goroutines while pictures, Stop and Start go on.
func TestHoldersRaceWithTheCamera(t *testing.T) {
	d := webcam()
	d.instant = true
	cam, n := start(t, d)
	var holders sync.WaitGroup
	held := 0
	for round := range 5 {
		if round > 0 {
			if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			err := cam.Next(t.Context(), func(b *device.Buffer) error {
				release, ok := b.Hold()
				if !ok {
					return nil
				}
				held++
				data := b.Data
				holders.Go(func() {
					defer release()
					if !bytes.Equal(data, jpegPicture) {
						t.Errorf("held picture is % x", data)
					}
				})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := cam.Stop(); err != nil {
			t.Fatal(err)
		}
		if n.mapped != 0 {
			t.Errorf("%d mappings after Stop", n.mapped)
		}
	}
	holders.Wait()
	if held == 0 {
		t.Error("nothing was held")
	}
}
