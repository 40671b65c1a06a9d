package auth

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzRedirect holds that a browser which follows SafePath stays on this site.
func FuzzRedirect(f *testing.F) {
	for _, s := range []string{"/video?width=640", "//evil.example", `/\evil.example`, "/\t/evil.example", "/%2f/evil.example", "/..//evil.example", "/x#y", "javascript:x", ""} {
		f.Add(s)
	}
	here, err := url.Parse("http://attic.local:8000/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		path := SafePath(next)
		if path != "/" && path != next {
			t.Errorf("%q became %q", next, path)
		}
		if strings.ContainsAny(path, "\r\n\x00\\") || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			t.Errorf("%q gives the field %q", next, path)
		}
		if to, err := here.Parse(path); err == nil && (to.Host != here.Host || to.Scheme != here.Scheme) {
			t.Errorf("%q leads to %s", next, to)
		}
	})
}

// FuzzRedactQuery holds that no value gets into a log but those of parameters that
// are known to be harmless.
func FuzzRedactQuery(f *testing.F) {
	f.Add("exp=1&sig=", "abc")
	f.Add("a=b&%73ig=", "s3cret")
	f.Add("token", "=x")
	f.Add("width=5;sig=", "abc")
	f.Fuzz(func(t *testing.T, before, secret string) {
		const marker = "QQsecretQQ"
		got := RedactQuery(before + marker + secret)
		name, _, has := strings.Cut(before[strings.LastIndexByte(before, '&')+1:], "=")
		if has && !isPlain(name) && strings.Contains(got, marker) {
			t.Errorf("%q is logged as %q", before+marker+secret, got)
		}
		if again := RedactQuery(got); again != got {
			t.Errorf("%q, once more %q", got, again)
		}
	})
}

// FuzzCheck gives whole requests to a guard with a password. Whatever somebody
// without credentials sends, he sees public pages only, and a refusal is a complete
// answer without line breaks in its fields.
func FuzzCheck(f *testing.F) {
	f.Add("GET", "/video", "exp=99999999999&sig=AAAA", "attic", "Basic YWRtaW46eA==", "a=b; c=d", "https://evil.example", "cross-site", "1.2.3.4", byte(0))
	f.Add("POST", "/api/tokens", "", "attic.local:8000", "Bearer wg_x", "", "http://attic.local:8000", "same-origin", "", byte(1))
	f.Add("HEAD", "/", "x=%zz", "[fe80::1%25eth0]", "", `"`, "null", "none", "for=_x", byte(2))
	f.Add("GET", "/state", "", "127.0.0.1", "bearer", "", "", "", "::1", byte(3))
	path := filepath.Join(f.TempDir(), "access.json")
	clocks := newClocks()
	store, err := OpenStore(StoreOptions{Path: path, System: System{SinceBoot: clocks.sinceBoot, Now: clocks.time}})
	if err != nil {
		f.Fatal(err)
	}
	if err := store.SetHash(f.Context(), "admin", Admin, cheap(adminPassword)); err != nil {
		f.Fatal(err)
	}
	g, err := New(Options{Store: store, Hostname: "attic", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, query, host, authorization, cookie, origin, site, forwarded string, kind byte) {
		clocks.pass(3600e9) // the slow-down is another test's
		r := &Request{
			Method: method, Path: path, Query: query, Host: host, Authorization: authorization, Cookie: cookie, Origin: origin, FetchSite: site,
			Forwarded: Forwarded{Forwarded: forwarded, For: forwarded, Host: host},
			Peer:      netip.MustParseAddrPort([]string{"192.168.1.7:1", "10.1.1.1:1", "[2001:db8::1]:1"}[kind%3]),
			Need:      Need{Role: Viewer, Link: kind&4 != 0, Unclaimed: kind&8 != 0},
		}
		d := g.Check(t.Context(), r)
		if d.Allowed() {
			t.Errorf("%+v is let in as %+v", r, d.Principal)
		}
		if d.Status < 300 || d.Status > 599 || d.Code == CodeNone || d.Message == "" && d.Location == "" {
			t.Errorf("%+v gets an empty answer: %+v", r, d)
		}
		for _, field := range []string{d.Location, d.Challenge, d.Cookie, string(d.Code)} {
			if strings.ContainsAny(field, "\r\n\x00") {
				t.Errorf("%+v gets a field with %q", r, field)
			}
		}
		fields := g.CORSFields(origin)
		more, ok := g.Preflight(origin)
		if ok || slices.ContainsFunc(append(fields, more...), func(f Field) bool { return strings.HasPrefix(f.Name, "Access-Control-") }) {
			t.Errorf("the origin %q may read", origin)
		}
	})
}

// FuzzSettingsLists reads what settings may list. What is accepted cannot end a
// header field or a directive of the content policy.
func FuzzSettingsLists(f *testing.F) {
	for _, s := range []string{"https://home.example", "*", "http://[::1]:80", "https://a; script-src *", "10.0.0.0/8", "::1", "10.0.0.0/99", "attic.example"} {
		f.Add(s)
	}
	clocks := newClocks()
	store, err := OpenStore(StoreOptions{Path: filepath.Join(f.TempDir(), "access.json"), System: System{SinceBoot: clocks.sinceBoot, Now: clocks.time}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if all, err := ParseProxies([]string{s}); err == nil && (len(all) != 1 || !all[0].IsValid()) {
			t.Errorf("%q gives %v", s, all)
		}
		g, err := New(Options{Store: store, Hostname: "attic", Origins: []string{s}, FrameAncestors: []string{s}})
		if err != nil {
			return
		}
		for _, field := range append(g.SecurityFields(false), g.CORSFields(s)...) {
			_, ancestors, _ := strings.Cut(field.Value, "frame-ancestors")
			if strings.ContainsAny(field.Value, "\r\n\x00") || strings.ContainsAny(ancestors, ";,") {
				t.Errorf("%q gives the field %s: %q", s, field.Name, field.Value)
			}
		}
	})
}
