package server

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device/netsend"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// fan sends every new picture to all viewers with a bare socket. Each that is idle
// is offered it by one system call that does not wait; a viewer whose socket is
// full is left alone until the kernel says that there is room, gets the rest of its
// picture then, and after that the newest one there is.
//
//	        new picture             last byte taken
//	idle ───────────────► sending ───────────────────► idle
//	                       │   ▲ room
//	           socket full ▼   │
//	                       stuck ──nothing taken for the timeout──► ended
//
// The socket of a viewer on this computer takes many pictures. While its program has
// not read the last ones, it is given no other: it is held, and ended like a stuck one.
//
// Nobody is woken for a picture: whoever publishes it sends it too, within
// Hub.Publish, to as many as publishTime allows. What is left over then, those who
// arrive and those who end are for the fan's own goroutine; sockets that have room
// again are for the one that watches them. Whoever sends holds the turn. The
// publisher takes it when it is free, and never waits for it.
type fan struct {
	srv    *Server
	poller *netsend.Poller

	wake  chan struct{} // room for one: there is work for the fan's goroutine
	mu    sync.Mutex
	keys  uint64             // guarded by mu; numbers sockets, never twice
	came  []*viewer          // guarded by mu; not seen by the sender yet
	fresh map[*feed]struct{} // guarded by mu; renditions that have something new
	over  bool               // guarded by mu

	// All below is guarded by turn.
	turn     sync.Mutex
	now      time.Time // of the last system call, or later
	byKey    map[uint64]*viewer
	main     *lane           // of the pictures as they come
	lanes    map[*feed]*lane // of the renditions
	filler   mjpeg.Filler
	stuck    int         // how many wait for room
	check    *time.Timer // looks after them
	checking bool        // it is running
	lost     []ending    // what is left to be done about those who ended
	holding  bool        // somebody may be held
	inquiry  *netsend.Inquiry
	unread   atomic.Uint64 // pictures that viewers did not get because they were held; for all to read
}

// checkEvery is how often those are looked after who are stuck or held. Chosen: soon for who reads again.
const checkEvery = 100 * time.Millisecond

// publishTime is how long a picture is sent by whoever publishes it. Chosen: an
// eighth of the time between two pictures at 60 per second, so that the next one is
// fetched from the camera before it is due.
const publishTime = 2 * time.Millisecond

// ending is a viewer that is no longer served; err says why, nil that all was sent.
type ending struct {
	viewer *viewer
	err    error
}

// lane is all viewers of one feed.
type lane struct {
	feed  *feed
	parts *parts
	all   []*viewer
}

// job is what a viewer is being sent. Its zero value is nothing.
type job struct {
	key   uint64 // of the socket
	lane  *lane
	index int    // in lane.all
	head  []byte // what goes before the part, or nil
	part  *mjpeg.Encoded
	final bool
	// stored is the part in memory that the kernel shares between viewers.
	stored netsend.Message
	pace   pace // before this picture
	size   int  // of all
	sent   int  // of size
	busy   bool // not all is sent
	stuck  bool // and there is no room
	// refused is set when there was no room for the first byte of a picture. It was
	// given back then: the newest one is sent when there is.
	refused bool
	held    bool      // it has enough to read
	moved   time.Time // when the kernel took something last, or had everything

	array [8][]byte // memory of the pieces
}

// newFan prepares a fan. It fails where the kernel lacks what it takes.
func newFan(s *Server) (*fan, error) {
	poller, err := netsend.NewPoller()
	if err != nil {
		return nil, err
	}
	f := &fan{
		srv: s, poller: poller, byKey: map[uint64]*viewer{}, fresh: map[*feed]struct{}{},
		main: &lane{feed: &s.original, parts: newParts(s.log)}, lanes: map[*feed]*lane{},
		wake: make(chan struct{}, 1), check: time.NewTimer(time.Hour),
	}
	f.check.Stop()
	if f.inquiry, err = netsend.NewInquiry(); err != nil {
		s.log.Info("viewers on this computer may see old pictures after a pause", "err", err)
	}
	return f, nil
}

// take makes v one of the fan's. It reports false when the connection is no
// bare socket; nothing has happened then. The caller may close conn.
func (f *fan) take(v *viewer, conn net.Conn) bool {
	f.mu.Lock()
	f.keys++
	v.job.key = f.keys
	f.mu.Unlock()
	sock, err := f.poller.Adopt(conn, v.job.key)
	if err != nil {
		return false
	}
	v.sock = sock
	sock.Keep(f.srv.limits.Load().ViewerTimeout)
	if !f.srv.viewers.add(v) {
		f.drop(v)
		return true
	}
	f.srv.log.Debug("viewer connected", "viewer", v.id, "address", v.address, "user_agent", v.userAgent)
	f.mu.Lock()
	over := f.over
	if !over {
		f.came = append(f.came, v)
	}
	f.mu.Unlock()
	if over {
		f.drop(v)
		return true
	}
	f.nudge()
	return true
}

// tell says that a feed has something new. It is called by who published that.
func (f *fan) tell(of *feed) {
	if f.turn.TryLock() {
		done := f.serve(of)
		f.turn.Unlock()
		if done {
			return
		}
	}
	if of != &f.srv.original {
		f.mu.Lock()
		f.fresh[of] = struct{}{}
		f.mu.Unlock()
	}
	f.nudge()
}

// serve sends what a feed has, with the turn held, and reports whether the fan's
// goroutine has nothing left to do.
func (f *fan) serve(of *feed) (done bool) {
	l := f.main
	if of != l.feed {
		l = f.lanes[of]
	}
	if l == nil || len(l.all) == 0 {
		return true
	}
	f.now = time.Now()
	return f.round(l, f.now.Add(publishTime)) && len(f.lost) == 0
}

// nudge makes the fan's goroutine look.
func (f *fan) nudge() {
	select {
	case f.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// drop lets go of a viewer.
func (f *fan) drop(v *viewer) {
	v.sock.Close()
	f.srv.unsubscribe(v)
	f.srv.viewers.remove(v)
	f.srv.viewers.release(v.host)
}

// run does what others leave until ctx ends, and then lets go of everybody.
func (f *fan) run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { f.watch(ctx) })
	defer watching.Wait()
	defer func() { _ = f.poller.Close() }() // wakes watch; nothing is to be lost
	defer f.check.Stop()
	defer f.end(ctx)
	defer f.srv.opts.Hub.Follow(func() { f.tell(&f.srv.original) })()

	ended := f.srv.guardEnded()
	for {
		select {
		case <-ended:
			ended = f.srv.guardEnded()
			f.turn.Lock()
			f.now = time.Now()
			f.bar()
		case <-f.wake:
			f.turn.Lock()
			f.now = time.Now()
			f.welcome()
			f.round(f.main, time.Time{})
			f.refresh()
		case <-f.check.C:
			f.turn.Lock()
			f.now = time.Now()
			f.cutStuck()
		case <-ctx.Done():
			return
		}
		lost := f.lost
		f.lost = nil
		f.turn.Unlock()
		f.forget(lost)
	}
}

// watch waits for what happens to the sockets and does what that asks for.
func (f *fan) watch(ctx context.Context) {
	var events []netsend.Event
	for {
		var err error
		if events, err = f.poller.Wait(events[:0]); err != nil {
			if ctx.Err() == nil {
				f.srv.log.Error("viewers are not watched any more", "err", err)
			}
			return
		}
		f.turn.Lock()
		f.now = time.Now()
		for _, e := range events {
			f.handle(e)
		}
		left := len(f.lost) > 0
		f.turn.Unlock()
		if left {
			f.nudge()
		}
	}
}

// end lets go of all viewers, and of those that come too late.
func (f *fan) end(ctx context.Context) {
	f.mu.Lock()
	f.over = true
	came := f.came
	f.came = nil
	f.mu.Unlock()
	for _, v := range came {
		f.drop(v)
	}
	f.turn.Lock()
	f.each(func(v *viewer) { f.lose(v, context.Cause(ctx)) })
	f.main.parts.close()
	f.inquiry.Close()
	lost := f.lost
	f.lost = nil
	f.turn.Unlock()
	f.forget(lost)
}

// forget does for ended viewers what may take a while, such as to log it.
func (f *fan) forget(lost []ending) {
	for _, e := range lost {
		f.srv.viewers.remove(e.viewer)
		f.srv.logEnd(e.viewer, e.err)
		f.srv.unsubscribe(e.viewer)
		f.srv.viewers.release(e.viewer.host)
	}
}

// each calls do for every viewer, which may be lost by that.
func (f *fan) each(do func(*viewer)) {
	backwards := func(all []*viewer) {
		for _, v := range slices.Backward(all) {
			do(v)
		}
	}
	backwards(f.main.all)
	for _, l := range f.lanes { // a map may lose entries meanwhile
		backwards(l.all)
	}
}

// welcome begins to send to those who came.
func (f *fan) welcome() {
	f.mu.Lock()
	came := f.came
	f.came = nil
	f.mu.Unlock()
	for _, v := range came {
		l := f.laneOf(v.feed)
		v.job.lane, v.job.index = l, len(l.all)
		l.all = append(l.all, v)
		f.byKey[v.job.key] = v
		v.job.head, v.head = v.head, nil
		if v.barred() {
			f.barOne(v)
			continue
		}
		f.offer(v)
		if v.job.head != nil && !v.job.busy && f.byKey[v.job.key] == v {
			// The camera may take a while: let the client know that it is right here.
			v.job.size, v.job.busy = len(v.job.head), true
			f.push(v)
		}
	}
}

// laneOf returns the lane of a feed, which is made for its first viewer.
func (f *fan) laneOf(of *feed) *lane {
	if of == f.main.feed {
		return f.main
	}
	l := f.lanes[of]
	if l == nil {
		l = &lane{feed: of, parts: newParts(f.srv.log)}
		f.lanes[of] = l
	}
	return l
}

// refresh serves the viewers of the renditions that have something new.
func (f *fan) refresh() {
	f.mu.Lock()
	var fresh []*lane
	for of := range f.fresh {
		if l := f.lanes[of]; l != nil {
			fresh = append(fresh, l)
		}
	}
	clear(f.fresh)
	f.mu.Unlock()
	for _, l := range fresh {
		f.round(l, time.Time{})
	}
}

// round offers the newest picture to everybody in the lane who is idle, until a
// moment, if that is not zero. It reports whether it came to the end.
func (f *fan) round(l *lane, until time.Time) bool {
	f.ask(l.all...)
	// Backwards: who is lost on the way is replaced by one that was served.
	for _, v := range slices.Backward(l.all) {
		if v.job.busy {
			continue
		}
		if !until.IsZero() && f.now.After(until) {
			return false
		}
		f.give(v)
	}
	return true
}

// goOn sends the rest, and the newest picture, to a viewer whose socket has room again.
func (f *fan) goOn(v *viewer) {
	f.setStuck(v, false)
	if v.job.busy = !v.job.refused; v.job.busy {
		f.push(v)
	}
	if !v.job.busy && f.byKey[v.job.key] == v {
		f.ask(v)
		f.give(v)
	}
}

// handle does what an event asks for.
func (f *fan) handle(e netsend.Event) {
	v := f.byKey[e.Key]
	if v == nil {
		return // lost since
	}
	if e.Readable || e.Gone {
		if err := v.sock.Discard(); err != nil {
			if errors.Is(err, io.EOF) {
				err = errLeft
			}
			f.lose(v, err)
			return
		}
		if e.Gone {
			f.lose(v, errLeft)
			return
		}
	}
	if e.Writable && v.job.busy {
		f.goOn(v)
	}
}
