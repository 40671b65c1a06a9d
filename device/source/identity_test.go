package source

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// world is a computer whose cameras come and go.
type world struct {
	*testing.T
	kernel *devicetest.Kernel
	drv    *v4l2.Driver
	log    bytes.Buffer
	logger *slog.Logger
}

func newWorld(t *testing.T) *world {
	t.Helper()
	withoutPrograms(t)
	return newWorldHere(t)
}

// newWorldHere is newWorld in a bubble, where the environment cannot be set.
func newWorldHere(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, kernel: devicetest.NewKernel(t)}
	w.drv = v4l2.New(v4l2.Config{Root: w.kernel.Root, Nodes: w.kernel.Open})
	w.logger = slog.New(slog.NewTextHandler(&w.log, nil))
	return w
}

// webcam is a USB camera; without a port its only name is its node.
func webcam(nr, card, port string) devicetest.VideoNode {
	const capture, streaming = 1, 0x04000000
	return devicetest.VideoNode{
		Path: "/dev/video" + nr, Name: card, Driver: "uvcvideo", Card: card, Bus: port, Camera: true,
		Capabilities: capture | streaming, DeviceCaps: capture | streaming, Formats: []device.FourCC{device.MJPG},
	}
}

func (w *world) parse(spec string) *Source {
	w.Helper()
	s, err := Parse(spec, Options{}, w.drv, w.logger)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// open opens a source and gives where its camera is plugged in, or its driver.
func (w *world) open(s *Source) (cam device.Camera, port string) {
	w.Helper()
	cam, err := s.Open(w.Context())
	if err != nil {
		w.Fatalf("open %s: %v", s.Name, err)
	}
	w.Cleanup(func() { _ = cam.Close() })
	if info := cam.Info(); info.Driver == "uvcvideo" {
		return cam, info.Name + " at " + info.Bus
	}
	return cam, cam.Info().Driver
}

// expect opens a source for a moment.
func (w *world) expect(when string, s *Source, want string) {
	w.Helper()
	cam, got := w.open(s)
	if got != want {
		w.Errorf("%s: %s opened %q, want %q", when, s.Name, got, want)
	}
	if err := cam.Close(); err != nil {
		w.Error(err)
	}
}

func (w *world) expectError(when string, s *Source, kind error) {
	w.Helper()
	cam, err := s.Open(w.Context())
	if !errors.Is(err, kind) {
		w.Errorf("%s: %s: got %v, want %v", when, s.Name, err, kind)
	}
	if err == nil {
		_ = cam.Close()
	}
}

func TestNumberSticksToItsCamera(t *testing.T) {
	for _, spec := range []string{"0", "/dev/video0", "/dev//video0:640x480"} {
		for _, links := range []bool{true, false} {
			w := newWorld(t)
			link := func(node string) {
				if links {
					w.kernel.Link(node, "dev/v4l/by-id/usb-A-video-index0")
				}
			}
			s := w.parse(spec)
			w.expectError("without any", s, device.ErrNotFound)
			w.kernel.Plug(webcam("0", "A", "usb-1"))
			link("../../video0")
			w.expect("first", s, "A at usb-1")

			w.kernel.Unplug("/dev/video0")
			link("")
			w.kernel.Plug(webcam("0", "B", "usb-2"))
			w.expectError("another one has its number", s, device.ErrNotFound)

			w.kernel.Plug(webcam("1", "A", "usb-1"))
			link("../../video1")
			w.expect("back under another number", s, "A at usb-1")

			w.kernel.Unplug("/dev/video0")
			w.kernel.Unplug("/dev/video1")
			link("")
			w.kernel.Plug(webcam("3", "A", "usb-7"))
			if !links {
				w.expectError("at another port, where nobody gives names", s, device.ErrNotFound)
				continue
			}
			link("../../video3")
			w.expect("at another port", s, "A at usb-7")
		}
	}
}

func TestPathThatIsNoNumberIsFollowedEachTime(t *testing.T) {
	w := newWorld(t)
	w.kernel.Plug(webcam("0", "A", "usb-1"))
	w.kernel.Plug(webcam("1", "B", "usb-2"))
	w.kernel.Link("../../video0", "dev/v4l/by-path/port-video-index0")
	w.kernel.Link("video0", "dev/front-door")
	for _, spec := range []string{"/dev/v4l/by-path/port-video-index0", "/dev/front-door"} {
		s := w.parse(spec)
		w.expect("first", s, "A at usb-1")
		w.kernel.Link("../../video1", "dev/v4l/by-path/port-video-index0")
		w.kernel.Link("video1", "dev/front-door")
		w.expect("led elsewhere", s, "B at usb-2")
		w.kernel.Link("../../video0", "dev/v4l/by-path/port-video-index0")
		w.kernel.Link("video0", "dev/front-door")
	}
}

func TestCameraWithoutAStableNameIsKnownByWhatItIs(t *testing.T) {
	w := newWorld(t)
	w.kernel.Plug(webcam("0", "A", ""))
	s := w.parse("/dev/video0")
	w.expect("first", s, "A at ")
	w.kernel.Plug(webcam("0", "B", ""))
	w.expectError("another one has its node", s, device.ErrNotFound)
	if _, err := s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "there is another camera now") {
		t.Errorf("got %v", err)
	}
	w.kernel.Plug(webcam("4", "A", ""))
	w.expect("at another node, the only one of its kind", s, "A at ")
	w.kernel.Unplug("/dev/video4")
	w.kernel.Plug(webcam("5", "A", ""))
	w.kernel.Plug(webcam("6", "A", ""))
	w.expectError("two of its kind", s, device.ErrNotFound)
}

// TestTwinsWithoutSerialNumbersAreNotMixedUp has two cameras that fight for one
// name in by-id, which goes to the one plugged in last.
func TestTwinsWithoutSerialNumbersAreNotMixedUp(t *testing.T) {
	w := newWorld(t)
	const byID = "dev/v4l/by-id/usb-Twin-video-index0"
	w.kernel.Plug(webcam("0", "Twin", "usb-1"))
	w.kernel.Link("../../video0", byID)
	w.kernel.Link("../../video0", "dev/v4l/by-path/port1-video-index0")
	left := w.parse("0")
	w.expect("alone", left, "Twin at usb-1")

	w.kernel.Plug(webcam("1", "Twin", "usb-2"))
	w.kernel.Link("../../video1", byID)
	w.kernel.Link("../../video1", "dev/v4l/by-path/port2-video-index0")
	right := w.parse("1")
	w.expect("second", right, "Twin at usb-2")
	w.expect("first, whose name is the other's now", left, "Twin at usb-1")
	w.expect("first again", left, "Twin at usb-1")

	w.kernel.Unplug("/dev/video0")
	w.kernel.Link("", "dev/v4l/by-path/port1-video-index0")
	w.expectError("first is gone", left, device.ErrNotFound)
	w.expect("second is not", right, "Twin at usb-2")
}

func TestAutoWaitsForItsCameraAndTakesAnotherThen(t *testing.T) {
	withoutPrograms(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldHere(t)
		s := w.parse("auto")
		w.expect("without any", s, "testsrc")
		w.kernel.Plug(webcam("0", "A", "usb-1"))
		if !s.Better(t.Context()) {
			t.Error("a real camera is not better")
		}
		w.kernel.Plug(webcam("1", "B", "usb-2"))
		w.expect("first", s, "A at usb-1")

		w.kernel.Unplug("/dev/video0")
		w.expectError("just gone", s, device.ErrNotFound)
		<-time.After(patience - time.Millisecond)
		w.expectError("gone for almost as long as it waits", s, device.ErrNotFound)
		w.kernel.Plug(webcam("9", "A", "usb-1"))
		w.expect("back in time", s, "A at usb-1")

		w.kernel.Unplug("/dev/video9")
		w.expectError("gone again", s, device.ErrNotFound)
		<-time.After(patience)
		w.expect("gone for long", s, "B at usb-2")
		if !strings.Contains(w.log.String(), "another camera is used") {
			t.Errorf("log says %s", w.log.String())
		}
		w.kernel.Plug(webcam("0", "A", "usb-1"))
		w.expect("the old one is back", s, "B at usb-2")

		w.kernel.Unplug("/dev/video0")
		w.kernel.Unplug("/dev/video1")
		w.expectError("all are gone", s, device.ErrNotFound)
		<-time.After(patience)
		w.expectError("all are gone for long", s, device.ErrNotFound)
	})
}

func TestSourcesNeverTakeEachOthersCamera(t *testing.T) {
	w := newWorld(t)
	w.kernel.Plug(webcam("0", "A", "usb-1"))
	w.kernel.Plug(webcam("1", "B", "usb-2"))
	one, two := w.parse("0"), w.parse("/dev/video1")
	a, gotA := w.open(one)
	b, gotB := w.open(two)
	if gotA != "A at usb-1" || gotB != "B at usb-2" {
		t.Fatalf("opened %s and %s", gotA, gotB)
	}
	w.expectError("the same number again", w.parse("0"), device.ErrBusy)
	third := w.parse("auto")
	w.expect("both are taken", third, "testsrc")
	if third.Better(t.Context()) {
		t.Error("cameras of other sources are called better")
	}
	_, _ = a.Close(), b.Close()

	// Both come back in the other order.
	w.kernel.Unplug("/dev/video0")
	w.kernel.Unplug("/dev/video1")
	w.kernel.Plug(webcam("0", "B", "usb-2"))
	w.expectError("only the other one is there", one, device.ErrNotFound)
	w.kernel.Plug(webcam("1", "A", "usb-1"))
	w.expect("numbers were swapped", one, "A at usb-1")
	w.expect("numbers were swapped", two, "B at usb-2")
	if a, _ := w.open(third); a.Info().Name != "B" {
		t.Errorf("auto took %+v", a.Info())
	}
	w.expectError("auto has it", two, device.ErrBusy)
	w.expect("auto has the other one", one, "A at usb-1")
}

// TestSourcesThatOpenAtOnceShareNothing is for the race between looking and
// opening.
func TestSourcesThatOpenAtOnceShareNothing(t *testing.T) {
	w := newWorld(t)
	w.kernel.Plug(webcam("0", "A", "usb-1"))
	w.kernel.Plug(webcam("1", "B", "usb-2"))
	for round := range 20 {
		var wg sync.WaitGroup
		opened := make(chan device.Camera, 3)
		for range 3 {
			s := w.parse("auto")
			wg.Go(func() {
				if cam, err := s.Open(context.Background()); err == nil { // else both were just taken
					opened <- cam
				}
			})
		}
		wg.Wait()
		close(opened)
		had := map[string]bool{}
		for cam := range opened {
			if info := cam.Info(); !info.Synthetic && had[info.Path] {
				t.Errorf("round %d: %s was opened twice", round, info.Path)
			}
			had[cam.Info().Path] = true
			if err := cam.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
