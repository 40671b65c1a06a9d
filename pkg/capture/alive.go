package capture

import (
	"context"
	"errors"
	"time"
)

// What the goroutines may take for what never waits for a camera to deliver.
const (
	// watchEvery is how often the watch goroutine comes round at least, watchTime
	// what it may take to: it draws pictures in between, on a slow computer.
	watchEvery = 5 * time.Second
	watchTime  = 15 * time.Second
	// openTime is for opening and starting a camera: programs that read from a
	// network give up after 30 s, and some are started twice.
	openTime = 70 * time.Second
	// closeTime is for letting go of a camera. The kernel gives up on one at USB
	// that does not answer after 5 s (USB_CTRL_SET_TIMEOUT), and a program that reads
	// one gets 2 s to end by itself.
	closeTime = 7 * time.Second
	// workTime is for one picture, from when it came until it is shown: several
	// encoders may be tried, of which each may take 2 s.
	workTime = 10 * time.Second
	// askAfter is how long nothing comes from a camera with a driver before the
	// capture goroutine is asked whether it still waits, and again after that;
	// answerTime is for its answer, which takes a millisecond. Chosen: together with
	// a new start below the 10 s that a person waits before they pull the plug.
	askAfter   = 2 * time.Second
	answerTime = 3 * time.Second
)

// A camera that is silent and a driver that hangs look the same from outside: the
// capture goroutine is in Next. So it is asked: the context of that call is
// cancelled, and it comes back, notes that it did and goes on to wait. Only cameras
// on a bus have a driver that can hang. All others wait in Go; and what programs
// that embed this one have begun would be lost by the question.

// errAsked is the cause of a context that was cancelled as a question.
var errAsked = errors.New("asked for a sign of life")

// duties are what the goroutines of Run owe: a time of the clock of beat by which to be
// done, zero for nothing.
type duties struct {
	// round is when the watch goroutine is to have come round.
	round time.Duration
	// opened is when the capture goroutine is to have started the camera, answered
	// when to have left Next, closed when to have let the camera go.
	opened, answered, closed time.Duration
	// worked is when the next of the pictures in work is to be done.
	worked time.Duration
}

// Alive says whether the goroutines of Run still do what they are for. A camera
// that is missing, silent or sends rubbish is no reason for false. A driver that
// hangs is: then the capture goroutine does not come back from it when asked to. A
// computer that is too busy, or sleeps, is none, either. slack is added to what
// opening may take, for sources that are told to wait. While Run does not run it is
// true.
func (s *Supervisor) Alive(slack time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, d := s.livedLocked(), s.duties
	done := func(by, slack time.Duration) bool { return by == 0 || now < by+slack }
	return done(d.round, 0) && done(d.opened, slack) && done(d.answered, 0) && done(d.closed, 0) && done(d.worked, 0)
}

// How the clock of duties goes: beatEvery is the pace of the heart, beatLate by how
// much it may be late without being missed.
const (
	beatEvery = time.Second
	beatLate  = 100 * time.Millisecond
)

// heart is a clock that stands still while the program does: for want of a
// processor or memory, or since it was stopped. Nobody is late by that time.
type heart struct {
	lived time.Duration // up to latest
	// latest is when it beat last.
	latest time.Time
}

// at is the time of the clock. Between beats it goes on for as long as one may take.
func (h *heart) at(now time.Time) time.Duration {
	return h.lived + min(now.Sub(h.latest), beatEvery+beatLate)
}

// beat has the clock go until ctx ends.
func (s *Supervisor) beat(ctx context.Context) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.mu.Lock()
		now := time.Now()
		s.heart = heart{lived: s.heart.at(now), latest: now}
		s.mu.Unlock()
	}
}

// livedLocked is the time of the clock of duties.
func (s *Supervisor) livedLocked() time.Duration { return s.heart.at(time.Now()) }

// withinLocked is when a duty is to be done that may take d.
func (s *Supervisor) withinLocked(d time.Duration) time.Duration { return s.livedLocked() + d }

// comesRound notes that the watch goroutine works.
func (s *Supervisor) comesRound() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.round = s.withinLocked(watchTime)
}

// beginsToOpen notes that the capture goroutine begins to open the camera.
func (s *Supervisor) beginsToOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.opened = s.withinLocked(openTime)
}

// beginsToClose notes that it begins to let the camera go.
func (s *Supervisor) beginsToClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.opened, s.duties.answered, s.duties.closed = 0, 0, s.withinLocked(closeTime)
}

// endLocked tells it to, for a reason. While it is in a call to the camera, that
// is to come back.
func (s *Supervisor) endLocked(cause error) {
	if s.duties.closed == 0 {
		s.duties.closed = s.withinLocked(closeTime)
	}
	s.session.cancel(cause)
}

// owesNothing notes that there is no camera to hang in.
func (s *Supervisor) owesNothing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties = duties{round: s.duties.round}
}

// worksLocked notes that a picture came, or that one is done.
func (s *Supervisor) worksLocked() {
	s.duties.worked = 0
	if s.session.working > 0 {
		s.duties.worked = s.withinLocked(workTime)
	}
}

// waiting gives the context for the calls of Next in a session.
func (s *Supervisor) waiting(ctx context.Context) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.answered = 0
	s.session.heard = time.Now()
	if !s.session.driven {
		return ctx
	}
	if s.session.unask != nil {
		s.session.unask(nil) // frees it
	}
	next, cancel := context.WithCancelCause(ctx)
	s.session.unask = cancel
	return next
}

// askLocked asks the capture goroutine for a sign of life when there was none for a
// while, and says when to look again.
func (s *Supervisor) askLocked(now time.Time) (wait time.Duration) {
	ss := &s.session
	switch {
	case !ss.driven, s.duties.answered != 0:
		return time.Hour
	case ss.unask == nil, ss.working > 0:
		return askAfter // it is about to wait, or busy
	}
	if left := askAfter - now.Sub(ss.heard); left > 0 {
		return left
	}
	s.duties.answered = s.withinLocked(answerTime)
	ss.unask(errAsked)
	return time.Hour
}
