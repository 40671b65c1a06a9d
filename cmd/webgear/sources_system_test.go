//go:build system

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const lavfi = "testsrc=size=320x240:rate="

// pusher is an RTSP camera that connects to whoever listens at address, until
// stop is called.
func pusher(t *testing.T, address string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_ = exec.CommandContext(ctx, "ffmpeg", "-v", "quiet", "-nostdin", "-re", "-f", "lavfi", "-i", lavfi+"25",
				"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p",
				"-f", "rtsp", "-rtsp_transport", "tcp", address).Run() // killed in the end
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// sequence makes numbered pictures and gives their pattern.
func sequence(t *testing.T, seconds string) string {
	t.Helper()
	return makeMedia(t, "img%04d.png", "-f", "lavfi", "-i", lavfi+"20", "-t", seconds)
}

func TestSystemEverySourcePlaysAtItsOwnSpeed(t *testing.T) {
	const seconds = "10"
	avi := makeMedia(t, "clip.avi", "-f", "lavfi", "-i", lavfi+"24", "-t", seconds, "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
	mp4 := makeMedia(t, "clip.mp4", "-f", "lavfi", "-i", lavfi+"30000/1001", "-t", seconds, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
	camera := begin(t, "-s", "test:320x240@20")
	rtsp := "rtsp://" + freeAddress(t) + "/live"
	pusher(t, rtsp)
	for _, tt := range []struct {
		name string
		rate float64
		args []string
	}{
		{"MJPEG AVI", 24, []string{"-s", avi}},
		{"H.264 MP4", 30000.0 / 1001, []string{"-s", mp4}},
		{"H.264 MP4 through ffgear", 30000.0 / 1001, []string{"-a", "ffgear", "-s", mp4}},
		{"image sequence", 20, []string{"-s", sequence(t, seconds), "-f", "20"}},
		{"recording", 25, []string{"-s", recording(t, 250), "-f", "25"}},
		{"HTTP", 20, []string{"-s", camera.url + "/video"}},
		{"RTSP", 25, []string{"-s", rtsp, "-op", `{"-rtsp_flags": "listen"}`}},
		{"GStreamer", 15, []string{"-s", "videotestsrc ! video/x-raw,width=320,height=240,framerate=15/1 ! videoconvert ! video/x-raw,format=BGR ! appsink"}},
		{"lavfi", 20, []string{"-a", "ffgear", "-sd", "lavfi", "-s", lavfi + "20"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A computer that is busy with something else makes a source late for
			// a while; one that has the wrong speed has it each time.
			const tries = 3
			for try := 1; ; try++ {
				got, seen := begin(t, tt.args...).rate(t, 6*time.Second)
				t.Logf("%.3f fps, %+.2f %%; a viewer saw %.3f", got, 100*(got/tt.rate-1), seen)
				if got >= 0.98*tt.rate && got <= 1.02*tt.rate && seen >= 0.8*tt.rate {
					return
				}
				if try == tries {
					t.Fatalf("%.3f fps, and a viewer saw %.3f; want %.3f within 2 %%", got, seen, tt.rate)
				}
			}
		})
	}
}

// TestSystemNetworkSourcesSurviveTheirServer restarts it under two viewers.
func TestSystemNetworkSourcesSurviveTheirServer(t *testing.T) {
	t.Parallel()
	webgearAt := func(t *testing.T, address string) func() {
		t.Helper()
		d := beginAt(t, place{addr: address}, "-s", "test:320x240@20")
		return func() { d.end(t, syscall.SIGKILL) }
	}
	for _, tt := range []struct {
		name   string
		source func(address string) string
		serve  func(t *testing.T, address string) (stop func())
		args   []string
	}{
		{"HTTP", func(a string) string { return "http://" + a + "/video" }, webgearAt, nil},
		{"HTTP through ffgear", func(a string) string { return "http://" + a + "/video" }, webgearAt, []string{"-a", "ffgear"}},
		{"HTTP through GStreamer", func(a string) string {
			return "souphttpsrc location=http://" + a + "/video is-live=true ! multipartdemux ! jpegdec ! videoconvert ! video/x-raw,format=BGR ! appsink"
		}, webgearAt, nil},
		{"RTSP", func(a string) string { return "rtsp://" + a + "/live" }, func(t *testing.T, a string) func() {
			t.Helper()
			return pusher(t, "rtsp://"+a+"/live")
		}, []string{"-op", `{"-rtsp_flags": "listen"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			address := freeAddress(t)
			stop := tt.serve(t, address)
			d := begin(t, append(tt.args, "-s", tt.source(address))...)
			viewers := []*viewer{d.watch(t, "/video"), d.watch(t, "/video")}
			for _, v := range viewers {
				v.until("a live picture", live)
			}
			stop()
			for _, v := range viewers {
				p := v.until("the placeholder", shows("disconnected"))
				if w, h := p.size(t); w != 320 || h != 240 {
					t.Errorf("the placeholder has %dx%d", w, h)
				}
			}
			begun := time.Now()
			defer tt.serve(t, address)()
			for _, v := range viewers {
				v.until("live pictures again", live)
			}
			took := time.Since(begun)
			t.Logf("back after %v", took.Round(time.Millisecond))
			if took > 8*time.Second {
				t.Errorf("back after %v, want a few seconds", took)
			}
			if code, took := d.end(t, syscall.SIGINT); code != 0 || took > 2*time.Second {
				t.Errorf("stopped with code %d after %v", code, took)
			}
		})
	}
}

// TestSystemNetworkSourceMayComeLater: a server that is not there yet is no error.
func TestSystemNetworkSourceMayComeLater(t *testing.T) {
	address := freeAddress(t)
	d := begin(t, "-s", "http://"+address+"/video")
	v := d.watch(t, "/video")
	v.until("the placeholder", shows("disconnected"))
	beginAt(t, place{addr: address}, "-s", "test:320x240@20")
	v.until("a live picture", live)
}

func TestSystemSourcesThatCannotBeUsedAreOneLineAndExitCode2(t *testing.T) {
	for _, args := range [][]string{
		{"-s", "missing.mp4"},
		{"-s", write(t, "no.mp4", "this is no video")},
		{"-s", "nonsensesrc ! appsink"},
		{"-a", "ffgear", "-sd", "lavfi", "-s", "nonsense=1"},
		{"-s", "0"},
		{"-s", makeMedia(t, "clip.avi", "-f", "lavfi", "-i", lavfi+"25", "-t", "0.2"), "-cf", "/nonexistent/ffmpeg"},
		{"-yt", "-s", "ftp://example.com/video"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			code, out := fails(t, append([]string{"run", "--listen", "127.0.0.1:0"}, args...)...)
			t.Log(out)
			if code != 2 || len(out) == 0 || out[len(out)-1] != '\n' || countLines(out) != 1 {
				t.Errorf("code %d:\n%s", code, out)
			}
		})
	}
}

func countLines(s string) (n int) {
	for _, c := range s {
		if c == '\n' {
			n++
		}
	}
	return n
}

// TestSystemSiteIsResolvedByYtDlp has a program in the place of yt-dlp.
func TestSystemSiteIsResolvedByYtDlp(t *testing.T) {
	camera := begin(t, "-s", "test:320x240@20")
	bin := t.TempDir()
	script := "#!/bin/sh\necho " + camera.url + "/video\n"
	if err := os.WriteFile(filepath.Join(bin, "yt-dlp"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	d := begin(t, "-yt", "-s", "https://video.example/watch?v=1", "-op", `{"STREAM_RESOLUTION": "480p", "STREAM_PARAMS": {"nocheckcertificate": True}}`)
	d.watch(t, "/video").until("a live picture", live)
	if w := d.warnings(); len(w) != 0 {
		t.Errorf("warned of %v", w)
	}
}

func TestSystemTimeDelayIsWaited(t *testing.T) {
	clip := makeMedia(t, "clip.avi", "-f", "lavfi", "-i", lavfi+"25", "-t", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
	for _, args := range [][]string{{"-s", "test:320x240"}, {"-s", clip, "--loop"}, {"-s", recording(t, 20), "--loop"}} {
		begun := time.Now()
		begin(t, append(args, "-td", "2")...).watch(t, "/video").until("a live picture", live)
		if took := time.Since(begun); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("%v: the first picture came after %v, want 2 s and a little", args, took)
		}
	}
}
