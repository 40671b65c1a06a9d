package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

func readme(t *testing.T) string {
	t.Helper()
	return read(t, "../../README.md")
}

func TestSettingsOfTheReadmeAreAccepted(t *testing.T) {
	_, rest, ok := strings.Cut(readme(t), "```yaml\n")
	text, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("no settings in the README")
	}
	c, err := config.Parse([]byte(text), config.Default())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	_, left := webgear.ParseSettings(c.Options, func(key, reason string) { t.Errorf("%s: %s", key, reason) })
	if len(left) != 0 {
		t.Errorf("unknown options %v", left)
	}
	if c.Camera.Source != config.Default().Camera.Source || c.HTTP != config.Default().HTTP || c.Log != config.Default().Log ||
		c.Access.Mode != config.Default().Access.Mode || len(c.Access.Presets())+len(c.Access.Proxies())+len(c.Access.Hosts) > 0 {
		t.Errorf("not the defaults: %+v", c)
	}
	// Every setting is there, so that the list is whole.
	for line := range strings.SplitSeq("source resolution framerate format linger controls encoder codec subsampling transform drop_same_frames max_viewers max_viewers_per_address viewer_timeout loop api camera_num stream_mode stabilize colorspace time_delay source_demuxer custom_ffmpeg listen level max_connections max_connections_per_address tls tls_listen certificate key redirect mode accounts hosts origins frame_ancestors trusted_proxies claim_from", " ") {
		if !strings.Contains(text, "  "+line+":") {
			t.Errorf("%s is missing", line)
		}
	}
}

func TestFlagsOfTheReadmeExist(t *testing.T) {
	known := map[string]bool{"json": true, "report": true, "controls": true, "overwrite": true, "custom-data-location": true, "help": true, "frame": true, "role": true, "life": true, "revoke-all": true}
	fs, _ := newRunFlags()
	count := 0
	for _, m := range regexp.MustCompile("`[^`\n]*`").FindAllString(readme(t), -1) {
		for _, f := range regexp.MustCompile(`(?:^|[ \x60])--([a-z][a-z_-]*[a-z])`).FindAllStringSubmatch(m, -1) {
			count++
			if fs.Lookup(f[1]) == nil && !known[f[1]] {
				t.Errorf("%s: there is no flag --%s", m, f[1])
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d flags were found", count)
	}
}

func TestOptionsOfTheReadmeAreKnown(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "\n### Options\n")
	table, _, _ := strings.Cut(rest, "\n### ")
	values := map[string]any{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+|[A-Z_]+)`").FindAllStringSubmatch(table, -1) {
		values[m[1]] = []any{"no value that could be used"}
	}
	if len(values) < 20 {
		t.Fatalf("only %d options were found", len(values))
	}
	args := []string{"--source", "test:320x240", "-op", "{" + strings.Join(flow(values), ", ") + "}"}
	log := launch(t, args...).stderr.String()
	for key := range values {
		if !strings.Contains(log, "key="+key+" ") || strings.Contains(log, "key="+key+" reason=unknown") {
			t.Errorf("%s is not known", key)
		}
	}
}

// flow writes keys of YAML whose values are lists.
func flow(values map[string]any) (all []string) {
	for key := range values {
		all = append(all, key+": [no]")
	}
	return all
}
