package webgear_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"

	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// recording writes a file of JPEG pictures, of 320x240 pixels, in colour.
func recording(t *testing.T, pictures int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range pictures {
		if err := jpeg.Encode(&b, plain(320, 240, color.RGBA{uint8(200 - i), 30, 30, 255}), nil); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "clip.mjpeg")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// opened is the source that a text names.
func opened(t *testing.T, spec string, o source.Options) *source.Source {
	t.Helper()
	src, err := source.Parse(spec, o, v4l2.New(v4l2.Config{Root: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// settings reads options as WebGear has them.
func settings(values map[string]any) (webgear.Settings, []string) {
	var warned []string
	s, _ := webgear.ParseSettings(values, func(key, _ string) { warned = append(warned, key) })
	return s, warned
}

// statuses asks for paths and compares the status codes; for the stream it is
// the one of HEAD.
func (r *rig) statuses(want map[string]int) {
	r.t.Helper()
	for path, code := range want {
		method := http.MethodGet
		if p, ok := strings.CutPrefix(path, "HEAD "); ok {
			method, path = http.MethodHead, p
		}
		if a := r.do(method, path); a.StatusCode != code {
			r.t.Errorf("%s %s: got %s, want %d", method, path, a.Status, code)
		}
	}
}

func TestSpec08Line01FileSourceHasAPageAndA404(t *testing.T) {
	r := serve(t, webgear.Options{Open: opened(t, recording(t, 3), source.Options{Loop: true}).Open})
	r.statuses(map[string]int{"/": 200, "/test": 404, "HEAD /video": 200})
	if got := r.watch("/video").await("").size(t); got != image.Pt(320, 240) {
		t.Errorf("picture is %v", got)
	}
}

func TestSpec08Line02TimeDelayDoesNotKeepTheServerFromStarting(t *testing.T) {
	began := time.Now()
	r := serve(t, webgear.Options{Open: opened(t, recording(t, 3), source.Options{Loop: true, TimeDelay: 10 * time.Second}).Open})
	r.statuses(map[string]int{"/": 200, "/test": 404})
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %v, as long as the delay", took)
	}
}

func TestSpec08Line03AllOptionsInvalidAtOnceKeepTheDefaults(t *testing.T) {
	s, warned := settings(map[string]any{
		"jpeg_compression_colorspace": "invalid", "jpeg_compression_quality": 5, "custom_data_location": true, "skip_generate_webdata": "invalid",
		"jpeg_compression_fastdct": "invalid", "jpeg_compression_fastupsample": "invalid", "frame_size_reduction": "invalid",
		"overwrite_default_files": "invalid", "enable_infinite_frames": "invalid", "custom_video_endpoint": "x#x",
	})
	if s != webgear.DefaultSettings() || len(warned) != 10 || len(slices.Compact(slices.Sorted(slices.Values(warned)))) != 10 {
		t.Errorf("got %+v, warned of %q", s, warned)
	}
	r := serve(t, webgear.Options{Settings: s, Open: numbered()})
	r.statuses(map[string]int{"/": 200, "HEAD /video": 200})
}

func TestSpec08Line04ColorspaceIsTrimmedAndFilesAreRestored(t *testing.T) {
	home := t.TempDir()
	s, warned := settings(map[string]any{
		"jpeg_compression_colorspace": " gray  ", "jpeg_compression_quality": 50, "overwrite_default_files": true,
		"custom_data_location": home, "custom_video_endpoint": "x x",
	})
	if !slices.Equal(warned, []string{"custom_video_endpoint"}) {
		t.Errorf("warned of %q", warned)
	}
	templates := filepath.Join(home, ".webgear", "webgear", "templates")
	if err := os.MkdirAll(templates, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.html", "404.html", "500.html"} {
		if err := os.WriteFile(filepath.Join(templates, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := serve(t, webgear.Options{Settings: s, Open: webgear.ImageFunc(func(context.Context) (image.Image, error) {
		return plain(64, 48, color.RGBA{255, 0, 0, 255}), nil
	})})
	r.statuses(map[string]int{"/": 200, "HEAD /video": 200})
	if a := r.get("/"); !strings.Contains(a.body, "<html") {
		t.Errorf("index.html was not restored: %.40q", a.body)
	}
	kept, err := filepath.Glob(filepath.Join(templates, "index*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("no copy of the edited index.html: %q, %v", kept, err)
	}
	m, err := jpeg.Decode(bytes.NewReader(r.watch("/video").await("").data))
	if _, gray := m.(*image.Gray); err != nil || !gray {
		t.Errorf("picture is %T, %v; want grey", m, err)
	}
}

func TestSpec08Line05And06DataLocationMustBeAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, location := range map[string]string{"missing": filepath.Join(t.TempDir(), "im_wrong"), "file": file} {
		s, warned := settings(map[string]any{"jpeg_compression_quality": 55.55, "custom_data_location": location})
		if s.JPEGQuality != 55 || len(warned) != 0 {
			t.Errorf("quality %d, warned of %q", s.JPEGQuality, warned)
		}
		g, err := webgear.New(webgear.Options{Settings: s, Open: numbered()})
		if g != nil || err == nil || !strings.Contains(err.Error(), location) {
			t.Errorf("%s: got %v; want an error that names %s", name, err, location)
		}
	}
}

func TestSpec08Line07EndpointIsTrimmed(t *testing.T) {
	s, _ := settings(map[string]any{"custom_video_endpoint": " xyz "})
	r := serve(t, webgear.Options{Settings: s, Open: numbered()})
	r.watch("/xyz").await("")
	r.statuses(map[string]int{"/": 200, "/video": 404})
	if a := r.get("/"); !strings.Contains(a.body, `src="/xyz"`) {
		t.Error("the page does not show the stream")
	}
}

func TestSpec08Line08SourceIsNeededAndMayBeFinite(t *testing.T) {
	if g, err := webgear.New(webgear.Options{}); g != nil || err == nil || !strings.Contains(err.Error(), "Options.Open") {
		t.Errorf("without a source: got %v", err)
	}
	pictures := make(chan []byte, 2)
	pictures <- picture(1)
	pictures <- picture(2)
	close(pictures)
	r := serve(t, webgear.Options{Open: webgear.JPEGChannel(pictures)})
	if causes := r.watch("/video").rest(); !slices.Contains(causes, "ended") {
		t.Errorf("got %q", causes)
	}
}

func TestSpec08Line09Middleware(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		r := serve(t, webgear.Options{Open: numbered()}, func(g *webgear.Gear) { g.App().Use(cors.New()) })
		a := r.get("/", "Origin", "http://elsewhere.example")
		if a.StatusCode != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("got %s, %v", a.Status, a.Header)
		}
	})
	t.Run("nil", func(t *testing.T) {
		g, _ := newGear(t, webgear.Options{Open: numbered(), Address: "127.0.0.1:0"})
		g.App().Use(fiber.Handler(nil))
		if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the handler is nil") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("something else", func(t *testing.T) {
		g, _ := newGear(t, webgear.Options{Open: numbered()})
		defer func() {
			if v := recover(); v == nil {
				t.Error("Fiber takes anything")
			}
		}()
		g.App().Use([]any{"a route"}) // Fiber's own answer to a mistake in the program
	})
}

func TestSpec08Line10RoutesAreAdded(t *testing.T) {
	s, _ := settings(map[string]any{"custom_video_endpoint": "x1y1z"})
	r := serve(t, webgear.Options{Settings: s, Open: numbered()}, func(g *webgear.Gear) {
		g.App().Get("/hello", func(c *fiber.Ctx) error { return c.SendString("Hello") })
	})
	r.statuses(map[string]int{"/hello": 200, "HEAD /x1y1z": 200, "/video": 404, "/": 200})
}

func TestSpec08Line11SkippedPagesAnswerInJSON(t *testing.T) {
	home := t.TempDir()
	r := serve(t, webgear.Options{Settings: skip(), Home: home, Open: numbered()})
	for _, path := range []string{"/", "/test"} {
		if a := r.get(path); a.StatusCode != http.StatusNotFound || !strings.Contains(a.body, `"detail"`) {
			t.Errorf("%s: got %s, %q", path, a.Status, a.body)
		}
	}
	r.watch("/video").await("")
	if files, err := os.ReadDir(home); err != nil || len(files) != 0 {
		t.Errorf("files were made: %v, %v", files, err)
	}
}

func TestSpec08Line12RoutesOfTheServerCannotBeLost(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered()}, func(g *webgear.Gear) {
		g.App().Get("/state", func(c *fiber.Ctx) error { return c.SendString("mine") }) // replacing one is fine
	})
	r.statuses(map[string]int{"/": 200, "HEAD /video": 200, "/snapshot": 200, "/healthz": 200, "/static/css/custom.css": 200})
	if a := r.get("/state"); a.body != "mine" {
		t.Errorf("got %q", a.body)
	}
}

func TestSpec08Line14UnknownOptionsAreLeftForTheSource(t *testing.T) {
	var warned []string
	s, rest := webgear.ParseSettings(map[string]any{"enablePiCamera": false, "frame_size_reduction": 25}, func(key, _ string) { warned = append(warned, key) })
	if s.FrameSizeReduction != 25 || len(rest) != 1 || rest["enablePiCamera"] != false || len(warned) != 0 {
		t.Errorf("got %+v, %v, %q", s, rest, warned)
	}
}

func TestSpec08Line15ReductionMakesBothSidesSmaller(t *testing.T) {
	for name, open := range map[string]func() webgear.Opener{
		"image": func() webgear.Opener {
			return webgear.ImageFunc(func(context.Context) (image.Image, error) { return busy(800, 500), nil })
		},
		"JPEG": func() webgear.Opener {
			var b bytes.Buffer
			if err := jpeg.Encode(&b, busy(800, 500), nil); err != nil {
				t.Fatal(err)
			}
			return webgear.JPEGFunc(func(context.Context) ([]byte, error) { return b.Bytes(), nil })
		},
		"raw": func() webgear.Opener {
			return opened(t, "test:800x500@30", source.Options{}).Open
		},
	} {
		for percent, want := range map[float64]image.Point{0: {800, 500}, 25: {600, 375}, 85: {120, 75}, 90: {80, 50}} {
			s := webgear.DefaultSettings()
			s.FrameSizeReduction = percent
			r := serve(t, webgear.Options{Settings: s, Open: open(), Want: opened(t, "test:800x500@30", source.Options{}).Want})
			p := r.watch("/video").await("")
			if got := p.size(t); got != want {
				t.Errorf("%s, %v %%: got %v, want %v", name, percent, got, want)
			}
			if _, err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, percent := range []float64{95, -1} {
		s := webgear.DefaultSettings()
		s.FrameSizeReduction = percent
		if _, err := webgear.New(webgear.Options{Settings: s, Open: numbered()}); err == nil || !strings.Contains(err.Error(), "0 to 90") {
			t.Errorf("%v %%: got %v", percent, err)
		}
	}
}

func TestSpec08Line15QualityShowsInTheBytes(t *testing.T) {
	var sizes []int
	for _, quality := range []int{10, 55, 0, 100} { // 0 is 90
		s := webgear.DefaultSettings()
		s.JPEGQuality = quality
		m := busy(320, 240)
		r := serve(t, webgear.Options{Settings: s, Open: webgear.ImageFunc(func(context.Context) (image.Image, error) { return m, nil })})
		sizes = append(sizes, len(r.watch("/video").await("").data))
		if _, err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(sizes) || sizes[3] < 2*sizes[0] {
		t.Errorf("sizes in bytes at quality 10, 55, 90, 100: %v", sizes)
	}
}
