package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// faults says what goes wrong, for how many pictures. Negative means until "go".
type faults struct {
	truncate, garbage, empty, nodht, pad int
}

// use counts a fault down and reports whether it is on.
func use(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// camera is what outlives unplugging: pictures, their count and the faults.
// It is safe for concurrent use.
type camera struct {
	model    model
	pictures []album // by size
	log      *slog.Logger

	mu      sync.Mutex
	faults  faults
	fps     int           // 0 means as negotiated
	stalled chan struct{} // not nil while stalled; closed by "go"
	number  uint32        // of the next picture
	noise   *rand.Rand
}

func newCamera(m model, pictures []album, log *slog.Logger) *camera {
	return &camera{model: m, pictures: pictures, log: log, noise: rand.New(rand.NewPCG(1, 2))}
}

// apply executes one of the commands that change what is delivered.
func (c *camera) apply(cmd command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch cmd.verb {
	case "stall":
		if c.stalled == nil {
			c.stalled = make(chan struct{})
		}
	case "go":
		c.faults = faults{}
		if c.stalled != nil {
			close(c.stalled)
			c.stalled = nil
		}
	case "fps":
		c.fps = cmd.n
	case "truncate":
		c.faults.truncate = cmd.n
	case "garbage":
		c.faults.garbage = cmd.n
	case "empty":
		c.faults.empty = cmd.n
	case "nodht":
		c.faults.nodht = cmd.n
	case "pad":
		c.faults.pad = cmd.n
	}
}

// next returns the picture to send and how long it lasts, or, when the camera
// is stalled, a channel that is closed when it no longer is. A spoilt picture
// uses up a number too.
func (c *camera) next(p probe) (frame []byte, period time.Duration, resume <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stalled != nil {
		return nil, 0, c.stalled
	}
	period = time.Duration(p.interval) * 100 * time.Nanosecond
	if c.fps > 0 {
		period = time.Second / time.Duration(c.fps)
	}
	n := c.number
	c.number++
	pages := c.pictures[p.frame-1].pages
	page := pages[int(n)%len(pages)]
	switch {
	case p.format == formatYUYV:
		frame = page.yuyv
	case use(&c.faults.nodht):
		frame = page.bare.Frame(n)
	default:
		frame = page.jpeg.Frame(n)
	}
	switch {
	case use(&c.faults.truncate):
		frame = frame[:len(frame)/2]
	case use(&c.faults.garbage):
		frame = make([]byte, 5000)
		for i := range frame {
			frame[i] = byte(c.noise.Uint32())
		}
	case use(&c.faults.empty):
		frame = nil
	case p.format == formatMJPG && use(&c.faults.pad):
		frame = slices.Concat(frame, make([]byte, 1024))
	}
	return frame, period, nil
}

// withoutTables removes the DHT segments of a JPEG.
func withoutTables(jpeg []byte) ([]byte, error) {
	out := bytes.Clone(jpeg[:2])
	for b := jpeg[2:]; len(b) >= 4 && b[0] == 0xff; {
		if b[1] == 0xda { // SOS: the picture itself
			return append(out, b...), nil
		}
		n := 2 + int(b[2])<<8 + int(b[3])
		if n > len(b) {
			break
		}
		if b[1] != 0xc4 {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return nil, fmt.Errorf("JPEG of %d bytes: no picture data", len(jpeg))
}
