package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// What a route is, by what it needs.
const (
	probe   = iota // for everybody, under any name
	public         // for everybody
	seeing         // for viewers, also by a link
	looking        // for viewers
	ruling         // for administrators
)

// everyRoute is one of each kind of request, with what it needs.
var everyRoute = []struct {
	method, path string
	kind         int
}{
	{"GET", "/healthz", probe},
	{"HEAD", "/healthz", probe},
	{"GET", "/claim", public},
	{"GET", "/ui/ui.css", public},
	{"GET", "/ui/ui.js", public},
	{"GET", "/ui/icon.png", public},
	{"GET", "/ui/nothing", public},
	{"GET", "/sign-in", public},
	{"GET", "/video", seeing},
	{"HEAD", "/video", seeing},
	{"GET", "/snapshot", seeing},
	{"GET", "/snapshot.jpg", seeing},
	{"GET", "/stream", seeing},
	{"GET", "/stream.mjpg", seeing},
	{"GET", "/", looking},
	{"GET", "/?action=other", looking},
	{"GET", "/state", looking},
	{"GET", "/metrics", looking},
	{"GET", "/access", looking},
	{"GET", "/static/css/custom.css", looking},
	{"GET", "/nowhere", looking},
	{"GET", "/ui", looking},
	{"GET", "/video/more", looking},
	{"GET", "/Video", looking},
	{"GET", "/vide%6f", looking},
	{"GET", "/claim/", looking},
	{"POST", "/access/password", looking},
	{"POST", "/api/v1/password", looking},
	{"GET", "/api", ruling},
	{"GET", "/api/v1/nowhere", ruling},
	{"GET", "/api/v1/tokens", ruling},
	{"GET", "/api/v1/accounts", ruling},
	{"POST", "/api/v1/tokens", ruling},
	{"DELETE", "/api/v1/tokens/x", ruling},
	{"POST", "/api/v1/accounts", ruling},
	{"DELETE", "/api/v1/accounts/nobody", ruling},
	{"DELETE", "/api/v1/accounts/nobody/sessions", ruling},
	{"POST", "/api/v1/links", ruling},
	{"POST", "/access/accounts", ruling},
	{"POST", "/access/accounts/remove", ruling},
	{"POST", "/access/sessions/end", ruling},
	{"POST", "/access/tokens", ruling},
	{"POST", "/access/tokens/revoke", ruling},
	{"POST", "/access/links", ruling},
	{"POST", "/", ruling},
	{"POST", "/video", ruling},
	{"PUT", "/state", ruling},
	{"DELETE", "/claim", ruling},
	{"PATCH", "/nowhere", ruling},
	{"OPTIONS", "/video", ruling},
	{"TRACE", "/", ruling},
}

// refusedBy is the code of a refusal by the guard, or "".
func refusedBy(a answer) string {
	var body struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(a.body), &body) // other answers are something else
	switch auth.Code(body.Error.Code) {
	case auth.CodeSignIn, auth.CodeRole, auth.CodeHost, auth.CodeOrigin, auth.CodeForwarded, auth.CodeUnclaimed:
		return fmt.Sprint(a.StatusCode, " ", body.Error.Code)
	}
	if a.StatusCode == http.StatusUnauthorized || a.StatusCode == http.StatusMisdirectedRequest || a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusSeeOther {
		return fmt.Sprint(a.StatusCode)
	}
	return ""
}

func TestEveryRouteIsForThoseWhoMay(t *testing.T) {
	_, trusted, _ := net.ParseCIDR("127.0.0.2/32") // nobody of these tests
	prefix, _ := netip.ParsePrefix(trusted.String())
	g := claimed(t, auth.Options{TrustedProxies: []netip.Prefix{prefix}, Hostname: "attic"}, Options{})
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	_, viewerToken := g.token(t, "viewer", auth.Viewer)
	_, adminToken := g.token(t, "admin", auth.Admin)
	revoked, revokedToken := g.token(t, "old", auth.Admin)
	if err := g.guard.Store().RevokeToken(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	garbled := g.link(t, "/video")
	garbled = garbled[:len(garbled)-2] + "AA"
	origin := "Origin: " + g.site
	const nobody, viewer, admin = "401 sign_in", "403 role", ""
	all := func(refusal string) [5]string {
		return [5]string{probe: "", public: refusal, seeing: refusal, looking: refusal, ruling: refusal}
	}
	for who, tc := range map[string]struct {
		fields []string
		query  string // instead of none
		want   [5]string
	}{
		"nobody":                    {nil, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"session of eve":            {[]string{g.eve, origin}, "", [5]string{ruling: viewer}},
		"session of admin":          {[]string{g.admin, origin}, "", [5]string{}},
		"password of eve":           {[]string{basic("eve", evePassword)}, "", [5]string{ruling: viewer}},
		"password of admin":         {[]string{basic("admin", adminPassword)}, "", [5]string{}},
		"token of a viewer":         {[]string{viewerToken}, "", [5]string{ruling: viewer}},
		"token of an administrator": {[]string{adminToken}, "", [5]string{}},
		"revoked token":             {[]string{revokedToken}, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"garbled token":             {[]string{adminToken + "x"}, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"two tokens":                {[]string{viewerToken, adminToken}, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"garbled cookie":            {[]string{g.admin + "x", origin}, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"cookie in two fields":      {[]string{"Cookie: a=b", g.admin, origin}, "", [5]string{}},
		"link":                      {nil, "signed", [5]string{looking: nobody, ruling: nobody}},
		"link that was garbled":     {nil, strings.SplitN(garbled, "?", 2)[1], [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"link that is over":         {nil, "exp=1&sig=" + strings.Repeat("A", 43), [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"forged forwarding":         {[]string{"X-Forwarded-For: 127.0.0.1", "X-Real-Ip: ::1", "Forwarded: for=127.0.0.1"}, "", [5]string{seeing: nobody, looking: nobody, ruling: nobody}},
		"other host":                {[]string{adminToken, "Host: evil.example"}, "", all("421 host")},
		"our own name":              {[]string{adminToken, "Host: attic.local:8000"}, "", [5]string{}},
	} {
		t.Run(who, func(t *testing.T) {
			for _, route := range everyRoute {
				path := route.path
				if query := tc.query; query == "signed" && !strings.Contains(path, "?") {
					_, query, _ = strings.Cut(g.link(t, path), "?")
					path += "?" + query
				} else if query != "" {
					path += "?" + query
				}
				if strings.Count(path, "?") > 1 {
					continue
				}
				a := g.ask(t, route.method, path, "", tc.fields...)
				want := tc.want[route.kind]
				if route.method == "HEAD" && want != "" {
					want = want[:3]
				}
				if got := refusedBy(a); got != want {
					t.Errorf("%s %s: got %q (%s), want %q: %.100s", route.method, path, got, a.Status, want, a.body)
				}
				checkSecured(t, route.method+" "+path, a)
			}
		})
	}
}

// checkSecured looks for the fields that every answer has.
func checkSecured(t *testing.T, what string, a answer) {
	t.Helper()
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy", "Cross-Origin-Resource-Policy"} {
		if v := a.Header.Values(name); len(v) != 1 || v[0] == "" {
			t.Errorf("%s: %s is %q", what, name, v)
		}
	}
	if a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s: other sites may read it", what)
	}
}

func TestOtherSitesCannotChangeAnything(t *testing.T) {
	g := claimed(t, auth.Options{Origins: []string{"https://home.example"}}, Options{})
	_, token := g.token(t, "program", auth.Admin)
	const path = "/api/v1/links"
	body := `{"path":"/video","life_seconds":60}`
	for name, tc := range map[string]struct {
		fields []string
		want   int
	}{
		"our own page":                       {[]string{g.admin, "Origin: " + g.site}, 201},
		"our own page, without Origin":       {[]string{g.admin, "Sec-Fetch-Site: same-origin"}, 201},
		"cookie and no word of a page":       {[]string{g.admin}, 403},
		"another port":                       {[]string{g.admin, "Origin: http://127.0.0.1:1"}, 403},
		"another site":                       {[]string{g.admin, "Origin: https://evil.example"}, 403},
		"a page without origin":              {[]string{g.admin, "Origin: null"}, 403},
		"cross-site without Origin":          {[]string{g.admin, "Sec-Fetch-Site: cross-site"}, 403},
		"a neighbour on the same domain":     {[]string{g.admin, "Sec-Fetch-Site: same-site"}, 403},
		"two origins":                        {[]string{g.admin, "Origin: " + g.site, "Origin: https://evil.example"}, 403},
		"a program":                          {[]string{token}, 201},
		"a token from another site":          {[]string{token, "Origin: https://evil.example"}, 403},
		"a token from a site that may":       {[]string{token, "Origin: https://home.example"}, 201},
		"password from another site":         {[]string{basic("admin", adminPassword), "Origin: https://evil.example"}, 403},
		"a name that leads here (rebinding)": {[]string{g.admin, "Origin: http://evil.example", "Host: evil.example"}, 421},
	} {
		a := g.json(t, "POST", path, body, tc.fields...)
		if a.StatusCode != tc.want {
			t.Errorf("%s: %s %s", name, a.Status, a.body)
		}
		if got, want := a.Header.Get("Access-Control-Allow-Origin"), ""; name == "a token from a site that may" {
			if got != "https://home.example" || a.Header.Get("Vary") != "Origin" {
				t.Errorf("%s may not read the answer: %q", name, got)
			}
		} else if got != want {
			t.Errorf("%s may read the answer: %q", name, got)
		}
	}
	for origin, want := range map[string]int{"https://home.example": 204, "https://evil.example": 403} {
		a := g.ask(t, "OPTIONS", path, "", "Origin: "+origin, "Access-Control-Request-Method: POST")
		if a.StatusCode != want || (a.Header.Get("Access-Control-Allow-Origin") == origin) != (want == 204) || a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight of %s: %s %v", origin, a.Status, a.Header)
		}
	}
	if a := g.ask(t, "OPTIONS", path, "", token); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("OPTIONS that is no preflight: %s", a.Status)
	}
}

func TestProxiesAreBelievedOnlyIfTheyAreTrusted(t *testing.T) {
	t.Run("trusted", believedProxies)
	t.Run("not trusted", localProxies)
}

func believedProxies(t *testing.T) {
	t.Helper()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	trusting := claimed(t, auth.Options{TrustedProxies: local, Hosts: []string{"cam.example"}}, Options{})
	trusting.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	fields := []string{basic("eve", evePassword), "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: cam.example"}
	conn := watch(t, trusting.addr, "GET /video HTTP/1.1\r\nHost: x\r\n"+strings.Join(fields, "\r\n")+"\r\n\r\n")
	conn.next(t)
	if v := trusting.Stream().Viewers[0]; v.Address != "203.0.113.9" || v.User != "eve" || v.UserKind != "basic" {
		t.Errorf("the viewer is %+v", v)
	}
	if a := trusting.ask(t, "GET", "/state", "", append(fields, "X-Forwarded-Host: evil.example")...); a.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a host that is not ours: %s", a.Status)
	}
	if a := trusting.ask(t, "GET", "/state", "", basic("eve", evePassword), "X-Forwarded-For: nonsense"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("forwarding that makes no sense: %s", a.Status)
	}
	a := trusting.ask(t, "POST", "/sign-in", "password=correct+horse", "Content-Type: application/x-www-form-urlencoded", "X-Forwarded-Proto: https", "Origin: https://"+trusting.addr)
	if cookie := a.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "; Secure") {
		t.Errorf("behind an encrypting proxy: %s, cookie %q", a.Status, cookie)
	}
}

// Without trust the address is the peer's, and a listener for this computer only
// lets nobody in who comes through a proxy.
func localProxies(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	near := guardedOn(t, ln, auth.Options{}, Options{})
	if err := near.guard.Store().SetHash(t.Context(), "admin", auth.Admin, cheap(adminPassword)); err != nil {
		t.Fatal(err)
	}
	if a := near.ask(t, "GET", "/state", ""); a.StatusCode != http.StatusOK {
		t.Errorf("a local user: %s", a.Status)
	}
	for _, f := range []string{"X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-Ip: 127.0.0.1", "Via: 1.1 x", "CF-Connecting-IP: 1.2.3.4", "X-Forwarded-Host: a", "X-Forwarded-Proto: http"} {
		if a := near.ask(t, "GET", "/state", "", f); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("through a proxy that says %s: %s", f, a.Status)
		}
	}
}

func TestConnectionsKnowWhatTheirListenerIsWorth(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	joined := &joinedListener{Listener: ln}
	g := guardedOn(t, joined, auth.Options{}, Options{})
	if err := g.guard.Store().SetHash(t.Context(), "admin", auth.Admin, cheap(adminPassword)); err != nil {
		t.Fatal(err)
	}
	for _, trust := range []auth.Trust{auth.Local, auth.Network, auth.Local} {
		joined.next.Store(int32(trust))
		want := http.StatusUnauthorized
		if trust == auth.Local {
			want = http.StatusOK
		}
		if a := g.ask(t, "GET", "/state", ""); a.StatusCode != want {
			t.Errorf("connection of trust %d: %s", trust, a.Status)
		}
	}
}

// joinedListener hands out connections of different worth, two layers deep, as a
// listener does that joins others and counts.
type joinedListener struct {
	net.Listener

	next atomic.Int32
}

func (l *joinedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: &trustedConn{c, auth.Trust(l.next.Load())}}, nil //nolint:gosec // 0 or 1
}

type trustedConn struct {
	net.Conn

	trust auth.Trust
}

func (c *trustedConn) Trust() auth.Trust { return c.trust }
func (c *trustedConn) NetConn() net.Conn { return c.Conn }

// countedConn is what a gate makes of a connection.
type countedConn struct {
	net.Conn

	served atomic.Bool
	held   atomic.Int32
}

func (c *countedConn) NetConn() net.Conn { return c.Conn }
func (c *countedConn) Served()           { c.served.Store(true) }
func (c *countedConn) Hold() (release func()) {
	c.held.Add(1)
	return sync.OnceFunc(func() { c.held.Add(-1) })
}

// countedListener keeps the connections that it handed out.
type countedListener struct {
	net.Listener

	mu  sync.Mutex
	all []*countedConn // guarded by mu
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, &countedConn{Conn: c})
	return l.all[len(l.all)-1], nil
}

func TestViewersCountAsConnectionsWhileTheyWatch(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedListener{Listener: ln}
	r := startOn(t, counted, Options{})
	r.hub.Publish(picture("one"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	counted.mu.Lock()
	conn := counted.all[0]
	counted.mu.Unlock()
	if !conn.served.Load() {
		t.Error("the request was not noted")
	}
	if conn.held.Load() != 1 {
		t.Error("the viewer does not hold its connection")
	}
	if got := len(r.Stream().Viewers); got != 1 || r.fan == nil {
		t.Fatalf("%d viewers", got)
	}
	r.fan.turn.Lock()
	fanned := len(r.fan.byKey)
	r.fan.turn.Unlock()
	if fanned != 1 {
		t.Error("the wrapper keeps the viewer from the fan")
	}
	_ = v.conn.Close()
	eventually(t, "the viewer lets go", func() bool { return conn.held.Load() == 0 })
}

func TestVideoPathLeavesTheAccessPathsAlone(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	for _, p := range accessPaths {
		if _, err := New(Options{Hub: g.hub, Guard: g.guard, VideoPath: p + "/x"}); err == nil {
			t.Errorf("a stream below %s", p)
		}
	}
	if _, err := New(Options{Hub: g.hub, VideoPath: "/claim"}); err != nil {
		t.Errorf("without a guard: %v", err)
	}
}

func TestPlainRequestsAreSentToTheEncryptedSide(t *testing.T) {
	t.Run("guarded", sentFromGuarded)
	t.Run("local", sentNowhere)
	t.Run("without a guard", sentFromOpen)
}

func sentFromGuarded(t *testing.T) {
	t.Helper()
	g := claimed(t, auth.Options{}, Options{RedirectHTTPS: 8443})
	for _, tc := range []struct {
		method, path, host string
		code               int
		to                 string
	}{
		{"GET", "/state?a=b&c=%20d", g.addr, 308, "https://127.0.0.1:8443/state?a=b&c=%20d"},
		{"HEAD", "/", "attic.local", 308, "https://attic.local:8443/"},
		{"GET", "/", "[fe80::1]:8000", 308, "https://[fe80::1]:8443/"},
		{"GET", "/", "evil.example", 421, ""},
		{"GET", "/healthz", "attic.local", 200, ""},
		{"POST", "/api/v1/links", g.addr, 401, ""},
	} {
		a := g.ask(t, tc.method, tc.path, "", "Host: "+tc.host)
		if a.StatusCode != tc.code || a.Header.Get("Location") != tc.to {
			t.Errorf("%s %s: %s %q", tc.method, tc.path, a.Status, a.Header.Get("Location"))
		}
		checkSecured(t, tc.path, a)
	}
}

func sentNowhere(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local := startOn(t, ln, Options{RedirectHTTPS: 443})
	if a := raw(t, local.addr, "GET / HTTP/1.1"); a.StatusCode != http.StatusOK {
		t.Errorf("a local listener: %s", a.Status)
	}
}

func sentFromOpen(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bare := startOn(t, networkListener{ln}, Options{RedirectHTTPS: 443})
	if a := raw(t, bare.addr, "GET /video?x HTTP/1.1"); a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != "https://cam/video?x" {
		t.Errorf("without a guard: %s %q", a.Status, a.Header.Get("Location"))
	}
}

func TestStateNamesThoseWhoWatch(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	_, token := g.token(t, "grafana", auth.Viewer)
	for _, request := range []string{
		"GET /video HTTP/1.1\r\n" + g.eve, "GET /video HTTP/1.1\r\n" + token, "GET " + g.link(t, "/video") + " HTTP/1.1\r\nX: y",
	} {
		watch(t, g.addr, request+"\r\nHost: cam\r\n\r\n").next(t)
	}
	var names []string
	for _, v := range g.Stream().Viewers {
		names = append(names, v.User+" by "+v.UserKind)
	}
	slices.Sort(names)
	if want := []string{" by link", "eve by session", "grafana by token"}; !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	if a := g.ask(t, "GET", "/state", "", g.eve); strings.Contains(a.body, "sig=") || strings.Contains(a.body, "webgear_") || !strings.Contains(a.body, `"user": "eve"`) {
		t.Errorf("the state: %s", a.body)
	}
}
