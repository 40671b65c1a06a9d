package webgear_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// patience bounds every wait; nothing that works takes as long.
const patience = 20 * time.Second

// rig is a Gear that serves on a free port.
type rig struct {
	*webgear.Gear
	t    *testing.T
	url  string // without a slash at the end
	addr string
	log  *logBuffer
	// stop ends Serve, once, and returns how long that took and its error.
	stop func() (time.Duration, error)
}

// logBuffer keeps the log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newGear makes a Gear whose data files are the test's.
func newGear(t *testing.T, o webgear.Options) (*webgear.Gear, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.Home == "" {
		o.Home = t.TempDir()
	}
	g, err := webgear.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g, log
}

// serve runs a Gear until the test ends; then none of its goroutines may be left.
func serve(t *testing.T, o webgear.Options, prepare ...func(g *webgear.Gear)) *rig {
	t.Helper()
	leakCheck(t)
	g, log := newGear(t, o)
	for _, f := range prepare {
		f(g)
	}
	return serveGear(t, g, log)
}

func serveGear(t *testing.T, g *webgear.Gear, log *logBuffer) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, ln) }()
	r := &rig{Gear: g, t: t, addr: ln.Addr().String(), url: "http://" + ln.Addr().String(), log: log}
	r.stop = sync.OnceValues(func() (time.Duration, error) {
		began := time.Now()
		cancel()
		select {
		case err := <-served:
			return time.Since(began), err
		case <-time.After(patience):
			t.Fatal("Serve did not end")
			return 0, nil
		}
	})
	t.Cleanup(func() {
		if took, err := r.stop(); err != nil || took > 5*time.Second {
			t.Errorf("Serve ended after %v with %v, want nil within 2 s", took, err)
		}
	})
	select {
	case <-g.Ready():
	case err := <-served:
		t.Fatalf("Serve ended at once: %v\n%s", err, log)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	return r
}

// leakCheck wants every goroutine of the program to be gone when the test ends.
func leakCheck(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(patience); ; {
			left := ours()
			if len(left) == 0 {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Errorf("%d goroutines left:\n%s", len(left), strings.Join(left, "\n\n"))
				return
			}
		}
	})
}

// ours are the goroutines that run our code, but for those that tests started,
// which end in the cleanups.
func ours() (left []string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "webgear-pi/webgear/") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "created by github.com/webgear-pi/webgear/pkg/webgear_test.") {
			left = append(left, g)
		}
	}
	return left
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// answer is a whole response.
type answer struct {
	*http.Response
	body string
}

// do sends a request that ends; redirects are not followed.
func (r *rig) do(method, path string, fields ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{res, string(b)}
}

func (r *rig) get(path string, fields ...string) answer {
	r.t.Helper()
	return r.do(http.MethodGet, path, fields...)
}

// part is one picture of a stream.
type part struct {
	header http.Header
	data   []byte
}

// cause is empty for live pictures.
func (p part) cause() string { return p.header.Get("X-Placeholder") }

// size is that of the picture, which must be one.
func (p part) size(t *testing.T) image.Point {
	t.Helper()
	c, err := jpeg.DecodeConfig(bytes.NewReader(p.data))
	if err != nil {
		t.Fatalf("picture of %d bytes: %v", len(p.data), err)
	}
	return image.Pt(c.Width, c.Height)
}

// viewer is one client of a stream, over a connection of its own.
type viewer struct {
	t      *testing.T
	conn   net.Conn
	res    *http.Response
	reader *multipart.Reader
}

// watch connects a viewer.
func (r *rig) watch(path string) *viewer {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		r.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<16), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("GET %s: status %d", path, res.StatusCode)
	}
	return &viewer{r.t, conn, res, multipart.NewReader(res.Body, "frame")}
}

// next returns the next picture, or io.EOF after the closing delimiter.
func (v *viewer) next() (part, error) {
	p, err := v.reader.NextRawPart()
	if err != nil {
		return part{}, err
	}
	b, err := io.ReadAll(p)
	return part{http.Header(p.Header), b}, err
}

// must returns the next picture.
func (v *viewer) must() part {
	v.t.Helper()
	p, err := v.next()
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

// await returns the next picture with the given cause; "" is a live one.
func (v *viewer) await(cause string) part {
	v.t.Helper()
	var seen []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p, err := v.next()
		if err != nil {
			v.t.Fatalf("waiting for %q after %q: %v", cause, seen, err)
		}
		if p.cause() == cause {
			return p
		}
		seen = append(seen, p.cause())
	}
	v.t.Fatalf("no picture with the cause %q, but %q", cause, seen)
	return part{}
}

// rest reads to the end of the stream and returns the causes of its pictures.
func (v *viewer) rest() (causes []string) {
	v.t.Helper()
	for {
		p, err := v.next()
		if errors.Is(err, io.EOF) {
			return causes
		}
		if err != nil {
			v.t.Fatalf("stream was cut after %q: %v", causes, err)
		}
		causes = append(causes, p.cause())
	}
}

// picture is a small JPEG with a number in it.
func picture(n int) []byte { return devicetest.JPEG(uint32(n), 64, 48) }

// numbered is a source of numbered JPEG pictures.
func numbered() webgear.Opener {
	n := 0
	return webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		n++
		return picture(n), nil
	})
}

// plain is an image of one colour.
func plain(width, height int, c color.Color) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.Set(x, y, c)
		}
	}
	return m
}

// busy is an image full of detail, so that quality shows in its size.
func busy(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	state := uint32(1)
	for i := range m.Pix {
		state = state*1664525 + 1013904223
		m.Pix[i] = byte(state >> 24)
	}
	return m
}

// fake is a source that the test plays, in JPEG or raw.
func fake(grant device.Format, every time.Duration) *devicetest.FakeSource {
	return devicetest.NewFakeSource(devicetest.FakeOptions{
		Interval: every,
		Modes:    []device.Mode{{FourCC: grant.FourCC, Width: grant.Width, Height: grant.Height, Rates: []device.Rate{device.FPS(1 / every.Seconds())}}},
	})
}
