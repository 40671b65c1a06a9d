package gate

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection that counts until it is closed.
type Conn struct {
	net.Conn
	gate  *Listener
	since time.Time
	// ended is set once it was displaced. It looks then as if its client had left.
	ended  atomic.Bool
	served atomic.Bool

	// What follows is guarded by gate.mu.
	host *host
	// holds is by how many it is in use: 0 when it does not count any more.
	holds         int
	closed        bool
	halfOpen      bool
	before, after *Conn // half-open ones of the same client
}

// NetConn gives the connection itself, of which c changes no byte.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Served notes that a complete request came. From then on the connection is left
// alone, until it is closed.
func (c *Conn) Served() {
	if c.served.Load() {
		return
	}
	c.served.Store(true)
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.leaveLocked(c)
}

// Hold has the connection count beyond Close until release is called, for those
// who go on with a copy of its descriptor.
func (c *Conn) Hold() (release func()) {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.holds == 0 {
		return func() {} // it was over before
	}
	c.holds++
	c.gate.leaveLocked(c)
	return sync.OnceFunc(c.release)
}

// release gives up one use of the connection; the last one takes it out of the
// count.
func (c *Conn) release() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	switch {
	case c.holds > 1:
		c.holds--
	default:
		c.gate.leaveLocked(c)
		c.gate.forgetLocked(c)
	}
}

// Close closes the connection.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.gate.mu.Lock()
	first := !c.closed
	c.closed = true
	c.gate.mu.Unlock()
	if first {
		c.release()
	}
	return c.unless(err)
}

// Read reads; of a connection that was displaced nothing more comes.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.ended.Load() {
		err = io.EOF
	}
	return n, err
}

// unless is err, but for one of a connection that was displaced: a server may take
// it for a fault of its own when it cannot close a connection, or set the time
// by which to be done.
func (c *Conn) unless(err error) error {
	if err != nil && c.ended.Load() {
		return nil
	}
	return err
}

// SetDeadline is that of the connection.
func (c *Conn) SetDeadline(t time.Time) error { return c.unless(c.Conn.SetDeadline(t)) }

// SetReadDeadline is that of the connection.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.unless(c.Conn.SetReadDeadline(t)) }

// SetWriteDeadline is that of the connection.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.unless(c.Conn.SetWriteDeadline(t)) }
