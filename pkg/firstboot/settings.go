package firstboot

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/webgear-pi/webgear/pkg/config"
)

// setting is one line of the section camera, for the settings file.
type setting struct {
	key string
	// value is YAML on one line.
	value string
	line  int
}

// cameraKeys are the settings of the section camera.
func cameraKeys() (names []string) {
	for f := range reflect.TypeFor[config.Camera]().Fields() {
		names = append(names, f.Tag.Get("yaml"))
	}
	return names
}

// cameraSetting reads one setting of the section camera: those of the settings
// file, by the same names.
func (r *reader) cameraSetting(key string, node ast.Node) {
	name := strings.TrimPrefix(key, "camera.")
	if !slices.Contains(cameraKeys(), name) {
		r.unknown(key, strings.Join(cameraKeys(), ", ")+" in the section camera")
		return
	}
	value, m := r.inline(key, node)
	if m == nil {
		_, err := config.Parse([]byte("camera:\n  "+name+": "+value+"\n"), config.ServiceDefault())
		if err != nil {
			text := err.Error()
			if fe, ok := errors.AsType[*config.FieldError](err); ok {
				text = fe.Problem
			}
			m = &mistake{scrub(text, "source: "+value), "see the comments in /etc/webgear/webgear.yaml, or man webgear.yaml"}
		}
	}
	if m != nil {
		r.wrong(lineAt(node), key, m.text, m.remedy)
		return
	}
	if s, ok := node.(*ast.StringNode); ok && name == "source" && holdsPassword(s.Value) {
		r.secrets[key] = s.Value
	}
	r.camera = append(r.camera, setting{name, value, lineAt(node)})
}

// inline writes a value of the file on one line.
func (r *reader) inline(key string, node ast.Node) (string, *mistake) {
	if _, ok := node.(*ast.NullNode); ok {
		return "", &mistake{"has no value", "write one, or put a # at the beginning of the line"}
	}
	if m, ok := node.(*ast.MappingNode); ok && key == "camera.controls" {
		var parts []string
		for _, v := range m.Values {
			s, wrong := r.inline("", v.Value)
			if wrong != nil {
				return "", wrong
			}
			parts = append(parts, quoted(v.Key.GetToken().Value)+": "+s)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	if s, ok := node.(*ast.StringNode); ok && s.Value == "" {
		return `""`, nil // the way to say: the default
	}
	text, m := r.scalar(key, node)
	if _, ok := node.(*ast.StringNode); ok && m == nil {
		text = quoted(text)
	}
	return text, m
}

// quoted writes a text so that YAML reads the same.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be
	return strings.TrimSuffix(b.String(), "\n")
}

var (
	cameraLine = regexp.MustCompile(`^camera:\s*(#.*)?$`)
	anySection = regexp.MustCompile(`^[^\s#]`)
)

// errSettings is a settings file that cannot be changed line by line.
var errSettings = errors.New("it cannot be changed by a program as it is written")

// editSettings puts values into the section camera of a settings file and
// leaves all else of it alone, comments too. What it returns has been read back.
func editSettings(text string, values []setting) (string, error) {
	before, err := config.Parse([]byte(text), config.ServiceDefault())
	if err != nil {
		return "", err
	}
	want := before
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for _, v := range values {
		one, err := config.Parse([]byte("camera:\n  "+v.key+": "+v.value+"\n"), config.ServiceDefault())
		if err != nil {
			return "", err
		}
		want.Take("camera."+v.key, one)
		lines = putSetting(lines, v)
	}
	result := strings.Join(lines, "\n")
	after, err := config.Parse([]byte(result), config.ServiceDefault())
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSettings, err)
	}
	if changes := config.Changes(want, after); len(changes) > 0 {
		return "", fmt.Errorf("%w: %s would be wrong", errSettings, changes[0].Key)
	}
	return result, nil
}

// putSetting sets one line in the section camera.
func putSetting(lines []string, v setting) []string {
	start := slices.IndexFunc(lines, cameraLine.MatchString)
	if start < 0 {
		for len(lines) > 0 && lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		return append(lines, "camera:", "  "+v.key+": "+v.value, "")
	}
	end := len(lines)
	if n := slices.IndexFunc(lines[start+1:], anySection.MatchString); n >= 0 {
		end = start + 1 + n
	}
	body := lines[start+1 : end]
	indent := "  "
	active := regexp.MustCompile(`^( +)[A-Za-z_"']`)
	if i := slices.IndexFunc(body, active.MatchString); i >= 0 {
		indent = active.FindStringSubmatch(body[i])[1]
	}
	line := indent + v.key + ": " + v.value
	is := func(prefix string) int {
		return slices.IndexFunc(body, func(s string) bool { return strings.HasPrefix(s, prefix+v.key+":") })
	}
	if i := is(indent); i >= 0 {
		n := i + 1
		for n < len(body) && (strings.HasPrefix(body[n], indent+" ") || body[n] == "") {
			n++
		}
		for body[n-1] == "" { // empty lines behind the value stay
			n--
		}
		return slices.Replace(lines, start+1+i, start+1+n, line)
	}
	for _, comment := range []string{indent + "#", indent + "# ", "#" + indent, "#"} {
		if i := is(comment); i >= 0 {
			return slices.Replace(lines, start+1+i, start+2+i, line)
		}
	}
	return slices.Insert(lines, start+1, line)
}
