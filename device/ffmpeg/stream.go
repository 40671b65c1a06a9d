package ffmpeg

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
	"github.com/webgear-pi/webgear/device/feed"
)

// exitTimeout is how long a program may take to end after its last picture.
// Chosen: it has nothing left to do.
const exitTimeout = 2 * time.Second

// capsTimeout is how long GStreamer's word about its pictures is waited for.
// Chosen: without it, the usual meaning of the samples is taken for granted.
const capsTimeout = time.Second

// lineBuffer is what is read ahead of pictures, in bytes; pictures themselves
// are read past it. Chosen: a few small pictures.
const lineBuffer = 32 << 10

// stream is a program that delivers. run is its goroutine, halt ends it.
type stream struct {
	plan   *plan
	child  *child.Child
	opened chan struct{} // closed once format is known
	quit   chan struct{} // closed by halt
	done   chan struct{} // closed when run has returned
	feed   *feed.Feed

	format device.Format // valid once opened is closed
	err    error         // why it ended; valid once done is closed
}

// startStream runs a program and waits until it is known what it delivers.
func startStream(ctx context.Context, p *plan) (*stream, error) {
	c, err := child.Start(ctx, p.spec)
	if err != nil {
		return nil, err
	}
	s := &stream{
		plan: p, child: c, opened: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
		feed: feed.New(),
	}
	go s.run()
	select {
	case <-s.opened:
		return s, nil
	case <-s.done:
		select {
		case <-s.opened: // a short one
			return s, nil
		default:
		}
		return nil, s.err
	case <-ctx.Done():
		s.halt()
		return nil, context.Cause(ctx)
	}
}

// halt ends the program and waits for everything. It is called once.
func (s *stream) halt() {
	close(s.quit)
	s.child.Stop()
	<-s.done
}

// timed bounds every read.
type timed struct {
	c     *child.Child
	limit time.Duration
}

func (t *timed) Read(p []byte) (int, error) {
	var until time.Time
	if t.limit > 0 {
		until = time.Now().Add(t.limit)
	}
	if err := t.c.SetReadDeadline(until); err != nil {
		return 0, err
	}
	return t.c.Read(p)
}

func (s *stream) run() {
	defer close(s.done)
	defer s.child.Stop()
	in := &timed{c: s.child, limit: s.plan.first}
	count, err := s.pictures(in)
	select {
	case <-s.quit:
		s.err = os.ErrClosed
	default:
		s.err = s.ending(count, err)
	}
	s.feed.End(s.err)
}

// pictures reads until it fails, and gives how many there were.
func (s *stream) pictures(in *timed) (count uint32, err error) {
	br := bufio.NewReaderSize(in, lineBuffer)
	var r reader = partReader{br}
	if !s.plan.multipart {
		y := newY4M(br, s.plan.pipe != nil)
		f, err := y.header()
		if err != nil {
			return 0, err
		}
		s.grant(f, y.ranged)
		r = y
	}
	for {
		p := s.feed.Blank()
		b := &p.Buffer
		b.Data, err = r.next(b.Data)
		if err != nil {
			s.feed.Drop(p)
			return count, err
		}
		in.limit = s.plan.silence
		if s.plan.multipart && count == 0 {
			if err := s.firstJPEG(b.Data); err != nil {
				return count, err
			}
		}
		b.ReceivedAt = time.Now()
		b.Format, b.DriverSeq, b.CapturedAt = s.format, count, b.ReceivedAt
		count++
		if !s.plan.all {
			s.feed.Put(p)
		} else if !s.feed.PutWait(p, s.quit) {
			return count, os.ErrClosed
		}
	}
}

func (s *stream) firstJPEG(data []byte) error {
	w, h, err := jpegSize(data)
	if err != nil {
		return err
	}
	s.grant(device.Format{FourCC: device.MJPG, Width: w, Height: h}, false)
	return nil
}

// grant makes the format known. What GStreamer says about it was written before
// the first picture, but comes another way and may be a moment late.
func (s *stream) grant(f device.Format, ranged bool) {
	if s.plan.caps == nil {
		s.format = s.plan.granted(f, ranged)
		close(s.opened)
		return
	}
	timer := time.NewTimer(capsTimeout)
	defer timer.Stop()
	caps := ""
	select {
	case caps = <-s.plan.caps:
	case <-s.quit:
	case <-timer.C:
	}
	s.format = applyCaps(f, caps)
	close(s.opened)
}

// ending finds out why the pictures ended.
func (s *stream) ending(count uint32, err error) error {
	const op = "read"
	src := s.plan.source
	if errors.Is(err, os.ErrDeadlineExceeded) {
		kind := device.ErrStalled
		if src.networked {
			kind = device.ErrDisconnected
		}
		s.child.Stop()
		return &device.OpError{Op: op, Path: src.shown, Kind: kind, Err: errSilent}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.child.Stop() // it goes on, but not with pictures
		if count == 0 {
			return src.failure(op, device.ErrUnsupported, err, nil)
		}
		return src.failure(op, device.ErrDamaged, err, nil)
	}
	timer := time.NewTimer(exitTimeout)
	defer timer.Stop()
	select {
	case <-s.child.Done():
	case <-s.quit:
	case <-timer.C:
	}
	exit := s.child.Err()
	s.child.Stop()
	lines := s.child.Lines()
	switch {
	case count > 0:
		kind := src.endKind(s.plan.pipe, exit != nil)
		if exit == nil {
			exit = kind
		}
		return src.failure(op, kind, exit, lines)
	case exit != nil:
		return src.failure(op, nil, exit, lines)
	}
	return src.failure(op, nil, errNoPictures, lines)
}

var (
	errSilent     = errors.New("no picture within the time limit")
	errNoPictures = errors.New("no pictures")
)
