package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/status"
)

func TestViewersBeyondTheLimitsAreToldWhenToComeBack(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"in all":      {Options{Limits: Limits{MaxViewers: 2}}, "too many viewers: 2 are watching"},
		"per address": {Options{Limits: Limits{MaxViewersPerAddress: 2}}, "too many viewers from your address: 2 are watching"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, tt.o)
			r.hub.Publish(picture("x"))
			first := watch(t, r.addr, getVideo)
			watch(t, r.addr, getVideo)
			a := raw(t, r.addr, "GET /video HTTP/1.1")
			if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "10" || !strings.Contains(a.body, tt.want) {
				t.Errorf("got %d, retry after %q, %q", a.StatusCode, a.Header.Get("Retry-After"), a.body)
			}
			_ = first.conn.Close()
			eventually(t, "one has left", func() bool { return len(r.Stream().Viewers) == 1 })
			watch(t, r.addr, getVideo) // there is room again
		})
	}
}

func TestKeyAndSkippedPicturesAreShown(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("1"))
	v := watch(t, r.addr, "GET /video?fps=0.1&key=printer HTTP/1.1\r\nHost: cam\r\n\r\n")
	v.next(t)
	for range 5 {
		r.hub.Publish(picture("x"))
	}
	eventually(t, "the pictures are dealt with", func() bool {
		got := r.Stream().Viewers[0]
		return got.Skipped+got.Dropped == 5 && got.Skipped > 0
	})
	if got := r.Stream().Viewers[0]; got.Frames != 1 || got.Key != "printer" {
		t.Errorf("got %+v", got)
	}
	// The end comes all the same.
	r.hub.Close(picture("end"))
	if p := v.next(t); string(p.Data) != "end" {
		t.Errorf("got %q", p.Data)
	}
}

func TestWishesThatCannotBeMetAreRefused(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("x"))
	for _, path := range []string{"/video?fps=x", "/video?fps=-1", "/video?fps=NaN", "/video?fps=1e9", "/snapshot?max_delay=-1", "/snapshot?max_delay=soon"} {
		a := raw(t, r.addr, "GET "+path+" HTTP/1.1")
		_, query, _ := strings.Cut(path, "?")
		if a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, query+": use ") {
			t.Errorf("%s: got %d, %q", path, a.StatusCode, a.body)
		}
	}
}

func TestHeadersInAdvanceOnTheWire(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("one"))
	v := watch(t, r.addr, "GET /stream?advance_headers=1 HTTP/1.1\r\nHost: cam\r\n\r\n")
	r.viewing(t, 1)
	r.hub.Close(picture("two"))
	got, err := io.ReadAll(v.resp.Body)
	want := "--frame\r\nContent-Type: image/jpeg\r\n\r\none\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\ntwo\r\n--frame--\r\n"
	if err != nil || string(got) != want {
		t.Errorf("got\n%q, %v, want\n%q", got, err, want)
	}
}

func TestAliasesOfOtherServers(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("x"))
	for _, path := range []string{"/stream", "/stream?extra_headers=1&dual_final_frames=1&key=1", "/stream.mjpg", "/?action=stream", "/webcam?action=stream", "/webcam/?action=stream&timestamp=1"} {
		v := watch(t, r.addr, "GET "+path+" HTTP/1.1\r\nHost: cam\r\n\r\n")
		if p := v.next(t); string(p.Data) != "x" {
			t.Errorf("%s: got %q", path, p.Data)
		}
	}
	for _, path := range []string{"/snapshot.jpg", "/?action=snapshot", "/webcam/?action=snapshot&bypassCache=17", "/webcam?action=snapshot"} {
		if a := raw(t, r.addr, "GET "+path+" HTTP/1.1"); a.body != "x" || a.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: got %d %q", path, a.StatusCode, a.body)
		}
	}
	if a := raw(t, r.addr, "GET /webcam/ HTTP/1.1"); a.StatusCode != http.StatusNotFound {
		t.Errorf("no action: got %d", a.StatusCode)
	}
	if a := raw(t, r.addr, "GET / HTTP/1.1"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "<html") {
		t.Errorf("the page: got %d", a.StatusCode)
	}
}

func TestSnapshotIsAsFreshAsWanted(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("old")) // of long ago
	fresh := picture("fresh")
	got := make(chan answer)
	go func() { got <- raw(t, r.addr, "GET /snapshot?max_delay=1000 HTTP/1.1") }()
	eventually(t, "it waits", func() bool { return r.hub.Subscribers() == 1 })
	r.hub.Publish(picture("old too"))
	fresh.CapturedAt = time.Now()
	r.hub.Publish(fresh)
	if a := <-got; a.body != "fresh" {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
	if a := raw(t, r.addr, "GET /snapshot?max_delay=60000 HTTP/1.1"); a.body != "fresh" {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
}

func TestSnapshotThatIsKnownIsNotSentAgain(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("one"))
	tag := raw(t, r.addr, "GET /snapshot HTTP/1.1").Header.Get("ETag")
	ask := "GET /snapshot HTTP/1.1\r\nIf-None-Match: " + tag
	if a := raw(t, r.addr, ask); a.StatusCode != http.StatusNotModified || a.body != "" || tag == "" {
		t.Errorf("tag %q: got %d %q", tag, a.StatusCode, a.body)
	}
	r.hub.Publish(picture("two"))
	if a := raw(t, r.addr, ask); a.StatusCode != http.StatusOK || a.body != "two" {
		t.Errorf("a newer picture: got %d %q", a.StatusCode, a.body)
	}
}

func TestMetricsAddUp(t *testing.T) {
	r := start(t, Options{Snapshot: func() status.Snapshot {
		return status.Snapshot{Camera: status.Camera{State: status.Online, Counters: status.Counters{InvalidEmpty: 7}}}
	}})
	r.hub.Publish(picture("x"))
	gone := watch(t, r.addr, getVideo)
	gone.next(t)
	r.viewing(t, 1)
	_ = gone.conn.Close()
	eventually(t, "it has left", func() bool { return len(r.Stream().Viewers) == 0 })
	v := watch(t, r.addr, getVideo)
	for i := range 3 {
		v.next(t)
		eventually(t, "it is counted", func() bool { return r.Stream().Viewers[0].Frames == uint64(i+1) })
		if i < 2 {
			r.hub.Publish(picture("x"))
		}
	}
	a := raw(t, r.addr, "GET /metrics HTTP/1.1")
	for _, want := range []string{
		"webgear_camera_up 1", `webgear_frames_lost_total{cause="empty"} 7`, "webgear_viewers 1", "webgear_viewers_total 2",
		`webgear_viewers_ended_total{cause="left"} 1`, "webgear_viewer_frames_total 4", `webgear_viewer_frames_dropped_total{cause="slow"} 0`,
		"webgear_send_delay_seconds_count 2", "webgear_publish_delay_seconds_count 3",
	} {
		if !strings.Contains(a.body, "\n"+want+"\n") {
			t.Errorf("%q is missing in\n%s", want, a.body)
		}
	}
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
}

func TestManyArriveAtOnce(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture(strings.Repeat("x", 100_000)))
	done := make(chan error)
	const viewers = 100
	for range viewers {
		conn := dial(t, r.addr)
		go func() {
			_, err := io.WriteString(conn, getVideo)
			if err == nil {
				_, err = io.CopyN(io.Discard, conn, 100_000)
			}
			done <- err
		}()
	}
	for range viewers {
		if err := <-done; err != nil {
			t.Error(fmt.Errorf("no picture: %w", err))
		}
	}
}

func TestLengthsInAdvanceOnTheWire(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture(strings.Repeat("a", 2000)))
	v := watch(t, r.addr, get("advance_headers=sized"))
	r.viewing(t, 1)
	r.hub.Publish(picture(strings.Repeat("b", 2100)))
	eventually(t, "it is sent", func() bool { return r.Stream().Viewers[0].Frames == 2 })
	r.hub.Publish(picture(strings.Repeat("c", 9000))) // more than there is room for
	eventually(t, "it is sent", func() bool { return r.Stream().Viewers[0].Frames == 3 })
	r.hub.Close(picture("d"))
	var got []string
	for {
		p, err := v.parts.Next()
		if err != nil {
			if err != io.EOF { //nolint:errorlint // the interface says so
				t.Error(err)
			}
			break
		}
		if p.Header.Get("Content-Length") != fmt.Sprint(len(p.Data)) {
			t.Errorf("%d bytes, %q promised", len(p.Data), p.Header.Get("Content-Length"))
		}
		data := strings.TrimRight(string(p.Data), "\x00")
		got = append(got, fmt.Sprint(data[:1], len(data)))
	}
	if want := "a2000 b2100 b2100 c9000 d1"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestPicturesOfABlinkBrowserHaveHeadersInAdvance looks at who asks: an <img>, a
// script, somebody who says what he wants.
func TestPicturesOfABlinkBrowserHaveHeadersInAdvance(t *testing.T) {
	const (
		chrome  = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n"
		firefox = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
		image   = "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n"
	)
	r := start(t, Options{})
	r.hub.Publish(picture("x"))
	for name, tt := range map[string]struct {
		query, fields string
		advance       bool
	}{
		"an img of Chrome":                  {"", chrome + image, true},
		"a script in Chrome":                {"", chrome + "Accept: */*\r\n", false},
		"an img of Chrome that declines":    {"?advance_headers=0", chrome + image, false},
		"an img of Firefox":                 {"", firefox + image, false},
		"a page of Chrome with the picture": {"", chrome + "Accept: text/html,image/*\r\n", false},
	} {
		p := watch(t, r.addr, "GET /video"+tt.query+" HTTP/1.1\r\nHost: cam\r\n"+tt.fields+"\r\n").next(t)
		if got := p.Header.Get("Content-Length") == ""; got != tt.advance {
			t.Errorf("%s: header %v", name, p.Header)
		}
	}
}

func TestViewersThatResetTheConnectionAreNoFailures(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("x"))
	for range 3 {
		v := watch(t, r.addr, getVideo)
		v.next(t)
		if err := v.conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = v.conn.Close()
		eventually(t, "it is gone", func() bool { return len(r.Stream().Viewers) == 0 })
	}
	body := raw(t, r.addr, "GET /metrics HTTP/1.1").body
	for _, want := range []string{`webgear_viewers_ended_total{cause="reset"} 3`, `webgear_viewers_ended_total{cause="failed"} 0`} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
}

func TestLagOfAViewerThatIsStuckGrows(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
	r.hub.Publish(picture("x"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	eventually(t, "who has all is not behind", func() bool {
		s := r.Stream().Viewers[0]
		return s.LagMS < 5000 && s.FramesBehind == 0
	})
	for range 4 {
		r.hub.Publish(picture(strings.Repeat("x", 16<<20))) // more than the sockets hold
	}
	eventually(t, "it is late", func() bool {
		s := r.Stream().Viewers[0]
		return s.LagMS > 50 && s.FramesBehind == 4
	})
}

func TestSnapshotOfACameraThatIsAsleepIsFresh(t *testing.T) {
	for _, query := range []string{"", "?fresh=1", "?max_delay=1000", "?max_delay=0"} {
		t.Run(query, func(t *testing.T) {
			r := start(t, Options{Snapshot: func() status.Snapshot { return status.Snapshot{Camera: status.Camera{State: status.Asleep}} }})
			r.hub.Publish(picture("old")) // of long ago
			got := make(chan answer)
			go func() { got <- raw(t, r.addr, "GET /snapshot"+query+" HTTP/1.1") }()
			eventually(t, "the camera is wanted", r.hub.Watched)
			fresh := picture("fresh")
			fresh.CapturedAt = time.Now()
			r.hub.Publish(fresh)
			if a := <-got; a.body != "fresh" {
				t.Errorf("got %d %q", a.StatusCode, a.body)
			}
			if r.hub.Watched() {
				t.Error("the camera may not sleep again")
			}
		})
	}
}
