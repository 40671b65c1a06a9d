package server

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// These tests are about viewers on the same computer, whose sockets take much more
// than one picture.

// numbered is a picture of so many bytes that begins with its number.
func numbered(i, size int) *device.Frame {
	return picture(fmt.Sprintf("%08d%s", i, strings.Repeat("x", size-8)))
}

// number reads the next picture and returns what numbered made it from.
func (v *client) number(tb testing.TB) int {
	tb.Helper()
	n, err := strconv.Atoi(string(v.next(tb).Data[:8]))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// keepUp publishes the pictures from the one with number from up to the one with number to,
// each when v has read the one before.
func (v *client) keepUp(tb testing.TB, r *rig, from, to, size int) {
	tb.Helper()
	for i := from; i <= to; i++ {
		r.hub.Publish(numbered(i, size))
		if n := v.number(tb); n != i {
			tb.Fatalf("got picture %d, want %d", n, i)
		}
	}
}

// watchNumbered lets a viewer read picture 0, which is published for it.
func watchNumbered(tb testing.TB, r *rig, request string, size int) *client {
	tb.Helper()
	r.hub.Publish(numbered(0, size))
	v := watch(tb, r.addr, request)
	if err := v.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	if n := v.number(tb); n != 0 {
		tb.Fatalf("got picture %d first", n)
	}
	return v
}

// grown is what a receive buffer may have become, in bytes: half of what was seen when
// a viewer reads 100 KB thirty times a second.
const grown = 512 << 10

// buffer sets the size of v's receive buffer, or leaves it as it is.
func (v *client) buffer(tb testing.TB, size int) {
	tb.Helper()
	if size == 0 {
		return
	}
	if err := v.conn.(*net.TCPConn).SetReadBuffer(size); err != nil {
		tb.Fatal(err)
	}
}

// only returns what is known about the only viewer.
func (r *rig) only(tb testing.TB) (frames, dropped uint64) {
	tb.Helper()
	viewers := r.Stream().Viewers
	if len(viewers) != 1 {
		tb.Fatalf("%d viewers", len(viewers))
	}
	return viewers[0].Frames, viewers[0].Dropped
}

// oldOnes reads up to picture number newest and returns those before it.
func (v *client) oldOnes(tb testing.TB, newest int) []int {
	tb.Helper()
	var old []int
	for {
		n := v.number(tb)
		if n == newest {
			return old
		}
		old = append(old, n)
	}
}

// TestViewerThatPausesFindsAtMostTwoOldPictures reads for a while, pauses and reads on.
// The newest picture comes without another being published.
func TestViewerThatPausesFindsAtMostTwoOldPictures(t *testing.T) {
	for _, tt := range []struct {
		size, buffer int
		request      string
	}{
		{1_000, 0, getVideo},
		{30_000, 0, getVideo},
		{30_000, grown, getVideo},
		{56_000, 0, getVideo},
		{56_000, grown, getVideo},
		{100_000, 0, getVideo},
		{100_000, grown, getVideo},
		{100_000, grown, get("advance_headers=1")},
		{100_000, grown, get("advance_headers=sized")},
		{300_000, 0, getVideo},
		{300_000, grown, getVideo},
		{600_000, grown, getVideo},
	} {
		t.Run(fmt.Sprint(tt.size, " into ", tt.buffer, strings.Fields(tt.request)[1]), func(t *testing.T) {
			r := start(t, Options{Limits: Limits{ViewerTimeout: 20 * time.Second}})
			v := watchNumbered(t, r, tt.request, tt.size)
			v.buffer(t, tt.buffer)
			published, worst := 0, 0
			for range 4 {
				v.keepUp(t, r, published+1, published+13, tt.size)
				published += 13
				for range 17 { // odd: pauses begin after pictures that were asked about, and after others
					published++
					r.hub.Publish(numbered(published, tt.size))
				}
				old := v.oldOnes(t, published)
				worst = max(worst, len(old))
				if len(old) > 2 {
					t.Errorf("pictures %v were there before %d, the newest", old, published)
				}
			}
			t.Logf("%d old pictures at most", worst)
		})
	}
}

// TestPicturesThatAHeldViewerMissesAreCountedByCause compares with what it missed in all.
func TestPicturesThatAHeldViewerMissesAreCountedByCause(t *testing.T) {
	const size, kept = 30_000, 100
	r := start(t, Options{})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	v.keepUp(t, r, 1, 49, size)
	for i := range kept {
		r.hub.Publish(numbered(50+i, size))
	}
	v.oldOnes(t, 49+kept)
	// Others may be missing because the publisher does not wait for anybody.
	eventually(t, "it is counted", func() bool {
		_, dropped := r.only(t)
		n := r.fan.unread.Load()
		return n >= kept/2 && n <= dropped && dropped <= kept
	})
}

// TestWithoutAnInquiryViewersGetWhatTheirBuffersHold is what it is like where the kernel
// does not tell: the stream works, with more old pictures after a pause.
func TestWithoutAnInquiryViewersGetWhatTheirBuffersHold(t *testing.T) {
	const size = 30_000
	r := start(t, Options{})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	r.only(t) // from here on the fan may be looked at
	r.fan.turn.Lock()
	r.fan.inquiry.Close() // as it is when it was refused
	r.fan.turn.Unlock()
	v.keepUp(t, r, 1, 200, size)
	const last = 240
	for i := 201; i <= last; i++ {
		r.hub.Publish(numbered(i, size))
	}
	old := v.oldOnes(t, last)
	if len(old) <= 2 {
		t.Errorf("%d old pictures: other tests here prove nothing", len(old))
	}
	if n := r.fan.unread.Load(); n != 0 {
		t.Errorf("%d pictures dropped because they were not read", n)
	}
	v.keepUp(t, r, last+1, last+50, size)
}

// TestViewerWithAnInquiryThatFailsIsServedOn takes the inquiry away from a viewer that
// is held.
func TestViewerWithAnInquiryThatFailsIsServedOn(t *testing.T) {
	const size, last = 30_000, 40
	r := start(t, Options{})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	for i := range last {
		r.hub.Publish(numbered(i+1, size))
	}
	if frames, _ := r.only(t); frames > 4 {
		t.Fatalf("it is not held: %d pictures sent", frames)
	}
	r.fan.turn.Lock()
	r.fan.inquiry.Close()
	r.fan.turn.Unlock()
	if old := v.oldOnes(t, last); len(old) > 2 {
		t.Errorf("pictures %v were there before %d, the newest", old, last)
	}
	v.keepUp(t, r, last+1, last+10, size)
}

// TestSlowReaderIsNotBehind reads all the time, but five pictures a second of thirty.
func TestSlowReaderIsNotBehind(t *testing.T) {
	t.Parallel()
	const own, interval = 200 * time.Millisecond, time.Second / 30
	for _, size := range []int{30_000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{})
			v := watchNumbered(t, r, getVideo, size)
			v.buffer(t, grown)
			v.keepUp(t, r, 1, 100, size) // its buffer has grown
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(interval)
				defer tick.Stop()
				for i := 101; ; i++ {
					r.hub.Publish(numbered(i, size))
					select {
					case <-tick.C:
					case <-stop:
						return
					}
				}
			}()
			tick := time.NewTicker(own)
			defer tick.Stop()
			worst := uint64(0)
			for range 15 {
				<-tick.C
				n := uint64(v.number(t)) //nolint:gosec // it counts from 0
				worst = max(worst, r.hub.Latest().Seq-1-n)
			}
			close(stop)
			<-done
			// Two of its own intervals and one of the camera, and one for a busy computer.
			if limit := uint64(2*own/interval) + 2; worst > limit {
				t.Errorf("up to %d pictures behind, want %d", worst, limit)
			}
			t.Logf("up to %d pictures behind", worst)
		})
	}
}

// TestViewersThatReadLoseNothing publishes each picture when all have the one before.
func TestViewersThatReadLoseNothing(t *testing.T) {
	const viewers, pictures = 3, 10_000
	r := start(t, Options{})
	skip(r)
	data := []byte(strings.Repeat("x", 30_000))
	c := gather(t, r, viewers, &device.Frame{Data: data})
	defer c.leave()
	for range pictures {
		c.send(r, &device.Frame{Data: data})
	}
	for _, v := range r.Stream().Viewers {
		if v.Frames != pictures+1 || v.Dropped != 0 {
			t.Errorf("%d pictures sent, %d dropped", v.Frames, v.Dropped)
		}
	}
	if n := r.fan.unread.Load(); n != 0 {
		t.Errorf("%d pictures dropped because they were not read", n)
	}
}

// TestViewerIsCutWhenItReadsNothing publishes all the time; a viewer that takes a few bytes
// now and then stays, and one that takes none does not, whether it is held or stuck.
func TestViewerIsCutWhenItReadsNothing(t *testing.T) {
	const size, timeout = 30_000, 400 * time.Millisecond
	for name, tt := range map[string]struct {
		buffer int
		reads  bool
	}{
		"held, reads nothing":  {grown, false},
		"held, reads a little": {grown, true},
		"stuck, reads nothing": {16 << 10, false},
		"stuck, reads little":  {16 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{Limits: Limits{ViewerTimeout: timeout}})
			v := watchNumbered(t, r, getVideo, size)
			v.buffer(t, tt.buffer)
			v.keepUp(t, r, 1, 50, size)
			began := time.Now()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 51; len(r.Stream().Viewers) == 1 && time.Since(began) < 4*timeout; i++ {
				r.hub.Publish(numbered(i, size))
				if tt.reads && i%10 == 0 {
					if _, err := io.CopyN(io.Discard, v.conn, 100); err != nil {
						t.Fatal(err)
					}
				}
				<-tick.C
			}
			took := time.Since(began)
			if tt.reads {
				if frames, _ := r.only(t); frames > 60 {
					t.Errorf("%d pictures sent: the test proves nothing", frames)
				}
				return
			}
			if took < timeout || took >= 4*timeout {
				t.Errorf("cut after %s, want %s", took, timeout)
			}
			eventually(t, "it is counted", func() bool { return r.figures.timedOut.Load() == 1 })
		})
	}
}

// TestViewerFromWhomNothingIsKeptIsNotCut publishes three pictures and no more.
func TestViewerFromWhomNothingIsKeptIsNotCut(t *testing.T) {
	const size, timeout = 30_000, 200 * time.Millisecond
	r := start(t, Options{Limits: Limits{ViewerTimeout: timeout}})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	for i := 1; i <= 2; i++ {
		r.hub.Publish(numbered(i, size))
		eventually(t, "it is sent", func() bool {
			frames, _ := r.only(t)
			return frames == uint64(i)+1 //nolint:gosec // 1 or 2
		})
	}
	r.fan.nudge() // it may be asked now, with nothing to give
	<-time.After(3 * timeout)
	r.only(t)
	for want := 1; want <= 2; want++ {
		if n := v.number(t); n != want {
			t.Errorf("got picture %d, want %d", n, want)
		}
	}
}

// TestHeldViewerIsKnownToBeBehind looks at what the state says.
func TestHeldViewerIsKnownToBeBehind(t *testing.T) {
	const size, kept = 30_000, 10
	r := start(t, Options{})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	v.keepUp(t, r, 1, 50, size)
	for i := range kept {
		f := numbered(51+i, size)
		f.PublishedAt = time.Now()
		r.hub.Publish(f)
	}
	eventually(t, "it is behind", func() bool {
		s := r.Stream().Viewers[0]
		return s.FramesBehind >= kept-2 && s.FramesBehind <= kept && s.LagMS > 20
	})
	v.oldOnes(t, 50+kept)
	eventually(t, "it is not any more", func() bool { return r.Stream().Viewers[0].FramesBehind == 0 })
}

// TestHeldViewerGetsTheFinalPicture ends the stream while a viewer is held.
func TestHeldViewerGetsTheFinalPicture(t *testing.T) {
	const size, last = 30_000, 80
	r := start(t, Options{})
	v := watchNumbered(t, r, getVideo, size)
	v.buffer(t, grown)
	v.keepUp(t, r, 1, 50, size)
	for i := 51; i < last; i++ {
		r.hub.Publish(numbered(i, size))
	}
	r.hub.Close(numbered(last, size))
	if old := v.oldOnes(t, last); len(old) > 2 {
		t.Errorf("pictures %v were there before %d, the final one", old, last)
	}
	if _, err := v.parts.Next(); err != io.EOF { //nolint:errorlint // what multipart returns
		t.Errorf("after the final picture: %v", err)
	}
}

// TestHeldViewerThatWantsFewerGetsTheNewest pauses one that does not want every picture.
func TestHeldViewerThatWantsFewerGetsTheNewest(t *testing.T) {
	const size = 30_000
	r := start(t, Options{})
	v := watchNumbered(t, r, get("fps=50"), size)
	v.buffer(t, grown)
	last := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last < 60 {
		<-tick.C
		last++
		r.hub.Publish(numbered(last, size))
	}
	if r.Stream().Viewers[0].FramesBehind == 0 {
		t.Error("it is not held: the test proves nothing")
	}
	if old := v.oldOnes(t, last); len(old) > 2 {
		t.Errorf("pictures %v were there before %d, the newest", old, last)
	}
}
