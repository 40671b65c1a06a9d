package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/firstboot"
)

// hashOf makes the hash of a password.
func hashOf(t *testing.T, password string) string {
	t.Helper()
	h, err := auth.Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func names(all []auth.Account) string {
	var list []string
	for _, a := range all {
		list = append(list, a.Name+":"+a.Role.String())
	}
	return strings.Join(list, " ")
}

func TestPasswordsOfTheSetupFileAreAccountsUnlessTheSettingsHaveThem(t *testing.T) {
	hash := hashOf(t, "correct horse")
	c := config.Default()
	c.Access.Accounts = []config.Account{{Name: "viewer", Role: "viewer", Hash: hash}}
	for _, tt := range []struct{ name, file, want, problem string }{
		{"none", "", "viewer:viewer", ""},
		{"both", `{"admin": "` + hash + `", "viewer": "` + hash + `"}`, "viewer:viewer admin:admin", ""},
		{"empty", `{}`, "viewer:viewer", ""},
		{"broken", `{"admin": "hush`, "viewer:viewer", "not what webgear wrote"},
		{"no hash", `{"admin": "hush"}`, "viewer:viewer", "is no argon2id hash"},
		{"no role", `{"boss": "` + hash + `"}`, "viewer:viewer", `"boss": a role is viewer or admin`},
		{"large", strings.Repeat(" ", maxPreset+1), "viewer:viewer", "is not a small file"},
	} {
		dir := t.TempDir()
		if tt.file != "" {
			if err := os.WriteFile(filepath.Join(dir, firstboot.Preset), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all, err := presets(c, dir)
		if got := names(all); got != tt.want || (err == nil) != (tt.problem == "") || err != nil && (!strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: got %s, %v", tt.name, got, err)
		}
	}
}

// fromNeighbour is a request from the local network.
func fromNeighbour(path string, need auth.Need) *auth.Request {
	return &auth.Request{Method: "GET", Path: path, Host: "10.0.0.9:8000", Peer: netip.MustParseAddrPort("10.0.0.1:5000"), Need: need}
}

func TestPasswordsThatCannotBeReadLockOthersOutAndStartNevertheless(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"access file": {accessFile: "{"},
		"setup file":  {firstboot.Preset: "{"},
		"both":        {accessFile: "{", firstboot.Preset: "{"},
		"folder":      {accessFile + "/x": ""},
	} {
		dir := t.TempDir()
		for file, text := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		g, err := openGuard(t.Context(), config.Default(), dir, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !g.Store().Claimed() {
			t.Errorf("%s: whoever comes first could set a password", name)
		}
		if d := g.Check(context.Background(), fromNeighbour("/video", auth.Need{Role: auth.Viewer})); d.Allowed() {
			t.Errorf("%s: let in", name)
		}
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%s: the log says nothing:\n%s", name, &log)
		}
	}
}

func TestGuardKnowsTheSettings(t *testing.T) {
	c := config.Default()
	c.Access.Hosts = []string{"camera.example.org"}
	c.Access.Accounts = []config.Account{{Name: "admin", Role: "admin", Hash: hashOf(t, "correct horse")}}
	dir := t.TempDir()
	g, err := openGuard(t.Context(), c, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, accessFile)); err != nil {
		t.Error("the keys of sessions were not kept")
	}
	for host, known := range map[string]bool{"camera.example.org": true, "other.example.org": false, hostname() + ".local:8000": true, "192.168.1.5": true} {
		r := fromNeighbour("/sign-in", auth.Need{})
		r.Host = host
		if d := g.Check(t.Context(), r); d.Allowed() != known {
			t.Errorf("%s: %d %s", host, d.Status, d.Code)
		}
	}
	c.Access.Mode = "open"
	if g, err = openGuard(t.Context(), c, "", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if d := g.Check(t.Context(), fromNeighbour("/video", auth.Need{Role: auth.Admin})); !d.Allowed() {
		t.Errorf("open: %d", d.Status)
	}
}
