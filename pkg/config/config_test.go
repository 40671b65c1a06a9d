package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/auth"
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
		{"negative connections", "http: {max_connections: -1}\n", ` line 1: http.max_connections: -1 must not be negative; 0 means no bound`},
		{"negative connections of one", "http: {max_connections_per_address: -1}\n", ` line 1: http.max_connections_per_address: -1 must not`},
		{"bad tls", "http:\n  tls: true\n", ` line 2: http.tls: "true" is none of off, self-signed, files`},
		{"bad tls address", "http:\n  tls_listen: here\n", ` line 2: http.tls_listen: "here" is no address: write HOST:PORT, such as 127.0.0.1:8443`},
		{"files without certificate", "http:\n  tls: files\n", ` line 2: http.certificate: is needed with http.tls: files`},
		{"files without key", "http:\n  tls: files\n  certificate: /x\n", ` line 2: http.key: is needed with http.tls: files`},
		{"redirect to nowhere", "http:\n  listen: :80\n  redirect: true\n", ` line 3: http.redirect: there is no HTTPS to send browsers to: set http.tls`},
		{"bad mode", "access: {mode: closed}\n", ` line 1: access.mode: "closed" is none of password, open`},
		{"bad account", "access:\n  accounts:\n    - {name: Eve, role: viewer, hash: x}\n", ` line 3: access.accounts[0].name: "Eve": an account's name is 1 to 32 of`},
		{"bad role", "access:\n  accounts:\n    - {name: eve, role: owner, hash: x}\n", ` line 3: access.accounts[0].role: "owner": a role is viewer or admin`},
		{"bad hash", "access:\n  accounts:\n    - name: eve\n      role: viewer\n      hash: secret\n", ` line 5: access.accounts[0].hash: is no argon2id hash: make one with webgear hash-password`},
		{"account twice", "access:\n  accounts:\n" + account("eve") + account("bob") + account("eve"), ` line 5: access.accounts[2].name: eve is there twice`},
		{"host with port", "access:\n  hosts: [ok.example, 'x.example:80']\n", ` line 2: access.hosts[1]: "x.example:80": write a name such as`},
		{"origin with path", "access: {origins: [https://a.example/x]}\n", ` line 1: access.origins[0]: "https://a.example/x": write origins such as`},
		{"frame of a name", "access: {frame_ancestors: [a.example]}\n", ` line 1: access.frame_ancestors[0]: "a.example": write origins such as https://home.example:8123, or * for all`},
		{"proxy by name", "access: {trusted_proxies: [nginx]}\n", ` line 1: access.trusted_proxies[0]: "nginx": write addresses such as 192.168.1.2`},
		{"claim from a name", "access: {claim_from: [home]}\n", ` line 1: access.claim_from[0]: "home": write addresses such as`},
		{"unknown key of an account", "access:\n  accounts:\n    - {name: eve, pasword: x}\n", ` line 3: unknown key "pasword"`},
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

// goodHash is of the password "correct horse".
const goodHash = "$argon2id$v=19$m=4096,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

// account is an entry of access.accounts.
func account(name string) string {
	return "    - {name: " + name + ", role: viewer, hash: '" + goodHash + "'}\n"
}

func TestAccessIsReadAsPackageAuthTakesIt(t *testing.T) {
	c, err := Parse([]byte("access:\n  mode: open\n  accounts:\n"+account("eve")+"  hosts: [a.example]\n  origins: ['https://h.example:8123']\n"+
		"  frame_ancestors: ['*']\n  trusted_proxies: [127.0.0.1, '::1', 10.0.0.0/8]\n  claim_from: [100.64.0.0/10]\n"), Default())
	if err != nil {
		t.Fatal(err)
	}
	all := c.Access.Presets()
	if len(all) != 1 || all[0].Name != "eve" || all[0].Role != auth.Viewer || all[0].Hash != goodHash {
		t.Errorf("accounts %+v", all)
	}
	if got := fmt.Sprint(c.Access.Proxies(), c.Access.Claimants()); got != "[127.0.0.1/32 ::1/128 10.0.0.0/8] [100.64.0.0/10]" {
		t.Errorf("networks %s", got)
	}
}

func TestErrorsNeverRepeatAHash(t *testing.T) {
	for _, hash := range []string{"hush-hush", "$argon2id$v=19$m=1,t=1,p=1$hush-hush$hush-hush", "$2y$10$hush-hush"} {
		for _, text := range []string{
			"access: {accounts: [{name: eve, role: viewer, hash: '" + hash + "'}]}\n",
			"access: {accounts: [{name: eve, role: viewer, hash: ['" + hash + "']}]}\n",
		} {
			_, err := Parse([]byte(text), Default())
			if err == nil || strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("%s: %v", text, err)
			}
		}
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
