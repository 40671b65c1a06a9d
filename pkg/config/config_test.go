package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func TestDefaultIsValidAndEmptyFileMeansDefault(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "\n", "# nothing\n", "camera: {}\n", "---\n"} {
		c, err := Parse([]byte(text), Default())
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: got %+v, want the defaults", text, c)
		}
	}
}

func TestParseKeepsDefaultsOfKeysThatAreNotNamed(t *testing.T) {
	c, err := Parse([]byte("camera:\n  source: /dev/video2\n  framerate: 15\nlog: {level: debug}\n"), Default())
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
		{"bad linger", "camera: {linger: soon}\n", ` line 1: camera.linger: "soon" is no time span: write it as 30s, 5m or 1h30m, or never`},
		{"long linger", "camera: {linger: 25h}\n", ` line 1: camera.linger: 25h must be 0s to 24h, or never`},
		{"control that is a list", "camera:\n  controls:\n    gain: [1]\n", ` line 3: camera.controls.gain: must be a number, true, false or text`},
		{"control that is no number", "camera: {controls: {gain: .inf}}\n", ` line 1: camera.controls.gain: +Inf must be a finite number`},
		{"bad encoder", "camera: {encoder: gpu}\n", ` line 1: camera.encoder: "gpu" is none of auto, software`},
		{"bad subsampling", "camera: {subsampling: 422}\n", ` line 1: camera.subsampling: "422" is none of 420, keep`},
		{"bad transform", "camera: {transform: 45}\n", ` line 1: camera.transform: "45" is none of 90, 180, 270, hflip, vflip`},
		{"too many dropped", "camera: {drop_same_frames: 1001}\n", ` line 1: camera.drop_same_frames: 1001 must be 0 to 1000`},
		{"negative viewers", "http: {max_viewers: -1}\n", ` line 1: http.max_viewers: -1 must not be negative`},
		{"negative viewers of one", "http: {max_viewers_per_address: -1}\n", ` line 1: http.max_viewers_per_address: -1 must not be negative`},
		{"bad timeout", "http: {viewer_timeout: 10}\n", ` line 1: http.viewer_timeout: "10" is no time span`},
		{"short timeout", "http: {viewer_timeout: 10ms}\n", ` line 1: http.viewer_timeout: 10ms must be 1s to 1h`},
		{"two documents", "log: {}\n---\nlog: {}\n", `more than one YAML document`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text), Default())
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
	c, err := Parse([]byte("options:\n  frame_size_reduction: 25\n  -vf: hflip\n  sensor: {bit_depth: 10}\n"), Default())
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
	if c, err := Load(good, Default()); err != nil || c.HTTP.Listen != ":8080" {
		t.Errorf("got %+v, %v", c, err)
	}
	for path, want := range map[string]string{
		bad:                           "settings file " + bad + " line 1: unknown key \"nope\"",
		dir:                           "settings file " + dir + ": is not a regular file",
		filepath.Join(dir, "missing"): "settings file " + filepath.Join(dir, "missing") + ": no such file or directory",
	} {
		if _, err := Load(path, Default()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("camera:\n  source: auto\n")
	f.Add("log: {level: [1, 2]}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text), Default())
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("accepted, but not valid: %v", err)
			}
		}
	})
}

func TestTimesAndControlsHaveTheirValues(t *testing.T) {
	c, err := Parse([]byte("camera: {linger: 1h30m, transform: 90, subsampling: 420, controls: {a: 1, b: -2.5, c: true, d: Manual Mode, e: no}}\n"), Default())
	if err != nil {
		t.Fatal(err)
	}
	d, always, err := c.Camera.Lingers()
	if d != 90*time.Minute || always || err != nil || c.Camera.Transform != "90" || c.Camera.Subsampling != "420" {
		t.Errorf("got %v, %v, %v, %+v", d, always, err, c.Camera)
	}
	got, err := c.Camera.ControlValues()
	want := map[string]device.ControlValue{
		"a": device.NumberValue(1), "b": device.NumberValue(-2.5), "c": device.NumberValue(1), "d": device.TextValue("Manual Mode"), "e": device.TextValue("no"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	c.Camera.Linger = "never"
	if _, always, err = c.Camera.Lingers(); !always || err != nil {
		t.Errorf("never: %v, %v", always, err)
	}
	if d, err := c.HTTP.Timeout(); d != 10*time.Second || err != nil {
		t.Errorf("timeout %v, %v", d, err)
	}
}
