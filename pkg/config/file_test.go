package config

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shipped is the settings file of the package.
func shipped(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../rootfs-overlay/etc/webgear/webgear.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// uncommented makes settings of the lines that only show the defaults.
func uncommented(text string) string {
	return regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(text, "$1$2")
}

func TestShippedFileMeansTheDefaultsOfTheService(t *testing.T) {
	c, err := Parse([]byte(shipped(t)), ServiceDefault())
	if err != nil || !reflect.DeepEqual(c, ServiceDefault()) {
		t.Errorf("as it is: %+v, %v", c, err)
	}
	// Parsed over nothing, so that each value is that of the file.
	c, err = Parse([]byte(uncommented(shipped(t))), Config{})
	if c.Options == nil || len(c.Options) != 0 || c.Camera.Controls == nil || len(c.Camera.Controls) != 0 {
		t.Errorf("mappings: %v, %v", c.Options, c.Camera.Controls)
	}
	c.Options, c.Camera.Controls = nil, nil
	for f := range reflect.TypeFor[Access]().Fields() { // an empty list is as good as none
		if v := reflect.ValueOf(&c.Access).Elem().FieldByIndex(f.Index); v.Kind() == reflect.Slice && v.Len() == 0 {
			v.SetZero()
		}
	}
	if err != nil || !reflect.DeepEqual(c, ServiceDefault()) {
		t.Errorf("with all defaults taken in:\ngot  %+v\nwant %+v, %v", c, ServiceDefault(), err)
	}
}

func TestShippedFileNamesEverySettingOnce(t *testing.T) {
	count := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^ *#?([a-z_]+):`).FindAllStringSubmatch(shipped(t), -1) {
		count[m[1]]++
	}
	want := map[string]int{}
	for _, section := range fields(reflect.TypeFor[Config]()) {
		want[section.key]++
		if section.Type.Kind() == reflect.Struct {
			for _, f := range fields(section.Type) {
				want[f.key]++
			}
		}
	}
	if !maps.Equal(count, want) {
		t.Errorf("got  %v\nwant %v", count, want)
	}
}

func TestEverySettingSaysWhatAChangeTakes(t *testing.T) {
	for _, section := range fields(reflect.TypeFor[Config]()) {
		list := []field{section}
		if section.Type.Kind() == reflect.Struct {
			list = fields(section.Type)
		}
		for _, f := range list {
			if e := Effect(f.Tag.Get("reload")); !slices.Contains([]Effect{Live, Reopen, Restart}, e) {
				t.Errorf("%s: %q", f.key, e)
			}
		}
	}
}

func TestManualOfTheFileNamesEverySetting(t *testing.T) {
	data, err := os.ReadFile("../../packaging/deb/webgear.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, section := range fields(reflect.TypeFor[Config]()) {
		if section.Type.Kind() != reflect.Struct {
			continue
		}
		for _, f := range fields(section.Type) {
			if !strings.Contains(text, "\n.B "+section.key+"."+f.key) {
				t.Errorf("%s.%s is missing", section.key, f.key)
			}
		}
	}
}
