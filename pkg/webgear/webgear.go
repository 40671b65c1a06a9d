// Package webgear is a Motion-JPEG server to build into a program of one's own:
// a source of pictures, a web page that shows them, and a stream for any number
// of viewers, who share one capture and one encoding.
//
//	g, err := webgear.New(webgear.Options{Open: webgear.ImageFunc(draw)})
//	if err != nil { … }
//	g.App().Get("/hello", hello)   // routes, mounts and middleware of your own
//	err = g.Run(ctx)               // http://localhost:8000/ until ctx ends
//
// Cameras, files and network streams come from package device/source, or from
// any other [device.Camera]. The command webgear is built on this package.
//
// A [Gear] is made once and runs once. Its methods may be called from any
// goroutine, except App, which is for the time before Run.
package webgear

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/capture"
	"github.com/webgear-pi/webgear/pkg/datafiles"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/placeholder"
	"github.com/webgear-pi/webgear/pkg/server"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/web"
)

// Opener opens the source of the pictures. It is called again after failures.
type Opener func(ctx context.Context) (device.Camera, error)

// Options say what to serve. Open must be set, everything else has a default.
type Options struct {
	// Settings are WebGear's own options; the zero value means DefaultSettings.
	Settings

	// Open opens the source.
	Open Opener
	// Source is what the source is called in /state and on placeholders.
	Source string
	// Want is the format to ask the source for; zero fields leave it the choice.
	Want device.Format
	// Changes, Better and Fatal are explained at capture.Config.
	Changes <-chan struct{}
	Better  func(ctx context.Context) bool
	Fatal   []error

	// Address is where Run listens. Default localhost:8000.
	Address string
	// Home is the folder whose .webgear/webgear holds the data files when
	// Settings.DataLocation is empty. Default: the home of the user.
	Home string
	// Service puts them into /var/lib/webgear instead.
	Service bool
	// Assets are the folders templates and static in place of the data files,
	// which are then neither made nor read.
	Assets fs.FS
	// DebugErrors shows the stack of a failed request to the client. Refused
	// unless the listener is on a loopback address.
	DebugErrors bool
	// Version is shown on the pages.
	Version string
	// Logger receives what happens. Nil means nobody.
	Logger *slog.Logger
}

// Gear is one server with its source. Make it with New.
type Gear struct {
	opt     Options
	log     *slog.Logger
	hub     *fanout.Hub
	sup     *capture.Supervisor
	srv     *server.Server
	dir     datafiles.Dir // of the data files; zero when pages come from elsewhere
	started time.Time
	ready   chan struct{}
}

// New checks the options and prepares everything. It opens nothing and writes
// nothing yet.
func New(o Options) (*Gear, error) {
	if o.Open == nil {
		return nil, errors.New("webgear: no source: set Options.Open, for example to webgear.ImageFunc(f) or with package device/source")
	}
	if o.Settings == (Settings{}) {
		o.Settings = DefaultSettings()
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cards, err := placeholder.New()
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	g := &Gear{opt: o, log: o.Logger, hub: fanout.New(), started: time.Now(), ready: make(chan struct{})}
	if err := g.locate(); err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	g.sup = capture.New(capture.Config{
		Source: o.Source, Want: o.Want, Open: o.Open, Changes: o.Changes, Better: o.Better, Fatal: o.Fatal,
		Infinite:   o.InfiniteFrames,
		Hub:        g.hub,
		NewEncoder: o.newEncoder,
		NewRework:  o.newRework(),
		Draw: func(width, height int, c status.Cause, footer string) ([]byte, error) {
			return cards.Render(width, height, placeholder.Card{Title: c.Title, Remedy: c.Remedy, Footer: footer}, 0)
		},
		Logger: o.Logger.With("component", "capture"),
	})
	g.srv, err = server.New(server.Options{
		Hub:         g.hub,
		Snapshot:    g.snapshot,
		Logger:      o.Logger.With("component", "server"),
		Version:     o.Version,
		VideoPath:   "/" + o.VideoEndpoint,
		Assets:      o.Assets,
		SkipPages:   o.SkipGenerateWebdata,
		DebugErrors: o.DebugErrors,
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// locate finds out where the data files go. Only a place that the user chose can
// be wrong.
func (g *Gear) locate() (err error) {
	switch {
	case g.opt.SkipGenerateWebdata:
		g.log.Warn("pages are switched off, only the stream is served", "key", "skip_generate_webdata")
		return nil
	case g.opt.Assets != nil:
		return nil
	}
	home := g.opt.Home
	if home == "" {
		home, _ = os.UserHomeDir() // Locate says what to do without
	}
	g.dir, err = datafiles.Locate(g.opt.DataLocation, home, g.opt.Service)
	if err != nil && g.opt.DataLocation == "" {
		g.log.Error("data files have no place, the built-in pages are shown", "err", err)
		return nil
	}
	return err
}

// provision makes the data files and has the pages made of them. Data files that
// cannot be made are no reason not to serve: the built-in pages are.
func (g *Gear) provision(ctx context.Context) {
	if g.dir == (datafiles.Dir{}) {
		return
	}
	log := g.log.With("component", "datafiles")
	_, err := datafiles.Provision(ctx, datafiles.Options{Dir: g.dir, Defaults: web.Data(), Overwrite: g.opt.OverwriteDefaultFiles, Logger: log})
	if err == nil {
		var files *datafiles.Files
		if files, err = datafiles.Open(g.dir); err == nil {
			g.srv.SetAssets(files)
			return
		}
	}
	log.Error("data files cannot be used, the built-in pages are shown", "err", err)
}

// App returns the Fiber application, for routes, mounts, static folders and
// middleware of your own. What is registered here, before Run, comes before the
// routes of the server: it may replace them, and middleware sees every request.
func (g *Gear) App() *fiber.App { return g.srv.App() }

// Status says everything there is to know at the moment.
func (g *Gear) Status() status.Snapshot {
	s := g.snapshot()
	s.Stream = g.srv.Stream()
	return s
}

// snapshot is Status without the viewers, whom the server adds.
func (g *Gear) snapshot() status.Snapshot {
	return status.Snapshot{
		Version:       g.opt.Version,
		StartedAt:     g.started,
		UptimeSeconds: time.Since(g.started).Seconds(),
		Goroutines:    runtime.NumGoroutine(),
		Camera:        g.sup.Status(),
	}
}

// Run listens on Options.Address and serves until ctx ends.
func (g *Gear) Run(ctx context.Context) error {
	address := cmp.Or(g.opt.Address, "localhost:8000")
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("webgear: %w", err)
	}
	return g.Serve(ctx, ln)
}

// openWait bounds how long the server waits for the camera before it answers
// anyway. A camera that can be opened has done so by then.
const openWait = 3 * time.Second

// stopWait is how long the parts may take to end, all together: below the two
// seconds that a person waits for Ctrl-C.
const stopWait = 1800 * time.Millisecond

// Ready is closed when requests are answered.
func (g *Gear) Ready() <-chan struct{} { return g.ready }

// Serve serves ln until ctx ends, and closes it. Viewers get a picture that says
// farewell and a clean end; that takes less than two seconds. It returns nil
// then, or what went wrong: an error of the source only when Options.Fatal names
// its kind and it came at the first attempt.
func (g *Gear) Serve(ctx context.Context, ln net.Listener) error {
	defer func() { _ = ln.Close() }() // closed by the server already, unless we fail before
	if g.opt.DebugErrors && !loopback(ln.Addr()) {
		return fmt.Errorf("webgear: tracebacks may be shown on a loopback address only, not on %s", ln.Addr())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	var wg sync.WaitGroup
	captured, served := make(chan error, 1), make(chan error, 1)
	wg.Go(func() { captured <- g.sup.Run(ctx) })
	opening := time.NewTimer(openWait)
	defer opening.Stop()
	select {
	case <-g.sup.Opened():
	case <-opening.C:
	case err := <-captured:
		wg.Wait()
		return err
	}
	g.provision(ctx)
	wg.Go(func() { served <- g.srv.Run(serving, ln) })
	close(g.ready)

	var err error
	select {
	case <-ctx.Done():
	case err = <-served: // the server failed
	case err = <-captured:
	}
	// Capture ends first and says farewell; then the server lets viewers go.
	cancel(err)
	<-g.sup.Farewell()
	stopServing()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	stopping := time.NewTimer(stopWait)
	defer stopping.Stop()
	select {
	case <-done:
		select {
		case serr := <-served:
			err = errors.Join(err, serr)
		default:
		}
		return err
	case <-stopping.C:
		// A driver may be stuck in the kernel; that must not keep us alive.
		return errors.Join(err, errors.New("webgear: the camera did not let go in time"))
	}
}

// loopback says whether only this computer can reach the address.
func loopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
