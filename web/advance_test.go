//go:build system

package web_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/server"
)

// still is a server whose pictures come when the test wants.
func still(t *testing.T) (hub *fanout.Hub, addr string, srv *server.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub = fanout.New()
	if srv, err = server.New(server.Options{Hub: hub}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Run(ctx, ln); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		hub.Close(nil)
		cancel()
		wg.Wait()
	})
	return hub, ln.Addr().String(), srv
}

// show makes the page show the stream in an <img> of its own.
func (p *tab) show(src string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`document.body.innerHTML = '<img id="picture">', document.getElementById("picture").src = %q, true`, src))
}

// TestChromeShowsAPictureBeforeTheNextOneIsSent publishes a picture, and the next
// only once the browser shows it. Pictures differ in size, so that with lengths
// in advance some do not fit the room that was promised.
func TestChromeShowsAPictureBeforeTheNextOneIsSent(t *testing.T) {
	frames := pictures(t)
	for name, query := range map[string]string{"by itself": "", "asked for": "advance_headers=1", "with lengths": "advance_headers=sized"} {
		t.Run(name, func(t *testing.T) {
			hub, addr, srv := still(t)
			p := open(t, "http://"+addr+"/no/such/page") // a page without pictures of its own
			p.show("/video?" + query)
			eventually(t, "the stream is watched", func() bool { return len(srv.Stream().Viewers) == 1 })
			var took []time.Duration
			for i := range 12 {
				at := i * 3
				data := slices.Clone(frames[at])
				if i%4 == 3 {
					data = append(data, make([]byte, len(data))...) // too large for its room
				}
				hub.Publish(&device.Frame{Data: data, CapturedAt: time.Now(), PublishedAt: time.Now()})
				began := time.Now()
				eventually(t, fmt.Sprintf("picture %d is shown before there is another", i), func() bool { return eval[int](p, sample) == at })
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("shown after %s (median), %s (longest)", took[len(took)/2], took[len(took)-1])
		})
	}
}

// TestChromeIsOnePictureLateWithoutHeadersInAdvance is why they exist. When it
// fails, Chrome has changed, and they are not needed any more.
func TestChromeIsOnePictureLateWithoutHeadersInAdvance(t *testing.T) {
	frames := pictures(t)
	hub, addr, srv := still(t)
	p := open(t, "http://"+addr+"/no/such/page")
	p.show("/video?advance_headers=0")
	eventually(t, "the stream is watched", func() bool { return len(srv.Stream().Viewers) == 1 })
	for i := range 6 {
		hub.Publish(&device.Frame{Data: frames[i], CapturedAt: time.Now(), PublishedAt: time.Now()})
		eventually(t, "it is sent", func() bool { return srv.Stream().Viewers[0].Frames == uint64(i+1) })
		eventually(t, "the picture before is shown", func() bool { return eval[int](p, sample) == i-1 })
	}
	<-time.After(300 * time.Millisecond) // chosen: ten times what it takes otherwise
	if at := eval[int](p, sample); at != 4 {
		t.Errorf("picture %d is shown after a while", at)
	}
}

// TestPageHoldsOneStream is about the six connections that browsers make to one
// server: a page that took more than one would block its own requests with few tabs.
func TestPageHoldsOneStream(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	p.moves()
	for range 3 { // connected again and again
		eval[bool](p, `dispatchEvent(new Event("online"))`)
		p.moves()
	}
	eventually(t, "one stream is left", func() bool { return len(c.Stream().Viewers) == 1 })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if strings.Contains(r, "/video") && !strings.HasPrefix(r, "http://"+c.addr+"/video") {
			t.Errorf("the page asks for %s", r)
		}
	}
}
