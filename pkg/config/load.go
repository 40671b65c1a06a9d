package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds what is read; a settings file has a few kilobytes.
const maxFile = 1 << 20

// Load reads a settings file over base, usually the defaults, and validates the
// result. Errors read "settings file PATH line N: KEY: problem".
func Load(path string, base Config) (Config, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("has %d bytes, at most %d are read", info.Size(), maxFile)
	}
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s: %w", path, reason(err))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s: %w", path, reason(err))
	}
	c, err := Parse(data, base)
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s%w", path, err)
	}
	return c, nil
}

// reason strips the operation and path that our own text says already.
func reason(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Parse reads settings over base and validates them. Errors begin with
// " line N: " or ": ", to be put behind the name of the file.
func Parse(data []byte, base Config) (Config, error) {
	c := base
	c.Options, c.Camera.Controls = maps.Clone(base.Options), maps.Clone(base.Camera.Controls) // never into those of base
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Config{}, positioned(err)
	}
	if len(file.Docs) > 1 {
		return Config{}, errors.New(": holds more than one YAML document, only one is read")
	}
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		if err := yaml.NodeToValue(file.Docs[0].Body, &c, yaml.Strict()); err != nil {
			return Config{}, positioned(err)
		}
	}
	if err := c.Validate(); err != nil {
		if fe, ok := errors.AsType[*FieldError](err); ok {
			return Config{}, fmt.Errorf(" line %d: %w", lineOf(file, fe.Key), fe)
		}
		return Config{}, fmt.Errorf(": %w", err)
	}
	return c, nil
}

// positioned turns an error of the YAML library into one line that begins with
// the line number.
func positioned(err error) error {
	ye, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return fmt.Errorf(": %w", err)
	}
	msg := strings.Join(strings.Fields(ye.GetMessage()), " ")
	tok := ye.GetToken()
	if tok == nil {
		return errors.New(": " + msg)
	}
	if _, unknown := errors.AsType[*yaml.UnknownFieldError](err); unknown {
		msg = fmt.Sprintf("unknown key %q: check its spelling and its section (%s)", tok.Value, keys())
	}
	return fmt.Errorf(" line %d: %s", tok.Position.Line, msg)
}

// keys lists every setting, for the error about an unknown one.
func keys() string {
	var sections []string
	for _, section := range fields(reflect.TypeFor[Config]()) {
		if section.Type.Kind() != reflect.Struct {
			sections = append(sections, section.key+": those of WebGear")
			continue
		}
		var names []string
		for _, f := range fields(section.Type) {
			names = append(names, f.key)
		}
		sections = append(sections, section.key+": "+strings.Join(names, ", "))
	}
	return strings.Join(sections, "; ")
}

// lineOf finds the line of a key such as "camera.source", or of the nearest
// section above it.
func lineOf(file *ast.File, key string) int {
	line := 1
	parts := strings.Split(key, ".")
	for i := range parts {
		p, err := yaml.PathString("$." + strings.Join(parts[:i+1], "."))
		if err != nil {
			break
		}
		node, err := p.FilterFile(file)
		if err != nil {
			break
		}
		line = node.GetToken().Position.Line
	}
	return line
}
