package devicetest

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func startedFake(t *testing.T, opt FakeOptions) *Fake {
	t.Helper()
	f := NewFake(opt)
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// next takes a picture and gives it with its data copied.
func next(ctx context.Context, f *Fake) (device.Buffer, error) {
	var got device.Buffer
	err := f.Next(ctx, func(b *device.Buffer) error {
		got = *b
		got.Data = bytes.Clone(b.Data)
		return nil
	})
	return got, err
}

func TestFakeDeliversWhatIsSent(t *testing.T) {
	f := startedFake(t, FakeOptions{})
	stamp := time.Now()
	whole := JPEG(7, 64, 48)
	for i, p := range []Picture{
		{Data: whole},
		{Data: Truncated(whole), Corrupt: true, CapturedAt: stamp},
		{Data: Garbage(1000), Lost: 3},
		{},
	} {
		if !f.SendPicture(p) {
			t.Fatalf("picture %d was lost", i)
		}
		got, err := next(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, p.Data) || got.Corrupt != p.Corrupt || !p.CapturedAt.IsZero() && got.CapturedAt != p.CapturedAt {
			t.Errorf("picture %d: got %d bytes, %+v", i, len(got.Data), got)
		}
		if want := []uint32{0, 1, 5, 6}[i]; got.DriverSeq != want {
			t.Errorf("picture %d: got DriverSeq %d, want %d", i, got.DriverSeq, want)
		}
	}
}

func TestFakeSkipsToNewestAndLosesWhatHasNoBuffer(t *testing.T) {
	f := startedFake(t, FakeOptions{Buffers: 3})
	for i, want := range []bool{true, true, true, false} {
		if got := f.Send(JPEG(uint32(i), 16, 16)); got != want {
			t.Errorf("Send of picture %d: got %v, want %v", i, got, want)
		}
	}
	got, err := next(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := JPEGNumber(got.Data); n != 2 || got.Stale != 2 || got.DriverSeq != 2 {
		t.Errorf("got number %d, Stale %d, DriverSeq %d, want 2, 2, 2", n, got.Stale, got.DriverSeq)
	}
	if want := (Counts{Starts: 1, Lent: 1, Stale: 2, Lost: 1}); f.Counts() != want {
		t.Errorf("got %+v, want %+v", f.Counts(), want)
	}
}

func TestFakePoisonsPicturesThatWereGivenBack(t *testing.T) {
	f := startedFake(t, FakeOptions{})
	f.Send([]byte{1, 2, 3})
	var kept []byte
	if err := f.Next(t.Context(), func(b *device.Buffer) error { kept = b.Data; return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []byte{Poison, Poison, Poison}; !bytes.Equal(kept, want) {
		t.Errorf("kept picture: got % x, want % x", kept, want)
	}
}

func TestFakeNoticesMisuse(t *testing.T) {
	f := startedFake(t, FakeOptions{})
	f.Send([]byte{1, 2, 3})
	if err := f.Next(t.Context(), func(b *device.Buffer) error {
		b.Data[0] = 9
		if _, err := next(t.Context(), f); err == nil {
			t.Error("Next inside of Next: got no error")
		}
		return nil
	}); err == nil {
		t.Error("Next after writing to the picture: got no error")
	}
	if _, err := f.Start(t.Context(), device.Format{}); err == nil {
		t.Error("second Start: got no error")
	}
	if got := f.Misuse(); len(got) != 3 {
		t.Errorf("got misuse %v, want three", got)
	}
}

func TestFakeFailures(t *testing.T) {
	mine := errors.New("mine")
	tests := []struct {
		name string
		do   func(f *Fake)
		want []error
		once bool
	}{
		{"unplug", (*Fake).Unplug, []error{device.ErrUnplugged, syscall.ENODEV}, false},
		{"input/output error", (*Fake).FailIO, []error{syscall.EIO}, true},
		{"any error", func(f *Fake) { f.Fail(mine) }, []error{mine}, true},
		{"close", func(f *Fake) { _ = f.Close() }, []error{device.ErrClosed}, false},
	}
	for _, tt := range tests {
		for _, blocked := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := startedFake(t, FakeOptions{})
					if !blocked {
						f.Send(JPEG(0, 16, 16)) // waits, but failures come first
						tt.do(f)
					}
					done := async(func() error { _, err := next(t.Context(), f); return err })
					synctest.Wait()
					if blocked {
						tt.do(f)
					}
					err := <-done
					for _, want := range tt.want {
						if !errors.Is(err, want) {
							t.Errorf("Next: got %v, want one matching %v", err, want)
						}
					}
					f.Send(JPEG(1, 16, 16))
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if _, err := next(ctx, f); (err == nil) != tt.once {
						t.Errorf("Next after the failure: got %v, want success %v", err, tt.once)
					}
				})
			})
		}
	}
}

func TestFakeSendWaitFollowsThePicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startedFake(t, FakeOptions{})
		first := async(func() error { return f.SendWait(t.Context(), Picture{Data: []byte{1}}) })
		synctest.Wait()
		second := async(func() error { return f.SendWait(t.Context(), Picture{Data: []byte{2}}) })
		synctest.Wait()
		if err := f.Next(t.Context(), func(*device.Buffer) error {
			synctest.Wait()
			select {
			case err := <-second:
				t.Errorf("SendWait returned %v while its picture was lent", err)
			default:
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-first; !errors.Is(err, ErrSkipped) {
			t.Errorf("SendWait of the older picture: got %v, want ErrSkipped", err)
		}
		if err := <-second; err != nil {
			t.Errorf("SendWait of the newer picture: got %v, want nil", err)
		}
		third := async(func() error { return f.SendWait(t.Context(), Picture{}) })
		synctest.Wait()
		if err := f.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := <-third; !errors.Is(err, ErrSkipped) {
			t.Errorf("SendWait of a picture nobody took: got %v, want ErrSkipped", err)
		}
	})
}

func TestFakeAutomaticModeKeepsItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startedFake(t, FakeOptions{Interval: 100 * time.Millisecond})
		begin := time.Now()
		for i := range uint32(20) {
			got, err := next(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jpeg.Decode(bytes.NewReader(got.Data)); err != nil {
				t.Fatal(err)
			}
			if n, ok := JPEGNumber(got.Data); !ok || n != i || time.Since(begin) != time.Duration(i)*100*time.Millisecond {
				t.Errorf("picture %d: number %d, %v, after %v", i, n, ok, time.Since(begin))
			}
		}
		f.Stall()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := next(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next of a stalled camera: got %v, want the end of its context", err)
		}
		f.Resume()
		if got, err := next(t.Context(), f); err != nil || got.DriverSeq != 20 {
			t.Errorf("Next after the stall: got picture %d, %v, want 20", got.DriverSeq, err)
		}
	})
}

func TestFakeAutomaticModeLosesPicturesOfLongAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startedFake(t, FakeOptions{Interval: time.Millisecond})
		<-time.After(24 * time.Hour) // must not be a loop of 86 million steps
		if _, err := next(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		got, err := next(t.Context(), f)
		if err != nil || got.DriverSeq != 86400001 {
			t.Errorf("got picture %d, %v, want 86400001", got.DriverSeq, err)
		}
	})
}

func TestFakeGrants(t *testing.T) {
	f := NewFake(FakeOptions{})
	t.Cleanup(func() { _ = f.Close() })
	thirty := device.FPS(30)
	busy := Busy("/dev/fake0")
	tests := []struct {
		name     string
		before   func()
		want     device.Format
		granted  device.Format
		wantsErr error
	}{
		{"first", func() {}, device.Format{}, device.Format{FourCC: device.MJPG, Width: 64, Height: 48, Rate: thirty}, nil},
		{"closest", func() {}, device.Format{Width: 1920, Height: 1080}, device.Format{FourCC: device.MJPG, Width: 128, Height: 96, Rate: thirty}, nil},
		{"raw", func() {}, device.Format{FourCC: device.YUYV}, device.Format{FourCC: device.YUYV, Width: 64, Height: 48, Rate: thirty, Stride: 128}, nil},
		{"fixed", func() { f.SetGrant(device.Format{Width: 32, Height: 24}) }, device.Format{}, device.Format{FourCC: device.MJPG, Width: 32, Height: 24, Rate: thirty}, nil},
		{"error", func() { f.SetStartError(busy) }, device.Format{}, device.Format{}, device.ErrBusy},
		{"error over", func() { f.SetStartError(nil); f.SetGrant(device.Format{}) }, device.Format{}, device.Format{FourCC: device.MJPG, Width: 64, Height: 48, Rate: thirty}, nil},
	}
	for _, tt := range tests {
		tt.before()
		got, err := f.Start(t.Context(), tt.want)
		if got != tt.granted || !errors.Is(err, tt.wantsErr) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, tt.granted, tt.wantsErr)
		}
		if err := f.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFakeWaitStartedSeesStartStopAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake(FakeOptions{})
		started := async(func() error { _, err := f.WaitStarted(t.Context()); return err })
		synctest.Wait()
		if _, err := f.Start(t.Context(), device.Format{}); err != nil {
			t.Fatal(err)
		}
		if err := <-started; err != nil || !f.Started() {
			t.Errorf("WaitStarted: %v", err)
		}
		stopped := async(func() error { return f.WaitStopped(t.Context()) })
		synctest.Wait()
		if err := f.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := <-stopped; err != nil {
			t.Errorf("WaitStopped: %v", err)
		}
		again := async(func() error { _, err := f.WaitStarted(t.Context()); return err })
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-again; !errors.Is(err, device.ErrClosed) {
			t.Errorf("WaitStarted of a closed camera: got %v, want ErrClosed", err)
		}
		<-f.Done()
	})
}

func TestFakeSourceFollowsItsScript(t *testing.T) {
	s := NewFakeSource(FakeOptions{})
	s.Script(Busy("/dev/x"), Permission("/dev/x"), nil)
	s.SetDown(NotFound("/dev/x"))
	for i, want := range []error{device.ErrBusy, device.ErrPermission, nil, device.ErrNotFound, device.ErrNotFound} {
		cam, err := s.Open(t.Context())
		if !errors.Is(err, want) || (cam == nil) != (want != nil) {
			t.Errorf("Open %d: got %v, %v, want %v", i, cam, err, want)
		}
	}
	cam := <-s.Cameras()
	if cam != s.Current() {
		t.Error("Current is not the camera that was opened")
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	if want := (SourceCounts{Tries: 5, Opened: 1, Closed: 1}); s.Counts() != want {
		t.Errorf("got %+v, want %+v", s.Counts(), want)
	}
}

func TestFakeSourceUnplugAndPlug(t *testing.T) {
	s := NewFakeSource(FakeOptions{Info: device.Info{Path: "/dev/video7"}})
	s.Unplug() // nothing is open yet
	<-s.Changes()
	s.Plug()
	s.Change() // counts as one with Plug's
	<-s.Changes()
	cam, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Unplug()
	if _, err := cam.Start(t.Context(), device.Format{}); !errors.Is(err, device.ErrUnplugged) {
		t.Errorf("Start of the unplugged camera: got %v, want ErrUnplugged", err)
	}
	_, err = s.Open(t.Context())
	if opErr, ok := errors.AsType[*device.OpError](err); !ok || opErr.Path != "/dev/video7" || !errors.Is(err, device.ErrNotFound) {
		t.Errorf("Open while unplugged: got %v, want ErrNotFound for /dev/video7", err)
	}
	<-s.Changes()
	select {
	case <-s.Changes():
		t.Error("got a change too many")
	default:
	}
}

func TestFakeSourceHoldMakesOpenWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewFakeSource(FakeOptions{})
		release := s.Hold()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("cause")
		given := async(func() error { _, err := s.Open(ctx); return err })
		waiting := async(func() error { _, err := s.Open(t.Context()); return err })
		synctest.Wait()
		cancel(cause)
		if err := <-given; !errors.Is(err, cause) {
			t.Errorf("Open with an ended context: got %v, want its cause", err)
		}
		release()
		release()
		if err := <-waiting; err != nil {
			t.Errorf("Open after release: %v", err)
		}
		if _, err := s.Open(t.Context()); err != nil {
			t.Errorf("Open after release: %v", err)
		}
	})
}

func TestJPEGHelpers(t *testing.T) {
	data := JPEG(1<<32-1, 40, 30)
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil || cfg.Width != 40 || cfg.Height != 30 {
		t.Errorf("got %dx%d, %v, want 40x30", cfg.Width, cfg.Height, err)
	}
	if n, ok := JPEGNumber(data); !ok || n != 1<<32-1 {
		t.Errorf("number: got %d, %v", n, ok)
	}
	if n, ok := JPEGNumber(Garbage(100)); ok {
		t.Errorf("number of garbage: got %d", n)
	}
	if got := JPEG(1, 0, 70000); got != nil {
		t.Errorf("impossible size: got %d bytes, want none", len(got))
	}
	if _, err := jpeg.Decode(bytes.NewReader(Truncated(JPEG(1, 640, 480)))); err == nil {
		t.Error("truncated picture decodes")
	}
	if bytes.Contains(Garbage(1<<16), []byte{0xFF}) {
		t.Error("garbage holds a marker")
	}
}
