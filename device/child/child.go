package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

const (
	// pipeBytes is how much the pipe of the pictures holds: the most a user
	// without privileges may ask for (fs.pipe-max-size, pipe(7)).
	pipeBytes = 1 << 20
	// defaultGrace is how long a program may take to end by itself. Chosen:
	// time to take leave of an RTSP server, and enough below the 1.8 s in which
	// the whole program ends that what does not listen is killed before.
	defaultGrace = time.Second
	// lastWords is how long lines are waited for once the program is gone. They
	// are in the pipe already; only a process that left the group holds it open.
	lastWords = 500 * time.Millisecond
)

// Spec says what to run.
type Spec struct {
	// Program is a name to be found in PATH, or a path.
	Program string
	// Package is the Debian package that has it.
	Package string
	// Args are its arguments, without its name.
	Args []string
	// Env is added to PATH, HOME and LANG=C, which is all a program gets.
	Env []string
	// DataFD3 moves the pictures from file descriptor 1 to 3. What the program
	// writes to descriptor 1 then counts as lines.
	DataFD3 bool
	// Files are given to the program as its next descriptors: from 3 on, or from
	// 4 with DataFD3. The caller closes its own.
	Files []*os.File
	// Grace is the time between SIGINT and SIGKILL. 0 means 1 s.
	Grace time.Duration
	// Redact is applied to every line before it is kept or logged, to take
	// passwords out. Nil leaves lines alone.
	Redact func(line string) string
	// OnLine is called with every line, one after the other. It must not wait.
	// Nil is fine.
	OnLine func(line string)
	// Log gets every line at debug level. Nil drops them.
	Log *slog.Logger
}

// Child is a program that runs, or did.
type Child struct {
	name  string
	grace time.Duration
	out   *os.File // read end of the pictures
	lines *tail
	cmd   *exec.Cmd

	stopping sync.Once
	done     chan struct{} // closed once the program was waited for
	err      error         // why it ended; valid once done is closed

	mu     sync.Mutex
	reaped bool // the process ID may mean somebody else by now
}

// Start runs a program in a process group of its own. The context bounds Start
// only; Stop ends the program and has to be called in any case. A program that
// is missing gives an error of the kind device.ErrNotInstalled.
func Start(ctx context.Context, spec Spec) (*Child, error) {
	if ctx.Err() != nil {
		return nil, &device.OpError{Op: "start", Path: spec.Program, Err: context.Cause(ctx)}
	}
	path, err := exec.LookPath(spec.Program)
	if err != nil {
		return nil, startError(spec, err)
	}
	out, data, err := os.Pipe()
	if err != nil {
		return nil, startError(spec, err)
	}
	said, voice, err := os.Pipe()
	if err != nil {
		return nil, startError(spec, errors.Join(err, out.Close(), data.Close()))
	}
	enlarge(data)

	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, spec.Args...)
	cmd.Env = environment(spec.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = voice
	if spec.DataFD3 {
		cmd.Stdout, cmd.ExtraFiles = voice, []*os.File{data}
	} else {
		cmd.Stdout = data
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, spec.Files...)
	err = cmd.Start()
	// The program has its own copies; ours would keep the pipes open.
	closeErr := errors.Join(data.Close(), voice.Close())
	if err != nil {
		return nil, startError(spec, errors.Join(err, closeErr, out.Close(), said.Close()))
	}
	c := &Child{
		name: filepath.Base(spec.Program), grace: spec.Grace, out: out, cmd: cmd,
		lines: newTail(spec), done: make(chan struct{}),
	}
	if c.grace == 0 {
		c.grace = defaultGrace
	}
	go c.wait(said)
	return c, nil
}

// startError describes why a program could not be started.
func startError(spec Spec, err error) error {
	e := &device.OpError{Op: "start", Path: spec.Program, Err: err}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		e.Kind = device.ErrNotInstalled
		e.Err = fmt.Errorf("%s is not installed: apt install %s", filepath.Base(spec.Program), spec.Package)
		if strings.ContainsRune(spec.Program, '/') {
			e.Err = fmt.Errorf("no such program: correct its path, or leave it out and apt install %s", spec.Package)
		}
	case errors.Is(err, os.ErrPermission):
		e.Kind = device.ErrPermission
	}
	return e
}

// environment is the little that programs are told about the world: PATH, by
// which they find others (yt-dlp starts ffmpeg), HOME, where they keep caches, and
// a language whose messages we can read. Nothing else of ours is their business:
// not the socket of the service manager, and no password that somebody put into a
// variable. Arguments go to the program as they are, without a shell; whoever
// makes them sees to it that none becomes an option.
func environment(more []string) []string {
	env := []string{"LANG=C", "LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return slices.Concat(env, more) // of two, the later one counts
}

// enlarge is worth a try: more room saves switches between the two processes,
// but the pipe works without.
func enlarge(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { // not everybody may have large pipes
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes)
	})
}

// wait sees the program to its end.
func (c *Child) wait(said *os.File) {
	defer close(c.done)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		c.lines.collect(said)
	}()

	// The process stays a zombie until the group is dead, so that its number,
	// which is the group's too, cannot be given to somebody else before.
	awaitExit(c.cmd.Process.Pid)
	c.mu.Lock()
	_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL) // what it started itself, if any is left
	c.reaped = true
	c.mu.Unlock()
	err := c.cmd.Wait()

	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-collected:
	case <-timer.C:
	}
	_ = said.Close() // it was only read
	<-collected
	c.err = c.exitError(err)
}

// awaitExit returns when the process is dead, and leaves it to be waited for.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (c *Child) exitError(err error) error {
	if err == nil {
		return nil
	}
	e := &ExitError{Program: c.name, Status: -1, Line: c.lines.last(), Err: err}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok {
			e.Status = ws.ExitStatus()
			if ws.Signaled() {
				e.Signal = ws.Signal()
			}
		}
	}
	return e
}

// Read reads what the program writes. It returns io.EOF at the end, an error
// matching os.ErrClosed after Stop, and one matching os.ErrDeadlineExceeded
// when a deadline passed.
func (c *Child) Read(p []byte) (int, error) { return c.out.Read(p) }

// SetReadDeadline bounds Read; the zero time lifts the bound.
func (c *Child) SetReadDeadline(t time.Time) error { return c.out.SetReadDeadline(t) }

// Done is closed when the program has ended and was waited for. What it wrote
// before can still be read.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says how the program ended: nil while it runs and when its exit status
// was 0, otherwise an *ExitError.
func (c *Child) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Lines gives the last lines the program said, oldest first, at most 20.
func (c *Child) Lines() []string { return c.lines.all() }

// PID is the number of the process, and of its group.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Stop ends the program: SIGINT to its group, SIGKILL after the grace. It
// returns when the program is gone and everything that belongs to it is
// released. More calls do the same and nothing more.
func (c *Child) Stop() {
	c.stopping.Do(func() {
		c.signal(unix.SIGINT)
		// A program that is stuck writing learns from its pipe.
		_ = c.out.Close() // it was only read
		timer := time.NewTimer(c.grace)
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
			c.signal(unix.SIGKILL)
		}
	})
	<-c.done
}

// Interrupt asks the program to end: SIGINT to its group. What it writes until
// then can be read; Stop has to be called all the same.
func (c *Child) Interrupt() { c.signal(unix.SIGINT) }

func (c *Child) signal(sig unix.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = unix.Kill(-c.cmd.Process.Pid, sig) // it may just have ended
	}
}

// ExitError says how a program ended that did not succeed.
type ExitError struct {
	// Program is its name.
	Program string
	// Status is the exit status, -1 when a signal ended it.
	Status int
	// Signal is what ended it, or 0.
	Signal syscall.Signal
	// Line is the last thing it said, or empty.
	Line string
	// Err is what waiting for it returned.
	Err error
}

// Error reads "ffmpeg: Connection refused (exit status 1)".
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Status)
	switch {
	case e.Signal != 0:
		how = "ended by signal: " + e.Signal.String()
	case e.Status < 0:
		how = e.Err.Error()
	}
	if e.Line == "" {
		return e.Program + ": " + how
	}
	return e.Program + ": " + e.Line + " (" + how + ")"
}

// Unwrap gives what waiting returned.
func (e *ExitError) Unwrap() error { return e.Err }

// errTooMuch: a program says more than it was asked for.
var errTooMuch = errors.New("says too much")

// Output runs a program to its end and gives what it wrote, at most limit
// bytes, and the last lines it said. The program is stopped when the context
// ends.
func Output(ctx context.Context, spec Spec, limit int) (out []byte, lines []string, err error) {
	c, err := Start(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
			c.Stop()
		case <-c.done:
		}
	}()
	out, err = io.ReadAll(io.LimitReader(c, int64(limit)+1))
	switch {
	case len(out) > limit:
		err = fmt.Errorf("%s: %w: more than %d bytes", c.name, errTooMuch, limit)
	case err == nil:
		<-c.done
	}
	c.Stop()
	<-watched
	lines = c.Lines()
	switch {
	case ctx.Err() != nil:
		return nil, lines, context.Cause(ctx)
	case err != nil:
		return nil, lines, err
	case c.err != nil:
		return nil, lines, c.err
	}
	return out, lines, nil
}
