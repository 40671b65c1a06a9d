package v4l2

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// seen is what a test looks at in a lent buffer.
type seen struct {
	seq     uint32
	stale   int
	corrupt bool
	size    int
}

func next(cam *Camera) (s seen, err error) {
	err = cam.Next(context.Background(), func(b *device.Buffer) error {
		s = seen{b.DriverSeq, b.Stale, b.Corrupt, len(b.Data)}
		return nil
	})
	return s, err
}

func TestNextLendsNewestGoodPicture(t *testing.T) {
	good := func(seq uint32) fakeFrame { return fakeFrame{data: jpegPicture, seq: seq} }
	flagged := func(seq uint32) fakeFrame { return fakeFrame{data: jpegPicture, seq: seq, flags: bufFlagError} }
	empty := func(seq uint32) fakeFrame { return fakeFrame{seq: seq} }
	size := len(jpegPicture)
	for _, tt := range []struct {
		name   string
		frames []fakeFrame
		want   []seen // by one call each; after the first, a good frame 100, 101, … is delivered
	}{
		{"one", []fakeFrame{good(7)}, []seen{{7, 0, false, size}, {100, 0, false, size}}},
		{"several", []fakeFrame{good(1), good(2), good(3)}, []seen{{3, 2, false, size}}},
		{"all buffers", []fakeFrame{good(1), good(2), good(3), good(4)}, []seen{{4, 3, false, size}, {100, 0, false, size}}},
		{"gap", []fakeFrame{good(1), good(5)}, []seen{{5, 1, false, size}}},
		{"flagged alone", []fakeFrame{flagged(1)}, []seen{{1, 0, true, size}, {100, 0, false, size}}},
		{"flagged, then good", []fakeFrame{flagged(1), good(2)}, []seen{{2, 1, false, size}}},
		{"good, then flagged", []fakeFrame{good(1), flagged(2)}, []seen{{1, 0, false, size}, {100, 1, false, size}}},
		{"good, flagged, good", []fakeFrame{good(1), flagged(2), good(3)}, []seen{{3, 2, false, size}, {100, 0, false, size}}},
		{"only flagged", []fakeFrame{flagged(1), flagged(2)}, []seen{{2, 1, true, size}}},
		{"empty alone", []fakeFrame{empty(1)}, []seen{{1, 0, true, 0}}},
		{"empty, then good", []fakeFrame{empty(1), good(2)}, []seen{{2, 1, false, size}}},
		{"sequence wraps", []fakeFrame{good(1<<32 - 1), good(0)}, []seen{{0, 1, false, size}}},
		{"EIO, then good", []fakeFrame{{err: unix.EIO}, good(2)}, []seen{{2, 0, false, size}}},
		{"good, then EIO", []fakeFrame{good(2), {err: unix.EIO}}, []seen{{2, 0, false, size}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			n.deliver(tt.frames...)
			for i, want := range tt.want {
				if i > 0 {
					n.deliver(good(uint32(99 + i)))
				}
				if got, err := next(cam); err != nil || got != want {
					t.Errorf("Next %d: got %+v, %v, want %+v", i, got, err, want)
				}
			}
			if len(n.queued)+len(n.filled) != wantBuffers {
				t.Errorf("%d buffers queued of %d", len(n.queued)+len(n.filled), wantBuffers)
			}
		})
	}
}

func TestNextFlagsShortRawPicture(t *testing.T) {
	for _, tt := range []struct {
		cut     int
		corrupt bool
	}{{0, false}, {1, true}, {1000, true}} {
		d := webcam()
		d.formats = d.formats[:1] // YUYV
		cam, n := start(t, d)
		whole := picture(&n.fmt)
		n.deliver(fakeFrame{data: whole[tt.cut:]})
		if got, err := next(cam); err != nil || got.corrupt != tt.corrupt {
			t.Errorf("raw picture without %d bytes: got %+v, %v, want corrupt %v", tt.cut, got, err, tt.corrupt)
		}
	}
}

func TestNextReturnsErrUnpluggedWhenCameraIsPulled(t *testing.T) {
	for _, tt := range []struct {
		name string
		pull func(n *fakeNode)
	}{
		{"while polling", func(n *fakeNode) { n.unplug() }},
		{"DQBUF says ENODEV", func(n *fakeNode) { n.deliver(fakeFrame{err: unix.ENODEV}) }},
		{"DQBUF says ENXIO", func(n *fakeNode) { n.deliver(fakeFrame{err: unix.ENXIO}) }},
		{"EIO until the node goes", func(n *fakeNode) {
			for range 3 {
				n.deliver(fakeFrame{err: unix.EIO})
			}
			n.deliver(fakeFrame{err: unix.ENODEV})
		}},
		{"EPIPE of a node that is gone", func(n *fakeNode) {
			n.mu.Lock()
			n.broken = map[string]error{"querycap": unix.ENODEV}
			n.mu.Unlock()
			n.deliver(fakeFrame{err: unix.EPIPE})
		}},
		{"hang-up without an answer", func(n *fakeNode) {
			n.mu.Lock()
			n.events = unix.POLLHUP | unix.POLLERR
			n.mu.Unlock()
			n.changed()
		}},
		{"poll fails", func(n *fakeNode) {
			n.mu.Lock()
			n.broken = map[string]error{"poll": unix.ENODEV}
			n.mu.Unlock()
			n.wake()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			done := make(chan error)
			go func() {
				_, err := next(cam)
				done <- err
			}()
			tt.pull(n)
			if err := <-done; !errors.Is(err, device.ErrUnplugged) {
				t.Errorf("Next: got %v, want ErrUnplugged", err)
			}
			n.unplug()
			if err := cam.Stop(); err != nil || n.mapped != 0 {
				t.Errorf("Stop: got %v with %d mappings, want nil and none", err, n.mapped)
			}
		})
	}
}

func TestCloseReleasesUnpluggedCamera(t *testing.T) {
	cam, n := start(t, webcam())
	n.unplug()
	if err := cam.Close(); err != nil || !n.closed || n.mapped != 0 {
		t.Errorf("Close: got %v, closed %v, %d mappings", err, n.closed, n.mapped)
	}
}

func TestNextGivesUpAfterManyFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(n *fakeNode)
		errno  unix.Errno
	}{
		{"EIO", func(n *fakeNode) { n.broken, n.events = map[string]error{"dqbuf": unix.EIO}, unix.POLLERR }, unix.EIO},
		{"POLLERR only", func(n *fakeNode) { n.events = unix.POLLERR }, unix.EAGAIN},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			tt.damage(n)
			if _, err := next(cam); !errors.Is(err, device.ErrStalled) || !errors.Is(err, tt.errno) {
				t.Errorf("Next: got %v, want ErrStalled and %v", err, tt.errno)
			}
			n.mu.Lock()
			n.broken, n.events = nil, 0
			n.mu.Unlock()
			n.deliver(fakeFrame{data: jpegPicture, seq: 3})
			if got, err := next(cam); err != nil || got.seq != 3 {
				t.Errorf("Next afterwards: got %+v, %v", got, err)
			}
		})
	}
}

func TestNextPassesOnOtherFailures(t *testing.T) {
	for _, tt := range []struct {
		call  string
		errno unix.Errno
	}{
		{"poll", unix.ENOMEM}, {"dqbuf", unix.EINVAL}, {"qbuf", unix.EINVAL},
	} {
		cam, n := start(t, webcam())
		n.deliver(fakeFrame{data: jpegPicture})
		n.fail = map[string][]error{tt.call: {tt.errno}}
		_, err := next(cam)
		if op, ok := errors.AsType[*device.OpError](err); !ok || !errors.Is(err, tt.errno) || op.Kind != nil {
			t.Errorf("Next with %s failing: got %v, want %v", tt.call, err, tt.errno)
		}
	}
}

func TestNextRefusesBufferThatDoesNotExist(t *testing.T) {
	cam, n := start(t, webcam())
	n.deliver(fakeFrame{data: jpegPicture, index: 9})
	if _, err := next(cam); !errors.Is(err, errBadIndex) {
		t.Errorf("Next: got %v, want %v", err, errBadIndex)
	}
}

func TestNextIgnoresWakeThatIsOver(t *testing.T) {
	cam, n := start(t, webcam())
	n.wake()
	n.deliver(fakeFrame{data: jpegPicture, seq: 5})
	if got, err := next(cam); err != nil || got.seq != 5 {
		t.Errorf("Next: got %+v, %v", got, err)
	}
}

func TestNextGivesBufferBackWhenUseFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(*device.Buffer) error
	}{
		{"error", func(*device.Buffer) error { return errors.New("mine") }},
		{"panic", func(*device.Buffer) error { panic("mine") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			for range 2 * wantBuffers {
				n.deliver(fakeFrame{data: jpegPicture})
				func() {
					defer func() { _ = recover() }()
					if err := cam.Next(context.Background(), tt.use); err == nil {
						t.Error("Next returned nil")
					}
				}()
			}
			if len(n.queued) != wantBuffers {
				t.Errorf("%d buffers queued of %d", len(n.queued), wantBuffers)
			}
		})
	}
}

func TestNextConvertsTimeStamps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame fakeFrame
		age   time.Duration // 0: as received
		clock error
	}{
		{"monotonic", fakeFrame{stamp: time.Since(epoch) - time.Second}, time.Second, nil},
		{"hours old", fakeFrame{stamp: time.Since(epoch) - 30*time.Minute}, 30 * time.Minute, nil},
		{"future", fakeFrame{stamp: time.Since(epoch) + time.Hour}, 0, nil},
		{"copied clock", fakeFrame{stamp: time.Since(epoch) - time.Second, flags: 0x4000}, 0, nil},
		{"clock fails", fakeFrame{stamp: time.Since(epoch) - time.Second}, 0, unix.EINVAL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, n := start(t, webcam())
			n.fail = map[string][]error{"clock": {tt.clock}}
			tt.frame.data = jpegPicture
			n.deliver(tt.frame)
			err := cam.Next(context.Background(), func(b *device.Buffer) error {
				age := b.ReceivedAt.Sub(b.CapturedAt)
				if tt.age == 0 && age != 0 || age < tt.age || age > tt.age+30*time.Second {
					t.Errorf("captured %v before it was received, want %v", age, tt.age)
				}
				if b.CapturedAt.String() == b.CapturedAt.Round(0).String() {
					t.Error("CapturedAt has no monotonic reading")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLentDataCannotGrowIntoTheRestOfTheBuffer(t *testing.T) {
	cam, n := start(t, webcam())
	n.deliver(fakeFrame{data: jpegPicture})
	err := cam.Next(context.Background(), func(b *device.Buffer) error {
		if !bytes.Equal(b.Data, jpegPicture) || cap(b.Data) != len(b.Data) {
			t.Errorf("data % x with capacity %d", b.Data, cap(b.Data))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	d := webcam()
	d.instant = true
	cam, _ := start(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	use := func(*device.Buffer) error { return nil }
	allocs := testing.AllocsPerRun(1000, func() {
		if err := cam.Next(ctx, use); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per picture, want 0", allocs)
	}
}

// BenchmarkNext guards what a picture costs besides the kernel:
//
//	go test -run '^$' -bench Next -benchmem ./device/v4l2
func BenchmarkNext(b *testing.B) {
	d := webcam()
	d.instant = true
	cam, _ := start(b, d)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	use := func(*device.Buffer) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := cam.Next(ctx, use); err != nil {
			b.Fatal(err)
		}
	}
}
