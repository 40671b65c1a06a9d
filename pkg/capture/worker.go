package capture

import (
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

// worker turns the buffers of one session into frames. It belongs to the
// capture goroutine.
type worker struct {
	s         *Supervisor
	granted   device.Format
	enc       Encoder // nil when the camera makes JPEG
	rework    Rework  // nil when its JPEG is passed through
	delivered bool
	// sampling is the colour resolution of the pictures; empty before the first.
	sampling string
}

// encoderName says who makes the JPEG.
func (w *worker) encoderName() string {
	switch {
	case w.enc != nil:
		return w.enc.Name()
	case w.rework != nil && w.rework.Name() != "":
		return "camera, changed by " + w.rework.Name()
	}
	return "camera"
}

// use takes one lent buffer. A bad picture is counted, never an error: the
// camera may recover with the next one.
func (w *worker) use(b *device.Buffer) error {
	w.s.setWorking()
	f, repaired, err := w.frame(b)
	if err != nil {
		w.s.bad(b, err)
		return nil
	}
	if !w.delivered {
		w.delivered = true
		if info, err := jpeg.Header(f.Data); err == nil {
			w.sampling = info.Sampling
		}
	}
	w.s.good(b, f, repaired, w.sampling)
	return nil
}

// setWorking notes that a picture arrived and is being dealt with. good and bad
// note the end of it.
func (s *Supervisor) setWorking() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.working = true
}

// Reasons for which a picture is not shown, beside those of pkg/jpeg.
var (
	errFlagged = errors.New("flagged as damaged by the driver")
	errEncode  = errors.New("cannot be encoded")
)

// frame makes the one copy of the picture that all viewers share.
func (w *worker) frame(b *device.Buffer) (f *device.Frame, repaired bool, err error) {
	f = &device.Frame{Width: b.Format.Width, Height: b.Format.Height, DriverSeq: b.DriverSeq, CapturedAt: b.CapturedAt}
	switch {
	case len(b.Data) == 0:
		return nil, false, jpeg.ErrEmpty
	case b.Corrupt:
		return nil, false, errFlagged
	case w.enc == nil:
		p, err := jpeg.Clean(b.Data)
		if err != nil {
			return nil, false, err
		}
		f.Data, f.Width, f.Height = p.Data, p.Width, p.Height
		repaired = len(p.Data) != len(b.Data)
		if w.rework != nil {
			if f.Data, f.Width, f.Height, err = w.rework.Rework(p.Data, p.Width, p.Height); err != nil {
				return nil, false, errors.Join(errEncode, err)
			}
		}
		return f, repaired, nil
	default:
		f.Data, err = w.enc.Encode(b)
		if err != nil {
			return nil, false, errors.Join(errEncode, err)
		}
		f.Width, f.Height = w.enc.Size()
		return f, false, nil
	}
}

// good publishes a live frame.
func (s *Supervisor) good(b *device.Buffer, f *device.Frame, repaired bool, sampling string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.countGapLocked(b)
	ss := &s.session
	// A single long silence is a stall and no measure of the camera's pace. One
	// after another they are: this camera is slow.
	silent := s.st.State != status.Online
	if !ss.lastGood.IsZero() && (!silent || ss.wasSilent) {
		ss.intervals[ss.next] = now.Sub(ss.lastGood)
		ss.next = (ss.next + 1) % len(ss.intervals)
	}
	ss.wasSilent = silent
	ss.lastGood, ss.invalid, ss.working = now, nil, false
	s.width, s.height, s.sampling = f.Width, f.Height, sampling
	if repaired {
		s.st.Counters.Repaired++
	}
	s.st.Counters.Frames++
	s.rates.add(now)
	s.publishLocked(f, now)
	s.onlineLocked(now)
}

// bad counts a picture that cannot be shown.
func (s *Supervisor) bad(b *device.Buffer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countGapLocked(b)
	if s.session.invalid == nil {
		s.wakeWatch() // there is less to wait for now
	}
	s.session.invalid, s.session.working = err, false
	c := &s.st.Counters
	switch {
	case errors.Is(err, errFlagged):
		c.InvalidFlagged++
	case errors.Is(err, jpeg.ErrEmpty):
		c.InvalidEmpty++
	case errors.Is(err, jpeg.ErrTruncated):
		c.InvalidTruncated++
	case errors.Is(err, errEncode):
		c.InvalidEncode++
	default:
		c.InvalidGarbage++
	}
}

// countGapLocked accounts for pictures that never reached us.
func (s *Supervisor) countGapLocked(b *device.Buffer) {
	ss := &s.session
	s.st.Counters.DroppedStale += uint64(max(0, b.Stale))
	// The difference of unsigned numbers survives their wrap-around. A step
	// back (a driver that starts over) looks like a huge gap and is not one.
	if gap := b.DriverSeq - ss.lastSeq - 1; ss.haveSeq && gap < 1<<31 && uint64(gap) > uint64(max(0, b.Stale)) {
		s.st.Counters.DroppedByDriver += uint64(gap) - uint64(max(0, b.Stale))
	}
	ss.lastSeq, ss.haveSeq = b.DriverSeq, true
}

// publishLocked gives a frame to the hub.
func (s *Supervisor) publishLocked(f *device.Frame, now time.Time) {
	f.PublishedAt = now
	s.shownAt, s.shownCode = now, f.Placeholder
	s.cfg.Hub.Publish(f)
}
