package v4l2

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

func TestNextPassesOnControlEvents(t *testing.T) {
	d := webcam()
	d.controls = everyControl()
	cam, n := start(t, d)
	if _, err := cam.Controls(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.tell(eventControl, 0x980900)
	n.tell(eventControl, 0x980900)
	n.tell(eventControl, 0x980932) // not listed, so not subscribed to
	if len(n.told) != 2 {
		t.Fatalf("%d events wait, want 2", len(n.told))
	}
	n.deliver(fakeFrame{data: jpegPicture})
	if _, err := next(cam); err != nil {
		t.Fatal(err)
	}
	<-cam.ControlsChanged()
	select {
	case <-cam.ControlsChanged():
		t.Error("a second signal, want one for changes close to each other")
	default:
	}
	done := make(chan error)
	go func() {
		_, err := next(cam)
		done <- err
	}()
	n.tell(eventControl, 0x980900)
	<-cam.ControlsChanged() // without a picture
	n.deliver(fakeFrame{data: jpegPicture})
	if err := <-done; err != nil {
		t.Errorf("Next: %v", err)
	}
}

func TestSourceChangeEndsNextUntilStop(t *testing.T) {
	cam, n := start(t, webcam())
	done := make(chan error)
	go func() {
		_, err := next(cam)
		done <- err
	}()
	n.tell(eventSourceChange, 0)
	for range 2 {
		if err := <-done; !errors.Is(err, ErrSourceChanged) {
			t.Errorf("Next: got %v, want ErrSourceChanged", err)
		}
		n.deliver(fakeFrame{data: jpegPicture}) // of the new source, in the old format
		go func() {
			_, err := next(cam)
			done <- err
		}()
	}
	if err := <-done; !errors.Is(err, ErrSourceChanged) {
		t.Errorf("Next: got %v, want ErrSourceChanged", err)
	}
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	n.deliver(fakeFrame{data: jpegPicture, seq: 3})
	if got, err := next(cam); err != nil || got.seq != 3 {
		t.Errorf("Next afterwards: got %+v, %v", got, err)
	}
}

func TestEventsFromBeforeStartAreForgotten(t *testing.T) {
	cam, n := start(t, webcam())
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	n.tell(eventSourceChange, 0)
	n.tell(eventEOS, 0)
	if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	n.deliver(fakeFrame{data: jpegPicture, seq: 3})
	if got, err := next(cam); err != nil || got.seq != 3 {
		t.Errorf("Next: got %+v, %v", got, err)
	}
}

func TestEndOfStreamComesAfterTheLastPicture(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(n *fakeNode)
	}{
		{"event", func(n *fakeNode) { n.tell(eventEOS, 0) }},
		{"event and EPIPE", func(n *fakeNode) { n.deliver(fakeFrame{err: unix.EPIPE}); n.tell(eventEOS, 0) }},
		{"last picture flagged", func(n *fakeNode) {
			n.deliver(fakeFrame{data: jpegPicture, seq: 2, flags: bufFlagLast}, fakeFrame{err: unix.EPIPE})
		}},
		{"mark without a picture", func(n *fakeNode) { n.deliver(fakeFrame{flags: bufFlagLast}) }},
		{"EPIPE alone", func(n *fakeNode) { n.deliver(fakeFrame{err: unix.EPIPE}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			n.deliver(fakeFrame{data: jpegPicture, seq: 1})
			tt.end(n)
			if got, err := next(cam); err != nil || got.corrupt || got.seq == 0 {
				t.Errorf("Next: got %+v, %v, want the picture", got, err)
			}
			for range 2 {
				if tt.name == "EPIPE alone" {
					n.deliver(fakeFrame{err: unix.EPIPE}) // as the kernel repeats it
				}
				_, err := next(cam)
				if !errors.Is(err, device.ErrStalled) || !errors.Is(err, ErrNoMore) || errors.Is(err, device.ErrEnded) {
					t.Errorf("Next at the end: got %v, want ErrStalled because of ErrNoMore", err)
				}
			}
			if err := cam.Stop(); err != nil {
				t.Fatal(err)
			}
			if _, err := cam.Start(context.Background(), device.Format{}); err != nil {
				t.Fatal(err)
			}
			n.mu.Lock()
			n.filled, n.errs, n.told = nil, nil, nil
			n.mu.Unlock()
			n.deliver(fakeFrame{data: jpegPicture, seq: 9})
			if got, err := next(cam); err != nil || got.seq != 9 {
				t.Errorf("Next after a new start: got %+v, %v", got, err)
			}
		})
	}
}

func TestEventsThatFailEndNext(t *testing.T) {
	for errno, kind := range map[unix.Errno]error{unix.ENODEV: device.ErrUnplugged, unix.EIO: nil} {
		cam, n := start(t, webcam())
		n.mu.Lock()
		n.broken = map[string]error{"dqevent": errno}
		n.events = unix.POLLPRI
		n.mu.Unlock()
		n.changed()
		_, err := next(cam)
		if op, ok := errors.AsType[*device.OpError](err); !ok || !errors.Is(err, errno) || !errors.Is(op.Kind, kind) {
			t.Errorf("Next with DQEVENT failing by %v: got %v, want kind %v", errno, err, kind)
		}
		n.mu.Lock()
		n.broken, n.events = nil, 0
		n.mu.Unlock()
	}
}

func TestDriversWithoutEventsWork(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTTY, unix.EINVAL, unix.EIO} {
		d := webcam()
		d.broken = map[string]error{"subscribe": errno, "dqevent": errno}
		cam, n := start(t, d)
		n.deliver(fakeFrame{data: jpegPicture, seq: 3})
		if got, err := next(cam); err != nil || got.seq != 3 {
			t.Errorf("Next without events (%v): got %+v, %v", errno, got, err)
		}
	}
}

// TestFailuresOfTheBus is the review of what DQBUF says when a cable is bad or
// pulled: each errno once, gone for good and over soon.
func TestFailuresOfTheBus(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.EPROTO, unix.ENODEV} {
		t.Run(errno.Error()+" once", func(t *testing.T) {
			cam, n := start(t, webcam())
			n.deliver(fakeFrame{err: errno})
			done := make(chan error)
			go func() {
				_, err := next(cam)
				done <- err
			}()
			if errno == unix.ENODEV {
				if err := <-done; !errors.Is(err, device.ErrUnplugged) || !errors.Is(err, errno) {
					t.Errorf("Next: got %v, want ErrUnplugged", err)
				}
				return
			}
			n.deliver(fakeFrame{data: jpegPicture, seq: 5})
			if err := <-done; err != nil {
				t.Errorf("Next: got %v, want the next picture", err)
			}
		})
		t.Run(errno.Error()+" until the node is gone", func(t *testing.T) {
			cam, n := start(t, webcam())
			n.deliver(fakeFrame{err: errno}, fakeFrame{err: errno}, fakeFrame{err: unix.ENODEV})
			if _, err := next(cam); !errors.Is(err, device.ErrUnplugged) {
				t.Errorf("Next: got %v, want ErrUnplugged", err)
			}
		})
		t.Run(errno.Error()+" for ever", func(t *testing.T) {
			cam, n := start(t, webcam())
			n.mu.Lock()
			n.broken, n.events = map[string]error{"dqbuf": errno}, unix.POLLERR
			n.mu.Unlock()
			want := device.ErrStalled
			if errno == unix.ENODEV {
				want = device.ErrUnplugged
			}
			if _, err := next(cam); !errors.Is(err, want) || !errors.Is(err, errno) {
				t.Errorf("Next: got %v, want %v", err, want)
			}
		})
	}
}

func TestNextDropsPicturesThatComeTooLate(t *testing.T) {
	at := func(seq uint32) fakeFrame {
		return fakeFrame{data: jpegPicture, seq: seq, stamp: 30*time.Minute + time.Duration(int32(seq))*time.Millisecond}
	}
	for _, tt := range []struct {
		name   string
		before []uint32 // lent by the first call
		then   []uint32
		want   seen // of the second call
	}{
		{"in order", []uint32{1}, []uint32{2}, seen{2, 0, false, len(jpegPicture)}},
		{"swapped, waiting together", []uint32{1}, []uint32{3, 2}, seen{3, 1, false, len(jpegPicture)}},
		{"swapped, the later one lent", []uint32{2}, []uint32{1, 3}, seen{3, 0, false, len(jpegPicture)}},
		{"wrapped and swapped", []uint32{1<<32 - 2}, []uint32{0, 1<<32 - 1}, seen{0, 1, false, len(jpegPicture)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			for _, seq := range tt.before {
				n.deliver(at(seq))
			}
			if _, err := next(cam); err != nil {
				t.Fatal(err)
			}
			for _, seq := range tt.then {
				n.deliver(at(seq))
			}
			if got, err := next(cam); err != nil || got != tt.want {
				t.Errorf("Next: got %+v, %v, want %+v", got, err, tt.want)
			}
			if len(n.queued) != wantBuffers {
				t.Errorf("%d buffers queued of %d", len(n.queued), wantBuffers)
			}
		})
	}
}

func TestNextBelievesTimeWhenACameraCountsNothing(t *testing.T) {
	cam, n := start(t, webcam())
	for range 3 {
		n.deliver(fakeFrame{data: jpegPicture, seq: 0})
		if _, err := next(cam); err != nil {
			t.Fatal(err)
		}
	}
}
