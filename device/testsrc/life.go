package testsrc

import (
	"context"
	"errors"
	"math/bits"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

var errStarted = errors.New("already started")

// life is what both cameras are: open, capturing or closed.
//
//	open ──Start──► capturing ──Stop──► open
//	  └─────────Close────┴──────► closed, for good
type life struct {
	path   string
	closed chan struct{} // closed by Close

	mu        sync.Mutex
	capturing bool
}

func (l *life) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// check refuses calls after Close and, where needed, without Start.
func (l *life) check(ctx context.Context, op string, capturing bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.isClosed():
		return l.fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return l.fail(op, nil, context.Cause(ctx))
	case capturing && !l.capturing:
		return l.fail(op, nil, errors.New("not started"))
	}
	return nil
}

// begin goes to capturing.
func (l *life) begin(op string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.isClosed():
		return l.fail(op, device.ErrClosed, nil)
	case l.capturing:
		return l.fail(op, nil, errStarted)
	}
	l.capturing = true
	return nil
}

// Stop ends capturing.
func (l *life) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return l.fail("stop", device.ErrClosed, nil)
	}
	l.capturing = false
	return nil
}

// finish goes to closed and reports whether this call did it.
func (l *life) finish() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	l.capturing = false
	close(l.closed)
	return true
}

func (l *life) fail(op string, kind, cause error) error {
	return &device.OpError{Op: "testsrc " + op, Path: l.path, Kind: kind, Err: cause}
}

// pacer says when pictures are due: picture n at start + n/rate, counted from
// the start so that nothing drifts.
type pacer struct {
	rate  device.Rate
	start time.Time
	next  uint64
	timer *time.Timer
}

func newPacer(rate device.Rate) *pacer {
	p := &pacer{rate: rate, start: time.Now(), timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// due is the time of picture n after the start. n stays below 2^32: 49 days at
// the highest rate.
func (p *pacer) due(n uint64) time.Duration {
	num, den := uint64(p.rate.Num), uint64(p.rate.Den)
	hi, lo := bits.Mul64(n, den)
	if hi != 0 {
		return 1<<63 - 1
	}
	seconds, rest := lo/num, lo%num
	return time.Duration(seconds)*time.Second + time.Duration(rest*uint64(time.Second)/num)
}

// number is the picture that is due now, or was last.
func (p *pacer) number() uint64 {
	since := uint64(max(0, time.Since(p.start)))
	hi, lo := bits.Mul64(since, uint64(p.rate.Num))
	second := uint64(p.rate.Den) * uint64(time.Second)
	if hi >= second {
		return p.next
	}
	n, _ := bits.Div64(hi, lo, second)
	if p.due(n+1) <= time.Duration(since) { // the division rounds down, due as well
		n++
	}
	return n
}

// wait returns when the next picture is due, with its number. Pictures whose
// time has passed altogether are skipped.
func (p *pacer) wait(ctx context.Context, l *life) (number uint64, err error) {
	if err := p.until(ctx, l, p.next); err != nil {
		return 0, err
	}
	number = max(p.next, p.number())
	p.next = number + 1
	return number, nil
}

// waitAll is wait without skipping: whoever is late delays what follows.
func (p *pacer) waitAll(ctx context.Context, l *life) error {
	if err := p.until(ctx, l, p.next); err != nil {
		return err
	}
	if n := p.number(); n > p.next {
		p.start = p.start.Add(p.due(n) - p.due(p.next))
	}
	p.next++
	return nil
}

func (p *pacer) until(ctx context.Context, l *life, n uint64) error {
	left := p.due(n) - time.Since(p.start)
	if left <= 0 {
		return nil
	}
	p.timer.Reset(left)
	defer p.timer.Stop()
	select {
	case <-l.closed:
		return l.fail("next", device.ErrClosed, nil)
	case <-ctx.Done():
		return l.fail("next", nil, context.Cause(ctx))
	case <-p.timer.C:
		return nil
	}
}

// Rates that a camera of this package can keep, in frames per second.
const (
	minRate = 0.1
	maxRate = 1000
)

// grantRate gives the rate that is wanted, within what is possible.
func grantRate(want, otherwise device.Rate) device.Rate {
	switch fps := want.Float(); {
	case fps == 0:
		return otherwise
	case fps < minRate:
		return device.Rate{Num: 1, Den: 10}
	case fps > maxRate:
		return device.Rate{Num: 1000, Den: 1}
	}
	return want
}
