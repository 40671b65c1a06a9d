package capture

import "time"

// What the goroutines may take for what never waits for a camera to deliver.
const (
	// watchEvery is how often the watch goroutine comes round at least, watchTime
	// what it may take to: it draws pictures in between, on a slow computer.
	watchEvery = 5 * time.Second
	watchTime  = 15 * time.Second
	// openTime is for opening and starting a camera: programs that read from a
	// network give up after 30 s, and some are started twice.
	openTime = 70 * time.Second
	// closeTime is for letting go of a camera. A program that reads one gets 2 s to
	// end by itself.
	closeTime = 10 * time.Second
)

// duties are what the goroutines of Run owe: a time by which to be done, zero for
// nothing.
type duties struct {
	// round is when the watch goroutine is to have come round.
	round time.Time
	// opened is when the capture goroutine is to have started the camera, closed
	// when it is to have let it go.
	opened, closed time.Time
}

// Alive says whether the goroutines of Run still do what they are for. A camera
// that is missing, silent or sends rubbish is no reason for false. A driver that
// hangs is: then the capture goroutine does not come back from it when told to.
// slack is added to what opening may take, for sources that are told to wait.
// While Run does not run it is true.
func (s *Supervisor) Alive(slack time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, d := time.Now(), s.duties
	done := func(by time.Time, slack time.Duration) bool { return by.IsZero() || now.Before(by.Add(slack)) }
	return done(d.round, 0) && done(d.opened, slack) && done(d.closed, 0)
}

// comesRound notes that the watch goroutine works.
func (s *Supervisor) comesRound() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.round = time.Now().Add(watchTime)
}

// beginsToOpen notes that the capture goroutine begins to open the camera.
func (s *Supervisor) beginsToOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.opened = time.Now().Add(openTime)
}

// beginsToClose notes that it begins to let the camera go.
func (s *Supervisor) beginsToClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.opened, s.duties.closed = time.Time{}, time.Now().Add(closeTime)
}

// endLocked tells it to, for a reason. While it is in a call to the camera, that
// is to come back.
func (s *Supervisor) endLocked(cause error) {
	if s.duties.closed.IsZero() {
		s.duties.closed = time.Now().Add(closeTime)
	}
	s.session.cancel(cause)
}

// owesNothing notes that there is no camera to hang in.
func (s *Supervisor) owesNothing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.opened, s.duties.closed = time.Time{}, time.Time{}
}
