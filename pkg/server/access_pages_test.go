package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

func TestUnclaimedAnswersNothingElse(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	for _, route := range everyRoute {
		open := route.kind == probe || strings.HasPrefix(route.path, "/ui/") || route.method == "GET" && route.path == "/claim"
		a := g.ask(t, route.method, route.path, "", basic("admin", "anything"))
		want := http.StatusForbidden
		switch got := refusedBy(a); {
		case open && got != "":
			t.Errorf("%s %s: %s", route.method, route.path, a.Status)
		case !open && a.StatusCode != want || !open && route.method != "HEAD" && got != "403 unclaimed":
			t.Errorf("%s %s: %s %q", route.method, route.path, a.Status, a.body)
		}
		checkSecured(t, route.method+" "+route.path, a)
		if route.method == "GET" && !open {
			a := g.ask(t, "GET", route.path, "", "Accept: text/html")
			if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/claim" {
				t.Errorf("a browser at %s: %s %q", route.path, a.Status, a.Header.Get("Location"))
			}
		}
	}
	if a := g.json(t, "POST", "/api/v1/sign-in", `{"password":"anything else"}`); a.StatusCode != http.StatusForbidden {
		t.Errorf("sign-in: %s %s", a.Status, a.body)
	}
}

func TestClaimByTheForm(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	a := g.ask(t, "GET", "/claim", "", "Accept: text/html")
	for _, want := range []string{`name="password"`, `value="admin"`, `data-left="540"`, "9 minutes", "At least 8 characters"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if a := g.form(t, "/claim", "name=admin&password=short"); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, `role="alert"`) || strings.Contains(a.body, "short") {
		t.Errorf("a bad password: %s %s", a.Status, a.body)
	}
	if a := g.ask(t, "POST", "/claim?password=correct+horse", "x=y", "Content-Type: application/x-www-form-urlencoded", "Origin: "+g.site); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a password in the address counts: %s", a.Status)
	}
	if a := g.ask(t, "POST", "/claim", "name=admin&password=correct+horse", "Content-Type: text/plain", "Origin: "+g.site); a.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form that is none: %s", a.Status)
	}
	if a := g.form(t, "/claim", "name=admin&password=correct+horse", "X-Forwarded-For: 192.168.1.2"); a.StatusCode != http.StatusForbidden {
		t.Errorf("through a proxy: %s", a.Status)
	}
	a = g.form(t, "/claim", "name=admin&password=correct+horse")
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" || cookie == "" {
		t.Fatalf("claim: %s %v", a.Status, a.Header)
	}
	page := g.ask(t, "GET", "/", "", "Cookie: "+cookie, "Accept: text/html")
	if page.StatusCode != http.StatusOK || !strings.Contains(page.body, `src="/video"`) || !strings.Contains(page.body, `action="/sign-out"`) || !strings.Contains(page.body, ">admin</a>") {
		t.Errorf("the page after it: %s %s", page.Status, page.body)
	}
	if a := g.form(t, "/claim", "password=another+horse"); a.StatusCode != http.StatusConflict || !strings.Contains(a.body, `href="/sign-in"`) {
		t.Errorf("a second claim: %s %s", a.Status, a.body)
	}
}

func TestClaimOfTwentyAtOnceHasOneWinner(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	var won, lost, busy atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			a, err := ask(t, g.addr, "POST", "/api/v1/claim", fmt.Sprintf(`{"name":"admin%d","password":"correct horse %d"}`, i, i), "Content-Type: application/json")
			if err != nil {
				t.Error(err)
				return
			}
			switch a.StatusCode {
			case http.StatusOK:
				won.Add(1)
			case http.StatusConflict:
				lost.Add(1)
			case http.StatusServiceUnavailable:
				busy.Add(1)
			default:
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || won.Load()+lost.Load()+busy.Load() != 20 {
		t.Errorf("%d won, %d lost, %d were sent away", won.Load(), lost.Load(), busy.Load())
	}
	if accounts, err := g.guard.Store().Accounts(); err != nil || len(accounts) != 1 {
		t.Errorf("accounts %v, %v", accounts, err)
	}
}

func TestClaimIsOverTenMinutesAfterTheStart(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	g.boot.Store(int64(10 * time.Minute))
	a := g.ask(t, "GET", "/claim", "", "Accept: text/html")
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "Switch it off and on again") || strings.Contains(a.body, `name="password"`) {
		t.Errorf("got %s %s", a.Status, a.body)
	}
	if a := g.json(t, "POST", "/api/v1/claim", `{"password":"correct horse"}`); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, `"claim_closed"`) {
		t.Errorf("got %s %s", a.Status, a.body)
	}
}

func TestSignInLeadsBackToWhereItBegan(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	a := g.ask(t, "GET", "/state?x=1", "", "Accept: text/html")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/sign-in?next=%2Fstate%3Fx%3D1" {
		t.Fatalf("got %s %q", a.Status, a.Header.Get("Location"))
	}
	page := g.ask(t, "GET", a.Header.Get("Location"), "", "Accept: text/html")
	if !strings.Contains(page.body, `value="/state?x=1"`) {
		t.Errorf("the page forgets where it is from: %s", page.body)
	}
	for next, want := range map[string]string{
		"/state?x=1": "/state?x=1", "": "/", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "/a\r\nSet-Cookie: x=y": "/",
		"/sign-in?next=/": "/", "/claim": "/", "/sign-out": "/", "javascript:alert(1)": "/",
	} {
		a := g.form(t, "/sign-in", url.Values{"password": {adminPassword}, "next": {next}}.Encode())
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("next %q: %s %q", next, a.Status, a.Header.Get("Location"))
		}
	}
	wrong := g.form(t, "/sign-in", "name=eve&password=wrong+one&next=/state")
	if wrong.StatusCode != http.StatusUnauthorized || !strings.Contains(wrong.body, "The name or the password is wrong.") ||
		!strings.Contains(wrong.body, `value="eve"`) || strings.Contains(wrong.body, "wrong one") || wrong.Header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong password: %s %s", wrong.Status, wrong.body)
	}
	if a := g.form(t, "/sign-in", "name=My+Secret+Pass!&password=x"); strings.Contains(a.body, "My Secret") {
		t.Error("a password in the field for the name is shown")
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	a := g.form(t, "/sign-out", "", g.eve)
	if a.StatusCode != http.StatusSeeOther || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") || len(a.Header.Values("Set-Cookie")) != 1 {
		t.Fatalf("got %s %v", a.Status, a.Header)
	}
	if a := g.ask(t, "GET", "/state", "", g.eve); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session lives: %s", a.Status)
	}
	if a := g.ask(t, "POST", "/sign-out", "", g.admin, "Origin: https://evil.example"); a.StatusCode != http.StatusForbidden {
		t.Errorf("another site signs out: %s", a.Status)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	for i := range 30 {
		a := g.form(t, "/sign-in", fmt.Sprintf("name=eve&password=guess+%d", i))
		if a.StatusCode == http.StatusTooManyRequests {
			if a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "Too many wrong passwords") {
				t.Errorf("got %v %s", a.Header, a.body)
			}
			return
		}
		if a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("got %s", a.Status)
		}
	}
	t.Error("nobody stops it")
}

func TestAccessPageShowsSecretsOnce(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	a := g.form(t, "/access/tokens", "name=Home+Assistant&role=viewer", g.admin)
	to := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/access?shown=") {
		t.Fatalf("got %s %q %s", a.Status, to, a.body)
	}
	if other := g.ask(t, "GET", to, "", g.eve, "Accept: text/html"); strings.Contains(other.body, "webgear_") {
		t.Error("somebody else sees it")
	}
	page := g.ask(t, "GET", to, "", g.admin, "Accept: text/html")
	_, rest, found := strings.Cut(page.body, `value="webgear_`)
	secret, _, _ := strings.Cut(rest, `"`)
	if !found || !strings.Contains(page.body, "Home Assistant") {
		t.Fatalf("got %s", page.body)
	}
	if a := g.ask(t, "GET", "/state", "", "Authorization: Bearer webgear_"+secret); a.StatusCode != http.StatusOK {
		t.Errorf("the token does not work: %s", a.Status)
	}
	if again := g.ask(t, "GET", to, "", g.admin, "Accept: text/html"); strings.Contains(again.body, secret) {
		t.Error("it is shown twice")
	}
	a = g.form(t, "/access/links", "path=/snapshot&hours=1", g.admin)
	page = g.ask(t, "GET", a.Header.Get("Location"), "", g.admin, "Accept: text/html")
	if !strings.Contains(page.body, g.site+"/snapshot?exp=") {
		t.Errorf("no link in %s", page.body)
	}
	for _, lines := range [][]string{g.log.lines(secret), g.log.lines("sig=")} {
		if len(lines) > 0 {
			t.Errorf("the log has a secret: %q", lines)
		}
	}
}

func TestAdministratorsManageAccess(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	_, admin := g.token(t, "program", auth.Admin)
	for _, tc := range []struct {
		method, path, body string
		want               int
		has                string
	}{
		{"POST", "/api/v1/accounts", `{"name":"Bob","password":"three small pigs"}`, 201, `"role":"viewer"`},
		{"POST", "/api/v1/accounts", `{"name":"bob","password":"three small pigs"}`, 409, `"exists"`},
		{"POST", "/api/v1/accounts", `{"name":"admin","password":"three small pigs"}`, 409, `"exists"`},
		{"POST", "/api/v1/accounts", `{"name":"a b","password":"three small pigs"}`, 422, `"name"`},
		{"POST", "/api/v1/accounts", `{"name":"carl","password":"password"}`, 422, `"password"`},
		{"POST", "/api/v1/accounts", `{"name":"carl","password":"three small pigs","role":"king"}`, 400, `"json"`},
		{"POST", "/api/v1/accounts", `{"name":"carl","passwort":"three small pigs"}`, 400, `"json"`},
		{"POST", "/api/v1/accounts", `{"name":"carl","password":"three small pigs"}{}`, 400, `"json"`},
		{"POST", "/api/v1/accounts", `{`, 400, `"json"`},
		{"POST", "/api/v1/accounts", ``, 400, `"json"`},
		{"GET", "/api/v1/accounts", "", 200, `"name":"bob"`},
		{"DELETE", "/api/v1/accounts/bob/sessions", "", 204, ""},
		{"DELETE", "/api/v1/accounts/bob", "", 204, ""},
		{"DELETE", "/api/v1/accounts/bob", "", 404, `"not_found"`},
		{"DELETE", "/api/v1/accounts/%zz", "", 404, `"not_found"`},
		{"DELETE", "/api/v1/accounts/admin", "", 409, `"last_admin"`},
		{"POST", "/api/v1/tokens", `{"name":"grafana","role":"viewer"}`, 201, `"secret":"webgear_`},
		{"POST", "/api/v1/tokens", `{"name":"grafana"}`, 422, `"role"`},
		{"POST", "/api/v1/tokens", `{"name":"","role":"viewer"}`, 422, `"name"`},
		{"GET", "/api/v1/tokens", "", 200, `"name":"grafana"`},
		{"DELETE", "/api/v1/tokens/none", "", 404, `"not_found"`},
		{"POST", "/api/v1/links", `{"path":"/video","life_seconds":3600}`, 201, `"link":"/video?exp=`},
		{"POST", "/api/v1/links", `{"path":"/state","life_seconds":3600}`, 422, `"path"`},
		{"POST", "/api/v1/links", `{"path":"//evil/video","life_seconds":3600}`, 422, `"path"`},
		{"POST", "/api/v1/links", `{"path":"/video","life_seconds":-1}`, 422, `"life"`},
		{"POST", "/api/v1/links", `{"path":"/video","life_seconds":9223372036854775807}`, 422, `"life"`},
		{"DELETE", "/api/v1/links", "", 204, ""},
	} {
		if a := g.json(t, tc.method, tc.path, tc.body, admin); a.StatusCode != tc.want || !strings.Contains(a.body, tc.has) {
			t.Errorf("%s %s %s: %s %s, want %d", tc.method, tc.path, tc.body, a.Status, a.body, tc.want)
		}
	}
	if a := g.ask(t, "POST", "/api/v1/links", `{"path":"/video","life_seconds":3600}`, admin, "Content-Type: text/plain"); a.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("JSON that is not called so: %s", a.Status)
	}
	for _, form := range []struct{ path, body, to, has string }{
		{"/access/accounts", "name=dora&password=three+small+pigs", "/access?done=account", "dora"},
		{"/access/sessions/end", "name=dora", "/access?done=sessions", "signed out everywhere"},
		{"/access/accounts/remove", "name=dora", "/access?done=removed", "is removed"},
		{"/access/links/revoke", "", "/access?done=links", "No link"},
	} {
		a := g.form(t, form.path, form.body, g.admin)
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != form.to {
			t.Errorf("%s: %s %q", form.path, a.Status, a.Header.Get("Location"))
			continue
		}
		if page := g.ask(t, "GET", form.to, "", g.admin, "Accept: text/html"); !strings.Contains(page.body, form.has) {
			t.Errorf("%s: the page lacks %q", form.path, form.has)
		}
	}
	if a := g.form(t, "/access/accounts", "name=eve&password=three+small+pigs", g.admin); a.StatusCode != http.StatusConflict || !strings.Contains(a.body, "of this name already") {
		t.Errorf("an account that is there: %s", a.Status)
	}
	if len(g.log.lines("access changed")) < 8 {
		t.Errorf("the log says too little: %q", g.log.lines("access changed"))
	}
}

func TestOwnPasswordIsChanged(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	if a := g.form(t, "/access/password", "current=wrong&password=a+new+password", g.eve); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "The present password is wrong.") {
		t.Errorf("wrong present password: %s", a.Status)
	}
	a := g.form(t, "/access/password", "current=battery+staple&password=a+new+password", g.eve)
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a.StatusCode != http.StatusSeeOther || cookie == "" {
		t.Fatalf("got %s %s", a.Status, a.body)
	}
	if a := g.ask(t, "GET", "/state", "", g.eve); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old session lives: %s", a.Status)
	}
	if a := g.ask(t, "GET", "/state", "", "Cookie: "+cookie); a.StatusCode != http.StatusOK {
		t.Errorf("the new session does not: %s", a.Status)
	}
	page := g.ask(t, "GET", "/access", "", "Cookie: "+cookie, "Accept: text/html")
	if strings.Contains(page.body, `action="/access/tokens"`) || !strings.Contains(page.body, `action="/access/password"`) {
		t.Error("a viewer's page has the wrong parts")
	}
	if a := g.json(t, "POST", "/api/v1/password", `{"current":"a new password","password":"one more password"}`, "Cookie: "+cookie, "Origin: "+g.site); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"eve"`) {
		t.Errorf("by a program: %s %s", a.Status, a.body)
	}
}

func TestPeopleGetPagesAndProgramsJSON(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	page := g.ask(t, "POST", "/access/tokens", "", "Accept: text/html", g.eve, "Origin: "+g.site)
	if page.StatusCode != http.StatusForbidden || !strings.Contains(page.body, "This takes an administrator") || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("got %s %s", page.Status, page.body)
	}
	for _, accept := range []string{"application/json", "*/*"} {
		a := g.ask(t, "GET", "/state", "", "Accept: "+accept, "Sec-Fetch-Site: same-origin")
		if a.StatusCode != http.StatusUnauthorized || a.Header.Get("Content-Type") != "application/json" || !strings.Contains(a.body, `{"error":{"code":"sign_in","message":`) ||
			a.Header.Get("WWW-Authenticate") != "" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v %s", accept, a.Status, a.Header, a.body)
		}
	}
	if a := g.ask(t, "GET", "/video", ""); a.Header.Get("WWW-Authenticate") != `Basic realm="webgear", charset="UTF-8"` {
		t.Errorf("a program is not asked for a password: %v", a.Header)
	}
}

func TestAnOldTemplateStillWorks(t *testing.T) {
	r := unclaimed(t, auth.Options{Mode: auth.Open}, Options{})
	a := r.ask(t, "GET", "/", "")
	if a.StatusCode != http.StatusOK || strings.Contains(a.body, "/sign-out") || strings.Contains(a.body, `class="account"`) {
		t.Errorf("where nobody signs in: %s %s", a.Status, a.body)
	}
	if a := r.ask(t, "GET", "/sign-in", ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Errorf("sign-in where nobody has to: %s", a.Status)
	}
}
