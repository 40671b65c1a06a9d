package server

import (
	"context"
	"errors"
	"time"

	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// This file ends viewers whose right to watch has ended: they signed out, or their
// session, token, link or account is no more.

// errBarred is why such a viewer ends.
var errBarred = errors.New("right to watch ended")

// closing ends a stream before a picture. A viewer that waits for one has seen the
// delimiter before it already, so it takes this for one without content.
const closing = "\r\n--" + mjpeg.Boundary + "--\r\n"

// closingTime is how long a viewer that is slow may take for what it is being sent
// when its right ends. Chosen: it is to be gone within a second.
const closingTime = 300 * time.Millisecond

// barred reports whether the viewer's right has ended.
func (v *viewer) barred() bool { return v.watch != nil && v.watch.Ended() }

// canClose reports whether an end may be written between two pictures. A part whose
// length is announced already has to come.
func (v *viewer) canClose() bool { return v.ahead == nil }

// guardEnded is closed when the right of a viewer ends; nil without a guard.
func (s *Server) guardEnded() <-chan struct{} {
	if s.opts.Guard == nil {
		return nil
	}
	return s.opts.Guard.Ended()
}

// bar ends all viewers of the fan whose right has ended, with the turn held.
func (f *fan) bar() {
	f.each(func(v *viewer) {
		if v.barred() {
			f.barOne(v)
		}
	})
}

// barOne ends a viewer, with the turn held.
func (f *fan) barOne(v *viewer) {
	if !v.job.busy && !v.job.refused && v.job.head == nil && v.canClose() {
		_, _ = v.sock.Write([][]byte{[]byte(closing)}) // if it can be sent
	}
	f.lose(v, errBarred)
}

// awaitBar cancels with errBarred, and lets a write that waits fail soon, once v's
// right has ended. It returns when ctx ends, at the latest.
func awaitBar(ctx context.Context, v *viewer, out *output, cancel context.CancelCauseFunc) {
	if v.watch == nil {
		return
	}
	select {
	case <-v.watch.Done():
		cancel(errBarred)
		out.hurry(time.Now().Add(closingTime))
	case <-ctx.Done():
	}
}

// deadline sets the deadline of the next write, or the last one if that is earlier.
func (o *output) deadline(t time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.last.IsZero() && o.last.Before(t) {
		t = o.last
	}
	return o.conn.SetWriteDeadline(t)
}

// hurry bounds all writes, also one that waits already.
func (o *output) hurry(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = t
	_ = o.conn.SetWriteDeadline(t) // an error means that it is closed
}
