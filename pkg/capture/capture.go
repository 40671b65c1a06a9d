// Package capture keeps a camera's pictures flowing into a hub, whatever the
// camera does.
//
// A [Supervisor] opens the camera, checks every picture, publishes it, and
// watches the clock. When the camera is missing, unplugged, silent or sends
// rubbish, viewers get a placeholder that names the cause, at once and then once
// a second, and live pictures again as soon as there are any. It never gives up.
// On demand it lets the camera sleep while nobody watches.
//
// Raw pictures are encoded by the first of several encoders that proves to work;
// one that fails is replaced while viewers watch.
//
// Three goroutines work inside Run. The capture goroutine owns the camera: it
// opens it, waits in Next and publishes. The watch goroutine owns the clock: it
// notices silence, repeats pictures, puts the camera to sleep and asks the
// capture goroutine to open anew. A third one measures whether the computer has
// time for the others. What they share stands in one struct behind one mutex.
// While a camera is open there may be more, which end before it is closed: one
// that follows its controls, and those of encode.Parallel, which publish instead
// of the capture goroutine when one core is too slow.
package capture

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/status"
)

// Rework makes other JPEG pictures of JPEG pictures, such as smaller ones. The
// result is new memory, or the picture itself.
type Rework interface {
	Rework(picture []byte, width, height int) (out []byte, w, h int, err error)
	Name() string
	Close()
}

// Config is what a Supervisor needs. Open, Hub, Draw and Logger must be set.
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

	// Encoders are the ways to make JPEG of raw pictures, best first.
	Encoders []device.EncoderMaker
	// Quality is what they are asked for, 1 to 100; 0 means the default of package
	// encode.
	Quality int
	// Cores is how many processor cores there are to encode with; 0 means all.
	Cores int
	// NewRework makes what changes the JPEG pictures of a camera; nil passes
	// them through untouched.
	NewRework func() Rework
	// NewFinish makes what changes every live picture at last, the encoded ones
	// too, such as turning it; nil means nothing does.
	NewFinish func() Rework
	// DropSame is how many pictures in a row that are the same bytes as the one
	// before are left out. One in a second is always shown.
	DropSame int

	// OnDemand closes the camera when nobody has watched for Linger, and opens it
	// again when somebody comes. It does nothing when Linger is 0.
	OnDemand bool
	Linger   time.Duration
	// Controls are set each time the camera was opened.
	Controls map[string]device.ControlValue

	// Draw makes a placeholder picture, as a JPEG.
	Draw func(Card) ([]byte, error)
	// Still makes the placeholder of a camera that is asleep of its last live
	// picture. Nil, or an error, means that Draw has to do.
	Still func(picture []byte, taken time.Time) ([]byte, error)
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
	// restartTime is how long a camera may be silent after a control was set that
	// restarts it: libcamera programs take up to 3 s.
	restartTime = 4 * time.Second
	// startGrace: a new program shows nothing rather than a placeholder for
	// this long, since most cameras have delivered by then.
	startGrace = 3 * time.Second
	// reopenAfter: a silent camera is closed and opened anew after this long;
	// the time doubles with each attempt that brings nothing, up to maxReopen.
	reopenAfter = 12 * time.Second
	maxReopen   = time.Minute
	// repeatEvery: a picture of any kind is sent again after this long. Clients
	// give up on silent streams after 10 s, and some show a part only when the
	// next comes.
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
	errAsleep = errors.New("nobody watches")
)

// Supervisor keeps pictures flowing. Make one with New and call Run once.
type Supervisor struct {
	cfg atomic.Pointer[Config] // what it points to never changes
	// wake tells the watch goroutine that its deadlines changed.
	wake chan struct{}
	// opened is closed after the first attempt, farewell after the last frame.
	opened, farewell chan struct{}
	// setting holds a value while somebody sets controls.
	setting chan struct{}
	// applied receives a value when the camera is to be opened with other settings.
	applied chan struct{}

	mu       sync.Mutex // guards everything below
	encoders *encoders
	// settings counts the changes that take a reopening; opening is the count that
	// the present attempt began with.
	settings, opening uint64
	st                status.Camera
	// width, height and sampling are those of the last live picture, for
	// placeholders.
	width, height int
	sampling      string
	// began is when Run was called, shownAt when a frame of any kind was
	// published last, shownCode which placeholder that was ("" for live).
	began, shownAt time.Time
	shownCode      string
	// live is the last live picture, sameRun how many were left out since
	// because they were the same.
	live    *device.Frame
	sameRun int
	// starved is when the computer was seen to be too busy last.
	starved time.Time
	// over is set once a recording has ended the stream for good.
	over bool
	// woken is when a camera that was asleep was wanted again, until its first
	// picture or failure.
	woken   time.Time
	session session
	duties  duties
	heart   heart
	rates   meter
	// camera is the open one, nil while there is none; change is closed and
	// forgotten when that or the state changes.
	camera device.Camera
	change chan struct{}
	// opens numbers the values of camera.
	opens uint64
	// wanted are the values of controls to set after opening, warned those that
	// were complained about.
	wanted map[string]device.ControlValue
	warned map[string]bool
}

// session is one camera from Start until it is closed.
type session struct {
	active bool
	// cancel ends the session's context.
	cancel context.CancelCauseFunc
	// ending is set once it was cancelled to let the camera sleep: nothing of it
	// is shown any more.
	ending bool
	// driven says that the camera has a driver, which may hang. heard is when the
	// capture goroutine gave the last sign of life, unask ends the context of its
	// calls of Next.
	driven bool
	heard  time.Time
	unask  context.CancelCauseFunc
	// started is when Start returned, lastGood when the last valid picture came.
	started, lastGood time.Time
	// expected is the granted frame interval, 0 when not known.
	expected time.Duration
	// intervals are the latest gaps between valid pictures.
	intervals [32]time.Duration
	next      int
	// wasSilent says that the latest valid picture ended a silence.
	wasSilent bool
	// quiet is until when silence is expected, after a change of a control.
	quiet time.Time
	// working counts the pictures that are being checked or encoded: while there
	// is one, nobody can say that the camera is silent.
	working int
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

// complete fills in the defaults.
func (c *Config) complete() {
	if c.Quality == 0 {
		c.Quality = encode.DefaultQuality
	}
	if c.Cores == 0 {
		c.Cores = runtime.GOMAXPROCS(0)
	}
	c.OnDemand = c.OnDemand && c.Linger > 0
}

// New returns a supervisor that does nothing until Run.
func New(cfg Config) *Supervisor {
	cfg.complete()
	s := &Supervisor{
		encoders: newEncoders(cfg.Encoders, cfg.Quality, cfg.Logger),
		wake:     make(chan struct{}, 1), setting: make(chan struct{}, 1), applied: make(chan struct{}, 1),
		opened: make(chan struct{}), farewell: make(chan struct{}),
		width: cfg.Want.Width, height: cfg.Want.Height,
		wanted: maps.Clone(cfg.Controls), warned: map[string]bool{},
	}
	s.cfg.Store(&cfg)
	if s.wanted == nil {
		s.wanted = map[string]device.ControlValue{}
	}
	if s.width == 0 || s.height == 0 {
		s.width, s.height = defaultWidth, defaultHeight
	}
	s.st = status.Camera{Source: cfg.Source, State: status.Starting, Since: time.Now(), Asked: cfg.Want, OnDemand: cfg.OnDemand}
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
	s.heart = heart{latest: s.began}
	s.mu.Unlock()

	var wg sync.WaitGroup
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.beat(ctx) })
	err := s.capture(ctx)
	cancel()
	wg.Wait()
	s.mu.Lock()
	s.duties = duties{}
	s.mu.Unlock()
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
	st.EncoderCandidates = s.encoders.status()
	return st
}
