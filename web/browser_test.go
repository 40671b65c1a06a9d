//go:build system

// These tests look at the pages with a real browser: Debian's chromium.

package web_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/server"
	"github.com/webgear-pi/webgear/pkg/status"
)

// camera is a running server with a moving picture of 640x480.
type camera struct {
	*server.Server
	addr  string
	cause atomic.Pointer[status.Cause]
	stop  func()
}

// serve starts a camera on addr, until the test ends or stop is called.
func serve(t *testing.T, addr string) *camera {
	t.Helper()
	return serveWith(t, addr, func(_ *server.Options, ln net.Listener) net.Listener { return ln })
}

// serveWith is serve with options, and a listener of its own kind.
func serveWith(t *testing.T, addr string, change func(*server.Options, net.Listener) net.Listener) *camera {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	hub := fanout.New()
	c := &camera{addr: ln.Addr().String()}
	started := time.Now()
	o := server.Options{Hub: hub, Version: "test", Snapshot: func() status.Snapshot {
		s := status.Snapshot{StartedAt: started, Camera: status.Camera{
			State: status.Online, FPS: 25,
			Info:    &device.Info{Name: "Test Camera 9"},
			Granted: &device.Format{FourCC: device.MJPG, Width: 640, Height: 480},
		}}
		if cause := c.cause.Load(); cause != nil {
			s.Camera.State, s.Camera.Cause = status.Offline, cause
		}
		return s
	}}
	ln = change(&o, ln)
	if c.Server, err = server.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx, ln); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	frames := pictures(t)
	wg.Go(func() {
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		defer hub.Close(nil)
		for i := 0; ctx.Err() == nil; i++ {
			hub.Publish(&device.Frame{Data: frames[i%len(frames)], CapturedAt: time.Now()})
			<-tick.C
		}
	})
	c.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(c.stop)
	return c
}

// pictures returns JPEGs with a white bar that moves.
func pictures(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for i := range 40 {
		img := image.NewGray(image.Rect(0, 0, 640, 480))
		for y := range 480 {
			for x := range 16 {
				img.SetGray(i*16+x, y, color.Gray{Y: 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, nil); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Bytes())
	}
	return all
}

// tab is one page of a browser.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the page in the context

	mu       sync.Mutex
	requests []string // guarded by mu
	errors   []string // guarded by mu
}

// open starts a browser with a profile of its own and opens url.
func open(t *testing.T, url string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-gpu", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium refuses to run as root otherwise
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(err)
	}
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{})
		return chromedp.Void{}, err
	}, chromedp.Navigate(url))
	return p
}

// note keeps what the page asks for and complains about.
func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		p.errors = append(p.errors, fmt.Sprint("console ", e.Type))
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, fmt.Sprint("exception ", e.ExceptionDetails))
	case *cdplog.EventEntryAdded:
		p.errors = append(p.errors, e.Entry.Text+" "+e.Entry.URL)
	}
}

// do runs actions for at most 20 seconds.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of a JavaScript expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// eventually waits until cond holds, at most 20 seconds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// sample draws the picture, and returns where in it the bar is: its column in
// steps of 16 pixels, or -1.
const sample = `(() => {
	const p = document.getElementById("picture");
	if (!p.naturalWidth) return -1;
	const c = document.createElement("canvas");
	c.width = 40; c.height = 1;
	const g = c.getContext("2d");
	g.drawImage(p, 0, 200, p.naturalWidth, 16, 0, 0, 40, 1);
	const d = g.getImageData(0, 0, 40, 1).data;
	let best = 0;
	for (let i = 0; i < 40; i++) if (d[i * 4] > d[best * 4]) best = i;
	return d[best * 4] > 128 ? best : -1;
})()`

// moves waits until the bar was seen in several places.
func (p *tab) moves() {
	p.t.Helper()
	seen := map[int]bool{}
	eventually(p.t, "the picture moves", func() bool {
		if at := eval[int](p, sample); at >= 0 {
			seen[at] = true
		}
		return len(seen) >= 4
	})
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`document.querySelector(%q).textContent.trim()`, selector))
}

func TestPageShowsTheMovingPicture(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	p.moves()
	if w, h := eval[int](p, "picture.naturalWidth"), eval[int](p, "picture.naturalHeight"); w != 640 || h != 480 {
		t.Errorf("the picture is %dx%d", w, h)
	}
	eventually(t, "the status line is filled", func() bool { return p.text("#facts") == "640 × 480 · 25 fps · 1 viewer" })
	if got := p.text("#headline"); got != "Live picture" {
		t.Errorf("status %q", got)
	}
	if got := p.text("#name"); got != "Test Camera 9" {
		t.Errorf("name %q", got)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errors) != 0 {
		t.Errorf("the page complains: %q", p.errors)
	}
	if len(p.requests) < 5 {
		t.Errorf("requests were not seen: %q", p.requests)
	}
	for _, r := range p.requests {
		if !strings.HasPrefix(r, "http://"+c.addr+"/") && !strings.HasPrefix(r, "data:") {
			t.Errorf("the page asks for %s", r)
		}
	}
}

func TestPictureNeedsNoScript(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "about:blank")
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: "*://*:*/*.js", Block: true}}})
		return chromedp.Void{}, err
	}, chromedp.Navigate("http://"+c.addr+"/"))
	p.moves()
	if !eval[bool](p, `document.getElementById("full").hidden`) {
		t.Error("a button is shown that does nothing")
	}
}

func TestHiddenPageLetsGoOfTheStream(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	p.moves()
	hide := func(hidden bool) {
		eval[bool](p, fmt.Sprintf(`Object.defineProperty(document, "hidden", {configurable: true, get: () => %v}), document.dispatchEvent(new Event("visibilitychange"))`, hidden))
	}
	hide(true)
	eventually(t, "the viewer has left", func() bool { return len(c.Stream().Viewers) == 0 })
	hide(false)
	eventually(t, "the viewer is back", func() bool { return len(c.Stream().Viewers) == 1 })
	p.moves()
}

func TestPictureComesBackAfterTheServerWasRestarted(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	p.moves()
	c.stop()
	eventually(t, "the page says so", func() bool { return p.text("#headline") == "No connection to the camera server" })
	if eval[bool](p, `document.getElementById("veil").hidden`) {
		t.Error("the frozen picture looks alive")
	}
	again := serve(t, c.addr)
	eventually(t, "the page watches again", func() bool { return len(again.Stream().Viewers) == 1 })
	p.moves()
	eventually(t, "the page says so", func() bool {
		return p.text("#headline") == "Live picture" && eval[bool](p, `document.getElementById("veil").hidden`)
	})
}

func TestPageNamesTheCauseOfAPlaceholder(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	cause := status.CauseOf(device.ErrUnplugged)
	c.cause.Store(&cause)
	p := open(t, "http://"+c.addr+"/")
	if got := p.text("#headline"); got != "Camera unplugged" {
		t.Errorf("at first: %q", got)
	}
	c.cause.Store(nil)
	eventually(t, "it is live again", func() bool { return p.text("#headline") == "Live picture" && p.text("#remedy") == "" })
	c.cause.Store(&cause)
	eventually(t, "cause and remedy appear", func() bool {
		return p.text("#headline") == cause.Title && p.text("#remedy") == cause.Remedy
	})
	if eval[string](p, `document.getElementById("status").getAttribute("aria-live")`) != "polite" {
		t.Error("screen readers are not told")
	}
}

func TestFullScreenByButtonAndByKey(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	p.moves()
	whole := func() bool {
		return eval[bool](p, `document.getElementById("full").getAttribute("aria-pressed") === "true" && stage.clientWidth === innerWidth`)
	}
	none := func() bool {
		return eval[bool](p, `document.getElementById("full").getAttribute("aria-pressed") === "false" && !document.fullscreenElement`)
	}
	p.do(chromedp.Click("#full"))
	eventually(t, "full screen by button", whole)
	p.do(chromedp.KeyEvent("f"))
	eventually(t, "back by key", none)
	p.do(chromedp.KeyEvent("f"))
	eventually(t, "full screen by key", whole)
	p.do(chromedp.KeyEvent(kb.Escape))
	if eval[bool](p, `stage.classList.contains("whole")`) {
		t.Error("Escape does not leave")
	}
}

func TestErrorPagesAreThemed(t *testing.T) {
	c := serve(t, "127.0.0.1:0")
	p := open(t, "http://"+c.addr+"/")
	look := `getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).fontFamily`
	want := eval[string](p, look)
	p.do(chromedp.Navigate("http://" + c.addr + "/no/such/page"))
	if got := eval[string](p, look); got != want || strings.HasPrefix(got, "rgba(0, 0, 0, 0)") {
		t.Errorf("404 page looks like %q, the start page like %q", got, want)
	}
	if got := p.text("h1"); got != "There is no page here" {
		t.Errorf("heading %q", got)
	}
	if got := eval[string](p, `document.querySelector(".message .button").getAttribute("href")`); got != "/" {
		t.Errorf("the way back leads to %q", got)
	}
	icon := eval[bool](p, `document.querySelector(".brand img").naturalWidth === 32`)
	if !icon {
		t.Error("the icon is not there")
	}
}
