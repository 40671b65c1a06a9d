package webgear

import (
	"context"
	"errors"
	"fmt"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/capture"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// captureConfig checks everything that the capture side takes and puts it
// together, but for what stays for the life of a Gear.
func (g *Gear) captureConfig(o *Options) (capture.Config, error) {
	if o.Open == nil {
		return capture.Config{}, errors.New("no source: set Options.Open, for example to webgear.ImageFunc(f) or with package device/source")
	}
	if o.Settings == (Settings{}) {
		o.Settings = DefaultSettings()
	}
	if err := o.check(); err != nil {
		return capture.Config{}, err
	}
	if w := o.Want; w.Width < 0 || w.Height < 0 || w.Width > device.MaxSide || w.Height > device.MaxSide {
		return capture.Config{}, fmt.Errorf("wanted size %dx%d: each side must be 0 to %d pixels", w.Width, w.Height, device.MaxSide)
	}
	if o.DropSame < 0 || o.Linger < 0 {
		return capture.Config{}, errors.New("DropSame and Linger: must not be negative")
	}
	if o.Subsampling == "" {
		o.Subsampling = encode.Subsampling420.String()
	}
	if _, err := encode.ParseSubsampling(o.Subsampling); err != nil {
		return capture.Config{}, err
	}
	finish, err := o.newFinish()
	if err != nil {
		return capture.Config{}, err
	}
	return capture.Config{
		Source: o.Source, Want: o.Want, Changes: o.Changes, Better: o.Better,
		Open:      func(ctx context.Context) (device.Camera, error) { return g.open(ctx, o) },
		Infinite:  o.InfiniteFrames,
		Encoders:  o.encoders(),
		Quality:   o.quality(),
		NewRework: g.newRework(&o.Settings),
		NewFinish: finish,
		DropSame:  o.DropSame,
		OnDemand:  o.OnDemand, Linger: o.Linger, Controls: o.Controls,
	}, nil
}

// Apply replaces the options of a running server while viewers stay. An error
// means that nothing was changed. With reopen the source is closed and opened
// anew; without, only Limits, Linger, OnDemand and Controls may differ. What is
// settled when a Gear is made stays: the place of pages and stream, Fatal,
// Logger. Controls that the camera refuses are logged.
func (g *Gear) Apply(ctx context.Context, o Options, reopen bool) error {
	c, err := g.captureConfig(&o)
	if err == nil {
		err = g.srv.SetLimits(o.Limits)
	}
	if err != nil {
		return fmt.Errorf("webgear: %w", err)
	}
	g.sup.Apply(c, reopen)
	if !reopen {
		g.sup.ApplyControls(ctx)
	}
	return nil
}
