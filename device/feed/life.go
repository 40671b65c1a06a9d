package feed

import (
	"context"
	"errors"
	"sync"

	"github.com/webgear-pi/webgear/device"
)

var (
	errNotStarted = errors.New("not started")
	errStarted    = errors.New("already started")
)

// Life is that of a camera from Open to Close. Its methods may be called from
// any goroutine.
type Life struct {
	// Busy is held by the calls that start and end what delivers. Whoever holds it
	// ends soon when the camera is closed.
	Busy sync.Mutex

	path   string
	once   sync.Once
	closed chan struct{}
}

// NewLife begins one. path names the camera in errors.
func NewLife(path string) *Life { return &Life{path: path, closed: make(chan struct{})} }

// Closed is closed by Close.
func (l *Life) Closed() <-chan struct{} { return l.closed }

// IsClosed reports whether Close was called.
func (l *Life) IsClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Close ends the life; more calls do nothing.
func (l *Life) Close() { l.once.Do(func() { close(l.closed) }) }

// Fail describes what went wrong with this camera.
func (l *Life) Fail(op string, kind, cause error) error {
	return &device.OpError{Op: op, Path: l.path, Kind: kind, Err: cause}
}

// Check refuses calls after Close and with a context that has ended.
func (l *Life) Check(ctx context.Context, op string) error {
	switch {
	case l.IsClosed():
		return l.Fail(op, device.ErrClosed, nil)
	case ctx.Err() != nil:
		return l.Fail(op, nil, context.Cause(ctx))
	}
	return nil
}

// NotStarted and Started are what calls in the wrong order fail with.
func (l *Life) NotStarted(op string) error { return l.Fail(op, nil, errNotStarted) }

// Started refuses a second start.
func (l *Life) Started(op string) error { return l.Fail(op, nil, errStarted) }

// Explain says why something failed: because the camera was closed or the
// context ended, where that is so. Errors that name the camera stay as they are.
func (l *Life) Explain(ctx context.Context, op string, err error) error {
	if err := l.Check(ctx, op); err != nil {
		return err
	}
	if _, ok := errors.AsType[*device.OpError](err); ok {
		return err
	}
	return l.Fail(op, nil, err)
}

// Until gives a context that also ends when the camera is closed, and a function
// that releases it.
func (l *Life) Until(ctx context.Context) (context.Context, func()) { return Until(ctx, l.closed) }

// Until gives a context that also ends, with device.ErrClosed as its cause, when
// closed is closed, and a function that releases it.
func Until(ctx context.Context, closed <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-closed:
			cancel(device.ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-gone
	}
}
