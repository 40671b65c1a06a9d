package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/web"
)

func TestFailureOfAHandlerStaysInTheLog(t *testing.T) {
	for _, tc := range []struct {
		name   string
		accept string
		assets fstest.MapFS
		want   string
	}{
		{"themed", "text/html", nil, "Something went wrong"},
		{"JSON", "application/json", nil, `"detail":"Internal Server Error"`},
		{"template missing", "text/html", fstest.MapFS{}, "<h1>Internal Server Error</h1>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Snapshot: func() status.Snapshot { panic("secret inside") }}
			if tc.assets != nil {
				o.Assets = tc.assets
			}
			r := start(t, o)
			a := raw(t, r.addr, "GET /state HTTP/1.1\r\nAccept: "+tc.accept)
			if a.StatusCode != http.StatusInternalServerError || !strings.Contains(a.body, tc.want) {
				t.Fatalf("got %d %s", a.StatusCode, a.body)
			}
			if strings.Contains(a.body, "secret") || strings.Contains(a.body, ".go") {
				t.Errorf("the client sees the inside: %s", a.body)
			}
			lines := r.log.lines("request failed")
			if len(lines) != 1 {
				t.Fatalf("log: %q", lines)
			}
			var entry struct{ Reference, Err, Stack, Path string }
			if err := json.Unmarshal([]byte(lines[0]), &entry); err != nil {
				t.Fatal(err)
			}
			if len(entry.Reference) != 8 || !strings.Contains(a.body, entry.Reference) {
				t.Errorf("reference %q is not in %s", entry.Reference, a.body)
			}
			if entry.Err != "panic: secret inside" || !strings.Contains(entry.Stack, "pages_test.go") || entry.Path != "/state" {
				t.Errorf("log: %+v", entry)
			}
		})
	}
}

func TestBrokenTemplateGivesAPlainPageAndOneLogLine(t *testing.T) {
	for name, broken := range map[string]fstest.MapFS{
		"syntax":       {"templates/index.html": {Data: []byte("{{if}}")}},
		"unknown name": {"templates/index.html": {Data: []byte("{{.NoSuchThing}}")}},
		"no base":      {"templates/index.html": {Data: []byte(`{{template "base.html" .}}`)}},
		"all missing":  {},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{Assets: broken, VideoPath: "/cam/live"})
			for range 3 {
				a := raw(t, r.addr, "GET / HTTP/1.1")
				if a.StatusCode != http.StatusOK || !strings.Contains(a.body, `<img src="/cam/live"`) || a.Header.Get("Content-Security-Policy") == "" {
					t.Errorf("got %d %q", a.StatusCode, a.body)
				}
			}
			if lines := r.log.lines("page template failed"); len(lines) != 1 {
				t.Errorf("log: %q", lines)
			}
			if a := raw(t, r.addr, "GET /nowhere HTTP/1.1"); a.StatusCode != http.StatusNotFound || !strings.Contains(a.body, "<h1>Not Found</h1>") {
				t.Errorf("404: got %d %q", a.StatusCode, a.body)
			}
		})
	}
}

func TestEveryTemplateOfTheDefaultPagesRenders(t *testing.T) {
	p := newPages(web.Data(), slog.New(slog.DiscardHandler))
	c := status.CauseOf(device.ErrUnplugged)
	full := pageData{
		Title: "T", VideoPath: "/v", SnapshotPath: "/s", StatePath: "/st", Version: "1", Reference: "abc",
		Camera: status.Camera{State: status.Offline, Cause: &c, Info: &device.Info{Name: "N"}, Granted: &device.Format{Width: 640, Height: 480}},
	}
	for _, page := range []string{pageIndex, pageNotFound, pageFailed} {
		for _, data := range []pageData{{}, full} {
			b, err := p.render(page, data)
			if err != nil || !bytes.Contains(b, []byte("</html>")) {
				t.Errorf("%s: %v\n%s", page, err, b)
			}
			for _, bad := range []string{"http://", "https://", "<style", " style=", "<script>", "onclick"} {
				if bytes.Contains(b, []byte(bad)) {
					t.Errorf("%s contains %q", page, bad)
				}
			}
		}
	}
}
