package auth

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestClaimIsForTheLocalNetworkAndTheFirstTenMinutes(t *testing.T) {
	forwarded := func(q *Request) { q.Forwarded.For = "192.168.1.9" }
	named := Options{ClaimFrom: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}}
	trusted := Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.168.1.9/32")}}
	for _, tt := range []struct {
		name    string
		options Options
		change  []func(*Request)
		boot    time.Duration
		status  int
		code    Code
	}{
		{"IPv4 private", Options{}, []func(*Request){from("192.168.1.9")}, 0, 0, ""},
		{"IPv4 private, 10/8", Options{}, []func(*Request){from("10.9.9.9")}, 0, 0, ""},
		{"IPv4 link-local", Options{}, []func(*Request){from("169.254.3.4")}, 0, 0, ""},
		{"IPv4 in IPv6", Options{}, []func(*Request){from("::ffff:192.168.1.9")}, 0, 0, ""},
		{"IPv6 unique local", Options{}, []func(*Request){from("fd12::9")}, 0, 0, ""},
		{"IPv6 link-local", Options{}, []func(*Request){from("fe80::9%eth0")}, 0, 0, ""},
		{"IPv6 public, our network", Options{}, []func(*Request){from("2001:db8:1:2::9")}, 0, 0, ""},
		{"IPv6 public, next network", Options{}, []func(*Request){from("2001:db8:1:3::9")}, 0, 403, CodeClaimRemote},
		{"IPv4 public", Options{}, []func(*Request){from("203.0.113.9")}, 0, 403, CodeClaimRemote},
		{"carrier's network", Options{}, []func(*Request){from("100.64.1.1")}, 0, 403, CodeClaimRemote},
		{"carrier's network, named in the settings", named, []func(*Request){from("100.64.1.1")}, 0, 0, ""},
		{"loopback through a listener for all", Options{}, []func(*Request){from("127.0.0.1")}, 0, 403, CodeClaimRemote},
		{"no address", Options{}, []func(*Request){func(q *Request) { q.Peer = netip.AddrPort{} }}, 0, 403, CodeClaimRemote},
		{"through a proxy", Options{}, []func(*Request){forwarded}, 0, 403, CodeClaimRemote},
		{"through a trusted proxy", trusted, []func(*Request){forwarded}, 0, 403, CodeClaimRemote},
		{"last moment", Options{}, nil, claimWindow - 1, 0, ""},
		{"too late", Options{}, nil, claimWindow, 403, CodeClaimClosed},
		{"local listener, any time", Options{}, []func(*Request){local}, 24 * time.Hour, 0, ""},
		{"local listener, forwarded", Options{}, []func(*Request){local, forwarded}, 0, 403, CodeClaimRemote},
		{"other site", Options{}, []func(*Request){func(q *Request) { q.Origin = "http://evil.example" }}, 0, 403, CodeOrigin},
		{"rebound name", Options{}, []func(*Request){func(q *Request) { q.Host, q.Origin = "evil.example", "http://evil.example" }}, 0, 421, CodeHost},
		{"auth: open", Options{Mode: Open}, nil, 0, 409, CodeClaimed},
	} {
		r := newRig(t, tt.options)
		r.clocks.boot = tt.boot
		q := post(append([]func(*Request){public}, tt.change...)...)
		if s := r.ClaimState(q); s.Refusal != tt.code || s.Claimed || (tt.code == "" && q.Listener == Network) != (s.Left > 0) {
			t.Errorf("%s: the page says %+v", tt.name, s)
		}
		d := r.Claim(t.Context(), q, "", "a good password")
		wants(t, tt.name, d, tt.status, tt.code)
		if claimed := r.store.Claimed(); claimed != (tt.status == 0) {
			t.Errorf("%s: claimed %v", tt.name, claimed)
		}
		if word := map[bool]string{true: "claimed", false: "claim refused"}[d.Allowed()]; tt.code != CodeOrigin && tt.code != CodeHost && !strings.Contains(r.log.String(), word) {
			t.Errorf("%s: not logged", tt.name)
		}
		if d.Allowed() && q.Listener == Network {
			wants(t, tt.name+", the cookie", r.check(t, get(with(d))), 0, "")
		}
	}
}

func TestPowerCycleOpensTheWindowAgainAndARestartDoesNot(t *testing.T) {
	r := newRig(t, Options{})
	r.clocks.pass(time.Hour)
	restarted := func() *Guard {
		g, err := New(Options{Store: open(t, r.path, r.clocks, r.log), Hostname: "attic"})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	wants(t, "restart", restarted().Claim(t.Context(), post(public), "", "a good password"), 403, CodeClaimClosed)
	r.clocks.boot = 0
	wants(t, "power cycle", restarted().Claim(t.Context(), post(public), "", "a good password"), 0, "")
	r.clocks.boot = 0
	wants(t, "power cycle once claimed", restarted().Claim(t.Context(), post(public, from("192.168.1.77")), "", "another password"), 409, CodeClaimed)
}

func TestOneWinsTheRaceToClaim(t *testing.T) {
	r := newRig(t, Options{})
	second, err := New(Options{Store: open(t, r.path, r.clocks, r.log), Hostname: "attic"}) // as another program
	if err != nil {
		t.Fatal(err)
	}
	r.store.sys.Lock, second.store.sys.Lock = flock, flock
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		g := []*Guard{r.Guard, second}[i%2]
		wg.Go(func() {
			d := g.Claim(bounded(t), post(public, from(fmt.Sprintf("192.168.1.%d", i+1))), "", fmt.Sprint("a good password ", i))
			switch {
			case d.Allowed():
				won.Add(1)
			case d.Code != CodeClaimed:
				t.Errorf("%+v", d)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}

func TestClaimNeedsAGoodPasswordAndName(t *testing.T) {
	r := newRig(t, Options{})
	wants(t, "short", r.Claim(t.Context(), post(public), "", "short"), 422, CodePassword)
	wants(t, "common", r.Claim(t.Context(), post(public), "", "raspberry"), 422, CodePassword)
	wants(t, "name", r.Claim(t.Context(), post(public), "a b", "a good password"), 422, CodePassword)
	wants(t, "good", r.Claim(t.Context(), post(public), " Ann ", "a good password"), 0, "")
	r.signIn(t, "ann", "a good password")
}

func TestCommandsWorkBesideTheProgram(t *testing.T) {
	r := newRig(t, Options{})
	r.clocks.pass(time.Hour) // the window is for the network
	cli := func() *Store { return open(t, r.path, r.clocks, &lockedBuffer{}) }
	var out strings.Builder
	typed := func(lines ...string) *Prompt {
		out.Reset()
		return &Prompt{Out: &out, Hidden: func() (string, error) {
			if len(lines) == 0 {
				return "", fmt.Errorf("asked too often")
			}
			s := lines[0]
			lines = lines[1:]
			return s, nil
		}}
	}
	piped := func(s string) *Prompt { out.Reset(); return &Prompt{In: strings.NewReader(s), Out: &out} }
	fails := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	fails("differ", ClaimCommand(t.Context(), cli(), "admin", typed("a good password", "a bad password")), "differ")
	fails("short", ClaimCommand(t.Context(), cli(), "admin", typed("short")), "at least 8 characters")
	fails("nothing", ClaimCommand(t.Context(), cli(), "admin", piped("")), "no password was given")
	fails("no such account", PasswdCommand(t.Context(), cli(), "admin", Nobody, typed()), "not found")
	if r.store.Claimed() {
		t.Fatal("claimed by failures")
	}
	if err := ClaimCommand(t.Context(), cli(), "admin", typed("a good password", "a good password")); err != nil {
		t.Fatal(err)
	}
	r.clocks.pass(lookInterval)
	d := r.signIn(t, "admin", "a good password")
	fails("again", ClaimCommand(t.Context(), cli(), "admin", typed()), "set already")
	if err := PasswdCommand(t.Context(), cli(), "admin", Nobody, piped("another password\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := PasswdCommand(t.Context(), cli(), "eve", Viewer, piped("eves password")); err != nil {
		t.Fatal(err)
	}
	r.clocks.pass(lookInterval)
	wants(t, "old session", r.check(t, get(with(d))), 401, CodeSignIn)
	r.signIn(t, "admin", "another password")
	r.signIn(t, "eve", "eves password")
	if err := HashPassword(piped("hash this, please\n")); err != nil {
		t.Fatal(err)
	}
	if h, err := parseHash(strings.TrimSpace(out.String())); err != nil || !h.matches("hash this, please") {
		t.Error(out.String(), err)
	}
	if err := CheckHash(strings.TrimSpace(out.String())); err != nil {
		t.Error(err)
	}
}
