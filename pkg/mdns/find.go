package mdns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The groups of multicast DNS (RFC 6762, section 3).
const (
	group4 = "224.0.0.251"
	group6 = "ff02::fb"
	port   = 5353
)

// Bounds, chosen: more cameras than a home has, and no more work than that for
// whoever sends us nonsense.
const (
	maxInstances = 256
	maxAddresses = 8 // of one host
	maxPacket    = 9000
	maxQuestions = 5 // in one packet of at most 1472 bytes, with the longest names
	maxFailures  = 100
)

// again is how often what is missing is asked for, and at which of these the
// service itself: answers to many may get lost, and a responder may answer the
// same question again after a second (RFC 6762, section 6).
const again = 250 * time.Millisecond

//nolint:gochecknoglobals // constant table
var askAt = []int{0, 2, 6, 11}

// Instance is a service that was found.
type Instance struct {
	// Name is what people call it, such as "Camera on garten", without control
	// characters.
	Name string
	// Host is the name of its computer, such as "garten.local".
	Host string
	Port uint16
	// Addresses are those of the computer: IPv4 first, then those that work
	// beyond one network.
	Addresses []netip.Addr
	// Text are its notes by key.
	Text map[string]string
}

// Options say what to look for.
type Options struct {
	// Service is its kind, such as "_http._tcp".
	Service string
	// Wait is how long to look.
	Wait time.Duration

	// links, port and enough are for tests; enough ends the search early.
	links  func() ([]link, error)
	port   uint16
	enough func([]Instance) bool
}

// link is an address of this computer to ask from. The kernel sends to a group
// through the interface that has the address of the sender.
type link struct {
	prefix netip.Prefix
	// zone is the name of the interface.
	zone string
}

// Find looks for all services of a kind, as long as the options say or until ctx
// ends. That none was found is no error.
func Find(ctx context.Context, o Options) ([]Instance, error) {
	if o.links == nil {
		o.links = links
	}
	o.port = cmp.Or(o.port, port)
	all, err := o.links()
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", o.Service, err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	s := &search{o: o, service: append(splitName(o.Service), "local"), hosts: map[string]*host{}, packets: make(chan []record)}
	defer s.close()
	var failed []error
	for _, l := range all {
		failed = append(failed, s.open(ctx, l))
	}
	if len(s.senders) == 0 {
		return nil, fmt.Errorf("look for %s: %w", o.Service, cmp.Or(errors.Join(failed...), errNoNetwork))
	}
	if err := s.run(ctx); err != nil {
		return nil, fmt.Errorf("look for %s: %w", o.Service, err)
	}
	return s.result(), nil
}

var errNoNetwork = errors.New("this computer is in no network")

// links are the addresses of this computer. Loopback is not one of them: what
// runs here is found through the others.
func links() (all []link, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&(net.FlagUp|net.FlagMulticast) != net.FlagUp|net.FlagMulticast || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away just now
		}
		six := false
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue // an interface between two points, without a network
			}
			if prefix.Addr().Is6() {
				// One is enough, and the one that is always there.
				if six || !prefix.Addr().IsLinkLocalUnicast() {
					continue
				}
				six = true
			}
			all = append(all, link{prefix, i.Name})
		}
	}
	return all, nil
}

// sender is a socket on one link.
type sender struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

// host is a computer that was named.
type host struct {
	addresses []netip.Addr
}

// found is an instance that was named.
type found struct {
	name   name
	target name
	port   uint16
	text   []string
	// srv and txt say what is known.
	srv, txt bool
}

// search is one search.
type search struct {
	o       Options
	service name
	senders []sender
	// packets are what the readers have read.
	packets chan []record
	readers sync.WaitGroup

	found []*found
	hosts map[string]*host
}

// open makes the socket of a link.
func (s *search) open(ctx context.Context, l link) error {
	network, group := "udp4", netip.MustParseAddr(group4)
	addr := l.prefix.Addr()
	if addr.Is6() {
		network, group = "udp6", netip.MustParseAddr(group6).WithZone(l.zone)
		addr = addr.WithZone(l.zone)
	}
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, network, netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return errors.Join(errNoNetwork, conn.Close())
	}
	s.senders = append(s.senders, sender{udp, netip.AddrPortFrom(group, s.o.port)})
	s.readers.Go(func() { s.read(ctx, udp, l) })
	return nil
}

// close ends the readers.
func (s *search) close() {
	for _, c := range s.senders {
		_ = c.conn.Close() // it was only asked through
	}
	s.readers.Wait()
}

// read passes on what comes through a socket, until that is closed.
func (s *search) read(ctx context.Context, conn *net.UDPConn, l link) {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxFailures; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++ // somebody has no such port, or the interface is gone
			continue
		}
		// Only who is in the same network, and is the responder of its computer
		// (RFC 6762, sections 6 and 11).
		if from.Port() != s.o.port || !l.prefix.Masked().Contains(from.Addr().WithZone("").Unmap()) {
			continue
		}
		all, _ := parse(buf[:n]) // what comes before a mistake counts
		for i := range all {
			if a := all[i].addr; a.Is6() && a.IsLinkLocalUnicast() {
				all[i].addr = a.WithZone(l.zone)
			}
		}
		select {
		case s.packets <- all:
		case <-ctx.Done():
			return
		}
	}
}

// run asks and collects until the time is over.
func (s *search) run(ctx context.Context) error {
	tick := time.NewTicker(again)
	defer tick.Stop()
	if err := s.ask(0); err != nil {
		return err
	}
	for n := 1; ; {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		case all := <-s.packets:
			for _, r := range all {
				s.take(r)
			}
			if s.o.enough != nil && s.o.enough(s.result()) {
				return nil
			}
		case <-tick.C:
			if err := s.ask(n); err != nil {
				return err
			}
			n++
		}
	}
}

// ask sends what has to be asked at a tick. It fails when nothing can be sent at
// the beginning.
func (s *search) ask(tick int) error {
	var questions []question
	if slices.Contains(askAt, tick) {
		questions = append(questions, question{s.service, typePTR})
	}
	questions = append(questions, s.missing()...)
	for len(questions) > 0 {
		n := min(len(questions), maxQuestions)
		packet, err := query(questions[:n])
		questions = questions[n:]
		if err != nil {
			return err
		}
		var failed []error
		for _, c := range s.senders {
			if _, err := c.conn.WriteToUDPAddrPort(packet, c.to); err != nil {
				failed = append(failed, err)
			}
		}
		if tick == 0 && len(failed) == len(s.senders) {
			return errors.Join(failed...)
		}
	}
	return nil
}

// missing is what answers have left open.
func (s *search) missing() (questions []question) {
	add := func(n name, kind uint16) {
		if q := (question{n, kind}); !sameQuestion(questions, q) {
			questions = append(questions, q)
		}
	}
	for _, f := range s.found {
		switch {
		case !f.srv:
			add(f.name, typeSRV)
			add(f.name, typeTXT)
		case s.hosts[f.target.key()] == nil:
			add(f.target, typeA)
			add(f.target, typeAAAA)
		case !f.txt:
			add(f.name, typeTXT)
		}
	}
	return questions
}

// take learns from a record.
func (s *search) take(r record) {
	switch r.kind {
	case typePTR:
		if r.name.key() == s.service.key() {
			s.instance(r.target)
		}
	case typeSRV:
		if f := s.instance(r.name); f != nil && len(r.target) > 0 && r.port != 0 {
			f.target, f.port, f.srv = r.target, r.port, true
		}
	case typeTXT:
		if f := s.instance(r.name); f != nil {
			f.text, f.txt = r.text, true
		}
	case typeA, typeAAAA:
		key := r.name.key()
		h := s.hosts[key]
		if h == nil {
			if len(s.hosts) >= maxInstances {
				return
			}
			h = &host{}
			s.hosts[key] = h
		}
		if len(h.addresses) < maxAddresses && !slices.Contains(h.addresses, r.addr) {
			h.addresses = append(h.addresses, r.addr)
		}
	}
}

// instance is what is known of one; nil when the name is of another service, or
// there are too many.
func (s *search) instance(n name) *found {
	if !n.under(s.service) {
		return nil
	}
	key := n.key()
	if i := slices.IndexFunc(s.found, func(f *found) bool { return f.name.key() == key }); i >= 0 {
		return s.found[i]
	}
	if len(s.found) >= maxInstances {
		return nil
	}
	f := &found{name: n}
	s.found = append(s.found, f)
	return f
}

// result is what was found, by name. What did not say where it is, is left out.
func (s *search) result() []Instance {
	all := []Instance{}
	for _, f := range s.found {
		if !f.srv {
			continue
		}
		i := Instance{Name: printable(f.name[0]), Host: printable(strings.Join(f.target, ".")), Port: f.port, Text: map[string]string{}}
		for _, line := range f.text {
			// Of two, the first counts (RFC 6763, section 6.4).
			key, value, _ := strings.Cut(line, "=")
			if key = printable(strings.ToLower(key)); key != "" && i.Text[key] == "" {
				i.Text[key] = printable(value)
			}
		}
		if h := s.hosts[f.target.key()]; h != nil {
			i.Addresses = slices.SortedFunc(slices.Values(h.addresses), func(a, b netip.Addr) int {
				return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Compare(b))
			})
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Host, b.Host)) })
	return all
}

// rank orders addresses by how many programs take them.
func rank(a netip.Addr) int {
	switch {
	case a.Is4() && !a.IsLinkLocalUnicast():
		return 0
	case a.Is4():
		return 1
	case !a.IsLinkLocalUnicast():
		return 2
	}
	return 3
}

// printable takes out what would steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
