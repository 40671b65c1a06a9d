package firstboot

import (
	"slices"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/config"
)

func TestValuesAreTextAsItStandsThere(t *testing.T) {
	for _, password := range []string{"01234567", "1_000_000", "12345678901234567890", "0x1F00000", "1e10000000", "2024-01-01", "true-true", "null-null"} {
		d := readSetup("password: " + password + "\nwifi: {country: NO, ssid: 0123, password: '" + password + "'}\n")
		if len(d.problems) > 0 || d.passwords[roleAdmin] != password || d.wifi.password != password || string(d.wifi.ssid) != "0123" || d.country != "NO" {
			t.Errorf("%s: got %+v %v", password, d.setup, d.problems)
		}
	}
}

func TestCommentBehindAnUnquotedValueIsNoted(t *testing.T) {
	d := readSetup("password: long enough #1\n")
	if len(d.notes) != 1 || !strings.Contains(d.notes[0], "password line 1: what stands behind # is taken as a comment") || strings.Contains(d.notes[0], "enough") {
		t.Errorf("got %v", d.notes)
	}
}

func TestWipeLeavesTheRestAsItWas(t *testing.T) {
	mark := removedMark
	for _, tt := range []struct{ name, text, want string }{
		{"nothing secret", "hostname: a # c\n", "hostname: a # c\n"},
		{"in a section", "# x\nwifi:\n  ssid: a\n\n  password: \"long enough\"\n    # and\n\n  # y\n  open: no\n", "# x\nwifi:\n  ssid: a\n\n  # password: " + mark + "\n\n  # y\n  open: no\n"},
		{"last without line end", "hostname: a\npassword: long enough", "hostname: a\n# password: " + mark},
		{"comment with it", "password: long enough # and long enough\n# it was long enough before\n#other\n", "# password: " + mark + "\n# a comment with a secret was removed from here\n#other\n"},
		{"quoted key", "\"password\": long enough\n", "# password: " + mark + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := readSetup(tt.text)
			if len(d.problems) > 0 {
				t.Fatal(d.problems)
			}
			if got := wipeSetup(tt.text, d); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestSecretsInBracesGoWithTheWholeFile(t *testing.T) {
	const text = "wifi: {ssid: a, country: DE, password: long enough}\n"
	got := wipeSetup(text, readSetup(text))
	if !strings.HasSuffix(got, Template()) || strings.Contains(got, "long enough") {
		t.Errorf("got %s", got)
	}
}

func TestEditSettingsKeepsTheRestOfTheFile(t *testing.T) {
	for _, tt := range []struct{ name, text, key, value, want string }{
		{"no file", "", "source", `"test"`, "camera:\n  source: \"test\"\n"},
		{"no section", "log:\n  level: info\n\n\n", "source", "0", "log:\n  level: info\ncamera:\n  source: 0\n"},
		{"empty section", "camera:\nlog:\n  level: info\n", "source", "0", "camera:\n  source: 0\nlog:\n  level: info\n"},
		{"set", "camera: # c\n    source: auto # d\n    loop: true\n", "source", "0", "camera: # c\n    source: 0\n    loop: true\n"},
		{"over lines", "camera:\n  controls:\n    gain: 1\n    iris: 2\n\n  loop: true\n", "controls", "{gain: 3}", "camera:\n  controls: {gain: 3}\n\n  loop: true\n"},
		{"commented out", "camera:\n  # where\n  #source: auto\n", "source", "0", "camera:\n  # where\n  source: 0\n"},
		{"of another section", "http:\n  #source: x\ncamera:\n  loop: true\n", "source", "0", "http:\n  #source: x\ncamera:\n  source: 0\n  loop: true\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := editSettings(tt.text, []setting{{tt.key, tt.value, 1}})
			if err != nil || got != tt.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
	for _, text := range []string{"camera: {loop: true}\n", "? camera\n: {loop: true}\n", "camera: [\n", "camera:\n  'source': a\n"} {
		if got, err := editSettings(text, []setting{{"source", "0", 1}}); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestEverySettingOfTheCameraCanBeNamed(t *testing.T) {
	keys := cameraKeys()
	if !slices.Contains(keys, "source") || !slices.Contains(keys, "custom_ffmpeg") || slices.Contains(keys, "") {
		t.Errorf("got %v", keys)
	}
	d := readSetup("camera: {resolution: '', transform: 90, loop: yes, drop_same_frames: 3, linger: never}\n")
	if len(d.problems) != 1 || d.problems[0].Key != "camera.loop" || len(d.camera) != 4 { // yes is no truth in webgear.yaml
		t.Errorf("got %+v", d)
	}
	text, err := editSettings("", d.camera)
	c, err2 := config.Parse([]byte(text), config.ServiceDefault())
	if err != nil || err2 != nil || c.Camera.Transform != "90" || c.Camera.DropSameFrames != 3 || c.Camera.Linger != "never" {
		t.Errorf("got %v %v\n%s", err, err2, text)
	}
}

func FuzzReadSetup(f *testing.F) {
	f.Add([]byte(rightSetup))
	f.Add([]byte(utf16le("password: Überraschung\r\n")))
	f.Add([]byte(latin1("wifi: {ssid: Grüße, password: 'long enough'}\n")))
	f.Add([]byte("password: |\n  long\n  enough\nhostname: &a b\nx: *a\n<<: {}\n"))
	f.Add([]byte("camera:\n  controls: {a: [1], b: {c: d}}\n  source: http://a:b@c/\n"))
	f.Add([]byte(Template()))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, form, err := decode(data)
		if err != nil {
			return
		}
		d := readSetup(text)
		for _, p := range d.problems {
			if p.Line < 1 || p.Text == "" || p.Remedy == "" || strings.Contains(p.Text, "\n") {
				t.Errorf("problem %+v", p)
			}
		}
		if len(d.problems) > 0 {
			return
		}
		wiped := wipeSetup(text, d)
		checkWiped(t, d, readSetup(wiped), wiped)
		if again, _, err := decode(form.encode(wiped)); err != nil || again != wiped {
			t.Errorf("%q came back as %q, %v", wiped, again, err)
		}
		if _, err := editSettings("", d.camera); err != nil {
			t.Errorf("settings %+v: %v", d.camera, err)
		}
	})
}
