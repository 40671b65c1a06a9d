package server

import (
	"cmp"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/netsend"
	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

// viewer is one connection that watches the stream. The counters are written by
// its sender only and may be read by anyone; everything else is set before
// the viewer is registered.
type viewer struct {
	id        uint64
	address   string
	host      string // of the address, for the limit
	userAgent string
	key       string // what it calls itself
	since     time.Time
	head      []byte // what comes before the first part
	feed      *feed
	advance   bool         // part headers are sent in advance, without the length
	ahead     *mjpeg.Ahead // part headers are sent in advance, with a length; its sender's own, or nil
	pace      pace         // its sender's own
	sub       *fanout.Subscriber
	who       auth.Principal
	watch     *auth.Watch // of who's right; nil without a guard
	letGo     func()      // of what counts connections
	// One of the two: a bare socket is served by the fan, any other connection
	// by a goroutine of its own.
	sock *netsend.Socket
	conn net.Conn
	job  job // the fan's own

	frames atomic.Uint64
	bytes  atomic.Uint64
	rate   rate
	lag    lag
	// wants is from when on it takes pictures of a rendition, in nanoseconds since it came.
	wants atomic.Int64
}

// counters describes what v got so far.
func (v *viewer) counters() status.Viewer {
	return status.Viewer{Frames: v.frames.Load(), Dropped: v.sub.Dropped(), Skipped: v.sub.Skipped(), Bytes: v.bytes.Load()}
}

// status describes v.
func (v *viewer) status(now time.Time) status.Viewer {
	all := v.counters()
	all.ID, all.Address, all.Key, all.UserAgent, all.Since = v.id, v.address, v.key, v.userAgent, v.since
	all.User, all.UserKind = v.who.Name, string(v.who.Kind)
	all.FPS = v.rate.perSecond(now)
	if r := v.feed.rendition; r != nil {
		all.Rendition = r.String()
	}
	delay, frames := v.behind(now)
	all.LagMS, all.FramesBehind = float64(delay.Microseconds())/1000, frames
	return all
}

// lag is how far a viewer is behind. One goroutine writes, any may read.
type lag struct {
	last  atomic.Int64  // from publication to the last byte handed over, of the last picture, in nanoseconds
	taken atomic.Int64  // when the picture in progress was published, in nanoseconds since the viewer came; 0 when there is none
	seq   atomic.Uint64 // of the last picture that was handed over
}

// moment is a time as nanoseconds since v came. Unlike those of the time of day
// they do not jump when somebody sets the clock.
func (v *viewer) moment(t time.Time) int64 { return int64(t.Sub(v.since)) }

// nextMoment is from when on v takes another picture.
func (v *viewer) nextMoment() int64 {
	if next := v.pace.next(); !next.IsZero() {
		return v.moment(next)
	}
	return 0
}

// took notes that a picture is being sent.
func (v *viewer) took(frame *device.Frame, now time.Time) {
	published := frame.PublishedAt
	if published.IsZero() || published.Before(v.since) {
		published = now // nobody sent it before the viewer came
	}
	v.lag.taken.Store(max(1, v.moment(published)))
}

// handed notes that the kernel has all of it.
func (v *viewer) handed(frame *device.Frame, now time.Time) {
	v.lag.last.Store(max(0, v.moment(now)-v.lag.taken.Swap(0)))
	v.lag.seq.Store(frame.Seq)
}

// behind returns how late the viewer's last picture was, or the one that is being
// sent already is, and how many newer ones there are meanwhile.
func (v *viewer) behind(now time.Time) (delay time.Duration, frames uint64) {
	delay = time.Duration(v.lag.last.Load())
	taken := v.lag.taken.Load()
	if taken == 0 {
		return delay, 0 // it has all that it wanted
	}
	if newest := v.feed.hub.Latest(); newest != nil && newest.Seq > v.lag.seq.Load() {
		frames = newest.Seq - v.lag.seq.Load()
	}
	return max(delay, time.Duration(v.moment(now)-taken)), frames
}

// registry knows the viewers. Its zero value is ready.
//
//	open ──drain──► draining ──cut──► cut
//
// A viewer is admitted by the request handler, before fasthttp lets go of the
// connection, so that shutdown cannot miss one that is between two goroutines.
type registry struct {
	mu       sync.Mutex
	draining bool               // guarded by mu
	isCut    bool               // guarded by mu
	admitted int                // guarded by mu; registered or about to be
	hosts    map[string]int     // guarded by mu; of them, by where they come from
	past     status.Viewer      // guarded by mu; counters of those who left
	total    uint64             // guarded by mu; ever registered
	viewers  map[uint64]*viewer // guarded by mu
	empty    chan struct{}      // closed when draining and none is left
}

// refusal says why a viewer is not admitted.
type refusal int

// Reasons.
const (
	admitted refusal = iota
	refusedStopping
	refusedTotal
	refusedHost
)

// admit makes room for one more viewer from host; release must follow unless it
// is refused.
func (r *registry) admit(host string, limit, limitPerHost int) refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.draining:
		return refusedStopping
	case limit > 0 && r.admitted >= limit:
		return refusedTotal
	case limitPerHost > 0 && r.hosts[host] >= limitPerHost:
		return refusedHost
	}
	if r.hosts == nil {
		r.hosts = map[string]int{}
	}
	r.hosts[host]++
	r.admitted++
	return admitted
}

// release undoes admit.
func (r *registry) release(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts[host]--; r.hosts[host] == 0 {
		delete(r.hosts, host)
	}
	r.admitted--
	if r.draining && r.admitted == 0 {
		close(r.empty)
	}
}

// add registers an admitted viewer and numbers it. It reports false when it is
// too late.
func (r *registry) add(v *viewer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isCut {
		return false
	}
	r.total++
	v.id = r.total
	if r.viewers == nil {
		r.viewers = map[uint64]*viewer{}
	}
	r.viewers[v.id] = v
	return true
}

// remove forgets a viewer.
func (r *registry) remove(v *viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.viewers[v.id] == v {
		delete(r.viewers, v.id)
		r.past = plus(r.past, v.counters())
	}
}

// plus adds the counters of two viewers.
func plus(a, b status.Viewer) status.Viewer {
	return status.Viewer{Frames: a.Frames + b.Frames, Dropped: a.Dropped + b.Dropped, Skipped: a.Skipped + b.Skipped, Bytes: a.Bytes + b.Bytes}
}

// sums are the counters of all viewers, past ones included.
type sums struct {
	status.Viewer
	now   int
	total uint64
}

// sums adds everything up.
func (r *registry) sums() sums {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := sums{Viewer: r.past, now: len(r.viewers), total: r.total}
	for _, v := range r.viewers {
		all.Viewer = plus(all.Viewer, v.counters())
	}
	return all
}

// drain admits nobody from now on and returns a channel that is closed when the
// last viewer has gone. It is called once.
func (r *registry) drain() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	r.empty = make(chan struct{})
	if r.admitted == 0 {
		close(r.empty)
	}
	return r.empty
}

// cut closes the connections of all viewers.
func (r *registry) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = true
	for _, v := range r.viewers {
		if v.conn != nil { // the fan closes its sockets itself
			_ = v.conn.Close() // nobody is left to tell
		}
	}
}

// list describes all viewers, oldest first.
func (r *registry) list(now time.Time) (viewers []status.Viewer, total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	viewers = make([]status.Viewer, 0, len(r.viewers))
	for _, v := range r.viewers {
		viewers = append(viewers, v.status(now))
	}
	slices.SortFunc(viewers, func(a, b status.Viewer) int { return cmp.Compare(a.ID, b.ID) })
	return viewers, r.total
}

// pace spreads the pictures of a viewer that wants fewer than there are evenly.
// Its zero value lets every picture pass.
type pace struct {
	interval time.Duration
	due      time.Time // a point of the grid: when the next picture should go
}

// ready reports whether a picture may go. It takes the one nearest to the grid,
// so a camera that is a little early or late does not make pictures uneven.
func (p *pace) ready(now time.Time) bool {
	return p.interval == 0 || !now.Before(p.due.Add(-p.interval/2))
}

// next returns from when on ready reports true; the zero Time means now.
func (p *pace) next() time.Time {
	if p.interval == 0 || p.due.IsZero() {
		return time.Time{}
	}
	return p.due.Add(-p.interval / 2)
}

// took notes that a picture went.
func (p *pace) took(now time.Time) {
	if p.interval == 0 {
		return
	}
	if p.due = p.due.Add(p.interval); p.due.Before(now.Add(-p.interval / 2)) {
		p.due = now.Add(p.interval) // there were none for a while: begin anew
	}
}

// rateWindow is over how long a frame rate is measured. Chosen: long enough for
// the one picture per second of a placeholder, short enough to see changes.
const rateWindow = 2 * time.Second

// rate measures frames per second. One goroutine counts, any may read.
type rate struct {
	began time.Time // of the running window; the counter's own
	n     int       // frames in it; the counter's own

	last  atomic.Int64  // when the last frame was counted, in Unix nanoseconds
	value atomic.Uint64 // math.Float64bits of frames per second
}

// count notes one frame.
func (r *rate) count(now time.Time) {
	r.last.Store(now.UnixNano())
	if r.began.IsZero() {
		r.began = now
		return
	}
	r.n++
	elapsed := now.Sub(r.began)
	// The first figure is given early, to show something.
	if elapsed >= rateWindow || (r.value.Load() == 0 && elapsed >= rateWindow/4) {
		r.value.Store(math.Float64bits(float64(r.n) / elapsed.Seconds()))
		r.began, r.n = now, 0
	}
}

// perSecond returns the measured rate to one decimal, falling when no frames
// come.
func (r *rate) perSecond(now time.Time) float64 {
	fps := math.Float64frombits(r.value.Load())
	if silent := now.Sub(time.Unix(0, r.last.Load())); silent > rateWindow {
		fps = min(fps, 1/silent.Seconds())
	}
	return math.Round(fps*10) / 10
}
