package auth

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A page of another web site may name its own host and let that name point to
// this computer (DNS rebinding). Browsers take it for one site with us then, but
// they still send that name: only names that strangers cannot own are answered.

// ownSuffixes are what routers and mDNS append to the name of a computer at home.
// Nobody can register names below them: local (RFC 6762), home.arpa (RFC 8375),
// internal (reserved by ICANN in 2024), home, lan and localdomain (no such
// top-level domains), fritz.box (owned by the maker of the routers that use it).
var ownSuffixes = []string{"local", "home.arpa", "internal", "home", "lan", "localdomain", "fritz.box"} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// splitHost takes the field Host apart. name is lower-case, without brackets and
// final dot; ok is false for what no browser sends.
func splitHost(host string) (name, port string, ok bool) {
	name = host
	if rest, isLiteral := strings.CutPrefix(host, "["); isLiteral {
		var tail string
		if name, tail, ok = strings.Cut(rest, "]"); !ok {
			return "", "", false
		}
		if a, err := netip.ParseAddr(name); err != nil || !a.Is6() {
			return "", "", false
		}
		if tail != "" {
			if port, ok = strings.CutPrefix(tail, ":"); !ok {
				return "", "", false
			}
		}
	} else if n, p, has := strings.Cut(host, ":"); has {
		name, port = n, p
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			return "", "", false
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:%", r)
	}
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return "", "", false
	}
	return name, port, true
}

// knowsHost reports whether a request for this host is meant for us.
func (g *Guard) knowsHost(host string) bool {
	if host == "" {
		return true // HTTP/1.0: no browser
	}
	name, _, ok := splitHost(host)
	if !ok {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if !strings.Contains(name, ".") || strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".localhost") {
		return true // nobody owns a name without a dot but whoever runs the local network
	}
	if slices.Contains(g.hosts, name) {
		return true
	}
	first, rest, _ := strings.Cut(name, ".")
	return first == g.hostname && slices.Contains(ownSuffixes, rest)
}

// sameOrigin reports whether the field Origin names the site that host is. A page
// that was not encrypted may not change what is.
func sameOrigin(origin, host string, secure bool) bool {
	u, ok := parseOrigin(origin)
	if !ok || secure && u.Scheme != "https" {
		return false
	}
	name, port, ok := splitHost(host)
	theirs, theirPort, ok2 := splitHost(u.Host)
	if !ok || !ok2 || name != theirs {
		return false
	}
	if port == defaultPort(secure) {
		port = ""
	}
	if theirPort == defaultPort(u.Scheme == "https") {
		theirPort = ""
	}
	return port == theirPort
}

func defaultPort(secure bool) string {
	if secure {
		return "443"
	}
	return "80"
}

// parseOrigin reads the field Origin: a scheme and a host, nothing else.
func parseOrigin(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return nil, false
	}
	return u, true
}

// parseOrigins reads the setting of origins.
func parseOrigins(list []string) (origins []string, err error) {
	for _, s := range list {
		u, ok := parseOrigin(strings.TrimSuffix(s, "/"))
		if !ok {
			return nil, errors.New("write origins such as https://home.example:8123")
		}
		name, port, ok := splitHost(u.Host)
		if !ok {
			return nil, errors.New("write origins such as https://home.example:8123")
		}
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if port != "" && port != defaultPort(u.Scheme == "https") {
			name += ":" + port
		}
		origins = append(origins, u.Scheme+"://"+name)
	}
	return origins, nil
}

// CheckHost checks an entry of the setting of further host names.
func CheckHost(host string) error {
	if _, port, ok := splitHost(host); !ok || port != "" {
		return errors.New("write a name such as camera.example.org")
	}
	return nil
}

// CheckOrigins checks a setting that lists origins.
func CheckOrigins(list []string) error {
	_, err := parseOrigins(list)
	return err
}

// mayChange reports whether a request that changes something comes from a page of
// ours, a page that the settings name, or no page at all.
func (g *Guard) mayChange(r *Request, o *origin) bool {
	if r.Origin != "" {
		return sameOrigin(r.Origin, o.host, o.secure) || slices.Contains(g.origins, r.Origin)
	}
	switch r.FetchSite {
	case "", "same-origin", "none":
		return true
	}
	return false
}

// changes reports whether a method may change something.
func changes(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// SafePath makes the path of a redirect out of what a form or query says: a path
// of this site, or "/".
func SafePath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || len(next) > 1024 ||
		strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return "/"
	}
	return next
}
