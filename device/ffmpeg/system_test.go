//go:build system

package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// makeClip runs ffmpeg to make a clip in a temporary folder.
func makeClip(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	all := append([]string{"-hide_banner", "-nostdin", "-loglevel", "error", "-y"}, args...)
	out, err := exec.CommandContext(t.Context(), "ffmpeg", append(all, path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, out)
	}
	return path
}

func open(t *testing.T, source string, opt Options) *Camera {
	t.Helper()
	cam, err := Open(t.Context(), source, opt)
	if err != nil {
		t.Fatalf("Open(%q): %v", source, err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cam
}

func start(t *testing.T, cam *Camera, want device.Format) device.Format {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	f, err := cam.Start(ctx, want)
	if err != nil {
		t.Fatalf("Start(%v): %v", want, err)
	}
	return f
}

const clipSource = "testsrc=size=320x240:rate=30000/1001"

func mjpegAVI(t *testing.T, seconds string) string {
	t.Helper()
	return makeClip(t, "clip.avi", "-f", "lavfi", "-i", clipSource, "-t", seconds, "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
}

func h264MP4(t *testing.T, seconds string, more ...string) string {
	t.Helper()
	args := append([]string{"-f", "lavfi", "-i", clipSource, "-t", seconds, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"}, more...)
	return makeClip(t, "clip.mp4", args...)
}

func TestSystemConformance(t *testing.T) {
	avi, mp4 := mjpegAVI(t, "1.2"), h264MP4(t, "1.2")
	for _, tc := range []struct {
		name, source string
		opt          Options
		finite       bool
		want         device.FourCC
	}{
		{name: "MJPEG in AVI", source: avi, finite: true, want: device.MJPG},
		{name: "H.264 in MP4", source: mp4, finite: true, want: device.YU12},
		{name: "lavfi", source: "testsrc=size=160x120:rate=20", opt: Options{Demuxer: "lavfi"}, want: device.YU12},
		{name: "raw pipeline", source: "videotestsrc is-live=true ! video/x-raw,width=161,height=121,framerate=20/1 ! appsink", want: device.YU12},
		{name: "JPEG pipeline", source: "videotestsrc ! video/x-raw,width=160,height=120,framerate=20/1 ! jpegenc ! appsink", want: device.MJPG},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam := open(t, tc.source, tc.opt)
			if got := start(t, cam, device.Format{}); got.FourCC != tc.want || got.Rate.Float() == 0 {
				t.Errorf("Start granted %+v, want %v and a rate", got, tc.want)
			}
			if err := cam.Close(); err != nil {
				t.Fatal(err)
			}
			devicetest.TestCameraWith(t, devicetest.Options{
				Open: func(t *testing.T) device.Camera {
					t.Helper()
					return open(t, tc.source, tc.opt)
				},
				Finite: tc.finite, Frames: 6,
			})
		})
	}
}

// play takes all pictures and gives their times and the error at the end.
func play(t *testing.T, cam *Camera, use func(*device.Buffer)) (times []time.Time, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for {
		err := cam.Next(ctx, func(b *device.Buffer) error {
			times = append(times, b.CapturedAt)
			if use != nil {
				use(b)
			}
			return nil
		})
		if err != nil {
			return times, err
		}
	}
}

// TestSystemFilesKeepTheirPace: within 2 %, and no picture is lost.
func TestSystemFilesKeepTheirPace(t *testing.T) {
	const frames = 180
	seconds := fmt.Sprint(float64(frames) * 1001 / 30000)
	for name, path := range map[string]string{"AVI": mjpegAVI(t, seconds), "MP4": h264MP4(t, seconds)} {
		t.Run(name, func(t *testing.T) {
			cam := open(t, path, Options{})
			f := start(t, cam, device.Format{})
			if got := f.Rate.Float(); got < 29.96 || got > 29.98 {
				t.Errorf("granted rate %v, want 29.97", got)
			}
			times, err := play(t, cam, nil)
			if !errors.Is(err, device.ErrEnded) {
				t.Errorf("end: got %v, want ErrEnded", err)
			}
			if len(times) != frames {
				t.Fatalf("got %d pictures, want %d", len(times), frames)
			}
			const first, last = 20, frames - 20
			rate := float64(last-first) / times[last].Sub(times[first]).Seconds()
			t.Logf("%.3f fps", rate)
			if rate < 29.97*0.98 || rate > 29.97*1.02 {
				t.Errorf("played at %.3f fps, want 29.97 within 2 %%", rate)
			}
		})
	}
}

func TestSystemErrorsSayWhatIsWrong(t *testing.T) {
	sound := makeClip(t, "sound.wav", "-f", "lavfi", "-i", "anullsrc", "-t", "0.1")
	for _, tc := range []struct {
		name, source string
		opt          Options
		kind         error
		text         string
	}{
		{name: "sound only", source: sound, kind: device.ErrUnsupported, text: "holds no video"},
		{name: "no media", source: "system_test.go", kind: device.ErrUnsupported, text: "Invalid data found when processing input"},
		{name: "nobody there", source: "http://127.0.0.1:9/x.mp4", kind: device.ErrDisconnected, text: "Connection refused"},
		{name: "password", source: "rtsp://me:secretword@127.0.0.1:9/x", kind: device.ErrDisconnected, text: "rtsp://me:xxxxx@127.0.0.1:9/x"},
		{name: "missing camera", source: "/dev/video97", opt: Options{Demuxer: "v4l2"}, kind: device.ErrNotFound, text: "No such file"},
		{name: "bad option", source: "testsrc", opt: Options{Demuxer: "lavfi", Extra: map[string]string{"-nonsense_x": "1"}}, kind: device.ErrUnsupported, text: "nonsense_x"},
		{name: "bad filter", source: "testsrc", opt: Options{Demuxer: "lavfi", Extra: map[string]string{"-vf": "nonsense_x"}}, kind: device.ErrUnsupported, text: "nonsense_x"},
		{name: "no such element", source: "nonsensesrc ! appsink", kind: device.ErrUnsupported, text: "nonsensesrc"},
		{name: "pipeline without its file", source: "filesrc location=/nonexistent.avi ! avidemux ! jpegdec ! appsink", kind: device.ErrNotFound, text: "Resource not found"},
		{name: "pipeline without its camera", source: "rtspsrc location=rtsp://127.0.0.1:9/x ! rtpjpegdepay ! appsink", kind: device.ErrDisconnected},
		{name: "raw H.264 pipeline", source: "videotestsrc ! jpegenc ! identity ! video/x-h264 ! appsink", kind: device.ErrUnsupported},
		{name: "no ffmpeg", source: "testsrc", opt: Options{Demuxer: "lavfi", FFmpeg: "/nonexistent/ffmpeg", NoProbe: true}, kind: device.ErrNotInstalled, text: "apt install ffmpeg"},
		{name: "no gst-launch", source: "videotestsrc ! appsink", opt: Options{GstLaunch: "no-such-gst-launch"}, kind: device.ErrNotInstalled, text: "is not installed: apt install gstreamer1.0-tools"},
		{name: "no yt-dlp", source: "https://example.com/v", opt: Options{StreamMode: true, YTDLP: "no-such-yt-dlp"}, kind: device.ErrNotInstalled, text: "apt install yt-dlp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam := open(t, tc.source, tc.opt)
			_, err := cam.Start(t.Context(), device.Format{})
			if !errors.Is(err, tc.kind) {
				t.Fatalf("Start: got %v, want %v", err, tc.kind)
			}
			t.Log(err)
			if !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "secretword") {
				t.Errorf("Start: got %q, want %q in it", err, tc.text)
			}
		})
	}
}
