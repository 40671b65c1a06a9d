package libcamera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
)

const (
	// maxOutput bounds what the program may say when asked, in bytes. Chosen: a
	// listing of two cameras has 4 KB, the help 16 KB.
	maxOutput = 1 << 20
	// askTimeout bounds how long it may take. Chosen: on a Zero, a listing of a
	// camera with many modes takes some seconds.
	askTimeout = 30 * time.Second
	// emptyTTL is how long it is believed that there is no camera. Ribbon
	// cameras cannot be plugged in while the computer runs.
	emptyTTL = 10 * time.Second
	// defaultStartTimeout bounds the time to the first picture. Chosen: libcamera
	// takes 1 to 2 s, and gives a sensor up and starts it again after some more.
	defaultStartTimeout = 15 * time.Second
	// debian is the package that has the program.
	debian = "rpicam-apps"
)

// Config says how cameras are reached. The zero value works.
type Config struct {
	// Program is the path of rpicam-vid. Empty looks for rpicam-vid and then for
	// libcamera-vid, its name before 2024.
	Program string
	// LookPath finds programs; nil means exec.LookPath.
	LookPath func(name string) (path string, err error)
	// Board says which pipeline the computer has. Empty finds it out from the
	// camera.
	Board Board
	// Raw says whether raw pictures are wanted, because there is something better
	// than rpicam-vid's own software to make JPEG of them. It is asked at each start
	// and must not wait for long. Nil goes by the board: up to Pi 4 there is
	// hardware for it. Options.Codec and the format given to Start go before it.
	Raw func() bool
	// Env is given to the program besides PATH and HOME, such as
	// LIBCAMERA_LOG_LEVELS.
	Env []string
	// StartTimeout bounds the time from Start to the first picture. 0 means 15 s.
	StartTimeout time.Duration
	// StopGrace is how long the program may take to give the camera back before
	// it is killed. 0 means 2 s.
	StopGrace time.Duration
	// Settle is the pause after which changed controls start the program anew.
	// 0 means 300 ms.
	Settle time.Duration
	// Logger gets transitions, and at debug level what the program says. Nil
	// drops them.
	Logger *slog.Logger
}

// Driver finds cameras and opens them.
type Driver struct {
	cfg Config
	log *slog.Logger

	// gate is held while the program is asked something or a capture begins, for
	// listing takes the cameras away from everybody else.
	gate chan struct{}

	mu       sync.Mutex
	captures int
	cameras  []listed
	askedAt  time.Time // zero when not asked yet, or to be asked again
	// options are those that the program has by its own help; nil when not known.
	options map[string]bool
	helped  bool
	refused map[string]bool // those that it turned out not to take
	warned  map[string]bool // those that the log has as missing
	version string
	// kept are the controls that were set, and exposure what automatic exposure
	// had found, by the IDs of the cameras.
	kept     map[string]keptOptions
	exposure map[string]Exposure
}

// keptOptions are the controls of a camera that was opened with base.
type keptOptions struct{ base, opt Options }

// New returns a Driver. Nothing is run yet.
func New(cfg Config) *Driver {
	d := &Driver{
		cfg: cfg, log: cfg.Logger, gate: make(chan struct{}, 1), refused: map[string]bool{}, warned: map[string]bool{},
		kept: map[string]keptOptions{}, exposure: map[string]Exposure{},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.cfg.LookPath == nil {
		d.cfg.LookPath = exec.LookPath
	}
	if d.cfg.StartTimeout == 0 {
		d.cfg.StartTimeout = defaultStartTimeout
	}
	if d.cfg.StopGrace == 0 {
		d.cfg.StopGrace = defaultStopGrace
	}
	if d.cfg.Settle == 0 {
		d.cfg.Settle = defaultSettle
	}
	return d
}

// Found is a camera that can be opened.
type Found struct {
	// Info is what Camera.Info gives.
	Info device.Info
	// Index is the program's number for the camera. It changes when others come
	// or go; Info.ID does not.
	Index int
	// Board is the pipeline it is attached to.
	Board Board
	// Width, Height are those of the sensor in pixels, 0 when not told.
	Width, Height int
	// BitDepth and ColourFilter describe the sensor's samples: 10 and "RGGB".
	// They are zero with older versions of the program.
	BitDepth     int
	ColourFilter string
	// SensorModes are the ways the sensor can be read out.
	SensorModes []SensorMode
	// Modes are what Camera.Modes gives without options.
	Modes []device.Mode
}

// Available reports whether the program is installed. It runs nothing.
func (d *Driver) Available() bool {
	_, err := d.cfg.LookPath(d.program())
	return err == nil
}

// program is the name or path of what is run.
func (d *Driver) program() string {
	if d.cfg.Program != "" {
		return d.cfg.Program
	}
	for _, name := range []string{"rpicam-vid", "libcamera-vid"} {
		if path, err := d.cfg.LookPath(name); err == nil {
			return path
		}
	}
	return "rpicam-vid"
}

// List gives the cameras, in the program's order. It asks once and remembers; as
// long as there is none, it asks again every 10 s at most. While a camera
// captures, nothing is asked. A missing program is an error of the kind
// device.ErrNotInstalled.
func (d *Driver) List(ctx context.Context) ([]Found, error) {
	cameras, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]Found, len(cameras))
	for i := range cameras {
		c := &cameras[i]
		board := d.board(c)
		found[i] = Found{
			Info: c.info(), Index: c.index, Board: board, Width: c.width, Height: c.height,
			BitDepth: c.bitDepth, ColourFilter: c.cfa, SensorModes: slices.Clone(c.modes),
			Modes: c.offers(newPlan(c, board, d.raw(board), Options{}, device.Format{}).format.FourCC),
		}
	}
	return found, nil
}

// Forget makes the next List and Start ask the program again: cameras, options
// and version.
func (d *Driver) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askedAt, d.options, d.helped, d.version = time.Time{}, nil, false, ""
	d.refused, d.warned = map[string]bool{}, map[string]bool{}
}

func (d *Driver) board(c *listed) Board {
	if d.cfg.Board != "" {
		return d.cfg.Board
	}
	return boardOf(c.id)
}

// raw says whether raw pictures suit a board.
func (d *Driver) raw(b Board) bool {
	if d.cfg.Raw != nil {
		return d.cfg.Raw()
	}
	return b != BoardPiSP
}

// keptOptions gives the options that a camera had last, if it was opened with
// the same ones.
func (d *Driver) keptOptions(id string, base Options) Options {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.kept[id]; ok && reflect.DeepEqual(k.base, base) {
		return k.opt
	}
	return base
}

func (d *Driver) keepOptions(id string, base, opt Options) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept[id] = keptOptions{base, opt}
}

// info identifies the camera.
func (c *listed) info() device.Info {
	return device.Info{Driver: "libcamera", Name: c.sensor, Path: "libcamera:" + strconv.Itoa(c.index), ID: c.id, Bus: "csi"}
}

// enter takes the gate; the caller calls leave.
func (d *Driver) enter(ctx context.Context) error {
	select {
	case d.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *Driver) leave() { <-d.gate }

func (d *Driver) list(ctx context.Context) ([]listed, error) {
	if cameras, ok := d.remembered(); ok {
		return cameras, nil
	}
	if err := d.enter(ctx); err != nil {
		return nil, &device.OpError{Op: "list cameras", Err: err}
	}
	defer d.leave()
	if cameras, ok := d.remembered(); ok { // somebody else asked meanwhile
		return cameras, nil
	}
	out, err := d.ask(ctx, "list cameras", "--list-cameras")
	if err != nil {
		return nil, err
	}
	cameras := parseListing(out)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cameras, d.askedAt = cameras, time.Now()
	return cameras, nil
}

// remembered gives what is known, as far as it is good enough. While a camera
// captures it has to be.
func (d *Driver) remembered() ([]listed, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	good := !d.askedAt.IsZero() && (len(d.cameras) > 0 || time.Since(d.askedAt) < emptyTTL)
	return d.cameras, good || d.captures > 0
}

// ask runs the program to its end. The gate is held.
func (d *Driver) ask(ctx context.Context, op string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, fmt.Errorf("no answer within %v", askTimeout))
	defer cancel()
	v := &voice{}
	out, _, err := child.Output(ctx, d.spec(v, args), maxOutput)
	if err == nil {
		return out, nil
	}
	if _, ok := errors.AsType[*device.OpError](err); ok {
		return nil, err // the program is missing, or could not be started
	}
	if _, ok := errors.AsType[*child.ExitError](err); ok {
		return nil, failure(op, "", err, v, false)
	}
	return nil, &device.OpError{Op: op, Err: err}
}

// spec describes a run of the program.
func (d *Driver) spec(v *voice, args []string) child.Spec {
	return child.Spec{
		Program: d.program(), Package: debian, Args: args, Env: d.cfg.Env,
		// The program gets the time it needs before, from us: see stream.halt.
		Grace: killGrace,
		OnLine: func(line string) {
			v.hear(line)
			if !strings.HasPrefix(line, "#") { // one for each picture
				d.log.LogAttrs(context.Background(), slog.LevelDebug, "rpicam spoke", slog.String("line", line))
			}
		},
	}
}

// helpOption is a line of the help that names an option:
// "  -t [ --timeout ] arg (=5sec)" or "  --hflip [=arg(=1)] (=0)".
var helpOption = regexp.MustCompile(`(?m)^\s+(?:-\w \[ )?--([a-z][a-z0-9-]*)`)

// known asks the program once which options it has. When it does not answer,
// all are taken for granted: those it lacks are found out one by one. The gate
// is held.
func (d *Driver) known(ctx context.Context) {
	d.mu.Lock()
	helped := d.helped
	d.mu.Unlock()
	if helped {
		return
	}
	out, err := d.ask(ctx, "ask for options", "--help")
	if ctx.Err() != nil {
		return
	}
	options := map[string]bool{}
	for _, m := range helpOption.FindAllSubmatch(out, -1) {
		options[string(m[1])] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.helped = true
	if err == nil && options["codec"] { // otherwise it was no help
		d.options = options
	}
}

// lacks reports whether the program is known not to have an option.
func (d *Driver) lacks(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused[name] || d.options != nil && !d.options[name]
}

// missing tells the log, once, that an option has no effect.
func (d *Driver) missing(name string) {
	d.mu.Lock()
	told := d.warned[name]
	d.warned[name] = true
	d.mu.Unlock()
	if !told {
		d.log.Warn("option not known to this version of rpicam-vid, left out", "option", "--"+name)
	}
}

// refuse remembers that the program does not take an option.
func (d *Driver) refuse(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused[name] = true
}

// Version gives what the program says about itself, such as "rpicam-apps build:
// v1.7.0 …; libcamera build: v0.5.0 …". It asks once and remembers.
func (d *Driver) Version(ctx context.Context) (string, error) {
	if err := d.enter(ctx); err != nil {
		return "", &device.OpError{Op: "ask for version", Err: err}
	}
	defer d.leave()
	d.mu.Lock()
	version := d.version
	d.mu.Unlock()
	if version != "" {
		return version, nil
	}
	out, err := d.ask(ctx, "ask for version", "--version")
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.ToValidUTF8(strings.TrimSpace(line), "?"); line != "" && len(lines) < 8 {
			lines = append(lines, line)
		}
	}
	version = strings.Join(lines, "; ")
	d.mu.Lock()
	d.version = version
	d.mu.Unlock()
	return version, nil
}

// Open prepares a camera. ref is the program's index, the camera's ID, its path
// ("libcamera:0") or the name of its sensor; empty means the first one. Options
// that cannot be used are an error of the kind device.ErrUnsupported. The camera
// itself is only taken by Start. Controls that were set on the camera before are
// still set, unless the options are others now.
func (d *Driver) Open(ctx context.Context, ref string, opt Options) (*Camera, error) {
	const op = "open"
	path := ref
	if path == "" {
		path = "libcamera:0"
	}
	if err := opt.Validate(); err != nil {
		return nil, &device.OpError{Op: op, Path: path, Kind: device.ErrUnsupported, Err: err}
	}
	cameras, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(cameras, func(c listed) bool { return c.matches(ref) })
	if i < 0 {
		e := &device.OpError{Op: op, Path: path, Kind: device.ErrNotFound}
		e.Err = fmt.Errorf("%w: %d cameras on the ribbon cable", device.ErrNotFound, len(cameras))
		if len(cameras) == 0 {
			e.Err = fmt.Errorf("%w: %s", device.ErrNotFound, remedy(device.ErrNotFound))
		}
		return nil, e
	}
	if opt.Codec == CodecAuto {
		opt.Codec = ""
	}
	return newCamera(d, &cameras[i], opt), nil
}

// matches reports whether ref means this camera.
func (c *listed) matches(ref string) bool {
	ref = strings.TrimSpace(ref)
	if ref == "" {
		return true
	}
	number := strings.TrimPrefix(ref, "libcamera:")
	return ref == c.id || ref == c.sensor || number == strconv.Itoa(c.index)
}

// begin lets a capture begin once nobody lists cameras; end has to be called.
// It fails when the context ends first.
func (d *Driver) begin(ctx context.Context) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	d.known(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.captures++
	return nil
}

func (d *Driver) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.captures--
}

// lost makes List ask again: a camera that was there is not any more.
func (d *Driver) lost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askedAt = time.Time{}
}
