//go:build system

package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/server"
)

// These tests are attempts of another computer to see, to change, or to stop what
// it may not. The name of each is the rule that it holds the program to.

// TestSystemProbesFromAnotherComputer has one program bear all of it, one after the
// other; what takes long stands at the side meanwhile.
func TestSystemProbesFromAnotherComputer(t *testing.T) {
	st := build(t)
	s := besiege(t, st)
	slow := s.dawdle(t)
	s.streams(t) // first: it changes accounts
	s.routes(t)
	s.sites(t)
	s.shapes(t)
	s.sizes(t)
	s.files(t)
	s.signIns(t)
	s.cookies(t)
	t.Run("a request that takes long to arrive is cut off within 15 seconds", slow)
	s.flood(t)
	s.ports(t)
	s.silence(t) // last: it looks at what all of this left
	s.runs(t)
	t.Run("claim: from another computer it is over 10 minutes after the start, and never through a proxy", func(t *testing.T) { claims(t, st) })
}

// What a route is, by what it needs.
const (
	forAll     = iota // for everybody
	forSeeing         // for viewers, also by a link
	forViewers        // for viewers
	forAdmins         // for administrators
	routeKinds        // how many there are
)

// probedRoute is one route of the program.
type probedRoute struct {
	// route is the method and the path as the router has it, path one to ask for.
	route, path string
	kind        int
	// status is the answer to those who may, who send no body.
	status int
}

func (r probedRoute) method() string { m, _, _ := strings.Cut(r.route, " "); return m }

// probedRoutes are all of them, and some that are none. Those that end sessions and
// links come last.
func probedRoutes() []probedRoute {
	return []probedRoute{
		{"GET /healthz", "/healthz", forAll, 200},
		{"GET /claim", "/claim", forAll, 200},
		{"POST /claim", "/claim", forAll, 415},
		{"GET /sign-in", "/sign-in", forAll, 200},
		{"POST /sign-in", "/sign-in", forAll, 415},
		{"GET /sign-out", "/sign-out", forAll, 303},
		{"GET /ui/:name", "/ui/ui.css", forAll, 200},
		{"GET /api/v1/claim", "/api/v1/claim", forAll, 200},
		{"POST /api/v1/claim", "/api/v1/claim", forAll, 415},
		{"GET /api/v1/sign-in", "/api/v1/sign-in", forAll, 200},
		{"POST /api/v1/sign-in", "/api/v1/sign-in", forAll, 415},

		{"GET /video", "/video", forSeeing, 200},
		{"GET /video/", "/video/", forSeeing, 307},
		{"GET /stream", "/stream", forSeeing, 200},
		{"GET /stream.mjpg", "/stream.mjpg", forSeeing, 200},
		{"GET /snapshot", "/snapshot", forSeeing, 200},
		{"GET /snapshot.jpg", "/snapshot.jpg", forSeeing, 200},

		{"GET /", "/", forViewers, 200},
		{"GET /", "/?action=stream", forViewers, 200},
		{"GET /", "/?action=snapshot", forViewers, 200},
		{"GET /webcam", "/webcam?action=snapshot", forViewers, 200},
		{"GET /webcam/", "/webcam/?action=stream", forViewers, 200},
		{"GET /webcam/", "/webcam/", forViewers, 404},
		{"GET /state", "/state", forViewers, 200},
		{"GET /metrics", "/metrics", forViewers, 200},
		{"GET /static/*", "/static/css/custom.css", forViewers, 200},
		{"GET /static/*", "/static/nothing", forViewers, 404},
		{"GET /access", "/access", forViewers, 200},
		{"POST /access/password", "/access/password", forViewers, 415},
		{"POST /api/v1/password", "/api/v1/password", forViewers, 415},
		{"GET", "/nothing", forViewers, 404},
		{"GET", "/Video", forViewers, 404},
		{"GET", "/vide%6f", forViewers, 404},
		{"GET", "/video;a", forViewers, 404},
		{"GET", "/healthz/", forViewers, 404},
		{"GET", "/claim/../state", forViewers, 404},
		{"GET", "/ui/../state", forAll, 404},

		{"GET /api/v1/tokens", "/api/v1/tokens", forAdmins, 200},
		{"POST /api/v1/tokens", "/api/v1/tokens", forAdmins, 415},
		{"DELETE /api/v1/tokens/:id", "/api/v1/tokens/nothing", forAdmins, 404},
		{"GET /api/v1/accounts", "/api/v1/accounts", forAdmins, 200},
		{"POST /api/v1/accounts", "/api/v1/accounts", forAdmins, 415},
		{"DELETE /api/v1/accounts/:id", "/api/v1/accounts/nobody", forAdmins, 404},
		{"DELETE /api/v1/accounts/:id/sessions", "/api/v1/accounts/nobody/sessions", forAdmins, 404},
		{"POST /api/v1/links", "/api/v1/links", forAdmins, 415},
		{"POST /access/accounts", "/access/accounts", forAdmins, 415},
		{"POST /access/accounts/remove", "/access/accounts/remove", forAdmins, 415},
		{"POST /access/sessions/end", "/access/sessions/end", forAdmins, 415},
		{"POST /access/tokens", "/access/tokens", forAdmins, 415},
		{"POST /access/tokens/revoke", "/access/tokens/revoke", forAdmins, 415},
		{"POST /access/links", "/access/links", forAdmins, 415},
		{"POST /access/links/revoke", "/access/links/revoke", forAdmins, 415},
		{"DELETE", "/video", forAdmins, 405},
		{"PUT", "/state", forAdmins, 405},
		{"PATCH", "/nothing", forAdmins, 404},
		{"OPTIONS", "/snapshot", forAdmins, 405},
		{"TRACE", "/state", forAdmins, 405},

		{"DELETE /api/v1/links", "/api/v1/links", forAdmins, 204},
		{"POST /sign-out", "/sign-out", forAll, 303},
		{"POST /api/v1/sign-out", "/api/v1/sign-out", forAll, 200},
	}
}

// routesOfServer asks the router of the program's server, which is over then.
func routesOfServer(t *testing.T) (all []string) {
	t.Helper()
	store, err := auth.OpenStore(auth.StoreOptions{System: auth.System{SinceBoot: func() time.Duration { return time.Hour }}})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := auth.New(auth.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Options{Hub: fanout.New(), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Run(over, ln); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, r := range srv.App().GetRoutes(true) {
		if r.Method != http.MethodHead { // there is one of each for GET
			found[r.Method+" "+r.Path] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestSystemProbesKnowEveryRoute(t *testing.T) {
	known := map[string]bool{}
	for _, r := range probedRoutes() {
		known[r.route] = true
	}
	all := routesOfServer(t)
	for _, r := range all {
		if !known[r] {
			t.Errorf("%s is not probed", r)
		}
	}
	for r := range known {
		if strings.Contains(r, " ") && !slices.Contains(all, r) {
			t.Errorf("%s is not there", r)
		}
	}
}

// routes asks for everything as everybody.
func (s *siege) routes(t *testing.T) {
	t.Helper()
	admin := s.stranger(t)
	ruler := basic("admin", adminPassword)
	_, viewer := s.token(t, admin, "a viewer", auth.Viewer, ruler)
	_, all := s.token(t, admin, "an administrator", auth.Admin, ruler)
	id, revoked := s.token(t, admin, "revoked", auth.Admin, ruler)
	if a := admin.ask(t, http.MethodDelete, "/api/v1/tokens/"+id, ruler); a.status != http.StatusNoContent {
		t.Fatalf("revoke: %d", a.status)
	}
	replayed := admin.signIn(t, "admin", adminPassword)
	if a := admin.ask(t, http.MethodPost, "/api/v1/sign-out", s.session(replayed)...); a.status != http.StatusOK {
		t.Fatalf("sign-out: %d", a.status)
	}
	links := map[string]string{}
	expired := map[string]string{}
	for _, r := range probedRoutes() {
		if r.kind == forSeeing {
			links[r.path] = s.link(t, admin, r.path, time.Hour, ruler)
			expired[r.path] = s.link(t, admin, r.path, time.Second, ruler)
		}
	}
	s.secret("wrong password", "wrong horse battery")
	over := time.NewTimer(1100 * time.Millisecond)
	defer over.Stop()
	<-over.C

	nobody := [routeKinds]int{forSeeing: 401, forViewers: 401, forAdmins: 401}
	seeing := [routeKinds]int{forViewers: 401, forAdmins: 401}
	viewers := [routeKinds]int{forAdmins: 403}
	other := func(path string) string {
		if path == "/video" {
			return links["/snapshot"]
		}
		return links["/video"]
	}
	for _, tt := range []struct {
		who   string
		edits []tweak
		query func(path string) string
		want  [routeKinds]int // 0 is what the route answers
	}{
		{"nobody gets in", nil, nil, nobody},
		{"a wrong password lets nobody in", []tweak{basic("admin", "wrong horse battery")}, nil, nobody},
		{"a password without a name lets nobody in", []tweak{basic("", adminPassword)}, nil, nobody},
		{"a token that was revoked lets nobody in", []tweak{bearer(revoked)}, nil, nobody},
		{"half a token lets nobody in", []tweak{bearer(all[:len(all)-8])}, nil, nobody},
		{"two tokens let nobody in", []tweak{bearer(viewer), bearer(all)}, nil, nobody},
		{"a token in the query lets nobody in", nil, func(string) string { return "token=" + all + "&access_token=" + all }, nobody},
		{"the cookie of a session that was signed out lets nobody in", s.session(replayed), nil, nobody},
		{"a cookie that nobody signed lets nobody in", s.session(replayed[:len(replayed)-4] + "AAAA"), nil, nobody},
		{"a link that is over lets nobody in", nil, func(p string) string { return expired[p] }, nobody},
		{"a link to another path lets nobody in", nil, other, nobody},
		{"a link with a later end lets nobody in", nil, func(p string) string { return strings.Replace(expired[p], "exp=1", "exp=2", 1) }, nobody},
		{"a link leads to its path only", nil, func(p string) string { return links[p] }, seeing},
		{"a viewer's session may look", s.session(admin.signIn(t, "eve", viewerPassword)), nil, viewers},
		{"a viewer's password may look", []tweak{basic("eve", viewerPassword)}, nil, viewers},
		{"a viewer's token may look", []tweak{bearer(viewer)}, nil, viewers},
		{"an administrator's session may do everything", s.session(admin.signIn(t, "admin", adminPassword)), nil, [routeKinds]int{}},
		{"an administrator's password may do everything", []tweak{ruler}, nil, [routeKinds]int{}},
		{"an administrator's token may do everything", []tweak{bearer(all)}, nil, [routeKinds]int{}},
	} {
		t.Run("every route: "+tt.who, func(t *testing.T) {
			p := s.stranger(t)
			for _, r := range probedRoutes() {
				path, want := r.path, tt.want[r.kind]
				if want == 0 {
					want = r.status
				}
				if tt.query != nil {
					if q := tt.query(path); q != "" && strings.Contains(path, "?") {
						path += "&" + q
					} else if q != "" {
						path += "?" + q
					}
				}
				methods := []string{r.method()}
				if methods[0] == http.MethodGet {
					methods = append(methods, http.MethodHead)
				}
				for _, method := range methods {
					a := p.ask(t, method, path, tt.edits...)
					if a.status != want {
						t.Errorf("%s %s: %d, want %d: %.200s", method, r.path, a.status, want, a.body)
					}
					if isPicture(a.body) && a.status != http.StatusOK {
						t.Errorf("%s %s: a picture with status %d", method, r.path, a.status)
					}
				}
			}
		})
	}
}

// ports looks at what is open. mDNS is the business of others.
func (s *siege) ports(t *testing.T) {
	t.Helper()
	t.Run("ports: those of the settings are open, and no others", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), "ss", "-Hlntup").Output()
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); strings.Contains(line, fmt.Sprintf("pid=%d,", s.cmd.Process.Pid)) && len(f) > 4 {
				found = append(found, f[0]+" "+f[4])
			}
		}
		want := []string{"tcp " + s.addr, "tcp " + s.secure}
		slices.Sort(found)
		slices.Sort(want)
		if !slices.Equal(found, want) {
			t.Errorf("open: %v, want %v", found, want)
		}
	})
}

// silence looks for what may not be told.
func (s *siege) silence(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	texts := map[string]string{"log": s.log.String()}
	for _, path := range []string{"/state", "/metrics", "/api/v1/tokens", "/api/v1/accounts", "/access", "/"} {
		a := p.ask(t, http.MethodGet, path, basic("admin", adminPassword))
		if a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
		texts[path] = string(a.body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.secrets) < 50 {
		t.Errorf("only %d secrets were used", len(s.secrets))
	}
	for where, text := range texts {
		t.Run("secrets: none is in "+where, func(t *testing.T) {
			for secret, what := range s.secrets {
				if strings.Contains(text, secret) {
					t.Errorf("the %s is there", what)
				}
			}
			if strings.Contains(text, "argon2id") {
				t.Error("a hash is there")
			}
		})
	}
	t.Run("logs: nothing of it was a failure of the program's own", func(t *testing.T) {
		for line := range strings.Lines(texts["log"]) {
			// The link in place of a template is one that the page cannot be made of.
			if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "path escapes from parent") {
				t.Errorf("%.300s", line)
			}
		}
	})
}

// claims tries to set the first password from another computer.
func claims(t *testing.T, st *street) {
	t.Helper()
	s := &siege{street: st, secrets: map[string]string{}}
	s.daemon = beginAt(t, place{addr: st.house.String() + ":0"}, "-s", "test:320x240")
	s.settle(t)
	p := s.stranger(t)
	body := asJSONBody(`{"password": "` + adminPassword + `"}`)
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"} {
		a := p.ask(t, http.MethodPost, "/api/v1/claim", body, header(name, map[bool]string{true: "for=10.0.0.1", false: "10.0.0.1"}[name == "Forwarded"]))
		if a.status != http.StatusForbidden || a.code() != string(auth.CodeClaimRemote) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	const racing = 20
	answers := make(chan answer, racing)
	var wg sync.WaitGroup
	for range racing {
		wg.Go(func() { answers <- p.ask(t, http.MethodPost, "/api/v1/claim", body) })
	}
	wg.Wait()
	close(answers)
	if len(answers) != racing {
		t.Fatalf("%d answers", len(answers))
	}
	won := 0
	up := sinceBoot()
	for a := range answers {
		switch {
		case a.status == http.StatusOK:
			won++
		case up > 11*time.Minute && (a.status != http.StatusForbidden || a.code() != string(auth.CodeClaimClosed)):
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if up > 11*time.Minute && won > 0 || won > 1 {
		t.Errorf("%d have set the first password, %v after the start", won, up)
	}
	if a := p.ask(t, http.MethodGet, "/snapshot"); a.status != http.StatusForbidden && won == 0 || isPicture(a.body) {
		t.Errorf("snapshot: %d", a.status)
	}
}
