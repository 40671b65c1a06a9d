package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/gate"
)

// kind is one of the two ways to be reached.
type kind struct {
	// stored is the socket that the manager keeps while the program restarts.
	stored string
	// passed is the name that socket units give to theirs, FileDescriptorName=;
	// empty is any other.
	passed string
}

// kinds are all of them.
func kinds() (plain, secure kind) {
	return kind{stored: "webgear-http"}, kind{stored: "webgear-https", passed: "https"}
}

// is says whether the manager's file is one of this kind.
func (k kind) is(name string) bool {
	plain, secure := kinds()
	if k == plain {
		return name != secure.stored && name != secure.passed
	}
	return name == k.stored || name == k.passed
}

// errTaken: the manager listens already, and elsewhere than the settings say.
var errTaken = errors.New("listens elsewhere")

// listen finds the sockets to serve: those that the manager passed on (socket
// activation), the one of the run before, or a new one. explicit says that the
// user chose the address; then it wins over none.
func (k kind) listen(ctx context.Context, address string, explicit bool, m *manager) ([]net.Listener, error) {
	var passed []net.Listener
	var stored net.Listener
	for _, f := range m.take(k) {
		ln, err := net.FileListener(f)
		isStored := f.Name() == k.stored
		_ = f.Close() // the listener has a copy
		switch {
		case err != nil && !isStored:
			closeAll(passed)
			return nil, fmt.Errorf("socket %s of the service manager: %w", f.Name(), err)
		case err != nil:
			continue
		case isStored && stored == nil && same(ln.Addr(), address):
			stored = ln
		case isStored:
			_ = ln.Close() // the address was changed
			m.forget(k.stored)
		default:
			passed = append(passed, ln)
		}
	}
	switch {
	case len(passed) > 0:
		if stored != nil {
			_ = stored.Close()
		}
		m.forget(k.stored)
		for _, ln := range passed {
			if explicit && !same(ln.Addr(), address) {
				closeAll(passed)
				return nil, fmt.Errorf("a socket unit %w, on %s", errTaken, ln.Addr())
			}
		}
		return passed, nil
	case stored != nil:
		return []net.Listener{stored}, nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return []net.Listener{ln}, nil
}

// drop gives up what the manager passed on of this kind.
func (k kind) drop(m *manager) {
	for _, f := range m.take(k) {
		if f.Name() == k.stored {
			m.forget(k.stored)
		}
		_ = f.Close() // nobody uses it
	}
}

// take takes the files of a kind.
func (m *manager) take(k kind) (files []*os.File) {
	if m == nil {
		return nil
	}
	is := func(f *os.File) bool { return k.is(f.Name()) }
	for _, f := range m.files {
		if is(f) {
			files = append(files, f)
		}
	}
	m.files = slices.DeleteFunc(m.files, is)
	return files
}

func closeAll(all []net.Listener) {
	for _, ln := range all {
		_ = ln.Close() // nobody was served
	}
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

// trustOf says what those who come through a listener are worth.
func trustOf(ln net.Listener) auth.Trust {
	if t, ok := ln.(interface{ Trust() auth.Trust }); ok {
		return t.Trust()
	}
	return auth.TrustOf(ln.Addr())
}

// leastTrust is what the least of them is worth.
func leastTrust(all []net.Listener) auth.Trust {
	if slices.ContainsFunc(all, func(ln net.Listener) bool { return trustOf(ln) == auth.Network }) {
		return auth.Network
	}
	return auth.Local
}

// marked is a listener whose connections say what they are worth, because they
// are joined with others that are worth less.
type marked struct {
	net.Listener
	trust auth.Trust
}

func (m *marked) Trust() auth.Trust { return m.trust }

func (m *marked) Accept() (net.Conn, error) {
	conn, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*gate.Conn); ok {
		return &gatedConn{c, m.trust}, nil
	}
	return &markedConn{conn, m.trust}, nil
}

// gatedConn has all that one behind a gate has.
type gatedConn struct {
	*gate.Conn
	trust auth.Trust
}

func (c *gatedConn) Trust() auth.Trust { return c.trust }

type markedConn struct {
	net.Conn
	trust auth.Trust
}

func (c *markedConn) Trust() auth.Trust { return c.trust }

// NetConn gives the connection itself.
func (c *markedConn) NetConn() net.Conn { return c.Conn }

// bounds are the limits of connections.
func bounds(c config.Config, log *slog.Logger) gate.Options {
	return gate.Options{
		MaxConnections: c.HTTP.MaxConnections, MaxConnectionsPerAddress: c.HTTP.MaxConnectionsPerAddress,
		Exempt: c.Access.Proxies(), Logger: log.With("component", "gate"),
	}
}

// bound puts a gate before each listener that has addresses of clients. A Unix
// socket has permissions instead.
func bound(all []net.Listener, o gate.Options) []net.Listener {
	bounded := make([]net.Listener, len(all))
	for i, ln := range all {
		bounded[i] = ln
		if _, ok := ln.Addr().(*net.TCPAddr); ok {
			bounded[i] = gate.New(ln, o)
		}
	}
	return bounded
}

// assemble makes one listener of those for HTTP and those for HTTPS. It closes
// all of them.
func assemble(plain, secure []net.Listener, certificate *tls.Config, o gate.Options) net.Listener {
	plain, secure = bound(plain, o), bound(secure, o)
	all := slices.Concat(plain, secure)
	least := leastTrust(all)
	for _, list := range [][]net.Listener{plain, secure} {
		for i, ln := range list {
			if t := trustOf(ln); t != least {
				list[i] = &marked{ln, t}
			}
		}
	}
	for i, ln := range secure {
		secure[i] = tls.NewListener(ln, certificate)
	}
	ln := join(slices.Concat(plain, secure), least)
	if _, ok := ln.(*gate.Listener); ok {
		return ln
	}
	f := &front{Listener: ln, trust: least}
	for _, ln := range all {
		if g, ok := ln.(*gate.Listener); ok {
			f.gates = append(f.gates, g)
		}
	}
	return f
}

// front is what is served when there is more to it than one gate, with the figures
// of all gates.
type front struct {
	net.Listener
	trust auth.Trust
	gates []*gate.Listener
}

// Trust is what a connection is worth that does not say more itself.
func (f *front) Trust() auth.Trust { return f.trust }

// Open sums connections, and those that have not sent a request of worth.
func (f *front) Open() (all, halfOpen int) {
	for _, g := range f.gates {
		a, h := g.Open()
		all, halfOpen = all+a, halfOpen+h
	}
	return all, halfOpen
}

// Refused sums what the gates turned away.
func (f *front) Refused() (sum gate.Refused) {
	for _, g := range f.gates {
		r := g.Refused()
		sum.Total += r.Total
		sum.Address += r.Address
		sum.Displaced += r.Displaced
		sum.Descriptors += r.Descriptors
		sum.Failures += r.Failures
	}
	return sum
}

// join makes one listener of several.
func join(all []net.Listener, least auth.Trust) net.Listener {
	if len(all) == 1 {
		return all[0]
	}
	j := &joined{all: all, trust: least, accepted: make(chan acceptance), closed: make(chan struct{})}
	for _, ln := range all {
		j.wg.Go(func() { j.accept(ln) })
	}
	return j
}

// joined is several listeners as one. Each has a goroutine that accepts; Close
// waits for them.
type joined struct {
	all      []net.Listener
	trust    auth.Trust
	accepted chan acceptance
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// Trust is what a connection is worth that does not say more itself.
func (j *joined) Trust() auth.Trust { return j.trust }

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
