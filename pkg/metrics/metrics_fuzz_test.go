package metrics

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzPage holds that no label and no help text can add a line or end a value.
func FuzzPage(f *testing.F) {
	f.Add("HD Pro Webcam C920", "What it is.", 1.5)
	f.Add("a\"} 1\nevil{x=\"", `C:\x`, 0.0)
	f.Add("\\", "a\nb", -1e300)
	f.Add("\xff\r", "\x00", 3.0)
	line := regexp.MustCompile(`^name\{label="((?:[^"\\\n]|\\["\\n])*)"\} [-+0-9.eInfNa]+$`)
	f.Fuzz(func(t *testing.T, label, help string, value float64) {
		var p Page
		p.Family("name", "gauge", help)
		p.Value("name", value, Label{"label", label})
		lines := strings.Split(strings.TrimSuffix(string(p.Bytes()), "\n"), "\n")
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "# HELP name ") || lines[1] != "# TYPE name gauge" {
			t.Fatalf("%q", p.Bytes())
		}
		m := line.FindStringSubmatch(lines[2])
		if m == nil {
			t.Fatalf("%q", lines[2])
		}
		if got := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\"`, `"`).Replace(m[1]); got != label {
			t.Errorf("%q became %q", label, got)
		}
	})
}
