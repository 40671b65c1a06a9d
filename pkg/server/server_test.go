package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/status"
)

func TestRoutesAnswerAsDocumented(t *testing.T) {
	r := start(t, Options{Version: "1.2.3", Snapshot: func() status.Snapshot {
		return status.Snapshot{Camera: status.Camera{State: status.Online, Info: &device.Info{Name: "Nest <box>"}}}
	}})
	r.hub.Publish(picture("\xff\xd8jpeg\xff\xd9"))
	for _, tc := range []struct {
		request string
		code    int
		header  map[string]string // "" means: must be absent
		body    []string
	}{
		{
			"GET / HTTP/1.1", 200,
			map[string]string{
				"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
				"Content-Security-Policy": contentPolicy, "Server": "",
			},
			[]string{`src="/video"`, "Nest &lt;box&gt;", "webgear 1.2.3"},
		},
		{"HEAD / HTTP/1.1", 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, nil},
		{"GET /?action=any&x=%20 HTTP/1.1", 200, nil, []string{"<!doctype html>"}},
		{
			"GET /snapshot?bypassCache=12345 HTTP/1.1", 200,
			map[string]string{
				"Content-Type": "image/jpeg", "Content-Length": "8", "Cache-Control": "no-store", "X-Timestamp": "1767225600.000042",
				"X-Sequence": "1", "X-Placeholder": "", "Access-Control-Allow-Origin": "*",
			},
			[]string{"\xff\xd8jpeg\xff\xd9"},
		},
		{"HEAD /snapshot HTTP/1.1", 200, map[string]string{"Content-Type": "image/jpeg", "Content-Length": "8"}, nil},
		{"GET /snapshot HTTP/1.0", 200, map[string]string{"Content-Length": "8"}, []string{"jpeg"}},
		{"GET /healthz HTTP/1.1", 200, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"}, []string{`{"status":"ok","camera":"online"}`}},
		{"GET /state HTTP/1.1", 200, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Access-Control-Allow-Origin": ""}, []string{`"version": "1.2.3"`, `"viewers": []`}},
		{"GET /video/?a=b&c HTTP/1.1", 307, map[string]string{"Location": "/video?a=b&c"}, nil},
		{"GET /video/ HTTP/1.1", 307, map[string]string{"Location": "/video"}, nil},
		{"POST / HTTP/1.1", 405, map[string]string{"Allow": "GET, HEAD", "Content-Type": "text/plain; charset=utf-8"}, []string{"Method Not Allowed"}},
		{"POST /video HTTP/1.1", 405, map[string]string{"Allow": "GET, HEAD"}, nil},
		{"DELETE /state HTTP/1.1", 405, map[string]string{"Allow": "GET, HEAD"}, nil},
		{"PUT /static/css/custom.css HTTP/1.1", 405, map[string]string{"Allow": "GET, HEAD"}, nil},
		{"GET /nowhere HTTP/1.1", 404, map[string]string{"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": contentPolicy}, []string{"404", "/static/css/custom.css"}},
		{"POST /nowhere HTTP/1.1", 404, nil, nil},
		{"HEAD /nowhere HTTP/1.1", 404, nil, nil},
		{"GET /nowhere HTTP/1.1\r\nAccept: application/json", 404, map[string]string{"Content-Type": "application/json"}, []string{`{"detail":"Not Found"}`}},
		{"GET /nowhere HTTP/1.1\r\nAccept: text/html,application/json", 404, map[string]string{"Content-Type": "text/html; charset=utf-8"}, nil},
		{"POST /video HTTP/1.1\r\nAccept: application/json", 405, map[string]string{"Allow": "GET, HEAD"}, []string{`{"detail":"Method Not Allowed"}`}},
		{"GET /Video HTTP/1.1", 404, nil, nil},
		{"GET /state/ HTTP/1.1", 404, nil, nil},
		{"GET /video/more HTTP/1.1", 404, nil, nil},
		{"GET /static HTTP/1.1", 404, nil, nil},
		{"GET / HTTP/1.1\r\nX-Long: " + strings.Repeat("x", 17000), 431, map[string]string{"Content-Type": "application/json"}, []string{`"code":"header_too_large"`, "16 KiB"}},
		{"POST / HTTP/1.1\r\nContent-Length: 70000", 413, map[string]string{"Content-Type": "application/json"}, []string{`"code":"too_large"`, "64 KiB"}},
		{"BREW / HTTP/1.1", 400, map[string]string{"Content-Type": "application/json"}, []string{`"code":"method"`}},
	} {
		t.Run(shorten(tc.request, 40), func(t *testing.T) {
			a := raw(t, r.addr, tc.request)
			if a.StatusCode != tc.code {
				t.Errorf("status: got %d, want %d", a.StatusCode, tc.code)
			}
			for name, want := range tc.header {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			for _, want := range tc.body {
				if !strings.Contains(a.body, want) {
					t.Errorf("body lacks %q:\n%s", want, a.body)
				}
			}
			if strings.HasPrefix(tc.request, "HEAD ") && a.body != "" {
				t.Errorf("HEAD got a body: %q", a.body)
			}
		})
	}
}

func TestStateIsTheSnapshotWithTheViewers(t *testing.T) {
	r := start(t, Options{Snapshot: func() status.Snapshot {
		c := status.CauseOf(device.ErrUnplugged)
		return status.Snapshot{Version: "from main", Camera: status.Camera{State: status.Offline, Cause: &c}}
	}})
	r.hub.Publish(picture("one"))
	v := watch(t, r.addr, "GET /video HTTP/1.1\r\nHost: cam\r\nUser-Agent: curl/8\r\n\r\n")
	v.next(t)
	raw(t, r.addr, "GET /snapshot HTTP/1.1")
	eventually(t, "the frame is counted", func() bool { return r.Stream().Viewers[0].Frames == 1 })
	var snap struct {
		Version string
		Camera  struct{ Cause status.Cause }
		Stream  status.Stream
	}
	if err := json.Unmarshal([]byte(raw(t, r.addr, "GET /state HTTP/1.1").body), &snap); err != nil {
		t.Fatal(err)
	}
	if snap.Version != "from main" || snap.Camera.Cause.Code != "unplugged" {
		t.Errorf("got %+v", snap)
	}
	got := snap.Stream
	if got.ViewersTotal != 1 || got.Snapshots != 1 || len(got.Viewers) != 1 {
		t.Fatalf("got %+v", got)
	}
	w := got.Viewers[0]
	if w.ID != 1 || w.UserAgent != "curl/8" || w.Address != v.conn.LocalAddr().String() || w.Frames != 1 || w.Bytes != uint64(v.received.Load()) {
		t.Errorf("got %+v, received %d bytes from %s", w, v.received.Load(), v.conn.LocalAddr())
	}
}

func TestSnapshotKeepsTheConnection(t *testing.T) {
	r := start(t, Options{AllowOrigin: "-"})
	conn := dial(t, r.addr)
	rd := bufio.NewReader(conn)
	for i := range 3 {
		f := picture(fmt.Sprint("picture ", i))
		f.Placeholder = "stalled"
		r.hub.Publish(f)
		if _, err := io.WriteString(conn, "GET /snapshot HTTP/1.1\r\nHost: cam\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != fmt.Sprint("picture ", i) || resp.Close {
			t.Errorf("got %q, %v, close %v", body, err, resp.Close)
		}
		if resp.Header.Get("X-Placeholder") != "stalled" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got %v", resp.Header)
		}
		_ = resp.Body.Close()
	}
}

func TestSnapshotWaitsForTheFirstPicture(t *testing.T) {
	r := start(t, Options{})
	got := make(chan answer)
	go func() { got <- raw(t, r.addr, "GET /snapshot HTTP/1.1") }()
	eventually(t, "the request asks for pictures", func() bool { return r.hub.Subscribers() == 1 })
	r.hub.Publish(picture("first"))
	if a := <-got; a.StatusCode != http.StatusOK || a.body != "first" {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
	if n := r.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscriptions left", n)
	}
}

func TestSnapshotWithoutPictureIsUnavailable(t *testing.T) {
	r := start(t, Options{})
	r.hub.Close(nil)
	a := raw(t, r.addr, "GET /snapshot HTTP/1.1\r\nAccept: application/json")
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" || a.body != `{"detail":"no picture yet"}` {
		t.Errorf("got %d %v %q", a.StatusCode, a.Header, a.body)
	}
}

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	hub := fanout.New()
	for name, tc := range map[string]struct {
		o    Options
		want string // "" means it is accepted
	}{
		"nothing":         {Options{}, "http server: no hub to take pictures from"},
		"defaults":        {Options{Hub: hub}, ""},
		"nested path":     {Options{Hub: hub, VideoPath: "/webcam/my_video.mjpg"}, ""},
		"relative path":   {Options{Hub: hub, VideoPath: "video"}, `video path "video": write it as /name or /folder/name with letters, digits and . _ ~ -`},
		"pattern":         {Options{Hub: hub, VideoPath: "/:id"}, `video path "/:id": write it as /name or /folder/name with letters, digits and . _ ~ -`},
		"wildcard":        {Options{Hub: hub, VideoPath: "/*"}, `video path "/*": write it as /name or /folder/name with letters, digits and . _ ~ -`},
		"trailing slash":  {Options{Hub: hub, VideoPath: "/video/"}, `video path "/video/": write it as /name or /folder/name with letters, digits and . _ ~ -`},
		"dots":            {Options{Hub: hub, VideoPath: "/a/../b"}, `video path "/a/../b": write it as /name or /folder/name with letters, digits and . _ ~ -`},
		"taken":           {Options{Hub: hub, VideoPath: "/static/video"}, `video path "/static/video": /static has its own meaning`},
		"timeout":         {Options{Hub: hub, Limits: Limits{ViewerTimeout: -1}}, "http server: viewer timeout -1ns: must not be negative"},
		"header smuggled": {Options{Hub: hub, AllowOrigin: "*\r\nX: y"}, `http server: allowed origin "*\r\nX: y": not a header value`},
	} {
		_, err := New(tc.o)
		if got := fmt.Sprint(err); (tc.want == "" && err != nil) || (tc.want != "" && got != tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestRunReportsAListenerThatFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Hub: fanout.New()})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), &brokenListener{ln})
	if err == nil || !strings.Contains(err.Error(), "http serve 127.0.0.1:") || !strings.Contains(err.Error(), "no more descriptors") {
		t.Errorf("got %v", err)
	}
}

// brokenListener cannot accept.
type brokenListener struct{ net.Listener }

func (*brokenListener) Accept() (net.Conn, error) { return nil, fmt.Errorf("no more descriptors") }

// TestErrorCodesOfTheFramework makes sure that none of them leaks a text.
func TestErrorTextsOfTheFrameworkAreNotPassedOn(t *testing.T) {
	r := start(t, Options{})
	a := raw(t, r.addr, "GET /%41 HTTP/1.1\r\nContent-Length: <script>")
	if strings.Contains(a.body, "script") {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
	if fiber.Version != "2.52.15" {
		t.Errorf("Fiber %s: check what its errors say now", fiber.Version)
	}
}
