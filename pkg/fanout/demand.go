package fanout

import (
	"context"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// demand knows whether anybody wants pictures. Its zero value says nobody does.
type demand struct {
	mu    sync.Mutex
	wants int // guarded by mu
	// left is when wants became 0 last. Guarded by mu.
	left time.Time
	// changed is closed and forgotten when wants becomes 0, or no longer is 0;
	// nil while nobody waits for that. Guarded by mu.
	changed chan struct{}
}

// add counts one more or one less.
func (d *demand) add(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.wants > 0
	d.wants += n
	if d.wants == 0 {
		d.left = time.Now()
	}
	if after := d.wants > 0; after != before && d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// Watched says whether anybody wants pictures: has a subscription, or called
// Want.
func (h *Hub) Watched() bool {
	h.demand.mu.Lock()
	defer h.demand.mu.Unlock()
	return h.demand.wants > 0
}

// LastWatched returns when the last one who wanted pictures left; the zero time
// when nobody ever did. It counts only while Watched is false.
func (h *Hub) LastWatched() time.Time {
	h.demand.mu.Lock()
	defer h.demand.mu.Unlock()
	return h.demand.left
}

// Demand returns a channel that is closed at the next change of Watched. To miss
// nothing, call it first and Watched after that.
func (h *Hub) Demand() <-chan struct{} {
	h.demand.mu.Lock()
	defer h.demand.mu.Unlock()
	if h.demand.changed == nil {
		h.demand.changed = make(chan struct{})
	}
	return h.demand.changed
}

// Want counts as somebody who watches until release is called, which does
// nothing when called again.
func (h *Hub) Want() (release func()) {
	h.demand.add(1)
	return sync.OnceFunc(func() { h.demand.add(-1) })
}

// After returns the first live frame that was captured at t or later, and counts
// as somebody who watches until it is there: a camera that is asleep wakes up.
// The error is the cause of ctx when that ended first, or ErrClosed. Who does not
// want to wait while the camera is away looks at Latest before, or meanwhile.
func (h *Hub) After(ctx context.Context, t time.Time) (*device.Frame, error) {
	sub := h.Subscribe()
	defer sub.Close()
	for {
		f, _, err := sub.Next(ctx)
		if err != nil {
			return nil, err
		}
		if f.Placeholder == "" && !f.CapturedAt.Before(t) {
			return f, nil
		}
	}
}
