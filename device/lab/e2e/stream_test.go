//go:build labguest

package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFourViewersGetEveryPictureOfAUSBCamera(t *testing.T) {
	duration, least := 5*time.Second, 28.0 // of 30
	if full() {
		duration = 20 * time.Second
	}
	if emulated() {
		least = 15 // two emulated processors carry camera, daemon and viewers
	}
	c := plugIn(t)
	d := serve(t, c.node(), "--resolution", "1280x720", "--framerate", "30")
	vs := []*viewer{watch(t, d, readRaw), watch(t, d, readRaw), watch(t, d, readMIME), watch(t, d, readMIME)}
	began := time.Now()
	for i, v := range vs {
		v.await(t, began, limit(10*time.Second), fmt.Sprintf("a live picture for viewer %d", i), part.live)
	}
	from := time.Now()
	for _, v := range vs {
		v.await(t, from, duration+limit(5*time.Second), "the end of the measurement", func(p part) bool { return p.at.Sub(from) >= duration })
	}
	for i, v := range vs {
		v.leave()
		var got []part
		for _, p := range v.seen() {
			if !p.at.Before(from) && p.at.Sub(from) <= duration {
				got = append(got, p)
			}
		}
		for k, p := range got {
			if !p.live() || p.err != nil {
				t.Fatalf("viewer %d: part %d of %d: placeholder %q, %v", i, k, len(got), p.placeholder, p.err)
			}
			if k > 0 && p.number <= got[k-1].number {
				t.Fatalf("viewer %d: picture %d after %d", i, p.number, got[k-1].number)
			}
		}
		if len(got) < 2 {
			t.Fatalf("viewer %d got %d pictures", i, len(got))
		}
		first, last := got[0], got[len(got)-1]
		fps := float64(len(got)-1) / last.at.Sub(first.at).Seconds()
		missed := int(last.number-first.number) + 1 - len(got)
		t.Logf("viewer %d: %.2f fps, %d pictures of %d bytes, %d missed", i, fps, len(got), first.size, missed)
		if fps < least {
			t.Errorf("viewer %d: %.2f fps, want at least %.0f", i, fps, least)
		}
	}
}

func TestPicturesWithoutTablesOrWithPaddingAreMended(t *testing.T) {
	c := plugIn(t)
	d := serve(t, c.node(), "--resolution", "640x480")
	v := watch(t, d, readRaw)
	v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
	for _, fault := range []string{"nodht", "pad"} {
		told := c.tell(t, fault+" -1")
		settled := told.Add(limit(time.Second)) // pictures already on their way are as before
		p := v.await(t, settled, limit(5*time.Second), "a picture after "+fault, func(part) bool { return true })
		if !p.live() || p.err != nil {
			t.Errorf("%s: placeholder %q, %v", fault, p.placeholder, p.err)
		}
		status, body := d.get(t, "/snapshot")
		if _, err := jpeg.Decode(bytes.NewReader(body)); status != http.StatusOK || err != nil {
			t.Errorf("%s: snapshot: status %d, %v", fault, status, err)
		}
		c.tell(t, "go")
	}
}

// bars are the RGB values of vivid's "75% Colorbar", left to right: 75 % of
// 255 is 191 (tpg_colors in the kernel's v4l2-tpg-colors.c).
func bars() [][3]int {
	return [][3]int{
		{191, 191, 191},
		{191, 191, 0},
		{0, 191, 191},
		{0, 191, 0},
		{191, 0, 191},
		{191, 0, 0},
		{0, 0, 191},
		{0, 0, 0},
	}
}

func TestRawFormatsHaveTheRightColoursAndDecodeWithoutAMessage(t *testing.T) {
	path := node("vivid")
	if path == "" {
		t.Fatal("vivid is not loaded")
	}
	// Nothing but flat colour: FFmpeg takes exception to such pictures when their
	// JPEG data holds no stuffed byte, see pkg/encode.
	control := exec.Command("v4l2-ctl", "-d", path, "-c", "test_pattern=0,osd_text_mode=2")
	if out, err := control.CombinedOutput(); err != nil {
		t.Fatalf("v4l2-ctl: %v\n%s", err, out)
	}
	pictures := 100
	if emulated() && !full() {
		pictures = 10 // at 5 per second
	}
	for _, format := range []string{"YUYV", "UYVY", "NV12", "RGB24"} {
		t.Run(format, func(t *testing.T) {
			d := serve(t, path, "--resolution", "1280x720", "--framerate", "30", "--format", format)
			v := watch(t, d, readRaw)
			v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
			status, body := d.get(t, "/snapshot")
			if status != http.StatusOK {
				t.Fatalf("/snapshot: status %d: %s", status, body)
			}
			img, err := jpeg.Decode(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			checkBars(t, img)
			v.leave()
			if os.Getenv("LAB_ARCH") == "arm64" {
				return // its small root file system is without FFmpeg, which judges the same bytes on amd64
			}

			// Decoding costs more than the daemon does and must not starve it.
			began := time.Now()
			out, err := exec.Command("nice", "-n", "19", "ffmpeg", "-nostdin", "-v", "warning", "-f", "mpjpeg", "-i", d.base+"/video",
				"-frames:v", strconv.Itoa(pictures), "-f", "null", "-").CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "" {
				t.Errorf("ffmpeg: %v, and it said: %s", err, out)
			}
			t.Logf("ffmpeg decoded %d pictures in %s", pictures, time.Since(began).Round(time.Millisecond))
		})
	}
}

// checkBars compares the middle of each bar, where neither the JPEG's blocks
// nor chroma subsampling reach over an edge.
func checkBars(t *testing.T, img image.Image) {
	t.Helper()
	const tolerance = 8
	if got, want := img.Bounds().Size(), image.Pt(1280, 720); got != want {
		t.Fatalf("size %v, want %v", got, want)
	}
	for i, want := range bars() {
		for _, y := range []int{100, 360, 620} {
			r, g, b, _ := img.At(80+160*i, y).RGBA()
			got := [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
			for k := range got {
				if diff := got[k] - want[k]; diff > tolerance || diff < -tolerance {
					t.Errorf("bar %d at line %d: RGB %v, want %v", i, y, got, want)
					break
				}
			}
		}
	}
}
