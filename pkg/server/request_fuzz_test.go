package server

import (
	"bufio"
	"bytes"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
)

// FuzzWish reads what viewers ask for in the query. Whatever is accepted is
// within its bounds, and an answer never repeats more than a little of it.
func FuzzWish(f *testing.F) {
	for _, q := range []string{
		"fps=5", "fps=0.1&key=attic", "fps=1e3", "fps=NaN", "fps=-0", "fps=Inf", "fps=0x1p-1", "quality=50&width=640", "quality=0&width=0", "width=16384",
		"width=1_6", "quality=+7", "advance_headers=sized", "key=%00%ff", "key=" + strings.Repeat("%c3%a4", 40), "max_delay=0", "max_delay=3600000",
		"max_delay=-1", "fresh=yes", "action=stream%3Ft=1", "a=b&fps=2;fps=3", "%", "&&=&", "fps=5&fps=0",
	} {
		f.Add(q)
	}
	app := fiber.New()
	f.Fuzz(func(t *testing.T, query string) {
		c := app.AcquireCtx(&fasthttp.RequestCtx{})
		defer app.ReleaseCtx(c)
		c.Request().URI().SetQueryString(query)
		w, err := parseWish(c)
		switch {
		case err != nil:
			if len(err.Error()) > 200 {
				t.Errorf("an error of %d bytes: %.300s", len(err.Error()), err)
			}
			return
		case w.interval != 0 && (w.interval < time.Millisecond || w.interval > 10*time.Second):
			t.Errorf("%q: a picture each %v", query, w.interval)
		case len(w.key) > 64+len("…"):
			t.Errorf("%q: a key of %d bytes", query, len(w.key))
		case w.look.quality != 0 && (w.look.quality < 10 || w.look.quality > 90 || w.look.quality%10 != 0):
			t.Errorf("%q: quality %d", query, w.look.quality)
		case w.look.width != 0 && (w.look.width < widthStep || w.look.width > device.MaxSide || w.look.width%widthStep != 0):
			t.Errorf("%q: width %d", query, w.look.width)
		}
		// The query that /state shows for a look means the same look.
		c.Request().URI().SetQueryString(w.look.String())
		if again, err := parseLook(c); err != nil || again != w.look {
			t.Errorf("%q: %+v became %+v, %v", query, w.look, again, err)
		}
		now := time.Unix(1767225600, 0)
		c.Request().URI().SetQueryString(query)
		oldest, err := oldestWanted(c, now)
		if err == nil && !oldest.IsZero() && (oldest.After(now) || now.Sub(oldest) > time.Hour) {
			t.Errorf("%q: pictures since %v", query, oldest)
		}
	})
}

// FuzzGrid holds for grid what its comment says.
func FuzzGrid(f *testing.F) {
	f.Add(1, 10, 90)
	f.Add(16384, 160, 16320)
	f.Fuzz(func(t *testing.T, n, step, high int) {
		if n < 0 || n > math.MaxInt32 || step < 1 || step > 1000 || high < step || high > math.MaxInt32 || high%step != 0 {
			return
		}
		got := grid(n, step, high)
		if n == 0 && got != 0 || n > 0 && (got < step || got > high || got%step != 0) {
			t.Errorf("grid(%d, %d, %d) is %d", n, step, high, got)
		}
	})
}

// FuzzRequest gives whole requests to the server, as they come from the network.
// No request is answered with an error of the server's own, other than that
// there is no picture, and no answer has more header fields than the server wrote:
// nothing of a request gets into them.
func FuzzRequest(f *testing.F) {
	for _, r := range []string{
		"GET / HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /snapshot?max_delay=60000 HTTP/1.1\r\nHost: cam\r\nIf-None-Match: \"1-1\"\r\n\r\n",
		"HEAD /video HTTP/1.1\r\nHost: cam\r\n\r\n",
		"HEAD /snapshot?quality=50 HTTP/1.0\r\n\r\n",
		"GET /state HTTP/1.1\r\nHost: cam\r\nAccept: application/json\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /healthz HTTP/1.0\r\n\r\n",
		"GET /static/../../etc/passwd HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /static/css/custom.css HTTP/1.1\r\nHost: cam\r\nRange: bytes=0-1,-1,9999999999999999999-\r\n\r\n",
		"GET /static/css/custom.css HTTP/1.1\r\nHost: cam\r\nIf-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n",
		"GET /video/?a=%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /webcam/?action=snapshot HTTP/1.1\r\nHost: cam\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 3\r\n\r\nabc",
		"POST /state HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 99999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: cam\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 5\r\n\r\n--x\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: cam\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
		"GET http://other/state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: cam\r\n\r\n",
		"GET /\x00 HTTP/1.1\r\nHost: cam\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		f.Add([]byte(r))
	}
	hub := fanout.New()
	newest := picture("x")
	newest.CapturedAt = time.Now().Add(1000 * time.Hour) // fresh whatever is asked for
	hub.Publish(newest)
	s, err := New(Options{Hub: hub, Rendition: func(int, int) (Rendition, error) { return plainRendition{}, nil }})
	if err != nil {
		f.Fatal(err)
	}
	s.addRoutes(f.Context(), f.Context())
	s.App().Handler() // begins to route
	f.Fuzz(func(t *testing.T, request []byte) {
		var req fasthttp.Request
		if err := req.ReadLimitBody(bufio.NewReader(bytes.NewReader(request)), maxBodyBytes); err != nil {
			return // fasthttp's own affair
		}
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		if streams(&ctx) {
			return // wants a connection to keep
		}
		s.App().Handler()(&ctx)
		code := ctx.Response.StatusCode()
		if code >= 500 && code != http.StatusServiceUnavailable && code != http.StatusNotImplemented {
			t.Errorf("%q: %d", request, code)
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		if err := ctx.Response.Write(w); err != nil {
			t.Fatal(err)
		}
		_ = w.Flush()
		resp, err := http.ReadResponse(bufio.NewReader(&b), &http.Request{Method: string(ctx.Method())})
		if err != nil {
			t.Fatalf("%q: an answer that cannot be read: %v\n%q", request, err, b.Bytes())
		}
		defer func() { _ = resp.Body.Close() }()
		for name := range resp.Header {
			if !knownFields()[name] {
				t.Errorf("%q: unexpected header field %q", request, name)
			}
		}
		if to := resp.Header.Get("Location"); to != "" {
			if u, err := url.Parse(to); err == nil && u.Host != "" && u.Host != string(ctx.Host()) {
				t.Errorf("%q: sent to %q", request, to)
			}
		}
		if n := resp.Header.Get("Content-Length"); n != "" && resp.StatusCode != http.StatusOK {
			if size, err := strconv.Atoi(n); err != nil || size > 64<<10 {
				t.Errorf("%q: a refusal of %s bytes", request, n)
			}
		}
	})
}

// streams says whether a request is for the stream, which takes a connection over.
func streams(ctx *fasthttp.RequestCtx) bool {
	path := string(ctx.Path())
	return path == "/video" || strings.HasPrefix(path, "/stream") || bytes.Contains(ctx.QueryArgs().Peek("action"), []byte("stream"))
}

// plainRendition makes pictures of the same bytes.
type plainRendition struct{}

func (plainRendition) Transcode(src []byte) ([]byte, error) { return bytes.Clone(src), nil }
func (plainRendition) Close()                               {}

// knownFields are the header fields of all answers.
func knownFields() map[string]bool {
	known := map[string]bool{}
	for _, name := range []string{
		"Accept-Ranges", "Access-Control-Allow-Origin", "Allow", "Cache-Control", "Connection", "Content-Length", "Content-Range",
		"Content-Security-Policy", "Content-Type", "Date", "Etag", "Expires", "Last-Modified", "Location", "Pragma", "Referrer-Policy",
		"Retry-After", "Server", "Vary", "X-Content-Type-Options", "X-Frame-Options", "X-Placeholder", "X-Sequence", "X-Timestamp", "Transfer-Encoding",
		"Cross-Origin-Resource-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy", "Set-Cookie", "Www-Authenticate",
	} {
		known[name] = true
	}
	return known
}
