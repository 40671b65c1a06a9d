// Package terminal reads passwords from a terminal without showing them. It owns
// the settings of the terminal while it reads and puts them back in any case; it
// does not know what is asked for.
//
// It starts no goroutine that outlives a call. One call at a time per terminal.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxLine bounds what is read, in bytes: the kernel hands out at most 4095 of a
// line (N_TTY_BUF_SIZE).
const maxLine = 4096

// Is reports whether f is a terminal.
func Is(f *os.File) bool {
	ok := false
	_ = control(f, func(fd int) error {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		ok = err == nil
		return nil
	})
	return ok
}

// ReadHidden reads one line that is not shown while it is typed, without its
// end. It gives up when ctx ends, which Ctrl-C sees to; the terminal shows what
// is typed again then.
func ReadHidden(ctx context.Context, f *os.File) (line string, err error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	wake, err := newWaker(ctx)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	defer wake.close()
	err = control(f, func(fd int) error {
		old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		hidden := *old
		hidden.Lflag &^= unix.ECHO
		hidden.Lflag |= unix.ICANON | unix.ISIG
		hidden.Iflag |= unix.ICRNL
		// What was typed already stays, so that a password may be pasted with its repetition.
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
			return err
		}
		line, err = readLine(ctx, fd, wake.fd())
		return errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, old))
	})
	switch {
	case err == nil:
		return line, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	}
	return "", fmt.Errorf("read from the terminal: %w", err)
}

// readLine reads up to a line end. The terminal gives whole lines.
func readLine(ctx context.Context, fd, wake int) (string, error) {
	var line []byte
	for len(line) < maxLine {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", err
		}
		var b [maxLine]byte
		n, err := unix.Read(fd, b[:])
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return "", err
		case n <= 0 && len(line) == 0:
			return "", io.ErrUnexpectedEOF // Ctrl-D
		case n <= 0:
			return string(line), nil
		}
		if line = append(line, b[:n]...); line[len(line)-1] == '\n' {
			return string(line[:len(line)-1]), nil
		}
	}
	return "", errors.New("the line is too long")
}

// control works on the descriptor of f without making it a blocking one.
func control(f *os.File, work func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = work(int(fd)) }) //nolint:gosec // a descriptor is a small number
	return errors.Join(cerr, err)
}

// waker makes poll(2) return when a context ends.
type waker struct {
	r, w int
	stop func() bool
	done chan struct{} // closed when the context's function has run
}

func newWaker(ctx context.Context) (*waker, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	k := &waker{r: p[0], w: p[1], done: make(chan struct{})}
	k.stop = context.AfterFunc(ctx, func() {
		defer close(k.done)
		_, _ = unix.Write(k.w, []byte{0}) // an empty pipe has room for one
	})
	return k, nil
}

func (k *waker) fd() int { return k.r }

func (k *waker) close() {
	if !k.stop() {
		<-k.done
	}
	_ = unix.Close(k.r) // neither holds anything
	_ = unix.Close(k.w)
}
