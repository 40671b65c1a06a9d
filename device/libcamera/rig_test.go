package libcamera

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// fakeProgram is the path of the fake rpicam-vid, set by TestMain.
var fakeProgram string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fakerpicam")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		fakeProgram = filepath.Join(dir, "rpicam-vid")
		out, err := exec.Command("go", "build", "-o", fakeProgram, "./fakerpicam").CombinedOutput()
		if err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// lines is a log that tests can read while it grows.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// rig is a driver on the fake program.
type rig struct {
	t       *testing.T
	drv     *Driver
	control string // what goes wrong from now on
	runs    string // command lines so far
	log     *lines
}

func newRig(t *testing.T, fake string, change ...func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, control: filepath.Join(dir, "control"), runs: filepath.Join(dir, "runs"), log: &lines{}}
	cfg := Config{
		Program: fakeProgram, StopGrace: 500 * time.Millisecond,
		Env:    []string{"FAKERPICAM=" + fake + " log=" + r.runs, "FAKERPICAM_CONTROL=" + r.control},
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	r.drv = New(cfg)
	return r
}

// fault writes the control file, whole or not at all.
func (r *rig) fault(words string) {
	r.t.Helper()
	if err := os.WriteFile(r.control+".new", []byte(words), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.control+".new", r.control); err != nil {
		r.t.Fatal(err)
	}
}

// ran gives the command lines that contain a word.
func (r *rig) ran(word string) []string {
	r.t.Helper()
	data, err := os.ReadFile(r.runs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, word) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r.t.Cleanup(cancel)
	return ctx
}

// open opens a camera and closes it at the end of the test.
func (r *rig) open(ref string, opt Options) *Camera {
	r.t.Helper()
	cam, err := r.drv.Open(r.context(), ref, opt)
	if err != nil {
		r.t.Fatalf("Open(%q): %v", ref, err)
	}
	r.t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
	return cam
}

// start opens and starts a camera.
func (r *rig) start(opt Options, want device.Format) (*Camera, device.Format) {
	r.t.Helper()
	cam := r.open("", opt)
	f, err := cam.Start(r.context(), want)
	if err != nil {
		r.t.Fatalf("Start: %v", err)
	}
	return cam, f
}

// take gives a copy of the next picture.
func (r *rig) take(cam *Camera) device.Buffer {
	r.t.Helper()
	b, err := r.try(cam)
	if err != nil {
		r.t.Fatalf("Next: %v", err)
	}
	return b
}

func (r *rig) try(cam *Camera) (device.Buffer, error) {
	var got device.Buffer
	err := cam.Next(r.context(), func(b *device.Buffer) error {
		got = *b
		got.Data = bytes.Clone(b.Data)
		return nil
	})
	return got, err
}

// fail takes pictures until there are no more, and gives the error.
func (r *rig) fail(cam *Camera) error {
	r.t.Helper()
	for range 10000 {
		if _, err := r.try(cam); err != nil {
			return err
		}
	}
	r.t.Fatal("pictures come without end")
	return nil
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// leakFree compares goroutines and files before and after.
func leakFree(t *testing.T, use func()) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	use()
	eventually(t, "goroutines and files are back to what they were", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles() <= files
	})
}
