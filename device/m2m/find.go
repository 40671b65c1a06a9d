package m2m

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// The Raspberry Pi's encoders (raspberrypi/linux, bcm2835-v4l2-codec.c). All
// functions of the codec have one driver; the card tells them apart.
const (
	piDriver = "bcm2835-codec"
	piImage  = "bcm2835-codec-encode_image"
	piVideo  = "bcm2835-codec-encode"
)

// cameras are drivers whose nodes are not opened to look for an encoder: that
// would wake or disturb the camera behind them. Names are those of sysfs.
var cameras = []string{"uvcvideo", "unicam", "rp1-cfe", "bcm2835-isp", "pispbe"} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// found is one encoder.
type found struct {
	path, driver, card string
	multi              bool // its queues are multi-planar
	codec              device.FourCC
	inputs             map[device.FourCC]sizes
	rank               int // lower is better
}

// sizes are the smallest and the largest picture that is taken. All zero: nobody
// says.
type sizes struct{ minW, maxW, minH, maxH int }

func (s sizes) fit(w, h int) bool {
	return s == sizes{} || w >= s.minW && w <= s.maxW && h >= s.minH && h <= s.maxH
}

// Find looks at all video nodes and returns the encoders among them, best first:
// the Pi's for single pictures, then its video encoder, then others in the order
// of their numbers. Nodes that cannot be opened are passed over. The error is
// that of reading the directory, or the context's cause.
func (f *Finder) Find(ctx context.Context) ([]device.EncoderMaker, error) {
	entries, err := os.ReadDir(f.real("/dev"))
	if err != nil {
		return nil, fmt.Errorf("find encoders: %w", err)
	}
	var all []*found
	for _, e := range entries {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("find encoders: %w", context.Cause(ctx))
		}
		number, ok := strings.CutPrefix(e.Name(), "video")
		if _, err := strconv.ParseUint(number, 10, 16); !ok || err != nil {
			continue
		}
		if enc := f.look(e.Name()); enc != nil {
			all = append(all, enc)
		}
	}
	slices.SortFunc(all, func(a, b *found) int {
		return cmp.Or(a.rank-b.rank, len(a.path)-len(b.path), strings.Compare(a.path, b.path))
	})
	makers := make([]device.EncoderMaker, len(all))
	for i, enc := range all {
		makers[i] = device.EncoderMaker{
			Name:     enc.name(),
			Hardware: true,
			Accepts:  enc.accepts,
			New: func(ctx context.Context, format device.Format, quality int) (device.Encoder, error) {
				e, err := f.open(ctx, enc, format, quality)
				if err != nil {
					return nil, err // not a nil *Encoder in an interface
				}
				return e, nil
			},
		}
	}
	return makers, nil
}

func (e *found) name() string { return e.card + " on " + e.path }

// look returns the encoder behind a node, or nil.
func (f *Finder) look(name string) *found {
	link, err := os.Readlink(f.real("/sys/class/video4linux/" + name + "/device/driver"))
	if err == nil && slices.Contains(cameras, filepath.Base(link)) {
		return nil
	}
	path := "/dev/" + name
	n, err := f.kernel.open(f.real(path))
	if err != nil {
		f.log.Debug("video node not examined for an encoder", "path", path, "err", err)
		return nil
	}
	defer func() { _ = n.close() }() // Nothing was written; there is nobody to tell.
	e := examine(n)
	if e == nil {
		return nil
	}
	e.path = path
	f.log.Debug("encoder found", "path", path, "card", e.card, "codec", e.codec.String())
	return e
}

// examine asks an open node what it is.
func examine(n node) *found {
	c, err := queryCap(n)
	if err != nil || c.caps&(capM2MMPlane|capM2M) == 0 || c.caps&capStreaming == 0 {
		return nil
	}
	e := &found{driver: c.driver, card: c.card, multi: c.caps&capM2MMPlane != 0, inputs: map[device.FourCC]sizes{}}
	switch {
	case c.driver == piDriver && c.card == piImage:
		e.rank = 0
	case c.driver == piDriver && c.card == piVideo:
		e.rank = 1
	default:
		e.rank = 2
	}
	output, capture := e.types()
	codecs := formats(n, capture)
	switch {
	case slices.Contains(codecs, device.JPEG):
		e.codec = device.JPEG
	case slices.Contains(codecs, device.MJPG):
		e.codec = device.MJPG
	default:
		return nil
	}
	for _, fourcc := range formats(n, output) {
		if planesOf(fourcc) != nil {
			e.inputs[fourcc] = frameSizes(n, fourcc)
		}
	}
	if len(e.inputs) == 0 {
		return nil
	}
	return e
}

// types are the buffer types of the two queues.
func (e *found) types() (output, capture uint32) {
	if e.multi {
		return typeOutputMPlane, typeCaptureMPlane
	}
	return typeOutput, typeCapture
}

// accepts says whether pictures of a format can be encoded. Limited range is
// converted on the way, BT.709 is not: that would cost as much as encoding.
// Pictures of odd size are refused where two pixels share their colour.
func (e *found) accepts(f device.Format) bool {
	size, ok := e.inputs[f.FourCC]
	if !ok || !size.fit(f.Width, f.Height) || checkStride(f) != nil {
		return false
	}
	if f.Width < 1 || f.Height < 1 || f.Width > device.MaxSide || f.Height > device.MaxSide || f.Width*f.Height > device.MaxPixels {
		return false
	}
	switch f.FourCC {
	case device.GREY, device.RGB24:
		return true
	}
	planes := planesOf(f.FourCC)
	last := planes[len(planes)-1]
	return f.Matrix == device.BT601 && f.Width%last.span == 0 && f.Height%last.lines == 0
}

// capability is the part of struct v4l2_capability that matters here.
type capability struct {
	driver, card string
	caps         uint32
}

func queryCap(n node) (capability, error) {
	var c rawCapability
	if err := n.ioctl(vidiocQueryCap, unsafe.Pointer(&c)); err != nil {
		return capability{}, err
	}
	caps := c.Capabilities
	if caps&capDeviceCaps != 0 {
		caps = c.DeviceCaps
	}
	return capability{unix.ByteSliceToString(c.Driver[:]), unix.ByteSliceToString(c.Card[:]), caps}, nil
}

// maxFormats bounds what a queue may list. Chosen: the Pi's longest list has
// about 20; a driver that never ends must not keep us.
const maxFormats = 256

// formats lists what a queue offers.
func formats(n node, typ uint32) []device.FourCC {
	var list []device.FourCC
	for i := range uint32(maxFormats) {
		d := rawFormatDesc{Index: i, Type: typ}
		if err := n.ioctl(vidiocEnumFmt, unsafe.Pointer(&d)); err != nil {
			break // EINVAL is the end; anything else will show when it is used
		}
		list = append(list, device.FourCC(d.PixelFormat))
	}
	return list
}

// frameSizes asks for the limits of a format.
func frameSizes(n node, f device.FourCC) sizes {
	var s sizes
	for i := range uint32(maxFormats) {
		e := rawSizeEnum{Index: i, PixelFormat: uint32(f)}
		if err := n.ioctl(vidiocEnumFrameSizes, unsafe.Pointer(&e)); err != nil {
			break
		}
		if e.Type != frameTypeDiscrete {
			return sizes{int(e.MinWidth), int(e.MaxWidth), int(e.MinHeight), int(e.MaxHeight)}
		}
		// A list is taken for its extent; what lies between shows when it is asked for.
		w, h := int(e.MinWidth), int(e.MaxWidth)
		if i == 0 {
			s = sizes{w, w, h, h}
		}
		s = sizes{min(s.minW, w), max(s.maxW, w), min(s.minH, h), max(s.maxH, h)}
	}
	return s
}
