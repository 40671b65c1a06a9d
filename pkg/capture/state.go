package capture

import (
	"context"
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// sessionStarted notes a camera that began to capture.
func (s *Supervisor) sessionStarted(info device.Info, granted device.Format, w *worker, reopen time.Duration, cancel context.CancelCauseFunc) {
	encoder, hardware := w.encoderName()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session{active: true, cancel: cancel, driven: info.Bus != "", started: time.Now(), reopen: reopen}
	s.duties.opened = 0 // from here on it may wait
	if fps := granted.Rate.Float(); fps > 0 {
		s.session.expected = time.Duration(float64(time.Second) / fps)
	}
	s.st.Counters.Opens++
	s.st.Info, s.st.Granted = &info, &granted
	s.st.Encoder, s.st.EncoderHardware, s.st.EncoderWidth = encoder, hardware, 0
	if s.width, s.height = granted.Width, granted.Height; s.width == 0 || s.height == 0 {
		s.width, s.height = defaultWidth, defaultHeight
	}
	s.config().Logger.Debug("camera opened", "path", info.Path, "name", info.Name, "driver", info.Driver,
		"asked", s.config().Want.String(), "granted", granted.String(), "encoder", encoder)
	s.wakeWatch()
	if s.opening != s.settings {
		s.endLocked(errReopen) // the settings changed while it was being opened
	}
}

// sessionEnded notes that the camera is no longer read from.
func (s *Supervisor) sessionEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.active = false
	if s.session.unask != nil {
		s.session.unask(nil) // frees it
		s.session.unask = nil
	}
}

// widthChanged notes how many pictures are encoded at once.
func (s *Supervisor) widthChanged(width int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.EncoderWidth = width
	if width == 1 {
		s.st.EncoderWidth = 0
	}
	s.config().Logger.Info("pictures encoded at once", "pictures", width, "cores", s.config().Cores)
}

// setCamera notes the camera that is open, or nil, and how many there were.
func (s *Supervisor) setCamera(cam device.Camera) (of uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.camera = cam
	s.opens++
	s.changedLocked()
	return s.opens
}

// changedLocked wakes those who wait for another camera or state.
func (s *Supervisor) changedLocked() {
	if s.change != nil {
		close(s.change)
		s.change = nil
	}
}

// waitLocked gives what the next changedLocked closes.
func (s *Supervisor) waitLocked() <-chan struct{} {
	if s.change == nil {
		s.change = make(chan struct{})
	}
	return s.change
}

// failed notes why the camera could not be opened, or was lost.
func (s *Supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pulled := s.st.Cause != nil && s.st.Cause.Code == status.CauseOf(device.ErrUnplugged).Code
	started := !s.session.started.IsZero()
	s.session = session{}
	switch {
	case errors.Is(err, errReopen), errors.Is(err, errBetter), errors.Is(err, errAsleep):
		return
	case !started:
		s.st.Counters.Failures++
	case !errors.Is(err, device.ErrEnded):
		s.st.Counters.Losses++
	}
	if pulled && errors.Is(err, device.ErrNotFound) {
		return // a camera that was pulled out is still best called unplugged
	}
	s.offlineLocked(err)
}

// offlineLocked records why there is no picture and logs a change of the cause.
func (s *Supervisor) offlineLocked(err error) {
	cause := status.CauseOf(err)
	if s.config().Infinite && errors.Is(err, device.ErrEnded) {
		cause = status.NoInputCause()
	}
	s.st.Error, s.woken = err.Error(), time.Time{}
	if s.st.State == status.Offline && s.st.Cause.Code == cause.Code {
		return
	}
	s.st.State, s.st.Cause, s.st.Since = status.Offline, &cause, time.Now()
	s.config().Logger.Warn("camera offline", "cause", cause.Code, "err", err)
	s.changedLocked()
	s.wakeWatch()
}

// onlineLocked records that live pictures flow and logs when that is news.
func (s *Supervisor) onlineLocked(now time.Time) {
	s.awakeLocked(now)
	if s.st.State == status.Online {
		return
	}
	attrs := []any{"path", s.st.Info.Path, "name", s.st.Info.Name, "granted", s.st.Granted.String(), "encoder", s.st.Encoder}
	if s.st.State == status.Offline {
		attrs = append(attrs, "outage_seconds", now.Sub(s.st.Since).Round(time.Millisecond).Seconds())
	}
	s.config().Logger.Info("camera online", attrs...)
	s.st.State, s.st.Cause, s.st.Error, s.st.Since = status.Online, nil, "", now
	s.changedLocked()
	s.wakeWatch()
}
