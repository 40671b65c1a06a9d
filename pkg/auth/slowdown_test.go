package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWrongPasswordsSlowAnAddressDown(t *testing.T) {
	r := claimedRig(t, Options{})
	guess := func(i int, change ...func(*Request)) Decision {
		return r.SignIn(t.Context(), post(append(change, public)...), "admin", fmt.Sprint("guess ", i))
	}
	for i := range freeOfAddress {
		wants(t, "a free one", guess(i), 401, CodeSignIn)
	}
	for i, want := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		d := guess(100 + i)
		wants(t, "too quick", d, 429, CodeSlowDown)
		if d.RetryAfterSeconds() != want {
			t.Errorf("guess %d: retry after %d s, want %d", i, d.RetryAfterSeconds(), want)
		}
		wants(t, "the right one too early", r.SignIn(t.Context(), post(public), "admin", adminPassword), 429, CodeSlowDown)
		wants(t, "basic too", r.check(t, get(basic("admin", "something else"))), 429, CodeSlowDown)
		wants(t, "a neighbour", r.SignIn(t.Context(), post(public, from("192.168.1.10")), "eve", viewerPassword), 0, "")
		r.clocks.pass(d.RetryAfter)
		wants(t, "in time", guess(200+i), 401, CodeSignIn)
	}
	r.clocks.pass(longestOfAddress)
	r.signIn(t, "admin", adminPassword)
	wants(t, "after the right one", guess(1), 401, CodeSignIn)
	if !strings.Contains(r.log.String(), "wrong password") || strings.Contains(r.log.String(), "guess") {
		t.Error("the log is wrong:", r.log.String())
	}
}

func TestManyAddressesSlowAnAccountDownButNotItsOwner(t *testing.T) {
	r := claimedRig(t, Options{})
	r.signIn(t, "admin", adminPassword)
	var d Decision
	for i := range freeOfAccount + 1 {
		d = r.SignIn(t.Context(), post(public, from(fmt.Sprintf("192.168.2.%d", i+1))), "admin", fmt.Sprint("guess ", i))
	}
	wants(t, "the 21st stranger", d, 429, CodeSlowDown)
	wants(t, "another account", r.SignIn(t.Context(), post(public, from("192.168.3.1")), "eve", viewerPassword), 0, "")
	r.signIn(t, "admin", adminPassword)
}

func TestTheSameWrongPasswordAgainIsNoGuess(t *testing.T) {
	r := claimedRig(t, Options{})
	for range 100 {
		wants(t, "a program with an old password", r.check(t, get(basic("eve", "old password"))), 401, CodeSignIn)
	}
	r.signIn(t, "eve", viewerPassword)
}

func TestIPv6NeighboursAreOne(t *testing.T) {
	for a, want := range map[string]string{
		"192.168.1.9": "192.168.1.9/32", "::ffff:192.168.1.9": "192.168.1.9/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := neighbourhood(netip.MustParseAddr(a)).String(); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	c := newClocks()
	s := newSlowdown(c.sinceBoot)
	a := netip.MustParseAddr("10.0.0.0")
	for i := range 3 * maxAddresses {
		s.begin(a, fmt.Sprint(i))
		s.forgive(a, fmt.Sprint(i), i%2 == 0)
		s.begin(a, fmt.Sprint(i))
		a = a.Next()
	}
	if n, m, k := len(s.ofAddress.at), len(s.ofAccount.at), len(s.known.at); n > maxAddresses || m > maxGuessed || k > maxKnown || s.ofAddress.order.Len() != n {
		t.Errorf("%d addresses, %d accounts, %d known", n, m, k)
	}
}

func TestFewWaitForAHash(t *testing.T) {
	h := newHasher()
	host := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	working, finish := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.do(t.Context(), host(0), func() { close(working); <-finish }); err != nil {
			t.Error(err)
		}
	})
	<-working
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, maxWaiting)
	for i := range maxWaiting - 1 {
		wg.Go(func() { left <- h.do(ctx, host(i/2+1), func() {}) })
	}
	full := func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.waiting == maxWaiting }
	for tick := time.NewTicker(time.Millisecond); !full(); <-tick.C {
	}
	if err := h.do(t.Context(), host(99), func() {}); !errors.Is(err, ErrBusy) {
		t.Error("one too many:", err)
	}
	cancel()
	for range maxWaiting - 1 {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	close(finish)
	wg.Wait()
	if h.waiting != 0 || len(h.of) != 0 {
		t.Errorf("%d wait for %v", h.waiting, h.of)
	}
}

func TestHashesOfOthersAreBounded(t *testing.T) {
	good := cheap("x")
	if h, err := parseHash(good); err != nil || h.String() != good {
		t.Fatal(h, err)
	}
	if h := newHash(adminPassword); !h.matches(adminPassword) || h.matches(adminPassword+" ") {
		t.Error("a new hash is wrong")
	}
	for _, bad := range []string{
		"", "password", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=4096", "m=4194304", 1), strings.Replace(good, "m=4096", "m=8", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "t=1", "t=1000", 1), strings.Replace(good, "p=1", "p=255", 1), strings.Replace(good, "p=1", "p=01", 1),
		strings.Replace(good, ",p=1", "", 1), good + "=", good + "$x", good[:len(good)-30], "$argon2id$v=19$m=4096,t=1,p=1$$",
	} {
		if _, err := parseHash(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		} else if len(bad) > 8 && strings.Contains(err.Error(), bad[len(bad)-8:]) {
			t.Errorf("%q is repeated in %q", bad, err)
		}
	}
}

func TestNewPasswordsAreGoodEnough(t *testing.T) {
	for p, ok := range map[string]bool{
		"correct horse": true, "äöüßäöüß": true, strings.Repeat("ab", 512): true,
		"": false, "short77": false, "äöüßäöü": false, "Raspberry": false, "PASSWORD": false, "aaaaaaaaaaaa": false, "tab\tinside it": false,
		"not \xff utf-8": false, strings.Repeat("ab", 513): false,
	} {
		if err := CheckPassword(p); (err == nil) != ok {
			t.Errorf("%q: %v", p, err)
		} else if err != nil && p != "" && strings.Contains(err.Error(), p) {
			t.Errorf("%q is repeated in %q", p, err)
		}
	}
}

// BenchmarkHash is the price of a sign-in: go test -run '^$' -bench Hash ./pkg/auth.
func BenchmarkHash(b *testing.B) {
	h := newHash(adminPassword)
	b.ReportAllocs()
	for b.Loop() {
		h.matches("wrong")
	}
}

// BenchmarkCheckSession is what every request costs: go test -run '^$' -bench
// CheckSession ./pkg/auth.
func BenchmarkCheckSession(b *testing.B) {
	c := newClocks()
	s, err := OpenStore(StoreOptions{System: System{SinceBoot: c.sinceBoot, Now: c.time}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.SetHash(b.Context(), "admin", Admin, cheap(adminPassword)); err != nil {
		b.Fatal(err)
	}
	g, err := New(Options{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	q := get(with(g.SignIn(b.Context(), post(public), "admin", adminPassword)))
	b.ReportAllocs()
	for b.Loop() {
		if d := g.Check(b.Context(), q); !d.Allowed() {
			b.Fatal(d)
		}
	}
}
