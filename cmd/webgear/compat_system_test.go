//go:build system

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests use the program as a person who comes from WebGear would: the
// real binary, started with its flags, looked at over HTTP. They need ffmpeg,
// GStreamer and chromium, and root for those that mount file systems:
//
//	go test -race -tags system -run '^TestSystem' ./cmd/webgear

// binaryVariable is the environment variable that holds the path of the program
// under test, for the tests of this process.
const binaryVariable = "WEBGEAR_TEST_BINARY"

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

// buildAndRun builds the program, runs the tests and removes it.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "webgear-system-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder for temporary things
	binary := filepath.Join(dir, "webgear")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// command prepares the program with a home of its own.
func command(ctx context.Context, home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Getenv(binaryVariable), args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// daemon is a running webgear.
type daemon struct {
	url, addr, home string
	log             *lockedBuffer
	cmd             *exec.Cmd
	done            chan struct{} // closed when it has ended
}

// place is where a daemon runs; empty fields mean anywhere.
type place struct{ home, addr string }

// begin starts webgear run and waits until it serves.
func begin(t *testing.T, args ...string) *daemon {
	t.Helper()
	return beginAt(t, place{}, args...)
}

func beginAt(t *testing.T, p place, args ...string) *daemon {
	t.Helper()
	if p.home == "" {
		p.home = t.TempDir()
	}
	if p.addr == "" {
		p.addr = "127.0.0.1:0"
	}
	d := &daemon{home: p.home, log: newLockedBuffer(), done: make(chan struct{})}
	d.cmd = command(context.Background(), p.home, append([]string{"run", "--listen", p.addr}, args...)...)
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait() // the state says it
	}()
	t.Cleanup(func() { d.end(t, syscall.SIGTERM) })
	deadline := time.After(30 * time.Second)
	for {
		if m := servingLine.FindStringSubmatch(d.log.String()); m != nil {
			d.addr = "127.0.0.1:" + m[1]
			d.url = "http://" + d.addr
			return d
		}
		select {
		case <-d.log.lines:
		case <-d.done:
			t.Fatalf("webgear %v ended with code %d:\n%s", args, d.cmd.ProcessState.ExitCode(), d.log)
		case <-deadline:
			t.Fatalf("webgear %v does not serve:\n%s", args, d.log)
		}
	}
}

// end sends a signal and returns the exit code and how long it took.
func (d *daemon) end(t *testing.T, sig syscall.Signal) (code int, took time.Duration) {
	t.Helper()
	begun := time.Now()
	_ = d.cmd.Process.Signal(sig) // it may have ended
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-d.done:
	case <-limit.C:
		_ = d.cmd.Process.Kill()
		<-d.done
		t.Errorf("had to be killed:\n%s", d.log)
	}
	return d.cmd.ProcessState.ExitCode(), time.Since(begun)
}

// fails runs a command line that has to end by itself.
func fails(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := command(ctx, t.TempDir(), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("webgear %v: %v\n%s", args, err, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// options turns WebGear's options into the flag.
func options(t *testing.T, values map[string]any) []string {
	t.Helper()
	if values == nil {
		return nil
	}
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-op", string(data)}
}

func (d *daemon) get(t *testing.T, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
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

// picture is one part of a stream.
type picture struct {
	data        []byte
	placeholder string
	seq         uint64
	at          time.Time // X-Timestamp
	got         time.Time
}

func (p picture) size(t *testing.T) (width, height int) {
	t.Helper()
	c, err := jpeg.DecodeConfig(bytes.NewReader(p.data))
	if err != nil {
		t.Fatal(err)
	}
	return c.Width, c.Height
}

// viewer watches a stream until it ends or the test does.
type viewer struct {
	t        *testing.T
	status   int
	pictures chan picture // closed at the end of the stream
	err      error        // why it ended; valid then; nil for a closing boundary
	closing  bool
}

// queue is how many pictures may wait for a test: minutes of them.
const queue = 1 << 14

// watch opens the stream.
func (d *daemon) watch(t *testing.T, path string) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, status: resp.StatusCode, pictures: make(chan picture, queue)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(v.pictures)
		defer func() { _ = resp.Body.Close() }()
		v.err = v.read(bufio.NewReader(resp.Body))
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return v
}

// read takes the stream apart by the lengths of its parts.
func (v *viewer) read(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		switch line = strings.TrimSpace(line); {
		case line == "--frame--":
			v.closing = true
			return nil
		case err != nil:
			return err
		case line == "":
			continue
		case line != "--frame":
			return fmt.Errorf("%.60q where a boundary was expected", line)
		}
		h, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return err
		}
		length, err := strconv.Atoi(h.Get("Content-Length"))
		if err != nil {
			return err
		}
		p := picture{data: make([]byte, length), placeholder: h.Get("X-Placeholder")}
		if _, err := io.ReadFull(r, p.data); err != nil {
			return err
		}
		p.got = time.Now()
		stamp, err := strconv.ParseFloat(h.Get("X-Timestamp"), 64)
		if err != nil {
			return err
		}
		p.at = time.UnixMicro(int64(stamp * 1e6))
		if p.seq, err = strconv.ParseUint(h.Get("X-Sequence"), 10, 64); err != nil {
			return err
		}
		v.pictures <- p
	}
}

// until gives the first picture that fits.
func (v *viewer) until(what string, fits func(picture) bool) picture {
	v.t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case p, ok := <-v.pictures:
			if !ok {
				v.t.Fatalf("waited for %s: the stream ended: %v", what, v.err)
			}
			if fits(p) {
				return p
			}
		case <-limit.C:
			v.t.Fatalf("waited for %s in vain", what)
		}
	}
}

func live(p picture) bool { return p.placeholder == "" }

func shows(code string) func(picture) bool {
	return func(p picture) bool { return p.placeholder == code }
}

// rest gives all pictures up to the end of the stream.
func (v *viewer) rest() (all []picture) {
	v.t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case p, ok := <-v.pictures:
			if !ok {
				return all
			}
			all = append(all, p)
		case <-limit.C:
			v.t.Fatal("the stream does not end")
		}
	}
}

// delivered gives how many pictures the source has gone through, shown or left
// out because this computer was late, and when that was asked.
func (d *daemon) delivered(t *testing.T) (pictures uint64, at time.Time) {
	t.Helper()
	var state struct {
		Camera struct {
			Counters struct {
				Frames          uint64 `json:"frames"`
				DroppedByDriver uint64 `json:"dropped_by_driver"`
				DroppedStale    uint64 `json:"dropped_stale"`
			} `json:"counters"`
		} `json:"camera"`
	}
	if err := json.Unmarshal(d.get(t, "/state").body, &state); err != nil {
		t.Fatal(err)
	}
	c := state.Camera.Counters
	return c.Frames + c.DroppedByDriver + c.DroppedStale, time.Now()
}

// rate measures how fast the source goes, in pictures per second, over a time,
// and how many of them a viewer saw.
func (d *daemon) rate(t *testing.T, over time.Duration) (media, seen float64) {
	t.Helper()
	v := d.watch(t, "/video")
	warm := v.until("a live picture", live).at.Add(500 * time.Millisecond)
	first := v.until("a live picture", func(p picture) bool { return live(p) && p.at.After(warm) })
	before, begun := d.delivered(t)
	pictures := 0
	last := v.until("more pictures", func(p picture) bool {
		if live(p) {
			pictures++
		}
		return p.at.Sub(first.at) >= over
	})
	after, ended := d.delivered(t)
	return float64(after-before) / ended.Sub(begun).Seconds(), float64(pictures) / last.at.Sub(first.at).Seconds()
}

// makeMedia runs ffmpeg to make a file.
func makeMedia(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	all := append([]string{"-hide_banner", "-nostdin", "-loglevel", "error", "-y"}, args...)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", append(all, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, out)
	}
	return path
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

// warnedKey finds the key of a warning about an option.
var warnedKey = regexp.MustCompile(`level=WARN msg="(?:source )?option discarded" key=(\S+) reason=`)

// warnings counts the warnings about options by key.
func (d *daemon) warnings() map[string]int {
	count := map[string]int{}
	for _, m := range warnedKey.FindAllStringSubmatch(d.log.String(), -1) {
		count[m[1]]++
	}
	return count
}

func TestSystemAllOptionsInvalidStillServes(t *testing.T) {
	bad := map[string]any{
		"custom_data_location": true, "skip_generate_webdata": "invalid", "overwrite_default_files": "invalid",
		"custom_video_endpoint": "x#x", "frame_size_reduction": "invalid", "jpeg_compression_quality": 5,
		"jpeg_compression_fastdct": "invalid", "jpeg_compression_fastupsample": "invalid",
		"jpeg_compression_colorspace": "invalid", "enable_infinite_frames": "invalid",
		"THREADED_QUEUE_MODE": "invalid", "THREAD_TIMEOUT": "wrong", "STREAM_PARAMS": "invalid", "STREAM_RESOLUTION": 73,
		"SMOOTHING_RADIUS": "invalid", "BORDER_SIZE": -1, "BORDER_TYPE": "invalid", "CROP_N_ZOOM": "invalid", "STABILIZER_MODE": "KALMAN",
		"CAP_PROP_FPS": "invalid", "im_wrong": true,
	}
	d := begin(t, append(options(t, bad), "-s", "test:640x480")...)
	if a := d.get(t, "/"); a.status != http.StatusOK {
		t.Errorf("/: %d", a.status)
	}
	v := d.watch(t, "/video")
	if v.status != http.StatusOK {
		t.Errorf("/video: %d", v.status)
	}
	if w, h := v.until("a picture", live).size(t); w != 640 || h != 480 {
		t.Errorf("%dx%d, want the default", w, h)
	}
	got := d.warnings()
	if want := slices.Sorted(maps.Keys(bad)); !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("warned of %v\nwant      %v", slices.Sorted(maps.Keys(got)), want)
	}
	for key, n := range got {
		if n != 1 {
			t.Errorf("%s: %d warnings", key, n)
		}
	}
}

func TestSystemEndpointReplacesVideo(t *testing.T) {
	d := begin(t, append(options(t, map[string]any{"custom_video_endpoint": " xyz "}), "-s", "test:640x480")...)
	v := d.watch(t, "/xyz")
	if v.status != http.StatusOK {
		t.Errorf("/xyz: %d", v.status)
	}
	v.until("a picture", live)
	if a := d.get(t, "/video"); a.status != http.StatusNotFound || !bytes.Contains(a.body, []byte("There is no page here")) {
		t.Errorf("/video: %d\n%s", a.status, a.body)
	}
	if a := d.get(t, "/"); !bytes.Contains(a.body, []byte(`src="/xyz"`)) {
		t.Errorf("the page does not lead to the endpoint:\n%s", a.body)
	}
}

func TestSystemSkipGenerateWebdataIsJSON(t *testing.T) {
	d := begin(t, append(options(t, map[string]any{"skip_generate_webdata": true}), "-s", "test:640x480")...)
	for _, path := range []string{"/", "/test", "/static/css/custom.css"} {
		a := d.get(t, path)
		var body map[string]string
		err := json.Unmarshal(a.body, &body)
		if a.status != http.StatusNotFound || err != nil || body["detail"] == "" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %v, %v\n%s", path, a.status, a.header, err, a.body)
		}
	}
	d.watch(t, "/video").until("a picture", live)
	if entries, err := os.ReadDir(d.home); err != nil || len(entries) != 0 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
}
