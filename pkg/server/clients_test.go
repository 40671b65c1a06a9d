//go:build system

// These tests let the programs people use watch a running server. They need
// curl, ffmpeg, GStreamer with its base and good plugins, Python with OpenCV,
// and strace.

package server

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// framesPerClient is how many pictures every client has to read.
const framesPerClient = 50

// realPicture is a JPEG that shows n as a bright bar.
func realPicture(t *testing.T, n, width, height int) *device.Frame {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range 16 {
			img.SetGray((x+n*16)%width, y, color.Gray{Y: 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return &device.Frame{Data: b.Bytes(), Width: width, Height: height, CapturedAt: time.Now()}
}

// keepPublishing publishes numbered pictures of 640x480 at 50 per second until the test
// ends.
func keepPublishing(t *testing.T, r *rig) {
	t.Helper()
	var pictures []*device.Frame
	for i := range 40 {
		pictures = append(pictures, realPicture(t, i, 640, 480))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			f := *pictures[i%len(pictures)]
			f.CapturedAt = time.Now()
			r.hub.Publish(&f)
			<-tick.C
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// run runs a client for at most 60 seconds and returns what it said.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// checkPictures makes sure that all are whole JPEG pictures of the right size.
func checkPictures(t *testing.T, pictures [][]byte) {
	t.Helper()
	if len(pictures) < framesPerClient {
		t.Errorf("%d pictures, want %d", len(pictures), framesPerClient)
	}
	for i, p := range pictures {
		img, err := jpeg.Decode(bytes.NewReader(p))
		if err != nil {
			t.Fatalf("picture %d, %d bytes: %v", i, len(p), err)
		}
		if s := img.Bounds().Size(); s.X != 640 || s.Y != 480 {
			t.Fatalf("picture %d is %v", i, s)
		}
	}
}

func TestCurlWatches(t *testing.T) {
	for _, version := range []string{"--http1.1", "--http1.0"} {
		t.Run(version, func(t *testing.T) {
			r := start(t, Options{})
			keepPublishing(t, r)
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "curl", "-sN", version, "http://"+r.addr+"/video")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			rd := readParts(out)
			var pictures [][]byte
			for range framesPerClient {
				p, err := rd.Next()
				if err != nil {
					t.Fatal(err)
				}
				pictures = append(pictures, p.Data)
			}
			checkPictures(t, pictures)
			// The stream ends in order, and so does curl.
			go r.hub.Close(nil)
			for err == nil {
				_, err = rd.Next()
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("curl: %v", err)
			}
		})
	}
}

func TestFFmpegWatches(t *testing.T) {
	for name, input := range map[string][]string{
		"named format": {"-f", "mpjpeg", "-strict_mime_boundary", "1"},
		"detected":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{})
			keepPublishing(t, r)
			dir := t.TempDir()
			args := append([]string{"-nostdin", "-v", "warning"}, input...)
			args = append(args, "-i", "http://"+r.addr+"/video", "-c", "copy", "-frames:v", strconv.Itoa(framesPerClient),
				"-f", "image2", filepath.Join(dir, "%03d.jpg"))
			out := run(t, "ffmpeg", args...)
			if strings.Contains(strings.ToLower(out), "error") {
				t.Errorf("ffmpeg complains: %s", out)
			}
			checkPictures(t, files(t, dir))
		})
	}
}

// files reads all files of a folder.
func files(t *testing.T, dir string) [][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestGStreamerWatches(t *testing.T) {
	r := start(t, Options{})
	keepPublishing(t, r)
	out := run(t, "gst-launch-1.0", "-v", "souphttpsrc", "location=http://"+r.addr+"/video", "is-live=true", "!",
		"multipartdemux", "!", "identity", "eos-after="+strconv.Itoa(framesPerClient+1), "!", "jpegdec", "!", "fakesink", "silent=false")
	if n := strings.Count(out, "chain   *******"); n < framesPerClient {
		t.Errorf("%d pictures were decoded, want %d:\n%s", n, framesPerClient, out)
	}
	if !strings.Contains(out, "width=(int)640, height=(int)480") {
		t.Errorf("wrong size:\n%s", out)
	}
}

func TestOpenCVWatches(t *testing.T) {
	r := start(t, Options{})
	keepPublishing(t, r)
	out := run(t, "/usr/bin/python3", "-c", `
import cv2, sys
v = cv2.VideoCapture(sys.argv[1])
n, seen = 0, set()
while n < int(sys.argv[2]):
    ok, picture = v.read()
    if not ok:
        sys.exit("no picture after %d" % n)
    assert picture.shape == (480, 640, 3), picture.shape
    seen.add(int(picture[240].argmax()) // 48)
    n += 1
print("pictures", n, "different", len(seen))
`, "http://"+r.addr+"/video", strconv.Itoa(framesPerClient))
	var n, different int
	at := strings.Index(out, "pictures ")
	if at < 0 {
		t.Fatalf("OpenCV says %q", out)
	}
	if _, err := fmt.Sscanf(out[at:], "pictures %d different %d", &n, &different); err != nil || n < framesPerClient || different < 20 {
		t.Errorf("OpenCV says %q, %v", out, err)
	}
}

func TestMimeMultipartWatches(t *testing.T) {
	r := start(t, Options{})
	keepPublishing(t, r)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+"/video", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/x-mixed-replace" {
		t.Fatalf("%q, %v", kind, err)
	}
	rd := multipart.NewReader(resp.Body, params["boundary"])
	var pictures [][]byte
	for range framesPerClient {
		p, err := rd.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("Content-Length"); got != strconv.Itoa(len(b)) {
			t.Errorf("Content-Length %s of %d bytes", got, len(b))
		}
		pictures = append(pictures, b)
	}
	checkPictures(t, pictures)
}

// straceAddress is where the child of TestPictureIsOneSystemCall listens.
const straceAddress = "WEBGEAR_TEST_STRACE_ADDRESS"

// TestPictureIsOneSystemCall runs a server below strace and compares its writev
// calls with the parts that arrived, over TCP and over a Unix socket.
func TestPictureIsOneSystemCall(t *testing.T) {
	if addr := os.Getenv(straceAddress); addr != "" {
		serveForStrace(t, addr)
		return
	}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			dir := t.TempDir()
			addr := filepath.Join(dir, "socket")
			if network == "tcp" {
				addr = freeAddress(t)
			}
			trace := filepath.Join(dir, "trace")
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "strace", "-f", "-o", trace, "-e", "trace=write,writev,sendto,sendmsg,sendmmsg,setsockopt", "-e", "signal=none",
				os.Args[0], "-test.run=^TestPictureIsOneSystemCall$")
			cmd.Env = append(os.Environ(), straceAddress+"="+addr)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the server listens", func() bool {
				c, err := net.Dial(network, addr)
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			})
			v := watch(t, addr, getVideo)
			parts := 0
			for {
				if _, err := v.parts.Next(); err != nil {
					break
				}
				parts++
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			log, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			// Header, picture and trailer; before the first one there may be the head.
			vectors := regexp.MustCompile(`(?m)writev\(\d+, .*iov_base="Content-Type: image/jpeg`).FindAllString(string(log), -1)
			// Of a picture that comes before the viewer has read the one before, nothing
			// may be taken; then it is tried again later.
			refused := regexp.MustCompile(`(?m)writev(\(| resumed).*= -1 EAGAIN`).FindAllString(string(log), -1)
			if parts < 20 || len(vectors)-len(refused) != parts {
				t.Errorf("%d parts arrived, %d vectored writes were made, %d were refused", parts, len(vectors), len(refused))
			}
			if other := regexp.MustCompile(`(?m)^.*(write|sendto|sendmsg)\(.*(image/jpeg|--frame|\\377\\330).*$`).FindAllString(string(log), -1); len(other) != 0 {
				t.Errorf("written in another way: %q", other)
			}
			if network == "tcp" && !regexp.MustCompile(`TCP_NODELAY, \[1\]`).Match(log) {
				t.Error("the kernel may wait for more before it sends the end of a picture")
			}
			t.Logf("%d parts, %d writev calls, %d refused", parts, len(vectors), len(refused))
		})
	}
}

// freeAddress returns a TCP address that nobody uses at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// serveForStrace is the child: it sends 30 pictures to its first viewer.
func serveForStrace(t *testing.T, addr string) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, ln, Options{})
	f := realPicture(t, 0, 640, 480)
	for i := range 30 {
		next := *f
		r.hub.Publish(&next)
		eventually(t, "the viewer has it", func() bool {
			viewers := r.Stream().Viewers
			return len(viewers) == 1 && viewers[0].Frames > uint64(i)
		})
	}
}
