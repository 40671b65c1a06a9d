package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Places below Root, as Debian and Raspberry Pi OS have them since bookworm.
const (
	fileHosts      = "etc/hosts"
	fileLocalTime  = "etc/localtime"
	fileTimeZone   = "etc/timezone"
	fileWiFi       = "etc/NetworkManager/system-connections/webgear-setup.nmconnection"
	unitSSH        = "/usr/lib/systemd/system/ssh.service"
	zoneInfo       = "usr/share/zoneinfo"
	targetZoneInfo = "/usr/share/zoneinfo/"
)

// Places below Root that Activate looks at.
const (
	// HostNameFile holds the host name.
	HostNameFile = "etc/hostname"
	// RegulatoryFile names the country of Wi-Fi to the kernel.
	RegulatoryFile = "etc/modprobe.d/webgear-wifi.conf"
	// SSHLink is there when ssh is switched on.
	SSHLink = "etc/systemd/system/multi-user.target.wants/ssh.service"
)

// maxSystemFile bounds the files that are read before they are changed, in
// bytes; chosen: settings have a few kilobytes.
const maxSystemFile = 1 << 20

// Who may read what is written.
const (
	permPublic  = 0o644
	permService = 0o640
	permSecret  = 0o600
)

// step is one thing to change. It may run again at any time.
type step struct {
	what Change
	run  func() error
}

// prepare checks what only the disk knows, and lists what to do. Problems go
// into the draft; strict says that they keep all of it from being applied.
func (r *run) prepare(d *draft, strict bool) []step {
	doubt := func(line int, key, text, remedy string) {
		if strict {
			d.wrong(line, key, text, remedy)
		} else {
			d.notes = append(d.notes, "not applied: "+key+": "+text+": "+remedy)
		}
	}
	var steps []step
	add := func(what Change, f func() error) { steps = append(steps, step{what, f}) }
	if d.hostName != "" {
		add(HostName, func() error { return r.setHostName(d.hostName) })
	}
	if zone := d.timeZone; zone != "" {
		if info, err := r.root.root.Stat(path.Join(zoneInfo, zone)); err != nil || !info.Mode().IsRegular() {
			doubt(d.lines["timezone"], "timezone", fmt.Sprintf("the time zone %q is not known", zone), "use the name of a large city near you, such as Europe/Berlin; see en.wikipedia.org/wiki/List_of_tz_database_time_zones")
		} else {
			add(TimeZone, func() error { return r.setTimeZone(zone) })
		}
	}
	if d.country != "" {
		add(Country, func() error {
			text := "# Written by webgear from the setup file: where Wi-Fi may send on which channels.\noptions cfg80211 ieee80211_regdom=" + d.country + "\n"
			return r.root.write(RegulatoryFile, []byte(text), access{perm: permPublic})
		})
	}
	// A password that was written, but wrong, is not missing as well.
	if w := d.wifi; w != nil && (w.password != "" || d.lines["wifi.password"] == 0) {
		old := r.knownSecurity(w.ssid)
		if w.password == "" && w.security != securityOpen && w.security != securityOWE && old == "" {
			doubt(w.line, w.key, fmt.Sprintf("the password of the network %q is missing, and this device does not have it yet", w.ssid), "add a line password: in the section, or open: true when the network has none")
		} else {
			add(WiFi, func() error { return r.setWiFi(w, old) })
		}
	}
	if d.keys != nil {
		add(SSH, func() error { return r.setSSH(d.keys) })
	}
	if len(d.camera) > 0 {
		text, err := r.settingsWith(d.camera)
		if err != nil {
			doubt(d.camera[0].line, "camera", fmt.Sprintf("the settings file /%s cannot take it (%s)", r.o.Settings, scrub(strings.TrimLeft(err.Error(), " :"), "source: "+d.secrets["camera.source"])), "correct that file, or write these settings there")
		} else {
			add(Camera, func() error {
				return r.root.write(r.o.Settings, []byte(text), access{r.permOf(r.o.Settings, permService), r.o.ServiceGID})
			})
		}
	}
	if len(d.passwords) > 0 {
		add(Password, func() error { return r.setPasswords(d.passwords) })
	}
	return steps
}

// apply does what was prepared.
func (r *run) apply(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.run(); err != nil {
			return fmt.Errorf("apply %s: %w", s.what, err)
		}
		if r.o.Activate == nil {
			continue
		}
		if err := r.o.Activate(ctx, s.what); err != nil {
			r.warn(fmt.Sprintf("%s: is set, but not in force before the next start: %v", s.what, err))
		}
	}
	return ctx.Err()
}

// text reads a file of the system that need not be there.
func (r *run) text(name string) (string, error) {
	data, err := r.root.read(name, maxSystemFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// permOf keeps the permissions that a file has.
func (r *run) permOf(name string, otherwise fs.FileMode) fs.FileMode {
	if info, err := r.root.root.Stat(name); err == nil {
		return info.Mode().Perm()
	}
	return otherwise
}

// setHostName writes the name, and the address that programs look it up by.
func (r *run) setHostName(name string) error {
	hosts, err := r.text(fileHosts)
	if err != nil {
		return err
	}
	const own = "127.0.1.1" // Debian policy for hosts without a fixed address
	lines := strings.Split(strings.TrimSuffix(hosts, "\n"), "\n")
	var kept []string
	for _, line := range lines {
		if f := strings.Fields(line); len(f) == 0 && hosts == "" || len(f) > 0 && f[0] == own {
			continue
		}
		kept = append(kept, line)
	}
	if hosts == "" {
		kept = append(kept, "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")
	}
	kept = append(kept, own+"\t"+name)
	if err := r.root.write(fileHosts, []byte(strings.Join(kept, "\n")+"\n"), access{perm: permPublic}); err != nil {
		return err
	}
	return r.root.write(HostNameFile, []byte(name+"\n"), access{perm: permPublic})
}

// setTimeZone links the zone, and names it where old programs look.
func (r *run) setTimeZone(zone string) error {
	if err := r.root.symlink(targetZoneInfo+zone, fileLocalTime); err != nil {
		return err
	}
	if _, err := r.root.root.Lstat(fileTimeZone); err != nil {
		return nil //nolint:nilerr // no such file in Debian 13 and later
	}
	return r.root.write(fileTimeZone, []byte(zone+"\n"), access{perm: permPublic})
}

// settingsWith is the settings file with other camera settings.
func (r *run) settingsWith(values []setting) (string, error) {
	text, err := r.text(r.o.Settings)
	if err != nil {
		return "", err
	}
	return editSettings(text, values)
}

// Marks around the keys of the setup file; others stay.
const (
	keysBegin = "# webgear-setup: these keys come from the setup file"
	keysEnd   = "# webgear-setup: end"
)

// setSSH writes the keys and switches ssh on, or off when there are none.
func (r *run) setSSH(keys []string) error {
	old, err := r.text(r.o.AuthorizedKeys)
	if err != nil {
		return err
	}
	var kept []string
	ours := false
	for line := range strings.Lines(old) {
		line = strings.TrimRight(line, "\n")
		switch line {
		case keysBegin:
			ours = true
		case keysEnd:
			ours = false
		default:
			if !ours {
				kept = append(kept, line)
			}
		}
	}
	others := len(kept) > 0
	if len(keys) > 0 {
		kept = append(append(append(kept, keysBegin), keys...), keysEnd)
	}
	if len(keys) == 0 && !others {
		if err := r.root.remove(r.o.AuthorizedKeys); err != nil {
			return err
		}
		return r.root.remove(SSHLink)
	}
	if err := r.root.mkdirAll(path.Dir(r.o.AuthorizedKeys), 0o700); err != nil {
		return err
	}
	if err := r.root.write(r.o.AuthorizedKeys, []byte(strings.Join(kept, "\n")+"\n"), access{perm: permSecret}); err != nil {
		return err
	}
	if len(keys) == 0 {
		return r.root.remove(SSHLink)
	}
	return r.root.symlink(unitSSH, SSHLink)
}

// Preset is the file with the password hashes for the access layer, in Data.
const Preset = "access-preset.json"

// setPasswords hands hashes over to the access layer. Roles that are not named
// stay.
func (r *run) setPasswords(passwords map[string]string) error {
	hashes := map[string]string{}
	if data, err := r.data.read(Preset, maxSystemFile); err == nil {
		if json.Unmarshal(data, &hashes) != nil {
			hashes = map[string]string{} // not ours any more
		}
	}
	for role, password := range passwords {
		hash := password
		if !isHash(password) {
			var err error
			if hash, err = r.o.Hash(password); err != nil {
				return fmt.Errorf("hash the password of %s: %w", role, err)
			}
		}
		hashes[role] = hash
	}
	data, err := json.MarshalIndent(hashes, "", "  ")
	if err != nil {
		return err
	}
	return r.data.write(Preset, append(data, '\n'), access{permService, r.o.ServiceGID})
}

// DefaultSettings is the place of the settings file below Root.
const DefaultSettings = "etc/webgear/webgear.yaml"
