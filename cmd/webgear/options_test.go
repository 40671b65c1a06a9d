package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/config"
)

func parseRun(t *testing.T, args ...string) (config.Config, error) {
	t.Helper()
	c, _, err := parseRunFlags(args, world{stdout: io.Discard, stderr: io.Discard})
	return c, err
}

func TestFlagsOfWebGearMeanTheSameHere(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want func(c *config.Config)
	}{
		{[]string{"-s", "clip.mp4"}, func(c *config.Config) { c.Camera.Source = "clip.mp4" }},
		{[]string{"--source", "0"}, func(c *config.Config) { c.Camera.Source = "0" }},
		{[]string{"-a", "ffgear"}, func(c *config.Config) { c.Camera.API = "ffgear" }},
		{[]string{"--api", "pigear"}, func(c *config.Config) { c.Camera.API = "pigear" }},
		{[]string{"-S"}, func(c *config.Config) { c.Camera.Stabilize = true }},
		{[]string{"--stabilize"}, func(c *config.Config) { c.Camera.Stabilize = true }},
		{[]string{"-yt"}, func(c *config.Config) { c.Camera.StreamMode = true }},
		{[]string{"--stream_mode"}, func(c *config.Config) { c.Camera.StreamMode = true }},
		{[]string{"-b", "1800"}, func(*config.Config) {}},
		{[]string{"--backend", "0"}, func(*config.Config) {}},
		{[]string{"-cn", "1"}, func(c *config.Config) { c.Camera.CameraNum = 1 }},
		{[]string{"--camera_num", "1"}, func(c *config.Config) { c.Camera.CameraNum = 1 }},
		{[]string{"-r", "1280x720"}, func(c *config.Config) { c.Camera.Resolution = "1280x720" }},
		{[]string{"-r", "(640,480)"}, func(c *config.Config) { c.Camera.Resolution = "640x480" }},
		{[]string{"--resolution", "(640, 480)"}, func(c *config.Config) { c.Camera.Resolution = "640x480" }},
		{[]string{"-r", "640,480"}, func(c *config.Config) { c.Camera.Resolution = "640x480" }},
		{[]string{"-f", "60"}, func(c *config.Config) { c.Camera.Framerate = 60 }},
		{[]string{"--framerate", "29.97"}, func(c *config.Config) { c.Camera.Framerate = 29.97 }},
		{[]string{"-cs", "COLOR_BGR2GRAY"}, func(c *config.Config) { c.Camera.Colorspace = "COLOR_BGR2GRAY" }},
		{[]string{"--colorspace", "x"}, func(c *config.Config) { c.Camera.Colorspace = "x" }},
		{[]string{"-td", "2"}, func(c *config.Config) { c.Camera.TimeDelay = 2 }},
		{[]string{"--time_delay", "0.5"}, func(c *config.Config) { c.Camera.TimeDelay = 0.5 }},
		{[]string{"-ip", "0.0.0.0"}, func(c *config.Config) { c.HTTP.Listen = "0.0.0.0:8000" }},
		{[]string{"--ipaddress", "::"}, func(c *config.Config) { c.HTTP.Listen = "[::]:8000" }},
		{[]string{"-pt", "9000"}, func(c *config.Config) { c.HTTP.Listen = "127.0.0.1:9000" }},
		{[]string{"-ip", "10.0.0.1", "--port", "9000"}, func(c *config.Config) { c.HTTP.Listen = "10.0.0.1:9000" }},
		{[]string{"--listen", ":7000", "-ip", "10.0.0.1"}, func(c *config.Config) { c.HTTP.Listen = "10.0.0.1:7000" }},
		{[]string{"-l"}, func(c *config.Config) { c.Log.Level = "debug" }},
		{[]string{"--logging"}, func(c *config.Config) { c.Log.Level = "debug" }},
		{[]string{"--logging", "--log-level", "error"}, func(c *config.Config) { c.Log.Level = "error" }},
		{[]string{"-m", "mjpeg"}, func(*config.Config) {}},
		{[]string{"--mode", "mjpeg"}, func(*config.Config) {}},
		{[]string{"-ep"}, func(c *config.Config) { c.Camera.API = "pigear" }},
		{[]string{"--enablePiCamera", "-a", "camgear"}, func(c *config.Config) { c.Camera.API = "camgear" }},
		{[]string{"-sd", "v4l2"}, func(c *config.Config) { c.Camera.Demuxer = "v4l2" }},
		{[]string{"--source_demuxer", "lavfi"}, func(c *config.Config) { c.Camera.Demuxer = "lavfi" }},
		{[]string{"-ff", "bgr24"}, func(*config.Config) {}},
		{[]string{"--frame_format", "gray"}, func(*config.Config) {}},
		{[]string{"-cf", "/opt/ffmpeg"}, func(c *config.Config) { c.Camera.FFmpeg = "/opt/ffmpeg" }},
		{[]string{"--custom_ffmpeg", "/opt"}, func(c *config.Config) { c.Camera.FFmpeg = "/opt" }},
		{[]string{"-op", `{"a": True, "b": [1, 2.5], ' c ': 'x', "d": {"e": False}}`}, func(c *config.Config) {
			c.Options = map[string]any{"a": true, "b": []any{uint64(1), 2.5}, "c": "x", "d": map[string]any{"e": false}}
		}},
		{[]string{"--options", "frame_size_reduction: 25\njpeg_compression_quality: 80"}, func(c *config.Config) {
			c.Options = map[string]any{"frame_size_reduction": uint64(25), "jpeg_compression_quality": uint64(80)}
		}},
		{[]string{"-op", ""}, func(c *config.Config) { c.Options = map[string]any{} }},
		{[]string{"-op", "{}"}, func(c *config.Config) { c.Options = map[string]any{} }},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			want := config.Default()
			tt.want(&want)
			got, err := parseRun(t, tt.args...)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestEveryAliasLeadsToAFlag(t *testing.T) {
	fs, _ := newRunFlags()
	for short, long := range aliases() {
		if s, l := fs.Lookup(short), fs.Lookup(long); s == nil || l == nil || s.Value != l.Value {
			t.Errorf("-%s and --%s: %v and %v", short, long, s, l)
		}
	}
	if n := len(aliases()); n != 19 {
		t.Errorf("%d aliases, want the 19 of WebGear", n)
	}
}

func TestOptionsOfTheCommandLineWinOverThoseOfTheFile(t *testing.T) {
	file := write(t, "both.yaml", "options: {frame_size_reduction: 10, ' jpeg_compression_quality ': 20, x: 1}\n")
	c, err := parseRun(t, "--config", file, "-op", `{" frame_size_reduction ": 50}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Options); got != "map[ jpeg_compression_quality :20 frame_size_reduction:50 x:1]" {
		t.Errorf("got %s", got)
	}
}

func TestBadFlagsOfWebGearAreOneLineAndExitCode2(t *testing.T) {
	notADir := write(t, "file", "")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"-op", `{"a": True`}, []string{"--options", "no YAML mapping", "frame_size_reduction"}},
		{[]string{"-op", "[1, 2]"}, []string{"--options", "no YAML mapping"}},
		{[]string{"-op", "text"}, []string{"--options", "no YAML mapping"}},
		{[]string{"-op", "a\n b: c\n- d"}, []string{"--options", "no YAML mapping"}},
		{[]string{"-op", `{"a": 1, "a": 2}`}, []string{"--options", "already defined"}},
		{[]string{"-op", `{"custom_data_location": "/nonexistent"}`}, []string{"--options", "custom_data_location /nonexistent", "no such directory", "mkdir"}},
		{[]string{"-op", fmt.Sprintf(`{"custom_data_location": %q}`, notADir)}, []string{"--options", notADir, "not a directory"}},
		{[]string{"-m", "webrtc"}, []string{"--mode webrtc", "only mjpeg"}},
		{[]string{"-a", "opencv"}, []string{"--api", `"opencv"`, "camgear, pigear, ffgear"}},
		{[]string{"-r", "(640,480,3)"}, []string{"--resolution"}},
		{[]string{"-r", "(8,8)"}, []string{"--resolution", "16 to"}},
		{[]string{"-cn", "-1"}, []string{"--camera_num", "negative"}},
		{[]string{"-td", "-1"}, []string{"--time_delay", "0 to 3600"}},
		{[]string{"-pt", "http"}, []string{"--port http", "0 to 65535"}},
		{[]string{"-pt", "70000"}, []string{"--port 70000", "0 to 65535"}},
		{[]string{"-b", "any"}, []string{"-b", "any"}},
		{[]string{"--debug-errors", "-ip", "0.0.0.0"}, []string{"--debug-errors", "others can reach", "127.0.0.1"}},
		{[]string{"-yt", "-s", "ftp://me:secret@host/x"}, []string{"--source ftp://me:xxxxx@host/x", "no known protocol"}},
		{[]string{"-s", "0"}, []string{"--source 0", "camera 0", "(0 found)"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			args := append([]string{"run", "--listen", "127.0.0.1:0", "--source", "test"}, tt.args...)
			code, _, stderr := execute(t, args...)
			if code != exitUsage || strings.Count(stderr, "\n") != 1 || strings.Count(stderr, "webgear: ") != 1 {
				t.Errorf("code %d, want 2 and one line:\n%s", code, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("does not say %q: %s", want, stderr)
				}
			}
		})
	}
}

func TestBadDataLocationOfTheSettingsFileIsExitCode78(t *testing.T) {
	file := write(t, "place.yaml", "camera: {source: test}\nhttp: {listen: '127.0.0.1:0'}\noptions: {custom_data_location: /nonexistent}\n")
	code, _, stderr := execute(t, "run", "--config", file)
	if code != exitConfig || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "settings file "+file) || !strings.Contains(stderr, "/nonexistent") {
		t.Errorf("code %d: %s", code, stderr)
	}
	if code, _, stderr = execute(t, "run", "--config", file, "-op", "{custom_data_location: /nowhere}"); code != exitUsage {
		t.Errorf("from the command line: code %d: %s", code, stderr)
	}
}

func TestUnknownOptionIsOneWarningThatNamesTheKey(t *testing.T) {
	i := launch(t, "--source", "test:320x240", "-op", `{"frame_jpeg_quality": 90, "CAP_PROP_ZOOM": 2, "-vf": "hflip", "buffer_count": 4, "frame_size_reduction": 50}`)
	log := i.stderr.String()
	for _, key := range []string{"frame_jpeg_quality", "CAP_PROP_ZOOM", "-vf", "buffer_count"} {
		if n := strings.Count(log, "key="+key+" "); n != 1 {
			t.Errorf("%s: %d warnings, want 1", key, n)
		}
	}
	if n := strings.Count(log, "level=WARN"); n != 4 {
		t.Errorf("%d warnings, want 4:\n%s", n, log)
	}
}

func TestStateDoesNotShowThePasswordOfTheSource(t *testing.T) {
	i := launch(t, "--source", "http://me:topsecret@127.0.0.1:9/x?pwd=hidden", "-l")
	for _, path := range []string{"/state", "/"} {
		body := i.get(t, path).body
		if path == "/state" && !strings.Contains(string(body), "http://me:xxxxx@127.0.0.1:9/x?pwd=xxxxx") {
			t.Errorf("%s does not show the source:\n%s", path, body)
		}
		if strings.Contains(string(body), "topsecret") || strings.Contains(string(body), "=hidden") {
			t.Errorf("%s:\n%s", path, body)
		}
	}
	if log := i.stderr.String(); strings.Contains(log, "topsecret") {
		t.Errorf("log:\n%s", log)
	}
}
