package webgear_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// skip is the mode without pages.
func skip() webgear.Settings {
	s := webgear.DefaultSettings()
	s.SkipGenerateWebdata = true
	return s
}

func TestSpec03Line01RouteTable(t *testing.T) {
	for mode, tt := range map[string]struct {
		settings webgear.Settings
		rows     [][]string // method, path, status, type, text in the body
	}{
		"pages": {webgear.DefaultSettings(), [][]string{
			{"GET", "/", "200", "text/html", `src="/video"`},
			{"HEAD", "/", "200", "text/html", ""},
			{"HEAD", "/video", "200", "multipart/x-mixed-replace; boundary=frame", ""},
			{"GET", "/static/css/custom.css", "200", "text/css", "{"},
			{"HEAD", "/static/js/custom.js", "200", "text/javascript", ""},
			{"GET", "/static/none.css", "404", "text/html", "404"},
			{"GET", "/static/css", "404", "text/html", "404"},
			{"GET", "/static/%2e%2e/templates/index.html", "404", "text/html", "404"},
			{"GET", "/ok", "404", "text/html; charset=utf-8", "404"},
			{"POST", "/ok", "404", "text/html; charset=utf-8", "404"},
			{"GET", "/video/", "307", "", ""},
			{"POST", "/video", "405", "text/plain", "Method Not Allowed"},
			{"DELETE", "/", "405", "text/plain", "Method Not Allowed"},
		}},
		"skip": {skip(), [][]string{
			{"GET", "/", "404", "application/json", `"detail"`},
			{"GET", "/static/css/custom.css", "404", "application/json", `"detail"`},
			{"GET", "/ok", "404", "application/json", `"detail"`},
			{"HEAD", "/video", "200", "multipart/x-mixed-replace; boundary=frame", ""},
			{"POST", "/video", "405", "", ""},
			{"POST", "/", "404", "application/json", `"detail"`},
			{"GET", "/video/", "307", "", ""},
		}},
	} {
		t.Run(mode, func(t *testing.T) {
			r := serve(t, webgear.Options{Settings: tt.settings, Open: numbered()})
			for _, row := range tt.rows {
				a := r.do(row[0], row[1])
				if !strings.HasPrefix(a.Status, row[2]) || !strings.HasPrefix(a.Header.Get("Content-Type"), row[3]) || !strings.Contains(a.body, row[4]) {
					t.Errorf("%s %s: got %s, %q, %.60q; want %q", row[0], row[1], a.Status, a.Header.Get("Content-Type"), a.body, row[2:])
				}
				switch a.StatusCode {
				case http.StatusMethodNotAllowed:
					if got := a.Header.Get("Allow"); got != "GET, HEAD" {
						t.Errorf("%s %s: allow %q", row[0], row[1], got)
					}
				case http.StatusTemporaryRedirect:
					if got := a.Header.Get("Location"); got != "/video" {
						t.Errorf("%s %s: location %q", row[0], row[1], got)
					}
				}
			}
			if p := r.watch("/video").must(); p.header.Get("Content-Type") != "image/jpeg" {
				t.Errorf("part is %q", p.header)
			}
		})
	}
}

func TestSpec03Line01StaticFilesKnowConditionsAndRanges(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()})
	a := r.get("/static/css/custom.css")
	if a.Header.Get("ETag") == "" || a.Header.Get("Last-Modified") == "" {
		t.Errorf("no validators: %v", a.Header)
	}
	if b := r.get("/static/css/custom.css", "If-None-Match", a.Header.Get("ETag")); b.StatusCode != http.StatusNotModified || b.body != "" {
		t.Errorf("conditional: %s with %d bytes", b.Status, len(b.body))
	}
	if b := r.get("/static/css/custom.css", "Range", "bytes=2-5"); b.StatusCode != http.StatusPartialContent || b.body != a.body[2:6] {
		t.Errorf("range: %s, %q", b.Status, b.body)
	}
}

func TestSpec03Line02ErrorBodies(t *testing.T) {
	routes := func(g *webgear.Gear) {
		g.App().Get("/error", func(*fiber.Ctx) error { return errors.New("secret of the program") })
		g.App().Get("/panic", func(*fiber.Ctx) error { panic("secret of the program") })
	}
	for name, tt := range map[string]struct {
		settings webgear.Settings
		debug    bool
		kind     string
		shown    bool
	}{
		"pages":         {webgear.DefaultSettings(), false, "text/html", false},
		"skip":          {skip(), false, "application/json", false},
		"pages, traced": {webgear.DefaultSettings(), true, "text/plain", true},
		"skip, traced":  {skip(), true, "text/plain", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Settings: tt.settings, DebugErrors: tt.debug, Open: numbered()}, routes)
			for _, path := range []string{"/error", "/panic"} {
				a := r.get(path)
				if a.StatusCode != http.StatusInternalServerError || !strings.HasPrefix(a.Header.Get("Content-Type"), tt.kind) ||
					strings.Contains(a.body, "secret") != tt.shown {
					t.Errorf("%s: got %s, %q, %.80q", path, a.Status, a.Header.Get("Content-Type"), a.body)
				}
				if tt.kind == "application/json" {
					var body struct{ Detail, Reference string }
					if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Detail != "Internal Server Error" || body.Reference == "" || !strings.Contains(r.log.String(), body.Reference) {
						t.Errorf("%s: got %q, %v", path, a.body, err)
					}
				}
			}
			if !strings.Contains(r.log.String(), "secret of the program") {
				t.Error("the log does not say what happened")
			}
		})
	}
}

func TestSpec03Line03StreamOnTheWire(t *testing.T) {
	for name, tt := range map[string]struct{ request, first string }{
		"HTTP/1.1": {"GET /video HTTP/1.1\r\nHost: cam\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		"HTTP/1.0": {"GET /video HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Open: numbered()})
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, tt.request); err != nil {
				t.Fatal(err)
			}
			b := bufio.NewReader(conn)
			var lines []string
			for len(lines) < 40 {
				line, err := b.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, line)
				if line == "\r\n" && slices.Contains(lines, "--frame\r\n") {
					break
				}
			}
			if _, err := r.stop(); err != nil {
				t.Error(err)
			}
			rest, err := io.ReadAll(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n", "Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n", "Content-Type: image/jpeg\r\n"} {
				if !slices.Contains(lines, want) {
					t.Errorf("%q is missing in %q", want, lines)
				}
			}
			all := strings.Join(lines, "")
			head, part, _ := strings.Cut(all, "\r\n\r\n")
			if lines[0] != tt.first || strings.Contains(strings.ToLower(head), "chunked") || !strings.HasPrefix(part, "--frame\r\n") || !strings.Contains(part, "Content-Length: ") {
				t.Errorf("got %q", all)
			}
			if !strings.HasSuffix(string(rest), "\r\n--frame--\r\n") {
				t.Errorf("stream ends with %q", rest[max(0, len(rest)-20):])
			}
		})
	}
}

func TestSpec03Line03HeadAsksForNoPicture(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()})
	for range 3 {
		r.do(http.MethodHead, "/video")
	}
	if s := r.Status().Stream; s.ViewersTotal != 0 {
		t.Errorf("HEAD counted as %d viewers", s.ViewersTotal)
	}
}

func TestSpec03Line03OtherViewersGoOnWhenOneLeavesOrStalls(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered(), Want: device.Format{Rate: device.FPS(100)}})
	stalled, leaving, staying := r.watch("/video"), r.watch("/video"), r.watch("/video")
	stalled.must()
	leaving.must()
	if err := leaving.conn.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 50 {
		staying.must()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("50 pictures at 100 per second took %v", took)
	}
	eventually(t, "the viewer that left is forgotten", func() bool { return len(r.Status().Stream.Viewers) == 2 })
}

// ending is a source of n pictures, of 320x240 pixels; it waits for each value
// from more before it goes on.
func ending(n int, more <-chan struct{}) webgear.Opener {
	m := busy(320, 240)
	return webgear.ImageFunc(func(ctx context.Context) (image.Image, error) {
		if n == 0 {
			select {
			case <-more:
			case <-ctx.Done():
			}
			return nil, io.EOF
		}
		n--
		return m, nil
	})
}

func TestSpec03Line05EndOfSourceEndsEveryViewerWithTheEnd(t *testing.T) {
	end := make(chan struct{})
	r := serve(t, webgear.Options{Open: ending(3, end)})
	viewers := []*viewer{r.watch("/video"), r.watch("/video"), r.watch("/video")}
	for _, v := range viewers {
		v.await("")
	}
	close(end)
	for i, v := range append(viewers, nil) {
		if v == nil {
			v = r.watch("/video") // comes later
		}
		causes := v.rest()
		if len(causes) == 0 || causes[len(causes)-1] != "ended" || slices.Contains(causes[:len(causes)-1], "ended") {
			t.Errorf("viewer %d: got %q, want one picture with The End at the end", i, causes)
		}
	}
	if c := r.Status().Camera; c.Cause == nil || c.Cause.Title != "The End" {
		t.Errorf("state is %+v", c)
	}
}

func TestSpec03Line05InfiniteFramesKeepEveryViewer(t *testing.T) {
	end := make(chan struct{})
	s := webgear.DefaultSettings()
	s.InfiniteFrames, s.FrameSizeReduction = true, 50
	r := serve(t, webgear.Options{Settings: s, Open: ending(3, end)})
	meeting := r.watch("/video")
	meeting.await("")
	close(end)
	later := r.watch("/video")
	for _, v := range []*viewer{meeting, later} {
		first := v.await("no-input")
		if got := first.size(t); got.X != 160 || got.Y != 120 {
			t.Errorf("placeholder is %v, want the size of the stream", got)
		}
		began := time.Now()
		if p := v.must(); p.cause() != "no-input" {
			t.Errorf("then came %q", p.cause())
		}
		if gap := time.Since(began); gap > 3*time.Second {
			t.Errorf("placeholders are %v apart, want about a second", gap)
		}
	}
	if c := r.Status().Camera; c.Cause == nil || c.Cause.Title != "No Input" {
		t.Errorf("state is %+v", c)
	}
}

func TestSpec03Line06StopWithViewersTakesLessThanTwoSeconds(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()})
	healthy, stalled := r.watch("/video"), r.watch("/video")
	healthy.must()
	stalled.must()
	done := make(chan []string, 1)
	go func() { done <- healthy.rest() }()
	if took, err := r.stop(); err != nil || took > 5*time.Second {
		t.Errorf("stopping took %v, %v", took, err)
	}
	if causes := <-done; len(causes) == 0 || causes[len(causes)-1] != "stopped" {
		t.Errorf("farewell is missing in %q", causes)
	}
	if _, err := r.stop(); err != nil { // again does nothing
		t.Error(err)
	}
}
