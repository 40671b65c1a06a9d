package webgear

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/auth"
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
	// To change some, begin with what DefaultSettings returns.
	Settings

	// Open opens the source: one of the functions below for pictures of your
	// own, or what package device/source makes of "/dev/video0" or "clip.mp4".
	Open Opener
	// Source is what the source is called in /state and on placeholders.
	Source string
	// Want is the format to ask the source for; zero fields leave it the choice.
	Want device.Format
	// Changes, Better and Fatal are explained at capture.Config.
	Changes <-chan struct{}
	Better  func(ctx context.Context) bool
	Fatal   []error

	// Encoders are those that the program found for raw pictures of a camera,
	// best first, usually hardware. They are tried before our own, each with a
	// picture before it is trusted.
	Encoders []device.EncoderMaker
	// SoftwareEncoding leaves those out that are hardware.
	SoftwareEncoding bool
	// Transform turns and mirrors the pictures: "90", "180", "270", "hflip",
	// "vflip", or several with commas. Empty leaves them as they are.
	Transform string
	// DropSame leaves out up to so many pictures in a row that are, byte by byte,
	// the same as the one before; one in a second is always shown.
	DropSame int
	// Linger is how long the source of an OnDemand server runs on after the last
	// viewer left. Then it is closed until somebody comes; viewers, Frames and
	// Want wake it. 0, the default, means that it always runs.
	Linger time.Duration
	// OnDemand says that the source may be closed and opened again without
	// harm: a camera, not a recording that plays on.
	OnDemand bool
	// Controls are values for the controls of the camera, by their IDs, set each
	// time after it was opened. What it does not have is logged.
	Controls map[string]device.ControlValue

	// Subsampling is the resolution of colour in pictures that are encoded here:
	// "4:2:0", the default, which costs the least and is what most cameras make,
	// or "source", which keeps a finer one.
	Subsampling string
	// Limits bound what viewers may take.
	Limits server.Limits

	// Guard decides who may do what; nil lets everybody do everything. Who makes it
	// also runs it: Guard.Run.
	Guard *auth.Guard
	// RedirectHTTPS, if not 0, is the port to which requests for pages are sent that
	// came unencrypted through a listener that others can reach.
	RedirectHTTPS int

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
	// drawn says that the pictures of the current camera were encoded with the
	// settings already. It belongs to the capture goroutine.
	drawn bool

	mu     sync.Mutex
	phase  phase   // guarded by mu
	mounts []mount // guarded by mu until running, then fixed
}

// New checks the options and prepares everything. It opens nothing and writes
// nothing yet.
func New(o Options) (*Gear, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cards, err := placeholder.New()
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	g := &Gear{log: o.Logger, hub: fanout.New(), started: time.Now(), ready: make(chan struct{})}
	c, err := g.captureConfig(&o)
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	g.opt = o
	if err := g.locate(); err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	c.Fatal = append(slices.Clone(o.Fatal), errMisuse)
	c.Hub = g.hub
	c.Draw = func(c capture.Card) ([]byte, error) {
		return cards.Render(c.Width, c.Height, placeholder.Card{Title: c.Cause.Title, Remedy: c.Cause.Remedy, Footer: c.Footer}, 0, c.Sampling)
	}
	c.Still = func(picture []byte, taken time.Time) ([]byte, error) {
		return cards.Still(picture, "Last picture, "+taken.Local().Format(time.TimeOnly)+" — waking the camera", 0)
	}
	c.Logger = o.Logger.With("component", "capture")
	g.sup = capture.New(c)
	g.srv, err = server.New(server.Options{
		Hub:         g.hub,
		Snapshot:    g.snapshot,
		Logger:      o.Logger.With("component", "server"),
		Version:     o.Version,
		VideoPath:   "/" + o.VideoEndpoint,
		Limits:      o.Limits,
		Assets:      o.Assets,
		SkipPages:   o.SkipGenerateWebdata,
		DebugErrors: o.DebugErrors,

		Guard:         o.Guard,
		RedirectHTTPS: o.RedirectHTTPS,
	})
	if err != nil {
		return nil, fmt.Errorf("webgear: %w", err)
	}
	return g, nil
}

// open opens the source. What a program's own opener does wrong must not end the
// program.
func (g *Gear) open(ctx context.Context, o *Options) (cam device.Camera, err error) {
	defer func() {
		if v := recover(); v != nil {
			cam, err = nil, &device.OpError{Op: "open", Path: o.Source, Err: fmt.Errorf("panic: %v%s", v, panicPlace())}
		}
	}()
	cam, err = o.Open(ctx)
	if err == nil && cam == nil {
		err = &device.OpError{Op: "open", Path: o.Source, Kind: errMisuse, Err: errors.New("neither a camera nor an error")}
	}
	if err != nil {
		return nil, err
	}
	own, isCustom := cam.(*customCamera)
	g.drawn = isCustom && own.draws
	if g.drawn {
		own.configure(o.Settings)
	}
	return cam, nil
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
// middleware of your own. What is registered here comes before the routes of the
// server: it may replace them, and middleware sees every request. Fiber allows
// that before Run only; afterwards App logs an error and returns an application
// that nobody serves.
func (g *Gear) App() *fiber.App {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != fresh {
		g.log.Error("routes and middleware registered now have no effect", "remedy", "use App before Run")
		return fiber.New(fiber.Config{DisableStartupMessage: true})
	}
	return g.srv.App()
}

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
