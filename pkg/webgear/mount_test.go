package webgear_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"image"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/compress"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/gofiber/fiber/v2/middleware/etag"
	"github.com/gofiber/fiber/v2/middleware/helmet"
	fiberrecover "github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/gofiber/fiber/v2/middleware/requestid"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// sized is a source of pictures of one size.
func sized(width, height int) webgear.Opener {
	m := busy(width, height)
	return webgear.ImageFunc(func(context.Context) (image.Image, error) { return m, nil })
}

func TestMountedStreamsHaveTheirOwnPictures(t *testing.T) {
	var second, third *webgear.Gear
	r := serve(t, webgear.Options{Open: sized(64, 48)}, func(g *webgear.Gear) {
		second, _ = newGear(t, webgear.Options{Open: sized(80, 60), Settings: webgear.Settings{FrameSizeReduction: 50}})
		third, _ = newGear(t, webgear.Options{Open: afterThree(func(context.Context, int) ([]byte, error) { return nil, io.EOF })})
		for path, other := range map[string]*webgear.Gear{"/video2": second, "/video3": third} {
			if err := g.Mount(path, other); err != nil {
				t.Fatal(err)
			}
		}
		g.App().Use(func(c *fiber.Ctx) error { // sees mounted streams as well
			c.Set("X-Mine", "yes")
			return c.Next()
		})
	})
	first := r.watch("/video")
	if got := first.await("").size(t); got != image.Pt(64, 48) {
		t.Errorf("first: %v", got)
	}
	v := r.watch("/video2")
	if got := v.await("").size(t); got != image.Pt(40, 30) {
		t.Errorf("second: %v", got)
	}
	if v.res.Header.Get("X-Mine") != "yes" {
		t.Errorf("middleware did not see it: %v", v.res.Header)
	}
	if causes := r.watch("/video3").rest(); len(causes) == 0 || causes[len(causes)-1] != "ended" {
		t.Errorf("third: %q", causes)
	}
	if len(second.Status().Stream.Viewers) != 1 || len(r.Status().Stream.Viewers) != 1 {
		t.Error("viewers are not counted where they watch")
	}
	r.statuses(map[string]int{"HEAD /video2": 200, "/": 200})
	<-second.Ready()
	done := make(chan []string, 2)
	for _, v := range []*viewer{first, v} {
		go func() { done <- v.rest() }()
	}
	if took, err := r.stop(); err != nil || took > 5*time.Second {
		t.Errorf("stopping took %v, %v", took, err)
	}
	for range 2 {
		if causes := <-done; len(causes) == 0 || causes[len(causes)-1] != "stopped" {
			t.Errorf("viewer of one of them got %q", causes)
		}
	}
}

func TestStalledViewersOfAMountedStreamDoNotDelayTheEnd(t *testing.T) {
	r := serve(t, webgear.Options{Open: sized(64, 48)}, func(g *webgear.Gear) {
		second, _ := newGear(t, webgear.Options{Open: sized(640, 480)})
		if err := g.Mount("/video2", second); err != nil {
			t.Fatal(err)
		}
	})
	r.watch("/video2").must() // and never reads again
	if took, err := r.stop(); err != nil || took > 5*time.Second {
		t.Errorf("stopping took %v, %v", took, err)
	}
}

func TestMountRefusesWhatMakesNoSense(t *testing.T) {
	g, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
	other, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
	for path, text := range map[string]string{
		"": "path must be", "/": "path must be", "video2": "path must be", "/a/b": "path must be", "/state": "path must be", "/ x": "path must be", "/video": "stream of this Gear",
	} {
		if err := g.Mount(path, other); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %v", path, err)
		}
	}
	if err := g.Mount("/a", nil); err == nil {
		t.Error("nil was mounted")
	}
	if err := g.Mount("/a", g); err == nil {
		t.Error("a Gear was mounted in itself")
	}
	if err := g.Mount("/a", other); err != nil {
		t.Fatal(err)
	}
	third, _ := newGear(t, webgear.Options{Open: numbered()})
	for name, err := range map[string]error{
		"twice":         g.Mount("/b", other),
		"path is taken": g.Mount("/a", third),
		"in a circle":   other.Mount("/c", g),
		"has mounts":    third.Mount("/d", g),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := wait(t, func() error { return other.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("run of a mounted one: %v", err)
	}
}

func TestMountedSourceThatCannotWorkEndsRun(t *testing.T) {
	leakCheck(t)
	g, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
	other, _ := newGear(t, webgear.Options{Open: webgear.JPEGFunc(nil)})
	if err := g.Mount("/video2", other); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, func() error { return g.Run(t.Context()) }); err == nil || !strings.Contains(err.Error(), "the function is nil") {
		t.Errorf("got %v", err)
	}
}

func TestFramesNeedNoViewerAndEndWithTheStream(t *testing.T) {
	r := serve(t, webgear.Options{Open: afterThree(func(_ context.Context, n int) ([]byte, error) {
		if n > 20 {
			return nil, io.EOF
		}
		return picture(n), nil
	})})
	last := uint64(0)
	var causes []string
	for f := range r.Frames(t.Context()) {
		if n, ok := devicetest.JPEGNumber(f.Data); f.Placeholder == "" && (!ok || f.Width != 64 || n == 0) || f.Seq <= last {
			t.Errorf("frame %d after %d: %dx%d, number %d", f.Seq, last, f.Width, f.Height, n)
		}
		last = f.Seq
		causes = append(causes, f.Placeholder)
	}
	if len(causes) < 2 || causes[len(causes)-1] != "ended" {
		t.Errorf("got %q", causes)
	}
}

func TestFramesEndWithTheirContextAndCanBeLeft(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	for range r.Frames(ctx) {
		if n++; n == 3 {
			cancel()
		}
	}
	if n != 3 {
		t.Errorf("got %d frames, want none after the context ended", n)
	}
	cancel()
	for range r.Frames(t.Context()) {
		break
	}
}

func TestUsualMiddlewareLetsTheStreamThrough(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()}, func(g *webgear.Gear) {
		g.App().Use(fiberrecover.New(), requestid.New(), compress.New(), etag.New(), helmet.New(), cors.New(cors.Config{
			AllowCredentials: true, AllowOriginsFunc: func(string) bool { return true },
		}))
	})
	v := r.watch("/video")
	for range 5 {
		if p := v.must(); len(p.data) == 0 {
			t.Error("empty picture")
		}
	}
	if v.res.Header.Get("X-Request-Id") == "" || v.res.Header.Get("Content-Encoding") != "" {
		t.Errorf("header is %v", v.res.Header)
	}
	a := r.get("/static/css/custom.css", "Accept-Encoding", "gzip")
	if z, err := gzip.NewReader(strings.NewReader(a.body)); err != nil {
		t.Errorf("not compressed: %v", err)
	} else if b, err := io.ReadAll(z); err != nil || !bytes.Contains(b, []byte("{")) {
		t.Errorf("compressed badly: %v", err)
	}
}

func TestServeWorksOnTLS(t *testing.T) {
	leakCheck(t)
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := newGear(t, webgear.Options{Open: numbered()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, tls.NewListener(plain, &tls.Config{Certificates: cert.TLS.Certificates})) }()
	<-g.Ready()
	client := cert.Client()
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + plain.Addr().String() + "/video")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	if _, err := io.ReadFull(res.Body, b); err != nil || !bytes.Contains(b, []byte("--frame\r\n")) {
		t.Errorf("got %q, %v", b, err)
	}
	_ = res.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSlowSourceThatSaysSoIsNotCalledStalled(t *testing.T) {
	n := 0
	r := serve(t, webgear.Options{Want: device.Format{Rate: device.FPS(1)}, Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		n++
		return picture(n), nil
	})})
	v := r.watch("/video")
	for range 3 {
		if p := v.must(); p.cause() != "" {
			t.Errorf("got the placeholder %q", p.cause())
		}
	}
}
