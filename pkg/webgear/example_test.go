package webgear_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/httpjpeg"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/testsrc"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// A whole program: http://localhost:8000/ shows a test picture until Ctrl-C.
// Options.Address ":8000" would let the whole network watch.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	g, err := webgear.New(webgear.Options{
		Open: func(context.Context) (device.Camera, error) {
			return testsrc.NewPattern(testsrc.PatternOptions{Width: 640, Height: 480})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := g.Run(ctx); err != nil {
		fmt.Println(err)
	}
}

// A listener of one's own, such as one with TLS or on a Unix socket.
func ExampleGear_Serve() {
	g, err := webgear.New(webgear.Options{Open: webgear.ImageFunc(still), Home: tempHome()})
	if err != nil {
		fmt.Println(err)
		return
	}
	socket := filepath.Join(tempHome(), "webgear.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	<-g.Ready()

	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := io.WriteString(conn, "GET /video HTTP/1.1\r\nHost: camera\r\n\r\n"); err != nil {
		fmt.Println(err)
		return
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Println(strings.TrimSpace(status), err, conn.Close())

	stop()
	fmt.Println(<-done)
	// Output:
	// HTTP/1.1 200 OK <nil> <nil>
	// <nil>
}

// A function that draws the pictures, one at a time, 10 per second.
func ExampleImageFunc() {
	n := 0
	draw := func(context.Context) (image.Image, error) {
		n++
		m := image.NewGray(image.Rect(0, 0, 320, 240))
		m.SetGray(n%320, 120, color.Gray{255})
		return m, nil
	}
	show(webgear.Options{Open: webgear.ImageFunc(draw), Want: device.Format{Rate: device.FPS(10)}}, "/video")
	// Output: /video: 200 multipart/x-mixed-replace; boundary=frame
}

// A function that has JPEG already, here from a file that another program
// writes. The bytes go to the viewers as they are.
func ExampleJPEGFunc() {
	path := filepath.Join(tempHome(), "newest.jpg")
	if err := os.WriteFile(path, picture(1), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	read := func(context.Context) ([]byte, error) { return os.ReadFile(path) }
	show(webgear.Options{Open: webgear.JPEGFunc(read), Want: device.Format{Rate: device.FPS(2)}}, "/snapshot")
	// Output: /snapshot: 200 image/jpeg
}

// A part of the program sends pictures when it has them. Closing the channel
// ends the stream.
func ExampleImageChannel() {
	pictures := make(chan image.Image, 1)
	pictures <- image.NewGray(image.Rect(0, 0, 320, 240))
	show(webgear.Options{Open: webgear.ImageChannel(pictures)}, "/snapshot")
	// Output: /snapshot: 200 image/jpeg
}

// The same with JPEG files.
func ExampleJPEGChannel() {
	pictures := make(chan []byte, 1)
	pictures <- picture(1)
	show(webgear.Options{Open: webgear.JPEGChannel(pictures)}, "/snapshot")
	// Output: /snapshot: 200 image/jpeg
}

// Raw bytes, as image processing libraries give them.
func ExamplePixelFunc() {
	frame := make([]byte, 320*240*3)
	next := func(context.Context) ([]byte, error) {
		frame[0]++ // the same memory may be used again
		return frame, nil
	}
	show(webgear.Options{Open: webgear.PixelFunc(320, 240, "BGR", next)}, "/snapshot")
	// Output: /snapshot: 200 image/jpeg
}

// Options of WebGear: half the size, quality 60, grey. DefaultSettings gives
// what the others should be.
func ExampleSettings() {
	s := webgear.DefaultSettings()
	s.FrameSizeReduction = 50
	s.JPEGQuality = 60
	s.JPEGColorspace = "GRAY"
	s.VideoEndpoint = "garden"
	show(webgear.Options{Settings: s, Open: webgear.ImageFunc(still)}, "/garden")
	// Output: /garden: 200 multipart/x-mixed-replace; boundary=frame
}

// Options in a mapping, with WebGear's names, such as from a settings file.
func ExampleParseSettings() {
	s, rest := webgear.ParseSettings(map[string]any{
		"frame_size_reduction":     40,
		"jpeg_compression_quality": 300,
		"-vf":                      "hflip",
	}, func(key, reason string) { fmt.Println("discarded:", key, reason) })
	fmt.Println(s.FrameSizeReduction, s.JPEGQuality)
	fmt.Println("for the source:", rest)
	// Output:
	// discarded: jpeg_compression_quality must be a number from 10 to 100
	// 40 0
	// for the source: map[-vf:hflip]
}

// A route and a page of one's own.
func ExampleGear_App_route() {
	showWith(webgear.Options{Open: webgear.ImageFunc(still)}, func(g *webgear.Gear) {
		g.App().Get("/hello", func(c *fiber.Ctx) error {
			c.Type("html", "utf-8")
			return c.SendString(`<h1>Hello</h1><img src="/video" alt="camera">`)
		})
	}, "/hello")
	// Output: /hello: 200 text/html; charset=utf-8
}

// A folder of files of one's own, at /test.
func ExampleGear_App_static() {
	dir := tempHome()
	if err := os.WriteFile(filepath.Join(dir, "plan.txt"), []byte("the garden"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	showWith(webgear.Options{Open: webgear.ImageFunc(still)}, func(g *webgear.Gear) {
		g.App().Static("/test", dir)
	}, "/test/plan.txt")
	// Output: /test/plan.txt: 200 text/plain; charset=utf-8
}

// Middleware sees every request. This one lets pages of every origin show the
// stream, with credentials, and answers preflight requests.
func ExampleGear_App_middleware() {
	showWith(webgear.Options{Open: webgear.ImageFunc(still)}, func(g *webgear.Gear) {
		g.App().Use(cors.New(cors.Config{
			AllowOriginsFunc: func(string) bool { return true }, // with credentials, "*" is not allowed
			AllowCredentials: true,
		}))
	}, "OPTIONS /video", "HEAD /video")
	// Output:
	// OPTIONS /video: 204 allows http://page.example true GET,POST,HEAD,PUT,DELETE,PATCH
	// HEAD /video: 200 allows http://page.example true
}

// Two cameras on one page: the second has a Gear of its own, which the first one
// runs. The page is a template of one's own.
func ExampleGear_Mount() {
	second, err := webgear.New(webgear.Options{Open: webgear.ImageFunc(still), Home: tempHome()})
	if err != nil {
		fmt.Println(err)
		return
	}
	page := fstest.MapFS{
		"templates/index.html": {Data: []byte(`<img src="{{.VideoPath}}" alt="door"><img src="/video2" alt="garden">`)},
	}
	showWith(webgear.Options{Open: webgear.ImageFunc(still), Assets: page}, func(g *webgear.Gear) {
		if err := g.Mount("/video2", second); err != nil {
			fmt.Println(err)
		}
	}, "/", "/video", "/video2")
	// Output:
	// /: 200 text/html; charset=utf-8
	// /video: 200 multipart/x-mixed-replace; boundary=frame
	// /video2: 200 multipart/x-mixed-replace; boundary=frame
}

// Templates and static files of one's own, here from memory; embed.FS and
// os.DirFS do as well.
func ExampleOptions_assets() {
	assets := fstest.MapFS{
		"templates/index.html": {Data: []byte(`<h1>{{.Camera.Source}}</h1><img src="{{.VideoPath}}" alt="">`)},
		"templates/404.html":   {Data: []byte(`<h1>Nothing here</h1>`)},
		"templates/500.html":   {Data: []byte(`<h1>Sorry ({{.Reference}})</h1>`)},
		"static/site.css":      {Data: []byte(`h1 { color: green }`)},
	}
	show(webgear.Options{Source: "Garden", Assets: assets, Open: webgear.ImageFunc(still)}, "/", "/static/site.css", "/none")
	// Output:
	// /: 200 text/html; charset=utf-8
	// /static/site.css: 200 text/css; charset=utf-8
	// /none: 404 text/html; charset=utf-8
}

// Recording while streaming needs no viewer and costs no second encoding. The
// file can be played with ffplay, or served again as a source.
func ExampleGear_Frames() {
	g, err := webgear.New(webgear.Options{Open: webgear.ImageFunc(still), Home: tempHome(), Address: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()

	file, err := os.Create(filepath.Join(tempHome(), "clip.mjpeg"))
	if err != nil {
		fmt.Println(err)
		return
	}
	n := 0
	for f := range g.Frames(ctx) {
		if f.Placeholder != "" {
			continue // not from the source
		}
		if _, err := file.Write(f.Data); err != nil {
			fmt.Println(err)
			break
		}
		if n++; n == 5 {
			break
		}
	}
	fmt.Println("recorded", n, file.Close())
	stop()
	fmt.Println(<-done)
	// Output:
	// recorded 5 <nil>
	// <nil>
}

// Pictures of another webgear, or any other camera that sends JPEG over HTTP,
// passed on as they come.
func ExampleOptions_remote() {
	open := func(context.Context) (device.Camera, error) {
		return httpjpeg.New(httpjpeg.Options{URL: "http://other.local:8000/video"})
	}
	g, err := webgear.New(webgear.Options{Open: open, Source: "other.local", Home: tempHome()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Status().Camera.Source)
	// Output: other.local
}

// Everything that the command takes as --source: cameras, files, addresses,
// pipelines. Options of the source, such as FFmpeg's, go along.
func ExampleOptions_source() {
	log := slog.New(slog.DiscardHandler)
	src, err := source.Parse("test:320x240@10", source.Options{
		Loop: true,
		Keys: map[string]any{"THREADED_QUEUE_MODE": true},
	}, v4l2.New(v4l2.Config{Logger: log}), log)
	if err != nil {
		fmt.Println(err)
		return
	}
	show(webgear.Options{Open: src.Open, Want: src.Want, Better: src.Better}, "/snapshot")
	// Output: /snapshot: 200 image/jpeg
}

// A video file through FFmpeg, mirrored and calmed. With API source.PiGear and
// CameraNum it is the camera on the ribbon cable of a Raspberry Pi instead.
func ExampleOptions_ffmpeg() {
	log := slog.New(slog.DiscardHandler)
	src, err := source.Parse("/srv/video/garden.mp4", source.Options{
		API: source.FFGear, Stabilize: true, Loop: true,
		Keys: map[string]any{"-vf": "hflip", "CROP_N_ZOOM": true, "BORDER_SIZE": 20},
	}, v4l2.New(v4l2.Config{Logger: log}), log)
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := webgear.New(webgear.Options{
		Open: src.Open, Want: src.Want, Source: "garden", Home: tempHome(),
		Fatal:   []error{device.ErrNotFound}, // a missing file ends Run at once
		Address: "127.0.0.1:0",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Run(context.Background()) != nil)
	// Output: true
}

// still is a source of one image.
func still(context.Context) (image.Image, error) {
	return image.NewGray(image.Rect(0, 0, 320, 240)), nil
}

// show serves o, asks for paths, and prints the answers.
func show(o webgear.Options, paths ...string) { showWith(o, func(*webgear.Gear) {}, paths...) }

func showWith(o webgear.Options, prepare func(g *webgear.Gear), requests ...string) {
	o.Home = tempHome()
	g, err := webgear.New(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	prepare(g)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	base := "http://" + ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			fmt.Println(err)
		}
	}()
	select {
	case <-g.Ready():
	case err := <-done:
		done <- err
		return
	}
	for _, request := range requests {
		method, path, ok := strings.Cut(request, " ")
		if !ok {
			method, path = http.MethodGet, request
		}
		req, err := http.NewRequest(method, base+path, http.NoBody)
		if err != nil {
			fmt.Println(err)
			return
		}
		if ok {
			req.Header.Set("Origin", "http://page.example")
			req.Header.Set("Access-Control-Request-Method", http.MethodGet)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = io.ReadFull(res.Body, make([]byte, 1))
		_ = res.Body.Close()
		h := res.Header
		switch {
		case ok:
			fmt.Println(strings.TrimSpace(fmt.Sprintf("%s: %d allows %s %s %s", request, res.StatusCode,
				h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Credentials"), h.Get("Access-Control-Allow-Methods"))))
		case err != nil:
			fmt.Println(request, err)
		default:
			fmt.Printf("%s: %d %s\n", request, res.StatusCode, h.Get("Content-Type"))
		}
	}
}

// tempHome is a folder for the files of an example; TestMain removes it.
func tempHome() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
	}
	return dir
}

// TestMain gives the examples, which have no clean-up of their own, one folder
// for all their files.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "webgear-test-")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	m.Run() // its result becomes the exit code
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
