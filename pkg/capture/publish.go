package capture

import (
	"bytes"
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

// arrived notes that a picture came and is being dealt with. One call of good,
// bad or left follows.
func (s *Supervisor) arrived(b *device.Buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countGapLocked(b)
	s.session.heard, s.duties.answered = time.Now(), 0
	s.session.working++
	s.worksLocked()
}

// left notes that the session ended before the picture was finished.
func (s *Supervisor) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.working--
	s.worksLocked()
}

// good publishes a live frame.
func (s *Supervisor) good(f *device.Frame, repaired bool, sampling string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	ss := &s.session
	ss.working--
	s.worksLocked()
	if ss.ending {
		return // viewers were told already that the camera is asleep
	}
	ss.measure(now, s.st.State != status.Online)
	s.width, s.height, s.sampling = f.Width, f.Height, sampling
	s.rates.add(now)
	if s.sameLocked(f, now) {
		s.sameRun++
		s.st.Counters.DroppedSame++
		return
	}
	s.sameRun = 0
	if repaired {
		s.st.Counters.Repaired++
	}
	s.st.Counters.Frames++
	s.live = f
	s.publishLocked(f, now)
	s.onlineLocked(now)
}

// measure notes a valid picture. silent says that viewers saw a placeholder.
func (ss *session) measure(now time.Time, silent bool) {
	// A single long silence is a stall and no measure of the camera's pace. One
	// after another they are: this camera is slow. What follows a change of the
	// controls says nothing either.
	gap := now.Sub(ss.lastGood)
	if !ss.lastGood.IsZero() && (!silent || ss.wasSilent) && (gap < minStall || !ss.lastGood.Before(ss.quiet)) {
		ss.intervals[ss.next] = gap
		ss.next = (ss.next + 1) % len(ss.intervals)
	}
	ss.wasSilent = silent
	ss.lastGood, ss.invalid = now, nil
}

// sameLocked says whether a picture need not be shown because it is the same as
// the one before.
func (s *Supervisor) sameLocked(f *device.Frame, now time.Time) bool {
	return s.sameRun < s.config().DropSame && s.st.State == status.Online && s.live != nil && s.shownCode == "" &&
		now.Sub(s.shownAt) < repeatEvery && bytes.Equal(f.Data, s.live.Data)
}

// repeatLocked shows the last live picture again. Nothing about it is new but
// its number: no clock takes it for a sign of life.
func (s *Supervisor) repeatLocked(now time.Time) {
	f := *s.live
	s.st.Counters.Repeated++
	s.publishLocked(&f, now)
}

// bad counts a picture that cannot be shown.
func (s *Supervisor) bad(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session.invalid == nil {
		s.wakeWatch() // there is less to wait for now
	}
	s.session.invalid = err
	s.session.working--
	s.worksLocked()
	c := &s.st.Counters
	switch {
	case errors.Is(err, errFlagged):
		c.InvalidFlagged++
	case errors.Is(err, jpeg.ErrEmpty):
		c.InvalidEmpty++
	case errors.Is(err, jpeg.ErrTruncated):
		c.InvalidTruncated++
	case errors.Is(err, errEncode):
		c.InvalidEncode++
	default:
		c.InvalidGarbage++
	}
}

// countGapLocked accounts for pictures that never reached us.
func (s *Supervisor) countGapLocked(b *device.Buffer) {
	ss := &s.session
	s.st.Counters.DroppedStale += uint64(max(0, b.Stale))
	// The difference of unsigned numbers survives their wrap-around. A step
	// back (a driver that starts over) looks like a huge gap and is not one.
	if gap := b.DriverSeq - ss.lastSeq - 1; ss.haveSeq && gap < 1<<31 && uint64(gap) > uint64(max(0, b.Stale)) {
		s.st.Counters.DroppedByDriver += uint64(gap) - uint64(max(0, b.Stale))
	}
	ss.lastSeq, ss.haveSeq = b.DriverSeq, true
}

// publishLocked gives a frame to the hub.
func (s *Supervisor) publishLocked(f *device.Frame, now time.Time) {
	f.PublishedAt = now
	s.shownAt, s.shownCode = now, f.Placeholder
	s.config().Hub.Publish(f)
}
