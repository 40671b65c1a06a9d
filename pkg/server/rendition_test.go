package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// workshop makes renditions that say what they are, and counts.
type workshop struct {
	mu      sync.Mutex
	open    map[string]int // guarded by mu; coders by what they make
	made    atomic.Int64
	failing atomic.Bool
	hold    chan struct{} // when set, every picture waits for a value
}

type coder struct {
	w    *workshop
	name string
}

func (w *workshop) coder(quality, width int) (Rendition, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[string]int{}
	}
	name := fmt.Sprintf("q%d w%d", quality, width)
	w.open[name]++
	return coder{w, name}, nil
}

func (c coder) Transcode(src []byte) ([]byte, error) {
	if c.w.hold != nil {
		<-c.w.hold
	}
	if c.w.failing.Load() {
		return nil, errors.New("damaged")
	}
	c.w.made.Add(1)
	return fmt.Appendf(nil, "%s of %s", c.name, src), nil
}

func (c coder) Close() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.open[c.name]--; c.w.open[c.name] == 0 {
		delete(c.w.open, c.name)
	}
}

func (w *workshop) opened() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

// wide is a picture that says how wide it is.
func wide(data string) *device.Frame {
	f := picture(data)
	f.Width, f.Height = 1280, 720
	return f
}

func get(query string) string { return "GET /video?" + query + " HTTP/1.1\r\nHost: cam\r\n\r\n" }

func TestViewersWhoWantAboutTheSameShareARendition(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder})
	r.hub.Publish(wide("1"))
	var clients []*client
	for _, query := range []string{"quality=50&width=640", "quality=52&width=600", "width=700&quality=47&fps=0"} {
		clients = append(clients, watch(t, r.addr, get(query)))
	}
	plain := watch(t, r.addr, getVideo)
	for i := 1; ; i++ {
		for j, v := range clients {
			if p := v.next(t); string(p.Data) != fmt.Sprintf("q50 w640 of %d", i) {
				t.Fatalf("viewer %d, picture %d: got %q", j, i, p.Data)
			}
		}
		if p := plain.next(t); string(p.Data) != fmt.Sprint(i) {
			t.Fatalf("the plain stream: got %q", p.Data)
		}
		if i == 5 {
			break
		}
		r.hub.Publish(wide(fmt.Sprint(i + 1)))
	}
	if n := w.made.Load(); n != 5 {
		t.Errorf("%d pictures were made for three viewers of the same five", n)
	}
	body := raw(t, r.addr, "GET /state HTTP/1.1").body
	for _, want := range []string{`"rendition": "quality=50&width=640"`, `"viewers": 3`, `"lag_ms": `} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	r.hub.Close(wide("end"))
	for _, v := range clients {
		if p := v.next(t); string(p.Data) != "q50 w640 of end" {
			t.Errorf("at the end: got %q", p.Data)
		}
		if _, err := v.parts.Next(); err == nil || err.Error() != "EOF" {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestRenditionsAreBoundedAndTheirRoomIsUsedAgain(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder, MaxRenditions: 2})
	r.hub.Publish(wide("1"))
	first := watch(t, r.addr, get("quality=20"))
	first.next(t)
	watch(t, r.addr, get("width=320")).next(t)
	for _, path := range []string{"/video?quality=80", "/snapshot?quality=80"} {
		a := raw(t, r.addr, "GET "+path+" HTTP/1.1")
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "10" ||
			!strings.Contains(a.body, "too many versions of the picture: use one of those that others watch, quality=20, width=320") {
			t.Errorf("%s: got %d, %q, %q", path, a.StatusCode, a.Header.Get("Retry-After"), a.body)
		}
	}
	watch(t, r.addr, get("quality=18")).next(t) // that is one of them
	if a := raw(t, r.addr, "GET /snapshot?width=310 HTTP/1.1"); a.body != "q0 w320 of 1" {
		t.Errorf("got %q", a.body)
	}
	_ = first.conn.Close()
	eventually(t, "there is room again", func() bool {
		for _, v := range r.Stream().Renditions {
			if v.Quality == 20 && v.Viewers == 2 {
				return false
			}
		}
		return true
	})
	if n := w.opened(); n != 2 {
		t.Errorf("%d transcoders are open", n)
	}
}

func TestUnusedRenditionMakesRoomForAnother(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder, MaxRenditions: 1})
	r.hub.Publish(wide("1"))
	for _, quality := range []string{"20", "30", "20"} {
		if a := raw(t, r.addr, "GET /snapshot?quality="+quality+" HTTP/1.1"); a.body != "q"+quality+" w0 of 1" {
			t.Errorf("got %d %q", a.StatusCode, a.body)
		}
	}
	eventually(t, "one transcoder is left", func() bool { return w.opened() == 1 })
	r.stop()
	if n := w.opened(); n != 0 {
		t.Errorf("%d transcoders are open after the end", n)
	}
}

func TestNobodyWantsNothingIsMade(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder})
	r.hub.Publish(wide("1"))
	slow := watch(t, r.addr, get("quality=20&fps=0.1"))
	slow.next(t)
	for range 20 {
		r.hub.Publish(wide("x"))
	}
	if n := w.made.Load(); n != 1 {
		t.Errorf("%d pictures were made for a viewer of one in 10 s", n)
	}
	_ = slow.conn.Close()
	eventually(t, "it rests", func() bool { return r.hub.Subscribers() == 0 && len(ourGoroutines()) == baseGoroutines })
	for range 20 {
		r.hub.Publish(wide("y"))
	}
	if n := w.made.Load(); n != 1 {
		t.Errorf("%d pictures were made, one of them for somebody", n)
	}
	// Who comes next does not see what is left from then.
	if p := watch(t, r.addr, get("quality=20")).next(t); string(p.Data) != "q20 w0 of y" {
		t.Errorf("got %q", p.Data)
	}
}

func TestPicturesAreNeverEnlarged(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder})
	r.hub.Publish(wide("1"))
	for query, want := range map[string]string{
		"width=1280": "1", "width=5000": "1", "width=5000&quality=50": "q50 w0 of 1", "width=1200": "q0 w1120 of 1",
		"quality=100": "q90 w0 of 1", "quality=1": "q10 w0 of 1", "quality=0&width=0": "1",
	} {
		if want == "q0 w1120 of 1" {
			query = "width=1100"
		}
		if a := raw(t, r.addr, "GET /snapshot?"+query+" HTTP/1.1"); a.body != want {
			t.Errorf("%s: got %q, want %q", query, a.body, want)
		}
	}
	for _, query := range []string{"quality=101", "quality=-1", "quality=best", "width=15", "width=99999", "width=1e3"} {
		for _, path := range []string{"/video", "/snapshot"} {
			if a := raw(t, r.addr, "GET "+path+"?"+query+" HTTP/1.1"); a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, query+": use ") {
				t.Errorf("%s?%s: got %d %q", path, query, a.StatusCode, a.body)
			}
		}
	}
}

func TestSlowRenditionGetsTheNewestPicture(t *testing.T) {
	w := workshop{hold: make(chan struct{})}
	r := start(t, Options{Rendition: w.coder})
	r.hub.Publish(wide("1"))
	v := watch(t, r.addr, get("quality=50"))
	w.hold <- struct{}{} // it makes the first
	for i := 2; i <= 9; i++ {
		r.hub.Publish(wide(fmt.Sprint(i)))
	}
	if p := v.next(t); string(p.Data) != "q50 w0 of 1" {
		t.Errorf("got %q", p.Data)
	}
	last := ""
	for last != "q50 w0 of 9" { // one may have been begun in between
		w.hold <- struct{}{}
		if p := string(v.next(t).Data); p <= last {
			t.Fatalf("%q after %q", p, last)
		} else {
			last = p
		}
	}
	if n := w.made.Load(); n > 4 {
		t.Errorf("%d pictures were made", n)
	}
	close(w.hold)
}

func TestFailureOfARenditionIsToldOnceAndEnds(t *testing.T) {
	var w workshop
	r := start(t, Options{Rendition: w.coder})
	w.failing.Store(true)
	r.hub.Publish(wide("1"))
	v := watch(t, r.addr, get("quality=50"))
	failures := func() uint64 {
		if all := r.Stream().Renditions; len(all) == 1 {
			return all[0].Failed
		}
		return 0
	}
	eventually(t, "it fails", func() bool { return failures() == 1 })
	r.hub.Publish(wide("2"))
	eventually(t, "it fails again", func() bool { return failures() == 2 })
	if n := len(r.log.lines("picture could not be made smaller")); n != 1 {
		t.Errorf("told %d times", n)
	}
	if a := raw(t, r.addr, "GET /snapshot?quality=50 HTTP/1.1"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("ETag") != "" {
		t.Errorf("snapshot: got %d, %q", a.StatusCode, a.Header.Get("ETag"))
	}
	w.failing.Store(false)
	r.hub.Publish(wide("3"))
	if p := v.next(t); string(p.Data) != "q50 w0 of 3" {
		t.Errorf("got %q", p.Data)
	}
}

func TestRenditionIsARealPictureOfTheSizeThatWasAskedFor(t *testing.T) {
	r := start(t, Options{})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 640, 480)), nil); err != nil {
		t.Fatal(err)
	}
	r.hub.Publish(picture(b.String())) // it does not say how wide it is
	for path, want := range map[string]image.Point{"quality=30&width=320": {320, 240}, "width=160": {160, 120}, "quality=10": {640, 480}} {
		a := raw(t, r.addr, "GET /snapshot?"+path+" HTTP/1.1")
		c, err := jpeg.DecodeConfig(strings.NewReader(a.body))
		if err != nil || c.Width != want.X || c.Height != want.Y {
			t.Errorf("%s: got %dx%d, %v, want %v", path, c.Width, c.Height, err, want)
		}
	}
}

// TestRenditionsWithManyWhoComeAndGo is for the race detector.
func TestRenditionsWithManyWhoComeAndGo(t *testing.T) {
	var w workshop
	cert := certificate(t)
	for name, config := range map[string]*tls.Config{"bare": nil, "tls": {Certificates: []tls.Certificate{cert}}} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			if o := (Options{Rendition: w.coder}); config == nil {
				r = start(t, o)
			} else {
				r = startTLS(t, config, o)
			}
			r.hub.Publish(wide("0"))
			ctx, cancel := context.WithCancel(t.Context())
			var feeder, wg sync.WaitGroup
			feeder.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					r.hub.Publish(wide("x"))
					<-tick.C
				}
			})
			for i := range 6 {
				wg.Go(func() {
					for j := range 8 {
						v := r.watch(t, get(fmt.Sprintf("quality=%d&fps=%d", 10+10*((i+j)%3), 500*(j%2))))
						for range 5 {
							v.next(t)
						}
						_ = v.conn.Close()
					}
				})
			}
			wg.Wait()
			cancel()
			feeder.Wait()
			eventually(t, "all are forgotten", func() bool { return r.hub.Subscribers() == 0 && len(r.Stream().Viewers) == 0 })
		})
	}
	if n := w.opened(); n > 6 {
		t.Errorf("%d transcoders are open", n)
	}
}
