package devicetest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// Poison is what a [Fake] writes over a picture once it was given back: whoever
// kept the buffer sees it, and so does the race detector.
const Poison = 0xDB

// ErrSkipped is returned by [Fake.SendWait] for a picture that was never lent:
// a newer one came first, or there was no free buffer, or capturing ended.
var ErrSkipped = errors.New("picture was skipped")

// FakeOptions says what a [Fake] is. The zero value is a silent camera with two
// MJPG modes and a raw one that delivers what the test sends.
type FakeOptions struct {
	// Info is what the camera says it is; empty fields get "fake" values.
	Info device.Info
	// Modes are the offered modes. Default: MJPG 64x48 and 128x96, YUYV 64x48,
	// all at 30 fps or, with Interval, at its rate.
	Modes []device.Mode
	// Grant decides what Start grants. Nil means the closest of Modes.
	Grant func(want device.Format) (device.Format, error)
	// Interval, when set, makes the camera deliver a numbered picture of the
	// granted format that often by itself.
	Interval time.Duration
	// Buffers is how many pictures may wait, like buffers queued at a driver;
	// what comes while all are full is lost. 0 means 4.
	Buffers int
	// Holds is how many pictures may be held at a time, see Buffer.Hold. 0 means
	// that they cannot be.
	Holds int
	// OnClose is called by the first Close, after it took effect. It may be nil.
	OnClose func()
}

// Picture is one picture for a [Fake] to deliver.
type Picture struct {
	// Data is what arrives, valid or not. It is copied.
	Data []byte
	// Corrupt is the driver's verdict on it.
	Corrupt bool
	// CapturedAt is its time stamp; zero means now.
	CapturedAt time.Time
	// Lost is how many pictures the driver lost just before: a gap in DriverSeq.
	Lost uint32
}

// Counts says what was done with a [Fake] so far.
type Counts struct {
	Starts, Stops, Closes int
	// Lent pictures were given to a consumer, Stale ones skipped for newer ones,
	// Lost ones found no free buffer or nobody capturing.
	Lent, Stale, Lost int
}

// Fake is a camera played by a test. It implements [device.Camera]; all other
// methods are the test's side.
type Fake struct {
	opt FakeOptions

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever something below changes
	done     chan struct{} // closed by Close
	started  bool
	stalled  bool
	held     int   // pictures that are held
	inCall   bool  // the capturing goroutine is inside Next, Start, Stop or Modes
	gone     error // set by Unplug
	failure  error // for the next Next, set by Fail
	startErr error
	override device.Format // what Start grants whatever is asked; zero fields are free
	granted  device.Format
	waiting  []*loan
	seq      uint32    // of the next picture
	next     time.Time // when the next picture of the automatic mode is due
	auto     []byte    // the automatic mode's picture without a number
	counts   Counts
	misuse   []error
}

var _ device.Camera = (*Fake)(nil)

// loan is a picture in one of the fake driver's buffers.
type loan struct {
	buf      device.Buffer
	original []byte
	lent     bool
	released chan struct{} // closed when it was lent and came back, or was skipped
}

// NewFake makes an open camera that was not started.
func NewFake(opt FakeOptions) *Fake {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&opt.Info.Driver, "fake")
	def(&opt.Info.Name, "Fake camera")
	def(&opt.Info.Path, "/dev/fake0")
	def(&opt.Info.ID, opt.Info.Path)
	if opt.Modes == nil {
		rates := []device.Rate{{Num: 30, Den: 1}}
		if opt.Interval > 0 {
			rates[0] = device.FPS(1 / opt.Interval.Seconds())
		}
		opt.Modes = []device.Mode{
			{FourCC: device.MJPG, Width: 64, Height: 48, Rates: rates},
			{FourCC: device.MJPG, Width: 128, Height: 96, Rates: rates},
			{FourCC: device.YUYV, Width: 64, Height: 48, Rates: rates},
		}
	}
	if opt.Buffers == 0 {
		opt.Buffers = 4
	}
	return &Fake{opt: opt, changed: make(chan struct{}), done: make(chan struct{})}
}

// Info says what the camera is.
func (f *Fake) Info() device.Info { return f.opt.Info }

// Modes lists the modes of the options.
func (f *Fake) Modes(ctx context.Context) ([]device.Mode, error) {
	leave, err := f.enter("enumerate formats")
	if err != nil {
		return nil, err
	}
	defer leave()
	if ctx.Err() != nil {
		return nil, f.fail("enumerate formats", nil, context.Cause(ctx))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone != nil {
		return nil, f.gone
	}
	modes := make([]device.Mode, len(f.opt.Modes))
	copy(modes, f.opt.Modes)
	return modes, nil
}

// Start begins to capture with what SetGrant, the Grant option or the closest
// mode says.
func (f *Fake) Start(ctx context.Context, want device.Format) (device.Format, error) {
	leave, err := f.enter("start")
	if err != nil {
		return device.Format{}, err
	}
	defer leave()
	if ctx.Err() != nil {
		return device.Format{}, f.fail("start", nil, context.Cause(ctx))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.gone != nil:
		return device.Format{}, f.gone
	case f.startErr != nil:
		return device.Format{}, f.startErr
	case f.started:
		return device.Format{}, f.misusedLocked("start", errors.New("already started"))
	}
	grant := f.closest
	if f.opt.Grant != nil {
		grant = f.opt.Grant
	}
	got, err := grant(want)
	if err != nil {
		return device.Format{}, err
	}
	f.granted = merge(f.override, got)
	if f.granted.Stride == 0 {
		f.granted.Stride = minStride(f.granted)
	}
	f.started, f.seq, f.next = true, 0, time.Now()
	f.auto = nil
	if f.granted.FourCC.Compressed() && f.opt.Interval > 0 {
		f.auto = greyJPEG(0x80, f.granted.Width, f.granted.Height)
	}
	f.counts.Starts++
	f.changeLocked()
	return f.granted, nil
}

// Next lends the newest picture.
func (f *Fake) Next(ctx context.Context, use func(*device.Buffer) error) error {
	leave, err := f.enter("dequeue")
	if err != nil {
		return err
	}
	defer leave()
	for {
		l, changed, due, err := f.take(ctx)
		switch {
		case err != nil:
			return err
		case l != nil:
			return f.lend(l, use)
		}
		var tick <-chan time.Time
		if due > 0 {
			tick = time.After(due)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-tick:
		}
	}
}

// take gives the newest picture, or says what to wait for.
func (f *Fake) take(ctx context.Context) (l *loan, changed <-chan struct{}, due time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closedLocked():
		return nil, nil, 0, f.fail("dequeue", device.ErrClosed, nil)
	case ctx.Err() != nil:
		return nil, nil, 0, f.fail("dequeue", nil, context.Cause(ctx))
	case f.gone != nil:
		return nil, nil, 0, f.gone
	case !f.started:
		return nil, nil, 0, f.fail("dequeue", nil, syscall.EINVAL)
	case f.failure != nil:
		err, f.failure = f.failure, nil
		return nil, nil, 0, err
	}
	if f.opt.Interval > 0 && !f.stalled {
		now := time.Now()
		for !f.next.After(now) {
			f.queueLocked(Picture{Data: f.drawLocked(), CapturedAt: f.next})
			f.next = f.next.Add(f.opt.Interval)
			if late := now.Sub(f.next); late > f.opt.Interval*time.Duration(2*f.opt.Buffers) {
				// A consumer that was away for long costs a gap, not a loop.
				n := uint32(late / f.opt.Interval)
				f.seq += n
				f.counts.Lost += int(n)
				f.next = f.next.Add(time.Duration(n) * f.opt.Interval)
			}
		}
		due = f.next.Sub(now)
	}
	if n := len(f.waiting); n > 0 {
		l = f.waiting[n-1]
		l.buf.Stale = n - 1
		for _, old := range f.waiting[:n-1] {
			f.counts.Stale++
			close(old.released)
		}
		f.waiting = nil
		f.counts.Lent++
		l.lent = true
	}
	return l, f.changed, due, nil
}

// lend gives the picture to use, and wipes it when it comes back.
func (f *Fake) lend(l *loan, use func(*device.Buffer) error) error {
	l.buf.ReceivedAt = time.Now()
	data := l.buf.Data
	giveBack := func() {
		for i := range data {
			data[i] = Poison
		}
		close(l.released)
	}
	kept := f.lendHold(l, giveBack)
	defer func() {
		if !kept() {
			giveBack()
		}
	}()
	if err := use(&l.buf); err != nil {
		return err
	}
	if !bytes.Equal(data, l.original) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.misusedLocked("dequeue", errors.New("lent picture was written to"))
	}
	return nil
}

// Stop ends capturing; pictures that wait are lost.
func (f *Fake) Stop() error {
	leave, err := f.enter("stop")
	if err != nil {
		return err
	}
	defer leave()
	f.mu.Lock()
	if f.started {
		f.counts.Stops++
	}
	f.stopLocked()
	f.mu.Unlock()
	f.awaitHolds()
	return nil
}

// Close ends everything and wakes a blocked Next. It waits for pictures that
// are held.
func (f *Fake) Close() error {
	f.mu.Lock()
	f.counts.Closes++
	first := !f.closedLocked()
	if first {
		close(f.done)
		f.stopLocked()
	}
	f.mu.Unlock()
	f.awaitHolds()
	if first && f.opt.OnClose != nil {
		f.opt.OnClose()
	}
	return nil
}

// closest picks the offered mode that is nearest to want.
func (f *Fake) closest(want device.Format) (device.Format, error) {
	if len(f.opt.Modes) == 0 {
		return device.Format{}, f.fail("set format", device.ErrUnsupported, nil)
	}
	best, bestCost := f.opt.Modes[0], -1
	for _, m := range f.opt.Modes {
		cost := 0
		if want.FourCC != 0 && want.FourCC != m.FourCC {
			cost += 1 << 30
		}
		if want.Width != 0 {
			cost += abs(want.Width - m.Width)
		}
		if want.Height != 0 {
			cost += abs(want.Height - m.Height)
		}
		if bestCost < 0 || cost < bestCost {
			best, bestCost = m, cost
		}
	}
	got := device.Format{FourCC: best.FourCC, Width: best.Width, Height: best.Height}
	if len(best.Rates) > 0 {
		got.Rate = best.Rates[0]
	}
	for _, r := range best.Rates {
		if r == want.Rate {
			got.Rate = r
		}
	}
	return got, nil
}

// drawLocked makes a picture of the automatic mode that holds its number.
func (f *Fake) drawLocked() []byte {
	if f.auto != nil {
		return withNumber(f.auto, f.seq)
	}
	data := make([]byte, rawBytes(f.granted))
	for i := range min(4, len(data)) {
		data[i] = byte(f.seq >> (24 - 8*i))
	}
	return data
}

// queueLocked fills a buffer; nil means that none was free.
func (f *Fake) queueLocked(p Picture) *loan {
	f.seq += p.Lost
	seq := f.seq
	f.seq++
	if !f.started || len(f.waiting) >= f.opt.Buffers {
		f.counts.Lost++
		return nil
	}
	if p.CapturedAt.IsZero() {
		p.CapturedAt = time.Now()
	}
	l := &loan{
		buf: device.Buffer{
			Data: bytes.Clone(p.Data), Format: f.granted, DriverSeq: seq,
			Corrupt: p.Corrupt, CapturedAt: p.CapturedAt,
		},
		original: bytes.Clone(p.Data),
		released: make(chan struct{}),
	}
	f.waiting = append(f.waiting, l)
	return l
}

func (f *Fake) stopLocked() {
	for _, l := range f.waiting {
		f.counts.Lost++
		close(l.released)
	}
	f.waiting, f.started, f.failure = nil, false, nil
	f.changeLocked()
}

func (f *Fake) changeLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Fake) closedLocked() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// enter refuses calls after Close, and calls by two goroutines at once.
func (f *Fake) enter(op string) (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closedLocked() {
		return nil, f.fail(op, device.ErrClosed, nil)
	}
	if f.inCall {
		return nil, f.misusedLocked(op, errors.New("called while another call runs"))
	}
	f.inCall = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.inCall = false
	}, nil
}

func (f *Fake) misusedLocked(op string, err error) error {
	err = f.fail(op, nil, err)
	f.misuse = append(f.misuse, err)
	return err
}

func (f *Fake) fail(op string, kind, cause error) error {
	return &device.OpError{Op: "fake " + op, Path: f.opt.Info.Path, Kind: kind, Err: cause}
}

// merge fills the zero fields of f from other.
func merge(f, other device.Format) device.Format {
	if f.FourCC == 0 {
		f.FourCC = other.FourCC
	}
	if f.Width == 0 {
		f.Width = other.Width
	}
	if f.Height == 0 {
		f.Height = other.Height
	}
	if f.Rate.Float() == 0 {
		f.Rate = other.Rate
	}
	if f.Stride == 0 && f.Width == other.Width && f.FourCC == other.FourCC {
		f.Stride = other.Stride
	}
	return f
}

func abs(n int) int { return max(n, -n) }
