package m2m

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// Pictures that lie in the camera's memory just as the encoder wants them are
// not copied: the encoder reads them there, by V4L2_MEMORY_DMABUF, if the camera
// can share its memory and the encoder can reach it. Whether it can, only trying
// shows: the first picture is encoded both ways, and both files have to be the
// same, since memory that the encoder sees only in part gives pictures that look
// right to whoever checks a few samples. An import that fails, then or later, is
// given up for the life of the Encoder, and pictures are copied: changing over
// takes the encoder apart.

// importBuffers are slots for imported memory. They take none of their own. With
// one for each of the camera's buffers each is imported once only: there are four
// of those at most (package v4l2).
const importBuffers = 4

// imports is what became of importing.
type imports struct {
	over     bool // it is not tried any more
	pictures int
	slots    []int // descriptor by index of the buffer
	turn     int   // the slot that gives way to a new descriptor
}

var (
	errNotAlike = errors.New("pictures lie differently in the encoder's memory")
	errNotLent  = errors.New("a picture came that cannot be shared")
	errDiffers  = errors.New("the encoder makes something else of shared pictures")
)

// wantsImport says whether to import the picture.
func (e *Encoder) wantsImport(b *device.Buffer) bool {
	switch {
	case e.imports.over:
		return false
	case b.DMABUF == nil && e.imports.pictures == 0:
		return false // nobody spoke of sharing
	case b.DMABUF == nil:
		e.endImport(errNotLent)
		return false
	case !e.copier.identity():
		e.endImport(errNotAlike)
		return false
	}
	return true
}

// endImport has all pictures copied from now on.
func (e *Encoder) endImport(reason error) {
	e.imports.over = true
	e.log.Info("pictures are copied for the encoder", "path", e.path, "format", e.format.String(), "reason", reason)
}

// tryImport encodes a picture both ways and returns what became of the copy.
func (e *Encoder) tryImport(b *device.Buffer) ([]byte, error) {
	data, err := e.encodeCopy(b)
	if err != nil {
		return nil, err // says nothing about importing
	}
	imported, err := e.encodeImported(b)
	if err == nil && !bytes.Equal(imported, data) {
		err = errDiffers
	}
	if err != nil {
		e.endImport(err)
		return data, nil // the copy is good
	}
	e.log.Info("encoder reads pictures from the camera's memory", "path", e.path, "format", e.format.String())
	return data, nil
}

// encodeImported encodes a picture where it is.
func (e *Encoder) encodeImported(b *device.Buffer) ([]byte, error) {
	fd, ok := b.DMABUF()
	if !ok {
		return nil, e.fail("m2m import picture", "", errNotLent)
	}
	if e.output.mem != memoryDMABUF {
		e.stop()
		e.output.release()
		if err := e.output.request(importBuffers, memoryDMABUF); err != nil {
			return nil, e.fail("m2m request buffers", "for import", err)
		}
	}
	data, err := e.encode(func() error { return e.output.lend(e.slot(fd), fd, e.pictureBytes, e.stamp) })
	if err == nil {
		e.imports.pictures++
	}
	return data, err
}

// slot is the buffer that a descriptor was imported to before, as the kernel
// keeps it, or one for a new descriptor. No picture is in work now, so all are
// free.
func (e *Encoder) slot(fd int) uint32 {
	s := &e.imports
	if i := slices.Index(s.slots, fd); i >= 0 {
		return uint32(i)
	}
	if len(s.slots) < int(e.output.count) {
		s.slots = append(s.slots, fd)
		return uint32(len(s.slots) - 1)
	}
	s.turn = (s.turn + 1) % len(s.slots)
	s.slots[s.turn] = fd
	return uint32(s.turn)
}

// givesUpImport ends importing when a picture was not taken, after others were. An
// encoder that took it and failed is another matter.
func (e *Encoder) givesUpImport(err error) bool {
	if !is(err, unix.EINVAL, unix.EFAULT, unix.ENOTTY, unix.ENOMEM, unix.EBADF) && !errors.Is(err, errNotLent) {
		return false
	}
	e.endImport(err)
	return true
}

// returnToCopies gets the encoder's own memory back after imports.
func (e *Encoder) returnToCopies() error {
	if e.output.mem == memoryMMAP && e.output.count > 0 {
		return nil
	}
	e.stop()
	e.output.release()
	return e.ownBuffers()
}
