package capture

import (
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// pace compares how long encoding takes with how fast the camera is, to find out
// how many pictures have to be in work at once. encoded and reset may be called
// by another goroutine than the rest.
type pace struct {
	format device.Format
	cores  int

	mu     sync.Mutex
	took   time.Duration // guarded by mu; mean per picture
	afresh bool          // guarded by mu; another encoder began

	// Of the goroutine that captures.
	captured time.Time // of the latest picture, with seq its number
	seq      uint32
	interval time.Duration // mean of the camera
	looked   time.Time
	pictures int // since looked
	stays    bool
}

// smooth is the part of a new value in a mean: about the last 16 pictures count.
const smooth = 16

// reconsider is how often the number of lanes is thought about, and patience how
// many pictures that takes at least. Chosen: a second is what people notice.
const (
	reconsider = time.Second
	patience   = 8
)

func mean(old, now time.Duration) time.Duration {
	if old == 0 {
		return now
	}
	return old + (now-old)/smooth
}

// picture notes that one came. What the camera made in between counts as well.
func (p *pace) picture(b *device.Buffer) {
	steps := b.DriverSeq - p.seq
	if d := b.CapturedAt.Sub(p.captured); !p.captured.IsZero() && d > 0 && d < maxExpected && steps > 0 && steps < 1000 {
		p.interval = mean(p.interval, d/time.Duration(steps))
	}
	p.captured, p.seq = b.CapturedAt, b.DriverSeq
	p.pictures++
}

// encoded notes how long one took.
func (p *pace) encoded(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = mean(p.took, took)
}

// reset forgets what is known of the encoder before. There is one lane to begin
// with: the others have encoders of the old kind.
func (p *pace) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took, p.afresh = 0, true
}

// fixed says that the number of lanes cannot be changed.
func (p *pace) fixed() { p.stays = true }

// width says how many lanes there should be, with now as many.
func (p *pace) width(now int) int {
	if p.restarts() {
		return 1
	}
	if p.stays || p.pictures < patience {
		return now
	}
	t := time.Now()
	if t.Sub(p.looked) < reconsider {
		return now
	}
	p.looked, p.pictures = t, 0
	interval := p.interval
	if fps := p.format.Rate.Float(); interval == 0 && fps > 0 {
		interval = time.Duration(float64(time.Second) / fps)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.took == 0 {
		return now
	}
	return encode.Width(now, p.took, interval, p.cores)
}

// restarts says, once, that another encoder began.
func (p *pace) restarts() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.afresh {
		return false
	}
	p.afresh, p.stays, p.pictures, p.looked = false, false, 0, time.Now()
	return true
}
