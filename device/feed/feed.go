// Package feed is what drivers that read pictures from a program share: the
// mailbox between the goroutine that reads and the one that takes pictures
// ([Feed]), and the life of a camera, which anybody may end at any time
// ([Life]).
//
// It knows nothing about where pictures come from and starts no goroutine but
// those of [Until], which end with it. Each method says who may call it.
package feed

import (
	"context"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

// maxHeld is how many pictures may be held beside the three that are filled,
// ready and lent. Chosen: as many as encoders can be busy at once; four pictures
// of 1920x1080 have 12 MB.
const maxHeld = 4

// Picture is one picture and its memory, which serves for others after it.
type Picture struct {
	// Buffer is what is lent. The reader fills it in; Stale and Hold are the
	// feed's.
	Buffer device.Buffer

	feed *Feed
	// take and release are hold and giveUp, made once.
	take    func() (release func(), ok bool)
	release func()

	// What follows is guarded by feed.mu.
	lent, held bool
}

// Grow makes Buffer.Data this long and returns it. Its content is not kept.
func (p *Picture) Grow(size int) []byte {
	if cap(p.Buffer.Data) < size {
		p.Buffer.Data = make([]byte, size)
	}
	p.Buffer.Data = p.Buffer.Data[:size]
	return p.Buffer.Data
}

// Feed hands pictures from one goroutine, the reader, to another one, the
// taker. A reader calls Blank, and then Put, PutWait or Drop; at the end it calls
// End. When a reader has returned, another one may go on in its place.
//
// Pictures may be held beyond their loan, also beyond the end: their memory is
// Go's, so nobody has to wait for it.
type Feed struct {
	wake chan struct{} // has a value when there is something new to take
	room chan struct{} // has a value when something was taken
	end  chan struct{} // closed by End

	mu     sync.Mutex
	newest *Picture
	free   []*Picture
	held   int
	ended  bool
	err    error
}

// New gives an empty feed.
func New() *Feed {
	return &Feed{wake: make(chan struct{}, 1), room: make(chan struct{}, 1), end: make(chan struct{})}
}

// Blank gives memory for a picture. It never waits.
func (f *Feed) Blank() *Picture {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.free); n > 0 {
		p := f.free[n-1]
		f.free = f.free[:n-1]
		return p
	}
	// One is ready at most, one lent, maxHeld held: so this ends soon.
	p := &Picture{feed: f}
	p.take, p.release = p.hold, p.giveUp
	return p
}

// Drop gives memory back without a picture in it.
func (f *Feed) Drop(p *Picture) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = append(f.free, p)
}

// Put makes p the newest picture, in place of one that nobody took.
func (f *Feed) Put(p *Picture) {
	p.Buffer.Hold, p.Buffer.Stale = p.take, 0
	f.mu.Lock()
	if old := f.newest; old != nil {
		p.Buffer.Stale = old.Buffer.Stale + 1
		f.free = append(f.free, old)
	}
	f.newest = p
	f.mu.Unlock()
	signal(f.wake)
}

// PutWait is Put for feeds that lose nothing: it waits until the picture before
// was taken. It gives false when quit was closed before.
func (f *Feed) PutWait(p *Picture, quit <-chan struct{}) bool {
	p.Buffer.Hold, p.Buffer.Stale = p.take, 0
	for {
		f.mu.Lock()
		empty := f.newest == nil
		if empty {
			f.newest = p
		}
		f.mu.Unlock()
		if empty {
			signal(f.wake)
			return true
		}
		select {
		case <-f.room:
		case <-quit:
			return false
		}
	}
}

// End ends the feed: after a picture that is ready, Take gives err for ever.
// Only the first end counts. Any goroutine may call it.
func (f *Feed) End(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.ended, f.err = true, err
		close(f.end)
	}
}

// Take waits for a picture, which has to be given back. The error is the cause of
// ctx, that of End, or device.ErrClosed once closed is closed.
func (f *Feed) Take(ctx context.Context, closed <-chan struct{}) (*Picture, error) {
	for {
		if p := f.take(); p != nil {
			return p, nil
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-closed:
			return nil, device.ErrClosed
		case <-f.end:
			if p := f.take(); p != nil { // the last one
				return p, nil
			}
			return nil, f.err
		}
	}
}

func (f *Feed) take() *Picture {
	f.mu.Lock()
	p := f.newest
	if p != nil {
		f.newest, p.lent = nil, true
	}
	f.mu.Unlock()
	if p != nil {
		signal(f.room)
	}
	return p
}

// GiveBack ends the loan of a picture.
func (f *Feed) GiveBack(p *Picture) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.lent = false
	if !p.held {
		f.free = append(f.free, p)
	}
}

// hold is Buffer.Hold.
func (p *Picture) hold() (release func(), ok bool) {
	f := p.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.lent || p.held || f.held >= maxHeld {
		return nil, false
	}
	p.held = true
	f.held++
	return p.release, true
}

// giveUp is the release of a picture that is held. It may come while the picture
// is still lent.
func (p *Picture) giveUp() {
	f := p.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.held {
		return
	}
	p.held = false
	f.held--
	if !p.lent {
		f.free = append(f.free, p)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
