package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/datafiles"
)

// exchange sends bytes as they are and returns the status of each answer, until the
// server closes or has nothing more to say; closed tells which.
func exchange(t *testing.T, addr, sent string) (codes []int, last string, closed bool) {
	t.Helper()
	conn := dial(t, addr)
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	rd := bufio.NewReader(conn)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			timeout := net.Error(nil)
			return codes, last, !errors.As(err, &timeout) || !timeout.Timeout()
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatalf("%q: %v", sent, err)
		}
		codes, last = append(codes, resp.StatusCode), string(body)
	}
}

func TestMalformedRequestsAreRefusedAndTheConnectionIsClosed(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	const smuggled = "GET /snapshot HTTP/1.1\r\nHost: cam\r\n\r\n"
	for name, request := range map[string]string{
		"two equal lengths":              "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"two lengths":                    "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nab",
		"a list of lengths":              "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 1, 1\r\n\r\na",
		"length and encoding":            "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"encoding and length":            "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"two encodings":                  "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"encoding identity":              "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: identity\r\n\r\n",
		"encoding gzip, chunked":         "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"encoding with a vertical tab":   "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"encoding in HTTP/1.0":           "POST / HTTP/1.0\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a negative length":              "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: -1\r\n\r\n",
		"a length with a sign":           "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: +1\r\n\r\na",
		"a hexadecimal length":           "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 0x1\r\n\r\na",
		"an empty length":                "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: \r\n\r\n",
		"a length that overflows":        "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 18446744073709551617\r\n\r\na",
		"a bare LF in the header":        "GET /state HTTP/1.1\r\nHost: cam\nX: y\r\n\r\n",
		"bare LFs only":                  "GET /state HTTP/1.1\nHost: cam\n\n",
		"a bare LF at the end":           "GET /state HTTP/1.1\r\nHost: cam\r\n\n",
		"a bare CR in a value":           "GET /state HTTP/1.1\r\nHost: cam\r\nX: a\rb\r\n\r\n",
		"a field that goes on":           "GET /state HTTP/1.1\r\nHost: cam\r\nX: a\r\n b\r\n\r\n",
		"a field that goes on, with tab": "GET /state HTTP/1.1\r\nHost: cam\r\nX: a\r\n\tb: c\r\n\r\n",
		"space before the colon":         "GET /state HTTP/1.1\r\nHost: cam\r\nContent-Length : 0\r\n\r\n",
		"tab before the colon":           "GET /state HTTP/1.1\r\nHost: cam\r\nX\t: 0\r\n\r\n",
		"space before the first field":   "GET /state HTTP/1.1\r\n Host: cam\r\n\r\n",
		"no colon":                       "GET /state HTTP/1.1\r\nHost: cam\r\nabc\r\n\r\n",
		"no name":                        "GET /state HTTP/1.1\r\nHost: cam\r\n: x\r\n\r\n",
		"a name with a bracket":          "GET /state HTTP/1.1\r\nHost: cam\r\nX[0]: x\r\n\r\n",
		"NUL in a value":                 "GET /state HTTP/1.1\r\nHost: cam\r\nX: a\x00b\r\n\r\n",
		"two hosts":                      "GET /state HTTP/1.1\r\nHost: cam\r\nHost: cam\r\n\r\n",
		"two different hosts":            "GET /state HTTP/1.1\r\nHost: cam\r\nhost: evil\r\n\r\n",
		"a list of hosts":                "GET /state HTTP/1.1\r\nHost: cam, evil\r\n\r\n",
		"no host":                        "GET /state HTTP/1.1\r\nX: y\r\n\r\n",
		"a host with a user":             "GET /state HTTP/1.1\r\nHost: cam@evil\r\n\r\n",
		"a host with a path":             "GET /state HTTP/1.1\r\nHost: cam/evil\r\n\r\n",
		"an address of another host":     "GET http://evil/state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"an address with a user":         "GET http://cam@evil/state HTTP/1.1\r\nHost: evil\r\n\r\n",
		"an address of another scheme":   "GET ftp://cam/state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"an address without a host":      "GET http:///state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"two slashes":                    "GET //cam/state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"no slash":                       "GET state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"a star":                         "GET * HTTP/1.1\r\nHost: cam\r\n\r\n",
		"a space in the address":         "GET /state x HTTP/1.1\r\nHost: cam\r\n\r\n",
		"two spaces":                     "GET  /state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"a fragment":                     "GET /state#x HTTP/1.1\r\nHost: cam\r\n\r\n",
		"NUL in the address":             "GET /state\x00 HTTP/1.1\r\nHost: cam\r\n\r\n",
		"HTTP/2":                         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/1.2":                       "GET /state HTTP/1.2\r\nHost: cam\r\n\r\n",
		"HTTP/01.1":                      "GET /state HTTP/01.1\r\nHost: cam\r\n\r\n",
		"lower-case protocol":            "GET /state http/1.1\r\nHost: cam\r\n\r\n",
		"a space after the protocol":     "GET /state HTTP/1.1 \r\nHost: cam\r\n\r\n",
		"an unknown method":              "BREW /state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"a lower-case method":            "get /state HTTP/1.1\r\nHost: cam\r\n\r\n",
		"CONNECT":                        "CONNECT cam:80 HTTP/1.1\r\nHost: cam:80\r\n\r\n",
		"TLS":                            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"a bad chunk":                    "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"a chunk that is longer":         "POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			codes, last, closed := exchange(t, r.addr, request+smuggled)
			if len(codes) != 1 || codes[0] != http.StatusBadRequest || !closed || !strings.Contains(last, `{"error":{"code":"m`) {
				t.Errorf("got %d, closed %v: %s", codes, closed, last)
			}
		})
	}
}

func TestUnusualRequestsThatAreRight(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	const next = "GET /healthz HTTP/1.1\r\nHost: cam\r\n\r\n"
	for name, tc := range map[string]struct {
		request string
		codes   []int
		closed  bool
	}{
		"HTTP/1.0 without host":             {"GET /healthz HTTP/1.0\r\n\r\n", []int{200}, true},
		"HTTP/1.0 that stays":               {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + next, []int{200, 200}, false},
		"several at once":                   {next + next + next, []int{200, 200, 200}, false},
		"empty lines before":                {"\r\n\r\n" + next, []int{200}, false},
		"GET with a body":                   {"GET /healthz HTTP/1.1\r\nHost: cam\r\nContent-Length: 3\r\n\r\nabc" + next, []int{200, 200}, false},
		"GET with a body that is a request": {"GET /healthz HTTP/1.1\r\nHost: cam\r\nContent-Length: 39\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: cam\r\n\r\nxyz" + next, []int{200, 200}, false},
		"GET with chunks":                   {"GET /healthz HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + next, []int{200}, true},
		"chunks and fields behind them":     {"GET /healthz HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHosts: x\r\nX: y\r\n\r\n" + next, []int{200}, true},
		"a whole address":                   {"GET http://CAM/healthz HTTP/1.1\r\nHost: cam\r\n\r\n" + next, []int{200, 200}, false},
		"no space after the colon":          {"GET /healthz HTTP/1.1\r\nHost:cam\r\nX:\r\n\r\n" + next, []int{200, 200}, false},
		"an empty host":                     {"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n" + next, []int{200, 200}, false},
		"too large a body":                  {"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 65537\r\n\r\n", []int{413}, true},
		"too large a body in chunks": {
			"POST / HTTP/1.1\r\nHost: cam\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + strings.Repeat("x", 65537) + "\r\n0\r\n\r\n", []int{413}, true,
		},
		"the largest body":   {"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536), []int{405}, false},
		"too large a header": {"GET /healthz HTTP/1.1\r\nHost: cam\r\nX: " + strings.Repeat("x", 17<<10) + "\r\n\r\n", []int{431}, true},
		"a large header":     {"GET /healthz HTTP/1.1\r\nHost: cam\r\nX: " + strings.Repeat("x", 15<<10) + "\r\n\r\n", []int{200}, false},
	} {
		t.Run(name, func(t *testing.T) {
			// One more shows whether the connection stays, and that both sides agree on
			// where the requests before it end.
			const last = "GET /nowhere HTTP/1.1\r\nHost: cam\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
			codes, body, _ := exchange(t, r.addr, tc.request+last)
			if !tc.closed {
				tc.codes = append(tc.codes, http.StatusNotFound)
			}
			if len(codes) != len(tc.codes) {
				t.Fatalf("got %d, want %d: %s", codes, tc.codes, body)
			}
			for i, want := range tc.codes {
				if codes[i] != want {
					t.Errorf("got %d, want %d: %s", codes, tc.codes, body)
				}
			}
		})
	}
}

// TestFieldsBehindTheBodyLetNobodyIn: what comes behind the last chunk is none of the
// fields that a proxy in front has looked at.
func TestFieldsBehindTheBodyLetNobodyIn(t *testing.T) {
	g := claimed(t, auth.Options{}, Options{})
	g.hub.Publish(picture("\xff\xd8one\xff\xd9"))
	const chunks = "Transfer-Encoding: chunked\r\n\r\n0\r\n"
	for name, tc := range map[string]struct {
		before, behind string
		want           int
	}{
		"a cookie behind":           {"", g.admin, 401},
		"a cookie before":           {g.admin + "\r\n", "X: y", 200},
		"a proxy behind":            {g.admin + "\r\n", "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1", 200},
		"another cookie behind":     {g.admin + "\r\n", "Cookie: a=b", 200},
		"fields that may not be so": {g.admin + "\r\n", "Host: evil.example", 400},
	} {
		t.Run(name, func(t *testing.T) {
			codes, last, closed := exchange(t, g.addr, "GET /snapshot HTTP/1.1\r\nHost: localhost\r\n"+tc.before+chunks+tc.behind+"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if len(codes) != 1 || codes[0] != tc.want || !closed {
				t.Errorf("got %d, closed %v, want %d: %q", codes, closed, tc.want, last)
			}
		})
	}
}

func TestErrorsOfTheFormHaveTheFieldsOfSecurity(t *testing.T) {
	g := unclaimed(t, auth.Options{}, Options{})
	for _, request := range []string{
		"GET /state HTTP/1.1\r\n\r\n", "BREW / HTTP/1.1\r\nHost: cam\r\n\r\n", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 17<<10) + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 65537\r\n\r\n", "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: x\r\n\r\n",
	} {
		conn := dial(t, g.addr)
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		_ = resp.Body.Close()
		checkSecured(t, request[:20], answer{resp, ""})
	}
}

func TestSlowRequestsAreEnded(t *testing.T) {
	quick := func(s *Server) {
		s.app.Server().ReadTimeout, s.app.Server().IdleTimeout = 300*time.Millisecond, 300*time.Millisecond
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, ln, Options{}, func(s *Server) {
		if c := s.app.Server(); c.ReadTimeout != 10*time.Second || c.IdleTimeout != 30*time.Second {
			t.Errorf("limits of %s and %s", c.ReadTimeout, c.IdleTimeout)
		}
		quick(s)
	})
	for name, first := range map[string]string{
		"nothing": "", "half a line": "GET /hea", "header": "GET /healthz HTTP/1.1\r\nHost: cam\r\n", "body": "POST / HTTP/1.1\r\nHost: cam\r\nContent-Length: 9000\r\n\r\n",
		"after an answer": "GET /healthz HTTP/1.1\r\nHost: cam\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, r.addr)
			if _, err := io.WriteString(conn, first); err != nil {
				t.Fatal(err)
			}
			// A byte now and then is no progress.
			done := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for first != "" && name != "after an answer" {
					select {
					case <-tick.C:
						if _, err := io.WriteString(conn, "x"); err != nil {
							return
						}
					case <-done:
						return
					}
				}
			}()
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, err := io.ReadAll(conn)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("it may take for ever")
			}
			close(done)
			<-ended
		})
	}
}

func TestStaticFilesCannotBeLeftByLinks(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.txt"), []byte("SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	dir, err := datafiles.Locate(home, home, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := datafiles.Provision(t.Context(), datafiles.Options{Dir: dir, Defaults: fstest.MapFS{
		"static/ok.txt": {Data: []byte("ok")}, "templates/index.html": {Data: []byte("index")}, "templates/404.html": {Data: []byte("themed 404")},
		"templates/500.html": {Data: []byte("themed 500")}, "templates/base.html": {Data: []byte("base")},
	}}); err != nil {
		t.Fatal(err)
	}
	root := dir.String()
	for link, target := range map[string]string{
		"static/file.txt": filepath.Join(outside, "secret.txt"), "static/folder": outside, "static/up.txt": "../../../../../../../../.." + filepath.Join(outside, "secret.txt"),
		"static/passwd": "/etc/passwd", "static/inside.txt": "ok.txt", "static/loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(root, "templates/500.html")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.txt"), filepath.Join(root, "templates/500.html")); err != nil {
		t.Fatal(err)
	}
	files, err := datafiles.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, ln, Options{Assets: files}, func(s *Server) {
		s.App().Get("/fails", func(*fiber.Ctx) error { return errors.New("on purpose") })
	})
	for path, want := range map[string]int{
		"/static/ok.txt": 200, "/static/inside.txt": 200,
		"/static/file.txt": 404, "/static/folder/secret.txt": 404, "/static/folder": 404, "/static/up.txt": 404, "/static/passwd": 404, "/static/loop": 404,
		"/static/%2e%2e/templates/index.html": 404, "/static/..%2ftemplates%2findex.html": 404, "/static/..%5ctemplates%5cindex.html": 404, "/static/ok.txt%00": 404,
		"/static/%2e/ok.txt": 404, "/static/%252e%252e%252ftemplates": 404, "/static/.%2e/templates/index.html": 404, "/fails": 500,
	} {
		a := raw(t, r.addr, "GET "+path+" HTTP/1.1")
		if a.StatusCode != want || strings.Contains(a.body, "SECRET") || strings.Contains(a.body, "root:") {
			t.Errorf("%s: got %d %q, want %d", path, a.StatusCode, a.body, want)
		}
	}
}

// FuzzFields gives header fields to what looks at their form. Whatever is accepted,
// net/http reads in the same way: with one host and one length at most.
func FuzzFields(f *testing.F) {
	for _, s := range []string{
		"Host: cam\r\n\r\n", "Host: cam\r\nContent-Length: 1\r\n\r\n", "Host: a\r\nHost: b\r\n\r\n", "A: b\n\n", "A: b\r\n c\r\n\r\n", "A : b\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "A: \x00\r\n\r\n", ":\r\n\r\n", "\r\n", "", "A: b\r\n\r\nC: d\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		hosts, problem := checkFields(raw, true)
		if problem != "" || len(raw) == 0 {
			return
		}
		text := "POST / HTTP/1.1\r\n" + string(raw)
		if hosts == 0 {
			text = "POST / HTTP/1.1\r\nHost: cam\r\n" + string(raw)
		}
		if !strings.HasSuffix(text, "\r\n\r\n") {
			return // it is not complete, which the library sees to
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			// Rules of its own on what a host looks like are for checkTarget.
			if s := err.Error(); !strings.Contains(s, "Host") && !strings.Contains(s, "host") && !strings.Contains(s, "Content-Length") && !strings.Contains(s, "Trailer") && !strings.Contains(s, "trailer") {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if len(req.TransferEncoding) > 0 && req.ContentLength > 0 || len(req.Header.Values("Content-Length")) > 1 {
			t.Errorf("%q: two lengths", raw)
		}
	})
}
