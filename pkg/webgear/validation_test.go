package webgear_test

import (
	"context"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(o *webgear.Options)
		text   string
	}{
		"no source":           {func(o *webgear.Options) { o.Open = nil }, "set Options.Open"},
		"reduction":           {func(o *webgear.Options) { o.FrameSizeReduction = 90.5 }, "must be a number from 0 to 90"},
		"negative reduction":  {func(o *webgear.Options) { o.FrameSizeReduction = -1 }, "must be a number from 0 to 90"},
		"reduction no number": {func(o *webgear.Options) { o.FrameSizeReduction = math.NaN() }, "must be a number from 0 to 90"},
		"quality":             {func(o *webgear.Options) { o.JPEGQuality = 101 }, "JPEG quality 101: must be a number from 10 to 100"},
		"low quality":         {func(o *webgear.Options) { o.JPEGQuality = 9 }, "JPEG quality 9"},
		"negative quality":    {func(o *webgear.Options) { o.JPEGQuality = -90 }, "JPEG quality -90"},
		"colorspace":          {func(o *webgear.Options) { o.JPEGColorspace = "HSV" }, "must be one of RGB"},
		"endpoint":            {func(o *webgear.Options) { o.VideoEndpoint = "a/b" }, "letters and digits only"},
		"endpoint of ours":    {func(o *webgear.Options) { o.VideoEndpoint = "snapshot" }, "must not be a path of the server"},
		"endpoint of access":  {func(o *webgear.Options) { o.VideoEndpoint = "claim" }, "must not be a path of the server"},
		"location":            {func(o *webgear.Options) { o.DataLocation = "/does/not/exist" }, "/does/not/exist"},
		"wanted size":         {func(o *webgear.Options) { o.Want.Width = -640 }, "wanted size -640x0"},
		"wanted huge size":    {func(o *webgear.Options) { o.Want.Height = 1 << 20 }, "wanted size"},
	} {
		o := webgear.Options{Settings: webgear.DefaultSettings(), Open: numbered(), Home: t.TempDir()}
		tt.change(&o)
		g, err := webgear.New(o)
		if g != nil || err == nil || !strings.HasPrefix(err.Error(), "webgear: ") || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tt.text)
		}
	}
}

func TestNewTakesSettingsAsPeopleWriteThem(t *testing.T) {
	s := webgear.DefaultSettings()
	s.VideoEndpoint, s.JPEGColorspace = " cam1 ", " gray "
	r := serve(t, webgear.Options{Settings: s, Open: numbered()})
	r.statuses(map[string]int{"HEAD /cam1": 200})
}

// wait gives the error of a Serve or Run that must end.
func wait(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("does not end")
		return nil
	}
}

func TestMistakesOfASourceEndRunWithAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		open webgear.Opener
		text string
	}{
		"nil function":    {webgear.ImageFunc(nil), "the function is nil"},
		"nil channel":     {webgear.JPEGChannel(nil), "the channel is nil"},
		"no colorspace":   {webgear.PixelFunc(8, 8, "HSV", func(context.Context) ([]byte, error) { return nil, nil }), "HSV"},
		"nothing":         {func(context.Context) (device.Camera, error) { return nil, nil }, "neither a camera nor an error"},
		"device.Fatal is": {webgear.Opener(func(context.Context) (device.Camera, error) { return nil, device.ErrNotFound }), "not found"},
	} {
		leakCheck(t)
		g, _ := newGear(t, webgear.Options{Open: tt.open, Address: "127.0.0.1:0", Fatal: []error{device.ErrNotFound}})
		err := wait(t, func() error { return g.Run(t.Context()) })
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: Run gave %v, want %q", name, err, tt.text)
		}
	}
}

func TestOpenerThatPanicsIsAFailureOfTheSource(t *testing.T) {
	r := serve(t, webgear.Options{Source: "mine", Open: func(context.Context) (device.Camera, error) { panic("boom") }})
	r.watch("/video").await("failed")
	if c := r.Status().Camera; !strings.Contains(c.Error, "open mine: panic: boom at validation_test.go:") {
		t.Errorf("state says %q", c.Error)
	}
}

func TestRunTwiceIsAnError(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
	if err := wait(t, func() error { return r.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), "runs once") {
		t.Errorf("while it runs: got %v", err)
	}
	r.watch("/video").await("") // undisturbed
	if _, err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, func() error { return r.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), "runs once") {
		t.Errorf("afterwards: got %v", err)
	}
}

func TestRunWithAnEndedContextDoesNothing(t *testing.T) {
	leakCheck(t)
	g, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wait(t, func() error { return g.Run(ctx) }); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAddressThatIsTakenIsAnErrorAndRunMayBeTriedAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, log := newGear(t, webgear.Options{Open: numbered(), Address: ln.Addr().String()})
	if err := wait(t, func() error { return g.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	serveGear(t, g, log).watch("/video").await("")
}

func TestServeWithoutListenerIsAnError(t *testing.T) {
	g, _ := newGear(t, webgear.Options{Open: numbered()})
	if err := wait(t, func() error { return g.Serve(t.Context(), nil) }); err == nil || !strings.Contains(err.Error(), "no listener") {
		t.Errorf("got %v", err)
	}
}

// public is a listener that says it can be reached from elsewhere.
type public struct{ net.Listener }

func (public) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8000} }

func TestDebugErrorsAreRefusedOnAPublicAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := newGear(t, webgear.Options{Open: numbered(), DebugErrors: true})
	if err := wait(t, func() error { return g.Serve(t.Context(), public{ln}) }); err == nil || !strings.Contains(err.Error(), "192.0.2.1:8000") {
		t.Errorf("got %v", err)
	}
}

func TestAppAfterRunSaysThatItIsTooLate(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()})
	r.App().Get("/late", func(c *fiber.Ctx) error { return c.SendString("late") })
	if a := r.get("/late"); a.StatusCode != http.StatusNotFound {
		t.Errorf("got %s", a.Status)
	}
	if !strings.Contains(r.log.String(), "have no effect") {
		t.Error("the log does not say so")
	}
}

func TestNilHandlersAreFoundBeforeServing(t *testing.T) {
	for name, register := range map[string]func(a *fiber.App){
		"GET /x":   func(a *fiber.App) { a.Get("/x", nil) },
		"POST /y":  func(a *fiber.App) { a.Group("/").Post("/y", func(*fiber.Ctx) error { return nil }, nil) },
		"GET /api": func(a *fiber.App) { a.Use("/api", fiber.Handler(nil)) },
	} {
		g, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
		register(g.App())
		if err := wait(t, func() error { return g.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "the handler is nil") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
