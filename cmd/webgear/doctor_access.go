package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
)

// stateDir is where the service keeps passwords and its certificate.
func (d *doctor) stateDir() string { return filepath.Join(d.w.root, serviceState) }

// reachable says whether others can reach what listens on an address.
func reachable(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// passwords looks at who may look.
func (d *doctor) passwords() {
	const about = "password"
	network := reachable(d.config.HTTP.Listen) || d.config.HTTP.TLS != config.TLSOff && reachable(d.config.HTTP.TLSListen)
	if mode, _ := auth.ParseMode(d.config.Access.Mode); mode == auth.Open && network {
		d.say(about, note, "everybody who can reach this computer may look and change settings", "set access.mode: password in "+d.path+", then sudo systemctl restart webgear")
	}
	path := filepath.Join(d.stateDir(), accessFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.say(about, note, path+" cannot be seen by this user", "use sudo webgear doctor to see everything")
		return
	case err == nil && info.Mode().Perm()&0o077 != 0:
		d.say(about, problem, fmt.Sprintf("%s can be read by other users (mode %04o)", path, info.Mode().Perm()), "sudo chmod 600 "+path)
	case err == nil && !d.ownedAsFolder(info):
		d.say(about, problem, path+" does not belong to whom its folder belongs, so the service cannot read it", "sudo chown --reference="+d.stateDir()+" "+path)
	}
	all, err := presets(d.config, d.stateDir())
	if err != nil {
		d.say(about, problem, err.Error(), "write the passwords into the setup file again, or delete what is named; then sudo systemctl restart webgear")
		return
	}
	store, err := auth.OpenStore(auth.StoreOptions{Path: path, Preset: all, System: accessSystem(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = store.Err()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.say(about, note, path+" cannot be read by this user", "use sudo webgear doctor to see everything")
	case err != nil:
		d.say(about, problem, "nobody can sign in: "+err.Error(), "restore the file, or delete it and use sudo webgear claim; then sudo systemctl restart webgear")
	case store.Claimed():
		accounts, _ := store.Accounts() // Err was nil
		d.say(about, good, fmt.Sprintf("is set, %d accounts", len(accounts)), "")
	case network:
		d.unclaimed(store)
	}
}

// ownedAsFolder says whether a file of the service is its own.
func (d *doctor) ownedAsFolder(file fs.FileInfo) bool {
	folder, err := os.Stat(d.stateDir())
	if err != nil {
		return true // that is said elsewhere
	}
	a, ok := file.Sys().(*syscall.Stat_t)
	b, ok2 := folder.Sys().(*syscall.Stat_t)
	return !ok || !ok2 || a.Uid == b.Uid
}

// neighbour stands for somebody in the local network.
const neighbour = "192.168.0.1:1024"

// unclaimed says how the first password can be set.
func (d *doctor) unclaimed(store *auth.Store) {
	const remedy = "sudo webgear claim"
	text := "is not set, so nobody sees a picture over the network"
	guard, err := auth.New(auth.Options{Store: store})
	if err != nil {
		d.say("password", problem, text, remedy)
		return
	}
	state := guard.ClaimState(&auth.Request{Method: http.MethodGet, Path: auth.PathClaim, Peer: netip.MustParseAddrPort(neighbour), Need: auth.Need{Unclaimed: true}})
	if state.Refusal != auth.CodeNone {
		d.say("password", problem, text+"; the 10 minutes after power-on to set it in the browser are over", remedy)
		return
	}
	d.say("password", problem, fmt.Sprintf("%s; for %s it can be set in the browser", text, state.Left.Round(time.Second)), "open the page from the local network, or use "+remedy)
}

// expiresSoon is how long before its end a certificate is worth a note: programs
// that renew do so 30 days before.
const expiresSoon = 14 * 24 * time.Hour

// certificate looks at that of HTTPS.
func (d *doctor) certificate() {
	const about = "https"
	cert, key := d.config.HTTP.Certificate, d.config.HTTP.Key
	remedy := "correct http.certificate and http.key in " + d.path
	switch d.config.HTTP.TLS {
	case config.TLSOff:
		return
	case config.TLSSelfSigned:
		cert = filepath.Join(d.stateDir(), selfSignedFile)
		key, remedy = cert, "delete it, then sudo systemctl restart webgear makes another one"
		if _, err := os.Stat(cert); errors.Is(err, fs.ErrNotExist) {
			d.say(about, note, "there is no certificate yet: the service makes one when it starts", "")
			return
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	var leaf *x509.Certificate
	if err == nil {
		leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.say(about, note, cert+" or its key cannot be read by this user", "use sudo webgear doctor to see everything")
		return
	case err != nil:
		d.say(about, problem, fmt.Sprintf("certificate %s: %s", cert, strings.TrimPrefix(err.Error(), "tls: ")), remedy)
		return
	}
	until := leaf.NotAfter.Format(time.DateOnly)
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		d.say(about, problem, "certificate "+cert+" was valid until "+until, remedy)
	case left < expiresSoon:
		d.say(about, note, "certificate "+cert+" is valid until "+until+" only", "renew it; webgear reads it again by itself")
	default:
		d.say(about, good, "certificate "+cert+" is valid until "+until, "")
	}
}
