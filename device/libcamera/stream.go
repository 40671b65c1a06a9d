package libcamera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
	"github.com/webgear-pi/webgear/device/feed"
)

const (
	// defaultStopGrace is how long the program may take to give the camera back.
	// It looks for SIGINT once per picture, thus not while the sensor is silent.
	defaultStopGrace = 2 * time.Second
	// killGrace is what it gets when it did not.
	killGrace = 100 * time.Millisecond
	// sizeWait is how long the word about the granted size is waited for, once
	// pictures come. It was said before, but comes another way.
	sizeWait = 100 * time.Millisecond
	// maxTimeouts is how often in a row the program may start a silent sensor
	// again, before it is given up. Chosen: libcamera waits for a second each time,
	// and what was not there after three is not there.
	maxTimeouts = 3
	// exposures is how many exposures may pass before the first picture. Chosen:
	// libcamera drops some in the beginning.
	exposures = 6
)

// stream is a program that delivers into the feed of a session. run and
// facts.run are its goroutines, halt ends it.
type stream struct {
	ses    *session
	cam    *Camera
	plan   plan
	child  *child.Child
	voice  *voice
	facts  *facts // nil when the program tells none
	opened chan struct{}
	silent chan struct{} // closed when the sensor is given up
	quit   chan struct{}
	done   chan struct{} // closed when run has returned
	halted sync.Once

	base      uint32        // the counter before the first picture
	published atomic.Uint32 // pictures so far

	format device.Format // valid once opened is closed
	err    error         // why it ended; valid once done is closed
}

// startStream runs the program and waits for the first picture. refused is an
// option that the program did not take.
func startStream(ctx context.Context, ses *session, p plan) (s *stream, refused string, err error) {
	c := ses.cam
	s = &stream{
		ses: ses, cam: c, plan: p, base: ses.seq,
		opened: make(chan struct{}), silent: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	s.voice = &voice{sized: make(chan struct{}), onTimeout: s.timeouts()}
	if err := s.launch(ctx); err != nil {
		return nil, "", err
	}
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	select {
	case <-s.opened:
		return s, "", nil
	case <-s.done:
		s.halt()
		return nil, s.voice.refused(), s.err
	case <-s.silent:
		s.halt()
		return nil, "", s.silence("start")
	case <-timer.C:
		s.halt()
		return nil, "", s.silence("start")
	case <-ctx.Done():
		s.halt()
		return nil, "", context.Cause(ctx)
	}
}

// patience is how long the first picture may take.
func (s *stream) patience() time.Duration {
	return s.cam.drv.cfg.StartTimeout + exposures*s.plan.options.ExposureTime
}

// silence describes that no picture comes, with the last word of the program.
func (s *stream) silence(op string) error {
	text := fmt.Sprintf("no picture within %v", s.patience())
	select {
	case <-s.silent:
		text = "sensor sends no pictures, and starting it again was no use"
	default:
	}
	if lines := s.voice.lines(); len(lines) > 0 {
		text += ": " + lines[len(lines)-1]
	}
	return s.cam.life.Fail(op, device.ErrStalled, fmt.Errorf("%s: %s", text, checkCable))
}

// timeouts gives a function that counts, tells the log once, and gives the
// sensor up when no pictures come in between.
func (s *stream) timeouts() func() {
	first, row, before := true, 0, uint32(0) // the voice is one goroutine
	return func() {
		s.cam.mu.Lock()
		s.cam.timeouts++
		s.cam.mu.Unlock()
		if first {
			first = false
			s.cam.log.Warn("sensor fell silent, rpicam-vid starts it again", "remedy", checkCable)
		}
		if now := s.published.Load(); now != before {
			before, row = now, 0
		}
		if row++; row == maxTimeouts {
			close(s.silent)
		}
	}
}

// launch starts the program and both goroutines.
func (s *stream) launch(ctx context.Context) error {
	drv := s.cam.drv
	metadata := ""
	var files []*os.File
	if !drv.lacks("metadata") && !drv.lacks("metadata-format") {
		r, w, err := os.Pipe()
		if err != nil {
			return s.cam.life.Fail("start", nil, err)
		}
		defer func() { _ = w.Close() }() // the program has its own
		s.facts = newFacts(s.cam, r, s.ses.last)
		// It is opened by name, which works for pipes. Descriptor 3 is its own, so
		// no right to look into another process is needed.
		metadata, files = "/proc/self/fd/3", []*os.File{w}
	}
	args, dropped := without(s.plan.args(metadata), drv.lacks)
	for _, name := range dropped {
		drv.missing(name)
	}
	spec := drv.spec(s.voice, args)
	spec.Files = files
	var err error
	if s.child, err = child.Start(ctx, spec); err != nil {
		s.facts.close()
		return err
	}
	s.facts.start()
	go s.run(context.WithoutCancel(ctx))
	return nil
}

// halt ends the program and waits for everything. Pictures are read to the end
// meanwhile: a program that cannot write would crash rather than end in order.
func (s *stream) halt() {
	s.halted.Do(func() {
		close(s.quit)
		s.child.Interrupt()
		timer := time.NewTimer(s.cam.drv.cfg.StopGrace)
		select {
		case <-s.child.Done():
		case <-timer.C:
		}
		timer.Stop()
		s.child.Stop()
		<-s.done
		s.facts.close()
	})
}

func (s *stream) run(ctx context.Context) {
	defer close(s.done)
	var count uint32
	var err error
	if s.plan.codec == CodecMJPEG {
		count, err = s.jpegPictures(ctx)
	} else {
		count, err = s.rawPictures()
	}
	select {
	case <-s.quit:
		s.err = os.ErrClosed
	default:
		s.err = s.ending(count, err)
	}
}

// ending finds out why the pictures ended.
func (s *stream) ending(count uint32, err error) error {
	const op = "read"
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return s.cam.life.Fail(op, device.ErrDamaged, err)
	}
	timer := time.NewTimer(s.cam.drv.cfg.StopGrace)
	defer timer.Stop()
	select {
	case <-s.child.Done():
	case <-s.quit:
	case <-timer.C:
	}
	s.child.Stop()
	return failure(op, s.cam.info.Path, s.child.Err(), s.voice, count > 0)
}

// publish makes a picture the newest. seq counts those of this stream.
func (s *stream) publish(p *feed.Picture, seq uint32, received time.Time) {
	ses := s.ses
	captured := s.facts.capturedAt(received)
	if !captured.After(ses.last) { // without facts, or from the stream before
		captured = ses.last.Add(time.Microsecond)
	}
	ses.seq, ses.last = s.base+seq+1, captured
	b := &p.Buffer
	b.Format, b.DriverSeq, b.CapturedAt, b.ReceivedAt = s.format, s.base+seq, captured, received
	ses.feed.Put(p)
	s.published.Add(1)
}
