package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-systemd/v22/activation"
	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// manager is the service manager that started the program: systemd, or anything
// that speaks its protocol. Nil means nobody did; every method does nothing then.
type manager struct {
	// address is the socket that notes go to; empty when nobody listens.
	address string
	// watchdog is how often the manager wants to hear from us; 0 means never.
	watchdog time.Duration
	// files were passed on: sockets to listen on, and what was stored.
	files []*os.File
}

// newManager reads what the manager left in the environment. What only concerns
// this process is taken out, so that no child believes it was meant.
func newManager() *manager {
	m := &manager{address: os.Getenv("NOTIFY_SOCKET"), files: activation.Files(true)}
	m.watchdog, _ = sddaemon.SdWatchdogEnabled(true) // a malformed number is no watchdog
	if m.address == "" && len(m.files) == 0 {
		return nil
	}
	return m
}

// notify tells the manager something. It is not worth failing for: a manager
// that does not hear us acts by its own time-outs.
func (m *manager) notify(state string) {
	if m != nil && m.address != "" {
		_, _ = sddaemon.SdNotify(false, state)
	}
}

// ready says that the program serves, or that a reload is over.
func (m *manager) ready() { m.notify(sddaemon.SdNotifyReady) }

// stopping says that the end has begun.
func (m *manager) stopping() { m.notify(sddaemon.SdNotifyStopping + "\nSTATUS=Stopping") }

// alive feeds the watchdog.
func (m *manager) alive() { m.notify(sddaemon.SdNotifyWatchdog) }

// status is the line that systemctl status shows. What a camera calls itself is in
// it; a line end there would begin an order to the manager.
func (m *manager) status(line string) {
	m.notify("STATUS=" + strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, line))
}

// reloading says that settings are read again. The time tells the manager that
// this is the answer to its own request (Type=notify-reload).
func (m *manager) reloading() {
	if m == nil {
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	m.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sddaemon.SdNotifyReloading, now.Nano()/1000))
}

// keep asks the manager to hold a copy of a listening socket and to pass it to
// the next process, so that nobody is refused while the program restarts: who
// connects then waits in the queue of the socket.
func (m *manager) keep(name string, ln net.Listener) error {
	l, ok := ln.(*net.TCPListener)
	if m == nil || m.address == "" || !ok {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("keep the socket %s: %w", ln.Addr(), err)
	}
	defer func() { _ = unix.Close(fd) }() // the message was sent or not by then
	// Not l.File: that makes the socket a blocking one, which cannot be closed.
	raw, err := l.SyscallConn()
	if err != nil {
		return fmt.Errorf("keep the socket %s: %w", ln.Addr(), err)
	}
	cerr := raw.Control(func(own uintptr) {
		// The name of an abstract socket begins with @ here and in x/sys alike.
		err = unix.Sendmsg(fd, []byte("FDSTORE=1\nFDNAME="+name), unix.UnixRights(int(own)), &unix.SockaddrUnix{Name: m.address}, 0)
	})
	if err := errors.Join(cerr, err); err != nil {
		return fmt.Errorf("keep the socket %s: %w", ln.Addr(), err)
	}
	return nil
}

// forget asks the manager to drop what it keeps by that name.
func (m *manager) forget(name string) { m.notify("FDSTOREREMOVE=1\nFDNAME=" + name) }
