package server

import (
	"sync/atomic"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// feed is one sequence of pictures with what its viewers share: the pictures as
// they come, or a rendition of them.
type feed struct {
	hub *fanout.Hub
	// rendition is nil for the pictures as they come.
	rendition *rendition
	// part is the newest picture with its part header.
	part atomic.Pointer[mjpeg.Encoded]
}

// encoded returns the part of frame, which is made once for all viewers. When
// two of them ask first, one result wins and both are right. isNew tells that it
// was made now.
func (f *feed) encoded(frame *device.Frame) (e *mjpeg.Encoded, isNew bool) {
	if e := f.part.Load(); e != nil && e.Frame == frame {
		return e, false
	}
	e = mjpeg.Encode(frame)
	old := f.part.Swap(e)
	return e, old == nil || old.Frame != frame
}
