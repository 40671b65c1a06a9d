//go:build system

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// These tests look at who is let in by the real program over real sockets.

// Passwords of these tests.
const (
	adminPassword  = "correct horse"
	viewerPassword = "battery staple"
)

func TestSystemWithoutAPasswordNothingIsShown(t *testing.T) {
	d := beginAt(t, place{addr: everybody}, "-s", "test:320x240", "--config", write(t, "webgear.yaml", "access: {claim_from: [127.0.0.0/8]}\n"))
	for path, want := range map[string]int{
		"/healthz": 200, "/video": 403, "/snapshot": 403, "/state": 403, "/metrics": 403, "/": 403, "/static/css/custom.css": 403,
		"/nothing": 403, "/sign-in": 403, "/api/v1/tokens": 403, "/?action=stream": 403,
	} {
		a := d.ask(t, http.MethodGet, path)
		if a.status != want || want == 403 && a.code() != string(auth.CodeUnclaimed) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := d.ask(t, http.MethodGet, "/", header("Accept", "text/html")); a.status != http.StatusSeeOther || a.header.Get("Location") != "/claim" {
		t.Errorf("page: %d to %q", a.status, a.header.Get("Location"))
	}
	if log := d.log.String(); strings.Count(log, "no password is set yet") != 1 {
		t.Errorf("the log does not say so once:\n%s", log)
	}

	if a := d.ask(t, http.MethodGet, "/claim", header("Accept", "text/html")); a.status != 200 && !strings.Contains(string(a.body), "sudo webgear claim") {
		t.Errorf("claim page: %d\n%s", a.status, a.body)
	}

	// This computer was switched on long ago, unless it is quite new.
	a := d.ask(t, http.MethodPost, "/api/v1/claim", asJSONBody(`{"password": "`+adminPassword+`"}`))
	if up := sinceBoot(); up > 11*time.Minute && (a.status != 403 || a.code() != string(auth.CodeClaimClosed) || !strings.Contains(string(a.body), "sudo webgear claim")) {
		t.Errorf("claim after %v: %d %s", up, a.status, a.body)
	}
	d.commands(t, adminPassword+"\n", "claim")
	soon(t, time.Second, "the password is in force", func() bool {
		return d.ask(t, http.MethodGet, "/state", basic("admin", adminPassword)).status == 200
	})
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("without a password: %d", a.status)
	}
	d.watchAs(t, basic("admin", adminPassword)).next(t)
}

func TestSystemClaimFromThisComputerThroughTheNetworkIsRefused(t *testing.T) {
	d := beginAt(t, place{addr: everybody}, "-s", "test:320x240")
	a := d.ask(t, http.MethodPost, "/api/v1/claim", asJSONBody(`{"password": "`+adminPassword+`"}`))
	if a.status != 403 || a.code() != string(auth.CodeClaimRemote) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSystemRolesAndWrongPasswords(t *testing.T) {
	d := claimed(t)
	token := `{"name": "x", "role": "viewer"}`
	for _, tt := range []struct {
		name, method, path string
		edits              []tweak
		want               int
	}{
		{"admin looks", "GET", "/state", []tweak{basic("admin", adminPassword)}, 200},
		{"viewer looks", "GET", "/state", []tweak{basic("eve", viewerPassword)}, 200},
		{"viewer watches", "GET", "/video", []tweak{basic("eve", viewerPassword)}, 200},
		{"nobody", "GET", "/snapshot", nil, 401},
		{"wrong password", "GET", "/state", []tweak{basic("eve", "wrong horse")}, 401},
		{"unknown account", "GET", "/state", []tweak{basic("bob", viewerPassword)}, 401},
		{"bad token", "GET", "/state", []tweak{bearer("webgear_x")}, 401},
		{"viewer changes", "POST", "/api/v1/tokens", []tweak{basic("eve", viewerPassword), asJSONBody(token)}, 403},
		{"admin changes", "POST", "/api/v1/tokens", []tweak{basic("admin", adminPassword), asJSONBody(token)}, 201},
		{"another site", "POST", "/api/v1/tokens", []tweak{basic("admin", adminPassword), asJSONBody(token), header("Origin", "https://evil.example")}, 403},
		{"another host", "GET", "/state", []tweak{basic("admin", adminPassword), func(r *http.Request) { r.Host = "evil.example" }}, 421},
		{"own name", "GET", "/state", []tweak{basic("admin", adminPassword), func(r *http.Request) { r.Host = hostname() + ".local:8000" }}, 200},
		{"probe", "GET", "/healthz", []tweak{func(r *http.Request) { r.Host = "evil.example" }}, 200},
	} {
		if a := d.ask(t, tt.method, tt.path, tt.edits...); a.status != tt.want {
			t.Errorf("%s: %d, want %d: %.200s", tt.name, a.status, tt.want, a.body)
		}
	}
}

func TestSystemNewPasswordEndsSessionsAndStreams(t *testing.T) {
	d := claimed(t)
	a := d.ask(t, http.MethodPost, "/api/v1/sign-in", asJSONBody(`{"name": "eve", "password": "`+viewerPassword+`"}`))
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	if a.status != 200 || cookie == "" {
		t.Fatalf("sign-in: %d %s", a.status, a.body)
	}
	signed, named, other := d.watchAs(t, header("Cookie", cookie)), d.watchAs(t, basic("eve", viewerPassword)), d.watchAs(t, basic("admin", adminPassword))
	signed.next(t)
	named.next(t)
	d.commands(t, "battery stable\n", "passwd", "eve")
	signed.ends(t, time.Second)
	named.ends(t, time.Second)
	if a := d.ask(t, http.MethodGet, "/state", header("Cookie", cookie)); a.status != 401 {
		t.Errorf("the old session: %d", a.status)
	}
	if a := d.ask(t, http.MethodGet, "/state", basic("eve", viewerPassword)); a.status != 401 {
		t.Errorf("the old password: %d", a.status)
	}
	if a := d.ask(t, http.MethodGet, "/state", basic("eve", "battery stable")); a.status != 200 {
		t.Errorf("the new password: %d", a.status)
	}
	other.next(t)
	d.commands(t, "", "accounts", "remove", "eve")
	soon(t, time.Second, "the account is gone", func() bool {
		return d.ask(t, http.MethodGet, "/state", basic("eve", "battery stable")).status == 401
	})
}

func TestSystemTokensAndLinksEndWhatTheyLetIn(t *testing.T) {
	d := claimed(t)
	token := d.commands(t, "", "token", "create", "printer")
	soon(t, time.Second, "the token works", func() bool { return d.ask(t, http.MethodGet, "/state", bearer(token)).status == 200 })
	s := d.watchAs(t, bearer(token))
	s.next(t)
	var list []auth.TokenInfo
	if err := json.Unmarshal([]byte(d.commands(t, "", "token", "list", "--json")), &list); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	d.commands(t, "", "token", "revoke", list[0].ID)
	s.ends(t, time.Second)
	if a := d.ask(t, http.MethodGet, "/state", bearer(token)); a.status != 401 {
		t.Errorf("revoked token: %d", a.status)
	}

	link := d.commands(t, "", "link", "/video", "--life", "1h")
	s = d.watchAt(t, plainClient(), d.url+link)
	s.next(t)
	for path, want := range map[string]int{strings.Replace(link, "/video", "/snapshot", 1): 401, strings.Replace(link, "/video", "/state", 1): 401, link + "x": 401} {
		if a := d.ask(t, http.MethodGet, path); a.status != want {
			t.Errorf("%.20s…: %d", path, a.status)
		}
	}
	d.commands(t, "", "link", "--revoke-all")
	s.ends(t, time.Second)
	if a := d.ask(t, http.MethodGet, link); a.status != 401 {
		t.Errorf("ended link: %d", a.status)
	}
}

func TestSystemUsersOfThisComputerNeedNoPassword(t *testing.T) {
	d := begin(t, "-s", "test:320x240")
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 200 {
		t.Errorf("loopback: %d", a.status)
	}
	for name, value := range map[string]string{"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=10.0.0.1", "X-Real-IP": "10.0.0.1", "Via": "1.1 proxy"} {
		if a := d.ask(t, http.MethodGet, "/state", header(name, value)); a.status != 403 || a.code() != string(auth.CodeUnclaimed) {
			t.Errorf("%s: through a proxy: %d %s", name, a.status, a.body)
		}
	}
	if a := d.ask(t, http.MethodGet, "/state", func(r *http.Request) { r.Host = "evil.example" }); a.status != 421 {
		t.Errorf("another name: %d", a.status)
	}
	if a := d.ask(t, http.MethodPost, "/api/v1/claim", asJSONBody(`{"password": "`+adminPassword+`"}`)); a.status != 200 {
		t.Errorf("claim: %d %s", a.status, a.body)
	}
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 200 {
		t.Errorf("after the claim: %d", a.status)
	}
}

func TestSystemForwardedFieldsAreBelievedFromTrustedProxiesOnly(t *testing.T) {
	wrong := basic("admin", "wrong horse")
	forged := header("X-Forwarded-For", "203.0.113.9")
	d := claimed(t)
	d.ask(t, http.MethodGet, "/state", wrong, forged)
	soon(t, time.Second, "the log names the address", func() bool { return strings.Contains(d.log.String(), "address=127.0.0.1") })
	if log := d.log.String(); strings.Contains(log, "203.0.113.9") {
		t.Errorf("a forged address was believed:\n%s", log)
	}
	file := write(t, "webgear.yaml", "access: {trusted_proxies: [127.0.0.1], hosts: [camera.example.org]}\n")
	d = begin(t, "-s", "test:320x240", "--config", file)
	d.commands(t, adminPassword+"\n", "claim")
	soon(t, time.Second, "the password is in force", func() bool { return d.ask(t, http.MethodGet, "/state", basic("admin", adminPassword)).status == 200 })
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 401 {
		t.Errorf("a proxy that says nothing: %d", a.status)
	}
	d.ask(t, http.MethodGet, "/state", wrong, forged)
	soon(t, time.Second, "the proxy is believed", func() bool { return strings.Contains(d.log.String(), "address=203.0.113.9") })
	for host, want := range map[string]int{"camera.example.org": 200, "evil.example.org": 421} {
		a := d.ask(t, http.MethodGet, "/state", basic("admin", adminPassword), forged, header("X-Forwarded-Proto", "https"), func(r *http.Request) { r.Host = host })
		if a.status != want {
			t.Errorf("%s: %d", host, a.status)
		}
	}
}

func TestSystemOpenModeLetsEverybodyInAndWarns(t *testing.T) {
	d := beginAt(t, place{addr: everybody}, "-s", "test:320x240", "--access", "open")
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	if log := d.log.String(); strings.Count(log, "everybody who can reach this computer may look") != 1 {
		t.Errorf("the log does not warn once:\n%s", log)
	}
}

func TestSystemUnixSocketsAreLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "webgear.sock")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	// The number of the process is known to itself only.
	cmd := command(context.Background(), home, "run", "-s", "test:320x240")
	cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$@"`, "sh"}, cmd.Args...)
	cmd.Path = "/bin/sh"
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=webgear.socket")
	cmd.ExtraFiles = []*os.File{f}
	d := &daemon{home: home, log: newLockedBuffer(), cmd: cmd, done: make(chan struct{}), url: "http://localhost"}
	cmd.Stderr = d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	go func() { defer close(d.done); _ = cmd.Wait() }()
	t.Cleanup(func() { d.end(t, syscall.SIGTERM); _ = ln.Close() })
	client := plainClient()
	client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	for _, tt := range []struct {
		edits []tweak
		want  int
	}{{nil, 200}, {[]tweak{header("X-Forwarded-For", "10.0.0.1")}, 403}} {
		resp := d.open(t.Context(), t, client, http.MethodGet, "http://localhost/state", tt.edits...)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%d, want %d:\n%s", resp.StatusCode, tt.want, d.log)
		}
	}
	d.watchAt(t, client, "http://localhost/video").next(t)
}

func TestSystemAccountsOfTheSettingsFile(t *testing.T) {
	home := t.TempDir()
	hash := (&daemon{home: home}).commandsPlain(t, adminPassword+"\n", "hash-password")
	file := write(t, "webgear.yaml", "access:\n  accounts:\n    - name: admin\n      role: admin\n      hash: '"+hash+"'\n")
	d := beginAt(t, place{home: home, addr: everybody}, "-s", "test:320x240", "--config", file)
	if a := d.ask(t, http.MethodGet, "/state", basic("admin", adminPassword)); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 401 {
		t.Errorf("nobody: %d", a.status)
	}
	bad := write(t, "bad.yaml", "access:\n  accounts:\n    - name: admin\n      role: admin\n      hash: hush-hush\n")
	code, out := fails(t, "run", "--config", bad, "-s", "test")
	if code != exitConfig || strings.Count(out, "\n") != 1 || !strings.Contains(out, bad+" line 5: access.accounts[0].hash: is no argon2id hash") || strings.Contains(out, "hush-hush") {
		t.Errorf("code %d: %s", code, out)
	}
}

// commandsPlain runs a command that knows no data directory.
func (d *daemon) commandsPlain(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := command(t.Context(), d.home, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("webgear %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func TestSystemSecretsAppearNowhere(t *testing.T) {
	const sourcePassword = "sourcesecret99"
	socket := filepath.Join(t.TempDir(), "control.sock")
	d := claimed(t, "-s", "rtsp://me:"+sourcePassword+"@127.0.0.1:9/x?token="+sourcePassword, "--log-level", "debug", "--control-socket", socket)
	token := d.commands(t, "", "token", "create", "printer")
	link := d.commands(t, "", "link", "/snapshot")
	_, signature, _ := strings.Cut(link, "sig=")
	soon(t, time.Second, "the token works", func() bool { return d.ask(t, http.MethodGet, "/state", bearer(token)).status == 200 })
	signIn := d.ask(t, http.MethodPost, "/api/v1/sign-in", asJSONBody(`{"password": "`+adminPassword+`"}`))
	cookie, _, _ := strings.Cut(signIn.header.Get("Set-Cookie"), ";")
	_, session, _ := strings.Cut(cookie, "=")
	typo := "correct horze typo"
	d.ask(t, http.MethodGet, "/state", basic("admin", typo))
	d.ask(t, http.MethodGet, "/state", basic(typo, typo))
	d.ask(t, http.MethodGet, link)
	d.ask(t, http.MethodGet, "/nothing?sig="+signature+"&password="+typo, header("Cookie", cookie))
	d.ask(t, http.MethodGet, "/state", bearer(token+"x"))

	secrets := map[string]string{
		"password": adminPassword, "viewer's password": viewerPassword, "mistyped password": typo, "token": token, "signature": signature, "session": session,
		"source": sourcePassword,
	}
	var stored struct {
		SessionKey string `json:"session_key"`
		LinkKey    string `json:"link_key"`
		Accounts   []struct{ Hash string }
		Tokens     []struct{ SHA256 string }
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(d.home, ".webgear", accessFile))), &stored); err != nil || len(stored.Accounts) != 2 || len(stored.Tokens) != 1 {
		t.Fatalf("%v: %+v", err, stored)
	}
	secrets["session key"], secrets["link key"], secrets["token's hash"] = stored.SessionKey, stored.LinkKey, stored.Tokens[0].SHA256
	for i, a := range stored.Accounts {
		secrets[fmt.Sprintf("hash %d", i)] = a.Hash[strings.LastIndexByte(a.Hash, '$')+1:]
	}

	admin := basic("admin", adminPassword)
	config := write(t, "webgear.yaml", fmt.Sprintf("http: {listen: '%s'}\naccess:\n  accounts:\n    - {name: admin, role: admin, hash: '%s'}\ncamera: {source: 'rtsp://me:%s@127.0.0.1:9/x'}\n",
		d.addr, stored.Accounts[0].Hash, sourcePassword))
	archive := filepath.Join(t.TempDir(), "report.tar.gz")
	code, doctor := fails(t, "doctor", "--config", config, "--report", archive)
	if !strings.Contains(doctor, "wrote "+archive) {
		t.Fatalf("doctor: code %d: %s", code, doctor)
	}
	shown := map[string]string{
		"log": d.log.String(), "doctor": doctor,
		"state": string(d.ask(t, http.MethodGet, "/state", admin).body), "metrics": string(d.ask(t, http.MethodGet, "/metrics", admin).body),
		"page": string(d.ask(t, http.MethodGet, "/", admin, header("Accept", "text/html")).body), "access page": string(d.ask(t, http.MethodGet, "/access", admin, header("Accept", "text/html")).body),
		"accounts": d.commands(t, "", "accounts", "--json"), "tokens": d.commands(t, "", "token", "list", "--json"),
	}
	for name, text := range untar(t, archive) {
		shown["report "+name] = text
	}
	for where, text := range shown {
		if text == "" && where != "report journal.txt" {
			t.Errorf("%s is empty", where)
		}
		for what, secret := range secrets {
			if len(secret) < 8 {
				t.Fatalf("no %s", what)
			}
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the %s", where, what)
			}
		}
	}
}
