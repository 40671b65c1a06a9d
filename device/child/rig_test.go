package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test binary act as a helper program.
const roleVariable = "WEBGEAR_CHILD_TEST_ROLE"

// noSleep keeps a race-enabled helper program from waiting a second at its end.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(act(role))
	}
	os.Exit(m.Run())
}

// act is what the helper program does.
func act(role string) int {
	say := func(line string) { _, _ = os.Stderr.WriteString(line + "\n") }
	forever := make(chan os.Signal, 1)
	// A program without cgo that waits for nothing at all is a deadlock to the runtime.
	defer time.AfterFunc(time.Hour, func() {}).Stop()
	switch role {
	case "talk":
		_, _ = os.Stdout.WriteString("pictures")
	case "fd3":
		_, _ = os.Stdout.WriteString("chatter\n")
		_, _ = os.NewFile(3, "data").WriteString("pictures")
	case "files": // opened by their names, as other programs do
		for n := range strings.FieldsSeq(os.Getenv("FILES")) {
			f, err := os.OpenFile("/proc/self/fd/"+n, os.O_WRONLY, 0)
			if err != nil {
				say(err.Error())
				return 1
			}
			_, _ = f.WriteString("file " + n)
		}
	case "environment":
		_, _ = os.Stdout.WriteString(strings.Join(os.Environ(), "\n"))
	case "die":
		say("first line")
		say("no such camera")
		return 7
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-forever
	case "flood":
		line := strings.Repeat("x", 100) + "\n"
		for i := range 20000 { // 2 MB, far more than a pipe holds
			_, _ = os.Stderr.WriteString(strconv.Itoa(i) + " " + line)
		}
		say(strings.Repeat("long", maxLine))
		say("progress 1\rprogress 2")
		_, _ = os.Stdout.WriteString("done")
	case "full": // stuck in a pipe that nobody empties
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<20)); err != nil {
				return 1
			}
		}
	case "polite":
		signal.Notify(forever, syscall.SIGINT)
		_, _ = os.Stdout.WriteString("ready\n")
		<-forever
		say("bye")
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		_, _ = os.Stdout.WriteString("ready\n")
		<-forever
	case "parent": // its child holds the pipes; it ends when told to
		self, err := os.Executable()
		if err != nil {
			return 1
		}
		p, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
			Env: []string{roleVariable + "=stubborn", noSleep}, Files: []*os.File{nil, os.Stdout, os.Stderr},
		})
		if err != nil {
			return 1
		}
		_, _ = fmt.Fprintf(os.Stdout, "%d\n", p.Pid)
		if os.Getenv("LEAVE") == "" {
			signal.Notify(forever, syscall.SIGINT)
			<-forever
		}
	}
	return 0
}

// spec makes a helper program that plays a role.
func spec(t *testing.T, role string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Program: self, Package: "golang", Env: []string{roleVariable + "=" + role, noSleep}, Grace: 100 * time.Millisecond}
}

// begin starts one and checks afterwards that nothing is left of it.
func begin(t *testing.T, s Spec) *Child {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	c, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		c.Stop()
		if err := syscall.Kill(c.PID(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d after Stop: got %v, want that there is none, not even a zombie", c.PID(), err)
		}
		settle(t, goroutines, files)
	})
	return c
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// settle waits until goroutines and files are as before.
func settle(t *testing.T, goroutines, files int) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for {
		g, f := runtime.NumGoroutine(), openFiles(t)
		if g <= goroutines && f <= files {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("left behind: %d goroutines, before %d; %d files, before %d", g, goroutines, f, files)
			return
		}
	}
}

func within(t *testing.T, what string, limit time.Duration, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not within %v", what, limit)
	}
}

func readAll(t *testing.T, c *Child) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(data)
}
