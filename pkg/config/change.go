package config

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Effect is what a change of a setting takes in a running program.
type Effect string

// Effects, from the least.
const (
	// Live changes are in force at once.
	Live Effect = "live"
	// Reopen: the camera is opened anew, viewers stay connected.
	Reopen Effect = "reopen"
	// Restart: the program has to be started again.
	Restart Effect = "restart"
)

// Change is one setting that differs.
type Change struct {
	// Key is the path of the setting, such as "camera.framerate".
	Key    string `json:"key"`
	Effect Effect `json:"effect"`
}

// Changes lists what is different in after, in the order of the settings; the
// entries of a mapping count one by one.
func Changes(before, after Config) []Change {
	var all []Change
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	for _, section := range fields(a.Type()) {
		x, y := a.FieldByIndex(section.Index), b.FieldByIndex(section.Index)
		if section.Type.Kind() != reflect.Struct {
			all = append(all, entries(section, section.key, x, y)...)
			continue
		}
		for _, f := range fields(section.Type) {
			all = append(all, entries(f, section.key+"."+f.key, x.FieldByIndex(f.Index), y.FieldByIndex(f.Index))...)
		}
	}
	return all
}

// entries lists the differences of one setting, or of the entries of a mapping.
func entries(f field, key string, x, y reflect.Value) (all []Change) {
	effect := cmp.Or(Effect(f.Tag.Get("reload")), Restart)
	before, isMap := reflect.TypeAssert[map[string]any](x)
	if !isMap {
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			all = append(all, Change{key, effect})
		}
		return all
	}
	after, _ := reflect.TypeAssert[map[string]any](y)
	names := maps.Clone(before)
	if names == nil {
		names = map[string]any{}
	}
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		is, has := after[name]
		if had != has || !reflect.DeepEqual(was, is) {
			all = append(all, Change{key + "." + name, effect})
		}
	}
	return all
}

// field is one field of a settings struct, with its name in the file.
type field struct {
	reflect.StructField
	key string
}

// fields lists those of a struct.
func fields(t reflect.Type) (all []field) {
	for f := range t.Fields() {
		all = append(all, field{f, f.Tag.Get("yaml")})
	}
	return all
}

// Take copies one setting, by the key of a [Change], from another Config.
func (c *Config) Take(key string, from Config) {
	to, source := reflect.ValueOf(c).Elem(), reflect.ValueOf(from)
	for _, section := range fields(to.Type()) {
		x, y := to.FieldByIndex(section.Index), source.FieldByIndex(section.Index)
		if section.Type.Kind() != reflect.Struct {
			takeEntry(x, y, section.key, key)
			continue
		}
		for _, f := range fields(section.Type) {
			name := section.key + "." + f.key
			if name == key {
				x.FieldByIndex(f.Index).Set(y.FieldByIndex(f.Index))
			} else {
				takeEntry(x.FieldByIndex(f.Index), y.FieldByIndex(f.Index), name, key)
			}
		}
	}
}

// takeEntry copies one entry of a mapping, if that is what the key names.
func takeEntry(x, y reflect.Value, setting, key string) {
	entry, ok := strings.CutPrefix(key, setting+".")
	to, isMap := reflect.TypeAssert[map[string]any](x)
	if !ok || !isMap {
		return
	}
	from, _ := reflect.TypeAssert[map[string]any](y)
	to = maps.Clone(to) // others may hold the old one
	if to == nil {
		to = map[string]any{}
	}
	if v, has := from[entry]; has {
		to[entry] = v
	} else {
		delete(to, entry)
	}
	x.Set(reflect.ValueOf(to))
}
