package devicetest

import (
	"bytes"
	"errors"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// held is a picture that was kept beyond its loan.
type held struct {
	data    []byte
	before  []byte // a copy of data
	release func()
}

func (h *held) intact() bool { return bytes.Equal(h.data, h.before) }

// keep takes the next picture and holds it. ok is false when the driver does not
// lend pictures for longer, or not now.
func (c *session) keep() (h held, ok bool) {
	c.Helper()
	ctx, cancel := c.context()
	defer cancel()
	err := c.bounded("Next", func() error {
		return c.cam.Next(ctx, func(b *device.Buffer) error {
			if b.Hold == nil {
				return nil
			}
			if h.release, ok = b.Hold(); ok && h.release == nil {
				return errors.New("Hold: ok without a release")
			}
			h.data, h.before = b.Data, bytes.Clone(b.Data)
			return nil
		})
	})
	if c.finite && errors.Is(err, device.ErrEnded) {
		c.stop()
		c.start(c.want)
		return held{}, false
	}
	if err != nil {
		c.Fatalf("Next: %v", err)
	}
	c.played = true
	return h, ok
}

// heldPicturesStay holds as many pictures as it gets and lets the camera go on.
func heldPicturesStay(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	c.start(device.Format{})
	for range 3 {
		var all []held
		for range s.frames {
			h, ok := c.keep()
			if !ok {
				break
			}
			all = append(all, h)
		}
		if len(all) == 0 {
			continue // Buffer.Hold is optional.
		}
		c.last = nil
		c.frame() // the camera goes on
		c.frame()
		for i, h := range all {
			if !h.intact() {
				t.Errorf("picture %d of %d changed while it was held", i+1, len(all))
			}
		}
		var done []<-chan error
		for _, h := range all { // each from a goroutine of its own
			done = append(done, async(func() error { h.release(); return nil }))
		}
		for _, d := range done {
			_ = c.await("release", d, s.timeout)
		}
	}
	c.last = nil
	for range 2 * s.frames { // all buffers are back
		c.frame()
	}
}

// stopAndCloseWaitForHolds ends the camera while a picture is held.
func stopAndCloseWaitForHolds(t tb, s *suite) {
	t.Helper()
	for _, name := range []string{"Stop", "Close"} {
		func() {
			c := s.begin(t)
			defer c.end()
			c.start(device.Format{})
			h, ok := c.keep()
			if !ok {
				return
			}
			call := c.cam.Stop
			if name == "Close" {
				call = c.cam.Close
			}
			done := async(call)
			timer := time.NewTimer(50 * time.Millisecond) // time to do harm, not needed to pass
			defer timer.Stop()
			select {
			case err := <-done:
				// Drivers whose memory is not mapped need not wait for it.
				done = async(func() error { return err })
			case <-timer.C:
			}
			if !h.intact() {
				t.Errorf("%s changed a picture that was held", name)
			}
			h.release()
			if err := c.await(name, done, s.timeout); err != nil {
				t.Errorf("%s while a picture was held: got %v, want nil", name, err)
			}
		}()
	}
}
