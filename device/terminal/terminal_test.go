package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal with a person, who is the test.
type pty struct{ person, terminal *os.File }

func newPTY(t *testing.T) *pty {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	n := 0
	if err := control(person, func(fd int) (err error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	terminal := os.NewFile(uintptr(fd), "terminal") // blocking, as standard input is
	t.Cleanup(func() { _ = terminal.Close() })
	return &pty{person, terminal}
}

func (p *pty) settings(t *testing.T) unix.Termios {
	t.Helper()
	var s unix.Termios
	if err := control(p.terminal, func(fd int) error {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			s = *got
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitHidden waits until the terminal shows nothing.
func (p *pty) awaitHidden(t *testing.T) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.NewTimer(10*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for p.settings(t).Lflag&unix.ECHO != 0 {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("what is typed is still shown")
		}
	}
}

type result struct {
	line string
	err  error
}

// read reads in the background.
func (p *pty) read(ctx context.Context) <-chan result {
	done := make(chan result, 1)
	go func() {
		line, err := ReadHidden(ctx, p.terminal)
		done <- result{line, err}
	}()
	return done
}

func await(t *testing.T, done <-chan result) result {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case r := <-done:
		return r
	case <-limit.C:
		t.Fatal("still reads")
		return result{}
	}
}

func TestHiddenLineIsReadAndNotShown(t *testing.T) {
	for typed, want := range map[string]string{
		"correct horse\n": "correct horse", "äöü €\r": "äöü €", "wrong\x15right\n": "right", "\n": "",
		strings.Repeat("x", 1024) + "\n": strings.Repeat("x", 1024),
	} {
		p := newPTY(t)
		before := p.settings(t)
		done := p.read(t.Context())
		p.awaitHidden(t)
		if _, err := p.person.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		if r := await(t, done); r.err != nil || r.line != want {
			t.Errorf("%q: got %q, %v", typed, r.line, r.err)
		}
		if after := p.settings(t); after != before {
			t.Errorf("%q: the terminal was left as %+v, was %+v", typed, after, before)
		}
		// Whatever the terminal shows comes before this.
		if _, err := p.terminal.WriteString("END"); err != nil {
			t.Fatal(err)
		}
		shown := make([]byte, 4096)
		n, err := p.person.Read(shown)
		if err != nil || string(shown[:n]) != "END" {
			t.Errorf("%q: the terminal shows %q, %v", typed, shown[:n], err)
		}
	}
}

func TestWhatIsTypedAheadIsRead(t *testing.T) {
	p := newPTY(t)
	if _, err := p.person.WriteString("correct horse\ncorrect horse\n"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := await(t, p.read(t.Context())); r.err != nil || r.line != "correct horse" {
			t.Errorf("got %q, %v", r.line, r.err)
		}
	}
}

func TestEndOfTheContextPutsTheTerminalBack(t *testing.T) {
	p := newPTY(t)
	before := p.settings(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := p.read(ctx)
	p.awaitHidden(t)
	cause := errors.New("interrupted")
	cancel(cause)
	if r := await(t, done); !errors.Is(r.err, cause) {
		t.Errorf("got %q, %v", r.line, r.err)
	}
	if p.settings(t) != before {
		t.Error("the terminal was not put back")
	}
	if r := await(t, p.read(ctx)); !errors.Is(r.err, cause) {
		t.Errorf("after the end: %q, %v", r.line, r.err)
	}
}

func TestEndOfInputIsAnError(t *testing.T) {
	p := newPTY(t)
	done := p.read(t.Context())
	p.awaitHidden(t)
	if _, err := p.person.WriteString("\x04"); err != nil {
		t.Fatal(err)
	}
	if r := await(t, done); r.err == nil {
		t.Errorf("got %q", r.line)
	}
}

func TestOnlyTerminalsAreTerminals(t *testing.T) {
	p := newPTY(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if !Is(p.terminal) || Is(r) || Is(null) {
		t.Errorf("terminal %v, pipe %v, null %v", Is(p.terminal), Is(r), Is(null))
	}
	if _, err := ReadHidden(t.Context(), r); err == nil {
		t.Error("a pipe was read")
	}
}
