package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestDefaultIsValidAndEmptyFileMeansDefault(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "\n", "# nothing\n", "camera: {}\n", "---\n"} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: got %+v, want the defaults", text, c)
		}
	}
}

func TestParseKeepsDefaultsOfKeysThatAreNotNamed(t *testing.T) {
	c, err := Parse([]byte("camera:\n  source: /dev/video2\n  framerate: 15\nlog: {level: debug}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Camera.Source, want.Camera.Framerate, want.Log.Level = "/dev/video2", 15, "debug"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseNamesLineKeyAndRemedy(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "camera:\n  source: auto\n  sorce: x\n", ` line 3: unknown key "sorce": check its spelling`},
		{"unknown section", "cam:\n  source: auto\n", ` line 1: unknown key "cam"`},
		{"repeated key", "log:\n  level: info\n  level: warn\n", ` line 3: `},
		{"wrong type", "camera:\n  framerate: fast\n", ` line 2: `},
		{"not a mapping", "- a\n- b\n", ` line 1: `},
		{"bad yaml", "camera: [\n", ` line 1: `},
		{"tab", "camera:\n\tsource: auto\n", ` line 2: `},
		{"bad size", "camera:\n  source: auto\n  resolution: 12y7\n", ` line 3: camera.resolution: size "12y7": write it as WIDTHxHEIGHT`},
		{"tiny size", "camera: {resolution: 5x5}\n", ` line 1: camera.resolution: size "5x5": each side must be 16 to`},
		{"negative rate", "camera:\n  framerate: -1\n", ` line 2: camera.framerate: -1 must be 0.1 to 1000`},
		{"not a number rate", "camera:\n  framerate: .nan\n", ` line 2: camera.framerate: NaN must be`},
		{"bad format", "camera:\n  format: H264\n", ` line 2: camera.format: unknown pixel format "H264": use one of MJPG`},
		{"empty source", "camera:\n  source: \"\"\n", ` line 2: camera.source: must not be empty`},
		{"bad listen", "http:\n  listen: here\n", ` line 2: http.listen: "here" is no address: write HOST:PORT`},
		{"bad port", "http:\n  listen: :99999\n", ` line 2: http.listen: port "99999"`},
		{"bad api", "camera: {api: opencv}\n", ` line 1: camera.api: "opencv" is none of`},
		{"bad camera", "camera: {camera_num: -1}\n", ` line 1: camera.camera_num: -1 must not`},
		{"bad delay", "camera: {time_delay: -1}\n", ` line 1: camera.time_delay: -1 must be`},
		{"options that are no mapping", "options: 3\n", ` line 1: `},
		{"bad level", "log: {level: loud}\n", ` line 1: log.level: "loud" is none of debug, info, warn, error`},
		{"bad log format", "log:\n  format: xml\n", ` line 2: log.format: "xml" is none of text, json`},
		{"two documents", "log: {}\n---\nlog: {}\n", `more than one YAML document`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has several lines: %q", err)
			}
		})
	}
}

func TestOptionsTakeAnyKey(t *testing.T) {
	c, err := Parse([]byte("options:\n  frame_size_reduction: 25\n  -vf: hflip\n  sensor: {bit_depth: 10}\n"))
	if err != nil || len(c.Options) != 3 || c.Options["-vf"] != "hflip" {
		t.Errorf("got %v, %v", c.Options, err)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{good: "http: {listen: ':8080'}\n", bad: "nope: 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Load(good); err != nil || c.HTTP.Listen != ":8080" {
		t.Errorf("got %+v, %v", c, err)
	}
	for path, want := range map[string]string{
		bad:                           "settings file " + bad + " line 1: unknown key \"nope\"",
		dir:                           "settings file " + dir + ": is not a regular file",
		filepath.Join(dir, "missing"): "settings file " + filepath.Join(dir, "missing") + ": no such file or directory",
	} {
		if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("camera:\n  source: auto\n")
	f.Add("log: {level: [1, 2]}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text))
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("accepted, but not valid: %v", err)
			}
		}
	})
}
