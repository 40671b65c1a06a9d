package capture

import (
	"context"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// watch looks at the clock until ctx ends, and closes the hub then.
func (s *Supervisor) watch(ctx context.Context) {
	cards := newCards(s.cfg.Draw)
	t := time.NewTimer(0)
	defer t.Stop()
	rings := time.Now()
	for {
		select {
		case <-ctx.Done():
			s.sayFarewell(cards)
			close(s.farewell)
			return
		case <-s.wake:
		case <-t.C:
			s.noteLate(time.Since(rings))
		case <-s.changesWhileSynthetic():
			s.lookForBetter(ctx)
		}
		for {
			cause, wait := s.due()
			if cause == nil {
				rings = time.Now().Add(wait)
				t.Reset(wait)
				break
			}
			s.show(cards, *cause)
		}
		s.prepare(ctx, cards)
	}
}

// noteLate notes that the clock rang late.
func (s *Supervisor) noteLate(late time.Duration) {
	if late <= maxLate {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starved = time.Now()
}

// wakeWatch makes the watch goroutine look again.
func (s *Supervisor) wakeWatch() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// due notices silence, and returns the placeholder to show now, or nil and how
// long nothing will be due.
func (s *Supervisor) due() (show *status.Cause, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	if ss := &s.session; ss.active {
		since, limit := ss.lastGood, ss.stallAfter()
		if since.IsZero() {
			since, limit = ss.started, firstFrame
		}
		silent := now.Sub(since)
		patience := max(limit-silent, minStall-now.Sub(s.starved))
		// Excuses hold for a while only: an encoder may hang, and a computer may
		// be too busy for ever.
		excused := s.st.State == status.Online && silent < max(limit, firstFrame)
		switch {
		case excused && ss.working:
			wait = max(patience, maxLate)
		case excused && patience > 0:
			wait = patience
		case silent < limit:
			wait = limit - silent
		case silent < max(limit, ss.reopen):
			s.silentLocked(silent)
			wait = max(limit, ss.reopen) - silent
		case !ss.reopening:
			s.silentLocked(silent)
			ss.reopening = true
			ss.cancel(errReopen)
		}
	}
	var cause status.Cause
	switch {
	case s.over:
		return nil, wait
	case s.st.State == status.Offline:
		cause = *s.st.Cause
	case s.st.State == status.Starting && now.Sub(s.began) >= startGrace:
		cause = status.StartingCause()
	case s.st.State == status.Starting:
		return nil, min(wait, startGrace-now.Sub(s.began))
	default:
		return nil, wait
	}
	if shown := now.Sub(s.shownAt); s.shownCode == cause.Code && shown < repeatEvery {
		return nil, min(wait, repeatEvery-shown)
	}
	return &cause, 0
}

// stallAfter is how long this camera may be silent.
func (ss *session) stallAfter() time.Duration {
	longest := ss.expected
	for _, d := range ss.intervals {
		longest = max(longest, d)
	}
	least := minStall
	if ss.invalid != nil {
		least = minDamaged
	}
	return max(least, stallIntervals*min(longest, maxExpected))
}

// silentLocked goes offline because no valid picture came for a while.
func (s *Supervisor) silentLocked(silent time.Duration) {
	err := &device.OpError{Op: "capture", Detail: "for " + silent.Round(10*time.Millisecond).String(), Kind: device.ErrStalled}
	if s.st.Info != nil {
		err.Path = s.st.Info.Path
	}
	if s.session.invalid != nil {
		err.Kind, err.Err = device.ErrDamaged, s.session.invalid
	}
	if s.st.State != status.Offline {
		s.st.Counters.Stalls++
	}
	s.offlineLocked(err)
}

// show draws the placeholder and publishes it, unless the camera came back
// meanwhile.
func (s *Supervisor) show(c *cards, cause status.Cause) {
	key := s.card(cause)
	data, err := c.draw(key)
	if err != nil {
		s.cfg.Logger.Error("placeholder not drawn", "cause", cause.Code, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.st.State == status.Online, s.st.State == status.Offline && s.st.Cause.Code != cause.Code:
	case err != nil:
		s.shownAt, s.shownCode = now, cause.Code // not again before repeatEvery
	default:
		f := &device.Frame{Data: data, Width: key.Width, Height: key.Height, CapturedAt: now, Placeholder: cause.Code}
		s.st.Counters.Placeholders++
		if cause.Code == status.CauseOf(device.ErrEnded).Code {
			s.over, f.PublishedAt = true, now
			s.cfg.Hub.Close(f)
			return
		}
		s.publishLocked(f, now)
	}
}

// prepare draws one card that is likely to be needed, because drawing takes a
// while on a small board. It asks to be called again when there are more.
func (s *Supervisor) prepare(ctx context.Context, c *cards) {
	for _, err := range []error{device.ErrClosed, device.ErrUnplugged, device.ErrStalled, device.ErrDamaged} {
		s.mu.Lock()
		busy := s.st.State == status.Offline
		s.mu.Unlock()
		if key := s.card(status.CauseOf(err)); !c.has(key) && !busy && ctx.Err() == nil {
			_, _ = c.draw(key) // an error shows when the card is needed
			s.wakeWatch()
			return
		}
	}
}

// sayFarewell ends the stream with a picture that says so.
func (s *Supervisor) sayFarewell(c *cards) {
	cause := status.CauseOf(device.ErrClosed)
	key := s.card(cause)
	data, err := c.draw(key)
	if err != nil {
		s.cfg.Hub.Close(nil)
		return
	}
	now := time.Now()
	s.cfg.Hub.Close(&device.Frame{Data: data, Width: key.Width, Height: key.Height, CapturedAt: now, PublishedAt: now, Placeholder: cause.Code})
}

// changesWhileSynthetic is the channel of device changes while a synthetic
// camera runs and a real one would be better; otherwise nil, so that the
// capture goroutine gets them.
func (s *Supervisor) changesWhileSynthetic() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Better != nil && s.session.active && s.st.Info != nil && s.st.Info.Synthetic {
		return s.cfg.Changes
	}
	return nil
}

// lookForBetter ends the session of a synthetic camera when a real one is there.
func (s *Supervisor) lookForBetter(ctx context.Context) {
	if !s.cfg.Better(ctx) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session.active {
		s.session.cancel(errBetter)
	}
}

// card says which card explains the cause at the present picture size.
func (s *Supervisor) card(cause status.Cause) Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	footer := s.cfg.Source
	if i := s.st.Info; i != nil {
		footer = i.Name + " · " + i.Path
	}
	return Card{Cause: cause, Width: s.width, Height: s.height, Sampling: s.sampling, Footer: footer}
}

// Card describes a placeholder picture.
type Card struct {
	Cause status.Cause
	// Width and Height are the size in pixels.
	Width, Height int
	// Sampling is the colour resolution of the live pictures as pkg/jpeg names
	// it, or empty before the first one.
	Sampling string
	// Footer names the camera.
	Footer string
}

// cards keeps the placeholders drawn so far. It belongs to the watch goroutine.
type cards struct {
	paint func(Card) ([]byte, error)
	drawn map[Card][]byte
}

// maxCards bounds the memory: the causes there are, at one size.
const maxCards = 16

func newCards(paint func(Card) ([]byte, error)) *cards {
	return &cards{paint: paint, drawn: map[Card][]byte{}}
}

func (c *cards) has(k Card) bool { return c.drawn[k] != nil }

func (c *cards) draw(k Card) ([]byte, error) {
	if data := c.drawn[k]; data != nil {
		return data, nil
	}
	data, err := c.paint(k)
	if err != nil {
		return nil, err
	}
	if len(c.drawn) >= maxCards {
		clear(c.drawn)
	}
	c.drawn[k] = data
	return data, nil
}
