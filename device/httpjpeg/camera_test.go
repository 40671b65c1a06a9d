package httpjpeg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/httpjpeg"
)

// server is a camera on the network, at a rate of 100 pictures per second.
type server struct {
	*httptest.Server
	n atomic.Uint32 // pictures so far

	mu    sync.Mutex
	quiet bool
}

// next gives a numbered picture, or nil while the camera is to be silent.
func (s *server) next() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet {
		return nil
	}
	return devicetest.JPEG(s.n.Add(1), 64, 48)
}

func (s *server) silence(quiet bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = quiet
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if pic := s.next(); pic != nil {
				_, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(pic), pic)
				if err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	mux.HandleFunc("/snapshot", func(w http.ResponseWriter, r *http.Request) {
		pic := s.next()
		if pic == nil {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(pic) // the test sees what comes
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func open(t *testing.T, opt httpjpeg.Options) *httpjpeg.Camera {
	t.Helper()
	cam, err := httpjpeg.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cam
}

// start opens and starts a camera within a time limit.
func start(t *testing.T, opt httpjpeg.Options, want device.Format) (*httpjpeg.Camera, device.Format, error) {
	t.Helper()
	cam := open(t, opt)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := cam.Start(ctx, want)
	return cam, got, err
}

// picture takes the next picture; its data is a copy.
func picture(t *testing.T, cam device.Camera) (device.Buffer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got device.Buffer
	err := cam.Next(ctx, func(b *device.Buffer) error {
		got = *b
		got.Data = bytes.Clone(b.Data)
		return nil
	})
	return got, err
}

func TestCameraPassesTheSuite(t *testing.T) {
	for _, path := range []string{"/stream", "/snapshot"} {
		t.Run(path[1:], func(t *testing.T) {
			s := newServer(t)
			devicetest.TestCameraWith(t, devicetest.Options{
				Open: func(t *testing.T) device.Camera {
					t.Helper()
					s.silence(false)
					return open(t, httpjpeg.Options{URL: s.URL + path})
				},
				Timeout: 10 * time.Second,
				Frames:  5,
				Stall: func(t *testing.T, _ device.Camera) {
					t.Helper()
					s.silence(true)
				},
			})
		})
	}
}

func TestStartGrantsTheCamerasOwnFormat(t *testing.T) {
	s := newServer(t)
	for _, tc := range []struct {
		path string
		want device.Rate
		rate device.Rate
	}{
		{"/stream", device.FPS(30), device.Rate{}},
		{"/snapshot", device.Rate{}, device.FPS(5)},
		{"/snapshot", device.FPS(20), device.FPS(20)},
		{"/snapshot", device.FPS(500), device.FPS(30)},
	} {
		_, got, err := start(t, httpjpeg.Options{URL: s.URL + tc.path}, device.Format{FourCC: device.YUYV, Width: 1920, Height: 1080, Rate: tc.want})
		if want := (device.Format{FourCC: device.MJPG, Width: 64, Height: 48, Rate: tc.rate}); err != nil || got != want {
			t.Errorf("%s at %v: got %+v, %v, want %+v", tc.path, tc.want, got, err, want)
		}
	}
}

func TestModesConnectsToLearnTheSize(t *testing.T) {
	cam := open(t, httpjpeg.Options{URL: newServer(t).URL + "/stream"})
	modes, err := cam.Modes(t.Context())
	if err != nil || len(modes) != 1 || modes[0].Width != 64 || modes[0].Height != 48 || modes[0].FourCC != device.MJPG {
		t.Errorf("got %+v, %v, want MJPG 64x48", modes, err)
	}
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Errorf("Start after Modes: %v", err)
	}
	if _, err := cam.Start(t.Context(), device.Format{}); err == nil {
		t.Error("Start of a started camera: got no error")
	}
}

func TestSnapshotsAreAskedForOverOneConnectionAndOnlyIfChanged(t *testing.T) {
	var connections, full, unchanged atomic.Int32
	var current atomic.Uint32
	current.Store(1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf("%q", fmt.Sprint(current.Load()))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full.Add(1)
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(devicetest.JPEG(current.Load(), 64, 48)) // the test sees what comes
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	cam, _, err := start(t, httpjpeg.Options{URL: s.URL}, device.Format{Rate: device.FPS(30)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if i == 3 {
			current.Store(2)
		}
		b, err := picture(t, cam)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := devicetest.JPEGNumber(b.Data); n != 1 && i < 3 || n == 0 || n > 2 {
			t.Errorf("picture %d has number %d", i, n)
		}
	}
	if full.Load() != 2 || unchanged.Load() < 2 || connections.Load() != 1 {
		t.Errorf("%d pictures sent, %d answers \"not modified\", %d connections; want 2, at least 2, 1", full.Load(), unchanged.Load(), connections.Load())
	}
}

func TestNewestPictureWinsAndTheOthersCountAsStale(t *testing.T) {
	more := make(chan int)
	sent := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		var n uint32
		for {
			select {
			case <-r.Context().Done():
				return
			case count := <-more:
				for range count {
					n++
					pic := devicetest.JPEG(n, 64, 48)
					_, _ = fmt.Fprintf(w, "--frame\r\nX-Timestamp: 0.0\r\nContent-Length: %d\r\n\r\n%s\r\n", len(pic), pic) // the test sees what comes
				}
				_ = http.NewResponseController(w).Flush() // the test sees what comes
				sent <- struct{}{}
			}
		}
	}))
	t.Cleanup(s.Close)
	cam := open(t, httpjpeg.Options{URL: s.URL})
	started := make(chan error, 1)
	go func() {
		_, err := cam.Start(t.Context(), device.Format{})
		started <- err
	}()
	more <- 1
	<-sent
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	b, err := picture(t, cam)
	if err != nil || b.DriverSeq != 0 || b.Stale != 0 {
		t.Fatalf("first: number %d, stale %d, %v, want 0, 0", b.DriverSeq, b.Stale, err)
	}
	more <- 5
	<-sent
	total := 0
	for last := b.DriverSeq; last < 5; last = b.DriverSeq {
		if b, err = picture(t, cam); err != nil {
			t.Fatal(err)
		}
		if int(b.DriverSeq-last)-1 != b.Stale {
			t.Errorf("number %d after %d with %d stale", b.DriverSeq, last, b.Stale)
		}
		if n, _ := devicetest.JPEGNumber(b.Data); n != b.DriverSeq+1 {
			t.Errorf("DriverSeq %d belongs to picture %d", b.DriverSeq, n)
		}
		total += b.Stale + 1
	}
	if total != 5 {
		t.Errorf("%d pictures accounted for, want 5", total)
	}
}

func TestTimestampOfAPartIsUsedWhenSane(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stamp func(now time.Time) string
		used  bool
	}{
		{"a second ago", func(now time.Time) string { return fmt.Sprintf("%.6f", float64(now.Add(-time.Second).UnixMicro())/1e6) }, true},
		{"an hour ago", func(now time.Time) string { return fmt.Sprint(now.Unix() - 3600) }, false},
		{"in the future", func(now time.Time) string { return fmt.Sprint(now.Unix() + 100) }, false},
		{"time since start", func(time.Time) string { return "12345.678" }, false},
		{"milliseconds", func(now time.Time) string { return fmt.Sprint(now.UnixMilli()) }, false},
		{"no number", func(time.Time) string { return "NaN" }, false},
		{"absurd", func(time.Time) string { return "1e300" }, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
			pic := devicetest.JPEG(1, 64, 48)
			_, _ = fmt.Fprintf(w, "--frame\r\nX-Timestamp: %s\r\n\r\n%s\r\n", tc.stamp(time.Now()), pic) // the test sees what comes
			_ = http.NewResponseController(w).Flush()                                                    // the test sees what comes
			<-r.Context().Done()
		}))
		cam, _, err := start(t, httpjpeg.Options{URL: s.URL}, device.Format{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := picture(t, cam)
		if err != nil {
			t.Fatal(err)
		}
		age := b.ReceivedAt.Sub(b.CapturedAt)
		if used := age > 900*time.Millisecond && age < maxDelay; used != tc.used {
			t.Errorf("%s: received %v after it was captured, time stamp used: %v, want %v", tc.name, age, used, tc.used)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// maxDelay is what a busy machine may add to any time, before a test fails.
const maxDelay = 10 * time.Second

func TestChangedSizeIsPassedOnAndLogged(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		_, _ = fmt.Fprintf(w, "--frame\r\n\r\n%s\r\n--frame\r\n\r\n%s\r\n", devicetest.JPEG(1, 64, 48), devicetest.JPEG(2, 128, 96)) // the test sees what comes
		_ = http.NewResponseController(w).Flush()                                                                                    // the test sees what comes
		<-r.Context().Done()
	}))
	defer s.Close()
	var log bytes.Buffer
	cam, got, err := start(t, httpjpeg.Options{URL: s.URL, Logger: slog.New(slog.NewTextHandler(&log, nil))}, device.Format{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := picture(t, cam)
		if err != nil {
			t.Fatal(err)
		}
		if b.Format != got {
			t.Errorf("format %v, want %v as granted", b.Format, got)
		}
		if n, _ := devicetest.JPEGNumber(b.Data); n == 2 {
			break
		}
	}
	if err := cam.Close(); err != nil { // after that, nobody writes to the log
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "width=128 height=96") {
		t.Errorf("log: %s", log.String())
	}
}

func TestNextGivesTheLastPictureBeforeTheEnd(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		_, _ = fmt.Fprintf(w, "--frame\r\n\r\n%s\r\n--frame--\r\n", devicetest.JPEG(1, 64, 48)) // the test sees what comes
	}))
	defer s.Close()
	cam, _, err := start(t, httpjpeg.Options{URL: s.URL}, device.Format{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := picture(t, cam); err != nil || !bytes.Equal(b.Data, devicetest.JPEG(1, 64, 48)) {
		t.Errorf("got %d bytes, %v", len(b.Data), err)
	}
	for range 2 {
		if _, err := picture(t, cam); !errors.Is(err, device.ErrDisconnected) {
			t.Errorf("after the end: got %v, want ErrDisconnected", err)
		}
	}
}

func TestSteadyStreamNeedsNoNewMemory(t *testing.T) {
	s := newServer(t)
	cam, _, err := start(t, httpjpeg.Options{URL: s.URL + "/stream"}, device.Format{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[*byte]bool{}
	for range 20 {
		if err := cam.Next(t.Context(), func(b *device.Buffer) error {
			seen[&b.Data[0]] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) > 3 {
		t.Errorf("20 pictures were in %d places, want at most 3", len(seen))
	}
}
