package gate

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// answer is what those get who are turned away.
const answer = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Retry-After: 10\r\n" +
	"Connection: close\r\n" +
	"Cache-Control: no-store\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Length: 21\r\n" +
	"\r\n" +
	"too many connections\n"

const (
	// tellTime is what the answer may take at most. A new connection has room for
	// it, so it takes a system call.
	tellTime = 5 * time.Millisecond
	// lingerTime is how long a connection stays open after the answer, and
	// maxLingers how many do. The request that was on its way meanwhile would be
	// answered by a reset otherwise, and some systems throw away what came before
	// it. Chosen: more than a round trip over a slow line, and few descriptors.
	lingerTime = 300 * time.Millisecond
	maxLingers = 16
	// quiet is how long nobody has to be turned away for that to be over. Chosen:
	// a log that tells of it every few seconds at worst.
	quiet = 10 * time.Second
)

// linger is a connection that was told that there is no room.
type linger struct {
	conn  net.Conn
	until time.Time
}

// tell sends the answer, unless that would have to wait.
func (l *Listener) tell(conn net.Conn) {
	if err := conn.SetWriteDeadline(time.Now().Add(tellTime)); err != nil {
		return
	}
	if _, err := conn.Write(l.answer); err != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // best effort: the length says where the answer ends, too
	}
}

// refuse tells a connection that there is no room, and closes it soon.
func (l *Listener) refuse(conn net.Conn) {
	l.tell(conn)
	l.mu.Lock()
	switch {
	case l.over: // now
	case len(l.lingers) >= maxLingers:
		oldest := l.lingers[0].conn
		copy(l.lingers, l.lingers[1:])
		l.lingers[len(l.lingers)-1] = linger{conn, time.Now().Add(lingerTime)}
		conn = oldest
	default:
		l.lingers = append(l.lingers, linger{conn, time.Now().Add(lingerTime)})
		conn = nil
		l.laterLocked(lingerTime)
	}
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // it was told
	}
}

// cause is why connections are turned away.
type cause uint8

const (
	byTotal cause = iota
	byAddress
	byDisplacement
	byDescriptors
	byFailure
	causes // how many there are
)

func (c cause) String() string {
	return [...]string{"max_connections", "max_connections_per_address", "displaced", "no_descriptors", "accept_failed"}[c]
}

// counterLocked is where a cause is counted.
func (l *Listener) counterLocked(c cause) *uint64 {
	r := &l.refused
	return [...]*uint64{&r.Total, &r.Address, &r.Displaced, &r.Descriptors, &r.Failures}[c]
}

// episode is a time in which connections are turned away for one cause.
type episode struct {
	active        bool
	before        uint64 // the counter when it began
	began, latest time.Time
}

// note counts a connection that was turned away, and logs that this begins.
func (l *Listener) note(c cause, peer net.Addr) {
	if l.begins(c, time.Now()) {
		args := []any{
			"cause", c.String(),
			"max_connections", l.opts.MaxConnections, "max_connections_per_address", l.opts.MaxConnectionsPerAddress,
		}
		if key := keyOf(peer); key.IsValid() {
			args = append(args, "address", key.String())
		}
		l.log.Warn("connections are turned away", args...)
	}
}

// noteFailure does the same for failures to accept.
func (l *Listener) noteFailure(now time.Time, err error) {
	if l.begins(byFailure, now) {
		l.log.Warn("connections cannot be accepted", "cause", byFailure.String(), "err", err)
	}
}

// begins counts, and reports whether this is the first one for a while.
func (l *Listener) begins(c cause, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, e := l.counterLocked(c), &l.episodes[c]
	*n++
	e.latest = now
	if e.active || l.over {
		return false
	}
	*e = episode{active: true, before: *n - 1, began: now, latest: now}
	l.laterLocked(quiet)
	return true
}

// laterLocked sees to it that sweep is called in d at the latest.
func (l *Listener) laterLocked(d time.Duration) {
	if l.over {
		return
	}
	due := time.Now().Add(d)
	if l.sweeping {
		if !due.Before(l.due) || !l.timer.Stop() {
			return // that is soon enough, or it is about to look
		}
		l.sweeps.Done()
	}
	l.sweeping, l.due = true, due
	l.sweeps.Add(1)
	l.timer = time.AfterFunc(d, l.sweep)
}

// sweep closes the connections that were told, and notes what is over.
func (l *Listener) sweep() {
	defer l.sweeps.Done()
	type ended struct {
		cause cause
		count uint64
		took  time.Duration
	}
	var over []ended
	now := time.Now()
	l.mu.Lock()
	l.sweeping = false
	n := 0
	for n < len(l.lingers) && !l.lingers[n].until.After(now) {
		n++
	}
	told := slices.Clone(l.lingers[:n])
	l.lingers = slices.Delete(l.lingers, 0, n)
	next := time.Duration(0)
	sooner := func(d time.Duration) {
		if next == 0 || d < next {
			next = d
		}
	}
	if len(l.lingers) > 0 {
		sooner(max(l.lingers[0].until.Sub(now), time.Millisecond))
	}
	for c := range causes {
		e := &l.episodes[c]
		if !e.active {
			continue
		}
		if left := e.latest.Add(quiet).Sub(now); left > 0 {
			sooner(left)
			continue
		}
		e.active = false
		over = append(over, ended{c, *l.counterLocked(c) - e.before, e.latest.Sub(e.began)})
	}
	if next > 0 {
		l.laterLocked(next)
	}
	l.mu.Unlock()
	for _, x := range told {
		_ = x.conn.Close() // it was told
	}
	for _, x := range over {
		l.log.Info("connections are not turned away any more", "cause", x.cause.String(), "count", x.count,
			"duration_seconds", x.took.Round(time.Millisecond).Seconds())
	}
}

// spare is a descriptor that is kept to be given up when there are no others.
type spare struct {
	mu   sync.Mutex
	file *os.File // guarded by mu
	over bool     // guarded by mu
}

// fill gets one, and reports whether it is there.
func (s *spare) fill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil && !s.over {
		s.file, _ = os.Open(os.DevNull) // nil then
	}
	return s.file != nil || s.over
}

// end gives it up for good.
func (s *spare) end() {
	s.mu.Lock()
	s.over = true // before, so that nobody fills it in between
	s.mu.Unlock()
	s.give()
}

// give gives it up, and reports whether there was one.
func (s *spare) give() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return false
	}
	_ = s.file.Close() // it was only opened
	s.file = nil
	return true
}
