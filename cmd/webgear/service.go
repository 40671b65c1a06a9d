package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// service is a running server with everything around it.
type service struct {
	gear     *webgear.Gear
	src      *source.Source
	devices  *v4l2.Watcher
	manager  *manager
	reloader *reloader
	// control is where webgear reload is heard, hangups receives SIGHUP; both may
	// be nil.
	control net.Listener
	hangups <-chan os.Signal
	log     *slog.Logger
	// slack is how long the source was told to wait when the program began.
	slack time.Duration
	// explain tells a person why the source cannot be used.
	explain func(*device.OpError) error

	mu   sync.Mutex
	line string // guarded by mu, held while it is sent; what the manager was told last
}

// serve serves ln until ctx ends.
func (s *service) serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { // whatever the source: a reload may make it a camera
		if err := s.devices.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("device changes are not seen, cameras are looked for every 2 s instead", "err", err)
		}
	})
	wg.Go(func() { s.announce(ctx, ln.Addr()) })
	if s.manager != nil {
		wg.Go(func() { s.report(ctx) })
	}
	if s.control != nil {
		wg.Go(func() { s.reloader.serveControl(ctx, s.control) })
	}
	wg.Go(func() { s.hearHangups(ctx) })
	wg.Go(func() { s.tidy(ctx) })
	err := s.gear.Serve(ctx, ln)
	if oe, ok := errors.AsType[*device.OpError](err); ok {
		return s.explain(oe)
	}
	return err
}

// announce says when the server serves, and when it is about to end. The service
// manager is told once a picture or a placeholder is there to be seen.
func (s *service) announce(ctx context.Context, a net.Addr) {
	select {
	case <-s.gear.Ready():
	case <-ctx.Done():
		return
	}
	s.log.Info("serving", "url", url(a), "version", buildVersion())
	if s.manager != nil {
		for range s.gear.Frames(ctx) {
			s.tell()
			s.manager.ready()
			break
		}
	}
	<-ctx.Done()
	s.manager.stopping()
	s.log.Info("stopping")
}

// lookEvery is how often the state of the camera is looked at for the service
// manager. Chosen: what hangs is seen soon, and it costs next to nothing.
const lookEvery = 500 * time.Millisecond

// report keeps the service manager informed: a line when the state changes, and
// a sign of life while the capture side shows one. When it shows none, the manager
// is asked to start the program anew.
func (s *service) report(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	dog := watchdog{period: s.manager.watchdog}
	patience := patience{slack: s.slack}
	for now := time.Now(); ; {
		c := s.tell()
		hung := dog.hung
		sign := dog.look(now, s.gear.Alive(patience.at(now, s.reloader.slack)))
		if dog.hung != hung {
			s.log.Error("sign of life of the capture side", "healthy", hung, "state", c.State, "restart_asked_for", sign == signHelp)
		}
		switch sign {
		case signNone:
		case signAlive:
			s.manager.alive()
		case signHelp:
			s.manager.notify(noteTrigger)
		}
		select {
		case <-ctx.Done():
			return
		case now = <-t.C:
		}
	}
}

// tell sends the manager a line about the camera, unless it has it. The lock keeps
// an older one from being the last.
func (s *service) tell() status.Camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.gear.Status().Camera
	if text := describe(c); text != s.line {
		s.line = text
		s.manager.status(text)
	}
	return c
}

// noteTrigger tells the manager to act as if it had not heard from us for too long
// (systemd 243), which ends the program with a list of what hangs where.
const noteTrigger = "WATCHDOG=trigger"

// sign is what the manager's watchdog is told.
type sign uint8

const (
	signNone sign = iota
	signAlive
	signHelp // from somebody who cannot help himself
)

// watchdog decides about that.
type watchdog struct {
	// period is how often it wants to hear from us, 0 for never.
	period time.Duration
	fed    time.Time
	hung   bool
}

// look says what to tell it now.
func (d *watchdog) look(now time.Time, alive bool) sign {
	first := !alive && !d.hung
	d.hung = !alive
	switch {
	case d.period <= 0: // nobody wants to know, so nobody wants a restart
	case first:
		return signHelp
	case alive && now.Sub(d.fed) >= d.period/4-lookEvery/2: // four signs of life in the time for one
		d.fed = now
		return signAlive
	}
	return signNone
}

// patience is how long the settings tell the source to wait. They can be
// reloaded.
type patience struct {
	slack time.Duration
	// less is since when the settings say less.
	less time.Time
}

// openingTime is more than a source may take to open that is not told to wait.
const openingTime = 2 * time.Minute

// at gives the slack that counts now. What is longer counts at once, what is
// shorter once an opening that began before is over.
func (p *patience) at(now time.Time, settings func() (time.Duration, bool)) time.Duration {
	switch slack, known := settings(); {
	case !known:
	case slack >= p.slack:
		p.slack, p.less = slack, time.Time{}
	case p.less.IsZero():
		p.less = now
	case now.Sub(p.less) > p.slack+openingTime:
		p.slack, p.less = slack, time.Time{}
	}
	return p.slack
}

// slack is that of the settings in force; known is false while they are being
// reloaded.
func (r *reloader) slack() (d time.Duration, known bool) {
	if !r.mu.TryLock() {
		return 0, false
	}
	defer r.mu.Unlock()
	return slack(r.running), true
}

// hearHangups reloads the settings at each SIGHUP.
func (s *service) hearHangups(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
			s.reloader.reload(ctx)
		}
	}
}

// slack is how long the settings tell the source to wait.
func slack(c config.Config) time.Duration {
	seconds := c.Camera.TimeDelay
	switch n := c.Options["THREAD_TIMEOUT"].(type) {
	case uint64:
		seconds += float64(n)
	case float64:
		seconds += max(n, 0)
	}
	return time.Duration(min(seconds, maxSlack.Seconds()) * float64(time.Second))
}

// maxSlack bounds that: beyond, a program that hangs has to be noticed.
const maxSlack = 2 * time.Hour
