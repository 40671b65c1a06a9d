//go:build labguest

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit stretches a time limit that holds on real hardware for an emulated
// machine, which is about an order of magnitude slower and shares its host.
func limit(d time.Duration) time.Duration {
	if emulated() {
		return 4 * d
	}
	return d
}

func emulated() bool { return os.Getenv("LAB_ACCEL") != "kvm" }

// full reports whether the long versions of tests are wanted.
func full() bool { return os.Getenv("LAB_FULL") == "1" }

// eventually asks again and again, every 5 ms, until ok says yes. It is for
// what the kernel announces to nobody.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	end := time.NewTimer(within)
	defer end.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-end.C:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// node is a camera node found by its driver, "" if there is none now. Of the
// two nodes that uvcvideo makes, the first carries pictures.
func node(driver string) string {
	dirs, _ := filepath.Glob("/sys/class/video4linux/video*")
	for _, d := range dirs {
		link, _ := os.Readlink(d + "/device/driver")
		index, _ := os.ReadFile(d + "/index")
		if filepath.Base(link) == driver && strings.TrimSpace(string(index)) == "0" {
			path := "/dev/" + filepath.Base(d)
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	return ""
}

// output is a process's output as it grows. It is safe for concurrent use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a child that is waited for.
type process struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed when it ended; err and state are set by then
	err    error
}

func start(t *testing.T, stdin io.Reader, bin string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, args...), done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.stdout, &p.stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		if !p.ended(0) {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if !p.ended(limit(5 * time.Second)) {
				_ = p.cmd.Process.Kill()
				<-p.done
			}
		}
		if t.Failed() {
			t.Logf("%s: %v\n%s", filepath.Base(bin), p.cmd.ProcessState, tail(p.stderr.String(), 60))
		}
	})
	return p
}

func tail(s string, lines int) string {
	l := strings.SplitAfter(s, "\n")
	return strings.Join(l[max(0, len(l)-lines):], "")
}

// ended waits for the process to end.
func (p *process) ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// program is the path of a program under test.
func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: these tests are started by package lab", variable)
	}
	return path
}

// camera is a running camsim.
type camera struct {
	*process
	stdin io.Writer
	id    string // path that survives replugging
}

// plugIn starts a simulated camera and waits for its node.
func plugIn(t *testing.T) *camera {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &camera{process: start(t, r, program(t, "CAMSIM_BIN"), "-ctl", "-"), stdin: w}
	_ = r.Close()
	t.Cleanup(func() {
		_ = w.Close() // ends it
		if !c.ended(limit(5 * time.Second)) {
			t.Error("the simulated camera did not end")
		}
		eventually(t, limit(5*time.Second), "the camera's node is gone", func() bool { return node("uvcvideo") == "" })
	})
	eventually(t, limit(15*time.Second), "the camera's node is there", func() bool {
		if c.ended(0) {
			t.Fatalf("camsim ended: %v", c.err)
		}
		return c.node() != ""
	})
	eventually(t, limit(10*time.Second), "udevd has named the camera", func() bool {
		ids, _ := filepath.Glob("/dev/v4l/by-id/*LAB0000-video-index0")
		if len(ids) > 0 {
			c.id = ids[0]
		}
		return c.id != ""
	})
	return c
}

func (c *camera) node() string { return node("uvcvideo") }

// tell gives the camera a command and returns when.
func (c *camera) tell(t *testing.T, command string) time.Time {
	t.Helper()
	now := time.Now()
	if _, err := fmt.Fprintln(c.stdin, command); err != nil {
		t.Fatalf("camsim %s: %v", command, err)
	}
	return now
}

// replug plugs the camera in again and returns when the command was given and
// when the node was there.
func (c *camera) replug(t *testing.T) (told, there time.Time) {
	t.Helper()
	told = c.tell(t, "plug")
	eventually(t, limit(5*time.Second), "the node is there again", func() bool { return c.node() != "" })
	return told, time.Now()
}

// daemon is a running webgear.
type daemon struct {
	*process
	base string // URL without a slash at its end
}

// freeAddress is a loopback address nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// serve starts webgear on a source and waits until it answers.
func serve(t *testing.T, source string, args ...string) *daemon {
	t.Helper()
	address := freeAddress(t)
	all := append([]string{"run", "--source", source, "--listen", address, "--log-level", "debug"}, args...)
	d := &daemon{process: start(t, nil, program(t, "WEBGEAR_BIN"), all...), base: "http://" + address}
	eventually(t, limit(15*time.Second), "the daemon listens", func() bool {
		if d.ended(0) {
			t.Fatalf("webgear %s ended: %v\n%s", strings.Join(all, " "), d.err, d.stderr.String())
		}
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return d
}

// get fetches a page.
func (d *daemon) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit(10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // a connection kept open would count as a leak
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// counters are the daemon's counts of pictures and failures, by name.
func (d *daemon) counters(t *testing.T) map[string]uint64 {
	t.Helper()
	var state struct {
		Camera struct {
			Counters map[string]uint64 `json:"counters"`
		} `json:"camera"`
	}
	code, body := d.get(t, "/state")
	if err := json.Unmarshal(body, &state); code != http.StatusOK || err != nil {
		t.Fatalf("/state: status %d, %v", code, err)
	}
	return state.Camera.Counters
}

// resources are what must not grow.
type resources struct {
	files, threads, goroutines int
	memory                     int // bytes that are resident
}

func (d *daemon) resources(t *testing.T) resources {
	t.Helper()
	var state struct {
		Goroutines int `json:"goroutines"`
	}
	code, body := d.get(t, "/state")
	if err := json.Unmarshal(body, &state); code != http.StatusOK || err != nil || state.Goroutines == 0 {
		t.Fatalf("/state: status %d, %v, no goroutines in %s", code, err, body)
	}
	proc := fmt.Sprintf("/proc/%d", d.cmd.Process.Pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	r := resources{files: len(fds), goroutines: state.Goroutines}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "Threads:\t%d", &r.threads)
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS:\t%d kB", &r.memory); n == 1 {
			r.memory <<= 10
		}
	}
	return r
}

// exitCode waits for the daemon to end by itself.
func (p *process) exitCode(t *testing.T, within time.Duration) int {
	t.Helper()
	if !p.ended(within) {
		t.Fatalf("%s still runs after %s", filepath.Base(p.cmd.Path), within)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return exit.ExitCode()
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return 0
}
