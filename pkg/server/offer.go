package server

import (
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device/netsend"
	"github.com/webgear-pi/webgear/pkg/fanout"
)

// This file is what the fan does for one viewer, with the turn held.

// offer gives the newest picture to a viewer that is idle, if it has not got it.
func (f *fan) offer(v *viewer) {
	now := f.now
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
		v.want(v.nextMoment())
		return
	}
	v.want(never)
	part := f.srv.encoded(v.feed, frame)
	j := &v.job
	j.pace = v.pace
	v.pace.took(now)
	if !j.refused {
		v.took(frame, now)
		j.moved = now
	}
	j.part, j.final, j.sent, j.busy = part, final, 0, true
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
	v.sock.Fit(j.size)
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
			f.now = time.Now()
			if j.refused { // the time since then was not this picture's
				v.took(j.part.Frame, f.now)
			}
			j.moved, j.refused = f.now, false
			v.bytes.Add(uint64(n))
		}
		// A short sendfile may have another reason than a full socket.
		if j.sent < j.size && (n == 0 || !shared) {
			f.setStuck(v, true)
			if j.sent == 0 && j.head == nil && v.ahead == nil { // what is ahead knows the picture already
				v.sub.GiveBack()
				v.pace = j.pace
				j.part, j.size, j.refused = nil, 0, true
			}
			return
		}
	}
	late := j.stuck
	f.setStuck(v, false)
	j.busy, j.head = false, nil
	if j.part == nil { // it was the head alone, or nothing
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
		f.checkLater()
	} else {
		f.stuck--
	}
}

// lose ends a viewer; err says why, nil that all was sent. What is left to be done
// is for the fan's goroutine.
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
	f.lost = append(f.lost, ending{v, err})
}
