package capture

import (
	"context"
	"maps"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// config is what counts now.
func (s *Supervisor) config() *Config { return s.cfg.Load() }

// Apply replaces the settings while viewers stay. Hub, Draw, Still, Logger, Fatal
// and Cores remain those of New. With reopen the camera is closed and opened
// anew; without, only what does not take that is to differ: OnDemand, Linger and
// Controls. Controls that the present camera refuses are logged. It does not wait
// for the camera, and may be called from any goroutine.
func (s *Supervisor) Apply(cfg Config, reopen bool) {
	old := s.config()
	cfg.Hub, cfg.Draw, cfg.Still, cfg.Logger, cfg.Fatal, cfg.Cores = old.Hub, old.Draw, old.Still, old.Logger, old.Fatal, old.Cores
	cfg.complete()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Store(&cfg)
	for id := range old.Controls {
		delete(s.wanted, id)
	}
	maps.Copy(s.wanted, cfg.Controls)
	clear(s.warned)
	s.st.Source, s.st.Asked, s.st.OnDemand = cfg.Source, cfg.Want, cfg.OnDemand
	s.wakeWatch()
	if !reopen {
		return
	}
	s.encoders = s.encoders.heir(cfg.Encoders, cfg.Quality)
	s.settings++
	if s.session.active {
		s.endLocked(errReopen)
	}
	select {
	case s.applied <- struct{}{}:
	default: // it will be seen anyway
	}
}

// ApplyControls sets the controls of the settings on the camera that is open, as
// after opening it. Without one they are set when there is one.
func (s *Supervisor) ApplyControls(ctx context.Context) {
	s.mu.Lock()
	cam, of := s.camera, s.opens
	s.mu.Unlock()
	if ctl, ok := cam.(device.Controller); ok {
		s.applyControls(ctx, ctl, of)
	}
}

// heir lists other candidates; what failed stays demoted.
func (e *encoders) heir(makers []device.EncoderMaker, quality int) *encoders {
	next := newEncoders(makers, quality, e.log)
	for _, c := range e.snapshot() {
		for i := range next.list {
			if n := &next.list[i]; c.state == status.EncoderDemoted && n.Name == c.Name {
				n.state, n.reason = c.state, c.reason
			}
		}
	}
	return next
}
