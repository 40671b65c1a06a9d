//go:build system

package web_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/server"
)

// networkListener is one that others can reach, although it is not.
type networkListener struct{ net.Listener }

func (networkListener) Trust() auth.Trust { return auth.Network }

// serveUnclaimed is serve with a guard, and without a password yet.
func serveUnclaimed(t *testing.T) (*camera, *auth.Guard) {
	t.Helper()
	started := time.Now()
	store, err := auth.OpenStore(auth.StoreOptions{System: auth.System{SinceBoot: func() time.Duration { return time.Since(started) }}})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := auth.New(auth.Options{Store: store, ClaimFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = guard.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return serveWith(t, "127.0.0.1:0", func(o *server.Options, ln net.Listener) net.Listener {
		o.Guard = guard
		return networkListener{ln}
	}), guard
}

// size makes the window that large, in pixels of style.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
		return chromedp.Void{}, err
	})
}

// scheme has the page think that the person likes it light or dark.
func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return chromedp.Void{}, err
	})
}

// shot takes a picture of the whole page, which -artifacts keeps.
func (p *tab) shot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// sound looks for what makes a page hard to use, in each of its looks.
func (p *tab) sound(name string) {
	p.t.Helper()
	look := func(how string, width int) {
		p.t.Helper()
		// Not innerWidth: on phones that grows with what is too wide.
		if wide := eval[int](p, `document.documentElement.scrollWidth`) - width; wide > 0 {
			p.t.Errorf("%s, %s: %d pixels too wide", name, how, wide)
		}
		if small := eval[string](p, `[...document.querySelectorAll("button, .button, select, input:not([type=hidden]):not(.fixed):not(.away)")]
			.filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML.slice(0, 80)).join()`); small != "" {
			p.t.Errorf("%s, %s: too small to touch: %s", name, how, small)
		}
		if faint := eval[string](p, contrast); faint != "" {
			p.t.Errorf("%s, %s: hard to read: %s", name, how, faint)
		}
		p.shot(name + "-" + how)
	}
	if bare := eval[string](p, `[...document.querySelectorAll("input:not([type=hidden]):not(.away), select")]
		.filter((e) => !e.labels.length && !e.getAttribute("aria-label")).map((e) => e.outerHTML.slice(0, 80)).join()`); bare != "" {
		p.t.Errorf("%s: no label: %s", name, bare)
	}
	if n := eval[int](p, `document.querySelectorAll("h1").length`); n != 1 {
		p.t.Errorf("%s: %d headings of the first rank", name, n)
	}
	eventually(p.t, "the page has its style", func() bool { return eval[string](p, `document.readyState`) == "complete" })
	p.size(1280, 800)
	p.scheme("light")
	look("light", 1280)
	p.scheme("dark")
	look("dark", 1280)
	p.size(390, 844)
	look("phone-dark", 390)
	p.scheme("light")
	look("phone-light", 390)
	p.size(320, 568)
	look("small-phone", 320)
	p.size(1280, 800)
}

// contrast names texts that stand out less than WCAG 2.2 AA asks for, 4.5:1.
const contrast = `(() => {
	const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => {
		const f = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
	};
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const bad = [];
	for (const e of document.querySelectorAll("h1, h2, p, label, a, button, summary, strong, .soft, input, select")) {
		if (!e.offsetParent || !(e.textContent.trim() || e.value) || getComputedStyle(e).backgroundColor.startsWith("color(")) continue;
		const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(e.outerHTML.slice(0, 60) + " " + ratio.toFixed(2));
	}
	return bad.join("; ");
})()`

func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errors) != 0 {
		p.t.Errorf("the page complains: %q", p.errors)
	}
}

// at waits until the page is that of a path, and has loaded.
func (p *tab) at(path string) {
	p.t.Helper()
	eventually(p.t, "the page "+path, func() bool {
		return eval[string](p, `document.readyState === "complete" ? location.pathname + location.search : ""`) == path
	})
}

// live waits until the page with the picture is there and the picture too.
func (p *tab) live() {
	p.t.Helper()
	eventually(p.t, "the start page", func() bool {
		return eval[string](p, `document.getElementById("picture") ? location.pathname : ""`) == "/"
	})
	p.moves()
}

const goodPassword = "three small pigs"

func TestFirstMinuteIsOnePageWithOnePassword(t *testing.T) {
	c, _ := serveUnclaimed(t)
	p := open(t, "http://"+c.addr+"/")
	p.at("/claim")
	p.sound("claim")
	if eval[string](p, `document.activeElement.id`) != "password" {
		t.Error("one has to look for the field")
	}
	if !strings.HasPrefix(p.text("[data-left]"), "10 minutes") {
		t.Errorf("time left: %q", p.text("[data-left]"))
	}
	p.do(chromedp.SendKeys("#password", "abc"))
	eventually(t, "the rule counts", func() bool { return p.text("#rule") == "5 more" })
	p.do(chromedp.Click("[data-show]"))
	if got := eval[string](p, `document.getElementById("password").type + " " + document.querySelector("[data-show]").getAttribute("aria-pressed")`); got != "text true" {
		t.Errorf("show: %s", got)
	}
	p.do(chromedp.SendKeys("#password", " "+goodPassword))
	eventually(t, "the rule is met", func() bool { return p.text("#rule") == "Long enough. Longer is better." })
	p.do(chromedp.KeyEvent(kb.Enter))
	p.live()
	if got := p.text(".account a"); got != "admin" {
		t.Errorf("signed in as %q", got)
	}
	p.sound("index")
	p.quiet()
}

func TestPasswordsTooCommonAreRefusedInPlace(t *testing.T) {
	c, _ := serveUnclaimed(t)
	p := open(t, "http://"+c.addr+"/claim")
	p.do(chromedp.SendKeys("#password", "raspberry"), chromedp.KeyEvent(kb.Enter))
	eventually(t, "the page says why", func() bool {
		return strings.Contains(eval[string](p, `(document.querySelector(".problem") || {}).textContent || ""`), "tried first")
	})
	p.sound("claim-refused")
}

func TestSignInAndOut(t *testing.T) {
	c, guard := serveUnclaimed(t)
	if err := guard.Store().SetPassword(t.Context(), "admin", auth.Admin, goodPassword); err != nil {
		t.Fatal(err)
	}
	p := open(t, "http://"+c.addr+"/")
	p.at("/sign-in?next=%2F")
	p.sound("sign-in")
	p.do(chromedp.SendKeys("#password", "wrong password"), chromedp.KeyEvent(kb.Enter))
	eventually(t, "the page says so", func() bool {
		return strings.Contains(eval[string](p, `(document.querySelector(".problem") || {}).textContent || ""`), "is wrong")
	})
	p.sound("sign-in-wrong")
	p.do(chromedp.SendKeys("#password", goodPassword), chromedp.KeyEvent(kb.Enter))
	p.live()
	p.do(chromedp.Click(".account button"))
	p.at("/sign-in")
	p.do(chromedp.Navigate("http://" + c.addr + "/access"))
	p.at("/sign-in?next=%2Faccess")
}

// Somebody takes the right away while the page is open.
func TestOpenPageAsksToSignInAgain(t *testing.T) {
	c, guard := serveUnclaimed(t)
	if err := guard.Store().SetPassword(t.Context(), "admin", auth.Admin, goodPassword); err != nil {
		t.Fatal(err)
	}
	p := open(t, "http://"+c.addr+"/")
	p.do(chromedp.SendKeys("#password", goodPassword), chromedp.KeyEvent(kb.Enter))
	p.live()
	if err := guard.Store().EndSessions(t.Context(), "admin"); err != nil {
		t.Fatal(err)
	}
	p.at("/sign-in?next=%2F")
}

func TestAccessPageManages(t *testing.T) {
	c, guard := serveUnclaimed(t)
	if err := guard.Store().SetPassword(t.Context(), "admin", auth.Admin, goodPassword); err != nil {
		t.Fatal(err)
	}
	p := open(t, "http://"+c.addr+"/access")
	p.do(chromedp.SendKeys("#password", goodPassword), chromedp.KeyEvent(kb.Enter))
	p.at("/access")
	p.do(chromedp.SendKeys("#viewer", "grandma"), chromedp.SendKeys("#viewer-password", "garden gate 7"), chromedp.KeyEvent(kb.Enter))
	p.at("/access?done=account")
	p.do(chromedp.SendKeys("#token", "Home Assistant"), chromedp.KeyEvent(kb.Enter))
	eventually(t, "the token is shown", func() bool {
		return strings.HasPrefix(eval[string](p, `(document.getElementById("shown") || {}).value || ""`), "webgear_")
	})
	p.sound("access-token")
	p.do(chromedp.Navigate("http://"+c.addr+"/access"), chromedp.Click(`form[action="/access/links"] button`))
	eventually(t, "the link is shown", func() bool {
		return strings.HasPrefix(eval[string](p, `(document.getElementById("shown") || {}).value || ""`), "http://"+c.addr+"/video?exp=")
	})
	p.sound("access-link")
	p.do(chromedp.Click(`[aria-label="Remove grandma"]`))
	p.at("/access?done=removed")
	if strings.Contains(p.text("main"), "grandma") {
		t.Error("the account is still there")
	}
	p.quiet()
}

// All of it works where scripts are switched off.
func TestAccessNeedsNoScript(t *testing.T) {
	c, _ := serveUnclaimed(t)
	p := open(t, "about:blank")
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: "*://*:*/*.js", Block: true}}})
		return chromedp.Void{}, err
	}, chromedp.Navigate("http://"+c.addr+"/"))
	p.at("/claim")
	if !eval[bool](p, `document.querySelector("[data-show]").hidden`) {
		t.Error("a button is shown that does nothing")
	}
	p.do(chromedp.SendKeys("#password", goodPassword), chromedp.KeyEvent(kb.Enter))
	p.live()
	p.do(chromedp.Click(".account a"))
	p.at("/access")
	p.do(chromedp.SendKeys("#token", "x"), chromedp.KeyEvent(kb.Enter))
	eventually(t, "the token is shown", func() bool {
		return strings.HasPrefix(eval[string](p, `(document.getElementById("shown") || {}).value || ""`), "webgear_")
	})
	p.do(chromedp.Click(".account button"))
	p.at("/sign-in")
}
