package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/tlscert"
)

// selfSignedFile holds the certificate that was made here, with its key.
const selfSignedFile = "self-signed.pem"

// renewEvery is how often a certificate that was made here is looked at. It is
// replaced 60 days before its end.
const renewEvery = 12 * time.Hour

// certificate is that of HTTPS.
type certificate struct {
	*tlscert.Source
	// path is the file; made says that it was made here, for names.
	path  string
	made  bool
	names tlscert.Names
	log   *slog.Logger
}

// openCertificate opens the certificate that the settings name, or makes one. It
// is nil without HTTPS.
func openCertificate(c config.Config, dir string, log *slog.Logger) (*certificate, error) {
	log = log.With("component", "https")
	o := tlscert.Options{CertFile: c.HTTP.Certificate, KeyFile: c.HTTP.Key, Logger: log}
	k := &certificate{path: o.CertFile, log: log}
	switch c.HTTP.TLS {
	case config.TLSOff:
		return nil, nil //nolint:nilnil // no HTTPS is no error
	case config.TLSSelfSigned:
		k.made, k.names = true, tlscert.Names{Hostname: hostname(), More: c.Access.Hosts, Addresses: ownAddresses()}
		var err error
		if k.path, err = makeCertificate(k.names, dir, log); err != nil {
			return nil, err
		}
		o.CertFile, o.KeyFile = k.path, k.path
	}
	var err error
	if k.Source, err = tlscert.Open(o); err != nil {
		return nil, err
	}
	return k, nil
}

// makeCertificate makes sure that there is a certificate, and says where. On a
// disk that cannot be written to it lasts until the computer restarts.
func makeCertificate(names tlscert.Names, dir string, log *slog.Logger) (path string, err error) {
	for _, d := range []string{dir, os.Getenv("RUNTIME_DIRECTORY")} {
		if d == "" {
			continue
		}
		path = filepath.Join(d, selfSignedFile)
		made := false
		if err = makeStateDir(d); err == nil {
			made, err = tlscert.EnsureSelfSigned(path, names)
		}
		switch {
		case err == nil && made:
			log.Info("self-signed certificate made, browsers have to be told to trust it", "path", path)
			return path, nil
		case err == nil:
			return path, nil
		}
		log.Warn("certificate cannot be kept here", "path", path, "err", err)
	}
	if err == nil {
		err = fmt.Errorf("no place for a certificate is known: use --data-dir")
	}
	return "", err
}

// renew replaces a certificate that was made here when it comes to its end, until
// ctx ends.
func (k *certificate) renew(ctx context.Context) {
	t := time.NewTicker(renewEvery)
	defer t.Stop()
	for k.made {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := tlscert.EnsureSelfSigned(k.path, k.names); err != nil {
			k.log.Error("certificate cannot be renewed", "path", k.path, "err", err)
		}
	}
}

// announce says where HTTPS is, and how to recognize the certificate.
func (k *certificate) announce(a net.Addr) {
	leaf := k.Certificate().Leaf
	sum := sha256.Sum256(leaf.Raw)
	k.log.Info("serving https", "url", "https"+url(a)[len("http"):], "certificate", k.path, "valid_until", leaf.NotAfter, "sha256", hex.EncodeToString(sum[:]))
}

// ownAddresses are those of this computer that a browser may be given.
func ownAddresses() (all []netip.Addr) {
	list, _ := net.InterfaceAddrs() // without them there are names
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			all = append(all, p.Addr())
		}
	}
	return all
}
