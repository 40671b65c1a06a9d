package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/firstboot"
)

// putBelow writes a file below a root.
func putBelow(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	edit(t, path, text)
}

// newSystem is a root that webgear firstboot can set up.
func newSystem(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"boot/firmware", "var/lib/webgear", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	putBelow(t, root, "etc/hosts", "127.0.0.1\tlocalhost\n")
	putBelow(t, root, "etc/webgear/webgear.yaml", "camera:\n  source: auto\n")
	putBelow(t, root, "usr/share/zoneinfo/Europe/Berlin", "")
	return root
}

// firstbootIn runs the command in a root that is not the running system.
func firstbootIn(t *testing.T, root string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, errs := newLockedBuffer(), newLockedBuffer()
	code = run(t.Context(), append([]string{"firstboot"}, args...), world{root: root, home: root, stdout: out, stderr: errs})
	return code, out.String(), errs.String()
}

func TestFirstbootAppliesTheSetupFileWithAHashThatTheAccessLayerTakes(t *testing.T) {
	root := newSystem(t)
	putBelow(t, root, "boot/firmware/webgear-setup.yaml", "hostname: garten\ntimezone: Europe/Berlin\npassword: 'geheim genug 1'\nviewer_password: 'auch geheim'\n")
	code, stdout, stderr := firstbootIn(t, root)
	if code != 0 || stderr != "" || stdout != "webgear-setup.yaml: applied (host name, time zone, password)\n" {
		t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	if got := read(t, filepath.Join(root, "etc/hostname")); got != "garten\n" {
		t.Errorf("host name %q", got)
	}
	var hashes map[string]string
	if err := json.Unmarshal([]byte(read(t, filepath.Join(root, "var/lib/webgear", firstboot.Preset))), &hashes); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"admin", "viewer"} {
		if err := auth.CheckHash(hashes[role]); err != nil {
			t.Errorf("hash of %s: %v", role, err)
		}
	}
	if text := read(t, filepath.Join(root, "boot/firmware/webgear-setup.yaml")); strings.Contains(text, "geheim") {
		t.Errorf("the setup file still holds passwords:\n%s", text)
	}
	if code, stdout, stderr = firstbootIn(t, root); code != 0 || stdout+stderr != "" {
		t.Errorf("again: code %d\n%s%s", code, stdout, stderr)
	}
}

func TestFirstbootTellsMistakesAndDoesNotFail(t *testing.T) {
	root := newSystem(t)
	putBelow(t, root, "boot/firmware/webgear-setup.yaml", "hostname: teich\ncolour: blue\npassword: geheim\n")
	code, stdout, stderr := firstbootIn(t, root)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "line 2: colour") || strings.Contains(stdout, "geheim") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	if text := read(t, filepath.Join(root, "boot/firmware", firstboot.ErrorsFile)); !strings.Contains(text, "line 3: password") {
		t.Errorf("beside the file: %s", text)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/hostname")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something of it was applied: %v", err)
	}
	code, stdout, _ = firstbootIn(t, root, "--json")
	var report firstboot.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != 0 || err != nil || len(report.Problems()) != 2 {
		t.Errorf("code %d, %v:\n%s", code, err, stdout)
	}
}

func TestFirstbootFailsWithOneLine(t *testing.T) {
	root := newSystem(t)
	if err := os.Remove(filepath.Join(root, "var/lib/webgear")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitFailed, "var/lib/webgear: no such file"},
		{[]string{"--frobnicate"}, exitUsage, "webgear firstboot --help"},
		{[]string{"now"}, exitUsage, `unexpected argument "now"`},
	} {
		if code, stdout, stderr := firstbootIn(t, root, tt.args...); code != tt.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: code %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
}

func TestGroupIDLooksTheServiceUp(t *testing.T) {
	file := write(t, "group", "root:x:0:\nwebgears:x:7:\nwebgear:x:996:\nbroken\nodd:x:many:\n")
	for name, want := range map[string]int{"webgear": 996, "missing": 0, "odd": 0, "broken": 0} {
		if got := groupID(file, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if got := groupID("/nonexistent", "webgear"); got != 0 {
		t.Errorf("without the file it is %d", got)
	}
}

func TestSettingsComeIntoForceOnlyWhereSomethingRuns(t *testing.T) {
	const (
		managed = "run/systemd/system/x"
		wifi    = "sys/module/cfg80211/x"
		rfkill  = "dev/rfkill"
		link    = firstboot.SSHLink
	)
	ask := func(unit string) string { return "systemctl --quiet is-active " + unit + ".service" }
	for _, tt := range []struct {
		name   string
		change firstboot.Change
		files  []string
		active []string
		want   []string
	}{
		{"name at the start", firstboot.HostName, []string{managed}, nil, []string{ask("avahi-daemon")}},
		{
			"name later", firstboot.HostName,
			[]string{managed},
			[]string{"avahi-daemon"},
			[]string{ask("avahi-daemon"), "systemctl --no-block restart avahi-daemon.service"},
		},
		{"name without systemd", firstboot.HostName, nil, nil, nil},
		{"zone", firstboot.TimeZone, []string{managed}, nil, nil},
		{"country without Wi-Fi", firstboot.Country, []string{managed}, nil, nil},
		{"country", firstboot.Country, []string{wifi, rfkill}, nil, []string{"iw reg set DE", "rfkill unblock wifi"}},
		{"Wi-Fi at the start", firstboot.WiFi, []string{managed}, nil, []string{ask("NetworkManager")}},
		{
			"Wi-Fi later", firstboot.WiFi,
			[]string{managed},
			[]string{"NetworkManager"},
			[]string{ask("NetworkManager"), "nmcli connection reload"},
		},
		{"first key", firstboot.SSH, []string{managed, link}, nil, []string{"systemctl --no-block start ssh.service"}},
		{"no key any more", firstboot.SSH, []string{managed}, nil, []string{"systemctl --no-block stop ssh.service"}},
		{"camera at the start", firstboot.Camera, []string{managed}, nil, []string{ask("webgear")}},
		{
			"camera later", firstboot.Camera,
			[]string{managed},
			[]string{"webgear"},
			[]string{ask("webgear"), "systemctl --no-block reload webgear.service"},
		},
		{
			"password later", firstboot.Password,
			[]string{managed},
			[]string{"webgear"},
			[]string{ask("webgear"), "systemctl --no-block restart webgear.service"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			putBelow(t, root, "etc/hostname", "garten\n")
			putBelow(t, root, "proc/sys/kernel/hostname", "")
			putBelow(t, root, firstboot.RegulatoryFile, "# about it\noptions cfg80211 ieee80211_regdom=DE\n")
			for _, name := range tt.files {
				putBelow(t, root, name, "")
			}
			var ran []string
			a := &activator{root: root, run: func(_ context.Context, name string, args ...string) error {
				line := name + " " + strings.Join(args, " ")
				ran = append(ran, line)
				for _, unit := range tt.active {
					if line == ask(unit) {
						return nil
					}
				}
				if strings.Contains(line, " is-active ") {
					return errors.New("systemctl: exit status 3")
				}
				return nil
			}}
			if err := a.activate(t.Context(), tt.change); err != nil {
				t.Error(err)
			}
			if !slices.Equal(ran, tt.want) {
				t.Errorf("ran %q, want %q", ran, tt.want)
			}
			if name := read(t, filepath.Join(root, "proc/sys/kernel/hostname")); tt.change == firstboot.HostName && name != "garten" {
				t.Errorf("the kernel has the name %q", name)
			}
		})
	}
}

func TestRunProgramNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := runProgram(t.Context(), "nmcli", "connection", "reload"); err == nil || !strings.Contains(err.Error(), "apt install network-manager") {
		t.Errorf("got %v", err)
	}
}
