package capture

import (
	"context"
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// sessionStarted notes a camera that began to capture.
func (s *Supervisor) sessionStarted(info device.Info, granted device.Format, encoder string, reopen time.Duration, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session{active: true, cancel: cancel, started: time.Now(), reopen: reopen}
	if fps := granted.Rate.Float(); fps > 0 {
		s.session.expected = time.Duration(float64(time.Second) / fps)
	}
	s.st.Counters.Opens++
	s.st.Info, s.st.Granted, s.st.Encoder = &info, &granted, encoder
	if s.width, s.height = granted.Width, granted.Height; s.width == 0 || s.height == 0 {
		s.width, s.height = defaultWidth, defaultHeight
	}
	s.cfg.Logger.Debug("camera opened", "path", info.Path, "name", info.Name, "driver", info.Driver,
		"asked", s.cfg.Want.String(), "granted", granted.String(), "encoder", encoder)
	s.wakeWatch()
}

// sessionEnded notes that the camera is no longer read from.
func (s *Supervisor) sessionEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.active = false
}

// failed notes why the camera could not be opened, or was lost.
func (s *Supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pulled := s.st.Cause != nil && s.st.Cause.Code == status.CauseOf(device.ErrUnplugged).Code
	started := !s.session.started.IsZero()
	s.session = session{}
	switch {
	case errors.Is(err, errReopen), errors.Is(err, errBetter):
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
	if s.cfg.Infinite && errors.Is(err, device.ErrEnded) {
		cause = status.NoInputCause()
	}
	s.st.Error = err.Error()
	if s.st.State == status.Offline && s.st.Cause.Code == cause.Code {
		return
	}
	s.st.State, s.st.Cause, s.st.Since = status.Offline, &cause, time.Now()
	s.cfg.Logger.Warn("camera offline", "cause", cause.Code, "err", err)
	s.wakeWatch()
}

// onlineLocked records that live pictures flow and logs when that is news.
func (s *Supervisor) onlineLocked(now time.Time) {
	if s.st.State == status.Online {
		return
	}
	attrs := []any{"path", s.st.Info.Path, "name", s.st.Info.Name, "granted", s.st.Granted.String(), "encoder", s.st.Encoder}
	if s.st.State == status.Offline {
		attrs = append(attrs, "outage_seconds", now.Sub(s.st.Since).Round(time.Millisecond).Seconds())
	}
	s.cfg.Logger.Info("camera online", attrs...)
	s.st.State, s.st.Cause, s.st.Error, s.st.Since = status.Online, nil, "", now
	s.wakeWatch()
}
