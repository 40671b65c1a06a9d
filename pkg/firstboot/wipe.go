package firstboot

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// removedMark stands where a secret was.
const removedMark = "was taken over and removed from here; write it again only to change it"

// wipeSetup returns webgear-setup.yaml without its secrets. All else stays as
// the person wrote it, unless that cannot be done safely: then it is the empty
// template, because no setting is worth a password left behind.
func wipeSetup(text string, d *draft) string {
	if len(d.secrets) == 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	// From the end, so that the numbers of lines above stay right.
	keys := slices.SortedFunc(maps.Keys(d.secrets), func(a, b string) int { return cmp.Compare(d.lines[b], d.lines[a]) })
	for _, key := range keys {
		lines = wipeLine(lines, d.lines[key], key[strings.LastIndexByte(key, '.')+1:], ":", "")
	}
	lines = wipeComments(lines, d.secrets)
	result := strings.Join(lines, "\n")
	if got := readSetup(result); len(got.problems) > 0 || len(got.secrets) > 0 || !sameButSecrets(d, got) {
		return "# The settings of this file were applied. It was replaced because the passwords could not be removed one by one.\n\n" + Template()
	}
	return result
}

// wipeLine puts a comment, or other text, in place of a setting that begins in
// a line, and of the lines that its value goes on in.
func wipeLine(lines []string, line int, name, sign, instead string) []string {
	if line < 1 || line > len(lines) {
		return lines
	}
	old := lines[line-1]
	rest := strings.TrimLeft(old, " ")
	if !strings.HasPrefix(strings.TrimLeft(rest, `"'`), name) {
		return lines // inside braces; the caller sees that it is still there
	}
	indent := old[:len(old)-len(rest)]
	end := line
	for sign == ":" && end < len(lines) && (strings.TrimSpace(lines[end]) == "" || strings.HasPrefix(lines[end], indent+" ")) {
		end++
	}
	for end > line && strings.TrimSpace(lines[end-1]) == "" {
		end-- // empty lines behind it stay
	}
	return slices.Replace(lines, line-1, end, indent+instead+"# "+name+sign+" "+removedMark)
}

// minFound is the length of the shortest secret that is looked for in comments,
// in bytes; chosen: shorter ones are words.
const minFound = 6

// wipeComments removes comments that hold a secret.
func wipeComments(lines []string, secrets map[string]string) []string {
	for i, line := range lines {
		at := strings.IndexByte(line, '#')
		if at < 0 {
			continue
		}
		for _, secret := range secrets {
			if len(secret) >= minFound && strings.Contains(line[at:], secret) {
				lines[i] = line[:at] + "# a comment with a secret was removed from here"
				break
			}
		}
	}
	return lines
}

// sameButSecrets says whether b means what a does without its secrets.
func sameButSecrets(a, b *draft) bool {
	x, y := a.setup, b.setup
	x.passwords, y.passwords = nil, nil
	plain := func(s setup) setup {
		if s.wifi != nil {
			w := *s.wifi
			w.password, w.line, w.key = "", 0, ""
			s.wifi = &w
		}
		var kept []setting
		for _, c := range s.camera {
			if _, secret := a.secrets["camera."+c.key]; !secret {
				kept = append(kept, setting{key: c.key, value: c.value})
			}
		}
		s.camera = kept
		return s
	}
	return reflect.DeepEqual(plain(x), plain(y))
}

// wipePreseed returns rpi-preseed.toml without its secrets, and with a head that
// says what became of it: the person who used the wizard looks here.
func wipePreseed(text string, d *draft) string {
	lines := strings.Split(text, "\n")
	whole := true
	for _, key := range wizardSecrets {
		if _, has := d.secrets[key]; !has {
			continue
		}
		if n := tomlLine(lines, key); n > 0 && (strings.Contains(lines[n-1], `"""`) || strings.Contains(lines[n-1], "'''")) {
			whole = false // it goes on in further lines
		}
		instead := ""
		if key == "wlan.password" && tomlLine(lines, "wlan.key_mgmt") == 0 {
			// Without a password the format means an open network.
			instead = `key_mgmt = "` + securityPSK + `" `
		}
		lines = wipeLine(lines, tomlLine(lines, key), key[strings.IndexByte(key, '.')+1:], " =", instead)
		// What describes it means nothing without it, and is refused by some.
		if n := tomlLine(lines, key+"_encrypted"); n > 0 {
			lines = slices.Delete(lines, n-1, n)
		}
	}
	body := strings.Join(wipeComments(lines, d.secrets), "\n")
	if got := readPreseed(body); !whole || len(got.problems) > 0 || len(got.secrets) > 0 || !sameButSecrets(d, got) {
		body = "# Its content was removed, because the passwords could not be removed one by one.\nconfig_version = \"1.0\"\n"
	}
	var head strings.Builder
	head.WriteString(preseedHead)
	for _, note := range d.notes {
		fmt.Fprintf(&head, "#   %s\n", note)
	}
	head.WriteString(preseedEnd)
	return head.String() + withoutHead(body)
}

// First and last line of the head of an applied rpi-preseed.toml.
const (
	preseedHead = "# webgear applied these settings of Raspberry Pi Imager, and removed the passwords. Change what you like.\n"
	preseedEnd  = "# (end of the report)\n\n"
)

// withoutHead removes the head of an earlier time.
func withoutHead(text string) string {
	if !strings.HasPrefix(text, preseedHead) {
		return text
	}
	if _, body, ok := strings.Cut(text, preseedEnd); ok {
		return body
	}
	return text
}

// tomlLine finds the line of a setting such as wlan.ssid as wizards write it,
// one to a line below its section; 0 when there is none.
func tomlLine(lines []string, key string) int {
	section, name, _ := strings.Cut(key, ".")
	in := false
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = strings.HasPrefix(line, "["+section+"]")
			continue
		}
		if rest, ok := strings.CutPrefix(line, name); in && ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "=") {
			return i + 1
		}
	}
	return 0
}
