package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrEnded is why something that was allowed is cut off: the session, token,
// account or link behind it ended.
var ErrEnded = errors.New("the right to watch has ended")

// useInterval is how often the use of a token is stored. Chosen: memory cards
// wear out by writing.
const useInterval = 24 * time.Hour

// Watch is something that runs for somebody, such as a stream.
type Watch struct {
	guard *Guard
	who   Principal
	// until is when a session ends, since boot: the time of day may be set
	// meanwhile. 0 means not.
	until time.Duration
	over  atomic.Bool
	done  chan struct{}
}

// Watch begins to look after something that runs for p. It has to be released.
// [Guard.Run] is who looks.
func (g *Guard) Watch(p Principal) *Watch {
	w := &Watch{guard: g, who: p, done: make(chan struct{})}
	if p.Kind == KindSession {
		w.until = g.store.sys.SinceBoot() + p.until.Sub(g.store.sys.Now())
	}
	g.mu.Lock()
	g.watches[w] = struct{}{}
	g.mu.Unlock()
	g.look(w) // it may have ended since it was checked
	select {
	case g.first <- struct{}{}:
	default: // it will look anyway
	}
	return w
}

// Done is closed when the right ends.
func (w *Watch) Done() <-chan struct{} { return w.done }

// Ended reports whether the right has ended.
func (w *Watch) Ended() bool { return w.over.Load() }

// Release ends the watch; later calls do nothing.
func (w *Watch) Release() {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	delete(w.guard.watches, w)
}

// Ended gives a channel that is closed when the next watch ends, for those who
// look after many: take the channel first, then look at [Watch.Ended] of all.
func (g *Guard) Ended() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// Run looks after watches and stores when tokens were used, until ctx ends. It
// returns nil.
func (g *Guard) Run(ctx context.Context) error {
	if len(g.store.preset) > 0 {
		if err := g.store.Keep(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("sessions will end with the program", "err", err)
		}
	}
	var noting sync.WaitGroup
	defer noting.Wait()
	noting.Go(func() { g.noteUses(ctx) })

	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		_, changed := g.store.watch()
		var due <-chan time.Time
		if g.sweep() > 0 {
			due = tick.C
		}
		select {
		case <-due:
		case <-changed:
		case <-g.first:
		case <-ctx.Done():
			return nil
		}
	}
}

// sweep ends the watches whose right has ended, and counts the rest.
func (g *Guard) sweep() int {
	g.mu.Lock()
	all := make([]*Watch, 0, len(g.watches))
	for w := range g.watches {
		all = append(all, w)
	}
	g.mu.Unlock()
	left := 0
	for _, w := range all {
		if !g.look(w) {
			left++
		}
	}
	return left
}

// look ends a watch if its right has ended.
func (g *Guard) look(w *Watch) (over bool) {
	c, _ := g.store.watch() // nil lets nobody in
	if g.holds(c, w) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.watches, w)
	if w.over.CompareAndSwap(false, true) {
		close(w.done)
		close(g.ended)
		g.ended = make(chan struct{})
	}
	return true
}

// holds reports whether the right behind a watch still is one.
func (g *Guard) holds(c *contents, w *Watch) bool {
	p := &w.who
	if p.Kind == KindOpen {
		return true
	}
	if c == nil {
		return false
	}
	switch p.Kind {
	case KindSession:
		a := c.account(p.Name)
		return a != nil && c.markOf(a) == p.mark && !g.isOut(c, p.id) && g.store.sys.SinceBoot() < w.until
	case KindBasic:
		a := c.account(p.Name)
		return a != nil && c.markOf(a) == p.mark
	case KindToken:
		for _, t := range c.Tokens {
			if t.ID == p.id {
				return c.markOfToken(t) == p.mark
			}
		}
	case KindLink:
		return c.markOfLinks() == p.mark && g.store.sys.Now().Before(p.until)
	case KindNone, KindOpen:
	}
	return false
}

// noteUse remembers that a token was used, if the file does not say so yet.
func (g *Guard) noteUse(t *token) {
	now := g.store.sys.Now()
	if now.Sub(t.UsedAt) < useInterval && !now.Before(t.UsedAt) {
		return
	}
	g.mu.Lock()
	_, noted := g.used[t.ID]
	if !noted {
		g.used[t.ID] = now
	}
	g.mu.Unlock()
	if noted {
		return
	}
	select {
	case g.noting <- struct{}{}:
	default: // it will look anyway
	}
}

// noteUses stores when tokens were used, until ctx ends.
func (g *Guard) noteUses(ctx context.Context) {
	for {
		select {
		case <-g.noting:
		case <-ctx.Done():
			return
		}
		g.mu.Lock()
		used := g.used
		g.used = map[string]time.Time{}
		g.mu.Unlock()
		if err := g.store.noteUses(ctx, used); err != nil {
			g.log.Debug("use of tokens could not be stored", "err", err)
			// Not before the next interval: the disk may be full for long.
			rest := time.NewTimer(time.Minute)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
		}
	}
}
