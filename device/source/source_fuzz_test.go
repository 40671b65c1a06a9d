package source

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device/v4l2"
)

// FuzzParse reads what a person may write as a source. Nothing is opened for it,
// an error is one line, and what is shown of it means the same shown again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"auto", "0", "/dev/video0:1280x720@30", "test:640x480", "csi:0:1920x1080", "bus:usb-1.2", "clip.mp4", "-i", "rtsp://user:pass@cam/1", "http://cam/video",
		"videotestsrc ! appsink", "v4l2src device=/dev/video0 ! jpegdec ! video/x-raw ! appsink", "https://youtu.be/x", "file:///etc/passwd", "\x00", "%d.jpg",
		"tcp://@:5000", "udp://[::1]:5000", "concat:a|b", "screen", strings.Repeat("9", 100), "test:99999x99999@1e9", "frames/*.mjpeg", "a\nb",
	} {
		f.Add(s, "")
	}
	f.Add("rtsp://cam/1", "ffgear")
	f.Add("0", "pigear")
	f.Add("cam.jpg", "camgear")
	root := f.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Setenv("PATH", f.TempDir()) // no helper programs: nothing may run anyway
	var log bytes.Buffer
	drv := v4l2.New(v4l2.Config{Root: root, Logger: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, spec, api string) {
		log.Reset()
		s, err := Parse(spec, Options{API: API(api)}, drv, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 2000+6*(len(spec)+len(api)) {
				t.Errorf("%q: %q", spec, err)
			}
			return
		}
		if s.Open == nil || s.Name == "" {
			t.Errorf("%q: %+v", spec, s)
		}
		if w := s.Want; w.Width < 0 || w.Height < 0 || !(w.Rate.Float() >= 0 && w.Rate.Float() <= 1000) {
			t.Errorf("%q wants %+v", spec, w)
		}
		if again := Shown(s.Name); again != s.Name {
			t.Errorf("%q is shown as %q, and then as %q", spec, s.Name, again)
		}
	})
}

// FuzzShown holds that a password in an address is shown to nobody.
func FuzzShown(f *testing.F) {
	f.Add("rtsp", "user", "hunter2", "cam:554/1?x=y")
	f.Add("http", "", "a'b", "cam/?pwd=hunter2&width=3")
	f.Add("RTSP", "a%40b", "p%2fw", "[::1]/")
	f.Add("http+tls", "u", "x@y", "cam")
	f.Fuzz(func(t *testing.T, scheme, name, password, rest string) {
		const marker = "QQsecretQQ"
		// What URLs can hold: everything else is escaped by who writes them.
		if strings.ContainsAny(scheme+name, "/@ \t\r\n\f\v\"':?#") || strings.ContainsAny(password, "/ \t\r\n\f\v\"'?#@") || scheme == "" {
			return
		}
		spec := scheme + "://" + name + ":" + password + marker + "@" + rest
		if got := Shown(spec); strings.Contains(got, marker) && !strings.Contains(rest, marker) {
			t.Errorf("%q is shown as %q", spec, got)
		}
		spec = scheme + "://" + name + "/?password=" + marker
		if got := Shown(spec); strings.Contains(got, marker) {
			t.Errorf("%q is shown as %q", spec, got)
		}
		if got := Shown(spec); Shown(got) != got {
			t.Errorf("%q, and then %q", got, Shown(got))
		}
	})
}
