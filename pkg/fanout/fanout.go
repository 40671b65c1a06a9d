// Package fanout hands the newest frame to any number of subscribers.
//
// There is no queue anywhere: a [Hub] holds one frame, the newest, and a
// subscriber that is late finds only that one. What it missed is counted
// exactly, because frames are numbered without gaps. One publisher, many
// subscribers; publishing never waits for anybody.
//
// Publishing costs nothing when nobody waits: whoever waits for a frame first
// makes the channel that wakes all who do, so there is no list of subscribers in
// which one could be forgotten.
//
// Waking somebody takes the processor longer than many a piece of work that is
// done for a frame. Who can do it without ever waiting uses [Hub.Follow] instead,
// and is called by the publisher.
package fanout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/webgear-pi/webgear/device"
)

// ErrClosed is returned by Next once the hub was closed and its final frame was
// delivered.
var ErrClosed = errors.New("stream closed")

// Hub holds the newest frame. Make one with New. All methods may be called from
// any goroutine.
type Hub struct {
	subscribers atomic.Int64
	demand      demand

	mu    sync.Mutex
	frame *device.Frame // guarded by mu; the newest, nil before the first Publish
	final bool          // guarded by mu; no frame will follow
	seq   uint64        // guarded by mu; of the newest, from 1 without gaps
	// changed is closed and forgotten by the next Publish; nil while nobody
	// waits for that. Guarded by mu.
	changed chan struct{}
	// followers is replaced, never changed, so it can be walked without mu.
	// Guarded by mu.
	followers []*follower
}

// follower is one call of Follow.
type follower struct{ call func() }

// New returns a hub without a frame.
func New() *Hub { return &Hub{} }

// Publish makes f the newest frame, wakes every waiting subscriber and calls the
// followers. It sets f.Seq; from here on nobody may write to f or to f.Data. After
// Close it does nothing.
func (h *Hub) Publish(f *device.Frame) { h.replace(f, false) }

// Close ends the stream with a last frame, which may be nil. Subscribers get it
// with final set and ErrClosed after that. Closing again does nothing.
func (h *Hub) Close(last *device.Frame) { h.replace(last, true) }

func (h *Hub) replace(f *device.Frame, final bool) {
	for _, follower := range h.swap(f, final) {
		follower.call()
	}
}

// swap makes f the newest frame and returns who is to be told.
func (h *Hub) swap(f *device.Frame, final bool) []*follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.final {
		return nil
	}
	if f != nil {
		h.seq++
		f.Seq = h.seq
		h.frame = f
	}
	h.final = final
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
	return h.followers
}

// Follow has call called after every Publish and after Close, when the frame is
// there for all to take, by the goroutine that published it. The next picture of
// the camera is not fetched before call returns, so it must not wait for anything,
// and must not take long: what needs longer is for another goroutine. stop ends
// it, and does nothing when called again; a call that is under way goes on.
func (h *Hub) Follow(call func()) (stop func()) {
	f := &follower{call}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.followers = append(slices.Clone(h.followers), f)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.followers = slices.DeleteFunc(slices.Clone(h.followers), func(other *follower) bool { return other == f })
	}
}

// Changed returns a channel that is closed when something newer is published
// than was there at the time of the call, or the hub is closed. To miss nothing,
// call it first and look for the newest frame after that.
func (h *Hub) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waitLocked()
}

func (h *Hub) waitLocked() <-chan struct{} {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

// Latest returns the newest frame, or nil before the first one.
func (h *Hub) Latest() *device.Frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frame
}

// Ended reports whether Close was called: nothing newer than Latest will come.
func (h *Hub) Ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.final
}

// Subscribers returns how many subscriptions are open.
func (h *Hub) Subscribers() int { return int(h.subscribers.Load()) }

// Subscribe starts a subscription. Its first Next returns the newest frame at
// once, if there is one.
func (h *Hub) Subscribe() *Subscriber {
	h.subscribers.Add(1)
	h.demand.add(1)
	return &Subscriber{hub: h}
}

// SubscribeNewer is Subscribe for somebody to whom the newest frame is too old: its
// first Next waits for the one after that, unless that was the last.
func (h *Hub) SubscribeNewer() *Subscriber {
	s := h.Subscribe()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.final {
		s.last = h.seq
	}
	return s
}

// Subscriber is one consumer of a hub. Its methods are for one goroutine,
// except Dropped and Skipped, which any goroutine may call.
type Subscriber struct {
	hub     *Hub
	last    uint64
	before  uint64 // what last was before the last frame was taken
	dropped atomic.Uint64
	skipped atomic.Uint64
	closed  bool
}

// Next waits for a frame newer than the last one it returned, and returns the
// newest there is. final says that the stream ends with this frame. The error is
// the cause of ctx when that ended first, or ErrClosed.
func (s *Subscriber) Next(ctx context.Context) (f *device.Frame, final bool, err error) {
	for {
		s.hub.mu.Lock()
		f, final, err = s.takeLocked()
		var changed <-chan struct{}
		if f == nil && err == nil {
			changed = s.hub.waitLocked()
		}
		s.hub.mu.Unlock()
		if changed == nil {
			return f, final, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// Take is Next without the wait: f is nil when there is nothing newer.
func (s *Subscriber) Take() (f *device.Frame, final bool, err error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.takeLocked()
}

// takeLocked takes the newest frame, with the hub's mutex held.
func (s *Subscriber) takeLocked() (*device.Frame, bool, error) {
	h := s.hub
	if h.frame != nil && h.seq > s.last {
		s.passed()
		return h.frame, h.final, nil
	}
	if h.final {
		return nil, true, ErrClosed
	}
	return nil, false, nil
}

// Skip lets the newest frame go, unless it is the final one: the subscriber
// wants fewer than there are. What was superseded before counts as dropped.
func (s *Subscriber) Skip() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if h := s.hub; h.frame != nil && h.seq > s.last && !h.final {
		s.passed()
		s.skipped.Add(1)
	}
}

// GiveBack says that the frame which Take or Next returned last was of no use, as if
// it had not been taken: next comes that one again, or what is newer by then. It
// may be called once after each.
func (s *Subscriber) GiveBack() {
	s.dropped.Add(-missed(s.before, s.last))
	s.last = s.before
}

// passed notes that the newest frame was dealt with.
func (s *Subscriber) passed() {
	s.before, s.last = s.last, s.hub.seq
	s.dropped.Add(missed(s.before, s.last))
}

// missed is how many frames there were between two. Before the first one, none
// counts.
func missed(last, next uint64) uint64 {
	if last == 0 || next <= last {
		return 0
	}
	return next - last - 1
}

// Dropped returns how many frames were superseded before this subscriber
// could take them. Frames from before its first Next do not count.
func (s *Subscriber) Dropped() uint64 { return s.dropped.Load() }

// Skipped returns how many frames Skip let go.
func (s *Subscriber) Skipped() uint64 { return s.skipped.Load() }

// Close ends the subscription. Closing again does nothing.
func (s *Subscriber) Close() {
	if !s.closed {
		s.closed = true
		s.hub.subscribers.Add(-1)
		s.hub.demand.add(-1)
	}
}
