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
package fanout

import (
	"context"
	"errors"
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
}

// New returns a hub without a frame.
func New() *Hub { return &Hub{} }

// Publish makes f the newest frame and wakes every waiting subscriber. It sets
// f.Seq; from here on nobody may write to f or to f.Data. After Close it does
// nothing.
func (h *Hub) Publish(f *device.Frame) { h.replace(f, false) }

// Close ends the stream with a last frame, which may be nil. Subscribers get it
// with final set and ErrClosed after that. Closing again does nothing.
func (h *Hub) Close(last *device.Frame) { h.replace(last, true) }

func (h *Hub) replace(f *device.Frame, final bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.final {
		return
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

// passed notes that the newest frame was dealt with.
func (s *Subscriber) passed() {
	if seq := s.hub.seq; s.last > 0 && seq > s.last+1 {
		s.dropped.Add(seq - s.last - 1)
	}
	s.last = s.hub.seq
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
