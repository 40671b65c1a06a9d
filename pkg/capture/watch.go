package capture

import (
	"context"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// watch looks at the clock until ctx ends, and closes the hub then.
func (s *Supervisor) watch(ctx context.Context) {
	cards := newCards(s.config().Draw)
	t := time.NewTimer(0)
	defer t.Stop()
	rings := time.Now()
	demand := s.config().Hub.Demand()
	for {
		s.comesRound()
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
		case <-demand:
		}
		demand = s.config().Hub.Demand() // before the look at who watches, to miss nothing
		for {
			cause, wait := s.due()
			if cause == nil {
				wait = min(wait, watchEvery)
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

// due does what the clock says, and returns the placeholder to show now, or nil
// and how long nothing will be due.
func (s *Supervisor) due() (show *status.Cause, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wait = min(s.noticeSilenceLocked(now), s.restLocked(now), s.askLocked(now))
	if s.over {
		return nil, wait
	}
	shown := now.Sub(s.shownAt)
	var cause status.Cause
	switch s.st.State {
	case status.Offline:
		cause = *s.st.Cause
	case status.Starting:
		if left := startGrace - now.Sub(s.began); left > 0 {
			return nil, min(wait, left)
		}
		cause = status.StartingCause()
	case status.Asleep:
		cause = status.AsleepCause()
		if s.shownCode == cause.Code && s.woken.IsZero() {
			return nil, wait // nobody is there to repeat it for
		}
	case status.Online:
		if shown >= repeatEvery {
			s.repeatLocked(now)
			shown = 0
		}
		return nil, min(wait, repeatEvery-shown)
	}
	if s.shownCode == cause.Code && shown < repeatEvery {
		return nil, min(wait, repeatEvery-shown)
	}
	return &cause, 0
}

// noticeSilenceLocked goes offline when the camera has been silent for too long,
// and has it opened anew after that. It says when to look again.
func (s *Supervisor) noticeSilenceLocked(now time.Time) (wait time.Duration) {
	ss := &s.session
	if !ss.active || ss.ending {
		return time.Hour
	}
	since, limit := ss.lastGood, ss.stallAfter()
	if since.IsZero() {
		since, limit = ss.started, firstFrame
	}
	silent := now.Sub(since)
	limit = max(limit, ss.quiet.Sub(since))
	patience := max(limit-silent, minStall-now.Sub(s.starved))
	// Excuses hold for a while only: an encoder may hang, and a computer may
	// be too busy for ever.
	excused := s.st.State == status.Online && silent < max(limit, firstFrame)
	switch {
	case excused && ss.working > 0:
		return max(patience, maxLate)
	case excused && patience > 0:
		return patience
	case silent < limit:
		return limit - silent
	case silent < max(limit, ss.reopen):
		s.silentLocked(silent)
		return max(limit, ss.reopen) - silent
	case !ss.reopening:
		s.silentLocked(silent)
		ss.reopening = true
		s.endLocked(errReopen)
	}
	return time.Hour
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

// show draws the placeholder and publishes it, unless the state changed
// meanwhile.
func (s *Supervisor) show(c *cards, cause status.Cause) {
	f, err := s.placeholder(c, cause)
	if err != nil {
		s.config().Logger.Error("placeholder not drawn", "cause", cause.Code, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case !s.explainedByLocked(cause):
	case err != nil:
		s.shownAt, s.shownCode = now, cause.Code // not again before repeatEvery
	default:
		s.st.Counters.Placeholders++
		if cause.Code == status.CauseOf(device.ErrEnded).Code {
			s.over, f.PublishedAt = true, now
			s.config().Hub.Close(f)
			return
		}
		s.publishLocked(f, now)
	}
}

// explainedByLocked says whether the cause is still the reason for which there
// is no live picture.
func (s *Supervisor) explainedByLocked(cause status.Cause) bool {
	switch s.st.State {
	case status.Offline:
		return s.st.Cause.Code == cause.Code
	case status.Asleep:
		return cause.Code == status.AsleepCause().Code
	case status.Starting:
		return cause.Code == status.StartingCause().Code
	}
	return false
}

// placeholder draws the picture for a cause: a card, or what was live last when
// the camera is asleep.
func (s *Supervisor) placeholder(c *cards, cause status.Cause) (*device.Frame, error) {
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	if live != nil && s.config().Still != nil && cause.Code == status.AsleepCause().Code {
		data, err := c.stillOf(live, s.config().Still)
		if err == nil {
			// When it was taken tells that it is old, whatever the viewer looks at.
			return &device.Frame{
				Data: data, Width: live.Width, Height: live.Height, DriverSeq: live.DriverSeq,
				CapturedAt: live.CapturedAt, Placeholder: cause.Code,
			}, nil
		}
		s.config().Logger.Debug("last picture cannot be drawn on", "err", err)
	}
	key := s.card(cause)
	data, err := c.draw(key)
	return &device.Frame{Data: data, Width: key.Width, Height: key.Height, CapturedAt: time.Now(), Placeholder: cause.Code}, err
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
		s.config().Hub.Close(nil)
		return
	}
	now := time.Now()
	s.config().Hub.Close(&device.Frame{Data: data, Width: key.Width, Height: key.Height, CapturedAt: now, PublishedAt: now, Placeholder: cause.Code})
}

// changesWhileSynthetic is the channel of device changes while a synthetic
// camera runs and a real one would be better; otherwise nil, so that the
// capture goroutine gets them.
func (s *Supervisor) changesWhileSynthetic() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config().Better != nil && s.session.active && s.st.Info != nil && s.st.Info.Synthetic {
		return s.config().Changes
	}
	return nil
}

// lookForBetter ends the session of a synthetic camera when a real one is there.
func (s *Supervisor) lookForBetter(ctx context.Context) {
	if !s.config().Better(ctx) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session.active {
		s.endLocked(errBetter)
	}
}
