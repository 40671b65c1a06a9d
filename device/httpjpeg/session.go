package httpjpeg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/jpegscan"
)

const (
	// progressTimeouts is how many read time-outs may pass without a whole
	// picture while bytes do come. Chosen: a sender that drips is of no use.
	progressTimeouts = 3
	// maxAge is how old a picture's own time stamp may be to be believed.
	// Chosen: pictures are seldom that late, and clocks that disagree usually
	// do so by more, or by a negative age.
	maxAge = 5 * time.Second
)

// session is one connection and the goroutine that reads it.
//
//	connecting ──first picture with a size──► ready ──error or end──► done
type session struct {
	t        *target
	log      *slog.Logger
	timeout  time.Duration
	interval time.Duration // between snapshots
	box      *mailbox
	cancel   context.CancelCauseFunc

	ready chan struct{} // closed when the fields up to the blank line are set
	// width and height are the size of the first picture, in pixels; snapshot
	// says that pictures are asked for one by one.
	width, height int
	snapshot      bool

	done chan struct{} // closed when err is set and the goroutine ends
	err  error

	silence, progress *time.Timer
	damaged           atomic.Bool            // the last picture was; read by progress's timer
	shown             atomic.Pointer[string] // the last picture's placeholder, the same

	// Only the reading goroutine uses what follows.
	isReady         bool
	seq             uint32
	last            time.Time // CapturedAt of the last picture
	lastW, lastH    int
	wrongLengthsLog bool
}

// begin starts the reading goroutine. The caller ends it with end.
func begin(ctx context.Context, t *target, log *slog.Logger, timeout, interval time.Duration) *session {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // it outlives Start
	s := &session{
		t: t, log: log, timeout: timeout, interval: interval, box: newMailbox(), cancel: cancel,
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	s.silence = time.AfterFunc(timeout, func() { cancel(&silentError{timeout}) })
	s.progress = time.AfterFunc(timeout*progressTimeouts, func() {
		cancel(&pictureError{timeout * progressTimeouts, s.damaged.Load(), s.shown.Load()})
	})
	go func() {
		defer close(s.done)
		s.err = s.run(ctx)
		s.box.fail(s.err)
	}()
	return s
}

// end stops the goroutine and waits for it. Any goroutine may call it, also
// more than once.
func (s *session) end() {
	s.cancel(errStopped)
	<-s.done
}

// run reads until something ends it, and says what that was.
func (s *session) run(ctx context.Context) error {
	defer s.cancel(errStopped)
	defer s.silence.Stop()
	defer s.progress.Stop()
	a, err := s.ask(ctx, nil)
	if err != nil {
		return ended(ctx, err)
	}
	if a.snapshot {
		return ended(ctx, s.poll(ctx, a))
	}
	return ended(ctx, s.stream(ctx, a))
}

// ask sends the request, follows redirects and gives the answer.
func (s *session) ask(ctx context.Context, condition http.Header) (answer, error) {
	u := s.t.url
	for range maxRedirects + 1 {
		r := s.t.request(u).WithContext(ctx)
		maps.Copy(r.Header, condition)
		resp, err := s.t.client.Do(r)
		if err != nil {
			return answer{}, err
		}
		s.silence.Reset(s.timeout)
		to, err := redirected(resp, u)
		if err == nil && to == nil {
			a, err := s.t.judge(resp)
			if err != nil {
				_ = resp.Body.Close() // the error tells more
			}
			return a, err
		}
		_ = resp.Body.Close() // nobody reads it
		if err != nil {
			return answer{}, err
		}
		u = to
	}
	return answer{}, &answerError{device.ErrUnsupported, "points from one place to another without end"}
}

// stream reads a multipart answer to its end.
func (s *session) stream(ctx context.Context, a answer) error {
	defer func() { _ = a.Body.Close() }() // it was only read
	parts := newPartReader(&watchedReader{a.Body, s}, a.boundary)
	for {
		p, err := parts.next(ctx)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("connection was cut in the middle of a picture")
		case errors.Is(err, io.EOF):
			return errors.New("the camera ended the stream")
		case err != nil:
			return err
		}
		if parts.lengths == lengthsWrong && !s.wrongLengthsLog {
			s.wrongLengthsLog = true
			s.log.Debug("part lengths are wrong, looking for the end of each picture instead", "path", s.t.path)
		}
		s.deliver(p)
		if s.isReady && p.placeholder == "" {
			s.progress.Reset(s.timeout * progressTimeouts)
		}
	}
}

// poll takes the picture of a snapshot answer and asks for the next ones.
//
// An answer "not modified" gives the same picture again: the camera has just
// said that it is the current one, and a flow of pictures is what tells that the
// camera is there.
func (s *session) poll(ctx context.Context, a answer) error {
	s.snapshot = true
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	var body bytes.Buffer
	condition := http.Header{}
	placeholder := "" // of the picture in body
	for {
		begun := time.Now()
		if a.StatusCode != http.StatusNotModified {
			body.Reset()
			_, err := body.ReadFrom(io.LimitReader(&watchedReader{a.Body, s}, maxPart+1))
			if err != nil {
				_ = a.Body.Close() // the first error tells more
				return err
			}
			if body.Len() > maxPart {
				_ = a.Body.Close() // the first error tells more
				return &answerError{device.ErrDamaged, "picture over " + strconv.Itoa(maxPart) + " bytes"}
			}
			condition = conditionOf(a.Header)
			placeholder = a.Header.Get(placeholderField)
		}
		_ = a.Body.Close() // it was only read
		s.silence.Stop()
		s.progress.Stop()
		if body.Len() > 0 {
			width, height, ok := jpegscan.Size(body.Bytes())
			s.deliver(part{
				data: body.Bytes(), width: width, height: height, corrupt: !ok,
				timestamp: a.Header.Get("X-Timestamp"), placeholder: placeholder, begun: begun,
			})
		}

		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		s.silence.Reset(s.timeout)
		s.progress.Reset(s.timeout * progressTimeouts)
		var err error
		if a, err = s.ask(ctx, condition); err != nil {
			return err
		}
		if !a.snapshot {
			_ = a.Body.Close() // another session reads it
			return errors.New("the camera sends a stream now")
		}
	}
}

// conditionOf gives the fields that ask for a picture only if it changed. The
// date alone would not do: its unit is a second.
func conditionOf(answer http.Header) http.Header {
	if tag := answer.Get("ETag"); tag != "" {
		return http.Header{"If-None-Match": {tag}}
	}
	return nil
}

// deliver puts a picture into the mailbox. Before the first one with a size,
// pictures are counted only: the format could not be granted. A placeholder
// tells the size, and nothing else: it is no picture of the camera.
func (s *session) deliver(p part) {
	if p.placeholder != "" {
		s.shown.Store(&p.placeholder)
		if possible(p.width, p.height) {
			s.grant(p)
		}
		return
	}
	s.shown.Store(nil)
	now := time.Now()
	seq := s.seq
	s.seq++
	p.corrupt = p.corrupt || !possible(p.width, p.height)
	s.damaged.Store(p.corrupt)
	if p.corrupt && !s.isReady {
		return
	}
	s.noteSize(p)
	pic := s.box.blank()
	pic.data = append(pic.data[:0], p.data...)
	pic.corrupt, pic.seq, pic.receivedAt = p.corrupt, seq, now
	pic.capturedAt = s.capturedAt(p)
	s.box.put(pic)
	s.grant(p)
}

// grant lets Start return with the size of the first picture.
func (s *session) grant(p part) {
	if !s.isReady {
		s.isReady = true
		s.width, s.height = p.width, p.height
		close(s.ready)
	}
}

// noteSize logs when pictures change their size: the granted format says
// otherwise from then on.
func (s *session) noteSize(p part) {
	if p.corrupt || p.width == s.lastW && p.height == s.lastH {
		return
	}
	if s.isReady {
		s.log.Info("camera changed its picture size", "path", s.t.path, "width", p.width, "height", p.height)
	}
	s.lastW, s.lastH = p.width, p.height
}

// capturedAt is when a picture was taken: by its own time stamp if that can be
// believed, otherwise when its first byte came. It always rises.
func (s *session) capturedAt(p part) time.Time {
	at := p.begun
	if seconds, err := strconv.ParseFloat(p.timestamp, 64); err == nil && seconds > 0 && seconds < math.MaxInt32*2 {
		stamp := time.UnixMicro(int64(seconds * 1e6))
		if age := p.begun.Sub(stamp); age >= 0 && age <= maxAge {
			at = p.begun.Add(-age)
		}
	}
	if !at.After(s.last) {
		at = s.last.Add(1)
	}
	s.last = at
	return at
}

func possible(width, height int) bool {
	return width > 0 && height > 0 && width <= device.MaxSide && height <= device.MaxSide && width*height <= device.MaxPixels
}

// watchedReader tells the session of every byte that comes.
type watchedReader struct {
	io.Reader
	s *session
}

func (w *watchedReader) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if n > 0 {
		w.s.silence.Reset(w.s.timeout)
	}
	return n, err
}
