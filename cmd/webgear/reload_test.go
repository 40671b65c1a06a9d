package main

import (
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// target notes what it is told to apply.
type target struct {
	applied  []webgear.Options
	reopened bool // by the last one
	err      error
}

func (a *target) Apply(_ context.Context, o webgear.Options, reopen bool) error {
	if a.err == nil {
		a.applied, a.reopened = append(a.applied, o), reopen
	}
	return a.err
}

// newReloader makes one of a settings file that the test writes.
func newReloader(t *testing.T, a *target) (r *reloader, path string) {
	t.Helper()
	path = write(t, "webgear.yaml", "")
	args := []string{"--config", path, "--source", "test", "--service"}
	c, _, err := parseRunFlags(args, world{stdout: io.Discard, stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	r = &reloader{
		parse: func() (config.Config, *runFlags, error) {
			return parseRunFlags(args, world{stdout: io.Discard, stderr: io.Discard})
		},
		options: func(_ context.Context, c config.Config, _ *runFlags) (webgear.Options, error) {
			return webgear.Options{Source: c.Camera.Resolution}, nil
		},
		level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler), running: c,
	}
	if a != nil {
		r.target = a
	}
	return r, path
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func text(o outcome) string {
	return fmt.Sprintf("live %v reopen %v restart %v", o.Live, o.Reopen, o.Restart)
}

func TestReloadAppliesWhatCanBeAndNamesTheRest(t *testing.T) {
	var a target
	r, path := newReloader(t, &a)
	if o := r.reload(t.Context()); text(o) != "live [] reopen [] restart []" || len(a.applied) != 0 {
		t.Errorf("without a change: %+v, %v", o, a.applied)
	}
	rewrite(t, path, "camera: {resolution: 640x480, controls: {brightness: 3}}\nhttp: {listen: ':9'}\nlog: {level: debug}\n"+
		"options: {frame_size_reduction: 5, custom_data_location: /x}\n")
	want := "live [camera.controls.brightness log.level] reopen [camera.resolution options.frame_size_reduction]" +
		" restart [http.listen options.custom_data_location]"
	if o := r.reload(t.Context()); text(o) != want {
		t.Errorf("got  %s\nwant %s", text(o), want)
	}
	if len(a.applied) != 1 || a.applied[0].Source != "640x480" || r.level.Level() != slog.LevelDebug {
		t.Errorf("applied %v, level %v", a.applied, r.level.Level())
	}
	// What waits for a restart is named again, nothing else.
	if o := r.reload(t.Context()); text(o) != "live [] reopen [] restart [http.listen options.custom_data_location]" || len(a.applied) != 1 {
		t.Errorf("again: %s, %v", text(o), a.applied)
	}
	rewrite(t, path, "log: {level: warn}\n") // the source is the flag's
	if o := r.reload(t.Context()); text(o) != "live [camera.controls.brightness log.level] reopen [camera.resolution options.frame_size_reduction] restart []" {
		t.Errorf("back: %s", text(o))
	}
}

func TestReloadKeepsTheOldSettingsOnEveryError(t *testing.T) {
	a := target{err: errors.New("camera says no")}
	r, path := newReloader(t, &a)
	before := r.running
	for settings, want := range map[string]outcome{
		"nope: 1\n": {Error: "line 1: unknown key", Code: exitConfig},
		"log: {level: debug}\ncamera: {resolution: 640x480}\n":   {Error: "camera says no", Code: exitFailed},
		"log: {level: debug}\ncamera: {controls: {x: [1]}}\n":    {Error: "camera.controls", Code: exitConfig},
		"log: {level: debug}\nhttp: {viewer_timeout: forever}\n": {Error: "http.viewer_timeout", Code: exitConfig},
	} {
		rewrite(t, path, settings)
		o := r.reload(t.Context())
		if !strings.Contains(o.Error, want.Error) || o.Code != want.Code {
			t.Errorf("%q: got %+v", settings, o)
		}
		if r.level.Level() != slog.LevelInfo || len(config.Changes(before, r.running)) != 0 {
			t.Errorf("%q: settings changed", settings)
		}
	}
}

func TestWhatIsLiveDoesNotReopenTheCamera(t *testing.T) {
	var a target
	r, path := newReloader(t, &a)
	rewrite(t, path, "http: {max_viewers: 5}\n")
	if o := r.reload(t.Context()); text(o) != "live [http.max_viewers] reopen [] restart []" || len(a.applied) != 1 || a.reopened {
		t.Errorf("got %s, reopened %v", text(o), a.reopened)
	}
}

func TestViewersStayThroughAReload(t *testing.T) {
	path := write(t, "webgear.yaml", "camera: {source: 'test:64x48@30'}\n")
	socket := filepath.Join(t.TempDir(), "control.sock")
	i := launch(t, "--config", path, "--control-socket", socket)
	res, err := http.Get(i.url + "/video")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	parts := multipart.NewReader(res.Body, "frame")
	width := func() int {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		c, err := jpeg.DecodeConfig(p)
		if err != nil {
			t.Fatal(err)
		}
		return c.Width
	}
	if w := width(); w != 64 {
		t.Fatalf("picture is %d wide", w)
	}
	rewrite(t, path, "camera: {source: 'test:96x64@30'}\nhttp: {max_viewers: 1}\n")
	if code, stdout, stderr := execute(t, "reload", "--control-socket", socket); code != 0 ||
		!strings.Contains(stdout, "opened anew: camera.source\n") || !strings.Contains(stdout, "in force: http.max_viewers\n") {
		t.Fatalf("code %d: %s%s", code, stdout, stderr)
	}
	for n := 0; width() != 96; n++ {
		if n > 300 {
			t.Fatal("300 pictures later the viewer still sees the old source")
		}
	}
	second, err := http.Get(i.url + "/video")
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Body.Close()
	if second.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second viewer got %d, want 503", second.StatusCode)
	}
}

func TestReloadCommandTellsWhatCameOfIt(t *testing.T) {
	var a target
	r, path := newReloader(t, &a)
	socket := filepath.Join(t.TempDir(), "control.sock")
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := listenControl(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.serveControl(ctx, ln) })
	defer wg.Wait()
	defer cancel()

	code, stdout, _ := execute(t, "reload", "--control-socket", socket)
	if code != 0 || stdout != "reloaded: nothing has changed\n" {
		t.Errorf("code %d: %s", code, stdout)
	}
	rewrite(t, path, "log: {level: debug}\nhttp: {listen: ':9'}\ncamera: {resolution: 640x480}\n")
	code, stdout, _ = execute(t, "reload", "--control-socket", socket)
	for _, want := range []string{"in force: log.level\n", "opened anew: camera.resolution\n", "restart webgear): http.listen\n"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("code %d, no %q:\n%s", code, want, stdout)
		}
	}
	rewrite(t, path, "nope: 1\n")
	code, _, stderr := execute(t, "reload", "--control-socket", socket)
	if code != exitConfig || !strings.Contains(stderr, "not reloaded, the old settings stay") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("code %d: %s", code, stderr)
	}
	if _, err := listenControl(ctx, socket); err == nil || !strings.Contains(err.Error(), "another webgear uses it") {
		t.Errorf("second server: %v", err)
	}
	cancel()
	wg.Wait()
	if code, _, stderr := execute(t, "reload", "--control-socket", socket); code != exitFailed || !strings.Contains(stderr, "systemctl start webgear") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestControlSocketOfADeadProgramIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control.sock")
	for range 2 {
		ln, err := listenControl(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		ln.(interface{ SetUnlinkOnClose(unlink bool) }).SetUnlinkOnClose(false) // as if it was killed
		if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunReloadsOverItsSocket(t *testing.T) {
	file, socket := write(t, "webgear.yaml", ""), filepath.Join(t.TempDir(), "control.sock")
	i := launch(t, "--source", "test:320x240", "--config", file, "--control-socket", socket)
	rewrite(t, file, "log: {level: debug}\n")
	if code, stdout, stderr := execute(t, "reload", "--control-socket", socket); code != 0 || stdout != "in force: log.level\n" {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	if !strings.Contains(i.stderr.String(), `msg="settings reloaded" live=[log.level]`) {
		t.Errorf("log:\n%s", i.stderr)
	}
	began := time.Now()
	if code := i.stop(); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
}
