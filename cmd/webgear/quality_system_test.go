//go:build system

package main

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
)

// recording saves what a viewer sees, as people do with curl: the pictures of
// the test source, 640x480, without the parts between them.
func recording(t *testing.T, pictures int) string {
	t.Helper()
	d := begin(t, "-s", "test:640x480@50")
	v := d.watch(t, "/video")
	var all bytes.Buffer
	for range pictures {
		all.Write(v.until("a picture", live).data)
	}
	path := filepath.Join(t.TempDir(), "recording.mjpeg")
	if err := os.WriteFile(path, all.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// typical gives the size of a picture in pixels and the mean number of bytes.
func typical(t *testing.T, args ...string) (width, height, size int) {
	t.Helper()
	d := begin(t, args...)
	v := d.watch(t, "/video")
	const pictures = 10
	for range pictures {
		p := v.until("a picture", live)
		if _, err := jpeg.Decode(bytes.NewReader(p.data)); err != nil {
			t.Fatal(err)
		}
		width, height = p.size(t)
		size += len(p.data)
	}
	return width, height, size / pictures
}

// TestSystemReductionAndQualityChangeThePictures has the sizes of WebGear: each
// side is cut by so many per cent.
func TestSystemReductionAndQualityChangeThePictures(t *testing.T) {
	clip := recording(t, 60)
	for name, source := range map[string][]string{
		"raw":  {"-s", "test:640x480"},
		"JPEG": {"-s", clip, "--loop"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, plain := typical(t, source...)
			last := 1 << 30
			for _, tt := range []struct {
				percent       int
				width, height int
			}{{0, 640, 480}, {25, 480, 360}, {50, 320, 240}, {90, 64, 48}} {
				w, h, size := typical(t, append(options(t, map[string]any{"frame_size_reduction": tt.percent}), source...)...)
				t.Logf("reduction %d: %dx%d, %d bytes", tt.percent, w, h, size)
				if w != tt.width || h != tt.height {
					t.Errorf("reduction %d: %dx%d, want %dx%d", tt.percent, w, h, tt.width, tt.height)
				}
				if size >= last {
					t.Errorf("reduction %d: %d bytes, more than the %d before", tt.percent, size, last)
				}
				last = size
			}
			last = 0
			for _, quality := range []float64{10, 55.55, 100} {
				w, h, size := typical(t, append(options(t, map[string]any{"jpeg_compression_quality": quality}), source...)...)
				t.Logf("quality %v: %dx%d, %d bytes, %d without", quality, w, h, size, plain)
				if w != 640 || h != 480 {
					t.Errorf("quality %v: %dx%d", quality, w, h)
				}
				if float64(size) < 1.2*float64(last) {
					t.Errorf("quality %v: %d bytes after %d", quality, size, last)
				}
				last = size
			}
		})
	}
}

func TestSystemJPEGPassesThroughUnlessAChangeIsWanted(t *testing.T) {
	clip := recording(t, 20)
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	d := begin(t, "-s", clip, "--loop")
	v := d.watch(t, "/video")
	for range 10 {
		if p := v.until("a picture", live); !bytes.Contains(data, p.data) {
			t.Fatal("a picture that is not in the recording")
		}
	}
}

func TestSystemGrayWithBothOfWebGearsOptions(t *testing.T) {
	clip := makeMedia(t, "clip.mp4", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
	for _, args := range [][]string{
		{"-cs", "COLOR_BGR2GRAY"},
		{"-op", `{"jpeg_compression_colorspace": " gray "}`},
		{"-cs", "COLOR_BGR2GRAY", "-op", `{"jpeg_compression_colorspace": "GRAY", "jpeg_compression_quality": 50}`},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			d := begin(t, append(args, "-s", clip, "--loop")...)
			img, err := jpeg.Decode(bytes.NewReader(d.watch(t, "/video").until("a picture", live).data))
			if err != nil {
				t.Fatal(err)
			}
			for x := 5; x < 320; x += 20 {
				r, g, b, _ := img.At(x, 60).RGBA()
				if spread := max(r, g, b) - min(r, g, b); spread > 8<<8 {
					t.Errorf("pixel %d is coloured: %d %d %d", x, r>>8, g>>8, b>>8)
				}
			}
		})
	}
}
