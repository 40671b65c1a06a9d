package firstboot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// Problem is one mistake in a file of the boot partition. It never holds a
// secret.
type Problem struct {
	File string `json:"file"`
	// Line is that of the file, from 1.
	Line int `json:"line"`
	// Key is the name of the setting, such as "wifi.password"; empty when the
	// file cannot be read at all.
	Key string `json:"key,omitempty"`
	// Text is what is wrong, Remedy what to do about it.
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// String is "FILE line N: KEY: TEXT: REMEDY".
func (p Problem) String() string {
	s := fmt.Sprintf("%s line %d: ", p.File, p.Line)
	if p.Key != "" {
		s += p.Key + ": "
	}
	return s + p.Text + ": " + p.Remedy
}

// setup is what a file asks for. Zero values leave things as they are.
type setup struct {
	hostName string
	timeZone string
	country  string
	wifi     *wifi
	// passwords are by role; plain text or argon2id hash.
	passwords map[string]string
	// keys are the ssh keys; nil means not named, empty none, and so no ssh.
	keys   []string
	camera []setting
}

// Roles that may have a password.
const (
	roleAdmin  = "admin"
	roleViewer = "viewer"
)

// empty says that there is nothing to apply.
func (s *setup) empty() bool {
	return s.hostName == "" && s.timeZone == "" && s.country == "" && s.wifi == nil &&
		len(s.passwords) == 0 && s.keys == nil && len(s.camera) == 0
}

// wifi is the network to join.
type wifi struct {
	ssid []byte
	// password is a pass phrase or 64 hexadecimal digits. Empty on a network
	// that is not open: the one already set on this device for the name.
	password string
	security string
	hidden   bool
	// line and key are where to point at when the password is missing.
	line int
	key  string
}

// Securities, by the names of NetworkManager's key-mgmt; open has none.
const (
	securityOpen = "none"
	securityOWE  = "owe"
	securityPSK  = "wpa-psk"
	securitySAE  = "sae"
)

// draft is a file that was read.
type draft struct {
	setup
	// lines are those of the keys that were named.
	lines map[string]int
	// secrets are the keys whose values have to leave the file, with the values.
	secrets map[string]string
	// notes say what was read in another way than the person may think, or is
	// not honoured.
	notes    []string
	problems []Problem
}

// wrong adds a problem.
func (d *draft) wrong(line int, key, text, remedy string) {
	d.problems = append(d.problems, Problem{Line: line, Key: key, Text: text, Remedy: remedy})
}

// mistake is an error with its remedy.
type mistake struct{ text, remedy string }

func (m *mistake) Error() string { return m.text + ": " + m.remedy }

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123 section 2.1, one label
	zonePattern    = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`)
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
	keyPattern     = regexp.MustCompile(`^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) AAAA[A-Za-z0-9+/]{20,}={0,3}( [^\n]*)?$`)
)

// checkHostName returns the name in lower case.
func checkHostName(s string) (string, *mistake) {
	name := strings.ToLower(s)
	if short, ok := strings.CutSuffix(name, ".local"); ok {
		return "", &mistake{fmt.Sprintf("%q has an ending", s), fmt.Sprintf("write only %s, the camera is then found as %s.local", short, short)}
	}
	if !namePattern.MatchString(name) || name == "localhost" {
		return "", &mistake{fmt.Sprintf("%q is no host name", s), "use 1 to 63 letters a-z, digits and hyphens, with a letter or digit at both ends"}
	}
	return name, nil
}

// checkCountry returns the code in upper case.
func checkCountry(s string) (string, *mistake) {
	code := strings.ToUpper(s)
	if code == "UK" {
		return "", &mistake{`"UK" is no country code`, "the one of the United Kingdom is GB"}
	}
	if !countryPattern.MatchString(code) {
		return "", &mistake{fmt.Sprintf("%q is no country code", s), "use the two letters of ISO 3166, such as DE, GB or US; in YAML put NO in quotes"}
	}
	return code, nil
}

// checkZone checks the form; whether the zone exists is seen on the disk.
func checkZone(s string) *mistake {
	if !zonePattern.MatchString(s) {
		return &mistake{fmt.Sprintf("%q is no time zone", s), "use a name such as Europe/Berlin, America/New_York or UTC"}
	}
	return nil
}

// maxSSID is the longest name of a network, in bytes (IEEE 802.11-2020, 9.4.2.2).
const maxSSID = 32

func checkSSID(b []byte) *mistake {
	if len(b) == 0 || len(b) > maxSSID {
		return &mistake{fmt.Sprintf("the name of the network has %d bytes", len(b)), "it has 1 to 32; letters such as ä count as 2"}
	}
	return nil
}

// Lengths of a Wi-Fi pass phrase in bytes, and of a key in hexadecimal digits
// (IEEE 802.11-2020, annex J.4).
const (
	minPhrase = 8
	maxPhrase = 63
	keyDigits = 64
)

func checkPhrase(s string) *mistake {
	if isKey(s) {
		return nil
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &mistake{"the Wi-Fi password holds a sign that no keyboard writes", "write a password of letters, digits and signs"}
	}
	if len(s) < minPhrase || len(s) > maxPhrase {
		return &mistake{fmt.Sprintf("the Wi-Fi password has %d bytes", len(s)), "it has 8 to 63 (letters such as ä count as 2), or is a key of 64 hexadecimal digits; put it in single quotes if a part is missing"}
	}
	return nil
}

// isKey says whether a password is the key that is made of one.
func isKey(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == keyDigits && err == nil
}

func isHash(s string) bool { return strings.HasPrefix(s, "$argon2id$") }

// checkPassword asks the access layer, which has to take what is applied here.
func checkPassword(s string) *mistake {
	if isHash(s) {
		if err := auth.CheckHash(s); err != nil {
			return &mistake{"the hash " + err.Error(), "copy all of it, from $argon2id$v=19$ on, or write the password itself"}
		}
		return nil
	}
	if err := auth.CheckPassword(s); err != nil {
		text := err.Error()
		if pe, ok := errors.AsType[*auth.PasswordError](err); ok {
			text = pe.Problem
		}
		return &mistake{"the password " + text, "write another one; put it in single quotes if a part is missing"}
	}
	if strings.HasPrefix(s, "$") && strings.Count(s, "$") >= 3 {
		return &mistake{"this is a hash of another kind", "write the password itself, or an argon2id hash"}
	}
	return nil
}

// checkKey returns an ssh key as one line.
func checkKey(s string) (string, *mistake) {
	key := strings.Join(strings.Fields(s), " ")
	if strings.Contains(key, "PRIVATE KEY") {
		return "", &mistake{"this is a private key", "it must stay with you, make a new one; write the line of the file that ends in .pub"}
	}
	if !keyPattern.MatchString(key) {
		return "", &mistake{"this is no public ssh key", "write the whole line of the file that ends in .pub, such as ssh-ed25519 AAAA... you@laptop"}
	}
	return key, nil
}

// holdsPassword says whether an address of a source names one.
func holdsPassword(source string) bool {
	u, err := url.Parse(source)
	if err != nil {
		return strings.Contains(source, "@") // cannot be read: better one too many
	}
	_, has := u.User.Password()
	return has
}
