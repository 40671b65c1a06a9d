package libcamera

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/feed"
)

const (
	// defaultSettle is the pause after which changed controls start the program
	// anew, so that several changes cost one restart. Chosen: longer than between
	// two moves of a slider.
	defaultSettle = 300 * time.Millisecond
	// settleMost bounds the wait while changes keep coming, in pauses.
	settleMost = 4
)

var errOtherFormat = errors.New("pictures would have another format")

// session is a capture from Start to Stop. Changed controls give it another
// stream; those who take pictures notice a pause only. run is its goroutine.
type session struct {
	cam    *Camera
	want   device.Format
	format device.Format // granted
	feed   *feed.Feed
	kick   chan struct{} // has a value when there are changes
	quit   chan struct{} // closed by stop
	done   chan struct{} // closed when run has returned

	stream *stream // belongs to run

	// seq and last are the counter and the time of the last picture. They belong
	// to the stream that delivers.
	seq  uint32
	last time.Time

	changes []*change // guarded by cam.mu
}

// change is a wish for other values of controls.
type change struct {
	values []setting
	done   chan error
}

// startSession starts the program and waits for the first picture.
func startSession(ctx context.Context, c *Camera, want device.Format, opt Options) (*session, error) {
	s := &session{
		cam: c, want: want, feed: feed.New(),
		kick: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	if s.stream, err = s.launch(ctx, opt); err != nil {
		return nil, err
	}
	s.format = s.stream.format
	go s.run(context.WithoutCancel(ctx))
	return s, nil
}

// launch starts the program, again without the options that it refuses.
func (s *session) launch(ctx context.Context, opt Options) (*stream, error) {
	c := s.cam
	p := c.plan(s.want, opt)
	p.stride = s.format.Stride // as before, if there was a before
	for range newerOptions() {
		st, refused, err := startStream(ctx, s, p)
		if err == nil {
			return st, nil
		}
		if refused == "" || c.drv.lacks(refused) || !slices.Contains(newerOptions(), refused) {
			return nil, err
		}
		c.drv.refuse(refused)
	}
	return nil, c.life.Fail("start", device.ErrUnsupported, nil)
}

// stop ends the session and waits for everything but pictures that are held.
func (s *session) stop() {
	close(s.quit)
	<-s.done
}

func (s *session) run(ctx context.Context) {
	defer close(s.done)
	defer func() {
		s.stream.halt()
		s.feed.End(os.ErrClosed) // unless there was a better reason
	}()
	for {
		select {
		case <-s.quit:
			return
		case <-s.stream.done:
			s.feed.End(s.stream.err)
			return
		case <-s.stream.silent:
			s.stream.halt()
			s.feed.End(s.stream.silence("read"))
			return
		case <-s.kick:
			if !s.settle() || !s.restart(ctx) {
				return
			}
		}
	}
}

// settle waits until there are no more changes. It gives false when the session
// ends.
func (s *session) settle() bool {
	pause := s.cam.drv.cfg.Settle
	timer := time.NewTimer(pause)
	defer timer.Stop()
	latest := time.NewTimer(settleMost * pause)
	defer latest.Stop()
	for {
		select {
		case <-s.kick:
			timer.Reset(pause)
		case <-timer.C:
			return true
		case <-latest.C:
			return true
		case <-s.quit:
			return false
		}
	}
}

// restart starts the program with the changes that were asked for. When it
// refuses them, it is started as before. The result is false when there are no
// more pictures.
func (s *session) restart(ctx context.Context) bool {
	c := s.cam
	changes := s.takeChanges()
	old := c.Options()
	var all []setting
	for _, ch := range changes {
		all = append(all, ch.values...)
	}
	next, err := old.with(all)
	switch {
	case err != nil: // two changes that do not go together
		s.answer(changes, c.life.Fail("set controls", device.ErrInvalid, err))
		return true
	case reflect.DeepEqual(next, old): // there and back
		s.answer(changes, nil)
		return true
	}
	ctx, release := feed.Until(ctx, s.quit)
	defer release()
	s.stream.halt()
	stream, err := s.launchSame(ctx, next)
	if err == nil {
		s.stream = stream
		next, err = s.withoutMissing(old, next)
		c.inForce(next)
		c.tellChanged()
		s.answer(changes, err)
		return true
	}
	refused := &device.OpError{
		Op: "set controls", Path: c.info.Path, Detail: strings.Join(differing(old, next), ", "), Kind: kindOf(err), Err: err,
	}
	if ctx.Err() == nil {
		c.log.Warn("controls refused by rpicam-vid, going back to those before", "controls", refused.Detail, "err", err)
		stream, err = s.launchSame(ctx, old)
	}
	if err != nil {
		s.feed.End(err)
		s.answer(changes, refused)
		return false
	}
	s.stream = stream
	c.tellChanged()
	s.answer(changes, refused)
	return true
}

// kindOf is the kind of a failure; what cannot be told apart is the fault of the
// new values.
func kindOf(err error) error {
	if oe, ok := errors.AsType[*device.OpError](err); ok && oe.Kind != nil {
		return oe.Kind
	}
	return device.ErrUnsupported
}

// launchSame is launch, and fails when the pictures have become others.
func (s *session) launchSame(ctx context.Context, opt Options) (*stream, error) {
	stream, err := s.launch(ctx, opt)
	if err != nil {
		return nil, err
	}
	if stream.format != s.format {
		stream.halt()
		return nil, s.cam.life.Fail("start", device.ErrUnsupported, fmt.Errorf("%w: %v", errOtherFormat, stream.format))
	}
	return stream, nil
}

// withoutMissing takes back what the program turned out not to have.
func (s *session) withoutMissing(old, next Options) (Options, error) {
	var lost []string
	for _, r := range optionTable() {
		if !slices.Contains(differing(old, next), r.Name) || !s.cam.drv.lacks(r.flag) {
			continue
		}
		value, _ := r.arg(&old)
		if err := r.set(&next, value); err != nil {
			return old, err
		}
		lost = append(lost, r.Name)
	}
	if lost == nil {
		return next, nil
	}
	return next, s.cam.life.Fail("set controls", device.ErrUnsupported, fmt.Errorf("this version of rpicam-vid has no %s", strings.Join(lost, ", ")))
}

// ask hands a change over. The answer comes unless the session ends before. The
// caller holds cam.mu.
func (s *session) ask(ch *change) {
	s.changes = append(s.changes, ch)
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *session) takeChanges() []*change {
	s.cam.mu.Lock()
	defer s.cam.mu.Unlock()
	changes := s.changes
	s.changes = nil
	return changes
}

func (s *session) answer(changes []*change, err error) {
	for _, ch := range changes {
		ch.done <- err // there is room
	}
}
