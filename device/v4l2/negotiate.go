package v4l2

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// negotiate asks for what is nearest to want and returns what was granted.
func (c *Camera) negotiate(ctx context.Context, op string, want device.Format) (device.Format, error) {
	want = withDefaults(want)
	modes, err := c.modes(ctx, op, want)
	if err != nil {
		return device.Format{}, err
	}
	mode, ok := choose(modes, want)
	if !ok {
		return device.Format{}, &device.OpError{
			Op: op, Path: c.info.Path, Detail: "offers no usable mode", Kind: device.ErrUnsupported,
		}
	}
	asked := device.Format{FourCC: mode.FourCC, Width: mode.Width, Height: mode.Height, Rate: want.Rate}
	granted, err := c.setFormat(asked)
	if err != nil {
		return device.Format{}, err
	}
	if granted.Rate, err = c.setRate(want.Rate); err != nil {
		return device.Format{}, err
	}
	c.log.Debug("format negotiated", "wanted", want.String(), "asked", asked.String(), "granted", granted.String())
	return granted, nil
}

// setFormat asks for a pixel format and size and reads back what the driver
// made of them: S_FMT succeeds with another format when it has not the wanted
// one.
func (c *Camera) setFormat(asked device.Format) (device.Format, error) {
	f := rawFormat{
		Type: bufTypeVideoCapture, Width: clampSide(asked.Width), Height: clampSide(asked.Height),
		PixelFormat: uint32(asked.FourCC), Field: fieldNone,
	}
	if err := c.node.setFormat(&f); err != nil {
		return device.Format{}, c.failure("v4l2 set format", asked.String(), err)
	}
	f = rawFormat{Type: bufTypeVideoCapture, Priv: pixFmtPrivMagic}
	if err := c.node.getFormat(&f); err != nil {
		return device.Format{}, c.failure("v4l2 get format", asked.String(), err)
	}
	code := device.FourCC(f.PixelFormat)
	granted := device.Format{
		FourCC: code, Width: int(f.Width), Height: int(f.Height),
		Quantization: quantization(code, f.Colorspace, f.Quantization),
	}
	if !code.Compressed() {
		granted.Stride = int(f.BytesPerLine)
		granted.Matrix = matrix(f.Colorspace, f.YCbCrEnc)
	}
	if _, ok := code.Rank(); !ok || !acceptable(f.Width, f.Height) {
		return device.Format{}, &device.OpError{
			Op: "v4l2 set format", Path: c.info.Path, Kind: device.ErrUnsupported,
			Detail: fmt.Sprintf("%s was asked, %s granted, which cannot be used", asked, granted),
		}
	}
	return granted, nil
}

// setRate asks for a frame rate and reads it back. Zero is returned for cameras
// that do not let it be chosen and do not tell it.
func (c *Camera) setRate(want device.Rate) (device.Rate, error) {
	p := rawParm{Type: bufTypeVideoCapture, TimePerFrame: fract{num: want.Den, den: want.Num}}
	if err := c.node.setParm(&p); err != nil && !is(err, unix.ENOTTY, unix.EINVAL) {
		return device.Rate{}, c.failure("v4l2 set frame rate", want.String()+" fps", err)
	}
	p = rawParm{Type: bufTypeVideoCapture}
	if err := c.node.getParm(&p); err != nil {
		if is(err, unix.ENOTTY, unix.EINVAL) {
			return device.Rate{}, nil
		}
		return device.Rate{}, c.failure("v4l2 get frame rate", "", err)
	}
	return rateOf(p.TimePerFrame), nil
}

// pictureBytes is the least that a whole raw picture takes, 0 for JPEG and for
// formats without a stride. The last row of a plane may come without padding.
func pictureBytes(f device.Format) int {
	if f.Stride <= 0 {
		return 0
	}
	rows := func(stride, width, rows int) int { return stride*(rows-1) + width }
	chroma := (f.Height + 1) / 2
	switch f.FourCC {
	case device.YUYV, device.UYVY:
		return rows(f.Stride, 2*f.Width, f.Height)
	case device.RGB24:
		return rows(f.Stride, 3*f.Width, f.Height)
	case device.GREY:
		return rows(f.Stride, f.Width, f.Height)
	case device.NV12:
		return f.Stride*f.Height + rows(f.Stride, f.Width, chroma)
	case device.YU12:
		return f.Stride*f.Height + f.Stride/2*chroma + rows(f.Stride/2, f.Width/2, chroma)
	}
	return 0
}
