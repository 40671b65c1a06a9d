package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// vhciDir is where vhci-hcd takes orders.
const vhciDir = "/sys/devices/platform/vhci_hcd.0"

// How long the kernel may take; chosen, generous for an emulated machine.
const (
	attachTimeout = 10 * time.Second
	detachTimeout = 2 * time.Second
)

// port is one port of the virtual host controller.
type port struct {
	dir    string
	number int
}

// attach hands the kernel its end of a connection. The port stays busy for a
// moment after an unplug and the kernel tells nobody when it is free, so a busy
// port is tried again.
func (p port) attach(ctx context.Context, fd int) error {
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	// Port, socket, device number (bus 1, device 2 and up), speed 3 = high.
	order := fmt.Sprintf("%d %d %d %d", p.number, fd, 1<<16|2+p.number, 3)
	for {
		err := os.WriteFile(filepath.Join(p.dir, "attach"), []byte(order), 0)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%w: modprobe vhci-hcd first", err)
		case !errors.Is(err, syscall.EBUSY):
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// detach pulls the plug. A write to a wedged controller never returns and
// cannot be cancelled: then its goroutine is given up and an error returned.
func (p port) detach() error {
	done := make(chan error, 1)
	go func() {
		done <- os.WriteFile(filepath.Join(p.dir, "detach"), []byte(strconv.Itoa(p.number)), 0)
	}()
	timer := time.NewTimer(detachTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("detach port %d: the kernel did not answer within %s", p.number, detachTimeout)
	}
}

// plug connects and disconnects the camera. It is used by one goroutine.
type plug struct {
	cam     *camera
	port    port
	log     *slog.Logger
	session *session // nil while unplugged
}

// in plugs the camera in; one that is in already stays as it is.
func (p *plug) in(ctx context.Context) error {
	if p.session != nil {
		return nil
	}
	conn, kernel, err := connection()
	if err != nil {
		return err
	}
	s := newSession(p.cam, conn) // before attach: the kernel asks at once
	err = p.port.attach(ctx, int(kernel.Fd()))
	_ = kernel.Close() // the kernel holds its own reference by now
	if err != nil {
		s.close()
		return err
	}
	p.session = s
	p.log.Info("plugged in")
	return nil
}

// out pulls the plug; a camera that is out already stays as it is.
func (p *plug) out() {
	if p.session == nil {
		return
	}
	if err := p.port.detach(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: out already
		p.log.Error("cannot detach", "err", err) // closing the connection does the same, if later
	}
	p.session.close()
	p.session = nil
	p.log.Info("unplugged")
}

// gone is closed when the kernel ends the connection by itself.
func (p *plug) gone() <-chan struct{} {
	if p.session == nil {
		return nil
	}
	return p.session.done
}

// connection makes a pair of sockets: ours, and the one for the kernel. The
// buffers hold a few pictures, so that neither side waits for the other.
func connection() (conn net.Conn, kernel *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "camsim")
	kernel = os.NewFile(uintptr(fds[1]), "vhci")
	for _, fd := range fds {
		for _, option := range []int{syscall.SO_SNDBUF, syscall.SO_RCVBUF} {
			// Without it the camera is slower, no more.
			_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, option, 4<<20)
		}
	}
	conn, err = net.FileConn(ours) // a copy that knows deadlines and Close
	_ = ours.Close()
	if err != nil {
		_ = kernel.Close()
		return nil, nil, err
	}
	return conn, kernel, nil
}
