package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/firstboot"
)

// newDoctor looks at the service below a root of its own.
func newDoctor(t *testing.T, change func(*config.Config)) (d *doctor, state string) {
	t.Helper()
	d = &doctor{w: world{root: emptyRoot(t)}, config: config.ServiceDefault(), path: defaultSettings}
	if change != nil {
		change(&d.config)
	}
	state = filepath.Join(d.w.root, serviceState)
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return d, state
}

func putFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorLooksAtWhoMayLook(t *testing.T) {
	claim := func(state string) {
		s, err := auth.OpenStore(auth.StoreOptions{Path: filepath.Join(state, accessFile), System: accessSystem()})
		if err == nil {
			err = s.SetHash(t.Context(), "admin", auth.Admin, hashOf(t, "correct horse"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		files  func(state string)
		want   verdict
		texts  []string
	}{
		// Computers that run tests were switched on long ago, or a moment ago.
		{"unclaimed", nil, func(string) {}, problem, []string{"nobody sees a picture over the network", "sudo webgear claim"}},
		{"claimed", nil, claim, good, []string{"is set, 1 accounts"}},
		{"open", func(c *config.Config) { c.Access.Mode = "open" }, claim, note, []string{"everybody who can reach", "access.mode: password"}},
		{"others can read it", nil, func(state string) { claim(state); _ = os.Chmod(filepath.Join(state, accessFile), 0o644) }, problem, []string{"mode 0644", "chmod 600"}},
		{"broken", nil, func(state string) { putFile(t, filepath.Join(state, accessFile), "{", 0o600) }, problem, []string{"nobody can sign in", accessFile}},
		{"broken setup", nil, func(state string) { putFile(t, filepath.Join(state, firstboot.Preset), "{", 0o600) }, problem, []string{firstboot.Preset, "setup file"}},
	} {
		d, state := newDoctor(t, tt.change)
		tt.files(state)
		d.passwords()
		if !has(d.findings, tt.want, tt.texts...) {
			t.Errorf("%s: %+v", tt.name, d.findings)
		}
	}
	d, _ := newDoctor(t, func(c *config.Config) { c.HTTP.Listen = "127.0.0.1:8000" })
	d.passwords()
	if len(d.findings) != 0 {
		t.Errorf("nobody else can reach it: %+v", d.findings)
	}
}

// pemOf makes a certificate with its key that is valid for so long.
func pemOf(t *testing.T, life time.Duration, names ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(life), DNSNames: names}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func TestDoctorLooksAtTheCertificate(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       verdict
		texts      []string
	}{
		{"good", pemOf(t, 100*24*time.Hour), good, []string{"is valid until"}},
		{"soon", pemOf(t, 3*24*time.Hour), note, []string{"only", "renew"}},
		{"over", pemOf(t, -time.Hour), problem, []string{"was valid until", "http.certificate"}},
		{"broken", "hello", problem, []string{"certificate", "http.key"}},
	} {
		path := write(t, "x.pem", tt.text)
		d, _ := newDoctor(t, func(c *config.Config) { c.HTTP.TLS, c.HTTP.Certificate, c.HTTP.Key = config.TLSFiles, path, path })
		d.certificate()
		if len(d.findings) != 1 || !has(d.findings, tt.want, tt.texts...) {
			t.Errorf("%s: %+v", tt.name, d.findings)
		}
	}
	d, _ := newDoctor(t, func(c *config.Config) { c.HTTP.TLS = config.TLSSelfSigned })
	d.certificate()
	if !has(d.findings, note, "no certificate yet") {
		t.Errorf("self-signed: %+v", d.findings)
	}
	if d, _ = newDoctor(t, nil); len(d.findings) != 0 {
		t.Errorf("off: %+v", d.findings)
	}
}

func TestDoctorAsksTheControlSocket(t *testing.T) {
	root := emptyRoot(t)
	socket := filepath.Join(root, controlSocket)
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	i := launch(t, "--listen", "0.0.0.0:0", "--source", "test:320x240", "--control-socket", socket)
	_, port, _ := strings.Cut(strings.TrimPrefix(i.url, "http://"), ":")
	look := func() []finding {
		t.Helper()
		d := &doctor{w: world{root: root}, config: config.ServiceDefault()}
		d.config.HTTP.Listen, d.config.Camera.Source = ":"+port, "test"
		d.server(t.Context())
		return d.findings
	}
	if all := look(); !has(all, good, "answers on port "+port+", version") || !has(all, good, "Camera online: Test picture") {
		t.Errorf("with the socket: %+v", all)
	}
	if err := os.Rename(socket, socket+".away"); err != nil {
		t.Fatal(err)
	}
	if all := look(); len(all) != 1 || !has(all, good, "wants a password", "sudo webgear doctor") {
		t.Errorf("without the socket: %+v", all)
	}
}

func TestRedactTakesOutWhatLetsIn(t *testing.T) {
	token := "webgear_" + strings.Repeat("aB3-_", 8)
	hash := hashOf(t, "correct horse")
	session := "d2ViZ2Vhcg.c2lnbmF0dXJlc2lnbmF0dXJl"
	signature := strings.Repeat("x9_-", 11)
	for _, line := range []string{
		"hash: " + hash, "      hash: '" + hash + "'\n", `{"admin":"` + hash + `"}`, "level=INFO hash=" + hash,
		token, "Authorization: Bearer " + token, `msg="got Bearer ` + token + `"`, "https://x/?t=" + token,
		"Cookie: webgear_session=" + session + "; other=1", "Set-Cookie: __Host-webgear=" + session + "; Path=/", "cookie=" + session,
		"GET /snapshot?exp=1800000000&sig=" + signature + " HTTP/1.1", "/video?sig=" + signature + "&exp=1",
		"Authorization: Basic " + "YWRtaW46Y29ycmVjdCBob3JzZQ==", "curl -H 'authorization: basic YWRtaW46Y29ycmVjdCBob3JzZQ=='",
		"rtsp://me:YWRtaW46Y29ycmVjdCBob3JzZQ==@cam/x",
	} {
		got := redact(line)
		for _, secret := range []string{token, hash, strings.Split(hash, "$")[5], session, signature, "YWRtaW46Y29ycmVjdCBob3JzZQ=="} {
			if strings.Contains(got, secret) {
				t.Errorf("%q became %q", line, got)
			}
		}
	}
	for _, line := range []string{"msg=\"signed in\" account=admin\n", "basic things work", "the bearer of news", "cookies are fine"} {
		if got := redact(line); got != line {
			t.Errorf("%q became %q", line, got)
		}
	}
}
