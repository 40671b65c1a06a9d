// Package tlscert holds the certificate of the HTTPS listener: it reads it from
// files, reads them again when they change, and makes a self-signed one where
// nobody has a better. It does not listen; [Source.Config] is for whoever does.
//
// It starts no goroutine. All methods may be called from any goroutine.
package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lookInterval is how often the files are looked at, at most. Chosen: programs
// that renew certificates do not wait for us.
const lookInterval = time.Second

// Options say where the certificate is.
type Options struct {
	// CertFile holds the certificate and those that lead to its root, KeyFile its
	// key, both as PEM. They may be one file.
	CertFile, KeyFile string
	// Logger receives events; nil discards them.
	Logger *slog.Logger
}

// Source gives the certificate as it is in the files now.
type Source struct {
	opts Options

	mu       sync.Mutex
	cert     *tls.Certificate // guarded by mu
	seen     [2]fs.FileInfo   // guarded by mu; the files as they were read
	looked   time.Time        // guarded by mu
	reported string           // guarded by mu; the trouble that was logged
}

// Open reads the files, which have to be right the first time.
func Open(o Options) (*Source, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{opts: o, looked: time.Now()}
	var err error
	if s.seen, err = s.look(); err != nil {
		return nil, err
	}
	if s.cert, err = s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Config gives the settings of a listener: TLS 1.2 and later, with the ciphers
// that the Go project holds to be safe, and HTTP/1.1.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // multipart streams have no use for HTTP/2
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Certificate(), nil },
	}
}

// Certificate gives the newest certificate that could be read. Files that become
// unreadable, or do not fit each other for a moment, leave the one before.
func (s *Source) Certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.looked) >= lookInterval {
		s.looked = now
		s.refreshLocked()
	}
	return s.cert
}

// refreshLocked reads the files if they changed.
func (s *Source) refreshLocked() {
	seen, err := s.look()
	if err == nil {
		if same(seen[0], s.seen[0]) && same(seen[1], s.seen[1]) {
			return
		}
		var cert *tls.Certificate
		if cert, err = s.load(); err == nil {
			// Only a pair that was read counts as seen: one file of it may change
			// a moment after the other, within the same tick of the file's clock.
			s.cert, s.seen, s.reported = cert, seen, ""
			s.opts.Logger.Info("certificate read again", "path", s.opts.CertFile, "valid_until", cert.Leaf.NotAfter)
			return
		}
	}
	if s.reported != err.Error() {
		s.reported = err.Error()
		s.opts.Logger.Error("new certificate cannot be used, the one before stays", "path", s.opts.CertFile, "err", err)
	}
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// look describes the files.
func (s *Source) look() (seen [2]fs.FileInfo, err error) {
	for i, path := range []string{s.opts.CertFile, s.opts.KeyFile} {
		if seen[i], err = os.Stat(path); err != nil {
			return seen, fmt.Errorf("certificate: %w", err)
		}
		if !seen[i].Mode().IsRegular() {
			return seen, fmt.Errorf("certificate %s: is no regular file", path)
		}
	}
	return seen, nil
}

// load reads the files.
func (s *Source) load() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", s.opts.CertFile, s.opts.KeyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", s.opts.CertFile, err)
		}
	}
	return &cert, nil
}

// Location is where a request over HTTP is sent for HTTPS on a port: the same
// host and path. It fails for hosts that no browser sends. Whether the host is
// ours has to be checked before.
func Location(host string, port int, uri string) (string, error) {
	if port < 1 || port > 65535 {
		return "", errors.New("port must be 1 to 65535")
	}
	if !strings.HasPrefix(uri, "/") || strings.HasPrefix(uri, "//") || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		uri = "/"
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:", r)
	}
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return "", errors.New("host is no name or address")
	}
	if strings.Contains(name, ":") && net.ParseIP(name) == nil {
		return "", errors.New("host is no name or address")
	}
	switch {
	case port != 443:
		name = net.JoinHostPort(name, strconv.Itoa(port))
	case strings.Contains(name, ":"):
		name = "[" + name + "]"
	}
	return "https://" + name + uri, nil
}
