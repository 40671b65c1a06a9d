package httpjpeg_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/httpjpeg"
)

// rawServer answers every connection with script, which gets the request's
// header and ends when the client is gone.
func rawServer(t *testing.T, script func(conn net.Conn, gone <-chan struct{})) (url string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }() // it may be closed already
				r := bufio.NewReader(conn)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				gone := make(chan struct{})
				wg.Go(func() {
					defer close(gone)
					_, _ = r.ReadByte() // nothing more comes until the client goes
				})
				script(conn, gone)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it only listens
		wg.Wait()
	})
	return "http://" + l.Addr().String() + "/"
}

const streamHead = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"

func onePart(n uint32) string {
	pic := devicetest.JPEG(n, 64, 48)
	return fmt.Sprintf("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(pic), pic)
}

// drip writes text again and again, with pauses, until the client is gone.
func drip(conn net.Conn, gone <-chan struct{}, text string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := conn.Write([]byte(text)); err != nil {
			return
		}
		select {
		case <-gone:
			return
		case <-tick.C:
		}
	}
}

func TestNastyServersAreSurvived(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		script func(conn net.Conn, gone <-chan struct{})
		// good is how many pictures come before the error.
		good int
		kind error
		text string // what the error must say
	}{
		{"is cut in a part", func(conn net.Conn, _ <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead + onePart(1) + onePart(2)[:200])) // the test sees what comes
		}, 1, device.ErrDisconnected, "cut in the middle of a picture"},
		{"is cut between parts", func(conn net.Conn, _ <-chan struct{}) {
			_, _ = conn.Write([]byte(streamHead + onePart(1))) // the test sees what comes
		}, 1, device.ErrDisconnected, "ended the stream"},
		{"ends at once", func(net.Conn, <-chan struct{}) {}, 0, device.ErrDisconnected, "EOF"},
		{"announces a wrong length for the whole stream", func(conn net.Conn, _ <-chan struct{}) {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\nContent-Length: 100000\r\n\r\n" + onePart(1))) // the test sees what comes
		}, 1, device.ErrDisconnected, "httpjpeg next"},
		{"announces a snapshot that is longer than what comes", func(conn net.Conn, _ <-chan struct{}) {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\nabc")) // the test sees what comes
		}, 0, device.ErrDisconnected, "unexpected EOF"},
		{"does not speak HTTP", func(conn net.Conn, _ <-chan struct{}) {
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")) // the test sees what comes
		}, 0, device.ErrDisconnected, "malformed HTTP"},
		{"sends an endless response header", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n")) // the test sees what comes
			drip(conn, gone, strings.Repeat("X-A: b\r\n", 1000), time.Microsecond)
		}, 0, device.ErrDisconnected, "exceeded"},
		{"has chunks that are none", func(conn net.Conn, gone <-chan struct{}) {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\nTransfer-Encoding: chunked\r\n\r\n" + onePart(1))) // the test sees what comes
			<-gone
		}, 0, device.ErrDisconnected, "chunk"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := rawServer(t, tc.script)
			cam, _, err := start(t, httpjpeg.Options{URL: url}, device.Format{})
			good := 0
			for err == nil {
				if _, err = picture(t, cam); err == nil {
					good++
				}
			}
			if good != tc.good {
				t.Errorf("%d good pictures, want %d", good, tc.good)
			}
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), url) {
				t.Errorf("got %v, want %v with %q and %s", err, tc.kind, tc.text, url)
			}
		})
	}
}

func TestEndlessPartIsGivenUpAtItsLimit(t *testing.T) {
	url := rawServer(t, func(conn net.Conn, gone <-chan struct{}) {
		_, _ = conn.Write([]byte(streamHead + onePart(1) + "--frame\r\n\r\n\xff\xd8\xff\xda\x00\x02")) // the test sees what comes
		drip(conn, gone, strings.Repeat("abcd", 1<<18), time.Microsecond)
	})
	cam, _, err := start(t, httpjpeg.Options{URL: url}, device.Format{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := picture(t, cam); err != nil {
		t.Fatal(err)
	}
	if _, err = picture(t, cam); !errors.Is(err, device.ErrDamaged) || !strings.Contains(err.Error(), "part over 33554432 bytes") {
		t.Errorf("got %v, want ErrDamaged and the limit", err)
	}
}

func TestPicturesComeThroughInEveryFraming(t *testing.T) {
	t.Parallel()
	stream := onePart(1) + onePart(2) + onePart(3)
	chunked := func(size int) string {
		var b strings.Builder
		for s := stream; s != ""; s = s[min(size, len(s)):] {
			n := min(size, len(s))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		}
		return b.String()
	}
	tricky := bytes.Clone(devicetest.JPEG(1, 64, 48))
	tricky = append(append(tricky[:2:2], "\xff\xfe\x00\x14\r\n--frame\r\n\r\nabcd"...), tricky[2:]...)
	for name, answer := range map[string]string{
		"HTTP/1.0":             streamHead + stream,
		"HTTP/1.1 until close": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n" + stream,
		"chunks of 1":          "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(1),
		"chunks of 100":        "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(100),
		"boundary in quotes":   "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"--frame\"\r\n\r\n" + stream,
		"boundary unbalanced":  "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"frame\r\n\r\n" + stream,
		"no boundary":          "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n" + stream,
		"pictures in a row":    "HTTP/1.0 200 OK\r\nContent-Type: video/x-motion-jpeg\r\n\r\n" + stream,
		"boundary in pictures": streamHead + "--frame\r\n\r\n" + string(tricky) + "\r\n" + stream,
		"as form data":         "HTTP/1.0 200 OK\r\nContent-Type: multipart/mixed; boundary=frame\r\n\r\n" + stream,
	} {
		for _, size := range []int{1, 1 << 20} {
			t.Run(fmt.Sprintf("%s in writes of %d", name, size), func(t *testing.T) {
				t.Parallel()
				url := rawServer(t, func(conn net.Conn, gone <-chan struct{}) {
					for a := answer; a != ""; a = a[min(size, len(a)):] {
						if _, err := conn.Write([]byte(a[:min(size, len(a))])); err != nil {
							return
						}
					}
					<-gone
				})
				cam, _, err := start(t, httpjpeg.Options{URL: url}, device.Format{})
				if err != nil {
					t.Fatal(err)
				}
				for {
					b, err := picture(t, cam)
					if err != nil {
						t.Fatal(err)
					}
					n, ok := devicetest.JPEGNumber(b.Data)
					if !ok || !bytes.HasSuffix(b.Data, []byte{0xFF, 0xD9}) {
						t.Fatalf("picture %d has %d bytes and number %d, %v", b.DriverSeq, len(b.Data), n, ok)
					}
					if n == 3 {
						return
					}
				}
			})
		}
	}
}

func TestAnswersThatAreNoPicturesAreNamed(t *testing.T) {
	const basic = `Basic realm="camera"`
	for _, tc := range []struct {
		name   string
		user   string
		header http.Header
		status int
		kind   error
		text   string
	}{
		{"no password", "", http.Header{"Www-Authenticate": {basic}}, 401, device.ErrPermission, "401 Unauthorized: put user and password into the URL"},
		{"wrong password", "user:wrong@", http.Header{"Www-Authenticate": {basic}}, 401, device.ErrPermission, "check user and password"},
		{"digest only", "user:wrong@", http.Header{"Www-Authenticate": {"Digest realm=x"}}, 401, device.ErrPermission, "choose Basic"},
		{"forbidden", "", nil, 403, device.ErrPermission, "403 Forbidden: allow this user"},
		{"not there", "", nil, 404, device.ErrNotFound, "404 Not Found: check the path"},
		{"gone", "", nil, 410, device.ErrNotFound, "410"},
		{"overloaded", "", nil, 503, device.ErrDisconnected, "503 Service Unavailable"},
		{"bad request", "", nil, 400, device.ErrUnsupported, "400"},
		{"empty", "", nil, 204, device.ErrUnsupported, "204"},
		{"a page", "", http.Header{"Content-Type": {"text/html; charset=utf-8"}}, 200, device.ErrUnsupported, `sends "text/html"`},
		{"a film", "", http.Header{"Content-Type": {"video/mp4"}}, 200, device.ErrUnsupported, `sends "video/mp4"`},
		{"without type", "", http.Header{"Content-Type": nil}, 200, device.ErrUnsupported, "does not say"},
		{"compressed", "", http.Header{"Content-Type": {"image/jpeg"}, "Content-Encoding": {"gzip"}}, 200, device.ErrUnsupported, "gzip"},
		{"points to itself", "", http.Header{"Location": {"/"}}, 302, device.ErrUnsupported, "without end"},
		{"points to a file", "", http.Header{"Location": {"file:///etc/passwd"}}, 302, device.ErrUnsupported, "nothing usable"},
		{"points nowhere", "", nil, 302, device.ErrUnsupported, "nothing usable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("Accept-Encoding: %q", r.Header.Get("Accept-Encoding"))
				}
				maps.Copy(w.Header(), tc.header)
				w.WriteHeader(tc.status)
			}))
			defer s.Close()
			_, _, err := start(t, httpjpeg.Options{URL: strings.Replace(s.URL, "http://", "http://"+tc.user, 1)}, device.Format{})
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("got %v, want %v with %q and without a password", err, tc.kind, tc.text)
			}
		})
	}
}

func TestNobodyThereIsDisconnected(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for _, url := range []string{s.URL, "http://user:secret@camera.invalid/"} {
		_, _, err := start(t, httpjpeg.Options{URL: url}, device.Format{})
		if !errors.Is(err, device.ErrDisconnected) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "Get ") {
			t.Errorf("%s: got %v, want ErrDisconnected", url, err)
		}
	}
}

func TestEndedContextEndsStart(t *testing.T) {
	url := rawServer(t, func(_ net.Conn, gone <-chan struct{}) { <-gone })
	cam := open(t, httpjpeg.Options{URL: url})
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, cause)
	defer cancel()
	if _, err := cam.Start(ctx, device.Format{}); !errors.Is(err, cause) {
		t.Errorf("Start: got %v, want its context's cause", err)
	}
	if _, err := cam.Modes(ctx); !errors.Is(err, cause) {
		t.Errorf("Modes: got %v, want its context's cause", err)
	}
}

func TestCloseEndsStart(t *testing.T) {
	asked := make(chan struct{})
	url := rawServer(t, func(_ net.Conn, gone <-chan struct{}) { close(asked); <-gone })
	cam := open(t, httpjpeg.Options{URL: url})
	started := make(chan error, 1)
	go func() {
		_, err := cam.Start(t.Context(), device.Format{})
		started <- err
	}()
	<-asked
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	if err := <-started; !errors.Is(err, device.ErrClosed) {
		t.Errorf("Start: got %v, want ErrClosed", err)
	}
}
