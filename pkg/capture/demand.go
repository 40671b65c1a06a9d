package capture

import (
	"context"
	"time"

	"github.com/webgear-pi/webgear/pkg/status"
)

// A camera that works on demand sleeps like this: the watch goroutine sees that
// nobody has watched for the linger (restLocked) and ends the session; the
// capture goroutine closes the camera and waits in sleep until somebody comes;
// then it opens the camera as after any failure. Meanwhile viewers see a still
// of the last picture.

// restLocked puts the camera to sleep when it is time, or says how long it is
// until then.
func (s *Supervisor) restLocked(now time.Time) (wait time.Duration) {
	ss := &s.session
	if !s.config().OnDemand || s.st.State != status.Online || !ss.active || ss.ending || s.config().Hub.Watched() {
		return time.Hour // a change wakes the watch goroutine
	}
	idle := s.config().Hub.LastWatched()
	if idle.Before(s.began) {
		idle = s.began
	}
	if left := s.config().Linger - now.Sub(idle); left > 0 {
		return left
	}
	ss.ending = true
	s.endLocked(errAsleep)
	s.st.State, s.st.Cause, s.st.Error, s.st.Since = status.Asleep, nil, "", now
	s.st.Counters.Sleeps++
	s.config().Logger.Info("camera asleep", "linger_seconds", s.config().Linger.Seconds())
	s.changedLocked()
	return time.Hour
}

// sleep waits until somebody wants pictures.
func (s *Supervisor) sleep(ctx context.Context) {
	for {
		demand := s.config().Hub.Demand() // before the look, to miss nothing
		if s.config().Hub.Watched() {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-demand:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = time.Now()
	s.config().Logger.Debug("camera wakes", "asleep_seconds", time.Since(s.st.Since).Round(time.Millisecond).Seconds())
	s.wakeWatch() // somebody is there to show the still to
}

// awakeLocked measures how long a viewer had to wait.
func (s *Supervisor) awakeLocked(now time.Time) {
	if s.woken.IsZero() {
		return
	}
	w := &s.st.Wake
	w.Last = now.Sub(s.woken).Milliseconds()
	w.Max = max(w.Max, w.Last)
	w.Count++
	s.woken = time.Time{}
}
