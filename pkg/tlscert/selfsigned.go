package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// lifetime of a certificate: the most that Apple's systems accept, support
	// document 103769, where others accept more.
	lifetime = 825 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced. Chosen: a
	// computer that is switched on once a month does so in time.
	renewBefore = 60 * 24 * time.Hour
	// oldest is the year this was written in: clocks that say less are wrong, as
	// those of computers without a battery are when they start.
	oldest = 2026
)

// Names are what a certificate is for.
type Names struct {
	// Hostname is this computer's; its name below .local is added.
	Hostname string
	// More are further names.
	More []string
	// Addresses are those of this computer. They change, so a missing one does
	// not make a certificate void.
	Addresses []netip.Addr
}

// all gives the DNS names.
func (n *Names) all() (names []string) {
	host, _, _ := strings.Cut(strings.ToLower(n.Hostname), ".")
	if host != "" {
		names = append(names, host, host+".local")
	}
	names = append(names, "localhost")
	for _, m := range n.More {
		names = append(names, strings.ToLower(strings.TrimSuffix(m, ".")))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// EnsureSelfSigned makes a self-signed certificate in one file with its key, of
// mode 0600, unless there is one that is valid long enough and has all names.
// One that somebody else made, or that cannot be read, is never replaced. made
// says whether there is a new one, which browsers have to be told to trust.
func EnsureSelfSigned(path string, names Names) (made bool, err error) {
	now := time.Now()
	if floor := time.Date(oldest, 1, 1, 0, 0, 0, 0, time.UTC); now.Before(floor) {
		now = floor
	}
	cert, err := tls.LoadX509KeyPair(path, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("certificate %s: %w", path, err)
	default:
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			return false, fmt.Errorf("certificate %s: %w", path, err)
		}
		if !slices.Equal(leaf.Subject.Organization, organization()) || now.Add(renewBefore).Before(leaf.NotAfter) && hasAll(leaf.DNSNames, names.all()) {
			return false, nil
		}
	}
	data, err := selfSigned(names, now)
	if err != nil {
		return false, fmt.Errorf("certificate %s: %w", path, err)
	}
	if err := write(path, data); err != nil {
		return false, fmt.Errorf("certificate %s: %w", path, err)
	}
	return true, nil
}

// organization marks certificates that were made here.
func organization() []string { return []string{"webgear self-signed"} }

func hasAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

// selfSigned makes a key and a certificate, as PEM.
func selfSigned(names Names, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	all := names.all()
	common := "localhost"
	if i := slices.IndexFunc(all, func(n string) bool { return strings.HasSuffix(n, ".local") }); i >= 0 {
		common = all[i]
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: common, Organization: organization()},
		// A day of grace for clocks that are behind ours.
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(lifetime - 25*time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              all,
	}
	for _, a := range append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, names.Addresses...) {
		template.IPAddresses = append(template.IPAddresses, a.Unmap().WithZone("").AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

// write puts a file in its place when all of it is on the disk.
func write(path string, data []byte) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a folder that was read
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	temp := "." + filepath.Base(path) + "-" + hex.EncodeToString(b[:]) + ".tmp"
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, filepath.Base(path))
	}
	if err != nil {
		_ = root.Remove(temp) // err says more
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
