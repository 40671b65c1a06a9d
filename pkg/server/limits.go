package server

import (
	"fmt"
	"time"
)

// Limits bound what viewers may take.
type Limits struct {
	// MaxViewers bounds how many may watch at once, MaxViewersPerAddress how many of
	// them from one address; 0 means no bound. Who is too many gets 503.
	MaxViewers           int
	MaxViewersPerAddress int
	// ViewerTimeout is how long a viewer may take no bytes at all before it is
	// cut off; 0 means 10 s.
	ViewerTimeout time.Duration
}

// complete fills in the defaults, and refuses what makes no sense.
func (l *Limits) complete() error {
	if l.ViewerTimeout == 0 {
		l.ViewerTimeout = 10 * time.Second
	}
	if l.MaxViewers < 0 || l.MaxViewersPerAddress < 0 {
		return fmt.Errorf("http server: limits of %d viewers and %d per address: must not be negative", l.MaxViewers, l.MaxViewersPerAddress)
	}
	if l.ViewerTimeout < 0 {
		return fmt.Errorf("http server: viewer timeout %s: must not be negative", l.ViewerTimeout)
	}
	return nil
}

// SetLimits replaces Options.Limits, at any time. Viewers who are there stay; the
// bounds count for the next ones, the time-out for all.
func (s *Server) SetLimits(l Limits) error {
	if err := l.complete(); err != nil {
		return err
	}
	s.limits.Store(&l)
	return nil
}
