package gate

import (
	"io"
	"net"
	"sync"
	"time"
)

// fakeListener gives what is sent to came, or fails.
type fakeListener struct {
	came   chan net.Conn
	closed chan struct{}

	mu    sync.Mutex
	err   error
	tries int
}

func newFakeListener() *fakeListener {
	return &fakeListener{came: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	err := l.err
	if err != nil {
		l.tries++
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case c := <-l.came:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
	}
}

// fail has all later calls of Accept fail, until it is called with nil.
func (l *fakeListener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// calls is how many failed.
func (l *fakeListener) calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tries
}

func (l *fakeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8000} }

// accepting accepts until the gate is closed.
func accepting(g *Listener) <-chan net.Conn {
	conns := make(chan net.Conn)
	go func() {
		defer close(conns)
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return conns
}

// always is a listener of one connection, over and over.
type always struct {
	*fakeListener
	conn net.Conn
}

func (l *always) Accept() (net.Conn, error) { return l.conn, nil }

// fakeConn is a connection of a client that says nothing.
type fakeConn struct {
	peer   net.Addr
	closed chan struct{}
	once   sync.Once
}

// newFakeConn makes one from an address, or from a Unix socket for "".
func newFakeConn(from string) *fakeConn {
	c := &fakeConn{peer: &net.UnixAddr{Net: "unix"}, closed: make(chan struct{})}
	if from != "" {
		c.peer = &net.TCPAddr{IP: net.ParseIP(from), Port: 1234}
	}
	return c
}

func (c *fakeConn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *fakeConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.isClosed() {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (c *fakeConn) Close() error {
	err := c.deadline()
	c.once.Do(func() { close(c.closed) })
	return err
}

// deadline is what setting one gives, as for a socket.
func (c *fakeConn) deadline() error {
	if c.isClosed() {
		return net.ErrClosed
	}
	return nil
}

func (c *fakeConn) LocalAddr() net.Addr              { return c.peer }
func (c *fakeConn) RemoteAddr() net.Addr             { return c.peer }
func (c *fakeConn) SetDeadline(time.Time) error      { return c.deadline() }
func (c *fakeConn) SetReadDeadline(time.Time) error  { return c.deadline() }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return c.deadline() }
