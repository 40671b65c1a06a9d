//go:build system

package webgear_test

import (
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// clip makes a video file with ffmpeg.
func clip(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	all := append([]string{"-v", "error", "-f", "lavfi"}, args...)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", append(all, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}

// film is a clip of so many pictures of a test pattern.
func film(t *testing.T, size string, pictures int) string {
	t.Helper()
	return clip(t, "film.mp4", "-i", "testsrc2=rate=25:size="+size, "-frames:v", fmt.Sprint(pictures), "-pix_fmt", "yuv420p")
}

// play reads a source to its end and gives the number of pictures and the format.
func play(t *testing.T, spec string, o source.Options, each time.Duration) (int, device.Format) {
	t.Helper()
	leakCheck(t)
	src := opened(t, spec, o)
	cam, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cam.Close() }()
	granted, err := cam.Start(t.Context(), src.Want)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for err == nil {
		err = cam.Next(t.Context(), func(*device.Buffer) error {
			n++
			slow := time.NewTimer(each)
			defer slow.Stop()
			<-slow.C
			return nil
		})
	}
	if !errors.Is(err, device.ErrEnded) {
		t.Errorf("%s: ended with %v", spec, err)
	}
	return n, granted
}

func TestSystemSpec08Line01And13StabilizedFileAndFFGear(t *testing.T) {
	path := film(t, "320x240", 50)
	for name, o := range map[string]source.Options{
		"stabilized":            {Stabilize: true, Loop: true},
		"ffgear":                {API: source.FFGear, Loop: true},
		"colorspace, as line 2": {Colorspace: "COLOR_BGR2HSV", TimeDelay: time.Second, Loop: true},
	} {
		t.Run(name, func(t *testing.T) {
			src := opened(t, path, o)
			r := serve(t, webgear.Options{Open: src.Open, Want: src.Want})
			if got := r.watch("/video").await("").size(t); got != image.Pt(320, 240) {
				t.Errorf("picture is %v", got)
			}
			r.statuses(map[string]int{"/": 200, "/test": 404})
		})
	}
}

func TestSystemSpec08Line18And20FilesArePlayedToTheEnd(t *testing.T) {
	const pictures = 25
	path := film(t, "160x120", pictures)
	for name, o := range map[string]source.Options{"camgear": {}, "ffgear": {API: source.FFGear}} {
		// Slower than the file by a half.
		if n, f := play(t, path, o, 60*time.Millisecond); n != pictures || f.Rate.Float() != 25 {
			t.Errorf("%s: %d of %d pictures at %v", name, n, pictures, f.Rate)
		}
	}
	if n, _ := play(t, path, source.Options{Keys: map[string]any{"THREADED_QUEUE_MODE": false}}, 200*time.Millisecond); n >= pictures || n == 0 {
		t.Errorf("queue mode off: %d of %d pictures, want fewer", n, pictures)
	}
}

func TestSystemSpec08Line22StreamModeRefusesABadAddress(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho 'ERROR: [generic] Unsupported URL: '\"$*\" >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "yt-dlp"), []byte(script), 0o755); err != nil { //nolint:gosec // it must be executable
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	src := opened(t, "https://127.0.0.1/watch?v=none", source.Options{StreamMode: true, Keys: map[string]any{"STREAM_RESOLUTION": "73p"}})
	r := serve(t, webgear.Options{Open: src.Open})
	v := r.watch("/video")
	for p := v.must(); ; p = v.must() {
		if p.cause() == "" {
			t.Fatal("a picture came")
		}
		if p.cause() != "starting" {
			break
		}
	}
	if c := r.Status().Camera; !strings.Contains(c.Error, "yt-dlp") {
		t.Errorf("state says %q", c.Error)
	}
}

func TestSystemSpec08Line23Colours(t *testing.T) {
	path := film(t, "160x120", 25)
	for _, name := range []string{"COLOR_BGR2GRAY", "COLOR_BGR2BGRA", "COLOR_IM_WRONG"} {
		if n, f := play(t, path, source.Options{Colorspace: name}, 0); n != 25 || f.Width != 160 || f.Height != 120 {
			t.Errorf("%s: %d pictures of %v", name, n, f)
		}
	}
}

func TestSystemSpec08Line28BordersAndCrop(t *testing.T) {
	path := film(t, "160x120", 12)
	for name, tt := range map[string]struct {
		keys map[string]any
		want image.Point
	}{
		"plain":           {map[string]any{"SMOOTHING_RADIUS": 5}, image.Pt(160, 120)},
		"border":          {map[string]any{"SMOOTHING_RADIUS": 5, "BORDER_SIZE": 10}, image.Pt(180, 140)},
		"border and crop": {map[string]any{"SMOOTHING_RADIUS": 5, "BORDER_SIZE": 10, "CROP_N_ZOOM": true}, image.Pt(160, 120)},
	} {
		if n, f := play(t, path, source.Options{Stabilize: true, Keys: tt.keys}, 0); n == 0 || image.Pt(f.Width, f.Height) != tt.want {
			t.Errorf("%s: %d pictures of %v, want %v", name, n, f, tt.want)
		}
	}
}

// WebGear loses the first picture and as many as the radius at the end; here
// none is lost.
func TestSystemSpec08Line29NoPictureIsLost(t *testing.T) {
	if n, _ := play(t, film(t, "160x120", 50), source.Options{Stabilize: true, Keys: map[string]any{"SMOOTHING_RADIUS": 5}}, 0); n != 50 {
		t.Errorf("%d of 50 pictures", n)
	}
	wrong := map[string]any{"SMOOTHING_RADIUS": "x", "BORDER_SIZE": "x", "BORDER_TYPE": 1, "CROP_N_ZOOM": "x"}
	if n, f := play(t, film(t, "160x120", 25), source.Options{Stabilize: true, Keys: wrong}, 0); n != 25 || f.Width != 160 {
		t.Errorf("with wrong options: %d of 25 pictures of %v", n, f)
	}
}

func TestSystemEndOfAVideoFile(t *testing.T) {
	src := opened(t, film(t, "160x120", 25), source.Options{})
	r := serve(t, webgear.Options{Open: src.Open, Want: src.Want})
	causes := r.watch("/video").rest()
	if live := slices.Index(causes, "ended"); live < 15 || live != len(causes)-1 {
		t.Errorf("got %q", causes)
	}
}
