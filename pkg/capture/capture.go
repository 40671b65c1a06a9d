// Package capture keeps a camera's pictures flowing into a hub, whatever the
// camera does.
//
// A [Supervisor] opens the camera, checks every picture, publishes it, and
// watches the clock. When the camera is missing, unplugged, silent or sends
// rubbish, viewers get a placeholder that names the cause, at once and then once
// a second, and live pictures again as soon as there are any. It never gives up.
//
// Two goroutines work inside Run. The capture goroutine owns the camera: it
// opens it, waits in Next and publishes. The watch goroutine owns the clock: it
// notices silence, repeats the placeholder and asks the capture goroutine to
// open anew. What they share stands in one struct behind one mutex.
package capture

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/status"
)

// Encoder makes JPEG from raw pictures of one format. The result is new memory,
// never written again.
type Encoder interface {
	Encode(b *device.Buffer) ([]byte, error)
	// Size is that of the results, in pixels.
	Size() (width, height int)
	Name() string
	Close()
}

// Rework makes other JPEG pictures of JPEG pictures, such as smaller ones. The
// result is new memory, or the picture itself.
type Rework interface {
	Rework(picture []byte, width, height int) (out []byte, w, h int, err error)
	Name() string
	Close()
}

// Config is what a Supervisor needs. Open, Hub, NewEncoder, Draw and Logger
// must be set.
type Config struct {
	// Source is what was asked for, shown in the status.
	Source string
	// Want is the format to ask for; zero fields leave the choice to the driver.
	Want device.Format
	// Open opens the camera. It is called again after every failure.
	Open func(ctx context.Context) (device.Camera, error)
	// Changes receives a value when devices came or went; nil when the source
	// cannot tell. It makes the next attempt immediate.
	Changes <-chan struct{}
	// Better is asked after a change while a synthetic camera is shown: true
	// makes the supervisor call Open again. Nil means never.
	Better func(ctx context.Context) bool
	// Fatal lists the kinds of failure (device.ErrBusy, …) that make Run return
	// the error when the very first attempt ends so. Later nothing does.
	Fatal []error
	// Infinite keeps the stream open when a recording is over: viewers see "No
	// Input" once a second. Otherwise they see "The End" and the stream ends.
	Infinite bool
	// Hub receives the frames. Run closes it.
	Hub *fanout.Hub
	// NewEncoder makes the encoder for a raw format.
	NewEncoder func(f device.Format) (Encoder, error)
	// NewRework makes what changes the JPEG pictures of a camera; nil passes
	// them through untouched.
	NewRework func() Rework
	// Draw makes a placeholder picture, as a JPEG.
	Draw func(Card) ([]byte, error)
	// Logger receives state changes.
	Logger *slog.Logger
}

// Times that decide. Chosen so that a viewer knows within half a second that
// something is wrong, and a camera that only hesitates is not slandered.
const (
	// minStall is the shortest silence that counts as a stall. With the time to
	// draw and send a placeholder it stays below half a second.
	minStall = 400 * time.Millisecond
	// minDamaged is the same for a camera that does send, but nothing that can
	// be shown: no doubt that it is there, so there is less to wait for.
	minDamaged = 320 * time.Millisecond
	// stallIntervals: silence also has to last this many of the longest recent
	// frame intervals, for cameras that are slow in the dark and computers that
	// have too much to do.
	stallIntervals = 3
	// maxLate: when the clock itself rings later than this, the computer is
	// starved and the camera gets another chance.
	maxLate = 50 * time.Millisecond
	// maxExpected caps how slow a camera may be before it counts as stalled.
	maxExpected = 3 * time.Second
	// firstFrame is how long a camera may take from Start to its first picture.
	// USB cameras take up to 2 s.
	firstFrame = 5 * time.Second
	// startGrace: a new program shows nothing rather than a placeholder for
	// this long, since most cameras have delivered by then.
	startGrace = 3 * time.Second
	// reopenAfter: a silent camera is closed and opened anew after this long;
	// the time doubles with each attempt that brings nothing, up to maxReopen.
	reopenAfter = 12 * time.Second
	maxReopen   = time.Minute
	// repeatEvery: a placeholder is sent again this often. Clients give up on
	// silent streams after 10 s, and some show a part only when the next comes.
	repeatEvery = time.Second
	// Size of placeholders before any camera told its own.
	defaultWidth, defaultHeight = 1280, 720
	// minRetry and maxRetry bound the pause between attempts to open.
	minRetry = 100 * time.Millisecond
	maxRetry = 2 * time.Second
)

// Causes that end a capture session without the camera having failed.
var (
	errReopen = errors.New("camera is opened anew")
	errBetter = errors.New("a camera appeared")
)

// Supervisor keeps pictures flowing. Make one with New and call Run once.
type Supervisor struct {
	cfg Config
	// wake tells the watch goroutine that its deadlines changed.
	wake chan struct{}
	// opened is closed after the first attempt, farewell after the last frame.
	opened, farewell chan struct{}

	mu sync.Mutex // guards everything below
	st status.Camera
	// width, height and sampling are those of the last live picture, for
	// placeholders.
	width, height int
	sampling      string
	// began is when Run was called, shownAt when a frame of either kind was
	// published last, shownCode which placeholder that was ("" for live).
	began, shownAt time.Time
	shownCode      string
	// starved is when the computer was seen to be too busy last.
	starved time.Time
	// over is set once a recording has ended the stream for good.
	over    bool
	session session
	rates   meter
}

// session is one camera from Start until it is closed.
type session struct {
	active bool
	// cancel ends the session's context.
	cancel context.CancelCauseFunc
	// started is when Start returned, lastGood when the last valid picture came.
	started, lastGood time.Time
	// expected is the granted frame interval, 0 when not known.
	expected time.Duration
	// intervals are the latest gaps between valid pictures.
	intervals [32]time.Duration
	next      int
	// wasSilent says that the latest valid picture ended a silence.
	wasSilent bool
	// working is set while a picture is checked or encoded: then nobody can say
	// that the camera is silent.
	working bool
	// invalid is the error of the latest bad picture since lastGood, or nil.
	invalid error
	// lastSeq is the driver's number of the latest picture, when haveSeq.
	lastSeq uint32
	haveSeq bool
	// reopen is how long the camera may be silent until it is opened anew;
	// reopening that this was asked for.
	reopen    time.Duration
	reopening bool
}

// New returns a supervisor that does nothing until Run.
func New(cfg Config) *Supervisor {
	s := &Supervisor{
		cfg:    cfg,
		wake:   make(chan struct{}, 1),
		opened: make(chan struct{}), farewell: make(chan struct{}),
		width: cfg.Want.Width, height: cfg.Want.Height,
	}
	if s.width == 0 || s.height == 0 {
		s.width, s.height = defaultWidth, defaultHeight
	}
	s.st = status.Camera{Source: cfg.Source, State: status.Starting, Since: time.Now(), Asked: cfg.Want}
	return s
}

// Run captures until ctx ends, then closes the hub with a farewell picture and
// releases the camera. It returns nil then, or the error of the first attempt
// when that is one of Config.Fatal.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.began = time.Now()
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(ctx) })
	err := s.capture(ctx)
	cancel()
	wg.Wait()
	return err
}

// Opened is closed once the first attempt to start the camera is over, well or
// not, unless that made Run return.
func (s *Supervisor) Opened() <-chan struct{} { return s.opened }

// Farewell is closed once the hub was closed with the last picture.
func (s *Supervisor) Farewell() <-chan struct{} { return s.farewell }

// Status returns a copy of what is known about the camera.
func (s *Supervisor) Status() status.Camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.st
	st.FPS = s.rates.fps(time.Now())
	return st
}

// capture opens the camera again and again until ctx ends.
func (s *Supervisor) capture(ctx context.Context) error {
	first := sync.OnceFunc(func() { close(s.opened) })
	retry, reopen := minRetry, reopenAfter
	for attempt := 0; ctx.Err() == nil; attempt++ {
		delivered, err := s.attempt(ctx, attempt == 0, reopen, first)
		if ctx.Err() != nil {
			break // asked to stop; whatever failed did so because of that
		}
		if attempt == 0 && !delivered && s.fatal(err) {
			return err
		}
		first()
		switch {
		case errors.Is(err, device.ErrEnded):
			<-ctx.Done() // there is nothing to come back
			return nil
		case delivered:
			retry, reopen = minRetry, reopenAfter
		case errors.Is(err, errReopen), errors.Is(err, errBetter):
			reopen = min(2*reopen, maxReopen)
		case s.pause(ctx, retry): // a change of the devices
			retry = minRetry
		default:
			retry = min(2*retry, maxRetry)
		}
	}
	return nil //nolint:nilerr // the context ended; errors before that were dealt with
}

// attempt opens the camera and captures until that ends. delivered says whether
// any valid picture came.
func (s *Supervisor) attempt(ctx context.Context, isFirst bool, reopen time.Duration, started func()) (delivered bool, err error) {
	cam, err := s.cfg.Open(ctx)
	if err == nil {
		delivered, err = s.stream(ctx, cam, reopen, started)
	}
	// Tell the viewers first: closing a camera that is gone takes its time.
	if ctx.Err() == nil && (!isFirst || delivered || !s.fatal(err)) {
		s.failed(err)
	}
	if cam != nil {
		if cerr := cam.Close(); cerr != nil && ctx.Err() == nil {
			s.cfg.Logger.Debug("camera not closed cleanly", "path", cam.Info().Path, "err", cerr)
		}
	}
	return delivered, err
}

// fatal says whether a first failure ends Run.
func (s *Supervisor) fatal(err error) bool {
	return slices.ContainsFunc(s.cfg.Fatal, func(kind error) bool { return errors.Is(err, kind) })
}

// pause waits for d or a change of the devices; true when it was a change.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) (changed bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.cfg.Changes:
		return true
	}
	return false
}

// stream captures from one open camera until it fails, is told to stop, or ctx
// ends. delivered says whether any valid picture came.
func (s *Supervisor) stream(ctx context.Context, cam device.Camera, reopen time.Duration, started func()) (delivered bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	granted, err := cam.Start(ctx, s.cfg.Want)
	if err != nil {
		return false, err
	}
	w := &worker{s: s, granted: granted}
	if !granted.FourCC.Compressed() {
		w.enc, err = s.cfg.NewEncoder(granted)
		if err != nil {
			return false, &device.OpError{Op: "encode", Path: cam.Info().Path, Detail: granted.String(), Kind: device.ErrUnsupported, Err: err}
		}
		defer w.enc.Close()
	} else if s.cfg.NewRework != nil {
		w.rework = s.cfg.NewRework()
		defer w.rework.Close()
	}
	s.sessionStarted(cam.Info(), granted, w.encoderName(), reopen, cancel)
	defer s.sessionEnded()
	started()
	for {
		if err := cam.Next(ctx, w.use); err != nil {
			return w.delivered, err
		}
	}
}
