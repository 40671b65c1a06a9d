package encode

import (
	"context"

	"github.com/webgear-pi/webgear/device"
)

// Makers lists the encoders of this package, best first: libjpeg-turbo where
// the program was built with cgo, then image/jpeg. The quality of o does not
// count, for each New gets one; neither does Portable, except that it leaves out
// all but image/jpeg.
func Makers(o Options) []device.EncoderMaker {
	maker := func(name string, portable bool) device.EncoderMaker {
		o := o
		o.Portable = portable
		return device.EncoderMaker{
			Name: name,
			Accepts: func(f device.Format) bool {
				_, err := newLayout(f)
				return err == nil
			},
			New: func(_ context.Context, f device.Format, quality int) (device.Encoder, error) {
				o := o
				o.Quality = quality
				e, err := New(f, o)
				if err != nil {
					return nil, err
				}
				return e, nil
			},
		}
	}
	all := []device.EncoderMaker{maker(standardName, true)}
	if fastName != "" && !o.Portable {
		all = append([]device.EncoderMaker{maker(fastName, false)}, all...)
	}
	return all
}
