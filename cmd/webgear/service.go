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
	// slack is how long the source was told to wait.
	slack time.Duration
	// explain tells a person why the source cannot be used.
	explain func(*device.OpError) error
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
			s.manager.status(describe(s.gear.Status().Camera))
			s.manager.ready()
			break
		}
	}
	<-ctx.Done()
	s.manager.stopping()
	s.log.Info("stopping")
}

// lookEvery is how often the state of the camera is looked at for the service
// manager.
const lookEvery = time.Second

// report keeps the service manager informed: a line when the state changes, and
// a sign of life while the capture side shows one.
func (s *service) report(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	line, healthy := "", true
	var fed time.Time
	for now := time.Now(); ; {
		c := s.gear.Status().Camera
		if text := describe(c); text != line {
			line = text
			s.manager.status(line)
		}
		is := s.gear.Alive(s.slack)
		if is != healthy {
			s.log.Error("sign of life of the capture side", "healthy", is, "state", c.State)
			healthy = is
		}
		// Four signs of life in the time that the manager waits for one.
		if w := s.manager.watchdog; w > 0 && is && now.Sub(fed) >= w/4-lookEvery/2 {
			s.manager.alive()
			fed = now
		}
		select {
		case <-ctx.Done():
			return
		case now = <-t.C:
		}
	}
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
