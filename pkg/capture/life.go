package capture

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
)

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
			select { // there is nothing to come back, unless there is another source
			case <-ctx.Done():
				return nil
			case <-s.applied:
				retry, reopen = minRetry, reopenAfter
			}
		case errors.Is(err, errAsleep):
			s.sleep(ctx)
			retry, reopen = minRetry, reopenAfter
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
	s.mu.Lock()
	s.opening = s.settings
	open := s.config().Open
	s.mu.Unlock()
	s.beginsToOpen()
	defer s.owesNothing()
	cam, err := open(ctx)
	var following sync.WaitGroup
	if err == nil {
		of := s.setCamera(cam)
		delivered, err = s.stream(ctx, cam, of, reopen, started, &following)
		s.setCamera(nil)
	}
	s.beginsToClose()
	// Tell the viewers first: closing a camera that is gone takes its time.
	if ctx.Err() == nil && (!isFirst || delivered || !s.fatal(err)) {
		s.failed(err)
	}
	if cam != nil {
		if cerr := cam.Close(); cerr != nil && ctx.Err() == nil {
			s.config().Logger.Debug("camera not closed cleanly", "path", cam.Info().Path, "err", cerr)
		}
	}
	following.Wait()
	return delivered, err
}

// fatal says whether a first failure ends Run.
func (s *Supervisor) fatal(err error) bool {
	return slices.ContainsFunc(s.config().Fatal, func(kind error) bool { return errors.Is(err, kind) })
}

// pause waits for d or a change of the devices or settings; true when it was a
// change.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) (changed bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.config().Changes:
		return true
	case <-s.applied:
		return true
	}
	return false
}

// stream captures from one open camera until it fails, is told to stop, or ctx
// ends. of is what setCamera gave. delivered says whether any valid picture came.
// What it adds to following ends soon after it returned, or when the camera is
// closed.
func (s *Supervisor) stream(ctx context.Context, cam device.Camera, of uint64, reopen time.Duration, started func(), following *sync.WaitGroup) (delivered bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if ctl, ok := cam.(device.Controller); ok {
		s.applyControls(ctx, ctl, of)
		following.Go(func() { s.followControls(ctx, ctl, of) })
	}
	granted, err := cam.Start(ctx, s.config().Want)
	if err != nil {
		return false, err
	}
	w, err := s.newWorker(ctx, granted)
	if err != nil {
		return false, &device.OpError{Op: "encode", Path: cam.Info().Path, Detail: granted.String(), Kind: device.ErrUnsupported, Err: err}
	}
	defer func() { // pictures in work are delivered before the camera is closed
		s.beginsToClose()
		w.close()
		s.sessionEnded()
		delivered = w.delivered
	}()
	s.sessionStarted(cam.Info(), granted, w, reopen, cancel)
	started()
	for {
		if err := w.take(ctx, s.waiting(ctx), cam); !errors.Is(err, errAsked) || ctx.Err() != nil {
			return false, err
		}
	}
}
