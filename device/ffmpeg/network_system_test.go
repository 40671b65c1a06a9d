//go:build system

package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// jpegs gives the pictures of an AVI file as they are in it.
func jpegs(t *testing.T, avi string) [][]byte {
	t.Helper()
	pattern := filepath.Join(t.TempDir(), "%04d.jpg")
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", avi, "-c:v", "copy", "-f", "image2", pattern).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	var all [][]byte
	for i := 1; ; i++ {
		data, err := os.ReadFile(fmt.Sprintf(pattern, i))
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// camera is an IP camera: /video sends pictures at 20 fps for ever, or until
// limit; /clip is a file; /silent sends three pictures and then nothing.
func camera(t *testing.T, pictures [][]byte, clip string, limit int) *httptest.Server {
	t.Helper()
	stream := func(w http.ResponseWriter, r *http.Request, limit int, end bool) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		tick := time.NewTicker(time.Second / 20)
		defer tick.Stop()
		for i := 0; limit == 0 || i < limit; i++ {
			p := pictures[i%len(pictures)]
			_, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(p), p)
			if err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // an error shows with the next picture
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		if !end {
			<-r.Context().Done()
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/video", func(w http.ResponseWriter, r *http.Request) { stream(w, r, limit, true) })
	mux.HandleFunc("/silent", func(w http.ResponseWriter, r *http.Request) { stream(w, r, 12, false) })
	mux.HandleFunc("/clip.mp4", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, clip) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestSystemNetworkCameraPassesJPEGThroughUntouched(t *testing.T) {
	pictures := jpegs(t, mjpegAVI(t, "1"))
	server := camera(t, pictures, "", 0)
	cam := open(t, server.URL+"/video", Options{})
	f := start(t, cam, device.Format{})
	if f.FourCC != device.MJPG || f.Width != 320 || f.Height != 240 || f.Rate != (device.Rate{}) {
		t.Errorf("granted %+v, want MJPG 320x240 and no rate: there is none in the stream", f)
	}
	for range 5 {
		err := cam.Next(t.Context(), func(b *device.Buffer) error {
			for _, p := range pictures {
				if bytes.Equal(p, b.Data) {
					return nil
				}
			}
			return fmt.Errorf("a picture of %d bytes that the camera did not send", len(b.Data))
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestSystemNetworkConformance(t *testing.T) {
	server := camera(t, jpegs(t, mjpegAVI(t, "1")), h264MP4(t, "20"), 0)
	for _, path := range []string{"/video", "/clip.mp4"} {
		t.Run(path, func(t *testing.T) {
			devicetest.TestCameraWith(t, devicetest.Options{Frames: 6, Open: func(t *testing.T) device.Camera {
				t.Helper()
				return open(t, server.URL+path, Options{})
			}})
		})
	}
}

// TestSystemStoredVideoOfServerKeepsItsPace: it is not played as fast as it comes.
func TestSystemStoredVideoOfServerKeepsItsPace(t *testing.T) {
	server := camera(t, nil, h264MP4(t, "2.5"), 0)
	cam := open(t, server.URL+"/clip.mp4", Options{})
	start(t, cam, device.Format{})
	times, err := play(t, cam, nil)
	if !errors.Is(err, device.ErrDisconnected) {
		t.Errorf("end: got %v, want ErrDisconnected", err)
	}
	if took := times[len(times)-1].Sub(times[0]); took < 2*time.Second || took > 4*time.Second || len(times) < 60 {
		t.Errorf("%d pictures in %v, want about 75 in 2.5 s", len(times), took)
	}
}

func TestSystemNetworkSourceThatEndsOrGoesSilentIsDisconnected(t *testing.T) {
	server := camera(t, jpegs(t, mjpegAVI(t, "1")), "", 15)
	for _, path := range []string{"/video", "/silent"} {
		t.Run(path, func(t *testing.T) {
			cam := open(t, server.URL+path, Options{ReadTimeout: time.Second, NoProbe: true})
			start(t, cam, device.Format{})
			begun := time.Now()
			times, err := play(t, cam, nil)
			if !errors.Is(err, device.ErrDisconnected) || len(times) == 0 {
				t.Errorf("after %d pictures: got %v, want ErrDisconnected", len(times), err)
			}
			if took := time.Since(begun); took > 6*time.Second {
				t.Errorf("noticed after %v", took)
			}
		})
	}
}

// freeAddress gives an address where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// TestSystemRTSP: Debian's ffmpeg serves no RTSP, but either side can be the one
// that listens; here the camera connects to us.
func TestSystemRTSP(t *testing.T) {
	address := "rtsp://" + freeAddress(t) + "/live"

	// The camera tries until we listen.
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "quiet", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25",
				"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p",
				"-f", "rtsp", "-rtsp_transport", "tcp", address)
			_ = cmd.Run() // killed in the end
		}
	}()
	defer func() { cancel(); <-sent }()

	cam := open(t, address, Options{Extra: map[string]string{"-rtsp_flags": "listen"}})
	f := start(t, cam, device.Format{})
	if f.FourCC != device.YU12 || f.Width != 320 || f.Height != 240 || f.Rate.Float() != 25 {
		t.Errorf("granted %+v, want YU12 320x240 at 25 fps", f)
	}
	first := time.Now()
	const frames = 50
	for i := range frames {
		if err := cam.Next(t.Context(), func(*device.Buffer) error { return nil }); err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
	}
	if took := time.Since(first); took < 1500*time.Millisecond || took > 4*time.Second {
		t.Errorf("%d pictures in %v, want 2 s: neither hurried nor late", frames, took)
	}
	cancel()
	<-sent
	if _, err := play(t, cam, nil); !errors.Is(err, device.ErrDisconnected) {
		t.Errorf("after the camera has gone: got %v, want ErrDisconnected", err)
	}
}

// TestSystemSite plays what a program in the place of yt-dlp names.
func TestSystemSite(t *testing.T) {
	server := camera(t, nil, h264MP4(t, "2"), 0)
	program := func(script string) string {
		path := filepath.Join(t.TempDir(), "yt-dlp")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	address := server.URL + "/clip.mp4"
	args := filepath.Join(t.TempDir(), "args")
	for _, tc := range []struct {
		name, script string
		kind         error
		text         string
	}{
		{name: "one video", script: `printf '%s\n' "$@" > ` + args + `; echo ` + address},
		{name: "playlist", script: "echo " + address + "; echo " + address, kind: device.ErrUnsupported, text: "playlist"},
		{name: "nothing", script: "true", kind: device.ErrUnsupported, text: "no address"},
		{name: "failure", script: "echo 'ERROR: [site] x: Video unavailable' >&2; exit 1", kind: device.ErrDisconnected, text: "Video unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam := open(t, "https://video.example/watch?v=1;reboot", Options{
				StreamMode: true, YTDLP: program(tc.script), Resolution: "240p", SiteParams: map[string]string{"exec": "reboot", "proxy": "http://p"},
			})
			f, err := cam.Start(t.Context(), device.Format{})
			if !errors.Is(err, tc.kind) || tc.kind != nil && !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("Start: got %v, want %v with %q", err, tc.kind, tc.text)
			}
			if tc.kind != nil {
				return
			}
			if f.Width != 320 || f.FourCC != device.YU12 {
				t.Errorf("granted %+v", f)
			}
			got, err := os.ReadFile(args)
			if err != nil {
				t.Fatal(err)
			}
			if s := string(got); strings.Contains(s, "exec") || !strings.Contains(s, "--proxy=http://p\n--\nhttps://video.example/watch?v=1;reboot\n") {
				t.Errorf("arguments:\n%s", s)
			}
		})
	}
}
