package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/status"
)

// FuzzControlSocket says anything to the control socket. Only the one request is
// answered, and every conversation ends.
func FuzzControlSocket(f *testing.F) {
	f.Add([]byte(controlRequest))
	f.Add([]byte("reload"))
	f.Add([]byte("reload\r\n"))
	f.Add([]byte("reload\nreload\n"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0, 255})
	r := &reloader{
		parse: func() (config.Config, *runFlags, error) {
			return config.Config{}, nil, usageError("a line\nand \x00 more")
		},
		target: &target{}, level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler),
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.answer(t.Context(), theirs)
		}()
		go func() {
			_, _ = ours.Write(said) // it may have heard enough
			if len(said) < len(controlRequest) {
				_ = ours.Close()
			}
		}()
		_ = ours.SetReadDeadline(time.Now().Add(10 * time.Second))
		line, err := bufio.NewReader(ours).ReadString('\n')
		<-ended
		_ = ours.Close()
		asked := strings.HasPrefix(string(said), controlRequest)
		if asked && (err != nil || !strings.Contains(line, `"code":2`)) {
			t.Errorf("%q: %q, %v", said, line, err)
		}
		if !asked && line != "" {
			t.Errorf("%q is answered %q", said, line)
		}
	})
}

// FuzzServiceLine holds that whatever a camera calls itself is one line to the
// service manager: a second one would be an order of its own.
func FuzzServiceLine(f *testing.F) {
	f.Add("HD Pro Webcam", "/dev/video0", "auto", "Plug it in.", byte(0))
	f.Add("x\nWATCHDOG=trigger", "/dev/a\rb", "", "a\nb", byte(1))
	f.Add("", "", "rtsp://cam/1\nSTOPPING=1", "", byte(2))
	f.Add("\xff\x00\u2028", "", "a", "", byte(3))
	dir := f.TempDir()
	at := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	f.Setenv("NOTIFY_SOCKET", at)
	m := &manager{address: at}
	f.Fuzz(func(t *testing.T, name, path, source, remedy string, kind byte) {
		if len(name)+len(path)+len(source)+len(remedy) > 10000 {
			return
		}
		c := status.Camera{Source: source, State: []status.State{status.Online, status.Offline, status.Asleep, status.Starting}[kind%4]}
		c.Cause = &status.Cause{Title: "title", Remedy: remedy}
		c.Granted = &device.Format{FourCC: device.FourCC(kind)<<8 | '\n'}
		if kind&4 == 0 {
			c.Info = &device.Info{Name: name, Path: path}
		}
		m.status(describe(c))
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 64<<10)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buf[:n]); strings.Count(got, "\n") > 0 || !strings.HasPrefix(got, "STATUS=Camera ") {
			t.Errorf("the manager is told %q", got)
		}
	})
}

// FuzzRedact holds that what fault reports must not hold never gets into one,
// whatever stands around it.
func FuzzRedact(f *testing.F) {
	f.Add("level=INFO msg=x err=\"", "\"")
	f.Add("{\"a\": \"", "\"}\n")
	f.Add("a 127.0.0.1 ::1 12:30:45 usb-1.2 ", " b")
	f.Add("", "\n\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before+after, "\x00") || !utf8.ValidString(before+after) {
			return
		}
		for _, secret := range []string{"password: hunter2QQ", "rtsp://user:hunter2QQ@cam/1", "Authorization: hunter2QQ", "http://cam.example/hunter2QQ", "token=hunter2QQ"} {
			text := before + " " + secret + " " + after
			if got := redact(text); strings.Contains(got, "hunter2QQ") {
				t.Errorf("%q stays in\n%q", text, got)
			}
		}
		text := before + " 192.168.17.3 " + after
		if got := redact(text); strings.Contains(got, " 192.168.17.3 ") {
			t.Errorf("%q stays in\n%q", text, got)
		}
		if n := len(redact(before)); n > 16*len(before)+64 {
			t.Errorf("%d bytes became %d", len(before), n)
		}
	})
}

// FuzzRunFlags reads a settings file and the two flags with a text of their own.
// What is accepted is valid, what is not is one line with a code of a mistake.
func FuzzRunFlags(f *testing.F) {
	f.Add("camera: {source: test}\n", "{frame_size_reduction: 25}", "(640, 480)")
	f.Add("options: {' a': 1, a: 2}\n", "{a: }", "640x480@30")
	f.Add("http: {listen: '[::]:8000'}\n", "- 1", "((,))")
	f.Add("", "!!binary x", "0x10x20")
	path := filepath.Join(f.TempDir(), "webgear.yaml")
	f.Fuzz(func(t *testing.T, settings, options, size string) {
		if len(settings)+len(options) > 8192 {
			return
		}
		if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		w := world{stdout: io.Discard, stderr: io.Discard}
		c, _, err := parseRunFlags([]string{"--config", path, "--options", options, "--resolution", size}, w)
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("accepted, but %v", err)
			}
			return
		}
		var text strings.Builder
		code := run(t.Context(), []string{"run", "--config", path, "--options", options, "--resolution", size}, world{root: "/nonexistent", stdout: io.Discard, stderr: &text})
		if code != exitUsage && code != exitConfig || strings.Count(text.String(), "\n") != 1 {
			t.Errorf("code %d: %q", code, text.String())
		}
	})
}
