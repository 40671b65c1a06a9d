package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/testsrc"
	"github.com/webgear-pi/webgear/pkg/status"
)

// lockedBuffer collects output that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	// lines wakes who waits for more.
	lines chan struct{}
}

func newLockedBuffer() *lockedBuffer { return &lockedBuffer{lines: make(chan struct{}, 1)} }

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.lines <- struct{}{}:
	default:
	}
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// execute runs one command line that ends by itself.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, errs := newLockedBuffer(), newLockedBuffer()
	code = run(ctx, args, world{root: emptyRoot(t), home: t.TempDir(), stdout: out, stderr: errs})
	if ctx.Err() != nil {
		t.Errorf("webgear %v did not end by itself", args)
	}
	return code, out.String(), errs.String()
}

// emptyRoot is a machine without video devices.
func emptyRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"dev", "sys/class/video4linux"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "dev/notes"), []byte("no camera"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadInputGivesOneLineThatNamesTheThingAndTheRemedy(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tt := range []struct {
		args string
		code int
		want []string
	}{
		{"", 2, []string{"no command given", "webgear run"}},
		{"start", 2, []string{`unknown command "start"`, "use run, probe, provision, reload, doctor, find, firstboot, claim, passwd, accounts, token, link, hash-password or version"}},
		{"run --frobnicate", 2, []string{"unknown flag --frobnicate", "webgear run --help"}},
		{"run test", 2, []string{`unexpected argument "test"`, "--source test"}},
		{"run --framerate fast", 2, []string{"-framerate", "fast"}},
		{"run --framerate 0", 2, []string{"--framerate 0", "0.1 to 1000"}},
		{"run --framerate -3", 2, []string{"--framerate", "0.1 to 1000"}},
		{"run --resolution big", 2, []string{"--resolution", `"big"`, "WIDTHxHEIGHT"}},
		{"run --resolution 8x8", 2, []string{"--resolution", `"8x8"`, "16 to"}},
		{"run --format H264", 2, []string{"--format", `"H264"`, "MJPG"}},
		{"run --log-level loud", 2, []string{"--log-level", `"loud"`, "debug, info, warn, error"}},
		{"run --log-format xml", 2, []string{"--log-format", `"xml"`, "text, json"}},
		{"run --listen nowhere", 2, []string{"--listen", `"nowhere"`, "HOST:PORT"}},
		{"run --source test --listen " + taken.Addr().String(), 2, []string{"--listen " + taken.Addr().String(), "address already in use", "choose another"}},
		{"run --listen 127.0.0.1:0 --source banana", 2, []string{`unknown source "banana"`, "/dev/video0", "test"}},
		{"run --listen 127.0.0.1:0 --source test:0x0", 2, []string{`"0x0"`, "16 to"}},
		{"run --listen 127.0.0.1:0 --source test:1280", 2, []string{`"1280"`, "WIDTHxHEIGHT"}},
		{"run --listen 127.0.0.1:0 --source test:640x480@0", 2, []string{"0.1 to 1000"}},
		{"run --listen 127.0.0.1:0 --source test:16000x16000", 2, []string{`"16000x16000"`, "million pixels"}},
		{"run --listen 127.0.0.1:0 --source 7", 2, []string{"camera 7", "0 found", "webgear probe"}},
		{"run --listen 127.0.0.1:0 --source /dev/video9", 2, []string{"/dev/video9", "no such file", "webgear probe"}},
		{"run --listen 127.0.0.1:0 --source 99999999999999999999", 2, []string{"99999999999999999999", "webgear probe"}},
		{"run --listen 127.0.0.1:0 --source missing.mjpeg", 2, []string{"missing.mjpeg", "no such file"}},
		{"run --listen 127.0.0.1:0 --source " + write(t, "empty.mjpeg", ""), 2, []string{"empty.mjpeg", "no JPEG"}},
		{"run --config /nonexistent.yaml", 78, []string{"settings file /nonexistent.yaml", "no such file"}},
		{"run --config " + write(t, "bad.yaml", "camera:\n  sorce: x\n"), 78, []string{"bad.yaml line 2", `"sorce"`, "source"}},
		{"run --config " + write(t, "size.yaml", "camera: {resolution: 1x1}\n"), 78, []string{"size.yaml line 1", "camera.resolution", "16 to"}},
		{"run --config " + write(t, "source.yaml", "camera: {source: banana}\n"), 78, []string{"source.yaml", "camera.source", `"banana"`}},
		{"run --config " + write(t, "notcam.yaml", "http: {listen: '127.0.0.1:0'}\ncamera: {source: /dev/notes}\n"), 78, []string{"notcam.yaml", "/dev/notes", "webgear probe"}},
		{"probe --frobnicate", 2, []string{"unknown flag --frobnicate", "webgear probe --help"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, _, stderr := execute(t, strings.Fields(tt.args)...)
			if tt.args == "" { // the usage text comes first
				stderr = stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
			}
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if n := strings.Count(stderr, "\n"); n != 1 {
				t.Errorf("%d lines:\n%s", n, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("does not say %q: %s", want, stderr)
				}
			}
		})
	}
}

func TestHelpAndVersionGoToStdout(t *testing.T) {
	for args, want := range map[string]string{
		"help": "webgear probe", "--help": "webgear run", "version": "webgear ", "run --help": "-source", "probe --help": "-json",
	} {
		code, stdout, stderr := execute(t, strings.Fields(args)...)
		if code != 0 || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestProbeWithoutCamerasSaysThatTheTestPictureIsShown(t *testing.T) {
	code, stdout, _ := execute(t, "probe")
	if code != 0 || !strings.Contains(stdout, "No video devices.") || !strings.Contains(stdout, "test picture") {
		t.Errorf("code %d: %s", code, stdout)
	}
	code, stdout, _ = execute(t, "probe", "--json")
	var r probeResult
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || r.Chosen.Path != "test" || r.Nodes == nil || len(r.Encoders) == 0 || r.Encoders[0].State != status.EncoderInUse {
		t.Errorf("code %d, %v: %s", code, err, stdout)
	}
}

// instance is a webgear that runs inside the test.
type instance struct {
	url    string
	stderr *lockedBuffer
	stop   func() int
}

var servingLine = regexp.MustCompile(`msg=serving .*url=http://\S+:(\d+)/`)

// launch starts webgear run and waits until it serves.
func launch(t *testing.T, args ...string) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	i := &instance{stderr: newLockedBuffer()}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"run", "--listen", "127.0.0.1:0"}, args...),
			world{root: emptyRoot(t), home: t.TempDir(), stdout: io.Discard, stderr: i.stderr})
	}()
	i.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { i.stop() })
	deadline := time.After(20 * time.Second)
	for {
		if m := servingLine.FindStringSubmatch(i.stderr.String()); m != nil {
			i.url = "http://127.0.0.1:" + m[1]
			return i
		}
		select {
		case <-i.stderr.lines:
		case c := <-code:
			code <- c
			t.Fatalf("ended with code %d:\n%s", c, i.stderr)
		case <-deadline:
			t.Fatalf("does not serve:\n%s", i.stderr)
		}
	}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (i *instance) get(t *testing.T, path string) answer {
	t.Helper()
	resp, err := http.Get(i.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

func TestAutoWithoutACameraShowsTheTestPictureAndSaysSo(t *testing.T) {
	i := launch(t)
	if log := i.stderr.String(); !strings.Contains(log, "no camera found") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	body := i.get(t, "/state").body
	var state struct {
		Camera struct {
			Source, State string
			Info          struct {
				Synthetic bool
				Name      string
			}
		}
	}
	if err := json.Unmarshal(body, &state); err != nil || !state.Camera.Info.Synthetic || state.Camera.Source != "auto" {
		t.Errorf("%v: %s", err, body)
	}
	page := i.get(t, "/")
	if page.status != http.StatusOK || !bytes.Contains(page.body, []byte("/video")) {
		t.Errorf("page: %d\n%s", page.status, page.body)
	}
}

func TestTestSourceDeliversNumberedPicturesOfTheAskedSizeAndRate(t *testing.T) {
	i := launch(t, "--source", "test:320x240@50")
	resp, err := http.Get(i.url + "/video")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(resp.Body, params["boundary"])
	var last uint32
	for n := range 20 {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 320 || b.Dy() != 240 {
			t.Fatalf("size %v", b)
		}
		number, ok := testsrc.ReadNumber(img)
		if !ok || n > 0 && number <= last {
			t.Fatalf("picture %d has number %d (%v) after %d", n, number, ok, last)
		}
		last = number
	}
}

func TestStoppingWithViewersEndsTheirStreamsAndGivesZero(t *testing.T) {
	const viewers = 20
	i := launch(t, "--source", "test:320x240")
	var wg sync.WaitGroup
	ready := make(chan struct{}, viewers)
	for range viewers {
		wg.Go(func() {
			resp, err := http.Get(i.url + "/video")
			if err != nil {
				t.Error(err)
				ready <- struct{}{}
				return
			}
			defer func() { _ = resp.Body.Close() }()
			parts := multipart.NewReader(resp.Body, "frame")
			placeholder := ""
			for n := 0; ; n++ {
				p, err := parts.NextPart()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Errorf("stream ended badly: %v", err)
					break
				}
				placeholder = p.Header.Get("X-Placeholder")
				if n == 0 {
					ready <- struct{}{}
				}
			}
			if placeholder != "stopped" {
				t.Errorf("last part is %q, want the farewell", placeholder)
			}
		})
	}
	for range viewers {
		<-ready
	}
	begin := time.Now()
	if code := i.stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, i.stderr)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	wg.Wait()
}

func TestRecordingPlaysAtItsPaceAndLoops(t *testing.T) {
	dir := t.TempDir()
	for n := range 3 {
		i := launch(t, "--source", fmt.Sprintf("test:%dx240", 320+16*n))
		body := i.get(t, "/snapshot").body
		i.stop()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("picture%d.jpg", n+9)), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i := launch(t, "--source", dir, "--framerate", "100", "--loop")
	resp, err := http.Get(i.url + "/video")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	parts := multipart.NewReader(resp.Body, "frame")
	widths := map[int]bool{}
	for range 30 {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		c, err := jpeg.DecodeConfig(p)
		if err != nil {
			t.Fatal(err)
		}
		widths[c.Width] = true
	}
	if len(widths) != 3 {
		t.Errorf("widths %v, want three", widths)
	}
}

func TestSettingsFileNamesACameraThatComesLater(t *testing.T) {
	i := launch(t, "--config", write(t, "later.yaml", "camera: {source: /dev/video5}\n"))
	if got := i.get(t, "/snapshot").header.Get("X-Placeholder"); got != "not-found" {
		t.Errorf("placeholder %q, want not-found", got)
	}
	if code := i.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSpec08Line19EnablePiCameraIsDeprecatedAndTheAPIWins(t *testing.T) {
	i := launch(t, "-ep", "-a", "camgear", "-s", "test:320x240")
	if log := i.stderr.String(); !strings.Contains(log, "deprecated") || !strings.Contains(log, "--api pigear") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	if body := i.get(t, "/state").body; !bytes.Contains(body, []byte(`"driver": "testsrc"`)) {
		t.Errorf("another source is read:\n%s", body)
	}
}
