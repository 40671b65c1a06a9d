package devicetest

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// Send lets a picture arrive. It reports false when it was lost: nobody
// captures, or all buffers are full.
func (f *Fake) Send(data []byte) bool { return f.SendPicture(Picture{Data: data}) }

// SendPicture is Send with everything that a driver says about a picture.
func (f *Fake) SendPicture(p Picture) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queueLocked(p) == nil {
		return false
	}
	f.changeLocked()
	return true
}

// SendWait lets a picture arrive and waits until the consumer has given it
// back. It returns [ErrSkipped] when that can no longer happen.
func (f *Fake) SendWait(ctx context.Context, p Picture) error {
	f.mu.Lock()
	l := f.queueLocked(p)
	if l != nil {
		f.changeLocked()
	}
	f.mu.Unlock()
	if l == nil {
		return ErrSkipped
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.released:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.lent {
		return ErrSkipped
	}
	return nil
}

// Stall makes the automatic mode deliver nothing until [Fake.Resume]. Without
// automatic mode a camera is silent unless the test sends.
func (f *Fake) Stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = true
	f.changeLocked()
}

// Resume ends a stall.
func (f *Fake) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled, f.next = false, time.Now()
	f.changeLocked()
}

// Unplug takes the camera away for good: pictures that wait are gone, and every
// call but Stop and Close fails with ErrUnplugged and ENODEV inside.
func (f *Fake) Unplug() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = f.fail("dequeue", device.ErrUnplugged, syscall.ENODEV)
	f.changeLocked()
}

// Fail makes the next call of Next, or the one that waits, return an error.
// The camera goes on afterwards.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err
	f.changeLocked()
}

// FailIO is Fail with what a driver reports after a broken transfer: EIO.
func (f *Fake) FailIO() { f.Fail(f.fail("dequeue", nil, syscall.EIO)) }

// SetStartError makes Start fail until it is set to nil again.
func (f *Fake) SetStartError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.startErr = err
}

// SetGrant fixes what the following calls of Start grant, whatever is asked;
// fields that are zero are granted as before.
func (f *Fake) SetGrant(granted device.Format) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.override = granted
}

// WaitStarted waits until the camera captures and returns the granted format.
// It returns ErrClosed when the camera was closed instead.
func (f *Fake) WaitStarted(ctx context.Context) (device.Format, error) {
	return f.wait(ctx, func() bool { return f.started })
}

// WaitStopped waits until the camera does not capture. A closed camera does not.
func (f *Fake) WaitStopped(ctx context.Context) error {
	_, err := f.wait(ctx, func() bool { return !f.started })
	return err
}

func (f *Fake) wait(ctx context.Context, reached func() bool) (device.Format, error) {
	for {
		f.mu.Lock()
		ok, closed, changed, granted := reached(), f.closedLocked(), f.changed, f.granted
		f.mu.Unlock()
		switch {
		case ok:
			return granted, nil
		case closed:
			return device.Format{}, f.fail("wait", device.ErrClosed, nil)
		}
		select {
		case <-ctx.Done():
			return device.Format{}, context.Cause(ctx)
		case <-changed:
		}
	}
}

// Started reports whether the camera captures now.
func (f *Fake) Started() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// Done is closed when the camera was closed.
func (f *Fake) Done() <-chan struct{} { return f.done }

// Counts says what was done with the camera so far.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

// Misuse lists what the consumer did against the contract: calls by two
// goroutines at once, writing to a lent picture, starting twice.
func (f *Fake) Misuse() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.misuse)
}
