// Package fanout hands the newest frame to any number of subscribers.
//
// There is no queue anywhere: a [Hub] holds one frame, the newest, and a
// subscriber that is late finds only that one. What it missed is counted
// exactly, because frames are numbered without gaps. One publisher, many
// subscribers; publishing never waits for anybody.
//
// The hub holds a generation: the current frame and a channel that is closed
// when the frame is superseded. A waiting subscriber needs no entry in a list,
// so nobody can be forgotten there.
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

// generation is one state of the hub. It never changes after it was stored,
// but for superseded, which is closed when the next one takes its place.
type generation struct {
	frame      *device.Frame // nil before the first Publish
	final      bool
	superseded chan struct{}
}

// Hub holds the newest frame. Make one with New. All methods may be called from
// any goroutine.
type Hub struct {
	current     atomic.Pointer[generation]
	subscribers atomic.Int64

	mu sync.Mutex // serialises Publish and Close, and guards seq
	// seq numbers the frames, from 1 without gaps.
	seq uint64
}

// New returns a hub without a frame.
func New() *Hub {
	h := &Hub{}
	h.current.Store(&generation{superseded: make(chan struct{})})
	return h
}

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
	old := h.current.Load()
	if old.final {
		return
	}
	if f != nil {
		h.seq++
		f.Seq = h.seq
	} else {
		f = old.frame
	}
	h.current.Store(&generation{frame: f, final: final, superseded: make(chan struct{})})
	close(old.superseded)
}

// Latest returns the newest frame, or nil before the first one.
func (h *Hub) Latest() *device.Frame { return h.current.Load().frame }

// Subscribers returns how many subscriptions are open.
func (h *Hub) Subscribers() int { return int(h.subscribers.Load()) }

// Subscribe starts a subscription. Its first Next returns the newest frame at
// once, if there is one.
func (h *Hub) Subscribe() *Subscriber {
	h.subscribers.Add(1)
	return &Subscriber{hub: h}
}

// Subscriber is one consumer of a hub. Its methods are for one goroutine,
// except Dropped, which any goroutine may call.
type Subscriber struct {
	hub     *Hub
	last    uint64
	dropped atomic.Uint64
	closed  bool
}

// Next waits for a frame newer than the last one it returned, and returns the
// newest there is. final says that the stream ends with this frame. The error is
// the cause of ctx when that ended first, or ErrClosed.
func (s *Subscriber) Next(ctx context.Context) (f *device.Frame, final bool, err error) {
	for {
		g := s.hub.current.Load()
		if g.frame != nil && g.frame.Seq > s.last {
			if s.last > 0 {
				s.dropped.Add(g.frame.Seq - s.last - 1)
			}
			s.last = g.frame.Seq
			return g.frame, g.final, nil
		}
		if g.final {
			return nil, true, ErrClosed
		}
		select {
		case <-g.superseded:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// Dropped returns how many frames were superseded before this subscriber
// could take them. Frames from before its first Next do not count.
func (s *Subscriber) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription. Closing again does nothing.
func (s *Subscriber) Close() {
	if !s.closed {
		s.closed = true
		s.hub.subscribers.Add(-1)
	}
}
