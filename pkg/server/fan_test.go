package server

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openFiles counts the descriptors of this process.
func openFiles(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

// TestConnectionsThatComeAndGoLeaveNothing opens 2,000 connections and drops
// each at some moment: before the request, in the middle of the first picture,
// after some pictures, with or without a farewell.
func TestConnectionsThatComeAndGoLeaveNothing(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 5 * time.Second}})
	data := strings.Repeat("x", 50_000)
	r.hub.Publish(picture(data))
	raw(t, r.addr, "GET /state HTTP/1.1") // now all is open that stays so
	files := openFiles(t)
	stop := make(chan struct{})
	var feeder, wg sync.WaitGroup
	feeder.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.hub.Publish(picture(data))
			case <-stop:
				return
			}
		}
	})
	for range 20 {
		wg.Go(func() {
			for range 100 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				asked := rand.IntN(10) > 0
				if asked {
					_, _ = io.WriteString(conn, getVideo)
				}
				if n := rand.IntN(4); asked && n > 0 {
					_, _ = io.CopyN(io.Discard, conn, int64(rand.IntN(n*60_000)+1))
				}
				if rand.IntN(2) == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	close(stop)
	feeder.Wait()
	eventually(t, "all are forgotten", func() bool {
		return len(r.Stream().Viewers) == 0 && r.hub.Subscribers() == 0 && len(ourGoroutines()) == baseGoroutines
	})
	eventually(t, "no descriptor is left open", func() bool { return openFiles(t) <= files })
	t.Logf("%d viewers in all", r.Stream().ViewersTotal)
}

// TestStuckViewersGetTheWholePictureWhicheverWayItWasSent makes viewers lag
// behind so far that the place of their picture is used again meanwhile.
func TestStuckViewersGetTheWholePictureWhicheverWayItWasSent(t *testing.T) {
	r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
	const size, viewers = 600_000, 12
	pattern := func(i int) string { return strings.Repeat(fmt.Sprintf("%08d", i), size/8) }
	r.hub.Publish(picture(pattern(1)))
	var watching []*client
	for range viewers {
		watching = append(watching, watch(t, r.addr, getVideo))
	}
	stuck := func() int {
		n := 0
		for _, v := range r.Stream().Viewers {
			if v.Frames < r.hub.Latest().Seq {
				n++
			}
		}
		return n
	}
	const frames = 30
	for i := 2; i <= frames; i++ {
		r.hub.Publish(picture(pattern(i)))
		for _, v := range watching[:3] { // these keep up
			for v.next(t).Header.Get("X-Sequence") != fmt.Sprint(i) {
			}
		}
	}
	if n := stuck(); n < viewers-3 {
		t.Fatalf("only %d viewers are stuck", n)
	}
	for i, v := range watching {
		for last := i < 3; !last; {
			p := v.next(t)
			var n int
			if _, err := fmt.Sscan(p.Header.Get("X-Sequence"), &n); err != nil {
				t.Fatal(err)
			}
			if string(p.Data) != pattern(n) {
				t.Fatalf("viewer %d: picture %d is damaged", i, n)
			}
			last = n == frames
		}
	}
}

// TestStalledViewerGetsAtMostTwoOldPictures reads, stalls, and reads again. What
// comes then, up to the newest picture, sat in the sockets.
func TestStalledViewerGetsAtMostTwoOldPictures(t *testing.T) {
	const limit = 2
	for _, size := range []int{30_000, 56_000, 100_000, 300_000, 600_000} {
		for name, request := range map[string]string{"plain": getVideo, "advance": get("advance_headers=1"), "sized": get("advance_headers=sized")} {
			t.Run(fmt.Sprint(size, " ", name), func(t *testing.T) {
				r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
				number := func(i int) string { return fmt.Sprintf("%08d%s", i, strings.Repeat("x", size-8)) }
				r.hub.Publish(picture(number(1)))
				// What the viewer's own side takes while it stalls is not ours to bound.
				v := &client{conn: dialSmall(t, r.addr, 16<<10)}
				if _, err := io.WriteString(v.conn, request); err != nil {
					t.Fatal(err)
				}
				v.parts = readParts(v.conn)
				eventually(t, "it is a viewer", func() bool { return len(r.Stream().Viewers) == 1 })
				published := 1
				for sent := uint64(0); published < 40; {
					published++
					r.hub.Publish(picture(number(published)))
					if moves(func() bool { return r.Stream().Viewers[0].Frames > sent }) {
						sent = r.Stream().Viewers[0].Frames
					} else if published > 6 {
						break
					}
				}
				old := map[string]bool{}
				for {
					p := v.next(t)
					got := string(p.Data[:8])
					if got == fmt.Sprintf("%08d", published) {
						break
					}
					old[got] = true
				}
				t.Logf("%d old pictures of %d", len(old), published)
				if len(old) > limit {
					t.Errorf("%d old pictures before the newest", len(old))
				}
			})
		}
	}
}

// dialSmall is dial with a receive buffer of so many bytes, from the beginning.
func dialSmall(tb testing.TB, addr string, size int) net.Conn {
	tb.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size) })
		return errors.Join(err, failed)
	}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func TestFewerPicturesAreSpreadEvenly(t *testing.T) {
	start := time.Unix(1e9, 0)
	for _, tt := range []struct {
		source, wanted float64
		sent           int // of three seconds
	}{{30, 10, 30}, {30, 15, 45}, {30, 1, 3}, {30, 20, 60}, {10, 30, 30}, {30, 30, 90}} {
		p := pace{interval: time.Duration(float64(time.Second) / tt.wanted)}
		sent := 0
		var last time.Time
		for i := range int(3 * tt.source) {
			// The camera is early or late by up to 5 ms.
			jitter := time.Duration(i*7%11-5) * time.Millisecond
			now := start.Add(time.Duration(float64(i)/tt.source*float64(time.Second)) + jitter)
			if !p.ready(now) {
				continue
			}
			p.took(now)
			if gap := now.Sub(last); sent > 1 && tt.source/tt.wanted == float64(int(tt.source/tt.wanted)) &&
				(gap-p.interval).Abs() > 11*time.Millisecond {
				t.Errorf("%v of %v fps: a gap of %s", tt.wanted, tt.source, gap)
			}
			last = now
			sent++
		}
		if sent < tt.sent-1 || sent > tt.sent+1 {
			t.Errorf("%v of %v fps: %d pictures in 3 s, want %d", tt.wanted, tt.source, sent, tt.sent)
		}
	}
}
