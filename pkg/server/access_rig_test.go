package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/fanout"
)

// Accounts of guarded servers.
const (
	adminPassword = "correct horse"
	evePassword   = "battery staple"
)

// networkListener is one that others can reach, although it is not.
type networkListener struct{ net.Listener }

func (networkListener) Trust() auth.Trust { return auth.Network }

// guarded is a running server with a guard.
type guarded struct {
	*rig
	guard *auth.Guard
	boot  *atomic.Int64 // time since boot, in nanoseconds
	site  string        // its origin
	admin string        // the cookie of a session
	eve   string
}

// cheap is a hash that costs little.
func cheap(password string) string {
	salt := []byte("saltsalt")
	sum := argon2.IDKey([]byte(password), salt, 1, 4<<10, 1, 32)
	return fmt.Sprintf("$argon2id$v=%d$m=4096,t=1,p=1$%s$%s", argon2.Version, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// unclaimed runs a server that has no password yet and that others can reach.
func unclaimed(tb testing.TB, ao auth.Options, o Options) *guarded {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return guardedOn(tb, networkListener{ln}, ao, o)
}

func guardedOn(tb testing.TB, ln net.Listener, ao auth.Options, o Options, before ...func(*Server)) *guarded {
	tb.Helper()
	g := &guarded{boot: &atomic.Int64{}}
	g.boot.Store(int64(time.Minute))
	var err error
	if ao.Store, err = auth.OpenStore(auth.StoreOptions{System: auth.System{SinceBoot: func() time.Duration { return time.Duration(g.boot.Load()) }}}); err != nil {
		tb.Fatal(err)
	}
	if ao.ClaimFrom == nil {
		ao.ClaimFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if g.guard, err = auth.New(ao); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.guard.Run(ctx) })
	o.Guard = g.guard
	g.rig = startOn(tb, ln, o, before...)
	tb.Cleanup(func() { cancel(); running.Wait() }) // before that of startOn, which looks for goroutines
	g.site = "http://" + g.addr
	return g
}

// claimed has the administrator admin and the viewer eve, both signed in.
func claimed(t *testing.T, ao auth.Options, o Options) *guarded {
	t.Helper()
	g := unclaimed(t, ao, o)
	for _, a := range []auth.Account{{Name: "admin", Role: auth.Admin, Hash: cheap(adminPassword)}, {Name: "eve", Role: auth.Viewer, Hash: cheap(evePassword)}} {
		if err := g.guard.Store().SetHash(t.Context(), a.Name, a.Role, a.Hash); err != nil {
			t.Fatal(err)
		}
	}
	g.admin, g.eve = g.signIn(t, "admin", adminPassword), g.signIn(t, "eve", evePassword)
	return g
}

// signIn sends the form and returns the field Cookie for what follows.
func (g *guarded) signIn(t *testing.T, name, password string) string {
	t.Helper()
	a := g.form(t, "/sign-in", "name="+name+"&password="+strings.ReplaceAll(password, " ", "+"))
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a.StatusCode != http.StatusSeeOther || cookie == "" {
		t.Fatalf("sign-in of %s: %s %q", name, a.Status, a.body)
	}
	return "Cookie: " + cookie
}

// form sends a form as a browser does from our own page.
func (g *guarded) form(t *testing.T, path, body string, fields ...string) answer {
	t.Helper()
	return g.ask(t, "POST", path, body, append(fields, "Content-Type: application/x-www-form-urlencoded", "Accept: text/html", "Origin: "+g.site)...)
}

// json sends JSON as a program does.
func (g *guarded) json(t *testing.T, method, path, body string, fields ...string) answer {
	t.Helper()
	return g.ask(t, method, path, body, append(fields, "Content-Type: application/json", "Accept: application/json")...)
}

// ask sends a request over a connection of its own and reads the answer, of a stream
// the head. The field Host is the server's, unless it is among the fields.
func (g *guarded) ask(t *testing.T, method, path, body string, fields ...string) answer {
	t.Helper()
	a, err := ask(t, g.addr, method, path, body, fields...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func ask(tb testing.TB, addr, method, path, body string, fields ...string) (answer, error) {
	tb.Helper()
	conn := dial(tb, addr)
	defer func() { _ = conn.Close() }()
	request := method + " " + path + " HTTP/1.1\r\nConnection: close\r\n"
	host := "Host: " + addr + "\r\n"
	for _, f := range fields {
		if strings.HasPrefix(f, "Host:") {
			host = ""
		}
		request += f + "\r\n"
	}
	request += host
	if body != "" {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if _, err := io.WriteString(conn, request+"\r\n"+body); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/") {
		return answer{resp, ""}, nil
	}
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

func basic(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// token makes a token and returns the field that shows it.
func (g *guarded) token(t *testing.T, name string, role auth.Role) (id, field string) {
	t.Helper()
	info, secret, err := g.guard.Store().CreateToken(t.Context(), name, role)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID, "Authorization: Bearer " + secret
}

// link signs a path for an hour.
func (g *guarded) link(t *testing.T, path string) string {
	t.Helper()
	query, _, err := g.guard.Store().SignLink(path, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return path + "?" + query
}

func newRigHub() *fanout.Hub { return fanout.New() }

// mountedOn runs a guarded server that serves the stream of another one at /video2.
func mountedOn(t *testing.T, lent *Server) (g *guarded, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, end := lent.Attach(ctx)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g = guardedOn(t, networkListener{ln}, auth.Options{}, Options{}, func(s *Server) { s.AddStream("/video2", stream) })
	if err := g.guard.Store().SetHash(t.Context(), "admin", auth.Admin, cheap(adminPassword)); err != nil {
		t.Fatal(err)
	}
	return g, func() {
		cancel()
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}
