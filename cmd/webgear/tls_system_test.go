//go:build system

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests look at HTTPS of the real program.

var httpsLine = regexp.MustCompile(`msg="serving https" .*url=https://\S+:(\d+)/ `)

// secureAddress waits for the line of the log that names it.
func (d *daemon) secureAddress(t *testing.T) string {
	t.Helper()
	var m []string
	soon(t, 10*time.Second, "HTTPS is served", func() bool { m = httpsLine.FindStringSubmatch(d.log.String()); return m != nil })
	return "127.0.0.1:" + m[1]
}

// certificateOf is what the program shows, whoever trusts it.
func certificateOf(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is looked at, not trusted
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0]
}

// trusting is a client that trusts one certificate.
func trusting(cert *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	c := plainClient()
	c.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return c
}

func TestSystemSelfSignedHTTPSStandsBesideHTTP(t *testing.T) {
	d := begin(t, "-s", "test:320x240", "--tls", "self-signed", "--tls-listen", "127.0.0.1:0")
	address := d.secureAddress(t)
	cert := certificateOf(t, address)
	for _, name := range []string{strings.ToLower(hostname()), strings.ToLower(hostname()) + ".local", "localhost"} {
		if !slices.Contains(cert.DNSNames, name) {
			t.Errorf("the certificate is for %v, not for %s", cert.DNSNames, name)
		}
	}
	client := trusting(cert)
	resp := d.open(t.Context(), t, client, http.MethodGet, "https://"+address+"/state")
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("HTTPS: %d", resp.StatusCode)
	}
	d.watchAt(t, client, "https://"+address+"/video").next(t)
	if a := d.ask(t, http.MethodGet, "/state"); a.status != 200 {
		t.Errorf("HTTP: %d", a.status)
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // an old client
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	path := filepath.Join(d.home, ".webgear", selfSignedFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if code, took := d.end(t, syscall.SIGTERM); code != 0 || took > 3*time.Second {
		t.Errorf("code %d after %v", code, took)
	}
	// It stays over a restart.
	d = beginAt(t, place{home: d.home}, "-s", "test:320x240", "--tls", "self-signed", "--tls-listen", "127.0.0.1:0")
	if again := certificateOf(t, d.secureAddress(t)); !again.Equal(cert) {
		t.Error("another certificate after a restart")
	}
}

func TestSystemCertificateFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "camera.pem")
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(pemOf(t, 24*time.Hour, "first.example"))
	d := begin(t, "-s", "test:320x240", "--tls", "files", "--tls-listen", "127.0.0.1:0", "--certificate", path, "--key", path)
	address := d.secureAddress(t)
	if got := certificateOf(t, address).DNSNames; !slices.Equal(got, []string{"first.example"}) {
		t.Errorf("certificate of %v", got)
	}
	client := trusting(certificateOf(t, address))
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "first.example"
	s := d.watchAt(t, client, "https://"+address+"/video")
	s.next(t)
	replace(pemOf(t, 24*time.Hour, "second.example"))
	soon(t, 3*time.Second, "the new certificate is shown", func() bool { return slices.Equal(certificateOf(t, address).DNSNames, []string{"second.example"}) })
	replace("broken")
	soon(t, 3*time.Second, "the log says that the new one is broken", func() bool {
		_ = certificateOf(t, address) // looking is what makes it look
		return strings.Contains(d.log.String(), "new certificate cannot be used, the one before stays")
	})
	if got := certificateOf(t, address).DNSNames; !slices.Equal(got, []string{"second.example"}) {
		t.Errorf("certificate of %v", got)
	}
	s.next(t) // who watches stays
}

func TestSystemCertificateThatCannotBeReadIsNamed(t *testing.T) {
	broken := write(t, "broken.pem", "hello")
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"--tls", "files"}, 2, []string{"--certificate: is needed", "--tls files", "self-signed"}},
		{[]string{"--tls", "files", "--certificate", "/nonexistent", "--key", "/nonexistent"}, 2, []string{"--certificate", "/nonexistent", "no such file"}},
		{[]string{"--tls", "files", "--certificate", broken, "--key", broken}, 2, []string{"--certificate", broken}},
		{[]string{"--config", write(t, "webgear.yaml", "http: {tls: files, certificate: "+broken+", key: "+broken+"}\n")}, 78, []string{"webgear.yaml: http.certificate", broken}},
		{[]string{"--redirect"}, 2, []string{"--redirect: there is no HTTPS"}},
		{[]string{"--tls", "on"}, 2, []string{`--tls: "on" is none of`}},
		{[]string{"--tls", "self-signed", "--tls-listen", "nowhere"}, 2, []string{"--tls-listen", "HOST:PORT"}},
		{[]string{"--tls", "self-signed", "--tls-listen", "192.0.2.1:1"}, 2, []string{"--tls-listen 192.0.2.1:1", "choose another address"}},
	} {
		code, out := fails(t, append([]string{"run", "--listen", "127.0.0.1:0", "-s", "test"}, tt.args...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		last := lines[len(lines)-1]
		if code != tt.code {
			t.Errorf("%v: code %d\n%s", tt.args, code, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(strings.ReplaceAll(last, "http.tls:", "--tls"), want) {
				t.Errorf("%v: does not say %q: %s", tt.args, want, last)
			}
		}
	}
}

func TestSystemRedirectSendsBrowsersToHTTPS(t *testing.T) {
	d := claimed(t, "--tls", "self-signed", "--tls-listen", everybody, "--redirect")
	address := d.secureAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/video?fps=5", "/nothing"} {
		if a := d.ask(t, http.MethodGet, path); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "https://127.0.0.1:"+port+path {
			t.Errorf("%s: %d to %q", path, a.status, a.header.Get("Location"))
		}
	}
	for _, tt := range []struct {
		method, path string
		edits        []tweak
		want         int
	}{
		{"GET", "/healthz", nil, 200},
		{"POST", "/api/v1/tokens", []tweak{asJSONBody("{}")}, 401},
		{"GET", "/", []tweak{func(r *http.Request) { r.Host = "evil.example" }}, 421},
	} {
		if a := d.ask(t, tt.method, tt.path, tt.edits...); a.status != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, a.status, tt.want)
		}
	}
	client := trusting(certificateOf(t, address))
	resp := d.open(t.Context(), t, client, http.MethodGet, "https://"+address+"/state", basic("admin", adminPassword))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("HTTPS: %d %v", resp.StatusCode, resp.Header)
	}
	resp = d.open(t.Context(), t, client, http.MethodPost, "https://"+address+"/api/v1/sign-in", asJSONBody(`{"password": "`+adminPassword+`"}`))
	_ = resp.Body.Close()
	if c := resp.Header.Get("Set-Cookie"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "Secure") {
		t.Errorf("cookie over HTTPS: %d %.20q…", resp.StatusCode, c)
	}
}

// TestSystemLocalAndNetworkListenersAreNotMixedUp has one side that needs no
// password, and one that does.
func TestSystemLocalAndNetworkListenersAreNotMixedUp(t *testing.T) {
	for _, tt := range []struct {
		plain, secure         string
		wantPlain, wantSecure int
	}{{"127.0.0.1:0", everybody, 200, 401}, {everybody, "127.0.0.1:0", 401, 200}} {
		home := t.TempDir()
		(&daemon{home: home}).commands(t, adminPassword+"\n", "claim")
		d := beginAt(t, place{home: home, addr: tt.plain}, "-s", "test:320x240", "--tls", "self-signed", "--tls-listen", tt.secure)
		address := d.secureAddress(t)
		if a := d.ask(t, http.MethodGet, "/state"); a.status != tt.wantPlain {
			t.Errorf("%+v: HTTP %d", tt, a.status)
		}
		client := trusting(certificateOf(t, address))
		resp := d.open(t.Context(), t, client, http.MethodGet, "https://"+address+"/state")
		_ = resp.Body.Close()
		if resp.StatusCode != tt.wantSecure {
			t.Errorf("%+v: HTTPS %d", tt, resp.StatusCode)
		}
		d.watchAt(t, client, "https://"+address+"/video", basic("admin", adminPassword)).next(t)
		d.watchAs(t, basic("admin", adminPassword)).next(t)
		d.end(t, syscall.SIGTERM)
	}
}
