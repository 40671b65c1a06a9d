package child

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestReadGivesWhatTheProgramWrites(t *testing.T) {
	for _, role := range []string{"talk", "fd3"} {
		t.Run(role, func(t *testing.T) {
			s := spec(t, role)
			s.DataFD3 = role == "fd3"
			c := begin(t, s)
			if got := readAll(t, c); got != "pictures" {
				t.Errorf("read %q, want %q", got, "pictures")
			}
			within(t, "end", 10*time.Second, c.Done())
			if err := c.Err(); err != nil {
				t.Errorf("Err: got %v, want nil for exit status 0", err)
			}
			if role == "fd3" && strings.Join(c.Lines(), "|") != "chatter" {
				t.Errorf("lines %q, want what was written to standard output", c.Lines())
			}
		})
	}
}

func TestErrSaysLastLineAndStatus(t *testing.T) {
	c := begin(t, spec(t, "die"))
	readAll(t, c)
	within(t, "end", 10*time.Second, c.Done())
	exit, ok := errors.AsType[*ExitError](c.Err())
	if !ok || exit.Status != 7 || exit.Line != "no such camera" {
		t.Fatalf("Err: got %#v, want status 7 and the last line", c.Err())
	}
	if want := exit.Program + ": no such camera (exit status 7)"; c.Err().Error() != want {
		t.Errorf("Err: got %q, want %q", c.Err(), want)
	}
}

func TestErrNamesSignal(t *testing.T) {
	c := begin(t, spec(t, "crash"))
	within(t, "end", 10*time.Second, c.Done())
	exit, ok := errors.AsType[*ExitError](c.Err())
	if !ok || exit.Signal != syscall.SIGKILL || !strings.HasSuffix(exit.Error(), ": ended by signal: killed") {
		t.Errorf("Err: got %v, want that a signal killed it", c.Err())
	}
}

func TestFloodOfLinesKeepsTheLastAndBlocksNothing(t *testing.T) {
	var log bytes.Buffer
	s := spec(t, "flood")
	s.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Redact = func(line string) string { return strings.ReplaceAll(line, "progress", "secret") }
	c := begin(t, s)
	if got := readAll(t, c); got != "done" {
		t.Errorf("read %q, want %q", got, "done")
	}
	within(t, "end", 10*time.Second, c.Done())
	lines := c.Lines()
	if len(lines) != keptLines {
		t.Fatalf("kept %d lines, want %d", len(lines), keptLines)
	}
	if got, want := lines[keptLines-1], "secret 2"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	if got := lines[keptLines-2]; len(got) != maxLine || !strings.HasPrefix(got, "longlong") {
		t.Errorf("long line: got %d bytes beginning with %.10q, want %d", len(got), got, maxLine)
	}
	if got := lines[0]; !strings.HasPrefix(got, "19982 xxx") {
		t.Errorf("first kept line %.20q, want number 19982", got)
	}
	if got := strings.Count(log.String(), "helper program spoke"); got != 20002 {
		t.Errorf("logged %d lines, want 20002", got)
	}
}

func TestStopAsksFirst(t *testing.T) {
	s := spec(t, "polite")
	s.Grace = 20 * time.Second
	c := begin(t, s)
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	begun := time.Now()
	c.Stop()
	if took := time.Since(begun); took > s.Grace/2 {
		t.Errorf("Stop took %v, although the program listens", took)
	}
	if c.Err() != nil || strings.Join(c.Lines(), "|") != "bye" {
		t.Errorf("after Stop: got %v, lines %q, want nil and bye", c.Err(), c.Lines())
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Stop: got %v, want os.ErrClosed", err)
	}
}

func TestInterruptAsksAndLetsTheRestBeRead(t *testing.T) {
	c := begin(t, spec(t, "polite"))
	br := bufio.NewReader(c)
	if line, err := br.ReadString('\n'); line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	c.Interrupt()
	within(t, "end", 10*time.Second, c.Done())
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("Read after the end: got %v, want io.EOF", err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("got %v, want that it ended in order", err)
	}
	c.Interrupt() // meets nobody
}

func TestFilesAreGivenBehindThePictures(t *testing.T) {
	for _, onThree := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s := spec(t, "files")
		s.DataFD3, s.Files = onThree, []*os.File{w}
		number := "3"
		if onThree {
			number = "4"
		}
		s.Env = append(s.Env, "FILES="+number)
		c, err := Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(r) // ends with the program
		if err != nil || string(said) != "file "+number {
			t.Errorf("DataFD3 %v: got %q, %v, %v", onThree, said, err, c.Lines())
		}
		c.Stop()
		_ = r.Close() // it was only read
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	c := begin(t, spec(t, "stubborn"))
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	begun := time.Now()
	c.Stop()
	if took := time.Since(begun); took < c.grace {
		t.Errorf("Stop took %v, less than the grace of %v", took, c.grace)
	}
	if exit, ok := errors.AsType[*ExitError](c.Err()); !ok || exit.Signal != syscall.SIGKILL {
		t.Errorf("Err: got %v, want that a signal killed it", c.Err())
	}
}

func TestStopFreesProgramStuckInFullPipe(t *testing.T) {
	s := spec(t, "full")
	s.Grace = 20 * time.Second
	c := begin(t, s)
	if _, err := io.ReadFull(c, make([]byte, 2*pipeBytes)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	c.Stop()
	if took := time.Since(begun); took > s.Grace/2 {
		t.Errorf("Stop took %v", took)
	}
}

func TestStopWakesRead(t *testing.T) {
	c := begin(t, spec(t, "stubborn"))
	br := bufio.NewReader(c)
	if line, err := br.ReadString('\n'); line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := br.ReadByte()
		failed <- err
	}()
	c.Stop()
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Errorf("Read: got %v, want os.ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Stop did not wake Read")
	}
}

// TestGrandchildrenDoNotSurvive: neither when the program is stopped nor when it
// leaves by itself.
func TestGrandchildrenDoNotSurvive(t *testing.T) {
	for _, leave := range []bool{false, true} {
		t.Run(fmt.Sprintf("leave=%v", leave), func(t *testing.T) {
			s := spec(t, "parent")
			if leave {
				s.Env = append(s.Env, "LEAVE=1")
			}
			c := begin(t, s)
			br := bufio.NewReader(c)
			// The grandchild writes to the same pipe, before its parent or after.
			pid := 0
			for pid == 0 {
				line, err := br.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				pid, _ = strconv.Atoi(strings.TrimSpace(line)) // 0 for other lines
			}
			if leave {
				// Its end shows although the grandchild held the pipes.
				within(t, "end", 10*time.Second, c.Done())
				if _, err := io.ReadAll(br); err != nil {
					t.Errorf("read: got %v, want the end", err)
				}
			}
			c.Stop()
			// Somebody else's zombie may stay for a moment, or for good.
			deadline := time.After(5 * time.Second)
			for alive(pid) {
				select {
				case <-time.After(2 * time.Millisecond):
				case <-deadline:
					t.Fatalf("grandchild %d lives", pid)
				}
			}
		})
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

func TestDeadlineBoundsRead(t *testing.T) {
	c := begin(t, spec(t, "stubborn"))
	br := bufio.NewReader(c)
	if _, err := br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := br.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: got %v, want os.ErrDeadlineExceeded", err)
	}
}

func TestEnvironmentIsMinimal(t *testing.T) {
	t.Setenv("WEBGEAR_SECRET", "1")
	t.Setenv("HOME", "/home/somebody")
	c := begin(t, spec(t, "environment"))
	got := map[string]string{}
	for line := range strings.Lines(readAll(t, c)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[name] = value
	}
	want := map[string]string{"PATH": os.Getenv("PATH"), "HOME": "/home/somebody", "LANG": "C", "LC_ALL": "C", roleVariable: "environment", "GORACE": "atexit_sleep_ms=0"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("environment %v, want %v", got, want)
	}
}

func TestMissingProgramNamesItsPackage(t *testing.T) {
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	for _, tc := range []struct {
		program string
		kind    error
		text    string
	}{
		{"ffmpeg", device.ErrNotInstalled, "start ffmpeg: ffmpeg is not installed: apt install ffmpeg"},
		{"/nonexistent/ffmpeg", device.ErrNotInstalled, "start /nonexistent/ffmpeg: no such program: correct its path, or leave it out and apt install ffmpeg"},
		{plain, device.ErrPermission, "start " + plain},
	} {
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		_, err := Start(t.Context(), Spec{Program: tc.program, Package: "ffmpeg"})
		if opErr, ok := errors.AsType[*device.OpError](err); !ok || !errors.Is(opErr, tc.kind) || !strings.HasPrefix(opErr.Error(), tc.text) {
			t.Errorf("Start(%s): got %v, want %q of kind %v", tc.program, err, tc.text, tc.kind)
		}
		settle(t, goroutines, files)
	}
}

func TestStartRefusesEndedContext(t *testing.T) {
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Start(ctx, spec(t, "talk")); !errors.Is(err, cause) {
		t.Errorf("Start: got %v, want %v", err, cause)
	}
}

func TestOutput(t *testing.T) {
	cause := errors.New("cause of the test")
	for _, tc := range []struct {
		role  string
		limit int
		want  string
		check func(error) bool
	}{
		{"talk", 8, "pictures", func(err error) bool { return err == nil }},
		{"talk", 7, "", func(err error) bool { return errors.Is(err, errTooMuch) }},
		{"full", 100, "", func(err error) bool { return errors.Is(err, errTooMuch) }},
		{"die", 100, "", func(err error) bool {
			exit, ok := errors.AsType[*ExitError](err)
			return ok && exit.Status == 7
		}},
		{"stubborn", 100, "", func(err error) bool { return errors.Is(err, cause) }},
	} {
		t.Run(fmt.Sprint(tc.role, tc.limit), func(t *testing.T) {
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			ctx := t.Context()
			cancel := func() {}
			if tc.role == "stubborn" {
				ctx, cancel = context.WithTimeoutCause(ctx, 50*time.Millisecond, cause)
			}
			defer cancel()
			out, _, err := Output(ctx, spec(t, tc.role), tc.limit)
			if string(out) != tc.want || !tc.check(err) {
				t.Errorf("Output: got %q, %v, want %q", out, err, tc.want)
			}
			cancel()
			settle(t, goroutines, files)
		})
	}
}

// TestManyStartsAndStops looks for races between a program's end and Stop.
func TestManyStartsAndStops(t *testing.T) {
	for i := range 20 {
		c := begin(t, spec(t, []string{"talk", "die", "polite"}[i%3]))
		go c.Stop()
		if i%2 == 0 {
			_, _ = io.Copy(io.Discard, c) // ends either way
		}
		c.Stop()
	}
}
