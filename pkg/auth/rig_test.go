package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// clocks are those of a computer that a test sets.
type clocks struct {
	mu   sync.Mutex
	boot time.Duration
	now  time.Time
}

func (c *clocks) sinceBoot() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.boot }
func (c *clocks) time() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

// pass lets time go by.
func (c *clocks) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot += d
	c.now = c.now.Add(d)
}

// set sets the time of day, as NTP does.
func (c *clocks) set(t time.Time) { c.mu.Lock(); defer c.mu.Unlock(); c.now = t }

// rig is a guard on a store with a file.
type rig struct {
	*Guard
	clocks *clocks
	path   string
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}
func (b *lockedBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.buf.String() }

// day is when tests begin.
var day = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newClocks() *clocks { return &clocks{boot: time.Minute, now: day} }

func logTo(w *lockedBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open opens the store of a path.
func open(t *testing.T, path string, c *clocks, log *lockedBuffer, preset ...Account) *Store {
	t.Helper()
	s, err := OpenStore(StoreOptions{Path: path, Preset: preset, Logger: logTo(log), System: System{SinceBoot: c.sinceBoot, Now: c.time}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newRig makes one without accounts.
func newRig(t *testing.T, o Options, preset ...Account) *rig {
	t.Helper()
	r := &rig{clocks: newClocks(), path: filepath.Join(t.TempDir(), "access.json"), log: &lockedBuffer{}}
	o.Store = open(t, r.path, r.clocks, r.log, preset...)
	o.Logger = logTo(r.log)
	if o.Hostname == "" {
		o.Hostname = "attic"
	}
	if o.OnLink == nil {
		o.OnLink = func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2::/64")} }
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Guard = g
	return r
}

// Passwords of the accounts of rigs.
const (
	adminPassword  = "correct horse"
	viewerPassword = "battery staple"
)

// cheap is a hash that costs little, so that tests are quick.
func cheap(password string) string {
	h := hash{memory: minHashMemory, passes: 1, lanes: 1, salt: []byte("saltsalt")}
	h.sum = argon2.IDKey([]byte(password), h.salt, 1, minHashMemory, 1, 32)
	return h.String()
}

// claimedRig has the accounts admin and eve, a viewer.
func claimedRig(t *testing.T, o Options) *rig {
	t.Helper()
	r := newRig(t, o)
	for _, a := range []Account{{Name: "admin", Role: Admin, Hash: cheap(adminPassword)}, {Name: "eve", Role: Viewer, Hash: cheap(viewerPassword)}} {
		if err := r.store.SetHash(t.Context(), a.Name, a.Role, a.Hash); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// get is a request of a program in the same network for the stream.
func get(change ...func(*Request)) *Request {
	r := &Request{
		Method: "GET", Path: "/video", Host: "192.168.1.50:8000", Accept: "*/*",
		Peer: netip.MustParseAddrPort("192.168.1.9:50000"), Need: Need{Role: Viewer, Link: true},
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// post is a form of our own page that only an administrator may send.
func post(change ...func(*Request)) *Request {
	return get(append([]func(*Request){func(r *Request) {
		r.Method, r.Path, r.Need, r.Origin = "POST", "/settings", Need{Role: Admin}, "http://192.168.1.50:8000"
	}}, change...)...)
}

func from(peer string) func(*Request) {
	return func(r *Request) { r.Peer = netip.AddrPortFrom(netip.MustParseAddr(peer), 50000) }
}

func basic(name, password string) func(*Request) {
	return func(r *Request) {
		r.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
	}
}

func bearer(token string) func(*Request) {
	return func(r *Request) { r.Authorization = "Bearer " + token }
}

// with brings the cookie that a decision set.
func with(d Decision) func(*Request) {
	return func(r *Request) { r.Cookie, _, _ = strings.Cut(d.Cookie, ";") }
}

func public(r *Request)  { r.Need = Need{} }
func overTLS(r *Request) { r.TLS, r.Origin = true, "" }
func local(r *Request) {
	r.Listener, r.Peer, r.Host, r.Origin = Local, netip.MustParseAddrPort("127.0.0.1:50000"), "localhost:8000", ""
}

// signIn signs in from the page.
func (r *rig) signIn(t *testing.T, name, password string, change ...func(*Request)) Decision {
	t.Helper()
	d := r.SignIn(t.Context(), post(append([]func(*Request){public}, change...)...), name, password)
	if !d.Allowed() || d.Cookie == "" {
		t.Fatalf("sign-in: %+v", d)
	}
	return d
}

func (r *rig) check(t *testing.T, q *Request) Decision {
	t.Helper()
	return r.Check(t.Context(), q)
}

// wants compares a decision.
func wants(t *testing.T, what string, d Decision, status int, code Code) {
	t.Helper()
	if d.Status != status || d.Code != code || (status != 0) != (d.Message != "") {
		t.Errorf("%s: got %d %q %q, want %d %q", what, d.Status, d.Code, d.Message, status, code)
	}
}

func (r *rig) file(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// bounded gives a context for what must not take long.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
