package m2m

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// queueFormat is the part of a queue's format that matters here.
type queueFormat struct {
	fourcc              device.FourCC
	width, height       int
	stride, size        int // bytes per row, bytes of the whole
	planes              int
	fullRangeColourInfo bool // asked: full range, BT.601
}

// setFormat asks for a format; f becomes what was granted.
func (q *queue) setFormat(f *queueFormat) error {
	var raw rawFormat
	raw.Type = q.typ
	if !q.multi {
		p := raw.single()
		*p = rawPixFormat{
			Width: uint32(f.width), Height: uint32(f.height), PixelFormat: uint32(f.fourcc), Field: fieldNone,
			BytesPerLine: uint32(f.stride), SizeImage: uint32(f.size),
			Colorspace: colorspaceJPEG, Priv: pixFmtPrivMagic,
		}
		if f.fullRangeColourInfo {
			p.YCbCrEnc, p.Quantization = enc601, quantFull
		}
		if err := q.node.ioctl(vidiocSetFmt, unsafe.Pointer(&raw)); err != nil {
			return err
		}
		*f = queueFormat{device.FourCC(p.PixelFormat), int(p.Width), int(p.Height), int(p.BytesPerLine), int(p.SizeImage), 1, f.fullRangeColourInfo}
		return nil
	}
	p := raw.multi()
	*p = rawPixFormatMP{
		Width: uint32(f.width), Height: uint32(f.height), PixelFormat: uint32(f.fourcc), Field: fieldNone,
		Colorspace: colorspaceJPEG, NumPlanes: 1,
	}
	p.Planes[0].BytesPerLine, p.Planes[0].SizeImage = uint32(f.stride), uint32(f.size)
	if f.fullRangeColourInfo {
		p.YCbCrEnc, p.Quantization = enc601, quantFull
	}
	if err := q.node.ioctl(vidiocSetFmt, unsafe.Pointer(&raw)); err != nil {
		return err
	}
	*f = queueFormat{
		device.FourCC(p.PixelFormat), int(p.Width), int(p.Height),
		int(p.Planes[0].BytesPerLine), int(p.Planes[0].SizeImage), int(p.NumPlanes), f.fullRangeColourInfo,
	}
	return nil
}

// negotiate sets the formats of both queues and finds out how pictures have to
// lie in the encoder's buffers.
func (e *Encoder) negotiate(f *found) error {
	const op = "m2m set format"
	want := e.format
	in := queueFormat{fourcc: want.FourCC, width: want.Width, height: want.Height, stride: want.Stride, fullRangeColourInfo: true}
	if err := e.output.setFormat(&in); err != nil {
		return e.fail(op, want.String(), err)
	}
	// A driver that has not got what was asked for gives something else instead
	// of an error. A larger picture is padding, a smaller one is useless.
	if in.fourcc != want.FourCC || in.width < want.Width || in.height < want.Height || in.planes != 1 {
		return &device.OpError{
			Op: op, Path: e.path, Kind: device.ErrUnsupported,
			Detail: fmt.Sprintf("%s: the encoder takes %s %dx%d in %d planes instead", want, in.fourcc, in.width, in.height, in.planes),
		}
	}
	out := queueFormat{fourcc: f.codec, width: want.Width, height: want.Height}
	if err := e.capture.setFormat(&out); err != nil {
		return e.fail(op, f.codec.String(), err)
	}
	if out.fourcc != f.codec || out.planes != 1 {
		return &device.OpError{
			Op: op, Path: e.path, Kind: device.ErrUnsupported,
			Detail: fmt.Sprintf("%s: it gives %s instead; this firmware has no JPEG encoder (gpu_mem=16 selects such a one)", f.codec, out.fourcc),
		}
	}
	if in.width != want.Width || in.height != want.Height {
		e.setCrop()
	}
	return e.layOut(in)
}

// layOut prepares the copying of pictures into buffers of format in.
func (e *Encoder) layOut(in queueFormat) error {
	planes := planesOf(in.fourcc)
	if in.stride < planes[0].row(in.width) {
		return e.fail("m2m set format", fmt.Sprintf("%s: rows of %d bytes are too short", e.format, in.stride), unix.EPROTO)
	}
	e.copier = newCopier(e.format, in.width, in.height, in.stride)
	whole := layOut(planes, in.width, in.height, in.stride, in.height)
	last := whole[len(whole)-1]
	e.pictureBytes = max(in.size, last.offset+last.stride*last.rows)
	e.log.Debug("encoder ready", "path", e.path, "format", e.format.String(), "lines", in.height,
		"stride_bytes", in.stride, "picture_bytes", e.pictureBytes)
	return nil
}
