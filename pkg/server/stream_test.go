package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

// client watches the stream.
type client struct {
	conn     net.Conn
	resp     *http.Response
	parts    partReader
	received atomic.Int64 // bytes, head included
}

// Read counts what arrives.
func (v *client) Read(p []byte) (int, error) {
	n, err := v.conn.Read(p)
	v.received.Add(int64(n))
	return n, err
}

// watch sends request and reads the response head.
func watch(tb testing.TB, addr, request string) *client {
	tb.Helper()
	v := &client{conn: dial(tb, addr)}
	if _, err := io.WriteString(v.conn, request); err != nil {
		tb.Fatal(err)
	}
	rd := bufio.NewReader(v)
	var err error
	if v.resp, err = http.ReadResponse(rd, nil); err != nil { //nolint:bodyclose // the connection is closed instead
		tb.Fatal(err)
	}
	if v.resp.StatusCode != http.StatusOK {
		tb.Fatalf("status %s", v.resp.Status)
	}
	v.parts = readParts(v.resp.Body)
	return v
}

const getVideo = "GET /video HTTP/1.1\r\nHost: cam\r\n\r\n"

// next returns the next part's data.
func (v *client) next(tb testing.TB) part {
	tb.Helper()
	p, err := v.parts.Next()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// all reads a connection until it ends.
func all(tb testing.TB, conn net.Conn) string {
	tb.Helper()
	b, err := io.ReadAll(conn)
	if err != nil {
		tb.Fatalf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

// viewing waits until n viewers have what was published last.
func (r *rig) viewing(tb testing.TB, n int) {
	tb.Helper()
	eventually(tb, fmt.Sprint(n, " viewers"), func() bool {
		viewers := r.Stream().Viewers
		for _, v := range viewers {
			if v.Frames == 0 {
				return false
			}
		}
		return len(viewers) == n
	})
}

func TestStreamOnTheWire(t *testing.T) {
	const fields = "Access-Control-Allow-Origin: *\r\n" +
		"Connection: close\r\n" +
		"Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n" +
		"Pragma: no-cache\r\n" +
		"X-Accel-Buffering: no\r\n" +
		"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
	const body = "--frame\r\n" +
		"Content-Type: image/jpeg\r\nContent-Length: 7\r\nX-Timestamp: 1767225600.000042\r\nX-Sequence: 1\r\n\r\n" +
		"\xff\xd8one\xff\xd9\r\n--frame\r\n" +
		"Content-Type: image/jpeg\r\nContent-Length: 3\r\nX-Timestamp: 1767225600.000042\r\nX-Sequence: 2\r\nX-Placeholder: stopped\r\n\r\n" +
		"end\r\n--frame--\r\n"
	for name, tc := range map[string]struct{ request, want string }{
		"HTTP/1.1":           {"GET /video HTTP/1.1\r\nHost: cam\r\n\r\n", "HTTP/1.1 200 OK\r\n" + fields + body},
		"HTTP/1.0":           {"GET /video HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n" + fields + body},
		"HTTP/1.0 with keep": {"GET /video HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200 OK\r\n" + fields + body},
		"any query":          {"GET /video?timestamp=17&t=%zz&&=;<> HTTP/1.1\r\nHost: cam\r\n\r\n", "HTTP/1.1 200 OK\r\n" + fields + body},
		"pipelined":          {"GET /video HTTP/1.1\r\nHost: cam\r\n\r\nGET /state HTTP/1.1\r\nHost: cam\r\n\r\n", "HTTP/1.1 200 OK\r\n" + fields + body},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{})
			r.hub.Publish(picture("\xff\xd8one\xff\xd9"))
			conn := dial(t, r.addr)
			if _, err := io.WriteString(conn, tc.request); err != nil {
				t.Fatal(err)
			}
			r.viewing(t, 1)
			end := picture("end")
			end.Placeholder = "stopped"
			r.hub.Close(end)
			if got := all(t, conn); got != tc.want {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
		})
	}
}

func TestHeadOfTheStreamCostsNothing(t *testing.T) {
	r := start(t, Options{AllowOrigin: "https://printer.example"})
	a := raw(t, r.addr, "HEAD /video HTTP/1.1")
	for name, want := range map[string]string{
		"Content-Type": mjpeg.ContentType, "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0",
		"Access-Control-Allow-Origin": "https://printer.example", "Content-Length": "", "Transfer-Encoding": "",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !a.Close || a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("got %d, close %v, %q", a.StatusCode, a.Close, a.body)
	}
	if s := r.Stream(); s.ViewersTotal != 0 || r.hub.Subscribers() != 0 {
		t.Errorf("HEAD became a viewer: %+v", s)
	}
}

func TestViewerGetsTheHeadBeforeThereIsAPicture(t *testing.T) {
	r := start(t, Options{})
	v := watch(t, r.addr, getVideo) // returns only with the head
	r.hub.Publish(picture("one"))
	if p := v.next(t); string(p.Data) != "one" {
		t.Errorf("got %q", p.Data)
	}
}

func TestViewerGetsTheLastPictureAtOnce(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("old"))
	r.hub.Publish(picture("newest"))
	v := watch(t, r.addr, getVideo)
	if p := v.next(t); string(p.Data) != "newest" || p.Header.Get("X-Sequence") != "2" {
		t.Errorf("got %q %v", p.Data, p.Header)
	}
	if d := r.Stream().Viewers[0].Dropped; d != 0 {
		t.Errorf("%d frames from before the viewer count as dropped", d)
	}
}

func TestViewerAfterTheEndGetsTheFinalPicture(t *testing.T) {
	r := start(t, Options{})
	r.hub.Close(picture("The End"))
	v := watch(t, r.addr, getVideo)
	if p := v.next(t); string(p.Data) != "The End" {
		t.Errorf("got %q", p.Data)
	}
	if _, err := v.parts.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
}

func TestStreamOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, ln, Options{})
	r.hub.Publish(picture(strings.Repeat("x", 200_000)))
	v := watch(t, path, getVideo)
	if p := v.next(t); len(p.Data) != 200_000 {
		t.Errorf("got %d bytes", len(p.Data))
	}
	if c := r.onlyViewer(t); c.address != "unix" {
		t.Errorf("address %q", c.address)
	}
}

// onlyViewer returns the registered viewer.
func (r *rig) onlyViewer(t *testing.T) *viewer {
	t.Helper()
	r.viewing(t, 1)
	r.viewers.mu.Lock()
	defer r.viewers.mu.Unlock()
	for _, v := range r.viewers.viewers {
		return v
	}
	t.Fatal("no viewer")
	return nil
}

// TestSenderHasTheBareSocket checks what one call per picture depends on. The
// system test counts the calls.
func TestSenderHasTheBareSocket(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("x"))
	watch(t, r.addr, getVideo)
	if v := r.onlyViewer(t); v.sock == nil || v.conn != nil {
		t.Errorf("the viewer has a goroutine that writes to a %T", v.conn)
	}
}

// wrapped is a connection that cannot write vectors, as TLS is.
type wrapped struct {
	net.Conn
	writes *atomic.Int64
}

func (w *wrapped) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return w.Conn.Write(p)
}

type wrappingListener struct {
	net.Listener
	writes atomic.Int64
}

func (l *wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &wrapped{c, &l.writes}, err
}

func TestPictureIsOneWriteOnAWrappedConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wl := &wrappingListener{Listener: ln}
	r := startOn(t, wl, Options{})
	r.hub.Publish(picture("x"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	for range 9 {
		r.hub.Publish(picture("y"))
		v.next(t)
	}
	if n := wl.writes.Load(); n != 10 {
		t.Errorf("%d writes for 10 pictures", n)
	}
}

func TestSlowViewerMissesPicturesAndDisturbsNobody(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
	data := strings.Repeat("x", 100_000)
	r.hub.Publish(picture(data))
	slow := watch(t, r.addr, getVideo)
	fast := watch(t, r.addr, getVideo)
	r.viewing(t, 2)
	fast.next(t)
	const n = 200
	for i := range n {
		r.hub.Publish(picture(data))
		if got := fast.next(t).Header.Get("X-Sequence"); got != fmt.Sprint(i+2) {
			t.Fatalf("the fast viewer got %s instead of %d", got, i+2)
		}
	}
	// Now the slow one reads: what its sockets held, then the newest at once.
	var seen []string
	for len(seen) == 0 || seen[len(seen)-1] != fmt.Sprint(n+1) {
		seen = append(seen, slow.next(t).Header.Get("X-Sequence"))
	}
	eventually(t, "the last frame is counted", func() bool {
		return r.Stream().Viewers[0].Frames == uint64(len(seen))
	})
	got := r.Stream().Viewers[0]
	if got.Frames+got.Dropped != n+1 {
		t.Errorf("%d sent and %d dropped are not %d", got.Frames, got.Dropped, n+1)
	}
	if r.Stream().Viewers[1].Dropped != 0 {
		t.Errorf("the fast viewer lost %d", r.Stream().Viewers[1].Dropped)
	}
	t.Logf("slow viewer saw %v", seen)
}

// TestKernelHoldsAboutTwoPicturesForAStalledViewer measures how much a sender
// gets rid of when the other side has a small window.
func TestKernelHoldsAboutTwoPicturesForAStalledViewer(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
	const size = 100_000
	r.hub.Publish(picture(strings.Repeat("x", size)))
	conn := dial(t, r.addr)
	const window = 8 << 10
	if err := conn.(*net.TCPConn).SetReadBuffer(window); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, getVideo); err != nil {
		t.Fatal(err)
	}
	r.viewing(t, 1)
	r.hub.Publish(picture(strings.Repeat("x", size)))
	// As long as frames go out, more are offered; then the socket is full.
	last := uint64(1)
	for moves(func() bool { return r.Stream().Viewers[0].Frames > last }) {
		if last = r.Stream().Viewers[0].Frames; last > 20 {
			t.Fatalf("no limit: %d frames went to a viewer that reads nothing", last)
		}
		r.hub.Publish(picture(strings.Repeat("x", size)))
	}
	if last > 3 {
		t.Errorf("%d whole frames of %d bytes are in the kernel, want at most 3", last, size)
	}
	t.Logf("%d whole frames of %d bytes in the kernel", last, size)
}

// moves reports whether cond holds within 300 ms.
func moves(cond func() bool) bool {
	patience := time.NewTimer(300 * time.Millisecond)
	defer patience.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-patience.C:
			return false
		}
	}
	return true
}

func TestStalledViewerIsCutOff(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 300 * time.Millisecond}})
	data := strings.Repeat("x", 16<<20) // more than any sockets hold
	r.hub.Publish(picture(data))
	stalled := dial(t, r.addr)
	if _, err := io.WriteString(stalled, getVideo); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is a viewer", func() bool { return len(r.Stream().Viewers) == 1 })
	began := time.Now()
	eventually(t, "it is none any more", func() bool { return len(r.Stream().Viewers) == 0 })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
	eventually(t, "it is logged", func() bool { return len(r.log.lines("viewer timed out")) == 1 })
	if r.hub.Subscribers() != 0 {
		t.Errorf("%d subscriptions left", r.hub.Subscribers())
	}
	// The kernel has thrown away what was unsent: the connection is reset.
	if _, err := io.Copy(io.Discard, stalled); err == nil {
		t.Error("the connection ended in order")
	}
}

func TestViewerThatLeavesIsNoticedWithoutPictures(t *testing.T) {
	r := start(t, Options{})
	r.hub.Publish(picture("only one"))
	v := watch(t, r.addr, getVideo)
	v.next(t)
	_ = v.conn.Close()
	eventually(t, "the viewer is forgotten", func() bool { return len(r.Stream().Viewers) == 0 && r.hub.Subscribers() == 0 })
	eventually(t, "it is logged", func() bool { return len(r.log.lines("viewer left")) == 1 })
}

// TestConcurrentPublishingWatchingAndAsking is for the race detector: pictures,
// viewers that come and go, and requests for everything else.
func TestConcurrentPublishingWatchingAndAsking(t *testing.T) {
	r := start(t, Options{Snapshot: func() status.Snapshot { return status.Snapshot{} }})
	r.hub.Publish(picture("first"))
	ctx, cancel := context.WithCancel(t.Context())
	var published []*device.Frame
	var feeder sync.WaitGroup
	feeder.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			f := picture(fmt.Sprintf("\xff\xd8%06d%s\xff\xd9", i, strings.Repeat("x", 1000*(i%40))))
			published = append(published, f)
			r.hub.Publish(f)
			<-tick.C
		}
	})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 8 {
				v := watch(t, r.addr, getVideo)
				last := ""
				for range 10 {
					p := v.next(t)
					if s := fmt.Sprintf("%9s", p.Header.Get("X-Sequence")); s <= last {
						t.Errorf("%s came after %s", s, last)
					} else {
						last = s
					}
				}
				_ = v.conn.Close()
			}
		})
	}
	wg.Go(func() {
		for range 40 {
			raw(t, r.addr, "GET /snapshot HTTP/1.1")
			raw(t, r.addr, "GET /state HTTP/1.1")
			raw(t, r.addr, "GET / HTTP/1.1")
		}
	})
	wg.Wait()
	cancel()
	feeder.Wait()
	for i, f := range published {
		if !bytes.HasPrefix(f.Data, fmt.Appendf(nil, "\xff\xd8%06d", i)) || len(f.Data) != 10+1000*(i%40) {
			t.Fatalf("frame %d was changed", i)
		}
	}
}
