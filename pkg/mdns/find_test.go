package mdns

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// appendName writes a name without compression.
func appendName(b []byte, n name) []byte {
	for _, label := range n {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// appendRecord writes a record of an answer.
func appendRecord(b []byte, n name, kind uint16, life uint32, data []byte) []byte {
	b = appendName(b, n)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, classIN|0x8000)
	b = binary.BigEndian.AppendUint32(b, life)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// answer makes a packet of records.
func answer(records ...[]byte) []byte {
	var head [headerSize]byte
	head[2] = 0x84
	binary.BigEndian.PutUint16(head[6:], uint16(len(records)))
	return append(head[:], slices.Concat(records...)...)
}

func ptr(service, target name) []byte {
	return appendRecord(nil, service, typePTR, 10, appendName(nil, target))
}

func srv(n, target name, port uint16) []byte {
	return appendRecord(nil, n, typeSRV, 10, appendName(binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, port), target))
}

func txt(n name, lines ...string) []byte {
	var data []byte
	for _, s := range lines {
		data = append(append(data, byte(len(s))), s...)
	}
	return appendRecord(nil, n, typeTXT, 10, data)
}

func address(n name, a string) []byte {
	addr := netip.MustParseAddr(a)
	kind := uint16(typeA)
	if addr.Is6() {
		kind = typeAAAA
	}
	return appendRecord(nil, n, kind, 10, addr.AsSlice())
}

// patience is how long to wait for what comes: answers get lost when a computer
// has much else to do.
const patience = 30 * time.Second

// responder answers on the loopback interface.
type responder struct {
	port uint16
	// asked are the questions that came, by name.
	mu    sync.Mutex
	asked []string
	// voice is who answers, if it is somebody else.
	voice net.PacketConn
}

// respond starts a responder that gives, for each question, packets.
func respond(t *testing.T, reply func(n name, kind uint16) [][]byte) *responder {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenMulticastUDP("udp4", lo, &net.UDPAddr{IP: net.ParseIP(group4)})
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{port: conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, maxPacket)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			p := &parser{data: buf[:n], at: headerSize}
			for range binary.BigEndian.Uint16(buf[4:]) {
				name, err := p.name()
				kind, kerr := p.uint16()
				_, cerr := p.uint16()
				if err := errors.Join(err, kerr, cerr); err != nil {
					t.Errorf("question: %v", err)
					return
				}
				r.mu.Lock()
				r.asked = append(r.asked, strings.Join(name, "."))
				voice := r.voice
				r.mu.Unlock()
				if voice == nil {
					voice = conn
				}
				for _, packet := range reply(name, kind) {
					if _, err := voice.WriteTo(packet, net.UDPAddrFromAddrPort(from)); err != nil {
						t.Errorf("answer: %v", err)
					}
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return r
}

// search looks on the loopback interface, until so many services are known with
// an address.
func (r *responder) search(t *testing.T, wait time.Duration, enough int) []Instance {
	t.Helper()
	o := r.options(wait)
	o.enough = func(all []Instance) bool {
		n := 0
		for _, i := range all {
			if len(i.Addresses) > 0 && len(i.Text) > 0 {
				n++
			}
		}
		return n == enough
	}
	all, err := Find(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *responder) options(wait time.Duration) Options {
	return Options{Service: "_webgear._tcp", Wait: wait, port: r.port, links: loopback}
}

func loopback() ([]link, error) { return []link{{netip.MustParsePrefix("127.0.0.1/8"), "lo"}}, nil }

var (
	service = name{"_webgear", "_tcp", "local"}
	first   = name{"Camera on garten.", "_webgear", "_tcp", "local"}
	second  = name{"Büro\x1b[31m", "_webgear", "_tcp", "local"}
	garten  = name{"garten", "local"}
	buero   = name{"buero", "local"}
)

// goroutines waits until no more run than before.
func goroutines(t *testing.T, before int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d goroutines ran before, %d run now", before, runtime.NumGoroutine())
		}
	}
}

func TestFindsServicesThatAnswerCompletely(t *testing.T) {
	r := respond(t, func(n name, kind uint16) [][]byte {
		if kind != typePTR || n.key() != service.key() {
			return nil
		}
		return [][]byte{
			answer(
				ptr(service, second), srv(second, buero, 8001), txt(second, "stream=/video\x07", "odd", "", "stream=/other"),
				address(buero, "fe80::7"), address(buero, "192.168.1.8"), address(buero, "fd00::8"),
			),
			answer(ptr(service, first), srv(first, garten, 8000), txt(first, "stream=/video"), address(garten, "169.254.1.1"), address(garten, "192.168.1.7")),
		}
	})
	before := runtime.NumGoroutine()
	all := r.search(t, patience, 2)
	goroutines(t, before)
	if len(all) != 2 {
		t.Fatalf("found %+v", all)
	}
	one, two := all[0], all[1]
	if one.Name != "Büro[31m" || one.Host != "buero.local" || one.Port != 8001 || one.Text["stream"] != "/video" || len(one.Text) != 2 {
		t.Errorf("first is %+v", one)
	}
	if got := strings.Trim(strings.ReplaceAll(joinAddrs(one.Addresses), "%lo", ""), " "); got != "192.168.1.8 fd00::8 fe80::7" {
		t.Errorf("addresses %s", got)
	}
	if two.Name != "Camera on garten." || two.Host != "garten.local" || two.Port != 8000 || joinAddrs(two.Addresses) != "192.168.1.7 169.254.1.1" {
		t.Errorf("second is %+v", two)
	}
}

func joinAddrs(all []netip.Addr) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, " ")
}

func TestAsksForWhatWasNotSaid(t *testing.T) {
	r := respond(t, func(n name, kind uint16) [][]byte {
		switch {
		case kind == typePTR && n.key() == service.key():
			return [][]byte{answer(ptr(service, first))}
		case kind == typeSRV && n.key() == first.key():
			return [][]byte{answer(srv(first, garten, 8000))}
		case kind == typeTXT && n.key() == first.key():
			return [][]byte{answer(txt(first, "stream=/video"))}
		case kind == typeA && n.key() == garten.key():
			return [][]byte{answer(address(garten, "10.0.0.7"))}
		}
		return nil
	})
	all := r.search(t, patience, 1)
	if len(all) != 1 || all[0].Port != 8000 || all[0].Text["stream"] != "/video" || joinAddrs(all[0].Addresses) != "10.0.0.7" {
		r.mu.Lock()
		defer r.mu.Unlock()
		t.Errorf("found %+v, after %q", all, r.asked)
	}
}

func TestAnAnswerThatGotLostIsAskedForAgain(t *testing.T) {
	times := 0
	r := respond(t, func(n name, _ uint16) [][]byte {
		if n.key() != service.key() {
			return nil
		}
		if times++; times < 2 {
			return nil
		}
		return [][]byte{answer(ptr(service, first), srv(first, garten, 8000), txt(first, "stream=/video"), address(garten, "10.0.0.7"))}
	})
	if all := r.search(t, patience, 1); len(all) != 1 {
		t.Errorf("found %+v", all)
	}
}

func TestWhatSaysNothingOfUseIsLeftOut(t *testing.T) {
	other := name{"Printer", "_ipp", "_tcp", "local"}
	for what, packet := range map[string][]byte{
		"nothing":         nil,
		"noise":           []byte("this is no packet of a name server at all"),
		"a question":      append(make([]byte, headerSize), answer(ptr(service, first))[headerSize:]...),
		"goodbye":         answer(appendRecord(nil, service, typePTR, 0, appendName(nil, first)), appendRecord(nil, first, typeSRV, 0, appendName([]byte{0, 0, 0, 0, 31, 64}, garten))),
		"another service": answer(ptr(name{"_ipp", "_tcp", "local"}, other), srv(other, garten, 631), ptr(service, other)),
		"no port":         answer(ptr(service, first), srv(first, garten, 0)),
		"cut off":         answer(ptr(service, first), srv(first, garten, 8000))[:70],
	} {
		t.Run(what, func(t *testing.T) {
			r := respond(t, func(name, uint16) [][]byte { return [][]byte{packet} })
			if all := r.search(t, 150*time.Millisecond, 1); all == nil || len(all) != 0 {
				t.Errorf("found %+v", all)
			}
		})
	}
}

func TestOnlyRespondersOfTheOwnNetworkAreBelieved(t *testing.T) {
	packet := answer(ptr(service, first), srv(first, garten, 8000), address(garten, "10.0.0.7"))
	r := respond(t, func(name, uint16) [][]byte { return [][]byte{packet} })
	for network, want := range map[string]int{"127.0.0.1/32": 1, "127.0.0.2/32": 0} {
		o := r.options(150 * time.Millisecond)
		o.links = func() ([]link, error) { return []link{{netip.MustParsePrefix(network), "lo"}}, nil }
		if all, err := Find(t.Context(), o); err != nil || len(all) != want {
			t.Errorf("in %s: %+v, %v", network, all, err)
		}
	}
	// Another port is that of a program without any privilege.
	stranger, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }() // it was only written to
	r.mu.Lock()
	r.voice = stranger
	r.mu.Unlock()
	if all := r.search(t, 150*time.Millisecond, 1); len(all) != 0 {
		t.Errorf("from another port: %+v", all)
	}
}

func TestFindEndsEarlyWithItsContext(t *testing.T) {
	r := respond(t, func(name, uint16) [][]byte { return nil })
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if all, err := Find(ctx, r.options(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("found %+v, %v", all, err)
	}
	goroutines(t, before)
}

func TestFindNeedsANetwork(t *testing.T) {
	for what, links := range map[string]func() ([]link, error){
		"none":    func() ([]link, error) { return nil, nil },
		"refused": func() ([]link, error) { return nil, errors.New("not now") },
		"gone":    func() ([]link, error) { return []link{{netip.MustParsePrefix("203.0.113.7/24"), "eth7"}}, nil },
	} {
		if all, err := Find(t.Context(), Options{Service: "_webgear._tcp", Wait: time.Hour, links: links}); err == nil || !strings.HasPrefix(err.Error(), "look for _webgear._tcp: ") {
			t.Errorf("%s: found %+v, %v", what, all, err)
		}
	}
}

func TestLinksHaveNetworksAndNoLoopback(t *testing.T) {
	all, err := links()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.prefix.Addr().IsLoopback() || l.zone == "" || l.prefix.Addr().Is6() && !l.prefix.Addr().IsLinkLocalUnicast() {
			t.Errorf("link %+v", l)
		}
	}
}
