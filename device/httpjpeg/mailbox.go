package httpjpeg

import (
	"sync"
	"time"
)

// picture is one picture in memory of ours.
type picture struct {
	data       []byte
	corrupt    bool
	seq        uint32
	capturedAt time.Time
	receivedAt time.Time
}

// mailbox holds the newest picture that nobody took yet. The reader puts, the
// consumer takes and gives back: three pictures' memory serves for ever.
type mailbox struct {
	wake chan struct{} // has a value when there is something new to take

	mu    sync.Mutex
	newer *picture
	stale int // pictures that newer ones replaced since the last one was taken
	err   error
	free  []*picture
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// blank gives memory for a picture.
func (m *mailbox) blank() *picture {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		p := m.free[n-1]
		m.free = m.free[:n-1]
		return p
	}
	return &picture{}
}

// put makes p the newest picture.
func (m *mailbox) put(p *picture) {
	m.mu.Lock()
	if m.newer != nil {
		m.stale++
		m.free = append(m.free, m.newer)
	}
	m.newer = p
	m.mu.Unlock()
	m.signal()
}

// fail ends the flow: after what is there, take gives err for ever.
func (m *mailbox) fail(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	m.signal()
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take gives the newest picture and how many were replaced before it, or the
// error that ended the flow, or nothing.
func (m *mailbox) take() (p *picture, stale int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newer == nil {
		return nil, 0, m.err
	}
	p, stale = m.newer, m.stale
	m.newer, m.stale = nil, 0
	return p, stale, nil
}

// giveBack returns the memory of a picture that was taken.
func (m *mailbox) giveBack(p *picture) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, p)
}
