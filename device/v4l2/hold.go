package v4l2

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Of N buffers all but two may be held: the driver needs one to fill and Next
// one to look at. With fewer than three there is no Hold at all.

// beginHolds allows that many buffers of a stream that was just started to be
// held.
func (c *Camera) beginHolds(spare int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare, c.filling, c.lost = spare, true, nil
	if spare > 0 {
		c.stream.hold = c.hold // made once: there is a loan per picture
	}
}

// endFilling keeps buffers that come back from being queued.
func (c *Camera) endFilling() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filling = false
}

// awaitHolds waits until no buffer is held.
func (c *Camera) awaitHolds() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out > 0 {
		c.changed.Wait()
	}
}

// beginLoan marks that a buffer is out, for Close and hold.
func (c *Camera) beginLoan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent, c.kept = true, false
	c.changed.Broadcast()
}

// endLoan says whether the buffer was kept.
func (c *Camera) endLoan() (kept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent = false
	c.changed.Broadcast()
	return c.kept
}

// hold is what Buffer.Hold calls.
func (c *Camera) hold() (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lent || c.kept || c.out >= c.spare {
		return nil, false
	}
	c.kept = true
	c.out++
	index := c.stream.held.Index // Next waits for the function that is lent to.
	return sync.OnceFunc(func() { c.giveBack(index) }), true
}

// giveBack lets the driver fill a buffer again that was held. A failure is told
// by the next call of Next; that the camera is gone it finds out by itself.
func (c *Camera) giveBack(index uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out--
	if c.filling {
		b := rawBuffer{Index: index, Type: bufTypeVideoCapture, Memory: memoryMMAP}
		if err := c.node.queue(&b); err != nil && !is(err, unix.ENODEV, unix.ENXIO) {
			c.lost = err
		}
	}
	c.leftLocked()
}

// takeLost returns why a buffer could not be given back, once.
func (c *Camera) takeLost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.lost
	c.lost = nil
	return err
}
