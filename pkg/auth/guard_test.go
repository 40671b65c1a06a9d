package auth

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNothingAnswersUntilClaimedButTheClaimPage(t *testing.T) {
	r := newRig(t, Options{})
	claimPage := func(q *Request) { q.Path, q.Need = "/claim", Need{Unclaimed: true} }
	probe := func(q *Request) { q.Path, q.Need, q.Host = "/healthz", Need{Probe: true}, "anything.example" }
	page := func(q *Request) { q.Accept = "text/html,*/*" }
	wants(t, "stream", r.check(t, get()), 403, CodeUnclaimed)
	wants(t, "stream from loopback through a listener for all", r.check(t, get(from("127.0.0.1"))), 403, CodeUnclaimed)
	wants(t, "sign-in page", r.check(t, get(public)), 403, CodeUnclaimed)
	wants(t, "settings", r.check(t, post(basic("admin", ""))), 403, CodeUnclaimed)
	wants(t, "claim page", r.check(t, get(claimPage)), 0, "")
	wants(t, "claim page from afar", r.check(t, get(claimPage, from("203.0.113.9"))), 0, "")
	wants(t, "probe", r.check(t, get(probe)), 0, "")
	d := r.check(t, get(page))
	wants(t, "a person", d, 303, CodeUnclaimed)
	if d.Location != "/claim" {
		t.Errorf("a person is sent to %q", d.Location)
	}
	wants(t, "sign-in", r.SignIn(t.Context(), post(public), "admin", "whatever!"), 403, CodeUnclaimed)
}

func TestTrustIsByListenerNotByPeer(t *testing.T) {
	proxies := Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	forwarded := func(q *Request) { q.Forwarded.For = "203.0.113.9" }
	for _, tt := range []struct {
		name    string
		options Options
		change  []func(*Request)
		want    int
	}{
		{"local listener", Options{}, []func(*Request){local}, 0},
		{"loopback peer, listener for all", Options{}, []func(*Request){from("127.0.0.1")}, 401},
		{"local listener, forwarded by nobody we trust", Options{}, []func(*Request){local, forwarded}, 401},
		{"local listener, X-Real-IP", Options{}, []func(*Request){local, func(q *Request) { q.Forwarded.RealIP = "127.0.0.1" }}, 401},
		{"local listener, Forwarded", Options{}, []func(*Request){local, func(q *Request) { q.Forwarded.Forwarded = "for=127.0.0.1" }}, 401},
		{"local listener, Via", Options{}, []func(*Request){local, func(q *Request) { q.Forwarded.Via = "1.1 tunnel" }}, 401},
		{"local listener, trusted proxy", proxies, []func(*Request){local, forwarded}, 401},
		{"local listener, trusted proxy that says loopback", proxies, []func(*Request){local, func(q *Request) { q.Forwarded.For = "127.0.0.1" }}, 401},
		{"local listener, trusted proxy that says nothing", proxies, []func(*Request){local}, 401},
		{"local listener, Unix socket", Options{}, []func(*Request){local, func(q *Request) { q.Peer = netip.AddrPort{} }}, 0},
		{"auth: open", Options{Mode: Open}, nil, 0},
	} {
		r := claimedRig(t, tt.options)
		if d := r.check(t, get(tt.change...)); d.Status != tt.want {
			t.Errorf("%s: got %d %s, want %d", tt.name, d.Status, d.Message, tt.want)
		} else if d.Allowed() && (d.Principal.Kind != KindOpen || d.Principal.Role != Admin) {
			t.Errorf("%s: is %+v", tt.name, d.Principal)
		}
	}
}

func TestTrustOfTheBoundAddress(t *testing.T) {
	for want, addresses := range map[Trust][]net.Addr{
		Local:   {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv6loopback}, &net.TCPAddr{IP: net.IPv4(127, 8, 0, 1)}, &net.UnixAddr{Name: "/run/x"}},
		Network: {&net.TCPAddr{}, &net.TCPAddr{IP: net.IPv4zero}, &net.TCPAddr{IP: net.IPv6unspecified}, &net.TCPAddr{IP: net.IPv4(192, 168, 1, 1)}, &net.UDPAddr{}, nil},
	} {
		for _, a := range addresses {
			if got := TrustOf(a); got != want {
				t.Errorf("%v: got %d, want %d", a, got, want)
			}
		}
	}
}

func TestRolesAndProofs(t *testing.T) {
	r := claimedRig(t, Options{})
	_, viewToken, err := r.store.CreateToken(t.Context(), "printer", Viewer)
	if err != nil {
		t.Fatal(err)
	}
	_, adminToken, err := r.store.CreateToken(t.Context(), "home automation", Admin)
	if err != nil {
		t.Fatal(err)
	}
	admin, eve := r.signIn(t, "", adminPassword), r.signIn(t, " Eve ", viewerPassword)
	link, _, err := r.store.SignLink("/video", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	query := func(s string) func(*Request) { return func(q *Request) { q.Query = s } }
	noOrigin := func(q *Request) { q.Origin = "" }
	for _, tt := range []struct {
		name   string
		q      *Request
		status int
		code   Code
	}{
		{"nobody", get(), 401, CodeSignIn},
		{"viewer session watches", get(with(eve)), 0, ""},
		{"viewer session changes", post(with(eve)), 403, CodeRole},
		{"admin session watches", get(with(admin)), 0, ""},
		{"admin session changes", post(with(admin)), 0, ""},
		{"admin session, a page of another site", post(with(admin), func(q *Request) { q.Origin = "http://evil.example" }), 403, CodeOrigin},
		{"admin session, no origin at all", post(with(admin), noOrigin), 403, CodeOrigin},
		{"admin session, Sec-Fetch-Site same-origin", post(with(admin), noOrigin, func(q *Request) { q.FetchSite = "same-origin" }), 0, ""},
		{"admin session, Sec-Fetch-Site same-site", post(with(admin), noOrigin, func(q *Request) { q.FetchSite = "same-site" }), 403, CodeOrigin},
		{"basic", get(basic("eve", viewerPassword)), 0, ""},
		{"basic, name in capitals", get(basic("EVE", viewerPassword)), 0, ""},
		{"basic changes without origin", post(basic("admin", adminPassword), noOrigin), 0, ""},
		{"basic wrong", get(basic("eve", "wrong")), 401, CodeSignIn},
		{"basic unknown account", get(basic("mallory", viewerPassword)), 401, CodeSignIn},
		{"basic without password", get(basic("eve", "")), 401, CodeSignIn},
		{"basic broken", get(func(q *Request) { q.Authorization = "Basic ?" }), 401, CodeSignIn},
		{"basic of 1 MB", get(basic("eve", strings.Repeat("x", 1<<20))), 401, CodeSignIn},
		{"other scheme", get(func(q *Request) { q.Authorization = "Digest x" }), 401, CodeSignIn},
		{"wrong authorization beats a right cookie", get(with(eve), basic("eve", "wrong")), 401, CodeSignIn},
		{"token watches", get(bearer(viewToken)), 0, ""},
		{"token changes", post(bearer(viewToken)), 403, CodeRole},
		{"admin token changes", post(bearer(adminToken), noOrigin), 0, ""},
		{"wrong token", get(bearer(viewToken + "x")), 401, CodeSignIn},
		{"empty token", get(bearer("")), 401, CodeSignIn},
		{"token in the address", get(query("token=" + viewToken)), 401, CodeSignIn},
		{"link", get(query(link)), 0, ""},
		{"link, HEAD", get(query(link), func(q *Request) { q.Method = "HEAD" }), 0, ""},
		{"link among others", get(query("width=640&" + link)), 0, ""},
		{"link for another path", get(query(link), func(q *Request) { q.Path = "/snapshot" }), 401, CodeSignIn},
		{"link for a path below", get(query(link), func(q *Request) { q.Path = "/video/x" }), 401, CodeSignIn},
		{"link where none is enough", get(query(link), func(q *Request) { q.Need.Link = false }), 401, CodeSignIn},
		{"link where an admin is needed", get(query(link), func(q *Request) { q.Need.Role = Admin }), 401, CodeSignIn},
		{"link by POST", get(query(link), func(q *Request) { q.Method = "POST" }), 401, CodeSignIn},
		{"link twice", get(query(link + "&" + link)), 401, CodeSignIn},
		{"link prolonged", get(query(strings.Replace(link, "exp=1", "exp=2", 1))), 401, CodeSignIn},
		{"link without end", get(query(link[strings.Index(link, "sig="):])), 401, CodeSignIn},
		{"session over HTTPS of one over HTTP", get(with(admin), overTLS), 401, CodeSignIn},
		{"encoded traversal is no other path to a link", get(query(link), func(q *Request) { q.Path = "/x/../video" }), 401, CodeSignIn},
	} {
		wants(t, tt.name, r.check(t, tt.q), tt.status, tt.code)
		r.slow = newSlowdown(r.clocks.sinceBoot) // a table is no guesser
	}
	r.clocks.pass(time.Hour)
	wants(t, "link an hour later", r.check(t, get(query(link))), 401, CodeSignIn)
	if err := r.store.RevokeToken(t.Context(), "nothing"); err == nil {
		t.Error("a token that is not there was revoked")
	}
	tokens, err := r.store.Tokens()
	if err != nil || len(tokens) != 2 {
		t.Fatal(tokens, err)
	}
	if err := r.store.RevokeToken(t.Context(), tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	wants(t, "revoked token", r.check(t, get(bearer(viewToken))), 401, CodeSignIn)
	for _, s := range []string{viewToken, adminPassword, viewerPassword, link[strings.Index(link, "sig="):]} {
		if strings.Contains(r.log.String(), s) || strings.Contains(r.file(t), s) {
			t.Errorf("%q is in the log or the file", s)
		}
	}
}

func TestPeopleAreSentToThePageAndProgramsAreAsked(t *testing.T) {
	r := claimedRig(t, Options{})
	for _, tt := range []struct {
		name                string
		change              func(*Request)
		status              int
		location, challenge string
	}{
		{"program", func(*Request) {}, 401, "", "Basic "},
		{"person", func(q *Request) { q.Accept, q.Query = "text/html", "width=640" }, 303, "/sign-in?next=%2Fvideo%3Fwidth%3D640", ""},
		{"person with an old link", func(q *Request) { q.Accept, q.Query = "text/html", "exp=1&sig=x" }, 303, "/sign-in?next=%2Fvideo", ""},
		{"person who posts", func(q *Request) { q.Accept, q.Method = "text/html", "POST" }, 401, "", "Basic "},
		{"part of a page", func(q *Request) { q.Accept = "image/avif,image/webp,*/*" }, 401, "", ""},
		{"script", func(q *Request) { q.FetchSite = "same-origin" }, 401, "", ""},
		{"script without encryption", func(q *Request) { q.Accept = "application/json" }, 401, "", ""},
	} {
		d := r.check(t, get(tt.change))
		if d.Status != tt.status || d.Location != tt.location || !strings.HasPrefix(d.Challenge, tt.challenge) || tt.challenge == "" && d.Challenge != "" {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}

func TestOnlyOwnNamesAreAnswered(t *testing.T) {
	r := claimedRig(t, Options{Hosts: []string{"cam.example.org"}, Hostname: "Attic.fritz.box", Mode: Open})
	for host, want := range map[string]int{
		"": 0, "192.168.1.50": 0, "192.168.1.50:8000": 0, "[fe80::1]:8000": 0, "[::1]": 0, "localhost:8000": 0, "LOCALHOST": 0,
		"attic": 0, "cam": 0, "other.local": 0, "attic.local.": 0, "attic.lan:80": 0, "attic.fritz.box": 0, "attic.home.arpa": 0,
		"cam.example.org": 0, "Cam.Example.Org:443": 0,
		"evil.example": 421, "attic.evil.example": 421, "cam.example.org.evil.example": 421, "192.168.1.50.evil.example": 421,
		"local.evil.example": 421, "evil.lan": 421, "attic.local.evil.example": 421, "a b": 421, "x@attic": 421, "attic:x": 421, "attic:99999": 421,
		"[attic]": 421, "[::1": 421, "[::1]x": 421, "[127.0.0.1]": 421, ":8000": 421, "attic/": 421, "127.1.evil.example": 421, "0x7f.1": 421,
	} {
		for _, listener := range []Trust{Network, Local} {
			d := r.check(t, get(func(q *Request) { q.Host, q.Listener = host, listener }))
			if d.Status != want {
				t.Errorf("%q: got %d, want %d", host, d.Status, want)
			}
		}
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	r := claimedRig(t, Options{Mode: Open, Origins: []string{"https://home.example:8123/"}})
	for _, tt := range []struct {
		host, origin, site string
		tls                bool
		want               int
	}{
		{"attic:8000", "http://attic:8000", "", false, 0},
		{"attic", "http://attic:80", "", false, 0},
		{"attic", "http://ATTIC", "same-origin", false, 0},
		{"attic:443", "https://attic", "", true, 0},
		{"[fe80::1]:8000", "http://[fe80::1]:8000", "", false, 0},
		{"attic", "https://attic", "", false, 0}, // behind something that ends TLS
		{"attic:8000", "https://home.example:8123", "cross-site", false, 0},
		{"attic:8000", "", "", false, 0},
		{"attic:8000", "", "none", false, 0},
		{"attic", "http://attic", "", true, 403}, // without encryption, to what has it
		{"attic:8000", "http://attic:8001", "", false, 403},
		{"attic:8000", "http://attic", "", false, 403},
		{"attic:8000", "http://evil.example", "", false, 403},
		{"attic:8000", "http://attic:8000.evil.example", "", false, 403},
		{"attic:8000", "null", "", false, 403},
		{"attic:8000", "file://", "", false, 403},
		{"attic:8000", "http://attic:8000/", "", false, 403},
		{"attic:8000", "http://x@attic:8000", "", false, 403},
		{"attic:8000", "https://home.example", "", false, 403},
		{"attic:8000", "", "cross-site", false, 403},
		{"attic:8000", "", "same-site", false, 403},
	} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "get", "X"} {
			d := r.check(t, post(func(q *Request) {
				q.Method, q.Host, q.Origin, q.FetchSite, q.TLS = method, tt.host, tt.origin, tt.site, tt.tls
			}))
			if d.Status != tt.want {
				t.Errorf("%s %+v: got %d %s", method, tt, d.Status, d.Message)
			}
		}
		if d := r.check(t, get(func(q *Request) { q.Host, q.Origin, q.FetchSite, q.TLS = tt.host, tt.origin, tt.site, tt.tls })); !d.Allowed() {
			t.Errorf("GET %+v: got %d %s", tt, d.Status, d.Message)
		}
	}
}

func TestForwardedFieldsAreBelievedFromTrustedProxiesOnly(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, peer string
		f          Forwarded
		client     string
		host       string
		secure     bool
		status     int
	}{
		{"nobody forwards", "192.168.1.9", Forwarded{}, "192.168.1.9", "attic", false, 0},
		{"not trusted", "192.168.1.9", Forwarded{For: "203.0.113.9", Proto: "https", Host: "evil.example"}, "192.168.1.9", "attic", false, 0},
		{"trusted", "10.1.1.1", Forwarded{For: "203.0.113.9", Proto: "https", Host: "attic.local"}, "203.0.113.9", "attic.local", true, 0},
		{"mapped IPv4", "::ffff:10.1.1.1", Forwarded{For: "203.0.113.9"}, "203.0.113.9", "attic", false, 0},
		{"what the client added", "10.1.1.1", Forwarded{For: "192.168.1.1, 203.0.113.9"}, "203.0.113.9", "attic", false, 0},
		{"through two of ours", "10.1.1.1", Forwarded{For: "192.168.1.1, 203.0.113.9, 10.2.2.2"}, "203.0.113.9", "attic", false, 0},
		{"all ours", "10.1.1.1", Forwarded{For: "10.3.3.3, 10.2.2.2"}, "10.3.3.3", "attic", false, 0},
		{"with ports", "10.1.1.1", Forwarded{For: "203.0.113.9:1234"}, "203.0.113.9", "attic", false, 0},
		{"IPv6", "fd00::1", Forwarded{For: "[2001:db8::1]:1234"}, "2001:db8::1", "attic", false, 0},
		{"real ip", "10.1.1.1", Forwarded{RealIP: "203.0.113.9"}, "203.0.113.9", "attic", false, 0},
		{"RFC 7239", "10.1.1.1", Forwarded{Forwarded: `for=192.168.1.1, For="[2001:db8::1]:47";Proto=https;host="attic.local"`}, "2001:db8::1", "attic.local", true, 0},
		{"RFC 7239 hidden", "10.1.1.1", Forwarded{Forwarded: "for=_hidden"}, "", "attic", false, 0},
		{"unknown", "10.1.1.1", Forwarded{For: "unknown"}, "", "attic", false, 0},
		{"both agree", "10.1.1.1", Forwarded{For: "203.0.113.9", Forwarded: "for=203.0.113.9"}, "203.0.113.9", "attic", false, 0},
		{"both differ", "10.1.1.1", Forwarded{For: "203.0.113.9", Forwarded: "for=192.168.1.1"}, "", "", false, 400},
		{"no address", "10.1.1.1", Forwarded{For: "localhost"}, "", "", false, 400},
		{"bad proto", "10.1.1.1", Forwarded{For: "203.0.113.9", Proto: "gopher"}, "", "", false, 400},
		{"open quote", "10.1.1.1", Forwarded{Forwarded: `for="203.0.113.9`}, "", "", false, 400},
		{"too many", "10.1.1.1", Forwarded{For: strings.Repeat("10.2.2.2,", 17)}, "", "", false, 400},
		{"host of somebody else", "10.1.1.1", Forwarded{For: "203.0.113.9", Host: "evil.example"}, "", "", false, 421},
	} {
		r := claimedRig(t, Options{TrustedProxies: trusted, Mode: Open})
		q := get(from(tt.peer), func(q *Request) { q.Forwarded, q.Host = tt.f, "attic" })
		d := r.check(t, q)
		if d.Status != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, d.Status, d.Message, tt.status)
		}
		if d.Status != 0 {
			continue
		}
		o, err := originOf(q, trusted)
		client := ""
		if d.Client.IsValid() {
			client = d.Client.String()
		}
		if err != nil || client != tt.client || o.host != tt.host || d.Secure != tt.secure {
			t.Errorf("%s: got %v %q %v", tt.name, d.Client, o.host, d.Secure)
		}
	}
	for _, bad := range []string{"x", "10.0.0.0/33", "attic.local", "", "::ffff:10.0.0.0/104"} {
		if p, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q became %v", bad, p)
		}
	}
	if p, err := ParseProxies([]string{"10.1.2.3", "10.1.2.3/8", "fd00::1"}); err != nil || p[0].String() != "10.1.2.3/32" || p[1].String() != "10.0.0.0/8" {
		t.Error(p, err)
	}
}
