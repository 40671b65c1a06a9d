// Package lab runs programs in a virtual machine with virtual cameras: vivid,
// the kernel's video test driver, and camsim, a USB webcam made of software
// that the kernel's uvcvideo driver takes for real. Tests use it to meet real
// drivers without owning hardware; see the README beside this file.
//
// The machine is made by setup.sh and started by vm-run.sh; this package is
// their face in Go. It is no part of the daemon. Run may be called from
// several goroutines: every call has a machine of its own.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Failures of the machine, as opposed to those of the program in it.
var (
	// ErrTimeout: the machine was powered off because time ran out.
	ErrTimeout = errors.New("time ran out")
	// ErrDied: the machine ended without the program's exit code.
	ErrDied = errors.New("the machine died")
)

// exitTimeout is vm-run.sh's code for a machine that ran out of time.
const exitTimeout = 124

// Job is a program to run in a machine of its own.
type Job struct {
	// Command is the program and its arguments. A single string is a line of
	// bash.
	Command []string
	// Dir is the working folder. The host shares it with the guest, writable,
	// at the same path. FIFOs and sockets do not work in it. The zero value is
	// the current folder.
	Dir string
	// Modules are kernel modules to load, each with its parameters, such as
	// "vivid n_devs=1".
	Modules []string
	// Env is NAME=value pairs for the program.
	Env []string
	// Forward are ports to forward, such as "tcp:127.0.0.1:18080-:8080".
	Forward []string
	// Udev starts udevd, which makes /dev/v4l/by-id.
	Udev bool
	// Timeout bounds the life of the machine; zero means 5 minutes.
	Timeout time.Duration
	// Output gets what the program writes while it runs, both its outputs
	// together. It may be nil.
	Output io.Writer
}

// Result is how a program ended.
type Result struct {
	ExitCode int
	// Output is all the program wrote.
	Output []byte
}

// Run boots a machine, runs the job and waits until the machine is off. A
// program that fails is no error: see Result.ExitCode. When ctx ends the
// machine is switched off.
func Run(ctx context.Context, job Job) (Result, error) {
	if len(job.Command) == 0 {
		return Result{}, errors.New("lab run: no command")
	}
	root, err := FindRoot(".")
	if err != nil {
		return Result{}, err
	}
	scratch, err := os.MkdirTemp("", "webgear-lab-")
	if err != nil {
		return Result{}, fmt.Errorf("lab run: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	code := filepath.Join(scratch, "code")

	cmd := exec.CommandContext(ctx, filepath.Join(root, "device/lab/vm-run.sh"), arguments(job, code)...)
	cmd.Dir = job.Dir
	var output, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &trouble
	if job.Output != nil {
		cmd.Stdout = io.MultiWriter(&output, job.Output)
	}
	// The script stops the emulator when asked to; a kill would orphan it.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	result := Result{Output: output.Bytes()}
	if ctx.Err() != nil {
		return result, fmt.Errorf("lab run %s: %w", job.Command[0], context.Cause(ctx))
	}
	text, readErr := os.ReadFile(code) // only there when the program ended
	if readErr == nil {
		result.ExitCode, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return result, err
	}
	kind := ErrDied
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitTimeout {
		kind = ErrTimeout
	}
	return result, fmt.Errorf("lab run %s: %w\n%s", job.Command[0], kind, trouble.Bytes())
}

// arguments is the command line of vm-run.sh.
func arguments(job Job, code string) []string {
	args := []string{"-x", code}
	for _, m := range job.Modules {
		args = append(args, "-m", m)
	}
	for _, f := range job.Forward {
		args = append(args, "-f", f)
	}
	for _, e := range job.Env {
		args = append(args, "-e", e)
	}
	if job.Udev {
		args = append(args, "-u")
	}
	if job.Timeout > 0 {
		args = append(args, "-t", strconv.Itoa(int(job.Timeout.Round(time.Second)/time.Second)))
	}
	return append(append(args, "--"), job.Command...)
}

// FindRoot returns the absolute path of the repository that dir is in: the
// nearest folder above with device/lab/vm-run.sh.
func FindRoot(dir string) (string, error) {
	from, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := from; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "device/lab/vm-run.sh")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find repository: %s is in no checkout of webgear", from)
		}
	}
}
