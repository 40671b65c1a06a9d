package auth

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSecretsStayOutOfLoggedQueries(t *testing.T) {
	for raw, want := range map[string]string{
		"": "", "width=640&q=50": "width=640&q=50", "exp=1&sig=abc": "exp=1&sig=…", "token=x": "token=…", "%73ig=abc": "%73ig=…", "sig": "sig", "a=b=c": "a=…",
	} {
		if got := RedactQuery(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func TestRedirectsStayHere(t *testing.T) {
	for next, want := range map[string]string{
		"/video?width=640": "/video?width=640", "/": "/", "": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"/a\nb": "/", "/a\tb": "/", "javascript:x": "/", "/" + strings.Repeat("x", 2000): "/",
	} {
		if got := SafePath(next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}

func TestFieldsForOtherSites(t *testing.T) {
	value := func(fields []Field, name string) string {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return ""
		}
		return fields[i].Value
	}
	plain := newRig(t, Options{})
	csp := value(plain.SecurityFields(false), "Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.HasPrefix(csp, "default-src 'none'") || !strings.HasSuffix(csp, "frame-ancestors 'self'") {
		t.Error(csp)
	}
	if got := value(plain.SecurityFields(true), "Cross-Origin-Resource-Policy"); got != "cross-origin" {
		t.Error(got)
	}
	if f := plain.CORSFields("https://evil.example"); f != nil {
		t.Error(f)
	}
	if _, ok := plain.Preflight("https://evil.example"); ok {
		t.Error("preflight of anybody")
	}
	named := newRig(t, Options{Origins: []string{"https://home.example"}, FrameAncestors: []string{"http://printer.local:80"}})
	if got := value(named.SecurityFields(false), "Content-Security-Policy"); !strings.HasSuffix(got, "frame-ancestors 'self' http://printer.local") {
		t.Error(got)
	}
	if value(named.SecurityFields(false), "X-Frame-Options") != "" {
		t.Error("X-Frame-Options forbids what the setting allows")
	}
	fields, ok := named.Preflight("https://home.example")
	if !ok || value(fields, "Access-Control-Allow-Origin") != "https://home.example" || value(fields, "Vary") != "Origin" {
		t.Error(fields, ok)
	}
	if f := named.CORSFields("https://evil.example"); value(f, "Access-Control-Allow-Origin") != "" || value(f, "Vary") != "Origin" {
		t.Error(f)
	}
	for _, o := range []Options{
		{Hosts: []string{"a:80"}},
		{Hosts: []string{""}},
		{Origins: []string{"home.example"}},
		{Origins: []string{"https://a/b"}},
		{FrameAncestors: []string{"'unsafe-inline'; script-src *"}},
		{FrameAncestors: []string{"https://*"}},
		{FrameAncestors: []string{"https://a; b"}},
	} {
		o.Store = named.store
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no store")
	}
}

func FuzzSessionCookie(f *testing.F) {
	key := secret(strings.Repeat("k", keyBytes))
	s := session{begun: day, renewed: day, name: "admin"}
	name := freshContents().cookieName(false)
	f.Add(name + "=" + s.value(key))
	f.Add("a=b; " + name + "=\"x\"")
	f.Add(";;=;")
	f.Fuzz(func(t *testing.T, field string) {
		values := cookies(field, name)
		if len(values) > maxSameCookies {
			t.Errorf("%d values", len(values))
		}
		for _, v := range append(values, field) {
			got, ok := parseSession(v, key)
			if !ok {
				continue
			}
			if got.value(key) != v {
				t.Errorf("%q is another way to write %+v", v, got)
			}
		}
	})
}

func FuzzBasic(f *testing.F) {
	f.Add("YWRtaW46cGFzc3dvcmQ=")
	f.Add("Og==")
	f.Fuzz(func(t *testing.T, field string) {
		name, password, ok := parseBasic(field)
		if ok && (name == "" || password == "" || strings.Contains(name, ":") || name != strings.ToLower(name)) {
			t.Errorf("%q: %q %q", field, name, password)
		}
	})
}

func FuzzLink(f *testing.F) {
	key := secret(strings.Repeat("k", keyBytes))
	f.Add(signLink(key, "/video", day))
	f.Add("exp=1&sig=")
	f.Add("%73ig=x&sig=y&exp=0x1")
	f.Fuzz(func(t *testing.T, query string) {
		l, present, ok := parseLink(query)
		if ok && (!present || l.exp < 0) {
			t.Errorf("%q: %+v", query, l)
		}
		if ok && l.signs(key, "/video") && !strings.Contains(query, signLink(key, "/video", time.Unix(l.exp, 0))[4:8]) {
			t.Errorf("%q signs", query)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Add(`for="[2001:db8::1]:47";proto=https;host="a", for=_x`, "1.2.3.4, 10.1.1.1:80", "https", "attic")
	f.Add(`for="\",;`, "unknown", "", "")
	f.Fuzz(func(t *testing.T, forwarded, list, proto, host string) {
		r := &Request{Host: "attic", Peer: netip.MustParseAddrPort("10.1.1.1:1"), Forwarded: Forwarded{Forwarded: forwarded, For: list, Proto: proto, Host: host}}
		o, err := originOf(r, trusted)
		if err == nil && !o.proxied {
			t.Error("a proxy that is trusted is no local user")
		}
		if hops, err := parseForwarded(forwarded); err == nil && len(hops) > maxHops {
			t.Errorf("%d hops", len(hops))
		}
		r.Peer = netip.MustParseAddrPort("192.168.1.1:1")
		if o, err := originOf(r, trusted); err != nil || o.client != r.Peer.Addr() || o.host != "attic" || o.secure {
			t.Errorf("a stranger is believed: %+v %v", o, err)
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"attic:80", "[fe80::1]:8000", "a.local.", "[", ":"} {
		f.Add(s)
	}
	g := &Guard{hostname: "attic"}
	f.Fuzz(func(t *testing.T, host string) {
		name, port, ok := splitHost(host)
		if ok && (name == "" || strings.ContainsAny(name+port, "/@ \\?#\x00")) {
			t.Errorf("%q: %q %q", host, name, port)
		}
		if g.knowsHost(host+".evil.example") && strings.Trim(host, ".") != "" && !strings.Contains(host, ":") {
			t.Errorf("%q.evil.example is ours", host)
		}
	})
}

func FuzzAccessFile(f *testing.F) {
	c := freshContents()
	c.Accounts = append(c.Accounts, &Account{Name: "admin", Role: Admin, Hash: cheap("x")})
	data, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode(data)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			return // it would be too large
		}
		if _, err := decode(again); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

func FuzzHash(f *testing.F) {
	f.Add(cheap("x"))
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := parseHash(s); err == nil && h.String() != s {
			t.Errorf("%q is another way to write %s", s, h)
		}
	})
}
