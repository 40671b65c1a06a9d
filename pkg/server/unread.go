package server

import "time"

// A viewer on this computer may have a megabyte of pictures in its own kernel before
// it reads one of them. It is asked for that, see netsend.Inquiry, and gets no further
// picture while there is more than enough: it is held.

// due reports whether v, which is idle and wants a picture, may have enough to read.
func (f *fan) due(v *viewer) bool {
	return v.sock.MayLag(v.frames.Load()) && (v.job.held || v.pace.ready(f.now))
}

// ask finds out what the viewers have read who are due. Who still is has read too little.
func (f *fan) ask(all ...*viewer) {
	for _, v := range all {
		if !v.job.busy && f.due(v) {
			f.inquiry.Add(v.sock)
		}
	}
	if err := f.inquiry.Ask(); err != nil {
		f.srv.log.Warn("viewers on this computer may see old pictures after a pause", "err", err)
	}
	for _, v := range all {
		j := &v.job
		size := j.size
		if j.refused { // and forgotten
			size = len(v.feed.hub.Latest().Data)
		}
		if !j.busy && f.due(v) && v.sock.Conclude(v.frames.Load(), size) {
			j.moved = f.now
		}
	}
}

// give offers the newest picture to a viewer that is idle, unless it was asked and has
// enough to read. What it misses by that is counted with the next one it gets.
func (f *fan) give(v *viewer) {
	j := &v.job
	if f.due(v) && v.feed.hub.Latest().Seq > v.lag.seq.Load() && !v.feed.hub.Ended() {
		if !j.held {
			j.held, f.holding = true, true
			v.took(v.feed.hub.Latest(), f.now)
			f.checkLater()
		}
		return
	}
	if !j.held {
		f.offer(v)
		return
	}
	j.held = false
	v.lag.taken.Store(0)
	before := v.sub.Dropped()
	f.offer(v)
	f.unread.Add(v.sub.Dropped() - before)
}

// cutStuck ends the viewers that took nothing for the timeout; who is on this computer must
// have read nothing either. Those held who have read enough get the newest picture.
func (f *fan) cutStuck() {
	f.checking = false
	f.holding = false
	timeout := f.srv.limits.Load().ViewerTimeout
	f.each(func(v *viewer) {
		j := &v.job
		if j.held {
			f.ask(v)
			f.give(v)
		}
		if j.stuck && f.inquiry.Progress(v.sock) {
			j.moved = f.now
		}
		if (j.stuck || j.held) && f.now.Sub(j.moved) >= timeout {
			j.busy, j.held = true, false // what it did not read is of no use any more
			f.lose(v, errTimedOut)
		}
		f.holding = f.holding || j.held
	})
	f.checkLater()
}

// checkLater sees to it that viewers that are stuck or held are looked after.
func (f *fan) checkLater() {
	if (f.stuck > 0 || f.holding) && !f.checking {
		f.checking = true
		f.check.Reset(max(10*time.Millisecond, min(checkEvery, f.srv.limits.Load().ViewerTimeout/4)))
	}
}
