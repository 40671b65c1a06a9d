package encode

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// Result is one picture after it was encoded.
type Result struct {
	// Buffer tells what picture it is: format, counters and times. Data, Hold and
	// DMABUF must not be used. It is valid until the function that got the result
	// returns.
	Buffer *device.Buffer
	// JPEG is the file, nil when Err is set.
	JPEG []byte
	// Took is how long the encoder worked on it, without any waiting.
	Took time.Duration
	// Err is the encoder's.
	Err error
}

// Parallel encodes several pictures at the same time, for cameras that are
// faster than one processor core, and hands out the results in the order of the
// pictures. It raises the frame rate, never the delay: pictures are not queued.
//
//	for {
//		if err := p.Ready(ctx); err != nil { … }
//		err := camera.Next(ctx, func(b *device.Buffer) error { return p.Submit(ctx, b) })
//		…
//	}
//
// With a width of 1 there is no goroutine and no copy: Submit encodes and
// delivers by itself, in the memory that the driver lent. With more, each
// encoder has a goroutine, and pictures are held, or copied where they cannot
// be.
//
// Submit, Ready, SetWidth, Flush and Close belong to one goroutine; SetQuality
// and Name may be called from any, Width and Size from the one and from deliver.
type Parallel struct {
	make    func(ctx context.Context) (device.Encoder, error)
	deliver func(Result)

	mu       sync.Mutex // guards encoders and quality against SetQuality
	encoders []device.Encoder
	quality  int // 0: as the encoders were made

	// lanes take turns, so that the next one to be used is always the next one
	// to become free. Empty while the width is 1.
	lanes  []*lane
	next   int
	work   sync.WaitGroup
	closed bool
}

// lane is one encoder with its goroutine. A picture has it from Submit until
// its result was delivered.
type lane struct {
	encoder device.Encoder
	free    chan struct{} // holds a value while there is no picture
	jobs    chan struct{} // the picture stands in buffer
	turn    chan struct{} // holds a value when the lane may deliver
	buffer  device.Buffer
	release func() // of held pictures
	copied  []byte // memory for pictures that cannot be held
}

// NewParallel makes width encoders. deliver gets the result of every picture
// that Submit took, failed ones too, in the order of Submit and one at a time. It
// runs on whatever goroutine is there, must not call back into Parallel except
// for Width and Size, and is never called after Close returned.
func NewParallel(ctx context.Context, width int, newEncoder func(ctx context.Context) (device.Encoder, error), deliver func(Result)) (*Parallel, error) {
	p := &Parallel{make: newEncoder, deliver: deliver}
	if err := p.SetWidth(ctx, width); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// SetWidth changes how many pictures may be in work at once, after those in
// work were delivered. Some encoders cannot be made twice: then the error says
// so and everything is as before.
func (p *Parallel) SetWidth(ctx context.Context, width int) error {
	if p.closed {
		return fmt.Errorf("encode: %w", device.ErrClosed)
	}
	if width < 1 {
		return fmt.Errorf("encode %d pictures at once: at least 1", width)
	}
	if width == len(p.encoders) {
		return nil
	}
	var made []device.Encoder
	for len(p.encoders)+len(made) < width {
		e, err := p.make(ctx)
		if err != nil {
			closeAll(made)
			return fmt.Errorf("encode %d pictures at once: %w", width, err)
		}
		made = append(made, e)
	}
	p.halt()
	p.mu.Lock()
	for _, e := range made {
		if p.quality != 0 {
			// Another encoder of the same kind took it.
			_ = e.SetQuality(p.quality)
		}
	}
	p.encoders = append(p.encoders, made...)
	surplus := p.encoders[width:]
	p.encoders = p.encoders[:width:width]
	p.mu.Unlock()
	closeAll(surplus)
	p.start()
	return nil
}

// start gives each encoder a lane when there are several.
func (p *Parallel) start() {
	if len(p.encoders) < 2 {
		return
	}
	p.next = 0
	for _, e := range p.encoders {
		l := &lane{encoder: e, free: make(chan struct{}, 1), jobs: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
		l.free <- struct{}{}
		p.lanes = append(p.lanes, l)
	}
	p.lanes[0].turn <- struct{}{}
	for i, l := range p.lanes {
		after := p.lanes[(i+1)%len(p.lanes)]
		p.work.Go(func() { l.run(p.deliver, after.turn) })
	}
}

// halt waits for the pictures in work and ends the lanes.
func (p *Parallel) halt() {
	for _, l := range p.lanes {
		close(l.jobs)
	}
	p.work.Wait()
	p.lanes = nil
}

// run encodes what is put into the lane. after receives the turn once a result
// was delivered.
func (l *lane) run(deliver func(Result), after chan<- struct{}) {
	for range l.jobs {
		r := encodeOne(l.encoder, &l.buffer)
		if l.release != nil {
			l.release()
			l.release = nil
		}
		l.buffer.Data, l.buffer.DMABUF = nil, nil
		<-l.turn
		deliver(r)
		after <- struct{}{}
		l.free <- struct{}{}
	}
}

func encodeOne(e device.Encoder, b *device.Buffer) Result {
	began := time.Now()
	out, err := e.Encode(b)
	return Result{Buffer: b, JPEG: out, Took: time.Since(began), Err: err}
}

// Ready waits until Submit would not have to. Whoever calls it before asking
// the camera for a picture gets the newest one there is by then.
func (p *Parallel) Ready(ctx context.Context) error {
	if p.closed {
		return fmt.Errorf("encode: %w", device.ErrClosed)
	}
	if len(p.lanes) == 0 {
		return nil
	}
	l := p.lanes[p.next]
	select {
	case <-l.free:
		l.free <- struct{}{} // there is room: nobody else fills it
		return nil
	case <-ctx.Done():
		return fmt.Errorf("encode: %w", context.Cause(ctx))
	}
}

// Submit takes one picture, as soon as one of the encoders is free. The buffer
// belongs to the caller again when it returns. An error means that the picture
// was not taken, for ctx ended or Close was called; those of the encoder go to
// deliver.
func (p *Parallel) Submit(ctx context.Context, b *device.Buffer) error {
	if len(p.lanes) == 0 {
		if p.closed {
			return fmt.Errorf("encode: %w", device.ErrClosed)
		}
		p.deliver(encodeOne(p.encoders[0], b))
		return nil
	}
	l := p.lanes[p.next]
	select {
	case <-l.free:
	case <-ctx.Done():
		return fmt.Errorf("encode: %w", context.Cause(ctx))
	}
	p.next = (p.next + 1) % len(p.lanes)
	l.take(b)
	l.jobs <- struct{}{}
	return nil
}

// take keeps the picture beyond the call that lent it.
func (l *lane) take(b *device.Buffer) {
	l.buffer = *b
	l.buffer.Hold = nil
	if b.Hold != nil {
		if release, ok := b.Hold(); ok {
			l.release = release
			return
		}
	}
	l.copied = append(l.copied[:0], b.Data...)
	l.buffer.Data, l.buffer.DMABUF = l.copied, nil
}

// Flush waits until everything that Submit took was delivered.
func (p *Parallel) Flush() {
	for _, l := range p.lanes {
		<-l.free
	}
	for _, l := range p.lanes {
		l.free <- struct{}{}
	}
}

// SetQuality sets the quality of later pictures, 1 to 100, in all encoders. A
// picture in work may get either.
func (p *Parallel) SetQuality(quality int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, e := range p.encoders {
		errs = append(errs, e.SetQuality(quality))
	}
	err := errors.Join(errs...)
	if err == nil {
		p.quality = quality
	}
	return err
}

// Width is how many pictures can be in work at once.
func (p *Parallel) Width() int { return len(p.encoders) }

// Name says what encodes.
func (p *Parallel) Name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.encoders) == 0 {
		return ""
	}
	return p.encoders[0].Name()
}

// Size is that of the results, in pixels.
func (p *Parallel) Size() (width, height int) {
	if len(p.encoders) == 0 {
		return 0, 0
	}
	return p.encoders[0].Size()
}

// Close waits for the pictures in work, delivers them and closes the encoders.
// Later calls of Submit fail, of Close do nothing.
func (p *Parallel) Close() {
	p.closed = true
	p.halt()
	p.mu.Lock()
	all := p.encoders
	p.encoders = nil
	p.mu.Unlock()
	closeAll(all)
}

func closeAll(all []device.Encoder) {
	for _, e := range all {
		e.Close()
	}
}

// Bounds of the load that Width aims at, as parts of the time between two
// pictures that the encoders may take. Chosen: above the upper one, a picture
// that is harder than its neighbours comes late; the lower one keeps a load
// between the two from changing the width back and forth.
const (
	widenAbove  = 0.8
	narrowBelow = 0.6
)

// Width says how many software encoders a camera needs that has used now of
// them: took is the mean of Result.Took over the last second or so, interval the
// time between two pictures. It is wider than 1 only where one core cannot keep
// up, that is, took is more than 0.8 of interval; it gets narrower when fewer
// would be busy for less than 0.6 of it. One core is left for the rest of the
// program, so that on one or two cores the answer is always 1. Encoders in
// hardware gain nothing by more than 1, unless their driver says otherwise.
func Width(now int, took, interval time.Duration, cores int) int {
	most := max(1, cores-1)
	if took <= 0 || interval <= 0 {
		return min(max(now, 1), most)
	}
	need := func(load float64) int {
		for n := 1; n < most; n++ {
			if float64(took) <= load*float64(interval)*float64(n) {
				return n
			}
		}
		return most
	}
	if n := need(widenAbove); n >= now {
		return n
	}
	return min(need(narrowBelow), max(now, 1), most)
}
