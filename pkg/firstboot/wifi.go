package firstboot

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The connection file is one of NetworkManager's key files, man nm-settings-keyfile(5).

// setWiFi writes the connection. Security is what an earlier file had, for a
// network whose password is not named again.
func (r *run) setWiFi(w *wifi, security string) error {
	var b strings.Builder
	b.WriteString("# Written by webgear from the setup file.\n[connection]\nid=webgear-setup\ntype=wifi\n")
	// Nobody sits beside a camera to click when the router was away: try for ever.
	b.WriteString("autoconnect-retries=0\n\n")
	fmt.Fprintf(&b, "[wifi]\nmode=infrastructure\nssid=%s\nhidden=%t\n\n", keyfileSSID(w.ssid), w.hidden)
	switch {
	case w.security == securityOWE:
		b.WriteString("[wifi-security]\nkey-mgmt=owe\n\n")
	case w.security == securityOpen:
	case w.password == "":
		b.WriteString(security)
	default:
		fmt.Fprintf(&b, "[wifi-security]\nkey-mgmt=%s\npsk=%s\n\n", w.security, keyfileText(w.password))
	}
	b.WriteString("[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n")
	return r.root.write(fileWiFi, []byte(b.String()), access{perm: permSecret})
}

// knownSecurity is the section about the password of a network that an earlier
// file set; empty when it was another network, or one without.
func (r *run) knownSecurity(ssid []byte) string {
	text, err := r.text(fileWiFi)
	if err != nil {
		return ""
	}
	var b strings.Builder
	var section string
	same := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "[") {
			section = line
		}
		if value, ok := strings.CutPrefix(line, "ssid="); ok && (section == "[wifi]" || section == "[802-11-wireless]") {
			same = bytes.Equal(parseSSID(value), ssid)
		}
		if (section == "[wifi-security]" || section == "[802-11-wireless-security]") && line != "" {
			b.WriteString(line + "\n")
		}
	}
	if !same || !strings.Contains(b.String(), "\npsk=") {
		return ""
	}
	return b.String() + "\n"
}

var (
	simpleSSID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	bytesSSID  = regexp.MustCompile(`^([0-9]{1,3};)+$`)
)

// keyfileSSID writes the name as text where that is beyond doubt, else as bytes,
// which a key file has for names with any content.
func keyfileSSID(ssid []byte) string {
	if simpleSSID.Match(ssid) {
		return string(ssid)
	}
	var b strings.Builder
	for _, c := range ssid {
		fmt.Fprintf(&b, "%d;", c)
	}
	return b.String()
}

// parseSSID is the way back; NetworkManager may have written the file anew.
func parseSSID(value string) []byte {
	if !bytesSSID.MatchString(value) {
		return []byte(keyfileUnescape.Replace(value))
	}
	var ssid []byte
	for n := range strings.SplitSeq(strings.TrimSuffix(value, ";"), ";") {
		c, _ := strconv.Atoi(n) // three digits
		ssid = append(ssid, byte(c))
	}
	return ssid
}

//nolint:gochecknoglobals // constant tables
var (
	keyfileEscape   = strings.NewReplacer(`\`, `\\`, "\t", `\t`)
	keyfileUnescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\s`, " ")
)

// keyfileText escapes as GKeyFile does: a space is cut off at the ends unless
// it is written as \s.
func keyfileText(s string) string {
	s = keyfileEscape.Replace(s)
	if rest := strings.TrimLeft(s, " "); rest != s {
		s = strings.Repeat(`\s`, len(s)-len(rest)) + rest
	}
	if rest := strings.TrimRight(s, " "); rest != s {
		s = rest + strings.Repeat(`\s`, len(s)-len(rest))
	}
	return s
}
