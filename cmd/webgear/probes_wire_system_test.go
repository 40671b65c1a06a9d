//go:build system

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// silenceLimit is how long there may be silence before an answer counts as missing.
// Nothing here takes that long unless it fails.
const silenceLimit = 12 * time.Second

func basicField(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// shapes sends what two programs could understand in two ways. Behind each stands
// a request that would be answered with a picture if it were taken for one.
func (s *siege) shapes(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	_, token := s.token(t, p, "of the shapes", auth.Admin, basic("admin", adminPassword))
	host := "Host: " + s.addr + "\r\n"
	by := "Authorization: Bearer " + token + "\r\n"
	hidden := "GET /snapshot HTTP/1.1\r\n" + host + by + "\r\n"
	post := "POST /api/v1/links HTTP/1.1\r\n" + host + by + "Content-Type: application/json\r\n"
	get := "GET /state HTTP/1.1\r\n" + host + by
	chunked := "Transfer-Encoding: chunked\r\n"
	none := "0\r\n\r\n"
	for _, tt := range []struct {
		shape, sent string
		codes       string // of all answers on the connection
	}{
		{"CL.CL, equal", post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "400"},
		{"CL.CL, the first is shorter", post + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)), "400"},
		{"CL.CL, the second is shorter", post + fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n\r\n", len(hidden)), "400"},
		{"CL.CL, as a list", post + "Content-Length: 0, 2\r\n\r\n", "400"},
		{"CL.TE", post + fmt.Sprintf("Content-Length: %d\r\n", len(none)+len(hidden)) + chunked + "\r\n" + none, "400"},
		{"TE.CL", post + chunked + "Content-Length: 3\r\n\r\n" + fmt.Sprintf("%x\r\n", len(hidden)) + hidden + "\r\n" + none, "400"},
		{"TE.TE, two fields", post + chunked + "Transfer-Encoding: identity\r\n\r\n" + none, "400"},
		{"TE.TE, the same twice", post + chunked + chunked + "\r\n" + none, "400"},
		{"TE.TE, xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n" + none, "400"},
		{"TE.TE, chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n" + none, "400"},
		{"TE.TE, gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + none, "400"},
		{"TE.TE, in quotes", post + "Transfer-Encoding: \"chunked\"\r\n\r\n" + none, "400"},
		{"TE.TE, with a parameter", post + "Transfer-Encoding: chunked;q=1\r\n\r\n" + none, "400"},
		{"TE.TE, a space before the colon", post + "Transfer-Encoding : chunked\r\n\r\n" + none, "400"},
		{"TE.TE, a vertical tab", post + "Transfer-Encoding: \vchunked\r\n\r\n" + none, "400"},
		{"TE.TE, in the next line", post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + none, "400"},
		{"TE.TE, behind another field's LF", post + "X: y\nTransfer-Encoding: chunked\r\n\r\n" + none, "400"},
		{"TE.TE, an underscore", post + "Transfer_Encoding: chunked\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "422"},
		{"TE in HTTP/1.0", strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + chunked + "\r\n" + none, "400"},
		{"Content-Length with a sign", post + "Content-Length: +2\r\n\r\n{}", "400"},
		{"Content-Length below zero", post + "Content-Length: -2\r\n\r\n{}", "400"},
		{"Content-Length in hexadecimal", post + "Content-Length: 0x2\r\n\r\n{}", "400"},
		{"Content-Length that overflows", post + "Content-Length: 18446744073709551618\r\n\r\n{}", "400"},
		{"Content-Length with an underscore", post + "Content-Length: 1_0\r\n\r\n{}", "400"},
		{"Content-Length with a space in it", post + "Content-Length: 1 0\r\n\r\n{}", "400"},
		{"Content-Length that is empty", post + "Content-Length:\r\n\r\n", "400"},
		{"chunks, and what looks like a request behind them", post + chunked + "\r\n2\r\n{}\r\n" + none, "422"},
		{"chunks with a tab", post + "Transfer-Encoding:\tchunked\r\n\r\n2\r\n{}\r\n" + none, "422"},
		{"a chunk's size that overflows", post + chunked + "\r\nfffffffffffffffff\r\n{}\r\n" + none, "400"},
		{"a chunk's size below zero", post + chunked + "\r\n-2\r\n{}\r\n" + none, "400"},
		{"a chunk's size with 0x", post + chunked + "\r\n0x2\r\n{}\r\n" + none, "400"},
		{"a chunk's size with a word behind it", post + chunked + "\r\n2 g\r\n{}\r\n" + none, "422"},
		{"a chunk's extension", post + chunked + "\r\n2;a=b\r\n{}\r\n" + none, "422"},
		{"a chunk's extension with a bare LF", post + chunked + "\r\n2;a\nb\r\n{}\r\n" + none, "422"},
		{"a chunk that is longer than it says", post + chunked + "\r\n1\r\n{}\r\n" + none, "400"},
		{"a chunk that ends with a bare LF", post + chunked + "\r\n2\n{}\n0\n\n", "400"},
		{"a bare LF ends the fields", "GET /state HTTP/1.1\r\n" + host + by + "\n", "400"},
		{"a bare LF ends the first line", "GET /state HTTP/1.1\n" + host + by + "Connection: close\r\n\r\n", "200"}, // RFC 9112, section 2.2
		{"bare LFs only", strings.ReplaceAll(hidden, "\r\n", "\n"), "400"},
		{"a bare CR in a field", get + "X: a\rGET /snapshot HTTP/1.1\r\n\r\n", "400"},
		{"NUL in a field", get + "X: a\x00b\r\n\r\n", "400"},
		{"NUL in a name", get + "X\x00: b\r\n\r\n", "400"},
		{"NUL in the path", "GET /state\x00 HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"a field that goes on", get + "X: a\r\n b\r\n\r\n", "400"},
		{"a space before the colon", get + "X : a\r\n\r\n", "400"},
		{"a space before the first field", "GET /state HTTP/1.1\r\n " + host + by + "\r\n", "400"},
		{"two Host fields", get + "Host: evil.example\r\n\r\n", "400"},
		{"two Host fields that are equal", get + host + "\r\n", "400"},
		{"no Host", "GET /state HTTP/1.1\r\n" + by + "\r\n", "400"},
		{"another host in the address", "GET http://evil.example/state HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"another host in the address and in Host", "GET http://evil.example/state HTTP/1.1\r\nHost: evil.example\r\n" + by + "Connection: close\r\n\r\n", "421"},
		{"a user in the address", "GET http://" + s.addr + "@evil.example/state HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"our own address in full", "GET http://" + s.addr + "/state HTTP/1.1\r\n" + host + by + "Connection: close\r\n\r\n", "200"},
		{"two slashes", "GET //evil.example/state HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"GET with a body that is a request", get + fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden, "200"},
		{"HTTP/0.9", "GET /state\r\n", "400"},
		{"HTTP/0.9 with fields is HTTP/1.0", "GET /state\r\n" + host + by + "\r\n", "200"},
		{"HTTP/0.9 with fields, of nobody", "GET /state\r\n" + host + "\r\n", "401"},
		{"HTTP/1.0 is answered once", "GET /state HTTP/1.0\r\n" + host + by + "\r\n", "200"},
		{"HTTP/1.0 that stays", "GET /state HTTP/1.0\r\n" + host + by + "Connection: keep-alive\r\n\r\nGET /state HTTP/1.0\r\n" + host + "\r\n", "200 401"},
		{"HTTP/1.9", strings.Replace(get, "HTTP/1.1", "HTTP/1.9", 1) + "\r\n", "400"},
		{"HTTP/2.0", strings.Replace(get, "HTTP/1.1", "HTTP/2.0", 1) + "\r\n", "400"},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
		{"an upgrade to HTTP/2", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: close\r\n\r\n", "200"},
		{"Expect: 100-continue", post + "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "100 422"},
		{"CONNECT", "CONNECT " + s.addr + " HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"TRACE", "TRACE /state HTTP/1.1\r\n" + host + by + "Connection: close\r\n\r\n", "405"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "401"},
		{"GET *", "GET * HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"an unknown method", "BREW /state HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"a method in small letters", "get /state HTTP/1.1\r\n" + host + by + "\r\n", "400"},
		{"TLS where there is none", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		{"noise", "\x00\xff\xfe\r\n\r\n\r\n", "400"},
	} {
		t.Run("smuggling: "+tt.shape, func(t *testing.T) {
			r := p.send(t, tt.sent+hidden, silenceLimit)
			if r.codes() != tt.codes || !r.closed {
				t.Errorf("answers %s, want %s; closed %v: %.300q", r.codes(), tt.codes, r.closed, r.raw)
			}
			if isPicture(r.raw) {
				t.Error("the hidden request was answered")
			}
			p.healthy(t)
		})
	}
	t.Run("smuggling: fields behind the last chunk are no fields of the request", func(t *testing.T) {
		cookie := p.signIn(t, "admin", adminPassword)
		for _, trailer := range []string{
			"Cookie: " + cookie + "\r\nOrigin: " + s.url, "Authorization: Bearer " + token, "X-Forwarded-For: 203.0.113.78", "Forwarded: for=203.0.113.78", "Via: 1.1 x",
		} {
			r := p.send(t, "GET /snapshot HTTP/1.1\r\n"+host+chunked+"Trailer: Cookie\r\nConnection: close\r\n\r\n0\r\n"+trailer+"\r\n\r\n", silenceLimit)
			if c := r.codes(); c != "401" && c != "400" {
				t.Errorf("%.12s…: %s", trailer, c)
			}
			r = p.send(t, "GET /state HTTP/1.1\r\n"+host+by+chunked+"Connection: close\r\n\r\n0\r\nOrigin: https://evil.example\r\nCookie: a=b\r\n\r\n", silenceLimit)
			if c := r.codes(); c != "200" && c != "400" {
				t.Errorf("state: %s", c)
			}
		}
		inChunks := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1 }
		if a := p.ask(t, http.MethodGet, "/video", bearer(token), inChunks); a.status != 200 || !isPicture(a.body) {
			t.Errorf("a stream that was asked for in chunks: %d", a.status)
		}
		// Nothing of ours stands between these two: the first says who, the second not.
		r := p.send(t, post+chunked+"\r\n2\r\n{}\r\n0\r\nX-Forwarded-Proto: https\r\n\r\n"+"GET /snapshot HTTP/1.1\r\n"+host+"\r\n", silenceLimit)
		if isPicture(r.raw) || !r.closed {
			t.Errorf("%s, closed %v", r.codes(), r.closed)
		}
	})
	t.Run("pipelining: each of 50 requests gets its own answer, and its own check", func(t *testing.T) {
		_, viewer := s.token(t, p, "of the pipeline", auth.Viewer, basic("admin", adminPassword))
		cookie := p.signIn(t, "eve", viewerPassword)
		kinds := []struct {
			fields string
			path   string
			code   int
			name   string
		}{
			{by, "/api/v1/sign-in", 200, ""}, // public: it says who has a session
			{"Cookie: " + cookie + "\r\n", "/api/v1/sign-in", 200, "eve"},
			{"", "/api/v1/sign-in", 200, ""},
			{by, "/snapshot", 200, "picture"},
			{"", "/snapshot", 401, ""},
			{by, "/api/v1/tokens", 200, ""},
			{"Authorization: Bearer " + viewer + "\r\n", "/api/v1/tokens", 403, ""},
			{"", "/api/v1/tokens", 401, ""},
			{by, "/nothing", 404, ""},
			{"Authorization: Bearer x\r\n", "/state", 401, ""},
		}
		sent := ""
		for i := range 50 {
			k := kinds[i%len(kinds)]
			sent += "GET " + k.path + " HTTP/1.1\r\n" + host + k.fields + map[bool]string{true: "Connection: close\r\n"}[i == 49] + "\r\n"
		}
		r := p.send(t, sent, silenceLimit)
		if len(r.answers) != 50 {
			t.Fatalf("%d answers: %s", len(r.answers), r.codes())
		}
		for i, a := range r.answers {
			k := kinds[i%len(kinds)]
			if a.status != k.code || isPicture(a.body) != (k.name == "picture") {
				t.Errorf("%d: %s: %d, want %d", i, k.path, a.status, k.code)
			}
			var who auth.Principal
			if k.path == "/api/v1/sign-in" && (json.Unmarshal(a.body, &who) != nil && k.name != "" || who.Name != k.name) {
				t.Errorf("%d: %q instead of %q", i, who.Name, k.name)
			}
		}
	})
}

// sizes sends more than is taken.
func (s *siege) sizes(t *testing.T) {
	t.Helper()
	p := s.stranger(t)
	host := "Host: " + s.addr + "\r\n"
	const mega = 1 << 20
	before := s.proc(t, "status", "VmRSS")
	for _, tt := range []struct{ rule, sent, code string }{
		{"one field of 1 MB", "GET /state HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", mega) + "\r\n\r\n", "431"},
		{"many fields of 1 MB", "GET /state HTTP/1.1\r\n" + host + strings.Repeat("X-A: b\r\n", mega/8) + "\r\n", "431"},
		{"a name of 1 MB", "GET /state HTTP/1.1\r\n" + host + strings.Repeat("x", mega) + ": a\r\n\r\n", "431"},
		{"a cookie of 1 MB", "GET /state HTTP/1.1\r\n" + host + "Cookie: " + strings.Repeat("a=b; ", mega/5) + "\r\n\r\n", "431"},
		{"an address of 1 MB", "GET /" + strings.Repeat("x", mega) + " HTTP/1.1\r\n" + host + "\r\n", "431"},
		{"a query of 1 MB", "GET /state?" + strings.Repeat("a&", mega/2) + " HTTP/1.1\r\n" + host + "\r\n", "431"},
		{"a method of 1 MB", strings.Repeat("G", mega) + " / HTTP/1.1\r\n" + host + "\r\n", "431"},
		{"a line that never ends", strings.Repeat("\r\n", mega/2), ""},
		{"a body of 1 MB", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("x", mega), "413"},
		{"a body of a byte too many", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Content-Length: 65537\r\n\r\n", "413"},
		{"a body of a terabyte", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Content-Length: 1099511627776\r\n\r\n", "413"},
		{"one chunk of 1 MB", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + strings.Repeat("x", mega) + "\r\n0\r\n\r\n", "413"},
		{"1 MB in small chunks", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", mega/6) + "0\r\n\r\n", "413"},
		{"chunks with extensions of 1 MB", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", mega) + "\r\nx\r\n0\r\n\r\n", "415"},
		{"no length at all", "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nConnection: close\r\n\r\n" + `{"password": "x"}`, "400"},
	} {
		t.Run("sizes: "+tt.rule+" is refused, and the program goes on", func(t *testing.T) {
			r := p.send(t, tt.sent, silenceLimit)
			// The other side closes while we send, which may take its answer away.
			if c := r.codes(); c != tt.code && (c != "" || len(tt.sent) < mega/2) || !r.closed {
				t.Errorf("answers %s, want %s; closed %v", c, tt.code, r.closed)
			}
			p.healthy(t)
		})
	}
	if after := s.proc(t, "status", "VmRSS"); after > before+64<<10 {
		t.Errorf("%d kB in memory, %d kB before", after, before)
	}
}

// dawdle begins requests that take long, and gives what waits for their end.
func (s *siege) dawdle(t *testing.T) (wait func(*testing.T)) {
	t.Helper()
	type end struct {
		what string
		took time.Duration
		err  error
	}
	host := "Host: " + s.addr + "\r\n"
	slow := map[string]string{
		"a byte of the first line per second": "GET /sta",
		"a byte of a field per second":        "GET /state HTTP/1.1\r\n" + host + "X: ",
		"a byte of the body per second":       "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Content-Length: 60000\r\n\r\n",
		"a byte of a chunk per second":        "POST /api/v1/sign-in HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n8000\r\n",
		"an answer before":                    "GET /healthz HTTP/1.1\r\n" + host + "\r\nGET /sta",
		"nothing at all":                      "",
	}
	ends := make(chan end, len(slow))
	var wg sync.WaitGroup
	for what, first := range slow {
		conn, err := s.street.dial(t.Context(), s.street.address(t), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(); wg.Wait() })
		begun := time.Now()
		wg.Go(func() {
			gone := make(chan struct{})
			wg.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				_, err := io.WriteString(conn, first)
				for err == nil && first != "" {
					select {
					case <-tick.C:
						_, err = io.WriteString(conn, "x")
					case <-gone:
						return
					}
				}
			})
			_ = conn.SetReadDeadline(begun.Add(40 * time.Second)) // an open connection has one
			_, err := io.Copy(io.Discard, conn)
			close(gone)
			ends <- end{what, time.Since(begun), err}
		})
	}
	return func(t *testing.T) {
		t.Helper()
		for range slow {
			e := <-ends
			timeout := net.Error(nil)
			if e.took > 15*time.Second || errors.As(e.err, &timeout) && timeout.Timeout() {
				t.Errorf("%s: took %v: %v", e.what, e.took, e.err)
			}
			t.Logf("%s: cut off after %v", e.what, e.took.Round(10*time.Millisecond))
		}
		s.stranger(t).healthy(t)
	}
}
