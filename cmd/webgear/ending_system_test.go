//go:build system

package main

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// short makes a video of a second that is 322 pixels wide.
func short(t *testing.T) string {
	t.Helper()
	return makeMedia(t, "short.mp4", "-f", "lavfi", "-i", "testsrc=size=322x242:rate=25", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
}

func TestSystemTheEndEndsTheStreamForEveryViewer(t *testing.T) {
	for name, source := range map[string]string{"video": short(t), "recording": recording(t, 40)} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, "-s", source)
			viewers := []*viewer{d.watch(t, "/video"), d.watch(t, "/video"), d.watch(t, "/video")}
			for i, v := range viewers {
				all := v.rest()
				if len(all) < 10 || !live(all[len(all)-2]) {
					t.Fatalf("viewer %d saw %d pictures", i, len(all))
				}
				last := all[len(all)-1]
				w, h := last.size(t)
				w0, h0 := all[0].size(t)
				if last.placeholder != "ended" || w != w0 || h != h0 || v.err != nil || !v.closing {
					t.Errorf("viewer %d: last picture %q of %dx%d, end %v, %v", i, last.placeholder, w, h, v.err, v.closing)
				}
			}
			later := d.watch(t, "/video")
			if all := later.rest(); later.status != http.StatusOK || len(all) != 1 || all[0].placeholder != "ended" || !later.closing {
				t.Errorf("later viewer: %d, %d pictures, %v", later.status, len(all), later.err)
			}
			if a := d.get(t, "/"); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("The End")) {
				t.Errorf("page: %d\n%s", a.status, a.body)
			}
			if code, took := d.end(t, syscall.SIGINT); code != 0 || took > 2*time.Second {
				t.Errorf("code %d after %v", code, took)
			}
		})
	}
}

func TestSystemInfiniteFramesSayNoInputOnceASecond(t *testing.T) {
	d := begin(t, append(options(t, map[string]any{"enable_infinite_frames": true}), "-s", short(t))...)
	check := func(v *viewer) {
		t.Helper()
		first := v.until("no input", shows("no-input"))
		for i := range 3 {
			p := v.until("no input again", shows("no-input"))
			if gap := p.got.Sub(first.got); gap < 800*time.Millisecond || gap > 1500*time.Millisecond {
				t.Errorf("picture %d after %v, want once a second", i, gap)
			}
			if w, h := p.size(t); w != 322 || h != 242 {
				t.Errorf("%dx%d, want the size of the pictures before", w, h)
			}
			first = p
		}
	}
	v := d.watch(t, "/video")
	v.until("a live picture", live)
	check(v)
	check(d.watch(t, "/video")) // who comes later sees the same
}

func TestSystemLoopGoesOnForEver(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"video": short(t), "recording": recording(t, 40)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := begin(t, "-s", source, "--loop", "-f", "25")
			v := d.watch(t, "/video")
			for i := range 125 { // of a source that has 50 or 40
				if p := v.until("a picture", func(picture) bool { return true }); !live(p) {
					t.Fatalf("picture %d is the placeholder %s", i, p.placeholder)
				}
			}
		})
	}
}

// TestSystemCtrlCEndsWithViewers has one viewer who reads and one who does not.
func TestSystemCtrlCEndsWithViewers(t *testing.T) {
	for name, args := range map[string][]string{
		"test picture": {"-s", "test:640x480"},
		"video":        {"-s", short(t), "--loop"},
		"pipeline":     {"-s", "videotestsrc ! video/x-raw,width=320,height=240,framerate=15/1 ! appsink"},
		"nobody there": {"-s", "http://" + freeAddress(t) + "/video"},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, args...)
			v := d.watch(t, "/video")
			v.until("a picture", func(picture) bool { return true })
			stuck, err := http.Get(d.url + "/video")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stuck.Body.Close() }()
			if _, err := io.ReadFull(stuck.Body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			code, took := d.end(t, syscall.SIGINT)
			t.Logf("%v", took.Round(time.Millisecond))
			if code != 0 || took > 2*time.Second {
				t.Errorf("code %d after %v, want 0 within 2 s:\n%s", code, took, d.log)
			}
			all := v.rest()
			if len(all) == 0 || all[len(all)-1].placeholder != "stopped" || v.err != nil {
				t.Errorf("the viewer got %d more pictures and %v, want the farewell", len(all), v.err)
			}
		})
	}
}

// shaky makes a clip of a still scene through a trembling camera.
func shaky(t *testing.T) string {
	t.Helper()
	const side = 480
	rnd := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for range 400 {
		x, y, w, h := rnd.IntN(side), rnd.IntN(side), 5+rnd.IntN(60), 5+rnd.IntN(60)
		c := color.RGBA{byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256)), 255}
		for yy := y; yy < min(y+h, side); yy++ {
			for xx := x; xx < min(x+w, side); xx++ {
				img.SetRGBA(xx, yy, c)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	scene := filepath.Join(t.TempDir(), "scene.png")
	if err := os.WriteFile(scene, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return makeMedia(t, "shaky.avi", "-loop", "1", "-framerate", "25", "-i", scene, "-t", "3",
		"-vf", "crop=320:240:x='80+12*random(1)-6':y='120+12*random(2)-6'", "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")
}

func TestSystemStabilizeChangesPicturesAndKeepsTheSizeRules(t *testing.T) {
	clip := shaky(t)
	pictures := func(t *testing.T, args ...string) []picture {
		t.Helper()
		all := begin(t, args...).watch(t, "/video").rest()
		if len(all) < 51 {
			t.Fatalf("%v: %d pictures", args, len(all))
		}
		return all[:len(all)-1]
	}
	before := shake(t, pictures(t, "-s", clip))
	jpegs := makeMedia(t, "shaky.mjpeg", "-i", clip, "-c", "copy", "-f", "mjpeg")
	for _, tt := range []struct {
		name          string
		source        string
		options       map[string]any
		width, height int
	}{
		{"plain", clip, nil, 320, 240},
		{"recording", jpegs, nil, 320, 240},
		{"border", clip, map[string]any{"SMOOTHING_RADIUS": 10, "BORDER_SIZE": 10, "BORDER_TYPE": "reflect"}, 340, 260},
		{"crop and zoom", clip, map[string]any{"BORDER_SIZE": 10, "CROP_N_ZOOM": true}, 320, 240},
		{"all types wrong", clip, map[string]any{"SMOOTHING_RADIUS": "a", "BORDER_SIZE": "b", "BORDER_TYPE": 1, "CROP_N_ZOOM": 2, "STABILIZER_MODE": 3}, 320, 240},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calm := pictures(t, append(options(t, tt.options), "-s", tt.source, "-S")...)
			if w, h := calm[20].size(t); w != tt.width || h != tt.height {
				t.Errorf("%dx%d, want %dx%d", w, h, tt.width, tt.height)
			}
			after := shake(t, calm)
			t.Logf("differences between pictures: %.1f, without %.1f", after, before)
			if after > 0.8*before {
				t.Errorf("as shaky as before: %.1f of %.1f", after, before)
			}
		})
	}
}

// shake is how much the middle of a picture differs from that of the next, on
// average over samples from 0 to 255.
func shake(t *testing.T, all []picture) float64 {
	t.Helper()
	var before []byte
	sum, n := 0, 0
	for _, p := range all[10:50] {
		img, _, err := image.Decode(bytes.NewReader(p.data))
		if err != nil {
			t.Fatal(err)
		}
		yuv, ok := img.(*image.YCbCr)
		if !ok {
			t.Fatal(errors.New("a picture without colours"))
		}
		var now []byte
		mid := yuv.Rect.Max.Div(2)
		for y := mid.Y - 60; y < mid.Y+60; y++ {
			at := yuv.YOffset(mid.X-80, y)
			now = append(now, yuv.Y[at:at+160]...)
		}
		for i := range before {
			d := int(now[i]) - int(before[i])
			sum += max(d, -d)
			n++
		}
		before = now
	}
	return float64(sum) / float64(n)
}
