package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// storedName is the socket that the manager keeps while the program restarts.
const storedName = "webgear-http"

// errTaken: the manager listens already, and elsewhere than the settings say.
var errTaken = errors.New("listens elsewhere")

// listen finds the socket to serve: one that the manager passed on (socket
// activation), the one of the run before, or a new one. explicit says that the
// user chose the address; then it wins over none.
func listen(ctx context.Context, address string, explicit bool, m *manager) (net.Listener, error) {
	var passed []net.Listener
	var stored net.Listener
	if m != nil {
		for _, f := range m.files {
			ln, err := net.FileListener(f)
			isStored := f.Name() == storedName
			_ = f.Close() // the listener has a copy
			switch {
			case err != nil && !isStored:
				return nil, fmt.Errorf("socket %s of the service manager: %w", f.Name(), err)
			case err != nil:
				continue
			case isStored && stored == nil && same(ln.Addr(), address):
				stored = ln
			case isStored:
				_ = ln.Close() // the address was changed
				m.forget(storedName)
			default:
				passed = append(passed, ln)
			}
		}
		m.files = nil
	}
	switch {
	case len(passed) > 0:
		if stored != nil {
			_ = stored.Close()
		}
		m.forget(storedName)
		for _, ln := range passed {
			if explicit && !same(ln.Addr(), address) {
				_ = join(passed).Close()
				return nil, fmt.Errorf("a socket unit %w, on %s", errTaken, ln.Addr())
			}
		}
		return join(passed), nil
	case stored != nil:
		return stored, nil
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

// same says whether a listener has the address of the settings.
func same(a net.Addr, address string) bool {
	tcp, ok := a.(*net.TCPAddr)
	host, port, err := net.SplitHostPort(address)
	if !ok || err != nil || port != strconv.Itoa(tcp.Port) {
		return false
	}
	has, _ := netip.AddrFromSlice(tcp.IP)
	has = has.Unmap()
	if host == "" {
		return !has.IsValid() || has.IsUnspecified()
	}
	want, err := netip.ParseAddr(host)
	return err == nil && want.Unmap() == has
}

// join makes one listener of several.
func join(all []net.Listener) net.Listener {
	if len(all) == 1 {
		return all[0]
	}
	j := &joined{all: all, accepted: make(chan acceptance), closed: make(chan struct{})}
	for _, ln := range all {
		j.wg.Go(func() { j.accept(ln) })
	}
	return j
}

// joined is several listeners as one. Each has a goroutine that accepts; Close
// waits for them.
type joined struct {
	all      []net.Listener
	accepted chan acceptance
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

type acceptance struct {
	conn net.Conn
	err  error
}

// accept passes connections and passing errors on until the listener is closed.
func (j *joined) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		select {
		case j.accepted <- acceptance{conn, err}:
		case <-j.closed:
			if conn != nil {
				_ = conn.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept waits for the next connection of any.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Close closes all.
func (j *joined) Close() error {
	var err error
	j.once.Do(func() {
		close(j.closed)
		for _, ln := range j.all {
			err = errors.Join(err, ln.Close())
		}
		j.wg.Wait()
	})
	return err
}

// Addr is the address of the first.
func (j *joined) Addr() net.Addr { return j.all[0].Addr() }
