package tlscert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ensure(t *testing.T, path string, names Names) bool {
	t.Helper()
	made, err := EnsureSelfSigned(path, names)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestSelfSignedHasTheNamesAndIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.pem")
	names := Names{Hostname: "Attic.lan", More: []string{"Cam.Example.Org."}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.50"), netip.MustParseAddr("fe80::1%eth0")}}
	if !ensure(t, path, names) {
		t.Fatal("not made")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	s, err := Open(Options{CertFile: path, KeyFile: path})
	if err != nil {
		t.Fatal(err)
	}
	leaf := s.Certificate().Leaf
	for _, host := range []string{"attic", "attic.local", "localhost", "cam.example.org", "192.168.1.50", "[fe80::1]", "127.0.0.1", "[::1]"} {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Params().BitSize != 256 {
		t.Errorf("%T", leaf.PublicKey)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > lifetime || life < lifetime-48*time.Hour || time.Now().Before(leaf.NotBefore) {
		t.Errorf("valid for %s", life)
	}
	if ensure(t, path, names) || ensure(t, path, Names{Hostname: "attic"}) {
		t.Error("made again without a reason")
	}
	if !ensure(t, path, Names{Hostname: "cellar"}) {
		t.Error("the name changed, the certificate did not")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

func TestSelfSignedNeverReplacesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.pem")
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if made, err := EnsureSelfSigned(path, Names{}); err == nil || made {
		t.Error(made, err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "something else" {
		t.Error(string(data), err)
	}
	if made, err := EnsureSelfSigned(filepath.Join(path, "x"), Names{}); err == nil || made {
		t.Error(made, err)
	}
}

func TestSelfSignedIsRenewedInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.pem")
	data, err := selfSigned(Names{}, time.Now().Add(renewBefore-lifetime))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if !ensure(t, path, Names{}) {
		t.Error("not renewed")
	}
}

func TestNewFilesAreUsedAndBadOnesAreNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.pem")
	ensure(t, path, Names{Hostname: "one"})
	var log bytes.Buffer
	s, err := Open(Options{CertFile: path, KeyFile: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	later := func() string {
		s.mu.Lock()
		s.looked = time.Now().Add(-lookInterval)
		s.mu.Unlock()
		return s.Certificate().Leaf.Subject.CommonName
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := later(); got != "one.local" {
			t.Error(got)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d log records: %s", n, log.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := later(); got != "one.local" {
		t.Error(got)
	}
	ensure(t, path, Names{Hostname: "two"})
	if got := later(); got != "two.local" {
		t.Error(got)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the key is in the log")
	}
	if _, err := Open(Options{CertFile: path + "x", KeyFile: path}); err == nil {
		t.Error("a file that is not there")
	}
}

func TestListenersSpeakModernTLS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.pem")
	ensure(t, path, Names{Hostname: "attic"})
	s, err := Open(Options{CertFile: path, KeyFile: path})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate().Leaf)
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			c := tls.Server(far, s.Config())
			_ = c.Handshake() // the client says
			_ = c.Close()
		}()
		c := tls.Client(near, &tls.Config{ServerName: "attic.local", RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err := c.Handshake(); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		_, _ = io.Copy(io.Discard, c)
		_ = near.Close()
		<-done
	}
}

func TestRedirectKeepsHostAndPath(t *testing.T) {
	for _, tt := range []struct {
		host string
		port int
		uri  string
		want string
	}{
		{"attic.local:8000", 443, "/video?a=b", "https://attic.local/video?a=b"},
		{"attic.local", 8443, "/", "https://attic.local:8443/"},
		{"192.168.1.50:8000", 8443, "/", "https://192.168.1.50:8443/"},
		{"[fe80::1]:8000", 8443, "/", "https://[fe80::1]:8443/"},
		{"[fe80::1]", 443, "/", "https://[fe80::1]/"},
		{"attic", 443, "//evil.example", "https://attic/"},
		{"attic", 443, "/\\evil.example", "https://attic/"},
		{"attic", 443, "/a\r\nX: y", "https://attic/"},
		{"attic", 443, "http://evil.example/", "https://attic/"},
		{"", 443, "/", ""},
		{"a/b", 443, "/", ""},
		{"x@evil.example", 443, "/", ""},
		{"attic\r\n", 443, "/", ""},
		{"attic", 0, "/", ""},
		{"a:b:c", 443, "/", ""},
	} {
		got, err := Location(tt.host, tt.port, tt.uri)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q %d %q: got %q, %v", tt.host, tt.port, tt.uri, got, err)
		}
	}
}
