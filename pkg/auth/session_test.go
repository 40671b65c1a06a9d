package auth

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCookieAttributes(t *testing.T) {
	r := claimedRig(t, Options{})
	for _, secure := range []bool{false, true} {
		d := r.SignIn(t.Context(), post(public, func(q *Request) {
			q.TLS = secure
			q.Origin = map[bool]string{true: "https", false: "http"}[secure] + "://192.168.1.50:8000"
		}), "admin", adminPassword)
		for _, attribute := range []string{"; HttpOnly", "; SameSite=Strict", "; Path=/;", "; Max-Age=2592000"} {
			if !strings.Contains(d.Cookie, attribute) {
				t.Errorf("%q lacks %q", d.Cookie, attribute)
			}
		}
		if got := strings.Contains(d.Cookie, "; Secure"); got != secure || strings.HasPrefix(d.Cookie, "__Host-") != secure {
			t.Errorf("TLS %v: %q", secure, d.Cookie)
		}
	}
}

func TestSessionsLast30DaysAreRenewedByUseAndEndAfter180(t *testing.T) {
	r := claimedRig(t, Options{})
	first := r.signIn(t, "admin", adminPassword)
	r.clocks.pass(23 * time.Hour)
	if d := r.check(t, get(with(first))); !d.Allowed() || d.Cookie != "" {
		t.Fatalf("after 23 hours: %+v", d)
	}
	r.clocks.pass(30*24*time.Hour - 24*time.Hour)
	last := first
	d := r.check(t, get(with(first)))
	if !d.Allowed() || d.Cookie == "" {
		t.Fatalf("after 29 days: %+v", d)
	}
	r.clocks.pass(24 * time.Hour)
	wants(t, "the old cookie after 30 days", r.check(t, get(with(first))), 401, CodeSignIn)
	days := 30
	for d = r.check(t, get(with(d))); d.Allowed(); d = r.check(t, get(with(last))) {
		if d.Cookie != "" {
			last = d
		}
		r.clocks.pass(20 * 24 * time.Hour)
		if days += 20; days > 400 {
			t.Fatal("a session never ends")
		}
	}
	if days < 180 || days > 200 {
		t.Errorf("a session in use ended after %d days", days)
	}
}

func TestSessionsSurviveTheFirstTimeFromTheNetwork(t *testing.T) {
	r := claimedRig(t, Options{})
	r.clocks.set(time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC))
	d := r.signIn(t, "admin", adminPassword)
	r.clocks.pass(time.Minute)
	w := r.Watch(r.check(t, get(with(d))).Principal)
	defer w.Release()
	r.clocks.set(day)
	again := r.check(t, get(with(d)))
	if !again.Allowed() || again.Cookie == "" {
		t.Fatalf("after the clock was set: %+v", again)
	}
	r.sweep()
	if w.Ended() {
		t.Error("what ran was ended")
	}
	r.clocks.pass(29 * 24 * time.Hour)
	wants(t, "the new cookie", r.check(t, get(with(again))), 0, "")
	r.clocks.pass(2 * 24 * time.Hour)
	wants(t, "the old one in time", r.check(t, get(with(d))), 401, CodeSignIn)
}

func TestSessionsSurviveARestart(t *testing.T) {
	r := claimedRig(t, Options{})
	d := r.signIn(t, "admin", adminPassword)
	g, err := New(Options{Store: open(t, r.path, r.clocks, r.log), Hostname: "attic"})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "after a restart", g.Check(t.Context(), get(with(d))), 0, "")
}

func TestForgedAndForeignCookiesAreNobody(t *testing.T) {
	r, other := claimedRig(t, Options{}), claimedRig(t, Options{})
	d, foreign := r.signIn(t, "admin", adminPassword), other.signIn(t, "admin", adminPassword)
	name, value, _ := strings.Cut(strings.Split(d.Cookie, ";")[0], "=")
	_, foreignValue, _ := strings.Cut(strings.Split(foreign.Cookie, ";")[0], "=")
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		b := append([]byte(nil), raw...)
		b[i] ^= 1
		if got := r.check(t, get(func(q *Request) { q.Cookie = name + "=" + base64.RawURLEncoding.EncodeToString(b) })); got.Allowed() {
			t.Errorf("bit of byte %d turned: let in", i)
		}
	}
	for cookie, want := range map[string]int{
		name + "=" + value:                                  0,
		"a=b; " + name + "=" + value + ";c":                 0,
		"=;;=;" + name + "=\"" + value + "\"":               0,
		name + "=rubbish; " + name + "=" + value:            0, // of another port on this computer
		name + "=" + foreignValue:                           401,
		name + "=":                                          401,
		name + "=" + value[:len(value)-1]:                   401,
		name + "=" + value + "A":                            401,
		"x" + name + "=" + value:                            401,
		strings.Repeat(name+"=x; ", 4) + name + "=" + value: 401,
		strings.Repeat("x=y; ", 10000) + name + "=" + value: 0,
		name + "=" + strings.Repeat("A", 1<<20):             401,
		strings.ToUpper(name) + "=" + value:                 401,
	} {
		if got := r.check(t, get(func(q *Request) { q.Cookie = cookie })); got.Status != want {
			t.Errorf("%.80q: got %d, want %d", cookie, got.Status, want)
		}
	}
}

func TestSignOutEndsTheSessionForGood(t *testing.T) {
	r := claimedRig(t, Options{})
	d, other := r.signIn(t, "admin", adminPassword), r.signIn(t, "admin", adminPassword)
	wants(t, "sign-out by another site", r.SignOut(t.Context(), post(public, with(d), func(q *Request) { q.Origin = "http://evil.example" })), 403, CodeOrigin)
	w := r.Watch(r.check(t, get(with(d))).Principal)
	out := r.SignOut(t.Context(), post(public, with(d)))
	if !out.Allowed() || !strings.Contains(out.Cookie, "Max-Age=0") {
		t.Errorf("%+v", out)
	}
	if !w.Ended() {
		t.Error("what ran for it goes on")
	}
	wants(t, "replayed", r.check(t, get(with(d))), 401, CodeSignIn)
	wants(t, "another session", r.check(t, get(with(other))), 0, "")
	g, err := New(Options{Store: open(t, r.path, r.clocks, r.log), Hostname: "attic"})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "replayed after a restart", g.Check(t.Context(), get(with(d))), 401, CodeSignIn)
}

func TestSignOutHoldsWhenTheDiskIsFull(t *testing.T) {
	r := claimedRig(t, Options{})
	d := r.signIn(t, "admin", adminPassword)
	r.store.hook = func(step string) error { return failAt(step, stepWrite) }
	if out := r.SignOut(t.Context(), post(public, with(d))); !out.Allowed() {
		t.Errorf("%+v", out)
	}
	wants(t, "replayed", r.check(t, get(with(d))), 401, CodeSignIn)
}

func TestPasswordChangeEndsSessionsButThis(t *testing.T) {
	r := claimedRig(t, Options{})
	here, there := r.signIn(t, "eve", viewerPassword), r.signIn(t, "eve", viewerPassword)
	admin := r.signIn(t, "admin", adminPassword)
	asBasic := r.check(t, get(basic("eve", viewerPassword))).Principal
	stream, other, byBasic := r.Watch(r.check(t, get(with(there))).Principal), r.Watch(r.check(t, get(with(admin))).Principal), r.Watch(asBasic)
	own := func(q *Request) { q.Need = Need{Role: Viewer} }
	wants(t, "wrong present one", r.ChangePassword(t.Context(), post(own, with(here)), "wrong", "a new password"), 403, CodePassword)
	wants(t, "too short", r.ChangePassword(t.Context(), post(own, with(here)), viewerPassword, "short"), 422, CodePassword)
	d := r.ChangePassword(t.Context(), post(own, with(here)), viewerPassword, "a new password")
	wants(t, "change", d, 0, "")
	wants(t, "the new cookie", r.check(t, get(with(d))), 0, "")
	wants(t, "the old cookie", r.check(t, get(with(here))), 401, CodeSignIn)
	wants(t, "elsewhere", r.check(t, get(with(there))), 401, CodeSignIn)
	wants(t, "the old password, remembered", r.check(t, get(basic("eve", viewerPassword))), 401, CodeSignIn)
	wants(t, "the new password", r.check(t, get(basic("eve", "a new password"))), 0, "")
	wants(t, "somebody else", r.check(t, get(with(admin))), 0, "")
	if !stream.Ended() || !byBasic.Ended() || other.Ended() {
		t.Error("streams ended:", stream.Ended(), byBasic.Ended(), other.Ended())
	}
}

func TestPresetAccountsComeFromTheSettings(t *testing.T) {
	r := newRig(t, Options{}, Account{Name: "admin", Role: Admin, Hash: cheap(adminPassword)})
	d := r.signIn(t, "admin", adminPassword)
	wants(t, "claim", r.Claim(t.Context(), post(public), "", "another password"), 409, CodeClaimed)
	wants(t, "change", r.ChangePassword(t.Context(), post(with(d)), adminPassword, "another password"), 409, CodePassword)
	if err := r.store.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.file(t), "argon2id") {
		t.Error("the settings' hash was stored")
	}
	again := func(hash string) Decision {
		g, err := New(Options{Store: open(t, r.path, r.clocks, r.log, Account{Name: "admin", Role: Admin, Hash: hash}), Hostname: "attic"})
		if err != nil {
			t.Fatal(err)
		}
		return g.Check(t.Context(), get(with(d)))
	}
	wants(t, "after a restart", again(cheap(adminPassword)), 0, "")
	wants(t, "after the settings changed", again(cheap("something else")), 401, CodeSignIn)
	if _, err := OpenStore(StoreOptions{Preset: []Account{{Name: "admin", Role: Admin, Hash: "plain text"}}, System: System{SinceBoot: r.clocks.sinceBoot}}); err == nil || strings.Contains(err.Error(), "plain text") {
		t.Error("a preset that is no hash:", err)
	}
}

func TestManyAtOnceCostOneHash(t *testing.T) {
	r := claimedRig(t, Options{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if d := r.Check(bounded(t), get(basic("eve", viewerPassword))); !d.Allowed() {
				t.Errorf("%+v", d)
			}
		})
	}
	wg.Wait()
}
