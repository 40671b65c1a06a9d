//go:build system

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// This file is the scene of the probes: a second network namespace with many
// addresses, joined to this one by a pair of virtual interfaces, and the real
// program that listens on this side. Whoever asks from there is another computer of
// the local network to the program. It takes root and iproute2.

// street is the other namespace. It has no name, so that nothing of it is left when
// the test is killed.
type street struct {
	ns    *os.File
	house netip.Addr // where the program is

	mu   sync.Mutex
	last netip.Addr // guarded by mu; the last address that was given out
}

// addresses is how many the other side has.
const addresses = 120

// abroad calls do on a thread that enter has moved to another namespace.
func abroad(enter, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		if err = enter(); err == nil {
			err = do()
		}
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with this goroutine
		_ = home.Close() // only looked at
		done <- err
	}()
	return <-done
}

// iproute runs ip with commands, in the namespace that the caller's thread is in.
func iproute(commands string, files ...*os.File) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin, cmd.ExtraFiles = strings.NewReader(commands), files
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// build makes a street, in a network that nobody here uses.
func build(t *testing.T) *street {
	t.Helper()
	s := &street{}
	err := abroad(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		s.ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = s.ns.Close() })
	near, far := fmt.Sprintf("wgp%xa", os.Getpid()), fmt.Sprintf("wgp%xb", os.Getpid())
	s.house = unused(t)
	prefix := netip.PrefixFrom(s.house, 24)
	if err := iproute(fmt.Sprintf("link add %s type veth peer name %s netns /proc/self/fd/3\n", near, far), s.ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := iproute("link del " + near + "\n"); err != nil {
			t.Error(err)
		}
	})
	if err := iproute(fmt.Sprintf("addr add %s dev %s\nlink set %s up\n", prefix, near, near)); err != nil {
		t.Fatal(err)
	}
	commands := "link set lo up\nlink set " + far + " up\n"
	s.last = s.house
	for a, n := s.house.Next(), 0; n < addresses; a, n = a.Next(), n+1 {
		commands += fmt.Sprintf("addr add %s dev %s\n", netip.PrefixFrom(a, 24), far)
	}
	if err := abroad(s.enter, func() error { return iproute(commands) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// unused finds a network that no interface has, and gives its first address.
func unused(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 250 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, byte((os.Getpid() + n) % 250), 1}), 24)
		free := true
		for _, a := range all {
			if q, err := netip.ParsePrefix(a.String()); err == nil && q.Overlaps(p) {
				free = false
			}
		}
		if free {
			return p.Addr()
		}
	}
	t.Fatal("all networks are taken")
	return netip.Addr{}
}

func (s *street) enter() error { return unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET) }

// address gives one that nobody has used yet.
func (s *street) address(t *testing.T) netip.Addr {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = s.last.Next()
	if int(s.last.As4()[3]) > 1+addresses {
		t.Fatal("no addresses are left")
	}
	return s.last
}

// dial connects from an address of the other side.
func (s *street) dial(ctx context.Context, from netip.Addr, to string) (conn net.Conn, err error) {
	failure := abroad(s.enter, func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		conn, err = d.DialContext(ctx, "tcp", to)
		return err
	})
	return conn, failure
}

// siege is the program with those who try to get in.
type siege struct {
	*daemon

	street *street
	secure string // where HTTPS is

	mu      sync.Mutex
	secrets map[string]string // guarded by mu; whatever may never be seen, and what it is
}

// besiege starts the program on this side of a street.
func besiege(t *testing.T, st *street, args ...string) *siege {
	t.Helper()
	s := &siege{street: st, secrets: map[string]string{}}
	home := t.TempDir()
	accounts := &daemon{home: home}
	accounts.commands(t, s.secret("password", adminPassword)+"\n", "claim")
	accounts.commands(t, s.secret("password", viewerPassword)+"\n", "passwd", "eve", "--role", "viewer")
	s.daemon = beginAt(t, place{home: home, addr: st.house.String() + ":0"}, append([]string{
		"-s", "test:320x240@20", "--log-level", "debug", "--tls", "self-signed", "--tls-listen", st.house.String() + ":0",
	}, args...)...)
	s.settle(t)
	_, port, err := net.SplitHostPort(s.secureAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	s.secure = net.JoinHostPort(st.house.String(), port)
	return s
}

// settle has the daemon asked where it listens.
func (s *siege) settle(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = net.JoinHostPort(s.street.house.String(), port)
	s.url = "http://" + s.addr
}

// secret notes what may never be seen.
func (s *siege) secret(what, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[text] = what
	return text
}

// stranger is another computer.
type stranger struct {
	s      *siege
	addr   netip.Addr
	client *http.Client
}

// stranger gives one with an address of its own.
func (s *siege) stranger(t *testing.T) *stranger {
	t.Helper()
	p := &stranger{s: s, addr: s.street.address(t), client: plainClient()}
	p.client.Transport = &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is not what is probed
		DialContext: func(ctx context.Context, _, to string) (net.Conn, error) { return s.street.dial(ctx, p.addr, to) },
	}
	return p
}

// ask makes a request and reads the answer, of a stream up to its first picture.
func (p *stranger) ask(t *testing.T, method, path string, edits ...tweak) answer {
	t.Helper()
	return p.askAt(t, method, p.s.url+path, edits...)
}

func (p *stranger) askAt(t *testing.T, method, url string, edits ...tweak) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	resp := p.s.open(ctx, t, p.client, method, url, edits...)
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	stream := strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/")
	for b := make([]byte, 32<<10); ; {
		n, err := resp.Body.Read(b)
		a.body = append(a.body, b[:n]...)
		switch {
		case stream && (isPicture(a.body) || method == http.MethodHead), errors.Is(err, io.EOF):
			return a
		case err != nil:
			t.Fatalf("%s %s: %v", method, url, err)
		}
	}
}

// isPicture says whether there is anything of a JPEG file in it.
func isPicture(b []byte) bool { return bytes.Contains(b, []byte("\xff\xd8\xff")) }

// reply is all that came back on one connection.
type reply struct {
	answers []answer
	raw     []byte
	closed  bool // by the other side, in order or not
}

func (r reply) codes() string {
	codes := make([]int, len(r.answers))
	for i, a := range r.answers {
		codes[i] = a.status
	}
	return strings.Trim(fmt.Sprint(codes), "[]")
}

// send sends bytes as they are, and takes all that comes back until the other side
// closes or is silent for silenceLimit.
func (p *stranger) send(t *testing.T, sent string, silenceLimit time.Duration) (r reply) {
	t.Helper()
	conn, err := p.s.street.dial(t.Context(), p.addr, p.s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, sent) // it may have heard enough
	}()
	for b := make([]byte, 32<<10); ; {
		if err := conn.SetReadDeadline(time.Now().Add(silenceLimit)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		r.raw = append(r.raw, b[:n]...)
		if err != nil || len(r.raw) > 1<<20 {
			timeout := net.Error(nil)
			r.closed = !errors.As(err, &timeout) || !timeout.Timeout()
			break
		}
	}
	_ = conn.Close() // who still writes gives up
	<-written
	rd := bufio.NewReader(bytes.NewReader(r.raw))
	for {
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			return r
		}
		body, _ := io.ReadAll(resp.Body) // what there is
		_ = resp.Body.Close()
		r.answers = append(r.answers, answer{resp.StatusCode, resp.Header, body})
	}
}

// healthy has a new connection answered.
func (p *stranger) healthy(t *testing.T) {
	t.Helper()
	if a := p.ask(t, http.MethodGet, "/healthz"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// signIn gives the cookie of a new session.
func (p *stranger) signIn(t *testing.T, name, password string) (cookie string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	a := p.ask(t, http.MethodPost, "/api/v1/sign-in", asJSONBody(string(body)))
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	_, value, ok := strings.Cut(cookie, "=")
	if a.status != http.StatusOK || !ok {
		t.Fatalf("sign-in of %s: %d %s", name, a.status, a.body)
	}
	p.s.secret("cookie of "+name, value)
	return cookie
}

// session is the fields of a page of the program's own.
func (s *siege) session(cookie string) []tweak {
	return []tweak{header("Cookie", cookie), header("Origin", s.url)}
}

// token makes a token.
func (s *siege) token(t *testing.T, admin *stranger, name string, role auth.Role, as ...tweak) (id, text string) {
	t.Helper()
	a := admin.ask(t, http.MethodPost, "/api/v1/tokens", append(as, asJSONBody(fmt.Sprintf(`{"name": %q, "role": %q}`, name, role)))...)
	var made struct {
		Token  auth.TokenInfo
		Secret string
	}
	if err := json.Unmarshal(a.body, &made); err != nil || made.Secret == "" {
		t.Fatalf("token %s: %d %s", name, a.status, a.body)
	}
	return made.Token.ID, s.secret("token "+name, made.Secret)
}

// link signs a path and gives the query.
func (s *siege) link(t *testing.T, admin *stranger, path string, life time.Duration, as ...tweak) (query string) {
	t.Helper()
	a := admin.ask(t, http.MethodPost, "/api/v1/links", append(as, asJSONBody(fmt.Sprintf(`{"path": %q, "life_seconds": %d}`, path, int(life.Seconds()))))...)
	var made struct{ Link string }
	if err := json.Unmarshal(a.body, &made); err != nil || made.Link == "" {
		t.Fatalf("link to %s: %d %s", path, a.status, a.body)
	}
	_, query, _ = strings.Cut(made.Link, "?")
	_, sum, _ := strings.Cut(query, "sig=")
	s.secret("signature for "+path, sum)
	return query
}

// watch watches the stream from another computer.
func (p *stranger) watch(t *testing.T, edits ...tweak) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp := p.s.open(ctx, t, p.client, http.MethodGet, p.s.url+"/video", edits...)
	v := &viewer{t: t, status: resp.StatusCode, pictures: make(chan picture, queue)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(v.pictures)
		defer func() { _ = resp.Body.Close() }()
		v.err = v.read(bufio.NewReader(resp.Body))
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return v
}
