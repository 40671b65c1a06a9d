package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// serviceState is where the service keeps what lasts.
const serviceState = "/var/lib/webgear"

// accessFile is the file with passwords and keys, in the state directory.
const accessFile = "access.json"

// stateDir is where a program keeps passwords and its certificate: not beside the
// pages, which may be anywhere. It is empty when no place is known.
func (w world) stateDir(chosen string, service bool) (string, error) {
	switch home := w.homeDir(); {
	case chosen != "":
		return filepath.Abs(chosen)
	case service:
		return filepath.Join(w.root, serviceState), nil
	case filepath.IsAbs(home):
		return filepath.Join(home, ".webgear"), nil
	}
	return "", nil
}

// accessSystem is what the access store needs of the operating system.
func accessSystem() auth.System {
	return auth.System{Lock: lockFolder, Own: ownAsFolder, SinceBoot: sinceBoot}
}

// lockEvery is how often a folder that somebody else changes is tried again. That
// takes some milliseconds.
const lockEvery = 20 * time.Millisecond

// lockFolder waits for the exclusive right to change a folder. Closing f gives it
// back.
func lockFolder(ctx context.Context, f *os.File) error {
	t := time.NewTicker(lockEvery)
	defer t.Stop()
	for {
		err := flock(f)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

func flock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }) //nolint:gosec // a descriptor is a small number
	return errors.Join(cerr, err)
}

// ownAsFolder gives a file that root made to whom its folder belongs, so that the
// service can read what sudo webgear passwd wrote.
func ownAsFolder(f *os.File, folder fs.FileInfo) error {
	st, ok := folder.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// sinceBoot is the time since the computer was switched on, sleep included.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return unknownUptime
	}
	return time.Duration(now.Nano())
}

// unknownUptime stands for a time that cannot be had: no time to claim anything.
const unknownUptime = 365 * 24 * time.Hour

// hostname is this computer's name, or empty.
func hostname() string {
	name, _ := os.Hostname() // without one there are addresses
	return name
}

// makeStateDir makes the state directory, for its user only.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory %s: %w", dir, rootCause(err))
	}
	return nil
}
