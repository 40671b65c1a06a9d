package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// Rendition makes other JPEG files of JPEG files: coarser or smaller. It is used
// by one goroutine at a time. [encode.Transcoder] is one.
type Rendition interface {
	// Transcode returns the other file, in memory that it never touches again.
	Transcode(src []byte) ([]byte, error)
	// Close frees what it holds.
	Close()
}

// look is how a rendition differs from the pictures as they come. The zero value
// is no difference.
type look struct {
	quality int // 10 to 90 in steps of 10; 0 leaves it
	width   int // a multiple of 160; 0 leaves it
}

// String is the look as a query.
func (l look) String() string {
	switch {
	case l.width == 0:
		return fmt.Sprintf("quality=%d", l.quality)
	case l.quality == 0:
		return fmt.Sprintf("width=%d", l.width)
	}
	return fmt.Sprintf("quality=%d&width=%d", l.quality, l.width)
}

// rendition is one look at the pictures, shared by all who ask for it. While
// somebody watches it, a goroutine makes the newest picture whenever one of the
// viewers would take it, and publishes it on a hub of its own.
type rendition struct {
	feed
	look
	all    *renditions
	source *fanout.Hub
	poked  chan struct{} // room for one: somebody may want a picture that was passed over

	turn       chan struct{} // room for one: held by who makes a picture
	coder      Rendition     // held by turn; nil until the first picture
	coderWidth int           // held by turn; of coder's pictures, 0 for the source's

	mu      sync.Mutex
	users   int                  // guarded by mu of all
	unused  time.Time            // guarded by mu of all; since when there are none
	viewers map[*viewer]struct{} // guarded by mu
	rest    context.CancelFunc   // guarded by mu; ends the goroutine
	from    *device.Frame        // guarded by mu; what made was made of
	made    *device.Frame        // guarded by mu
	shown   *device.Frame        // guarded by mu; what the hub has
	failing bool                 // guarded by mu; the last one failed

	frames, failed atomic.Uint64
}

// never is the time of a viewer that wants nothing now.
const never = math.MaxInt64

// watch makes v a viewer of r, and wakes r when it is the first.
func (r *rendition) watch(ctx context.Context, v *viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if newest := r.source.Latest(); newest != nil && newest != r.from {
		v.sub = r.hub.SubscribeNewer() // what r has is old
	} else {
		v.sub = r.hub.Subscribe()
	}
	r.viewers[v] = struct{}{}
	if r.rest == nil {
		ctx, r.rest = context.WithCancel(ctx)
		r.all.working.Go(func() { r.run(ctx) })
	}
	r.poke()
}

// leave undoes watch. Without viewers r rests.
func (r *rendition) leave(v *viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.viewers, v)
	if len(r.viewers) == 0 && r.rest != nil {
		r.rest()
		r.rest = nil
	}
}

// poke makes the goroutine look whether it has to do something.
func (r *rendition) poke() {
	select {
	case r.poked <- struct{}{}:
	default: // it will look anyway
	}
}

// want notes from when on v takes pictures of a rendition, in Unix nanoseconds.
func (v *viewer) want(from int64) {
	r := v.feed.rendition
	if r == nil {
		return
	}
	v.wants.Store(from)
	if from == never {
		return
	}
	r.mu.Lock()
	missed := r.from != r.source.Latest()
	r.mu.Unlock()
	if missed { // while nobody wanted it
		r.poke()
	}
}

// wanted reports whether anybody would take a picture now. The last one goes to
// everybody.
func (r *rendition) wanted(now time.Time) bool {
	if r.source.Ended() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for v := range r.viewers {
		if v.wants.Load() <= v.moment(now) {
			return true
		}
	}
	return false
}

// run makes pictures until ctx ends or there will be no more.
func (r *rendition) run(ctx context.Context) {
	sub := r.source.Subscribe() // counts as somebody who watches
	defer sub.Close()
	for {
		changed := r.source.Changed() // before the look, to miss none
		if r.wanted(time.Now()) {
			frame, final, err := sub.Take()
			switch {
			case errors.Is(err, fanout.ErrClosed):
				r.close(nil)
				return
			case frame != nil:
				if made, err := r.make(ctx, frame); err == nil {
					r.show(made, final)
				}
				if final {
					r.close(nil)
					return
				}
				continue // there may be a newer one
			}
		}
		select {
		case <-changed:
		case <-r.poked:
		case <-ctx.Done():
			return
		}
	}
}

// show publishes a picture, unless that was done.
func (r *rendition) show(made *device.Frame, final bool) {
	if final {
		r.close(made)
		return
	}
	r.mu.Lock()
	if r.made == made && r.shown != made {
		r.shown = made
		r.hub.Publish(made)
	}
	r.mu.Unlock()
	r.all.tell(&r.feed)
}

// close ends the feed.
func (r *rendition) close(last *device.Frame) {
	r.mu.Lock()
	if last == r.shown {
		last = nil
	}
	r.shown = last
	r.hub.Close(last)
	r.mu.Unlock()
	r.all.tell(&r.feed)
}

// make returns frame with the look of r. It is made once, however many ask. The
// sequence number is not that of frame.
func (r *rendition) make(ctx context.Context, frame *device.Frame) (*device.Frame, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r.mu.Lock()
	made := r.made
	known := r.from == frame
	same := made != nil && r.from != nil && len(frame.Data) > 0 && len(r.from.Data) == len(frame.Data) && &r.from.Data[0] == &frame.Data[0]
	r.mu.Unlock()
	if known {
		return made, nil
	}
	began := time.Now()
	next := *frame
	if same { // the picture was repeated
		next.Data, next.Width, next.Height = made.Data, made.Width, made.Height
	} else {
		data, err := r.transcode(ctx, frame)
		if err != nil {
			r.report(err)
			return nil, err
		}
		next.Data = data
		if info, err := jpeg.Header(data); err == nil {
			next.Width, next.Height = info.Width, info.Height
		}
		r.report(nil)
		r.all.took.Observe(time.Since(began))
	}
	next.Seq, next.PublishedAt = 0, time.Now()
	r.frames.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from, r.made = frame, &next
	return &next, nil
}

// transcode does the work, with r's turn held. Pictures are never enlarged.
func (r *rendition) transcode(ctx context.Context, frame *device.Frame) ([]byte, error) {
	width := r.width
	if width > 0 {
		has := frame.Width
		if has == 0 {
			info, err := jpeg.Header(frame.Data)
			if err != nil {
				return nil, err
			}
			has = info.Width
		}
		if has <= width {
			width = 0
		}
	}
	if width == 0 && r.quality == 0 {
		return frame.Data, nil
	}
	if r.coder == nil || r.coderWidth != width {
		if r.coder != nil {
			r.coder.Close()
			r.coder = nil
		}
		coder, err := r.all.newCoder(r.quality, width)
		if err != nil {
			return nil, err
		}
		r.coder, r.coderWidth = coder, width
	}
	// All renditions together take a part of the processors only.
	select {
	case r.all.slots <- struct{}{}:
		defer func() { <-r.all.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return r.coder.Transcode(frame.Data)
}

// report counts failures, and logs when they begin.
func (r *rendition) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := err != nil && !r.failing
	r.failing = err != nil
	if err != nil {
		r.failed.Add(1)
	}
	if began {
		r.all.log.Warn("picture could not be made smaller", "rendition", r.String(), "err", err)
	}
}
