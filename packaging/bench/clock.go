package main

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clock ticks as a camera can deliver: a descriptor becomes readable, and is read
// by a call that cannot block. Timers of package time and ordinary system calls
// are another matter: for each, Go's scheduler wakes other threads. Half of what
// they cost for one picture would be taken for the price of sending it.
type clock struct {
	file *os.File
	conn syscall.RawConn
}

// newClock returns a clock that ticks once per period.
func newClock(period time.Duration) (*clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	c := &clock{file: os.NewFile(uintptr(fd), "clock")}
	every := unix.NsecToTimespec(period.Nanoseconds())
	err = os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil))
	if err == nil {
		c.conn, err = c.file.SyscallConn()
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// wait waits for the next tick; missed ones count as one.
func (c *clock) wait() error {
	var ticks uint64
	var errno syscall.Errno
	err := c.conn.Read(func(fd uintptr) bool {
		_, _, errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&ticks)), unsafe.Sizeof(ticks))
		return errno != unix.EAGAIN
	})
	if errno != 0 {
		return errors.Join(err, os.NewSyscallError("read", errno))
	}
	return err
}

// stop lets wait fail.
func (c *clock) stop() { _ = c.file.Close() }
