package source

import (
	"context"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/libcamera"
)

// isPi tells the names of the Raspberry Pi's own cameras: csi, csi:0, libcamera:0.
func isPi(name string) (ref string, ok bool) {
	if name == "csi" {
		return "", true
	}
	for _, prefix := range []string{"csi:", "libcamera:"} {
		if ref, ok = strings.CutPrefix(name, prefix); ok {
			return ref, true
		}
	}
	return "", false
}

// picam is a camera on the ribbon cable, by its number in the list of the
// cameras there are, or by the name of its sensor.
func (p *parser) picam(ref string) *Source {
	open := p.openPi(ref)
	return p.native(&Source{Want: p.opt.Want, OnDemand: true, Open: open})
}

// openPi returns an opener of a Pi camera. The options are checked once.
func (p *parser) openPi(ref string) func(context.Context) (device.Camera, error) {
	options, want, warnings := libcamera.FromPiGear(p.keys.others, p.opt.Want)
	for _, w := range warnings {
		p.log.Warn("camera option discarded", "reason", w)
	}
	p.opt.Want = want
	if options.Codec == "" {
		options.Codec = p.opt.Codec
	}
	return func(ctx context.Context) (device.Camera, error) { return opened(p.pi.Open(ctx, ref, options)) }
}

// firstPi opens the first Pi camera. found is false when there is none, or no
// program to ask.
func (p *parser) firstPi(ctx context.Context, open func(context.Context) (device.Camera, error)) (cam device.Camera, found bool, err error) {
	if !p.hasPi(ctx) {
		return nil, false, nil
	}
	cam, err = open(ctx)
	return cam, true, err
}

// hasPi says whether there is a Pi camera.
func (p *parser) hasPi(ctx context.Context) bool {
	if !p.pi.Available() {
		return false
	}
	cameras, err := p.pi.List(ctx)
	if err != nil {
		p.log.Debug("cameras of libcamera not listed", "err", err)
	}
	return len(cameras) > 0
}

// cameraNum is the reference of PiGear's camera_num.
func (p *parser) cameraNum() string { return strconv.Itoa(p.opt.CameraNum) }
