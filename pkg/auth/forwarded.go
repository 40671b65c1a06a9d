package auth

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds how many proxies are looked through.
const maxHops = 16

// origin is who a request is from, beyond proxies that are trusted.
type origin struct {
	client  netip.Addr
	host    string // as the person's browser sent it
	secure  bool
	proxied bool // somebody stands between, or claims to
}

// errForwarded: proxies contradict each other, or make no sense.
var errForwarded = errors.New("the forwarded header fields make no sense")

// originOf looks through the proxies that are trusted. What others forward is
// not believed, but shows that the request is not from this computer's user.
func originOf(r *Request, trusted []netip.Prefix) (origin, error) {
	peer := r.Peer.Addr().Unmap().WithZone("")
	o := origin{client: peer, host: r.Host, secure: r.TLS, proxied: r.Forwarded.any()}
	if !isTrusted(peer, trusted) {
		return o, nil
	}
	o.proxied = true // also one that says nothing
	f := &r.Forwarded
	var fromFor, fromForwarded []hop
	var err error
	if f.For != "" {
		if fromFor, err = parseFor(f.For); err != nil {
			return o, err
		}
	}
	if f.Forwarded != "" {
		if fromForwarded, err = parseForwarded(f.Forwarded); err != nil {
			return o, err
		}
	}
	viaFor, viaForwarded := nearest(fromFor, trusted), nearest(fromForwarded, trusted)
	// A proxy that sets one of them may pass on the other from whoever sent it.
	if viaFor != nil && viaForwarded != nil && viaFor.address != viaForwarded.address {
		return o, errForwarded
	}
	found := viaForwarded
	if found == nil {
		found = viaFor
	}
	if found == nil && f.RealIP != "" {
		a, ok := parseNode(strings.TrimSpace(f.RealIP))
		if !ok {
			return o, errForwarded
		}
		found = &hop{address: a}
	}
	if found != nil {
		o.client = found.address
	}
	proto, host := lastOf(f.Proto), lastOf(f.Host)
	if viaForwarded != nil {
		if viaForwarded.proto != "" {
			proto = viaForwarded.proto
		}
		if viaForwarded.host != "" {
			host = viaForwarded.host
		}
	}
	switch strings.ToLower(proto) {
	case "":
	case "http", "ws":
		o.secure = false
	case "https", "wss":
		o.secure = true
	default:
		return o, errForwarded
	}
	if host != "" {
		o.host = host
	}
	return o, nil
}

// hop is one entry of a list of proxies. The address is not valid when the proxy
// hides it.
type hop struct {
	address     netip.Addr
	proto, host string
}

// nearest is the first hop, from our side, that is no proxy of ours; or the
// furthest, if all are.
func nearest(hops []hop, trusted []netip.Prefix) *hop {
	for i, h := range slices.Backward(hops) {
		if i == 0 || !h.address.IsValid() || !isTrusted(h.address, trusted) {
			return &hops[i]
		}
	}
	return nil
}

// parseFor reads X-Forwarded-For.
func parseFor(field string) (hops []hop, err error) {
	for part := range strings.SplitSeq(field, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		a, ok := parseNode(part)
		if !ok && !strings.EqualFold(part, "unknown") || len(hops) == maxHops {
			return nil, errForwarded
		}
		hops = append(hops, hop{address: a})
	}
	return hops, nil
}

// parseForwarded reads Forwarded, as RFC 7239 section 4 has it.
func parseForwarded(field string) (hops []hop, err error) {
	for element := range splitQuoted(field, ',') {
		if strings.TrimSpace(element) == "" {
			continue
		}
		var h hop
		for pair := range splitQuoted(element, ';') {
			if strings.TrimSpace(pair) == "" {
				continue
			}
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return nil, errForwarded
			}
			if value, ok = unquote(strings.TrimSpace(value)); !ok {
				return nil, errForwarded
			}
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "for":
				a, ok := parseNode(value)
				if !ok && !strings.EqualFold(value, "unknown") && !strings.HasPrefix(value, "_") {
					return nil, errForwarded
				}
				h.address = a
			case "proto":
				h.proto = value
			case "host":
				h.host = value
			}
		}
		if len(hops) == maxHops {
			return nil, errForwarded
		}
		hops = append(hops, h)
	}
	return hops, nil
}

// splitQuoted splits at a separator that is not in quotes.
func splitQuoted(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		begin, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == sep && !quoted:
				if !yield(s[begin:i]) {
					return
				}
				begin = i + 1
			}
		}
		yield(s[begin:])
	}
}

// unquote takes a value out of its quotes, if it has some.
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, !strings.Contains(s, `"`)
	}
	if len(s) < 2 || !strings.HasSuffix(s, `"`) {
		return "", false
	}
	s = s[1 : len(s)-1]
	if strings.ContainsAny(s, `"\`) { // no address, host or protocol needs them
		return "", false
	}
	return s, true
}

// parseNode reads an address with or without port; IPv6 with or without
// brackets.
func parseNode(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && strings.HasPrefix(s, "[") == strings.HasSuffix(s, "]") {
		return a.Unmap().WithZone(""), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// isTrusted reports whether an address is one of our proxies'.
func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return a.IsValid() && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// lastOf is the entry that the nearest proxy wrote.
func lastOf(list string) string {
	return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

// ParseProxies reads the setting trusted_proxies: addresses and networks.
func ParseProxies(list []string) (prefixes []netip.Prefix, err error) {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			a = a.Unmap().WithZone("")
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() {
			return nil, errors.New("write addresses such as 192.168.1.2 or networks such as 10.0.0.0/8")
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}
