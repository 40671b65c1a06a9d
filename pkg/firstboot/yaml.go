package firstboot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader collects what a setup file says, and every mistake in it.
type reader struct {
	draft
	lines []string
}

// Remedies that several mistakes share.
const (
	remedyQuote = "put the value in single quotes, 'like this'; a ' inside is written twice"
	remedyForm  = "each line is NAME: VALUE with a space behind the colon, and lines that belong to a section begin with two spaces, not with a tab"
)

// readSetup reads webgear-setup.yaml.
func readSetup(text string) *draft {
	r := &reader{lines: strings.Split(text, "\n")}
	r.secrets, r.passwords, r.draft.lines = map[string]string{}, map[string]string{}, map[string]int{}
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		r.unreadable(err, text)
		return &r.draft
	}
	for i, doc := range file.Docs {
		switch {
		case i > 0:
			r.wrong(lineOfDocument(doc), "", "a second document begins", "remove the line ---")
		case doc.Body != nil:
			r.section("", doc.Body, r.top)
		}
	}
	r.finish()
	return &r.draft
}

// lineOfDocument is where a document begins. One of nothing but its line --- has
// no body.
func lineOfDocument(doc *ast.DocumentNode) int {
	t := doc.Start
	if t == nil && doc.Body != nil {
		t = doc.Body.GetToken()
	}
	if t == nil || t.Position == nil {
		return 1
	}
	return max(1, t.Position.Line)
}

// unreadable tells of a text that is no YAML.
func (r *reader) unreadable(err error, text string) {
	line, message := 1, "cannot be read"
	remedy := remedyForm
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		message = scrub(ye.GetMessage(), text)
		if t := ye.GetToken(); t != nil {
			line = max(1, t.Position.Line)
		}
	}
	if line <= len(r.lines) {
		if _, value, ok := strings.Cut(r.lines[line-1], ":"); ok && strings.TrimSpace(value) != "" {
			remedy = "when the value has signs such as : # @ % & * ! { [ or quotes, " + remedyQuote
		}
	}
	r.wrong(line, "", "this is no YAML ("+message+")", remedy)
}

// section reads a mapping, key by key.
func (r *reader) section(prefix string, node ast.Node, set func(key string, node ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return // a section whose lines are all comments
	default:
		r.wrong(lineAt(node), strings.TrimSuffix(prefix, "."), "is no section of names and values", remedyForm)
		return
	}
	for _, v := range values {
		key := prefix + v.Key.GetToken().Value
		if _, plain := v.Key.(*ast.StringNode); !plain {
			r.wrong(lineAt(v.Key), "", "the name of a setting must be a word", remedyForm)
			continue
		}
		if _, twice := r.draft.lines[key]; twice {
			r.wrong(lineAt(v.Key), key, "stands here for the second time", "remove one of the two")
			continue
		}
		r.draft.lines[key] = lineAt(v.Key)
		set(key, v.Value)
	}
}

func lineAt(node ast.Node) int {
	if node == nil || node.GetToken() == nil {
		return 1
	}
	return max(1, node.GetToken().Position.Line)
}

// top reads one setting of the file.
func (r *reader) top(key string, node ast.Node) {
	switch key {
	case "hostname":
		read(r, key, node, checkHostName, &r.hostName)
	case "timezone":
		read(r, key, node, asIs(checkZone), &r.timeZone)
	case "password":
		r.pagePassword(key, roleAdmin, node)
	case "viewer_password":
		r.pagePassword(key, roleViewer, node)
	case "wifi":
		r.section("wifi.", node, r.network)
	case "ssh":
		r.section("ssh.", node, r.ssh)
	case "camera":
		r.section("camera.", node, r.cameraSetting)
	default:
		r.unknown(key, "hostname, timezone, wifi, password, viewer_password, ssh, camera")
	}
}

func (r *reader) unknown(key, known string) {
	r.wrong(r.draft.lines[key], key, "there is no such setting", "check its spelling and how far it is indented; there are "+known)
}

// pagePassword reads a password of the pages.
func (r *reader) pagePassword(key, role string, node ast.Node) {
	var s string
	if read(r, key, node, asIs(checkPassword), &s) {
		r.passwords[role] = s
	}
	r.secret(key, node)
}

// network reads one setting of the section wifi.
func (r *reader) network(key string, node ast.Node) {
	if r.wifi == nil {
		r.wifi = &wifi{line: r.draft.lines["wifi"], key: "wifi.ssid"}
	}
	w := r.wifi
	var s string
	switch key {
	case "wifi.country":
		read(r, key, node, checkCountry, &r.country)
	case "wifi.ssid":
		read(r, key, node, func(s string) (string, *mistake) { return s, checkSSID([]byte(s)) }, &s)
		w.ssid = []byte(s)
	case "wifi.ssid_hex":
		read(r, key, node, asIs(checkHexSSID), &s)
		w.ssid, _ = hex.DecodeString(s) // checked
	case "wifi.password":
		read(r, key, node, asIs(checkPhrase), &w.password)
		r.secret(key, node)
	case "wifi.hidden":
		r.flag(key, node, &w.hidden)
	case "wifi.open":
		var open bool
		if r.flag(key, node, &open); open {
			w.security = securityOpen
		}
	default:
		r.unknown(key, "country, ssid, ssid_hex, password, hidden, open in the section wifi")
	}
}

func checkHexSSID(s string) *mistake {
	b, err := hex.DecodeString(s)
	if err != nil {
		return &mistake{fmt.Sprintf("%q is not hexadecimal", s), "write two digits 0-9a-f for each byte of the name"}
	}
	return checkSSID(b)
}

// ssh reads one setting of the section ssh.
func (r *reader) ssh(key string, node ast.Node) {
	if key != "ssh.keys" {
		r.unknown(key, "keys in the section ssh")
		return
	}
	var list []ast.Node
	switch n := node.(type) {
	case *ast.SequenceNode:
		list = n.Values
	case *ast.NullNode:
		return
	default:
		list = []ast.Node{node} // one key, without the hyphen
	}
	r.keys = []string{}
	for _, n := range list {
		var k string
		if read(r, key, n, checkKey, &k) {
			r.keys = append(r.keys, k)
		}
	}
}

// finish checks what belongs together.
func (r *reader) finish() {
	w := r.wifi
	if w == nil {
		return
	}
	named := len(w.ssid) > 0
	_, text := r.draft.lines["wifi.ssid"]
	_, digits := r.draft.lines["wifi.ssid_hex"]
	switch {
	case text && digits:
		r.wrong(r.draft.lines["wifi.ssid_hex"], "wifi.ssid_hex", "the network has two names", "write ssid or ssid_hex, not both")
	case !text && !digits && (w.password != "" || w.hidden || w.security != ""):
		r.wrong(w.line, "wifi.ssid", "the name of the network is missing", "add a line ssid: NAME in the section wifi")
	case w.security == securityOpen && w.password != "":
		r.wrong(r.draft.lines["wifi.open"], "wifi.open", "an open network has no password", "remove open: true, or the password")
	}
	if named {
		w.line = max(r.draft.lines["wifi.ssid"], r.draft.lines["wifi.ssid_hex"])
		if r.country == "" {
			r.notes = append(r.notes, "wifi.country is not set: some channels stay off, and on some systems Wi-Fi stays off")
		}
	} else {
		r.wifi = nil // only the country
	}
	if w.security == "" {
		w.security = securityPSK
	}
}

// read reads one value.
func read(r *reader, key string, node ast.Node, check func(string) (string, *mistake), to *string) bool {
	s, m := r.scalar(key, node)
	if m == nil {
		s, m = check(s)
	}
	if m != nil {
		r.wrong(lineAt(node), key, m.text, m.remedy)
		return false
	}
	*to = s
	return true
}

// asIs is a check that changes nothing.
func asIs(check func(string) *mistake) func(string) (string, *mistake) {
	return func(s string) (string, *mistake) { return s, check(s) }
}

// scalar is the text of one value as it stands in the file: 0123 and yes are
// not turned into a number or a truth.
func (r *reader) scalar(key string, node ast.Node) (string, *mistake) {
	t := node.GetToken()
	switch n := node.(type) {
	case *ast.NullNode:
		return "", &mistake{"has no value", "write one, or put a # at the beginning of the line"}
	case *ast.StringNode:
		if n.Value == "" {
			return "", &mistake{"is empty", "write a value, or put a # at the beginning of the line"}
		}
		if key != "ssh.keys" && strings.Contains(strings.TrimSpace(t.Origin), "\n") {
			// Also because its secrets could not be removed line by line.
			return "", &mistake{"stands on several lines", "write it on one line; " + remedyQuote}
		}
		if plain := t.Type != token.SingleQuoteType && t.Type != token.DoubleQuoteType; plain {
			if line := r.source(t.Position.Line); strings.Contains(line, " #") || strings.Contains(line, "\t#") {
				r.notes = append(r.notes, fmt.Sprintf("%s line %d: what stands behind # is taken as a comment; if it belongs to the value, put the value in single quotes", key, t.Position.Line))
			}
		}
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return t.Value, nil
	}
	return "", &mistake{"is not one simple value", remedyQuote}
}

// source is a line of the file.
func (r *reader) source(line int) string {
	if line < 1 || line > len(r.lines) {
		return ""
	}
	return r.lines[line-1]
}

// flag reads a truth.
func (r *reader) flag(key string, node ast.Node, to *bool) {
	s, m := r.scalar(key, node)
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		*to = true
	case "false", "no", "off":
	default:
		if m == nil {
			m = &mistake{fmt.Sprintf("%q is neither true nor false", s), "write true or false"}
		}
		r.wrong(lineAt(node), key, m.text, m.remedy)
	}
}

// secret remembers what has to leave the file.
func (r *reader) secret(key string, node ast.Node) {
	if s, ok := node.(*ast.StringNode); ok {
		r.secrets[key] = s.Value
	} else {
		r.secrets[key] = node.GetToken().Value
	}
}
