// Package gate bounds how many connections a listener hands out: in all, and for
// each client, so that nobody takes all of them.
//
// Beyond a bound a connection gets a short answer, 503, and is closed; that never
// waits for the client. One that has not sent a complete request, however, is
// worth less than one that just came: when there is no room, the oldest of the
// client with most of them is ended in its place. So connections that are opened
// and left, by the thousand, lock nobody out. A gate also keeps a listener going
// that fails for a while, as without descriptors or memory.
//
// What counts as a complete request is for the server to say, by [Conn.Served]: the
// gate does not read what is sent, which may be encrypted. A server that asks for
// passwords should not say so of requests that everybody can make, or those who
// repeat one now and then take all the room. The gate knows nothing else of HTTP
// than the one answer.
//
// There is no goroutine for a connection. A timer runs while connections are turned
// away, and [Listener.Close] waits for what it does. All methods may be called from
// any goroutine.
package gate

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// Options say what the bounds are.
type Options struct {
	// MaxConnections is how many connections there may be in all, and
	// MaxConnectionsPerAddress how many of one client: an IPv4 address, or an IPv6
	// network of 64 bits, which is what a household gets. 0 is no bound.
	MaxConnections           int
	MaxConnectionsPerAddress int
	// Exempt are addresses that have no bound of their own, such as those of
	// proxies that come for many clients.
	Exempt []netip.Prefix
	// Logger hears when connections begin to be turned away, and when that is
	// over; nil discards it.
	Logger *slog.Logger
}

// Listener is a listener with bounds. Its connections are of type *[Conn].
type Listener struct {
	inner  net.Listener
	opts   Options
	log    *slog.Logger
	answer []byte
	closed chan struct{}
	once   sync.Once
	err    error // of Close
	spare  spare
	sweeps sync.WaitGroup // what the timer does

	mu       sync.Mutex // guards everything below
	over     bool
	open     int // connections that count
	halfOpen int // of those, without a complete request
	hosts    map[netip.Addr]*host
	waiting  []*host // those with half-open connections
	refused  Refused
	episodes [causes]episode
	lingers  []linger // oldest first
	timer    *time.Timer
	sweeping bool      // the timer is set, or what it does is not over
	due      time.Time // when the timer rings
}

var _ net.Listener = (*Listener)(nil)

// Refused counts what was turned away, by cause.
type Refused struct {
	// Total connections came when there were MaxConnections, Address ones when
	// their client had MaxConnectionsPerAddress.
	Total, Address uint64
	// Displaced connections were ended before their first complete request, for
	// another one that came.
	Displaced uint64
	// Descriptors counts connections that came when the process could open no more
	// files, Failures how often none could be accepted, for that or another reason.
	Descriptors, Failures uint64
}

// New puts a gate before ln, which is the gate's from then on.
func New(ln net.Listener, opts Options) *Listener {
	l := &Listener{
		inner: ln, opts: opts, log: opts.Logger, answer: []byte(answer),
		closed: make(chan struct{}), hosts: map[netip.Addr]*host{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.spare.fill() // without one it works, too
	return l
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Trust is what those are worth who come through the listener.
func (l *Listener) Trust() auth.Trust {
	if t, ok := l.inner.(interface{ Trust() auth.Trust }); ok {
		return t.Trust()
	}
	return auth.TrustOf(l.inner.Addr())
}

// Refused returns what was turned away up to now.
func (l *Listener) Refused() Refused {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// Open returns how many connections there are, and how many of them have not sent
// a complete request.
func (l *Listener) Open() (all, halfOpen int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.halfOpen
}

// Close closes the listener. Connections that were handed out stay.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.err = l.inner.Close()
		l.spare.end()
		l.mu.Lock()
		l.over = true
		if l.sweeping && l.timer.Stop() {
			l.sweeping = false
			l.sweeps.Done()
		}
		lingers := l.lingers
		l.lingers = nil
		l.mu.Unlock()
		for _, x := range lingers {
			_ = x.conn.Close() // it was told
		}
		l.sweeps.Wait()
	})
	return l.err
}

// Times of a listener that fails.
const (
	// minPause and maxPause bound the pause between attempts to accept.
	minPause = 5 * time.Millisecond
	maxPause = time.Second
	// giveUpAfter is how long a failure may last that does not look as if it passed.
	giveUpAfter = time.Minute
)

// Accept waits for the next connection within the bounds. Failures that may pass
// are waited for. The error matches net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	pause := minPause
	var failing time.Time // since when
	for {
		inner, err := l.inner.Accept()
		switch {
		case err == nil:
			pause, failing = minPause, time.Time{}
			if c := l.consider(inner); c != nil {
				return c, nil
			}
			continue
		case l.isClosed(), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return nil, err
		}
		now := time.Now()
		if failing.IsZero() {
			failing = now
		}
		if !mayPass(err) && now.Sub(failing) > giveUpAfter {
			return nil, err
		}
		l.noteFailure(now, err)
		// The kernel wants a free descriptor before it looks whether there is a
		// connection. With the spare one it gets whoever waits, to be told.
		if l.spare.give() {
			continue
		}
		if !l.wait(pause) {
			return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
		}
		pause = min(2*pause, maxPause)
	}
}

// mayPass says that a failure is known to pass: there are no descriptors. That can
// take as long as it wants.
func mayPass(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// consider decides about a connection that came; nil when it was turned away.
func (l *Listener) consider(inner net.Conn) *Conn {
	spare := l.spare.fill()
	if !spare && l.displaceFor(inner.RemoteAddr()) {
		spare = l.spare.fill()
	}
	if !spare { // that was the last descriptor
		l.note(byDescriptors, nil)
		l.tell(inner)
		_ = inner.Close() // it was told, or cannot be
		l.spare.fill()
		return nil
	}
	c, cause, displaced := l.admit(inner, time.Now())
	if displaced != nil {
		_ = displaced.Conn.Close() // who waits for it wakes up
		l.note(byDisplacement, displaced.RemoteAddr())
	}
	if c == nil {
		l.note(cause, inner.RemoteAddr())
		l.refuse(inner)
	}
	return c
}

// wait waits; false when the listener was closed meanwhile.
func (l *Listener) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
