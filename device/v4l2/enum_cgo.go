//go:build cgo

package v4l2

import (
	"github.com/vladimirvivien/go4vl/v4l2"

	"github.com/webgear-pi/webgear/device"
)

// go4vl v0.3.0 asks the kernel here, with two precautions. Its errors lose the
// errno, so whatever it could not answer is asked again directly; past the end
// of a list that is one more cheap call. And it hides pointers to the stack in
// integers while it calls further functions: if one of those made the stack
// grow, the kernel would write to where the stack was before. withRoom makes
// sure that there is nothing to grow.

func (n *fdNode) queryCap() (c capability, err error) {
	withRoom(func() {
		var got v4l2.Capability
		if got, err = v4l2.GetCapability(uintptr(n.fd)); err == nil {
			c = capability{driver: got.Driver, card: got.Card, bus: got.BusInfo, caps: got.GetCapabilities()}
		}
	})
	if err != nil {
		return n.queryCapIoctl()
	}
	return c, nil
}

func (n *fdNode) enumFormat(index uint32) (d formatDesc, err error) {
	withRoom(func() {
		var got v4l2.FormatDescription
		if got, err = v4l2.GetFormatDescription(uintptr(n.fd), index); err == nil {
			d = formatDesc{
				fourcc:   device.FourCC(got.PixelFormat),
				emulated: got.Flags&v4l2.FmtDescFlagEmulated != 0,
			}
		}
	})
	if err != nil {
		return n.enumFormatIoctl(index)
	}
	return d, nil
}

func (n *fdNode) enumSize(index uint32, f device.FourCC) (r sizeRange, err error) {
	withRoom(func() {
		var got v4l2.FrameSizeEnum
		if got, err = v4l2.GetFormatFrameSize(uintptr(n.fd), index, uint32(f)); err == nil {
			s := got.Size
			r = sizeRange{
				minW: s.MinWidth, maxW: s.MaxWidth, stepW: max(s.StepWidth, 1),
				minH: s.MinHeight, maxH: s.MaxHeight, stepH: max(s.StepHeight, 1),
			}
		}
	})
	if err != nil {
		return n.enumSizeIoctl(index, f)
	}
	return r, nil
}

// enumInterval uses go4vl for discrete intervals only: for ranges v0.3.0 reads
// the kernel's answer eight bytes too late (the maximum as the minimum).
func (n *fdNode) enumInterval(index uint32, f device.FourCC, width, height uint32) (r intervalRange, err error) {
	withRoom(func() {
		var got v4l2.FrameIntervalEnum
		got, err = v4l2.GetFormatFrameInterval(uintptr(n.fd), index, uint32(f), width, height)
		i := fract{got.Interval.Min.Numerator, got.Interval.Min.Denominator}
		r = intervalRange{min: i, max: i, discrete: got.Type == v4l2.FrameIntervalTypeDiscrete}
	})
	if err != nil || !r.discrete {
		return n.enumIntervalIoctl(index, f, width, height)
	}
	return r, nil
}

// Sizes of stack frames, chosen: go4vl and what it calls need well under 1 KiB
// before the system call. The garbage collector halves a stack of which less than
// a quarter is used, so the frame in use is large against any usual stack.
const (
	stackInUse = 32 << 10
	stackFree  = 8 << 10
)

// withRoom runs call with at least stackFree bytes of stack to spare, and with
// so much in use that the stack does not shrink meanwhile either. It may go when
// go4vl hands its pointers to the system call itself.
//
//go:noinline
func withRoom(call func()) {
	var used [stackInUse]byte
	touch(used[:])
	reserve()
	call()
	touch(used[:])
}

//go:noinline
func reserve() {
	var free [stackFree]byte
	touch(free[:])
}

// touch keeps the compiler from dropping an array that is only there for its
// size.
//
//go:noinline
func touch(b []byte) { b[0]++ }
