package m2m

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Encode passes a picture through the hardware. See [device.Encoder]. The stride
// may be another one than that of New; 0 means that of New.
//
// An encoder that does not answer in time is reset, as it is after most other
// failures, so that the next picture finds it as new. When the hardware is gone
// the error matches ErrUnplugged, and so does every later one.
func (e *Encoder) Encode(b *device.Buffer) ([]byte, error) {
	const op = "m2m encode"
	if e.closed.Load() {
		return nil, &device.OpError{Op: op, Path: e.path, Kind: device.ErrClosed}
	}
	if err := e.check(b); err != nil {
		return nil, &device.OpError{Op: op, Path: e.path, Detail: b.Format.String(), Err: err}
	}
	if err := e.applyQuality(); err != nil {
		return nil, err
	}
	if !e.wantsImport(b) {
		return e.encodeCopy(b)
	}
	if e.imports.pictures == 0 {
		return e.tryImport(b)
	}
	data, err := e.encodeImported(b)
	if e.givesUpImport(err) {
		return e.encodeCopy(b)
	}
	return data, err
}

// encodeCopy copies the picture into the encoder's memory and encodes it there.
func (e *Encoder) encodeCopy(b *device.Buffer) ([]byte, error) {
	if err := e.returnToCopies(); err != nil {
		return nil, err
	}
	return e.encode(func() error { return e.feed(b.Data) })
}

// encode passes the picture through the hardware that feed queues.
func (e *Encoder) encode(feed func() error) ([]byte, error) {
	const op = "m2m encode"
	if !e.on {
		if err := e.start(); err != nil {
			e.stop()
			return nil, err
		}
	}
	// The time stamp, which the driver copies to the result, is the time since
	// the encoder was made: it rises, is never 0 as that of a stray result, and
	// tells the rate control how fast pictures come.
	e.stamp = max(time.Since(e.began).Truncate(time.Microsecond), e.stamp+time.Microsecond)
	stamp := e.stamp
	if err := feed(); err != nil {
		e.stop()
		return nil, e.fail("m2m queue picture", "", err)
	}
	limit := e.timeout
	if !e.proven {
		limit = e.first
	}
	data, err := e.await(stamp, limit)
	if err != nil {
		e.stop()
		return nil, e.fail(op, e.format.String(), err)
	}
	e.proven = true
	data, err = finish(data, e.format.Width, e.format.Height)
	if err != nil {
		return nil, &device.OpError{Op: op, Path: e.path, Detail: e.format.String() + ": the result", Kind: device.ErrDamaged, Err: err}
	}
	return data, nil
}

// check refuses buffers that are not what the encoder was made for.
func (e *Encoder) check(b *device.Buffer) error {
	f := b.Format
	if f.FourCC != e.format.FourCC || f.Width != e.format.Width || f.Height != e.format.Height {
		return errFormat
	}
	if f.Stride == 0 {
		f.Stride = e.format.Stride
	}
	if f.Stride != e.copier.format.Stride {
		if err := checkStride(f); err != nil {
			return err
		}
		e.copier.read(f)
	}
	if len(b.Data) < e.copier.size {
		return fmt.Errorf("%d bytes, want %d", len(b.Data), e.copier.size)
	}
	return nil
}

// feed copies a picture into a buffer and queues it.
func (e *Encoder) feed(data []byte) error {
	index := uint32(e.next % len(e.output.maps))
	e.next++
	e.copier.copy(e.output.maps[index], data)
	e.copied += uint64(e.copier.size)
	return e.output.enqueue(index, e.pictureBytes, e.stamp)
}

// await waits until the picture's buffer and its result are back, and returns
// the result in memory of its own.
func (e *Encoder) await(stamp, limit time.Duration) ([]byte, error) {
	deadline := time.Now().Add(limit)
	var result []byte
	for back := false; ; {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("%w: %v", errSilent, limit)
		}
		events, err := e.node.poll(left)
		if err != nil {
			return nil, err
		}
		moved := false
		if !back {
			d, err := e.output.dequeue()
			if err == nil {
				back, moved = true, true
				if d.flags&bufFlagError != 0 {
					return nil, errFlagged
				}
			} else if !is(err, unix.EAGAIN) {
				return nil, err
			}
		}
		if result == nil {
			var got bool
			if result, got, err = e.take(stamp); err != nil {
				return nil, err
			}
			moved = moved || got
		}
		if back && result != nil {
			return result, nil
		}
		if !moved && events&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			return nil, pollError(events)
		}
	}
}

// take looks at the results that are there. Those of other pictures are dropped:
// the Pi's firmware may begin with one that is none (time stamp 0, seen by
// others with some builds), and one that came too late belongs to a picture that
// was given up. got is set when there was any.
func (e *Encoder) take(stamp time.Duration) (result []byte, got bool, err error) {
	for range e.capture.maps {
		d, err := e.capture.dequeue()
		switch {
		case is(err, unix.EAGAIN):
			return nil, got, nil
		case is(err, unix.EPIPE):
			return nil, got, errDrained
		case err != nil:
			return nil, got, err
		}
		got = true
		if d.stamp != stamp {
			e.dropped++
			if d.flags&bufFlagLast != 0 {
				return nil, got, errDrained
			}
			if err := e.capture.enqueue(d.index, 0, 0); err != nil {
				return nil, got, err
			}
			continue
		}
		switch {
		case d.flags&bufFlagError != 0:
			return nil, got, errFlagged
		case len(d.data) == 0 && d.flags&bufFlagLast != 0:
			return nil, got, errDrained
		case len(d.data) == 0:
			return nil, got, errEmpty
		}
		// The driver's memory is uncached on the Pi: read once, looked at here.
		result = make([]byte, len(d.data))
		copy(result, d.data)
		return result, got, e.capture.enqueue(d.index, 0, 0)
	}
	return nil, got, nil
}

// pollError is what poll's events mean where no buffer can be dequeued: a node
// that is not registered any more hangs up, a queue that failed says only that.
func pollError(events int16) error {
	if events&(unix.POLLHUP|unix.POLLNVAL) != 0 {
		return unix.ENODEV
	}
	return unix.EIO
}
