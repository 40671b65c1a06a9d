//go:build deb

package machine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// emulate runs a job on an emulated computer.
func emulate(t *testing.T, env []string, suite, arch, job string, files ...string) error {
	t.Helper()
	out, err := shell(t, env, "./qemu.sh", append([]string{suite, arch, job}, files...)...)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "[") {
			t.Log(strings.TrimSpace(line))
		}
	}
	return err
}

// fact puts a word into a file of that name, for a job to read.
func fact(t *testing.T, name, word string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(word+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func program(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	must(t, []string{"CGO_ENABLED=0"}, "go", "build", "-o", to, path)
	return to
}

func TestPackageOnAComputerWithCameras(t *testing.T) {
	if !full() {
		return
	}
	repo := filepath.Join(t.TempDir(), "repo")
	debs := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		must(t, nil, "cp", build(t, arch, "0.0.1~old"), debs)
	}
	must(t, []string{"WEBGEAR_CACHE=" + t.TempDir()}, "../apt/build.sh", debs, repo)
	files := []string{repo, program(t, "../../device/lab/camsim"), program(t, "../../device/libcamera/fakerpicam")}
	for _, tt := range []struct {
		suite, arch string
		more        []string
	}{
		{"bookworm", "amd64", []string{fact(t, "slow", "2"), fact(t, "late", "600")}},
		{"trixie", "amd64", []string{fact(t, "slow", "2")}},
		{"bookworm", "arm64", []string{fact(t, "slow", "4"), fact(t, "short", "")}},
		{"trixie", "arm64", []string{fact(t, "slow", "4"), fact(t, "short", "")}},
	} {
		t.Run(tt.suite+" "+tt.arch, func(t *testing.T) {
			if err := emulate(t, []string{"LIMIT=2000"}, tt.suite, tt.arch, "camera.sh", append(files, tt.more...)...); err != nil {
				t.Error(err)
			}
		})
	}
}

// powerFailures is how often the computer is switched off at a random moment.
const powerFailures = 10

func TestNoEditIsLostWhenPowerFails(t *testing.T) {
	if !full() {
		return
	}
	dir := t.TempDir()
	said, kill, working := filepath.Join(dir, "job"), filepath.Join(dir, "kill"), filepath.Join(dir, "job", "working")
	env := []string{"LIMIT=300", "DISK=" + filepath.Join(dir, "disk.qcow2"), "SAID=" + said}
	deb := named(t, build(t, "amd64", ""), "new.deb")
	if err := emulate(t, env, "trixie", "amd64", "power.sh", deb); err != nil {
		t.Fatal(err)
	}
	env = append(env, "KILL="+kill)
	for i := range powerFailures {
		// Every other time the clock is wrong, as that of a Pi without a network.
		clock := time.Now().UTC().Format("2006-01-02T15:04:05")
		if i%2 == 1 {
			clock = "1971-01-01T00:00:00"
		}
		for _, f := range []string{kill, working} {
			if err := os.RemoveAll(f); err != nil {
				t.Fatal(err)
			}
		}
		over := make(chan struct{})
		fails := make(chan time.Duration, 1)
		go func() { fails <- failPower(over, working, kill) }()
		err := emulate(t, append(env, "CLOCK="+clock), "trixie", "amd64", "power.sh", deb)
		close(over)
		t.Logf("power failure %d, %v after the first edit", i+1, <-fails)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 75 {
			t.Fatalf("the computer was not switched off while it worked: %v", err)
		}
	}
	// What the last failure left is looked at, too.
	if err := os.WriteFile(filepath.Join(said, "last"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := emulate(t, env[:3], "trixie", "amd64", "power.sh", deb); err != nil {
		t.Error(err)
	}
}

// failPower has the power fail some time after the computer began to work.
func failPower(over <-chan struct{}, working, kill string) time.Duration {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	wait := time.Duration(rand.Int64N(int64(4 * time.Second)))
	var due time.Time
	for {
		select {
		case <-over:
			return wait
		case now := <-tick.C:
			if _, err := os.Stat(working); err == nil && due.IsZero() {
				due = now.Add(wait)
			}
			if !due.IsZero() && now.After(due) {
				_ = os.WriteFile(kill, fmt.Appendln(nil, "now"), 0o600) // the test tells when it is missing
				return wait
			}
		}
	}
}
