package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/firstboot"
)

// maxPreset bounds the file of the setup, in bytes; two hashes have some 200.
const maxPreset = 64 << 10

// presets are the accounts that stand elsewhere than in the access file: in the
// settings, and in what the setup file of the card left in dir. Those of the
// settings win. With an error they are those of the settings.
func presets(c config.Config, dir string) ([]auth.Account, error) {
	all := c.Access.Presets()
	if dir == "" {
		return all, nil
	}
	path := filepath.Join(dir, firstboot.Preset)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return all, nil
	case err == nil && (!info.Mode().IsRegular() || info.Size() > maxPreset):
		err = errors.New("is not a small file")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return all, fmt.Errorf("passwords of the setup file, %s: %w", path, rootCause(err))
	}
	hashes := map[string]string{}
	if json.Unmarshal(data, &hashes) != nil {
		return all, fmt.Errorf("passwords of the setup file, %s: not what webgear wrote", path)
	}
	more := all
	for _, name := range slices.Sorted(maps.Keys(hashes)) { // an account for each role, called like it
		role, err := auth.ParseRole(name)
		if err == nil {
			err = auth.CheckHash(hashes[name])
		}
		if err != nil {
			return all, fmt.Errorf("passwords of the setup file, %s: %.16q: %w", path, name, err)
		}
		if !slices.ContainsFunc(all, func(a auth.Account) bool { return a.Name == name }) {
			more = append(more, auth.Account{Name: name, Role: role, Hash: hashes[name]})
		}
	}
	return more, nil
}

// openGuard makes who decides about requests. Files that cannot be read keep
// nobody from seeing the camera on this computer: they are logged, and lock
// everybody else out.
func openGuard(ctx context.Context, c config.Config, dir string, log *slog.Logger) (*auth.Guard, error) {
	log = log.With("component", "access")
	all, err := presets(c, dir)
	if err != nil {
		log.Error("nobody can sign in with the passwords of the setup file", "err", err, "remedy", "write the password into "+firstboot.SetupFile+" again, or delete this file")
		if all, err = locked(all); err != nil {
			return nil, err
		}
	}
	path := ""
	if dir != "" {
		path = filepath.Join(dir, accessFile)
	}
	store, err := auth.OpenStore(auth.StoreOptions{Path: path, Preset: all, System: accessSystem(), Logger: log})
	if err != nil {
		return nil, err
	}
	if len(all) > 0 && store.Err() == nil {
		if err := store.Keep(ctx); err != nil {
			log.Warn("everybody has to sign in again after a restart", "err", err)
		}
	}
	mode, _ := auth.ParseMode(c.Access.Mode) // Validate has checked it
	return auth.New(auth.Options{
		Store: store, Mode: mode, Hostname: hostname(), Hosts: c.Access.Hosts, Origins: c.Access.Origins, FrameAncestors: c.Access.FrameAncestors,
		TrustedProxies: c.Access.Proxies(), ClaimFrom: c.Access.Claimants(), Logger: log,
	})
}

// locked sees to it that a computer whose password cannot be read is not taken
// for one that never had one: it adds an administrator whose password nobody
// knows.
func locked(all []auth.Account) ([]auth.Account, error) {
	if slices.ContainsFunc(all, func(a auth.Account) bool { return a.Role == auth.Admin || a.Name == auth.DefaultAccount }) {
		return all, nil
	}
	hash, err := auth.Hash(rand.Text())
	if err != nil {
		return all, err
	}
	return append(all, auth.Account{Name: auth.DefaultAccount, Role: auth.Admin, Hash: hash}), nil
}

// warnOfAccess says once what a person should know who lets others in.
func warnOfAccess(c config.Config, g *auth.Guard, ln net.Listener, log *slog.Logger) {
	if trustOf(ln) == auth.Local {
		return
	}
	mode, _ := auth.ParseMode(c.Access.Mode) // Validate has checked it
	switch {
	case mode == auth.Open:
		log.Warn("everybody who can reach this computer may look and change settings", "listen", ln.Addr().String(), "remedy", "access.mode: password")
	case g.Store().Err() == nil && !g.Store().Claimed():
		log.Warn("no password is set yet, so nobody sees the picture", "remedy", "open the page from the local network within 10 minutes after power-on, or run webgear claim (sudo, for the service)")
	}
}
