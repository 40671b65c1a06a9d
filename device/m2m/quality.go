package m2m

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// control is the one that quality is set by. The zero value stands for none.
type control struct {
	id       uint32
	min, max int32
	pixels   float64 // per second, for a bit rate
}

// findControl asks an encoder how its quality is set: by itself where there is
// such a control, else by the bit rate.
func findControl(n node, f device.Format) control {
	for _, id := range []uint32{cidJPEGQuality, cidVideoBitrate} {
		q := rawQueryControl{ID: id}
		err := n.ioctl(vidiocQueryCtrl, unsafe.Pointer(&q))
		if err == nil && q.Flags&(ctrlFlagDisabled|ctrlFlagReadOnly) == 0 && q.Minimum <= q.Maximum {
			return control{id, q.Minimum, q.Maximum, float64(f.Width) * float64(f.Height) * fps(f)}
		}
	}
	return control{}
}

// fps is the rate that is assumed of a format: its own, or the most common one.
func fps(f device.Format) float64 {
	if r := f.Rate.Float(); r > 0 {
		return r
	}
	return 30
}

// value is what the control is set to for a quality of 1 to 100.
func (c control) value(quality int) int32 {
	if c.id != cidVideoBitrate {
		return min(max(int32(quality), c.min), c.max)
	}
	return int32(min(max(bitRate(quality, c.pixels), float64(c.min)), float64(c.max)))
}

// bitRate maps quality to bits per second:
//
//	bits per pixel = 0.1 * 2^(quality/25)
//
// thus 0.4 at 50, 0.9 at 80 and 1.6 at 100, times pixels per second. Chosen: as
// many bits as libjpeg spends on an ordinary camera picture at 50 and at 80, and
// each 25 points double them. The Pi's encoder ends at 25 Mb/s, which is 0.4 bits
// per pixel for 1920x1080 at 30 frames per second: there all above 50 is the
// same, and only a lower rate gives better pictures.
func bitRate(quality int, pixelsPerSecond float64) float64 {
	return 0.1 * math.Exp2(float64(quality)/25) * pixelsPerSecond
}

// set sets the control.
func (c control) set(n node, quality int) error {
	v := rawControl{ID: c.id, Value: c.value(quality)}
	return n.ioctl(vidiocSetCtrl, unsafe.Pointer(&v))
}

// setRate tells the encoder how many pictures a second come, at least as many as
// may: the Pi's slows down when more come than it was told. It is not an error
// when the encoder does not want to know.
func setRate(n node, typ uint32, f device.Format) error {
	r := f.Rate
	if r.Float() <= 0 {
		r = device.Rate{Num: 30, Den: 1}
	}
	p := rawParm{Type: typ, Numerator: r.Den, Denominator: r.Num}
	if err := n.ioctl(vidiocSetParm, unsafe.Pointer(&p)); err != nil && !is(err, unix.ENOTTY, unix.EINVAL) {
		return err
	}
	return nil
}
