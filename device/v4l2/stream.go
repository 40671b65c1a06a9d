package v4l2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

const (
	// wantBuffers: one is being filled, one waits to be, one is out with the
	// reader, one is the newest picture meanwhile. Two are too few: the driver
	// has none to fill while we look at one.
	wantBuffers = 4
	minBuffers  = 2

	// maxFailures in a row, retryPause apart, are taken as bad luck: the kernel
	// documents EIO of DQBUF as possibly temporary, and gives it for some
	// milliseconds between pulling a USB camera and ENODEV (31 ms seen with
	// Linux 6.12). Both numbers chosen.
	maxFailures = 10
	retryPause  = 20 * time.Millisecond

	// maxReorder is how many pictures a driver may finish too early: uvcvideo
	// copies them in parallel since Linux 4.20, and on a busy machine a later one
	// can be done first. Chosen, larger than the number of buffers.
	maxReorder = 16

	// driverBuffers are never held: one to be filled and one to be looked at.
	driverBuffers = 2
)

// stream is a running capture. Buffers are passed to the kernel from fields, so
// that none is allocated per picture.
type stream struct {
	on       bool // STREAMON was tried and STREAMOFF was not
	asked    bool // REQBUFS gave buffers that were not given back
	format   device.Format
	whole    int      // bytes of a whole raw picture
	maps     [][]byte // the driver's buffers by index
	exports  []*export
	dequeued rawBuffer
	held     rawBuffer // the newest good buffer, out of the driver's queue
	requeued rawBuffer
	lent     device.Buffer
	last     rawBuffer // the one lent last, for its number and time
	passed   int       // pictures skipped that are newer than the last one lent
	hold     func() (release func(), ok bool)

	event rawEvent
	moved bool // the source changed: nothing that follows is what was granted
	eos   bool // the driver says that no more pictures come

	done    <-chan struct{} // of the context that wakes us
	unwatch func() bool     // stops the context from waking us, nil when none does
}

// Start negotiates and begins to capture. Zero fields of want mean 1280x720, 30
// fps, and the pixel format that costs least; see choose for the rule. The
// nearest size is taken when the wanted one is not offered.
func (c *Camera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	const op = "v4l2 start"
	if err := c.enter(op); err != nil {
		return device.Format{}, err
	}
	defer c.leave()
	if c.stream.on {
		return device.Format{}, &device.OpError{Op: op, Path: c.info.Path, Err: errStarted}
	}
	c.listen()
	granted, err := c.negotiate(ctx, op, want)
	if err != nil {
		return device.Format{}, err
	}
	c.stream.format, c.stream.whole = granted, pictureBytes(granted)
	if err := c.startStream(); err != nil {
		// The camera stays open and stopped; what failed first is what counts.
		_ = c.stopStream()
		return device.Format{}, err
	}
	return granted, nil
}

var (
	errStarted    = errors.New("already started")
	errNotStarted = errors.New("not started")
)

// startStream gets buffers, maps and queues them, and switches the stream on.
// After an error the caller stops the stream.
func (c *Camera) startStream() error {
	r := rawRequest{Count: wantBuffers, Type: bufTypeVideoCapture, Memory: memoryMMAP}
	if err := c.node.requestBuffers(&r); err != nil {
		return c.failure("v4l2 request buffers", "", err)
	}
	c.stream.asked = r.Count > 0
	if r.Count < minBuffers {
		return c.failure("v4l2 request buffers", "", unix.ENOMEM)
	}
	for i := range r.Count {
		b := rawBuffer{Index: i, Type: bufTypeVideoCapture, Memory: memoryMMAP}
		if err := c.node.queryBuffer(&b); err != nil {
			return c.failure("v4l2 query buffer", "", err)
		}
		data, err := c.node.mmap(b.offset(), int(b.Length))
		if err != nil {
			return c.failure("v4l2 map buffer", "", err)
		}
		c.stream.maps = append(c.stream.maps, data)
		c.stream.exports = append(c.stream.exports, newExport(c.node, i))
		if err := c.requeue(i); err != nil {
			return c.failure("v4l2 queue buffer", "", err)
		}
	}
	c.stream.on = true
	if err := c.node.stream(true); err != nil {
		detail := ""
		if is(err, unix.ENOSPC) {
			detail = "not enough USB bandwidth for " + c.stream.format.String()
		}
		return c.failure("v4l2 stream on", detail, err)
	}
	c.beginHolds(int(r.Count) - driverBuffers)
	return nil
}

// Stop ends capturing and gives the buffers back. It waits for pictures that
// are held; the camera itself stops at once.
func (c *Camera) Stop() error {
	if err := c.enter("v4l2 stop"); err != nil {
		return err
	}
	defer c.leave()
	return c.stopStream()
}

// stopStream undoes startStream, however far it came, and returns what went
// wrong.
func (c *Camera) stopStream() error {
	c.endFilling()
	err := c.streamOff()
	c.awaitHolds()
	return errors.Join(err, c.freeStream())
}

// streamOff stops the camera, once. One that is gone needs no stopping.
func (c *Camera) streamOff() error {
	if !c.stream.on {
		return nil
	}
	c.stream.on = false
	if err := c.node.stream(false); err != nil && !is(err, unix.ENODEV, unix.ENXIO) {
		return &device.OpError{Op: "v4l2 stream off", Path: c.info.Path, Err: err}
	}
	return nil
}

// freeStream gives the memory of a stopped camera back.
func (c *Camera) freeStream() error {
	s := &c.stream
	if s.unwatch != nil {
		s.unwatch()
	}
	var errs []error
	check := func(op string, err error) {
		if err != nil && !is(err, unix.ENODEV, unix.ENXIO) {
			errs = append(errs, &device.OpError{Op: op, Path: c.info.Path, Err: err})
		}
	}
	for _, e := range s.exports {
		check("v4l2 close exported buffer", e.close())
	}
	for _, m := range s.maps {
		check("v4l2 unmap buffer", c.node.munmap(m))
	}
	if s.asked {
		check("v4l2 release buffers", c.node.requestBuffers(&rawRequest{Type: bufTypeVideoCapture, Memory: memoryMMAP}))
	}
	c.stream = stream{}
	return errors.Join(errs...)
}

// Next waits for the newest picture and lends it to use. See [device.Camera].
//
// A picture that the driver flagged as damaged, that is empty, or that is raw
// and too short for its format is lent only when there is no better one, with
// Corrupt set. Ten failures in a row to get any, 200 ms in all, are an error of
// kind ErrStalled. When the camera's own source changes, such as the signal at
// an HDMI input, the error matches [ErrSourceChanged] until the camera was
// stopped. When the driver says that no more pictures come, those before that
// come first and then an error of kind ErrStalled that matches [ErrNoMore]: a
// camera is no recording, and may go on when it is opened anew.
func (c *Camera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	const op = "v4l2 next"
	if err := c.enter(op); err != nil {
		return err
	}
	defer c.leave()
	if err := c.interrupted(ctx, op); err != nil {
		return err
	}
	if !c.stream.on {
		return &device.OpError{Op: op, Path: c.info.Path, Err: errNotStarted}
	}
	if err := c.takeLost(); err != nil {
		return c.failure("v4l2 queue buffer", "", err)
	}
	c.watch(ctx)
	for failures := 0; ; {
		events, err := c.await(ctx, op)
		if err != nil {
			return err
		}
		stale, err := c.drain()
		switch {
		case err == nil:
			return c.lend(stale, use)
		case c.stream.eos && is(err, unix.EAGAIN, unix.EPIPE):
			return &device.OpError{Op: op, Path: c.info.Path, Kind: device.ErrStalled, Err: ErrNoMore}
		case is(err, unix.EAGAIN) && events&unix.POLLHUP != 0:
			// V4L2 says POLLHUP only for nodes that are not registered any more.
			return &device.OpError{Op: op, Path: c.info.Path, Kind: device.ErrUnplugged}
		case is(err, unix.EAGAIN) && events&unix.POLLERR == 0:
			continue
		case is(err, unix.EIO, unix.EPROTO, unix.EAGAIN):
			// POLLERR alone means a failed queue or none: asking tells, and is
			// not worth believing at once. EPROTO is what USB says of a bus error.
			if failures++; failures < maxFailures {
				if err := c.node.pause(retryPause); err != nil {
					return c.failure("v4l2 poll", "", err)
				}
				// The pause may have used up the wake that was meant for us.
				if err := c.interrupted(ctx, op); err != nil {
					return err
				}
				continue
			}
			return c.stalled(err)
		default:
			return c.dequeueFailure(err)
		}
	}
}

// await waits until there may be a picture and deals with events. It returns
// poll's answer, 0 when there is no need to wait because nothing more comes.
func (c *Camera) await(ctx context.Context, op string) (events int16, err error) {
	for events == 0 && !c.stream.eos && !c.stream.moved {
		if events, err = c.node.wait(); err != nil {
			return 0, c.failure("v4l2 poll", "", err)
		}
		if err := c.interrupted(ctx, op); err != nil {
			return 0, err
		}
		if events&unix.POLLPRI != 0 {
			if err := c.takeEvents(); err != nil {
				return 0, c.failure("v4l2 dequeue event", "", err)
			}
		}
		events &^= unix.POLLPRI // 0 here: a wake for something that is over, or events alone
	}
	if c.stream.moved {
		return 0, &device.OpError{Op: op, Path: c.info.Path, Err: ErrSourceChanged}
	}
	return events, nil
}

// dequeueFailure describes why no picture could be had. EPIPE of a camera that
// is still there is how the kernel says that the last one was dequeued.
func (c *Camera) dequeueFailure(err error) error {
	e := failure(c.node, "v4l2 dequeue", c.info.Path, "", err)
	if e.Kind == nil && is(err, unix.EPIPE) {
		e.Kind, e.Err = device.ErrStalled, fmt.Errorf("%w: %w", ErrNoMore, err)
	}
	return e
}

// stalled describes a camera that only fails, unless it turns out to be gone.
func (c *Camera) stalled(err error) error {
	e := failure(c.node, "v4l2 dequeue", c.info.Path, "", err)
	if e.Kind == nil {
		e.Kind = device.ErrStalled
	}
	return e
}

// watch lets the end of ctx wake us. The registration stays for the next call
// with the same context: making one allocates, and there is a call per picture.
func (c *Camera) watch(ctx context.Context) {
	done := ctx.Done()
	if done == c.stream.done {
		return
	}
	if c.stream.unwatch != nil {
		c.stream.unwatch()
		c.stream.unwatch = nil
	}
	if c.stream.done = done; done != nil {
		c.stream.unwatch = context.AfterFunc(ctx, c.wake)
	}
}

// drain takes all filled buffers from the driver, keeps the newest good one in
// held (or the newest, when all are bad) and gives the others back. It returns
// how many older ones that were, or EAGAIN when there was no buffer at all.
func (c *Camera) drain() (stale int, err error) {
	s := &c.stream
	have, newer := false, 0
	// A driver that fills buffers faster than we hand them back must not keep
	// us here: one round is enough to be fresh.
	for range s.maps {
		s.dequeued = rawBuffer{Type: bufTypeVideoCapture, Memory: memoryMMAP}
		if err := c.node.dequeue(&s.dequeued); err != nil {
			if have {
				break // The picture first; what is wrong will be wrong next time.
			}
			return 0, err
		}
		if int(s.dequeued.Index) >= len(s.maps) {
			return 0, errBadIndex
		}
		back := s.dequeued.Index
		if s.dequeued.Flags&bufFlagLast != 0 {
			s.eos = true
			if s.dequeued.BytesUsed == 0 {
				continue // A mark and no picture; there is nothing to fill it again.
			}
		}
		switch {
		case outOfOrder(&s.dequeued, &s.last):
			// Too late: a newer one was lent. It counts as lost.
		case !have:
			s.held, have = s.dequeued, true
			continue
		case outOfOrder(&s.dequeued, &s.held) && c.good(&s.held):
			stale++
		case c.good(&s.dequeued) || !c.good(&s.held):
			back = s.held.Index
			s.held = s.dequeued
			stale += 1 + newer
			newer = 0
		default:
			newer++
		}
		if err := c.requeue(back); err != nil {
			return 0, err
		}
	}
	if !have {
		return 0, unix.EAGAIN
	}
	s.last = s.held
	stale += s.passed
	s.passed = newer
	return stale, nil
}

// outOfOrder says that a was taken before b, although it was delivered later.
// Both number and time have to say so: there are drivers that count nothing, and
// clocks of cameras that jump.
func outOfOrder(a, b *rawBuffer) bool {
	behind := int32(b.Sequence - a.Sequence) // the number may wrap
	return behind > 0 && behind <= maxReorder && (a.Sec < b.Sec || a.Sec == b.Sec && a.Usec < b.Usec)
}

var errBadIndex = errors.New("the driver returned a buffer that does not exist")

// good says whether the driver vouches for a picture and it can be whole.
func (c *Camera) good(b *rawBuffer) bool {
	return b.Flags&bufFlagError == 0 && b.BytesUsed > 0 && int(b.BytesUsed) >= c.stream.whole
}

// lend gives the held buffer to use and back to the driver, also when use
// panics. One that use keeps goes back later.
func (c *Camera) lend(stale int, use func(*device.Buffer) error) (err error) {
	s := &c.stream
	data := s.maps[s.held.Index]
	used := min(int(s.held.BytesUsed), len(data))
	received := time.Now()
	s.lent = device.Buffer{
		Data:       data[:used:used],
		Format:     s.format,
		DriverSeq:  s.held.Sequence,
		Stale:      stale,
		Corrupt:    !c.good(&s.held),
		CapturedAt: c.capturedAt(received),
		ReceivedAt: received,
		Hold:       s.hold,
		DMABUF:     s.exports[s.held.Index].get,
	}
	c.beginLoan()
	defer func() {
		s.lent.Data, s.lent.Hold, s.lent.DMABUF = nil, nil, nil
		if c.endLoan() {
			return
		}
		if rerr := c.requeue(s.held.Index); rerr != nil && err == nil {
			err = c.failure("v4l2 queue buffer", "", rerr)
		}
	}()
	return use(&s.lent)
}

// capturedAt converts the held buffer's time stamp. It is compared with the
// driver's clock now, not with a reading at the start: the wall clock of a Pi
// jumps when the network gives it the time. A stamp of another clock, or from the
// future, which is the same (uvcvideo can be told to use CLOCK_REALTIME without
// flagging it), means that only the time of receipt is known.
func (c *Camera) capturedAt(received time.Time) time.Time {
	b := &c.stream.held
	if b.Flags&bufFlagTimestampMask != bufFlagTimestampMono || (b.Sec == 0 && b.Usec == 0) {
		return received
	}
	now, err := c.node.now()
	age := now - time.Duration(b.Sec)*time.Second - time.Duration(b.Usec)*time.Microsecond
	if err != nil || age < 0 {
		return received
	}
	return received.Add(-age)
}

// requeue gives a buffer to the driver to fill.
func (c *Camera) requeue(index uint32) error {
	c.stream.requeued = rawBuffer{Index: index, Type: bufTypeVideoCapture, Memory: memoryMMAP}
	return c.node.queue(&c.stream.requeued)
}
