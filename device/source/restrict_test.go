package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyHarmlessSourcesMayComeFromElsewhere(t *testing.T) {
	for spec, want := range map[string]bool{
		"auto": true, "test": true, "test:640x480@30": true, "0": true, "12:640x480": true, "csi": true, "csi:0": true, "libcamera:imx708": true,
		"/dev/video0": true, "/dev/video2:1280x720@30": true, "/dev/v4l/by-id/usb-046d_C920-video-index0": true, "bus:usb-0000:01:00.0-1.2": true,
		"csi:/base/soc/i2c0mux/i2c@1/imx708@1a": true,
		"http://camera/video":                   true, "https://me:secret@camera.example:8443/x?y=1": true, "rtsp://10.0.0.5/live": true, "rtsps://[2001:db8::1]/a": true,

		"": false, "-i": false, "--help": false, "-": false, "a\nb": false, "auto\x00": false, "test:9x9": false, "/dev/mem": false, "/dev/../etc/passwd": false,
		"/dev/v4l/by-id/../../../etc/shadow": false, "/dev/video0/../../etc/passwd": false, "csi:-x": false, "csi:../x": false, strings.Repeat("h", maxSpec+1): false,
		"videotestsrc ! appsink": false, "filesrc location=/etc/passwd ! appsink": false, "gst:x": false,
		"file:///etc/passwd": false, "file:/etc/passwd": false, "concat:a|b": false, "pipe:0": false, "subfile:x": false, "data:image/jpeg,x": false,
		"lavfi:testsrc": false, "udp://@:1234": false, "tcp://0.0.0.0:1?listen": false, "rtp://camera": false, "srt://:9000?mode=listener": false,
		"crypto+http://x/": false, "HTTPS://": false, "http:camera": false, "http:///x": false, "http://user:pa ss@camera/": false, "http://camera\\x/": false,
		"http://localhost:8000/": false, "http://LOCALHOST./": false, "http://x.localhost/": false, "http://127.0.0.1/": false, "http://127.1/": false,
		"http://2130706433/": false, "http://0x7f000001/": false, "http://[::1]/": false, "http://[::ffff:127.0.0.1]/": false, "http://0.0.0.0/": false,
		"http://169.254.169.254/latest/meta-data": false, "http://[fe80::1]/": false, "rtsp://224.0.0.1/": false,
		"clip.mp4": false, "../clip.mp4": false, "/etc/passwd": false, "/nonexistent": false, "img%03d.jpg": false,
	} {
		if err := CheckRestricted(spec, nil); (err == nil) != want {
			t.Errorf("%.80q: %v", spec, err)
		}
	}
}

func TestFilesFromElsewhereStayInTheirFolders(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "recordings"), filepath.Join(dir, "private")
	for _, d := range []string{inside, outside, filepath.Join(inside, "day"), filepath.Join(dir, "recordings2")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{inside + "/a.mjpeg", inside + "/day/b.mp4", outside + "/key", dir + "/recordings2/c.mjpeg", inside + "/..odd"} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{inside + "/out": outside, inside + "/key": outside + "/key", outside + "/in": inside + "/a.mjpeg", dir + "/alias": inside} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(inside+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		inside: true, inside + "/a.mjpeg": true, inside + "/day": true, inside + "/day/b.mp4": true, inside + "/..odd": true, outside + "/in": true,
		dir + "/alias/a.mjpeg": true,
		outside + "/key":       false, inside + "/key": false, inside + "/out/key": false, inside + "/../private/key": false,
		dir + "/recordings2/c.mjpeg": false, inside + "/missing": false, dir: false, "/": false, inside + "/pipe": false,
	} {
		if err := CheckRestricted(path, []string{"/nonexistent", dir + "/alias"}); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestRefusalsRepeatNoPasswordAndTellNotWhatIsThere(t *testing.T) {
	for _, spec := range []string{"ftp://me:hush-hush@camera/x", "http://me:hush-hush@127.0.0.1/", "http://me:hush-hush@camera\x7f/", "rtmp://a/?token=hush-hush"} {
		if err := CheckRestricted(spec, nil); err == nil || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%q: %v", spec, err)
		}
	}
	there, missing := CheckRestricted("/etc/passwd", nil), CheckRestricted("/etc/nobody", nil)
	if strings.ReplaceAll(there.Error(), "passwd", "") != strings.ReplaceAll(missing.Error(), "nobody", "") {
		t.Errorf("%v and %v differ", there, missing)
	}
}

func FuzzCheckRestricted(f *testing.F) {
	for _, s := range []string{"auto", "rtsp://me:x@camera/1", "/dev/video0:640x480", "http://[::1]/", "-i x", "file:/x", "a ! b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		if CheckRestricted(spec, nil) != nil {
			return
		}
		// What is accepted is never an option, a pipeline or a file.
		if strings.HasPrefix(spec, "-") || strings.ContainsAny(spec, "\n\x00") || strings.Contains(spec, " ! ") {
			t.Errorf("%q was accepted", spec)
		}
		if !isOwnCamera(spec) && !strings.HasPrefix(strings.ToLower(spec), "http") && !strings.HasPrefix(strings.ToLower(spec), "rtsp") {
			t.Errorf("%q was accepted", spec)
		}
	})
}
