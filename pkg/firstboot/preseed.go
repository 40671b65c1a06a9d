package firstboot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// preseed reads the file of Raspberry Pi Imager's wizard, format 1.x of
// rpi-preseed as Imager 2.0 writes it (generateRpiPreseedToml in
// customization_generator.cpp, August 2026).
type preseed struct {
	draft
	values map[string]any
	text   string
}

// Remedies for what the wizard asks for and this system does not have.
const (
	noAccounts = "there are no user accounts: sign in by ssh as root with your key, and to the pages with their own password"
	noKeyboard = "neither keyboard nor language is used here"
)

// unsupported are settings of the format that have no meaning here, by their
// name or the beginning of it.
//
//nolint:gochecknoglobals // constant table
var unsupported = []struct{ key, why string }{
	{"user.", noAccounts},
	{"ssh.password_authentication", "ssh takes keys only"},
	{"ssh.ssh_import_id", "write the keys themselves into ssh.authorized_keys"},
	{"locale.", noKeyboard},
	{"connect.", "Raspberry Pi Connect is not installed"},
	{"ethernet.", "the cable always asks the router for its address"},
	{"packages.", "packages are installed with apt"},
	{"ca_certificates.", "certificates are installed by hand"},
	{"time.", "the time servers are those of the system"},
	{"mounts.", "mounts belong into /etc/fstab"},
	{"interfaces.", "write it into config.txt"},
	{"boot.", "write it into config.txt or cmdline.txt"},
	{"runcmd.", "commands of a file on the card are not run"},
	{"debug", "the journal has it all"},
}

// wizardSecrets are the settings whose values have to leave the file.
//
//nolint:gochecknoglobals // constant table
var wizardSecrets = []string{"user.password", "wlan.password", "connect.token"}

// readPreseed reads rpi-preseed.toml.
func readPreseed(text string) *draft {
	p := &preseed{text: text, values: map[string]any{}}
	p.secrets, p.passwords, p.lines = map[string]string{}, map[string]string{}, map[string]int{}
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		line, message := 1, "cannot be read"
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			line, message = max(1, pe.Position.Line), scrub(pe.Message, text)
		}
		p.wrong(line, "", "this is no TOML ("+message+")", "write the card again with the settings of the wizard, or use webgear-setup.yaml")
		return &p.draft
	}
	p.flatten("", tree)
	for _, key := range wizardSecrets {
		if s, ok := p.values[key].(string); ok && s != "" {
			p.secrets[key] = s
		}
	}
	p.version()
	p.names()
	p.network()
	p.ssh()
	p.rest()
	return &p.draft
}

// flatten gives all values names such as wlan.ssid.
func (p *preseed) flatten(prefix string, tree map[string]any) {
	for name, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			p.flatten(prefix+name+".", sub)
		} else {
			p.values[prefix+name] = v
		}
	}
}

// dropped notes by name what is not applied.
func (p *preseed) dropped(key, why string) {
	p.notes = append(p.notes, "not applied: "+key+": "+why)
}

// take removes a value from those that are left to look at; the next note would
// otherwise name it a second time.
func take[T any](p *preseed, key string) (T, bool) {
	v, found := p.values[key]
	delete(p.values, key)
	if !found {
		var none T
		return none, false
	}
	t, ok := v.(T)
	if !ok {
		p.dropped(key, fmt.Sprintf("the value must be a %T", t))
	}
	return t, ok
}

func (p *preseed) version() {
	version, ok := take[string](p, "config_version")
	if ok && !strings.HasPrefix(version+".", "1.") || !ok && len(p.values) > 0 {
		p.notes = append(p.notes, fmt.Sprintf("config_version is %q: formats 1.x are known here, what is known of this one is applied", version))
	}
}

// names reads host name and time zone.
func (p *preseed) names() {
	if s, ok := take[string](p, "system.hostname"); ok && s != "" {
		name, m := checkHostName(s)
		if m != nil {
			p.dropped("system.hostname", m.Error())
		}
		p.hostName = name
	}
	if s, ok := take[string](p, "locale.timezone"); ok && s != "" {
		if m := checkZone(s); m != nil {
			p.dropped("locale.timezone", m.Error())
		} else {
			p.timeZone = s
		}
	}
}

// network reads the section wlan.
func (p *preseed) network() {
	if s, ok := take[string](p, "wlan.country"); ok && s != "" {
		code, m := checkCountry(s)
		if m != nil {
			p.dropped("wlan.country", m.Error())
		}
		p.country = code
	}
	w := &wifi{key: "wlan.password"}
	ssid, named := take[string](p, "wlan.ssid")
	w.ssid = []byte(ssid)
	if digits, ok := take[string](p, "wlan.ssid_hex"); ok {
		var err error
		if w.ssid, err = hex.DecodeString(digits); err != nil {
			p.dropped("wlan.ssid_hex", "it is not hexadecimal")
			w.ssid = nil
		}
		named = true
	}
	w.password, _ = take[string](p, "wlan.password")
	w.hidden, _ = take[bool](p, "wlan.hidden")
	w.security, _ = take[string](p, "wlan.key_mgmt")
	isPrepared, _ := take[bool](p, "wlan.password_encrypted")
	if !named {
		return
	}
	if m := checkSSID(w.ssid); m != nil {
		p.dropped("wlan.ssid", m.Error())
		return
	}
	if w.security == "" {
		w.security = securityOpen
		if w.password != "" {
			w.security = securityPSK
		}
	}
	if why := w.doubt(isPrepared); why != "" {
		p.dropped("wlan", why)
		return
	}
	p.wifi = w
}

// doubt says why a network of the wizard cannot be joined.
func (w *wifi) doubt(isPrepared bool) string {
	if !slices.Contains([]string{securityOpen, securityOWE, securityPSK, securitySAE}, w.security) {
		return fmt.Sprintf("key_mgmt %q is not known", w.security)
	}
	if w.password == "" {
		return "" // open, or the one already set
	}
	if w.security == securityOpen || w.security == securityOWE {
		return "an open network has no password"
	}
	if isPrepared && !isKey(w.password) {
		return "password_encrypted says that the password is a key of 64 hexadecimal digits, and it is not"
	}
	if w.security == securitySAE && isKey(w.password) {
		return "WPA3 needs the password itself, not the key made of it"
	}
	if m := checkPhrase(w.password); m != nil {
		return m.Error()
	}
	return ""
}

// ssh reads the section ssh.
func (p *preseed) ssh() {
	enabled, said := take[bool](p, "ssh.enabled")
	list, listed := take[[]any](p, "ssh.authorized_keys")
	if !enabled {
		if said && listed && len(list) > 0 {
			p.dropped("ssh.authorized_keys", "ssh.enabled is false")
		}
		return
	}
	for i, v := range list {
		s, _ := v.(string)
		key, m := checkKey(s)
		if m != nil {
			p.dropped(fmt.Sprintf("ssh.authorized_keys number %d", i+1), m.Error())
			continue
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 {
		p.dropped("ssh.enabled", "ssh stays off without a key; choose \"Use public key authentication\" in the wizard")
	}
}

// rest names all that is left.
func (p *preseed) rest() {
	var names []string
	for key := range p.values {
		if key == "user.password_encrypted" || strings.HasPrefix(key, "user.groups") {
			continue // they only belong to user.password and user.name
		}
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		why := "there is no such setting here"
		for _, u := range unsupported {
			if key == u.key || strings.HasSuffix(u.key, ".") && strings.HasPrefix(key, u.key) {
				why = u.why
			}
		}
		p.dropped(oneLine(key), why)
	}
}

// maxKey bounds what is repeated of a strange name, in bytes.
const maxKey = 64

// oneLine makes a name fit for a message.
func oneLine(key string) string {
	key = strings.Join(strings.Fields(key), " ")
	if len(key) > maxKey {
		key = strings.ToValidUTF8(key[:maxKey], "") + "..."
	}
	return key
}
