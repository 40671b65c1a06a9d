package capture

import (
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// card says which card explains the cause at the present picture size.
func (s *Supervisor) card(cause status.Cause) Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	footer := s.config().Source
	if i := s.st.Info; i != nil {
		footer = i.Name + " · " + i.Path
	}
	return Card{Cause: cause, Width: s.width, Height: s.height, Sampling: s.sampling, Footer: footer}
}

// Card describes a placeholder picture.
type Card struct {
	Cause status.Cause
	// Width and Height are the size in pixels.
	Width, Height int
	// Sampling is the colour resolution of the live pictures as pkg/jpeg names
	// it, or empty before the first one.
	Sampling string
	// Footer names the camera.
	Footer string
}

// cards keeps the placeholders drawn so far. It belongs to the watch goroutine.
type cards struct {
	paint func(Card) ([]byte, error)
	drawn map[Card][]byte
	// still was made of the picture of, or failed with an error.
	of       *device.Frame
	still    []byte
	stillErr error
}

// maxCards bounds the memory: the causes there are, at one size.
const maxCards = 16

func newCards(paint func(Card) ([]byte, error)) *cards {
	return &cards{paint: paint, drawn: map[Card][]byte{}}
}

func (c *cards) has(k Card) bool { return c.drawn[k] != nil }

func (c *cards) draw(k Card) ([]byte, error) {
	if data := c.drawn[k]; data != nil {
		return data, nil
	}
	data, err := c.paint(k)
	if err != nil {
		return nil, err
	}
	if len(c.drawn) >= maxCards {
		clear(c.drawn)
	}
	c.drawn[k] = data
	return data, nil
}

// stillOf draws the last live picture as one that is not live, once.
func (c *cards) stillOf(f *device.Frame, paint func([]byte, time.Time) ([]byte, error)) ([]byte, error) {
	if c.of != f {
		c.of = f
		c.still, c.stillErr = paint(f.Data, f.CapturedAt)
	}
	return c.still, c.stillErr
}
