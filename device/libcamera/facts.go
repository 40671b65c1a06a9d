package libcamera

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stampWait is how long the facts about a picture are waited for, once it is
	// there. The program writes them right after it.
	stampWait = 10 * time.Millisecond
	// settle is the pause after which no more stamps are on their way, when they
	// have to be matched anew. Chosen: less than a picture takes at 120 fps.
	settle = 5 * time.Millisecond
	// patience is for how many pictures in a row that is done in vain. Chosen:
	// more than a busy computer makes it miss.
	patience = 10
	// oldest bounds how long before its arrival a picture may have been taken.
	// Chosen: the longest exposure has minutes, but then the stamp is of no use
	// to anybody; a clock that differs is told apart by it.
	oldest = 10 * time.Second
)

// stamp is when a picture was taken.
type stamp struct {
	frame uint32
	at    int64 // nanoseconds of CLOCK_BOOTTIME, 0 when not told
}

// facts reads what the program tells about pictures, always, so that it never
// has to wait. The methods of a nil *facts do nothing.
type facts struct {
	cam    *Camera
	r      *os.File
	stamps chan stamp
	done   chan struct{} // nil until run was started

	// The rest belongs to the goroutine that reads the pictures.
	timer   *time.Timer
	frame   uint32 // the picture that comes next
	ahead   stamp  // of a later picture
	waiting bool   // ahead is set
	missed  int    // pictures in a row
	resync  bool   // it is not known which stamp comes next
	last    time.Time
}

// newFacts reads from r, and closes it in the end. last is the time of the
// picture before.
func newFacts(c *Camera, r *os.File, last time.Time) *facts {
	f := &facts{cam: c, r: r, stamps: make(chan stamp, 64), timer: time.NewTimer(time.Hour), last: last}
	f.timer.Stop()
	return f
}

func (f *facts) start() {
	if f == nil {
		return
	}
	f.done = make(chan struct{})
	go f.run()
}

// close ends run and waits for it.
func (f *facts) close() {
	if f == nil {
		return
	}
	f.timer.Stop()
	_ = f.r.Close() // it was only read
	if f.done != nil {
		<-f.done
	}
}

func (f *facts) run() {
	defer close(f.done)
	var p metadataParser
	buf := make([]byte, 4096)
	tell := func(m Metadata) {
		f.cam.mu.Lock()
		f.cam.metadata, f.cam.told = m, true
		f.cam.mu.Unlock()
		select {
		case f.stamps <- stamp{m.Frame, m.SensorTimestamp}:
		default: // nobody wants them any more
		}
	}
	for {
		n, err := f.r.Read(buf)
		p.write(buf[:n], tell)
		if err != nil {
			return
		}
	}
}

// capturedAt gives the time when the picture that has just been received was
// taken; without facts, the time of its arrival. It rises from call to call.
func (f *facts) capturedAt(received time.Time) time.Time {
	if f == nil {
		return received
	}
	now := bootTime()
	at := received
	if s, ok := f.next(); ok {
		at = takenAt(received, now, s.at)
		f.cam.mu.Lock()
		f.cam.delay = received.Sub(at)
		f.cam.mu.Unlock()
	}
	if !at.After(f.last) {
		at = f.last.Add(time.Microsecond)
	}
	f.last = at
	return at
}

// takenAt converts a time of CLOCK_BOOTTIME. What cannot be right gives the time
// of arrival.
func takenAt(received time.Time, now, at int64) time.Time {
	age := now - at
	if at <= 0 || now <= 0 || age < 0 || age > int64(oldest) {
		return received
	}
	return received.Add(-time.Duration(age))
}

// bootTime reads CLOCK_BOOTTIME in nanoseconds, 0 when that fails.
func bootTime() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// skipped tells that the pictures before the next one were not all seen, so that
// counting is of no use.
func (f *facts) skipped() {
	if f != nil {
		f.resync = true
	}
}

// next gives the stamp of the picture that has just been received.
func (f *facts) next() (stamp, bool) {
	frame := f.frame
	f.frame++
	if f.missed >= patience {
		return stamp{}, false
	}
	if f.waiting && !f.resync {
		switch {
		case f.ahead.frame == frame:
			f.waiting = false
			return f.ahead, true
		case f.ahead.frame > frame:
			return stamp{}, false
		}
	}
	f.timer.Reset(stampWait)
	defer f.timer.Stop()
	for {
		select {
		case s := <-f.stamps:
			f.missed = 0
			if f.resync {
				f.resync, f.waiting = false, false
				s = f.newest(s)
				f.frame = s.frame + 1
				return s, true
			}
			switch {
			case s.frame == frame:
				f.waiting = false
				return s, true
			case s.frame > frame:
				f.ahead, f.waiting = s, true
				return stamp{}, false
			}
		case <-f.timer.C:
			f.missed++
			if f.missed == patience {
				f.cam.log.Warn("rpicam-vid tells no capture times, taking those of arrival")
			}
			return stamp{}, false
		}
	}
}

// newest takes stamps until there come no more: the last one is that of the
// picture that was read last.
func (f *facts) newest(s stamp) stamp {
	for {
		f.timer.Reset(settle)
		select {
		case s = <-f.stamps:
		case <-f.timer.C:
			return s
		}
	}
}
