package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// session is the camera while it is plugged in: one connection to the kernel.
// Fields below mu are guarded by it; replies are written with it held, because
// USB/IP forbids to answer a request after its withdrawal was confirmed.
type session struct {
	cam  *camera
	conn io.ReadWriteCloser
	fn   *function // used by serve only
	done chan struct{}
	wg   sync.WaitGroup

	mu        sync.Mutex
	changed   *sync.Cond
	out       *bufio.Writer
	queue     []request // for pictures, oldest first
	current   uint32    // the request being filled
	withdrawn bool      // it was unlinked meanwhile
	committed probe
	streams   int // counts commits: a frame begun before one is not finished after it
	closed    bool
}

// newSession serves the kernel on conn until close is called or the kernel
// hangs up, which closes done.
func newSession(cam *camera, conn io.ReadWriteCloser) *session {
	s := &session{cam: cam, conn: conn, done: make(chan struct{}), out: bufio.NewWriterSize(conn, 128<<10)}
	s.changed = sync.NewCond(&s.mu)
	s.fn = newFunction(cam.model, s.commit)
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		defer cancel()
		err := s.serve()
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			cam.log.Warn("connection to the kernel failed", "err", err)
		}
		s.mu.Lock()
		s.closed = true
		s.changed.Broadcast()
		s.mu.Unlock()
		close(s.done)
	})
	s.wg.Go(func() {
		s.stream(ctx)
	})
	return s
}

// close ends the session and waits for its goroutines.
func (s *session) close() {
	_ = s.conn.Close() // wakes both goroutines; there is nobody left to tell
	s.wg.Wait()
}

func (s *session) commit(p probe) {
	s.mu.Lock()
	s.committed = p
	s.streams++
	s.changed.Broadcast()
	s.mu.Unlock()
	s.cam.log.Info("stream committed", "format", p.format, "width", p.size().w, "height", p.size().h, "interval_100ns", p.interval)
}

// serve reads requests until that fails: control requests are answered at
// once, those for pictures wait in the queue.
func (s *session) serve() error {
	in := bufio.NewReaderSize(s.conn, 64<<10)
	for {
		q, err := readRequest(in)
		if err != nil {
			return err
		}
		switch {
		case q.unlink:
			err = s.withdraw(q)
		case q.endpoint == 0:
			reply, ok := s.fn.answer(parseSetup(q.setup), q.data)
			status, actual := int32(statusOK), len(reply)
			if !ok {
				status, reply, actual = statusStall, nil, 0
			} else if !q.in {
				reply, actual = nil, q.length
			}
			s.mu.Lock()
			err = s.reply(q.seq, status, actual, reply, nil)
			s.mu.Unlock()
		case q.in:
			s.mu.Lock()
			s.queue = append(s.queue, q)
			s.changed.Broadcast()
			s.mu.Unlock()
		default:
			err = fmt.Errorf("usbip: request %d: output to endpoint %d, which has none", q.seq, q.endpoint)
		}
		if err != nil {
			return err
		}
	}
}

// reply is called with mu held.
func (s *session) reply(seq uint32, status int32, actual int, data, packets []byte) error {
	if err := writeSubmitReply(s.out, seq, status, actual, data, packets); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *session) withdraw(q request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := int32(statusOK)
	if s.current == q.victim {
		s.withdrawn, status = true, statusConnreset
	}
	for i, w := range s.queue {
		if w.seq == q.victim {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			status = statusConnreset
			break
		}
	}
	if err := writeUnlinkReply(s.out, q.seq, status); err != nil {
		return err
	}
	return s.out.Flush()
}

// watched waits until somebody wants pictures and says which.
func (s *session) watched() (p probe, stream int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (len(s.queue) == 0 || s.streams == 0) && !s.closed {
		s.changed.Wait()
	}
	return s.committed, s.streams, !s.closed
}

// take returns the next request to fill; not ok if the stream was set up anew
// or the session ended.
func (s *session) take(stream int) (q request, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && s.streams == stream && !s.closed {
		s.changed.Wait()
	}
	if s.streams != stream || s.closed {
		return request{}, false
	}
	q = s.queue[0]
	s.queue = s.queue[1:]
	s.current, s.withdrawn = q.seq, false
	return q, true
}

// finish answers the request taken last, unless it was withdrawn.
func (s *session) finish(q request, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = 0
	if s.withdrawn {
		return false
	}
	return s.reply(q.seq, statusOK, len(data), data, q.packets) == nil
}

// send moves one picture in as many requests as it needs. scratch is reused.
func (s *session) send(frame []byte, toggle byte, stream int, scratch []byte) []byte {
	for first := true; first || len(frame) > 0; first = false {
		q, ok := s.take(stream)
		if !ok {
			return scratch
		}
		scratch = scratch[:0]
		switch {
		case q.packets == nil:
			n := min(len(frame), min(q.length, bulkPayload)-payloadHeaderLen)
			scratch = append(appendPayloadHeader(scratch, toggle, n == len(frame)), frame[:n]...)
			frame = frame[n:]
		case len(frame) == 0:
			// A picture of no bytes is one payload that is all header.
			scratch = appendPayloadHeader(scratch, toggle, true)
			_, _ = fillPackets(nil, q.packets, nil, toggle)
			setFirstPacket(q.packets, len(scratch))
		default:
			scratch, frame = fillPackets(scratch, q.packets, frame, toggle)
		}
		if !s.finish(q, scratch) {
			return scratch
		}
	}
	return scratch
}

// stream sends pictures at the negotiated rate while somebody watches. The
// schedule is absolute; what was missed is not made up for.
func (s *session) stream(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	var toggle byte
	var scratch []byte
	for {
		p, stream, ok := s.watched()
		if !ok {
			return
		}
		frame, period, resume := s.cam.next(p)
		if resume != nil { // stalled
			select {
			case <-resume:
			case <-ctx.Done():
				return
			}
			continue
		}
		if now := time.Now(); now.Sub(next) > 2*period {
			next = now
		}
		timer.Reset(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		next = next.Add(period)
		scratch = s.send(frame, toggle, stream, scratch)
		toggle ^= 1
	}
}
