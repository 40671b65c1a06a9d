//go:build system

package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestSystemFilesPassJPEGThroughUntouchedAndInOrder(t *testing.T) {
	avi := mjpegAVI(t, "1")
	want := jpegs(t, avi)
	cam := open(t, avi, Options{})
	start(t, cam, device.Format{})
	i := 0
	_, err := play(t, cam, func(b *device.Buffer) {
		if i < len(want) && !bytes.Equal(b.Data, want[i]) {
			t.Errorf("picture %d: %d bytes that differ from the file's %d", i, len(b.Data), len(want[i]))
		}
		i++
	})
	if !errors.Is(err, device.ErrEnded) || i != len(want) {
		t.Errorf("end after %d pictures: %v, want ErrEnded after %d", i, err, len(want))
	}
}

// TestSystemSlowConsumer: it misses nothing of a file, and nothing but old
// pictures of a file that is delivered like a live source.
func TestSystemSlowConsumer(t *testing.T) {
	mp4 := h264MP4(t, "1")
	for _, delivery := range []Delivery{DeliverAuto, DeliverNewest} {
		cam := open(t, mp4, Options{Delivery: delivery})
		start(t, cam, device.Format{})
		stale := 0
		var last uint32
		times, err := play(t, cam, func(b *device.Buffer) {
			stale += b.Stale
			last = b.DriverSeq
			timer := time.NewTimer(80 * time.Millisecond) // the consumer's work
			defer timer.Stop()
			<-timer.C
		})
		if !errors.Is(err, device.ErrEnded) {
			t.Errorf("delivery %d: end: %v, want ErrEnded", delivery, err)
		}
		if delivery == DeliverNewest {
			if stale == 0 || len(times)+stale != int(last)+1 {
				t.Errorf("newest: %d pictures, %d stale, last number %d: want that they add up", len(times), stale, last)
			}
		} else if len(times) != 30 || stale != 0 {
			t.Errorf("all: got %d pictures and %d stale, want 30 and 0", len(times), stale)
		}
	}
}

func TestSystemLoopGoesOnAndKeepsPace(t *testing.T) {
	for name, path := range map[string]string{"AVI": mjpegAVI(t, "0.5"), "MP4": h264MP4(t, "0.5")} {
		cam := open(t, path, Options{Loop: true})
		start(t, cam, device.Format{})
		begun := time.Now()
		const frames = 60 // four times
		for i := range frames {
			if err := cam.Next(t.Context(), func(*device.Buffer) error { return nil }); err != nil {
				t.Fatalf("%s: picture %d: %v", name, i, err)
			}
		}
		if took := time.Since(begun); took < 1500*time.Millisecond || took > 4*time.Second {
			t.Errorf("%s: %d pictures took %v, want 2 s", name, frames, took)
		}
	}
}

// TestSystemImageSequence also has names that would be options or protocols.
func TestSystemImageSequence(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "-i concat:x")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		img := image.NewGray(image.Rect(0, 0, 31, 17))
		for j := range img.Pix {
			img.Pix[j] = byte(40 * i)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("img%03d.png", i)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Dir(folder))
	for _, source := range []string{filepath.Join(folder, "img%03d.png"), "-i concat:x/img%03d.png"} {
		cam := open(t, source, Options{})
		f := start(t, cam, device.Format{Rate: device.FPS(20)})
		if f.Width != 31 || f.Height != 17 || f.Stride != 32 || f.Rate.Float() != 20 || f.Quantization != device.FullRange {
			t.Errorf("%s: granted %+v, want 31x17 at 20 fps, full range", source, f)
		}
		i := 0
		_, err := play(t, cam, func(b *device.Buffer) {
			if got, want := int(b.Data[3*f.Stride+5]), 40*i; got < want-1 || got > want+1 {
				t.Errorf("%s: picture %d is as bright as %d, want %d", source, i, got, want)
			}
			i++
		})
		if !errors.Is(err, device.ErrEnded) || i != 6 {
			t.Errorf("%s: end after %d pictures: %v, want ErrEnded after 6", source, i, err)
		}
	}
}

// TestSystemColours: what the samples mean is told as the source tells it.
func TestSystemColours(t *testing.T) {
	red := []string{"-f", "lavfi", "-i", "color=red:size=64x48:rate=25", "-t", "0.2"}
	clip := func(args ...string) string {
		return makeClip(t, "red.mp4", append(red, args...)...)
	}
	mjpeg := makeClip(t, "red.avi", append(red, "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")...)
	full := []string{"-vf", "scale=out_range=full:out_color_matrix=bt601", "-pix_fmt", "yuvj420p", "-colorspace", "bt470bg", "-color_range", "pc"}
	hd := []string{"-vf", "scale=out_range=tv:out_color_matrix=bt709", "-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_range", "tv"}
	for _, tc := range []struct {
		name    string
		source  string
		opt     Options
		q       device.Quantization
		m       device.Matrix
		y, u, v int
	}{
		{"BT.709 limited", clip(hd...), Options{}, device.LimitedRange, device.BT709, 63, 102, 240},
		{"BT.601 full", clip(full...), Options{}, device.FullRange, device.BT601, 76, 85, 255},
		{"RGB", "color=red:size=64x48:rate=25,format=rgb24", Options{Demuxer: "lavfi"}, device.FullRange, device.BT601, 76, 85, 255},
		{"gray", clip(hd...), Options{Colorspace: "COLOR_BGR2GRAY"}, device.LimitedRange, device.BT709, 63, 128, 128},
		{"red and blue swapped", "color=red:size=64x48:rate=25,format=rgb24", Options{Demuxer: "lavfi", Colorspace: "COLOR_BGR2RGB"}, device.FullRange, device.BT601, 29, 255, 107},
		{"user's filter", "color=red:size=64x48:rate=25,format=rgb24", Options{Demuxer: "lavfi", Extra: map[string]string{"-vf": "hue=s=0"}}, device.FullRange, device.BT601, 76, 128, 128},
		{"pipeline", "videotestsrc pattern=red is-live=true ! video/x-raw,width=64,height=48,framerate=25/1 ! videoconvert ! video/x-raw,format=BGR ! appsink", Options{}, device.LimitedRange, device.BT601, 81, 90, 240},
		{"pipeline of full range", "filesrc location=" + mjpeg + " ! avidemux ! jpegdec ! appsink", Options{}, device.FullRange, device.BT601, 76, 85, 255},
		{"gray pipeline", "videotestsrc pattern=red is-live=true ! video/x-raw,format=I420,colorimetry=bt601,width=64,height=48,framerate=25/1 ! appsink", Options{Colorspace: "GRAY"}, device.LimitedRange, device.BT601, 81, 128, 128},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cam := open(t, tc.source, tc.opt)
			f := start(t, cam, device.Format{})
			if f.Quantization != tc.q || f.Matrix != tc.m {
				t.Errorf("granted range %d and matrix %d, want %d and %d", f.Quantization, f.Matrix, tc.q, tc.m)
			}
			err := cam.Next(t.Context(), func(b *device.Buffer) error {
				got := [3]int{int(b.Data[0]), int(b.Data[64*48]), int(b.Data[64*48*5/4])}
				for i, want := range [3]int{tc.y, tc.u, tc.v} {
					if got[i] < want-3 || got[i] > want+3 {
						t.Errorf("samples %v, want %v", got, [3]int{tc.y, tc.u, tc.v})
						break
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSystemCloseDuringStartEndsIt(t *testing.T) {
	// Waits for somebody to connect, for ever.
	cam := open(t, "tcp://"+freeAddress(t), Options{Extra: map[string]string{"-listen": "1"}})
	begun := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		close(begun)
		_, err := cam.Start(context.Background(), device.Format{})
		failed <- err
	}()
	<-begun
	timer := time.NewTimer(200 * time.Millisecond) // time to start, not needed to pass
	defer timer.Stop()
	<-timer.C
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, device.ErrClosed) {
		t.Errorf("Start: got %v, want ErrClosed", err)
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
	return makeClip(t, "shaky.mp4", "-loop", "1", "-framerate", "25", "-i", scene, "-t", "3",
		"-vf", "crop=320:240:x='80+12*random(1)-6':y='120+12*random(2)-6'", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p")
}

// shift finds how far the middle of two pictures is apart, in pixels.
func shift(a, b []byte, stride, width, height int) float64 {
	const reach, size = 14, 96
	x0, y0 := width/2-size/2, height/2-size/2
	best, dx, dy := math.MaxInt, 0, 0
	for v := -reach; v <= reach; v++ {
		for u := -reach; u <= reach; u++ {
			sum := 0
			for y := 0; y < size; y += 3 {
				for x := 0; x < size; x += 3 {
					d := int(a[(y0+y)*stride+x0+x]) - int(b[(y0+v+y)*stride+x0+u+x])
					sum += max(d, -d)
				}
			}
			if sum < best {
				best, dx, dy = sum, u, v
			}
		}
	}
	return math.Hypot(float64(dx), float64(dy))
}

// TestSystemStabilizeCalms measures the mean movement between two pictures.
func TestSystemStabilizeCalms(t *testing.T) {
	clip := shaky(t)
	measure := func(opt Options) (shake float64, f device.Format) {
		cam := open(t, clip, opt)
		f = start(t, cam, device.Format{})
		var before []byte
		n := 0
		_, err := play(t, cam, func(b *device.Buffer) {
			if before != nil {
				shake += shift(before, b.Data, f.Stride, f.Width, f.Height)
				n++
			}
			before = bytes.Clone(b.Data)
		})
		if !errors.Is(err, device.ErrEnded) {
			t.Fatal(err)
		}
		return shake / float64(n), f
	}
	without, plain := measure(Options{})
	for _, tc := range []struct {
		name  string
		s     Stabilize
		wider int
	}{
		{"defaults", Stabilize{}, 0},
		{"replicate with a border", Stabilize{BorderSize: 20, BorderType: "replicate"}, 40},
		{"crop and zoom", Stabilize{BorderSize: 16, CropNZoom: true}, 0},
	} {
		with, f := measure(Options{Stabilize: &tc.s})
		t.Logf("%s: %.2f pixels between two pictures, %.2f without", tc.name, with, without)
		if with > without*0.6 {
			t.Errorf("%s: pictures move by %.2f pixels, %.2f without: want 40 %% less at least", tc.name, with, without)
		}
		if f.Width != plain.Width+tc.wider || f.Height != plain.Height+tc.wider {
			t.Errorf("%s: %dx%d, want %d more than %dx%d", tc.name, f.Width, f.Height, tc.wider, plain.Width, plain.Height)
		}
	}
}
