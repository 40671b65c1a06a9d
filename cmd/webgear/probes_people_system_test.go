//go:build system

package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// signInBody is what programs send.
func signInBody(name, password string) tweak {
	return asJSONBody(fmt.Sprintf(`{"name": %q, "password": %q}`, name, password))
}

// signInForm is what browsers send.
func (s *siege) signInForm(name, password string) []tweak {
	text := neturl.Values{"name": {name}, "password": {password}, "next": {"/"}}.Encode()
	return []tweak{asJSONBody(text), header("Origin", s.url), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}}
}

// signIns guesses passwords and names.
func (s *siege) signIns(t *testing.T) {
	t.Helper()
	t.Run("guessing: 30 wrong passwords slow their address down, and no other", func(t *testing.T) {
		p, other := s.stranger(t), s.stranger(t)
		refused := 0
		for i := range 30 {
			a := p.ask(t, http.MethodPost, "/api/v1/sign-in", signInBody("admin", s.secret("guess", fmt.Sprintf("guess number %d", i))))
			switch {
			case a.status == 401 && a.code() == string(auth.CodeSignIn) && refused == 0:
			case a.status == 429 && a.code() == string(auth.CodeSlowDown):
				refused++
				if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 300 || !strings.Contains(string(a.body), "Try again in") {
					t.Errorf("guess %d: Retry-After %q: %s", i, a.header.Get("Retry-After"), a.body)
				}
			case a.status == 401 && a.code() == string(auth.CodeSignIn): // a second went by
			default:
				t.Errorf("guess %d: %d %s", i, a.status, a.body)
			}
		}
		if refused < 15 {
			t.Errorf("only %d guesses were refused", refused)
		}
		if a := p.ask(t, http.MethodPost, "/api/v1/sign-in", signInBody("eve", s.secret("guess", "guess of another name"))); a.status != 429 {
			t.Errorf("another name: %d", a.status)
		}
		if a := p.ask(t, http.MethodGet, "/state", basic("admin", s.secret("guess", "guess of another kind"))); a.status != 429 || a.header.Get("Retry-After") == "" {
			t.Errorf("by Basic: %d", a.status)
		}
		if a := p.ask(t, http.MethodPost, "/sign-in", s.signInForm("admin", s.secret("guess", "guess of a form"))...); a.status != 429 || !strings.Contains(string(a.body), "Try again in") {
			t.Errorf("by the form: %d", a.status)
		}
		begun := time.Now()
		other.signIn(t, "admin", adminPassword)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("another address waits %v", took)
		}
	})

	ruler := s.stranger(t)
	admin := basic("admin", adminPassword)
	add := func(name, password string) {
		t.Helper()
		a := ruler.ask(t, http.MethodPost, "/api/v1/accounts", admin, asJSONBody(fmt.Sprintf(`{"name": %q, "password": %q}`, name, s.secret("password", password))))
		if a.status != http.StatusCreated {
			t.Fatalf("account %s: %d %s", name, a.status, a.body)
		}
	}
	add("tim", "secret of tim")
	t.Run("names: whether there is one cannot be told from the answer, nor from its time", func(t *testing.T) {
		times := map[string][]time.Duration{}
		// Five are free for each address, and twenty for each name.
		for range 9 {
			p := s.stranger(t)
			for i := range 2 {
				guess := s.secret("guess", fmt.Sprintf("guess of names %s %d", p.addr, i))
				var answers []answer
				names := []string{"tim", "tom"}
				if rand.IntN(2) == 1 { // that collects garbage now and then
					slices.Reverse(names)
				}
				for _, name := range names {
					begun := time.Now()
					a := p.ask(t, http.MethodPost, "/api/v1/sign-in", signInBody(name, guess))
					times[name] = append(times[name], time.Since(begun))
					answers = append(answers, a)
				}
				alike(t, "sign-in", answers)
			}
		}
		p := s.stranger(t)
		var byBasic, byForm []answer
		for _, name := range []string{"tim", "tom"} {
			byBasic = append(byBasic, p.ask(t, http.MethodGet, "/state", basic(name, s.secret("guess", "guess by basic"))))
			a := p.ask(t, http.MethodPost, "/sign-in", s.signInForm(name, s.secret("guess", "guess by form"))...)
			a.body = []byte(strings.ReplaceAll(string(a.body), name, "NAME"))
			byForm = append(byForm, a)
		}
		alike(t, "Basic", byBasic)
		alike(t, "the form", byForm)
		known, unknown := median(times["tim"]), median(times["tom"])
		if ratio := float64(known) / float64(unknown); ratio > 1.5 || ratio < 1/1.5 {
			t.Errorf("%v for a name that is there, %v for another one", known, unknown)
		}
		t.Logf("%v for a name that is there, %v for another one", known, unknown)
	})
}

// alike compares answers.
func alike(t *testing.T, what string, answers []answer) {
	t.Helper()
	for _, a := range answers[1:] {
		for _, h := range []http.Header{a.header, answers[0].header} {
			h.Del("Date")
		}
		if a.status != 401 || a.status != answers[0].status || string(a.body) != string(answers[0].body) ||
			!maps.EqualFunc(a.header, answers[0].header, slices.Equal) {
			t.Errorf("%s: %d %v %s\nand\n%d %v %s", what, answers[0].status, answers[0].header, answers[0].body, a.status, a.header, a.body)
		}
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// cookies looks at the cookie of a session, and at stolen ones.
func (s *siege) cookies(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	t.Run("cookies: scripts, other sites and other hosts never get one", func(t *testing.T) {
		for at, site := range map[string]string{"HTTP": s.url, "HTTPS": "https://" + s.secure} {
			a := p.askAt(t, http.MethodPost, site+"/api/v1/sign-in", signInBody("eve", viewerPassword))
			set := a.header.Values("Set-Cookie")
			if a.status != 200 || len(set) != 1 {
				t.Fatalf("%s: %d %q", at, a.status, set)
			}
			c, err := http.ParseSetCookie(set[0])
			if err != nil {
				t.Fatal(err)
			}
			s.secret("cookie of eve", c.Value)
			encrypted := at == "HTTPS"
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure != encrypted || strings.HasPrefix(c.Name, "__Host-") != encrypted {
				t.Errorf("%s: %+v", at, c)
			}
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			home, err := neturl.Parse(site + "/")
			if err != nil {
				t.Fatal(err)
			}
			jar.SetCookies(home, []*http.Cookie{c})
			for to, want := range map[string]int{site + "/video": 1, "https://evil.example/": 0, "http://10.98.0.1/": 0, "http://localhost/": 0} {
				u, err := neturl.Parse(to)
				if err != nil {
					t.Fatal(err)
				}
				if got := len(jar.Cookies(u)); got != want {
					t.Errorf("%s: %d cookies to %s", at, got, to)
				}
			}
			field := header("Cookie", c.Name+"="+c.Value)
			for where, want := range map[string]int{site: 200, map[bool]string{true: s.url, false: "https://" + s.secure}[encrypted]: 401} {
				if a := p.askAt(t, http.MethodGet, where+"/state", field); a.status != want {
					t.Errorf("the cookie of %s at %s: %d, want %d", at, where, a.status, want)
				}
			}
		}
	})
	t.Run("cookies: of others, and malformed ones, do no harm", func(t *testing.T) {
		cookie := p.signIn(t, "eve", viewerPassword)
		name, _, _ := strings.Cut(cookie, "=")
		for value, want := range map[string]int{
			"a=b; " + cookie + "; =; ;;": 200, name + "=; " + cookie: 200, strings.Repeat(name+"=x; ", 50) + cookie: 401, name + "=" + strings.Repeat("A", 9000): 401,
			strings.ToUpper(cookie): 401, cookie + "; " + name + "=x": 200, name + "=\"" + strings.TrimPrefix(cookie, name+"=") + "\"": 200,
		} {
			if a := p.ask(t, http.MethodGet, "/state", header("Cookie", value)); a.status != want {
				t.Errorf("%.40q…: %d, want %d", value, a.status, want)
			}
		}
	})
}

// streams has those lose their right who watch, and those who stole a cookie.
func (s *siege) streams(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	admin := basic("admin", adminPassword)
	do := func(t *testing.T, method, path string, want int, edits ...tweak) answer {
		t.Helper()
		a := p.ask(t, method, path, edits...)
		if a.status != want {
			t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
		}
		return a
	}
	account := func(t *testing.T, name string) (password string) {
		t.Helper()
		password = s.secret("password", "secret of "+name)
		do(t, http.MethodPost, "/api/v1/accounts", 201, admin, asJSONBody(fmt.Sprintf(`{"name": %q, "password": %q}`, name, password)))
		return password
	}
	for _, tt := range []struct {
		rule string
		// begin makes a right, and gives what shows it and how it is taken away.
		begin func(t *testing.T) (path string, as []tweak, end func())
	}{
		{"a session that is signed out", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			as := s.session(p.signIn(t, "eve", viewerPassword))
			return "/video", as, func() { do(t, http.MethodPost, "/api/v1/sign-out", 200, as...) }
		}},
		{"a session that was stolen before a new password", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			password := account(t, "ann")
			stolen, own := p.signIn(t, "ann", password), p.signIn(t, "ann", password)
			next := s.secret("password", "the next one of ann")
			return "/video", s.session(stolen), func() {
				a := do(t, http.MethodPost, "/api/v1/password", 200, append(s.session(own), asJSONBody(fmt.Sprintf(`{"current": %q, "password": %q}`, password, next)))...)
				fresh, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
				do(t, http.MethodGet, "/state", 200, header("Cookie", fresh))
				do(t, http.MethodGet, "/state", 401, header("Cookie", own))
			}
		}},
		{"a session that is ended by an administrator", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			as := s.session(p.signIn(t, "bob", account(t, "bob")))
			return "/video", as, func() { do(t, http.MethodDelete, "/api/v1/accounts/bob/sessions", 204, admin) }
		}},
		{"the session of an account that is removed", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			as := s.session(p.signIn(t, "cat", account(t, "cat")))
			return "/stream", as, func() { do(t, http.MethodDelete, "/api/v1/accounts/cat", 204, admin) }
		}},
		{"the password of an account that is removed", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			password := account(t, "dan")
			return "/?action=stream", []tweak{basic("dan", password)}, func() { do(t, http.MethodDelete, "/api/v1/accounts/dan", 204, admin) }
		}},
		{"a token that is revoked", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			id, token := s.token(t, p, "to be revoked", auth.Viewer, admin)
			return "/video?fps=5", []tweak{bearer(token)}, func() { do(t, http.MethodDelete, "/api/v1/tokens/"+id, 204, admin) }
		}},
		{"a link, when all are revoked", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			return "/video?width=160&" + s.link(t, p, "/video", time.Hour, admin), nil, func() { do(t, http.MethodDelete, "/api/v1/links", 204, admin) }
		}},
		{"a link that comes to its end", func(t *testing.T) (string, []tweak, func()) {
			t.Helper()
			return "/video?" + s.link(t, p, "/video", 3*time.Second, admin), nil, func() {}
		}},
	} {
		t.Run("rights: "+tt.rule+" shows nothing a second later", func(t *testing.T) {
			path, as, end := tt.begin(t)
			begun := time.Now()
			running := s.watchAt(t, p.client, s.url+path, as...)
			running.next(t)
			var secure *stream
			if !strings.Contains(cookieOf(as), "webgear_") { // a session of HTTP is none of HTTPS
				secure = s.watchAt(t, p.client, "https://"+s.secure+path, as...)
				secure.next(t)
			}
			end()
			limit := time.Second
			if strings.Contains(tt.rule, "comes to its end") {
				limit = 4*time.Second + time.Second - time.Since(begun) // ends are whole seconds
			}
			running.ends(t, limit)
			if secure != nil {
				secure.ends(t, limit)
			}
			if a := p.ask(t, http.MethodGet, path, as...); a.status != 401 || isPicture(a.body) {
				t.Errorf("afterwards: %d", a.status)
			}
		})
	}
}

// cookieOf is the cookie that tweaks set.
func cookieOf(as []tweak) string {
	r := &http.Request{Header: http.Header{}}
	for _, e := range as {
		e(r)
	}
	return r.Header.Get("Cookie")
}
