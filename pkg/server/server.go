// Package server answers HTTP: the page, the video stream, snapshots, state and
// static files. It is a Fiber application and the only package that knows
// Fiber and fasthttp.
//
// It reads pictures from a [fanout.Hub] and never writes to them; what the
// camera does, and when the stream ends, is decided by whoever owns the hub.
//
// [Server.Run] owns every goroutine: the sender of all viewers with a bare socket
// and the one that watches their connections; three for every other viewer, such
// as over TLS; one for every rendition that is watched; and those of the HTTP
// library. All methods may be called from any
// goroutine.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/web"
)

// Paths beside the configurable one of the stream.
const (
	pathPage     = "/"
	pathSnapshot = "/snapshot"
	pathState    = "/state"
	pathHealth   = "/healthz"
	pathMetrics  = "/metrics"
	pathStatic   = "/static"
)

// Limits of a request. Chosen: a browser's request has 1 to 4 KiB of header,
// cookies of other programs on the same host included, and bodies of ours are
// forms. readTimeout is for all of a request, from the first byte or from when the
// connection was made.
const (
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	readTimeout    = 10 * time.Second
	writeTimeout   = 15 * time.Second
	idleTimeout    = 30 * time.Second
)

// Shutdown takes at most graceTime for those who read, and forceTime more for
// those who had to be cut off; together well below systemd's 90 s and below
// the 2 s a person waits for Ctrl-C.
const (
	graceTime = time.Second
	forceTime = 700 * time.Millisecond
)

// Options say what to serve. Hub is needed, everything else has a default.
type Options struct {
	// Hub is where the pictures come from.
	Hub *fanout.Hub
	// Snapshot returns what is known about the camera; the server adds the
	// viewers. It must be fast and safe for concurrent use.
	Snapshot func() status.Snapshot
	// Logger receives events; nil discards them.
	Logger *slog.Logger
	// Version is shown on the pages.
	Version string
	// VideoPath is where the stream is; "" means "/video".
	VideoPath string
	// Limits bound what viewers may take. SetLimits changes them later.
	Limits
	// Assets holds the folders templates and static; nil means the pages
	// that are built in. It is read again for every request, so changes show
	// at once.
	Assets fs.FS
	// AllowOrigin is the value of Access-Control-Allow-Origin for the stream
	// and the snapshot; "" means "*", which programs such as Mainsail need to
	// read the pictures from a page of their own, "-" means no such header.
	AllowOrigin string
	// Guard decides who may do what, and takes the place of AllowOrigin. nil lets
	// everybody do everything, for programs that see to it themselves. Who makes it
	// also runs it: Guard.Run.
	Guard *auth.Guard
	// RedirectHTTPS, if not 0, is the port to which requests for pages are sent that
	// came unencrypted through a listener that others can reach.
	RedirectHTTPS int
	// MaxRenditions bounds how many different wishes for ?quality= and ?width= are
	// met at the same time; 0 means 4. Who wants one more gets 503.
	MaxRenditions int
	// Rendition prepares what meets such a wish: pictures of a quality of 10 to 90
	// and a width in pixels, of which one may be 0 for no wish. It is never asked
	// for pictures that are wider than the source's. nil means encode.Transcoder.
	Rendition func(quality, width int) (Rendition, error)
	// SkipPages leaves out the page and the static files, and answers every
	// error in JSON.
	SkipPages bool
	// DebugErrors shows the stack of a failed request to the client. For
	// developers on their own computer only.
	DebugErrors bool
}

// Server is one HTTP server. Make it with New.
type Server struct {
	opts      Options
	limits    atomic.Pointer[Limits] // what it points to never changes
	app       *fiber.App
	log       *slog.Logger
	pages     *pages
	startedAt time.Time
	viewers   registry
	snapshots atomic.Uint64
	figures   figures
	// fan sends to the viewers with a bare socket; nil where the kernel has not
	// what it needs. Set by Run.
	fan *fan
	// original is the pictures as they come, renditions are others made of them.
	original   feed
	renditions *renditions
	// conns are the connections that fasthttp holds.
	conns connections
	// ui are the pages of access control, nil without a guard; shown is what they
	// show once.
	ui    *ui
	shown onceShown
	// mounted are the paths of streams of other servers. Fixed before Run.
	mounted map[string]bool
	// Set by Run, before anybody can ask: what the listener is worth, and the
	// context that ends with the server.
	trust   auth.Trust
	gates   gates           // of the listener, nil without
	running context.Context //nolint:containedctx // middleware that comes before Run needs it
}

// New returns a server with o. It fails when o makes no sense.
func New(o Options) (*Server, error) {
	if o.Hub == nil {
		return nil, errors.New("http server: no hub to take pictures from")
	}
	if o.VideoPath == "" {
		o.VideoPath = "/video"
	}
	if err := checkVideoPath(o.VideoPath); err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if o.MaxRenditions < 0 {
		return nil, fmt.Errorf("http server: limit of %d renditions: must not be negative", o.MaxRenditions)
	}
	switch o.AllowOrigin {
	case "":
		o.AllowOrigin = "*"
	case "-":
		o.AllowOrigin = ""
	}
	if o.Guard != nil {
		o.AllowOrigin = ""
		for _, p := range accessPaths {
			if isBelow(o.VideoPath, p) {
				return nil, fmt.Errorf("video path %q: %s has its own meaning", o.VideoPath, p)
			}
		}
	}
	if o.RedirectHTTPS < 0 || o.RedirectHTTPS > 65535 {
		return nil, fmt.Errorf("http server: port %d for HTTPS: use 1 to 65535", o.RedirectHTTPS)
	}
	if strings.ContainsAny(o.AllowOrigin, "\r\n\x00") {
		return nil, fmt.Errorf("http server: allowed origin %q: not a header value", o.AllowOrigin)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Snapshot == nil {
		o.Snapshot = func() status.Snapshot { return status.Snapshot{Camera: status.Camera{State: status.Starting}} }
	}
	if o.Assets == nil {
		o.Assets = web.Data()
	}
	s := &Server{
		opts: o, log: o.Logger, pages: newPages(o.Assets, o.Logger), startedAt: time.Now(), original: feed{hub: o.Hub},
		running: context.Background(),
	}
	if o.Guard != nil {
		var err error
		if s.ui, err = newUI(web.UI()); err != nil {
			return nil, fmt.Errorf("http server: %w", err)
		}
	}
	s.limits.Store(&o.Limits)
	s.renditions = newRenditions(o, func(f *feed) {
		if s.fan != nil {
			s.fan.tell(f)
		}
	})
	s.app = s.newApp()
	return s, nil
}

// SetAssets replaces Options.Assets, before Run.
func (s *Server) SetAssets(assets fs.FS) {
	s.opts.Assets = assets
	s.pages = newPages(assets, s.log)
}

// App returns the Fiber application, for routes, mounts and middleware of the
// caller's own. They go in before Run, which adds those of the server after
// them: what is registered here comes first, and middleware sees every request.
func (s *Server) App() *fiber.App { return s.app }

// checkVideoPath makes sure that the path is a plain one and free.
func checkVideoPath(p string) error {
	if !regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`).MatchString(p) || strings.Contains(p, "/.") {
		return fmt.Errorf("video path %q: write it as /name or /folder/name with letters, digits and . _ ~ -", p)
	}
	for _, taken := range []string{pathSnapshot, pathState, pathHealth, pathMetrics, pathStatic} {
		if p == taken || strings.HasPrefix(p, taken+"/") {
			return fmt.Errorf("video path %q: %s has its own meaning", p, taken)
		}
	}
	return nil
}

// Stream describes the viewers and what is made for them.
func (s *Server) Stream() status.Stream {
	viewers, total := s.viewers.list(time.Now())
	return status.Stream{Viewers: viewers, ViewersTotal: total, Snapshots: s.snapshots.Load(), Renditions: s.renditions.list()}
}

// Run serves ln until ctx ends, and closes it. Then it waits up to a second for
// viewers to receive the final picture, which the owner of the hub sends by
// closing that, and cuts off whoever is left. It is over in less than two
// seconds and returns nil, or what kept it from serving. A Server runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	// Viewers outlive ctx by the grace time.
	viewersCtx, cutViewers := context.WithCancel(context.WithoutCancel(ctx))
	var sending sync.WaitGroup
	defer s.renditions.end()
	defer sending.Wait()
	defer cutViewers() // before the wait: the fan ends with it
	if fan, err := newFan(s); err != nil {
		s.log.Warn("viewers are served by a goroutine each", "err", err)
	} else {
		s.fan = fan
		sending.Go(func() { fan.run(viewersCtx) })
	}
	s.running = ctx
	if t, ok := ln.(interface{ Trust() auth.Trust }); ok {
		s.trust = t.Trust()
	} else {
		s.trust = auth.TrustOf(ln.Addr())
	}
	s.gates, _ = ln.(gates)
	s.addRoutes(ctx, viewersCtx)
	ln = &onceListener{Listener: ln}

	served := make(chan error, 1)
	go func() { served <- s.app.Listener(ln) }()
	s.log.Debug("http server started", "address", ln.Addr().String())

	var err error
	select {
	case <-ctx.Done():
		_ = ln.Close() // its error is that it was closed already
		err = <-served
	case err = <-served:
	}
	if err != nil {
		err = fmt.Errorf("http serve %s: %w", ln.Addr(), err)
	}
	return errors.Join(err, s.shutdown(ctx, cutViewers))
}

// shutdown ends all connections: first kindly, then by force.
func (s *Server) shutdown(ctx context.Context, cutViewers context.CancelFunc) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	requests := make(chan struct{})
	go func() {
		defer close(requests)
		_ = s.app.ShutdownWithContext(ctx) // its error is the timeout, dealt with below
	}()
	viewersLeft := s.viewers.drain()
	select {
	case <-viewersLeft:
	case <-ctx.Done():
	}
	cutViewers()
	s.viewers.cut()
	<-requests

	deadline := time.NewTimer(forceTime)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if s.conns.cut() && viewersLeft == nil {
			return nil
		}
		select {
		case <-viewersLeft:
			viewersLeft = nil
		case <-again.C: // fasthttp may have set a new deadline in between
		case <-deadline.C:
			return errors.New("http shutdown: connections left open")
		}
	}
}

// newApp makes the application without routes.
func (s *Server) newApp() *fiber.App {
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true,
		StrictRouting:         true,
		CaseSensitive:         true,
		ReadBufferSize:        maxHeaderBytes,
		BodyLimit:             maxBodyBytes,
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		IdleTimeout:           idleTimeout,
		ErrorHandler:          s.handleError,
		// A form with files would be written to the disk before anybody was asked.
		DisablePreParseMultipartForm: true,
	})
	app.Server().ConnState = s.conns.track
	app.Server().Handler = s.knownMethods(app.Server().Handler)
	app.Use(s.catchPanics, s.enter)
	return app
}

// addRoutes adds the server's own routes. Requests that wait give up when ctx
// ends; viewers are served until viewersCtx does.
func (s *Server) addRoutes(ctx, viewersCtx context.Context) {
	s.app.Get(s.opts.VideoPath, func(c *fiber.Ctx) error { return s.video(viewersCtx, c) })
	s.app.Get(s.opts.VideoPath+"/", func(c *fiber.Ctx) error {
		return c.Redirect(withQuery(c, s.opts.VideoPath), fiber.StatusTemporaryRedirect)
	})
	s.app.Get(pathSnapshot, func(c *fiber.Ctx) error { return s.snapshot(ctx, c) })
	s.app.Get(pathState, s.state)
	s.app.Get(pathHealth, s.health)
	s.app.Get(pathMetrics, s.metrics)
	s.addAccess()
	s.addAliases(ctx, viewersCtx)
	if !s.opts.SkipPages {
		s.app.Get(pathPage, s.page)
		s.app.Get(pathStatic+"/*", s.static)
	}
}

// addAliases adds the paths under which programs written for ustreamer,
// mjpg-streamer and crowsnest look for the same.
func (s *Server) addAliases(ctx, viewersCtx context.Context) {
	video := func(c *fiber.Ctx) error { return s.video(viewersCtx, c) }
	snapshot := func(c *fiber.Ctx) error { return s.snapshot(ctx, c) }
	for _, p := range []string{"/stream", "/stream.mjpg"} {
		s.app.Get(p, video)
	}
	s.app.Get("/snapshot.jpg", snapshot)
	for _, p := range []string{pathPage, "/webcam", "/webcam/"} {
		s.app.Get(p, func(c *fiber.Ctx) error {
			switch actionOf(c) {
			case "stream":
				return video(c)
			case "snapshot":
				return snapshot(c)
			}
			return c.Next()
		})
	}
}

// withQuery returns path with the query arguments of the request.
func withQuery(c *fiber.Ctx, path string) string {
	if q := c.Context().QueryArgs().QueryString(); len(q) > 0 {
		return path + "?" + string(q)
	}
	return path
}

// onceListener can be closed twice: both Run and fasthttp do it.
type onceListener struct {
	net.Listener
	once sync.Once
	err  error
}

// Close closes the listener the first time it is called.
func (l *onceListener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// connections are those that fasthttp serves, viewers not included.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{} // guarded by mu
	// due are connections of which a viewer is to be made; what to do if none is.
	due map[net.Conn]func() // guarded by mu
}

// expect notes that a viewer is to be made of a connection when the request is done.
// undo is called if fasthttp gives it up before.
func (cs *connections) expect(c net.Conn, undo func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.due == nil {
		cs.due = map[net.Conn]func(){}
	}
	cs.due[c] = undo
}

// arrived notes that it was made.
func (cs *connections) arrived(c net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.due, c)
}

// track is fasthttp's hook for changes of a connection.
func (cs *connections) track(c net.Conn, state fasthttp.ConnState) {
	if undo := cs.note(c, state); undo != nil {
		undo()
	}
}

// note does what track is for, and returns what is to be undone.
func (cs *connections) note(c net.Conn, state fasthttp.ConnState) (undo func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case fasthttp.StateNew:
		if cs.open == nil {
			cs.open = map[net.Conn]struct{}{}
		}
		cs.open[c] = struct{}{}
	case fasthttp.StateHijacked:
		delete(cs.open, c)
	case fasthttp.StateClosed:
		delete(cs.open, c)
		undo = cs.due[c]
		delete(cs.due, c)
	case fasthttp.StateActive, fasthttp.StateIdle:
	}
	return undo
}

// cut lets every read and write of the open connections fail, and reports
// whether there is none. It does not close them: fasthttp takes it for a fatal
// bug of its own when it cannot set a deadline.
func (cs *connections) cut() (none bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		_ = c.SetDeadline(time.Unix(1, 0)) // an error means it is closed
	}
	return len(cs.open) == 0
}
