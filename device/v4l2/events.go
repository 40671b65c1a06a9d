package v4l2

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrSourceChanged says that what the camera looks at is another signal now, of
// another size perhaps. It has to be started again.
var ErrSourceChanged = errors.New("the source of the pictures changed")

// ErrNoMore says that the driver has ended the stream of itself: it told so by an
// event, by a mark on the last picture, or by EPIPE. Some do that when the signal
// at their input goes away.
var ErrNoMore = errors.New("the driver says that no more pictures come")

// maxEvents bounds the events taken at once. Chosen: the kernel merges events
// of one kind, so that there are no more than controls.
const maxEvents = maxControls

// ControlsChanged receives a value after a control changed. Changes by other
// programs are told from the first call of Controls or SetControls on, and only
// while Next runs, or by its next call.
func (c *Camera) ControlsChanged() <-chan struct{} { return c.changes }

func (c *Camera) controlChanged() {
	select {
	case c.changes <- struct{}{}:
	default: // One is waiting already.
	}
}

// listen asks for events about the stream, which few drivers have, and forgets
// those that came before it starts.
func (c *Camera) listen() {
	for _, event := range []uint32{eventSourceChange, eventEOS} {
		if err := c.node.subscribe(event, 0); err != nil && !is(err, unix.EINVAL, unix.ENOTTY) {
			c.log.Debug("stream events are not told", "event", event, "err", err)
		}
	}
	if err := c.takeEvents(); err != nil && !is(err, unix.ENOTTY, unix.EINVAL) {
		c.log.Debug("old events not dropped", "err", err)
	}
	c.stream.moved, c.stream.eos = false, false
}

// takeEvents takes all events that wait.
func (c *Camera) takeEvents() error {
	s := &c.stream
	for range maxEvents {
		s.event = rawEvent{}
		switch err := c.node.dequeueEvent(&s.event); {
		case is(err, unix.ENOENT):
			return nil
		case err != nil:
			return err
		}
		switch s.event.Type {
		case eventControl:
			c.controlChanged()
		case eventSourceChange:
			s.moved = true
		case eventEOS:
			s.eos = true
		}
	}
	return nil
}
