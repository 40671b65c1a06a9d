package gate

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// grace is how long a client that has no more half-open connections than the one
// that comes may take for its first request. Chosen: that is the third packet of
// a connection, and some more with TLS, over a slow line.
const grace = time.Second

// host is one client.
type host struct {
	key  netip.Addr
	open int
	// Its half-open connections, oldest first, and where it stands in
	// Listener.waiting while there are any.
	first, last *Conn
	halfOpen    int
	at          int
}

// keyOf is what stands for a client. It is the zero Addr for one without an
// address, as on a Unix socket.
func keyOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	// All computers of a local network share the first half of these.
	if !ip.Is6() || ip.IsLinkLocalUnicast() {
		return ip
	}
	p, _ := ip.Prefix(64) // fails for lengths that there are not
	return p.Addr()
}

// bounded says whether a client has a bound of its own.
func (l *Listener) bounded(a net.Addr, key netip.Addr) bool {
	if l.opts.MaxConnectionsPerAddress <= 0 || !key.IsValid() {
		return false
	}
	if len(l.opts.Exempt) == 0 {
		return true
	}
	tcp, _ := a.(*net.TCPAddr) // it is: the key is valid
	ip, _ := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	return !slices.ContainsFunc(l.opts.Exempt, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// admit counts a connection, or says which bound is against it. The one that it
// displaced counts no more, and is to be closed.
func (l *Listener) admit(inner net.Conn, now time.Time) (c *Conn, cause cause, displaced *Conn) {
	peer := inner.RemoteAddr()
	key := keyOf(peer)
	bounded := l.bounded(peer, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[key]
	if h != nil && bounded && h.open >= l.opts.MaxConnectionsPerAddress {
		if h.first == nil {
			return nil, byAddress, nil
		}
		displaced = h.first
	}
	if displaced == nil && l.opts.MaxConnections > 0 && l.open >= l.opts.MaxConnections {
		if displaced = l.leastLocked(h, now); displaced == nil {
			return nil, byTotal, nil
		}
	}
	if displaced != nil {
		l.endLocked(displaced)
		h = l.hosts[key] // it may have been the last one of this client
	}
	if h == nil {
		h = &host{key: key}
		l.hosts[key] = h
	}
	c = &Conn{Conn: inner, gate: l, host: h, since: now, holds: 1}
	h.open++
	l.open++
	l.joinLocked(c)
	return c, 0, displaced
}

// leastLocked finds the connection that is worth least when there is no room for
// another one of h, which is nil for a client without any: the oldest half-open
// one of the client that has most of them. It is nil when all are worth more.
func (l *Listener) leastLocked(h *host, now time.Time) *Conn {
	var most *host
	for _, x := range l.waiting {
		if most == nil || x.halfOpen > most.halfOpen || x.halfOpen == most.halfOpen && x.first.since.Before(most.first.since) {
			most = x
		}
	}
	if most == nil {
		return nil
	}
	own := 0
	if h != nil {
		own = h.halfOpen
	}
	switch {
	case most.halfOpen > own+1, now.Sub(most.first.since) >= grace:
		return most.first
	case own > 0: // it has as many as anybody
		return h.first
	}
	return nil
}

// displaceFor ends the connection that is worth less than one of peer, to have its
// descriptor. It reports whether there was one.
func (l *Listener) displaceFor(peer net.Addr) bool {
	l.mu.Lock()
	c := l.leastLocked(l.hosts[keyOf(peer)], time.Now())
	if c != nil {
		l.endLocked(c)
	}
	l.mu.Unlock()
	if c == nil {
		return false
	}
	_ = c.Conn.Close() // who waits for it wakes up
	l.note(byDisplacement, c.RemoteAddr())
	return true
}

// endLocked has a half-open connection count no more. Its socket is to be closed.
func (l *Listener) endLocked(c *Conn) {
	c.ended.Store(true)
	l.leaveLocked(c)
	l.forgetLocked(c)
}

// forgetLocked takes a connection out of the count, once.
func (l *Listener) forgetLocked(c *Conn) {
	if c.holds == 0 {
		return
	}
	c.holds = 0
	l.open--
	if c.host.open--; c.host.open == 0 {
		delete(l.hosts, c.host.key)
	}
}

// joinLocked makes c the newest half-open connection of its client.
func (l *Listener) joinLocked(c *Conn) {
	h := c.host
	if h.halfOpen == 0 {
		h.at = len(l.waiting)
		l.waiting = append(l.waiting, h)
	}
	h.halfOpen++
	l.halfOpen++
	c.halfOpen = true
	if c.before = h.last; c.before != nil {
		c.before.after = c
	} else {
		h.first = c
	}
	h.last = c
}

// leaveLocked notes that c is not half-open any more.
func (l *Listener) leaveLocked(c *Conn) {
	if !c.halfOpen {
		return
	}
	h := c.host
	if c.before != nil {
		c.before.after = c.after
	} else {
		h.first = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		h.last = c.before
	}
	c.before, c.after, c.halfOpen = nil, nil, false
	l.halfOpen--
	if h.halfOpen--; h.halfOpen > 0 {
		return
	}
	end := len(l.waiting) - 1
	l.waiting[h.at] = l.waiting[end]
	l.waiting[h.at].at = h.at
	l.waiting[end] = nil
	l.waiting = l.waiting[:end]
}
