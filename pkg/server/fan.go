package server

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device/netsend"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// fan sends every new picture to all viewers with a bare socket. One goroutine
// offers it to each that is idle, by one system call that does not wait; a
// viewer whose socket is full is left alone until the kernel says that there is
// room, gets the rest of its picture then, and after that the newest one there is.
//
//	        new picture             last byte taken
//	idle ───────────────► sending ───────────────────► idle
//	                       │   ▲ room
//	           socket full ▼   │
//	                       stuck ──nothing taken for the timeout──► ended
type fan struct {
	srv    *Server
	poller *netsend.Poller
	events chan []netsend.Event // what the poller found
	spent  chan []netsend.Event // its memory, on the way back

	wake  chan struct{} // room for one: somebody arrived, or a rendition has something new
	mu    sync.Mutex
	keys  uint64             // guarded by mu; numbers sockets, never twice
	came  []*viewer          // guarded by mu; not seen by the sender yet
	fresh map[*feed]struct{} // guarded by mu; renditions that have something new
	over  bool               // guarded by mu

	// The sender's own.
	byKey  map[uint64]*viewer
	main   *lane           // of the pictures as they come
	lanes  map[*feed]*lane // of the renditions
	filler mjpeg.Filler
	stuck  int // how many wait for room
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
	size   int  // of all
	sent   int  // of size
	busy   bool // not all is sent
	stuck  bool // and there is no room
	moved  time.Time

	array [8][]byte // memory of the pieces
}

// newFan prepares a fan. It fails where the kernel lacks what it takes.
func newFan(s *Server) (*fan, error) {
	poller, err := netsend.NewPoller()
	if err != nil {
		return nil, err
	}
	return &fan{
		srv: s, poller: poller, byKey: map[uint64]*viewer{}, fresh: map[*feed]struct{}{},
		main: &lane{feed: &s.original, parts: newParts(s.log)}, lanes: map[*feed]*lane{},
		events: make(chan []netsend.Event), spent: make(chan []netsend.Event, 1), wake: make(chan struct{}, 1),
	}, nil
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

// tell says that a rendition has something new.
func (f *fan) tell(of *feed) {
	f.mu.Lock()
	f.fresh[of] = struct{}{}
	f.mu.Unlock()
	f.nudge()
}

// nudge makes the sender look.
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

// run sends until ctx ends, and then lets go of everybody.
func (f *fan) run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { f.watch(ctx) })
	defer watching.Wait()
	defer func() { _ = f.poller.Close() }() // wakes watch; nothing is to be lost
	defer f.main.parts.close()
	defer f.end(ctx)

	// Looks after viewers that are stuck, while there are any.
	check := time.NewTimer(0)
	defer check.Stop()
	checking := false
	every := max(10*time.Millisecond, min(time.Second, f.srv.limits.Load().ViewerTimeout/4))
	var changed <-chan struct{}
	for {
		if len(f.main.all) == 0 {
			changed = nil // nobody to send to: pictures need not wake us
		}
		if f.stuck > 0 && !checking {
			check.Reset(every)
			checking = true
		}
		select {
		case <-changed:
			changed = f.srv.opts.Hub.Changed() // before the look, to miss none
			f.round(f.main)
		case <-f.wake:
			if changed == nil {
				changed = f.srv.opts.Hub.Changed()
			}
			f.welcome()
			f.refresh()
		case events := <-f.events:
			for _, e := range events {
				f.handle(e)
			}
			f.spent <- events
		case <-check.C:
			checking = false
			f.cutStuck(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// watch waits for what happens to the sockets and passes it on.
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
		select {
		case f.events <- events:
			select {
			case events = <-f.spent:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
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
	f.each(func(v *viewer) { f.lose(v, context.Cause(ctx)) })
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
		f.round(l)
	}
}

// round offers the newest picture to everybody in the lane who is idle.
func (f *fan) round(l *lane) {
	// Backwards: who is lost on the way is replaced by one that was served.
	for _, v := range slices.Backward(l.all) {
		if !v.job.busy {
			f.offer(v)
		}
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
		f.push(v)
	}
}

// cutStuck ends the viewers that took nothing for the timeout.
func (f *fan) cutStuck(now time.Time) {
	f.each(func(v *viewer) {
		if v.job.stuck && now.Sub(v.job.moved) >= f.srv.limits.Load().ViewerTimeout {
			f.lose(v, errTimedOut)
		}
	})
}

// offer gives the newest picture to a viewer that is idle, if it has not got it.
func (f *fan) offer(v *viewer) {
	now := time.Now()
	if !v.pace.ready(now) {
		v.sub.Skip()
	}
	frame, final, err := v.sub.Take()
	if err != nil {
		if errors.Is(err, fanout.ErrClosed) {
			err = nil
		}
		f.lose(v, err)
		return
	}
	if frame == nil {
		v.want(v.pace.next())
		return
	}
	v.want(never)
	v.pace.took(now)
	v.took(frame, now)
	part := f.srv.encoded(v.feed, frame)
	j := &v.job
	j.part, j.final, j.sent, j.busy, j.moved = part, final, 0, true, now
	j.stored = netsend.Message{}
	if v.ahead != nil {
		v.ahead.Filler = &f.filler
		v.ahead.Take(part, final)
	} else if j.head == nil && !final && !v.advance {
		j.stored = j.lane.parts.stored(part, len(j.lane.all))
	}
	j.size = 0
	for _, p := range v.pieces() {
		j.size += len(p)
	}
	v.sock.Fit(j.size / 2) // Fit makes room for two of what it is told
	f.push(v)
}

// pieces returns all that v is being sent, in memory of its own.
func (v *viewer) pieces() [][]byte {
	pieces := v.job.array[:0]
	if v.job.head != nil {
		pieces = append(pieces, v.job.head)
	}
	if v.job.part != nil {
		pieces = v.appendPart(pieces, v.job.part, v.job.final)
	}
	return pieces
}

// push sends as much of v's picture as its socket has room for. When that was
// all, and a newer one is there already, it goes on with that.
func (f *fan) push(v *viewer) {
	j := &v.job
	for j.sent < j.size {
		n, shared, err := j.lane.parts.send(v)
		if err != nil {
			f.lose(v, err)
			return
		}
		if n > 0 {
			j.sent += n
			j.moved = time.Now()
			v.bytes.Add(uint64(n))
		}
		// A short sendfile may have another reason than a full socket.
		if j.sent < j.size && (n == 0 || !shared) {
			f.setStuck(v, true)
			return
		}
	}
	late := j.stuck
	f.setStuck(v, false)
	j.busy, j.head = false, nil
	if j.part == nil { // it was the head alone
		f.offer(v)
		return
	}
	part, final := j.part, j.final
	j.part = nil
	f.srv.delivered(v, part.Frame, j.moved)
	switch {
	case final:
		f.lose(v, nil)
	case late, v.feed.rendition != nil:
		f.offer(v) // for a rendition it says, at least, that v wants the next one
	}
}

// setStuck notes whether v waits for room.
func (f *fan) setStuck(v *viewer, stuck bool) {
	if v.job.stuck == stuck {
		return
	}
	v.job.stuck = stuck
	if stuck {
		f.stuck++
	} else {
		f.stuck--
	}
}

// lose ends a viewer; err says why, nil that all was sent.
func (f *fan) lose(v *viewer, err error) {
	f.setStuck(v, false)
	l := v.job.lane
	last := len(l.all) - 1
	l.all[v.job.index] = l.all[last]
	l.all[v.job.index].job.index = v.job.index
	l.all[last] = nil
	l.all = l.all[:last]
	if last == 0 && l != f.main {
		l.parts.close()
		delete(f.lanes, l.feed)
	}
	delete(f.byKey, v.job.key)
	if v.job.busy {
		// What is still in the kernel would be sent again for minutes, and the
		// picture is incomplete anyway.
		v.sock.Reset()
	} else {
		v.sock.Close()
	}
	f.srv.viewers.remove(v)
	f.srv.logEnd(v, err)
	f.srv.unsubscribe(v)
	f.srv.viewers.release(v.host)
}
