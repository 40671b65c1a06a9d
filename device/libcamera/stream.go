package libcamera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
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
)

// picture is one picture and its memory. There are three: one is filled, one is
// ready, one is lent.
type picture struct {
	lent   device.Buffer
	memory []byte
}

// stream is a program that delivers. run and facts.run are its goroutines, halt
// ends it.
type stream struct {
	cam    *Camera
	plan   plan
	child  *child.Child
	voice  *voice
	facts  *facts // nil when the program tells none
	pidfd  int    // -1 when there is none
	opened chan struct{}
	quit   chan struct{}
	done   chan struct{} // closed when run has returned
	ready  chan *picture
	free   chan *picture

	format device.Format // valid once opened is closed
	err    error         // why it ended; valid once done is closed
}

// startStream runs the program and waits for the first picture. refused is an
// option that the program did not take.
func startStream(ctx context.Context, c *Camera, p plan) (s *stream, refused string, err error) {
	s = &stream{
		cam: c, plan: p, pidfd: -1,
		opened: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
		ready: make(chan *picture, 1), free: make(chan *picture, 3),
	}
	for range cap(s.free) {
		s.free <- &picture{}
	}
	s.voice = &voice{sized: make(chan struct{}), onTimeout: s.timeouts()}
	if err := s.launch(ctx); err != nil {
		return nil, "", err
	}
	timer := time.NewTimer(c.drv.cfg.StartTimeout)
	defer timer.Stop()
	select {
	case <-s.opened:
		return s, "", nil
	case <-s.done:
		s.halt()
		return nil, s.voice.refused(), s.err
	case <-timer.C:
		s.halt()
		return nil, "", c.fail("start", device.ErrStalled, s.silence())
	case <-ctx.Done():
		s.halt()
		return nil, "", context.Cause(ctx)
	}
}

// silence describes that no picture came, with the last word of the program.
func (s *stream) silence() error {
	if lines := s.voice.lines(); len(lines) > 0 {
		return fmt.Errorf("no picture within %v: %s", s.cam.drv.cfg.StartTimeout, lines[len(lines)-1])
	}
	return fmt.Errorf("no picture within %v", s.cam.drv.cfg.StartTimeout)
}

// timeouts gives a function that counts, and tells the log once.
func (s *stream) timeouts() func() {
	first := true // the voice is one goroutine
	return func() {
		s.cam.mu.Lock()
		s.cam.timeouts++
		s.cam.mu.Unlock()
		if first {
			first = false
			s.cam.log.Warn("sensor fell silent, rpicam-vid starts it again", "remedy", "check the ribbon cable and the power supply")
		}
	}
}

// launch starts the program and both goroutines.
func (s *stream) launch(ctx context.Context) error {
	drv := s.cam.drv
	if !drv.lacks("metadata") && !drv.lacks("metadata-format") {
		var err error
		if s.facts, err = newFacts(s.cam); err != nil {
			return s.cam.fail("start", nil, err)
		}
	}
	args, dropped := without(s.plan.args(s.facts.path()), drv.lacks)
	for _, name := range dropped {
		drv.missing(name)
	}
	var err error
	if s.child, err = child.Start(ctx, drv.spec(s.voice, args)); err != nil {
		s.facts.close()
		return err
	}
	// Through a descriptor, a signal cannot meet another process that got the
	// number. Kernels before 5.3 have none; Stop of the child must do there.
	if fd, err := unix.PidfdOpen(s.child.PID(), 0); err == nil {
		s.pidfd = fd
	}
	s.facts.start()
	go s.run(context.WithoutCancel(ctx))
	return nil
}

// halt ends the program and waits for everything. It is called once. Pictures
// are read to the end meanwhile: a program that cannot write would crash rather
// than end in order.
func (s *stream) halt() {
	close(s.quit)
	if s.pidfd >= 0 {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGINT, nil, 0) // it may just have ended
		timer := time.NewTimer(s.cam.drv.cfg.StopGrace)
		select {
		case <-s.child.Done():
		case <-timer.C:
		}
		timer.Stop()
		_ = unix.Close(s.pidfd) // nothing was written
	}
	s.child.Stop()
	<-s.done
	s.facts.close()
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
		return s.cam.fail(op, device.ErrDamaged, err)
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

// publish makes a picture ready, in place of one that nobody took. Afterwards
// one at most is ready and one lent, so one of the three is free.
func (s *stream) publish(p *picture, seq uint32, received time.Time) {
	b := &p.lent
	b.Data, b.Format, b.DriverSeq, b.Stale = p.memory, s.format, seq, 0
	b.ReceivedAt, b.CapturedAt = received, s.facts.capturedAt(received)
	select {
	case old := <-s.ready:
		b.Stale = old.lent.Stale + 1
		s.free <- old
	default:
	}
	s.ready <- p // only this goroutine fills it, and it is empty
}

// next gives the next picture. It has to be given back.
func (s *stream) next(ctx context.Context, closed <-chan struct{}) (*picture, error) {
	select {
	case p := <-s.ready:
		return p, nil
	default:
	}
	select {
	case p := <-s.ready:
		return p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-closed:
		return nil, device.ErrClosed
	case <-s.done:
		select {
		case p := <-s.ready: // the last one
			return p, nil
		default:
			return nil, s.err
		}
	}
}

func (s *stream) giveBack(p *picture) { s.free <- p }

// ownFile is the name under which a child process can open a pipe of ours.
func ownFile(f *os.File) (string, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	name := ""
	err = conn.Control(func(fd uintptr) {
		name = "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.FormatUint(uint64(fd), 10)
	})
	return name, err
}
