package libcamera

import (
	"context"
	"slices"

	"github.com/webgear-pi/webgear/device"
)

// setting is a value for one of the options, as Options.Set wants it.
type setting struct {
	name, value string
}

// apply sets it. Focusing by itself and a fixed lens exclude each other: who
// asks for the one last gets it.
func (o *Options) apply(v setting) error {
	if err := o.Set(v.name, v.value); err != nil {
		return err
	}
	if v.name == "AfMode" && v.value != "manual" {
		o.LensPosition = nil
	}
	return nil
}

// differing names the options that are not the same.
func differing(a, b Options) []string {
	var names []string
	for _, r := range optionTable() {
		av, aset := r.arg(&a)
		bv, bset := r.arg(&b)
		if av != bv || aset != bset {
			names = append(names, r.Name)
		}
	}
	return names
}

// face is how one of the options looks as a control.
type face struct {
	name, label, group, unit string
	kind                     device.ControlKind
	// low replaces the option's least value where another one means that libcamera
	// decides.
	low, step float64
	// neutral is the value that is the same as none at all; fixed says that there
	// is none such.
	neutral string
	fixed   bool
}

// longestText bounds texts, in characters: four numbers with commas.
const longestText = 64

// faces are the options that are controls, in the order in which they are
// listed. What only makes sense before the start is left out, and so is the
// tuning file: who sets controls should not choose files.
func faces() []face {
	const exposure, colour, focus, picture, geometry, sensor = "exposure", "colour", "focus", "picture", "geometry", "sensor"
	return []face{
		{name: "ExposureTime", label: "Exposure time, 0 is automatic", group: exposure, unit: "µs", kind: device.ControlInteger, step: 1, neutral: "0"},
		{name: "AnalogueGain", label: "Gain, 0 is automatic", group: exposure, kind: device.ControlNumber, step: 0.01, neutral: "0"},
		{name: "ExposureValue", label: "Exposure compensation", group: exposure, unit: "EV", kind: device.ControlNumber, low: -8, step: 0.1, neutral: "0"},
		{name: "AeExposureMode", label: "Exposure mode", group: exposure, kind: device.ControlMenu, neutral: "normal"},
		{name: "AeMeteringMode", label: "Metering", group: exposure, kind: device.ControlMenu, neutral: "centre"},
		{name: "AeFlickerPeriod", label: "Flicker period, 0 is none", group: exposure, unit: "µs", kind: device.ControlInteger, step: 1, neutral: "0"},
		{name: "AwbMode", label: "White balance", group: colour, kind: device.ControlMenu, neutral: "auto"},
		{name: "ColourGains", label: "Gains of red and blue, empty is automatic", group: colour, kind: device.ControlText},
		{name: "Brightness", label: "Brightness", group: picture, kind: device.ControlNumber, low: -1, step: 0.01, neutral: "0"},
		{name: "Contrast", label: "Contrast", group: picture, kind: device.ControlNumber, step: 0.01, neutral: "1"},
		{name: "Saturation", label: "Saturation", group: picture, kind: device.ControlNumber, step: 0.01, neutral: "1"},
		{name: "Sharpness", label: "Sharpness", group: picture, kind: device.ControlNumber, step: 0.01, neutral: "1"},
		{name: "NoiseReductionMode", label: "Noise reduction", group: picture, kind: device.ControlMenu, neutral: "auto"},
		{name: "HdrMode", label: "High dynamic range", group: picture, kind: device.ControlMenu, neutral: "off"},
		{name: "AfMode", label: "Autofocus", group: focus, kind: device.ControlMenu, neutral: leftToLibcamera},
		{name: "LensPosition", label: "Distance, 0 is infinity", group: focus, unit: "dpt", kind: device.ControlNumber, step: 0.1, neutral: "0", fixed: true},
		{name: "AfRange", label: "Autofocus distances", group: focus, kind: device.ControlMenu, neutral: "normal"},
		{name: "AfSpeed", label: "Autofocus speed", group: focus, kind: device.ControlMenu, neutral: "normal"},
		{name: "AfWindow", label: "Autofocus window x,y,width,height", group: focus, kind: device.ControlText},
		{name: "ScalerCrop", label: "Digital zoom x,y,width,height", group: geometry, kind: device.ControlText, neutral: "0,0,1,1"},
		{name: "HFlip", label: "Mirror left and right", group: geometry, kind: device.ControlBoolean, step: 1, neutral: "false"},
		{name: "VFlip", label: "Mirror top and bottom", group: geometry, kind: device.ControlBoolean, step: 1, neutral: "false"},
		{name: "Rotation", label: "Rotation", group: geometry, unit: "°", kind: device.ControlIntegerMenu, neutral: "0"},
		{name: "SensorMode", label: "Sensor mode", group: sensor, kind: device.ControlMenu, neutral: "automatic"},
		{name: "JpegQuality", label: "JPEG quality", group: "jpeg", kind: device.ControlInteger, low: 1, step: 1, neutral: "80"},
	}
}

// leftToLibcamera is the item of a menu for what has no name of its own.
const leftToLibcamera = "default"

// ControlsChanged receives a value after controls were set, or set back. What
// changes with the light, such as Lux, does not count.
func (c *Camera) ControlsChanged() <-chan struct{} { return c.changed }

func (c *Camera) tellChanged() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Controls lists the controls with libcamera's names. Their ranges are those of
// libcamera; which part of it the sensor has is not told. Values are those in
// force; what libcamera finds out by itself stands in read-only controls, once
// there were pictures.
func (c *Camera) Controls(ctx context.Context) ([]device.Control, error) {
	if err := c.life.Check(ctx, "list controls"); err != nil {
		return nil, err
	}
	return c.controls(), nil
}

func (c *Camera) controls() []device.Control {
	c.mu.Lock()
	opt, m, told, ses, delay := c.opt, c.metadata, c.told, c.session, c.delay
	c.mu.Unlock()
	var list []device.Control
	rows := optionTable()
	for _, f := range faces() {
		i := slices.IndexFunc(rows, func(r option) bool { return r.Name == f.name })
		if i >= 0 && (f.name == "JpegQuality" || !c.drv.lacks(rows[i].flag)) {
			list = append(list, c.control(&f, &rows[i], &opt))
		}
	}
	codec := c.plan(device.Format{}, opt).codec
	if ses != nil {
		codec = CodecYUV420
		if ses.format.FourCC.Compressed() {
			codec = CodecMJPEG
		}
	}
	inactive := map[string]bool{
		"ExposureValue": opt.ExposureTime != 0 && opt.AnalogueGain != 0,
		"AwbMode":       opt.ColourGains != [2]float64{},
		"JpegQuality":   codec != CodecMJPEG,
		"LensPosition":  opt.AfMode != "" && opt.AfMode != "manual",
		"AfRange":       opt.AfMode == "manual",
		"AfSpeed":       opt.AfMode == "manual",
		"AfWindow":      opt.AfMode == "manual",
	}
	for i := range list {
		list[i].Inactive = inactive[list[i].ID] || list[i].Group == "focus" && told && !m.Lens
	}
	if told {
		list = append(list, seen(m, delay.Seconds()*1000)...)
	}
	return list
}

// seen are the controls that only tell what libcamera found.
func seen(m Metadata, delay float64) []device.Control {
	var list []device.Control
	add := func(id, name, group, unit string, kind device.ControlKind, high, value float64) {
		list = append(list, device.Control{
			ID: id, Name: name, Group: group, Unit: unit, Kind: kind, Max: high, Value: device.NumberValue(value), ReadOnly: true, Volatile: true,
		})
	}
	locked := 0.0
	if m.AeLocked {
		locked = 1
	}
	add("PresentExposureTime", "Exposure time now", "exposure", "µs", device.ControlInteger, 250e6, float64(m.ExposureTime.Microseconds()))
	add("PresentAnalogueGain", "Gain now", "exposure", "", device.ControlNumber, 64, m.AnalogueGain)
	add("DigitalGain", "Digital gain now", "exposure", "", device.ControlNumber, 64, m.DigitalGain)
	add("AeLocked", "Exposure has settled", "exposure", "", device.ControlBoolean, 1, locked)
	add("Lux", "Brightness of the scene", "exposure", "lx", device.ControlNumber, 1e6, m.Lux)
	add("ColourTemperature", "Colour temperature", "colour", "K", device.ControlNumber, 1e5, m.ColourTemperature)
	add("FrameDuration", "Time per picture", "sensor", "µs", device.ControlInteger, 250e6, float64(m.FrameDuration.Microseconds()))
	if m.SensorTimestamp > 0 {
		add("SensorDelay", "Delay from the sensor to here", "sensor", "ms", device.ControlNumber, 1e4, delay)
	}
	if m.SensorTemperature != 0 {
		add("SensorTemperature", "Temperature of the sensor", "sensor", "°C", device.ControlNumber, 200, m.SensorTemperature)
		list[len(list)-1].Min = -100
	}
	if m.Lens {
		add("PresentLensPosition", "Distance now", "focus", "dpt", device.ControlNumber, 32, m.LensPosition)
		add("FocusFoM", "Sharpness that autofocus sees", "focus", "", device.ControlNumber, 1e6, m.FocusFoM)
		add("AfState", "Autofocus is", "focus", "", device.ControlMenu, 3, float64(m.AfState))
		list[len(list)-1].Items = []device.ControlItem{{Value: 0, Name: "idle"}, {Value: 1, Name: "scanning"}, {Value: 2, Name: "focused"}, {Value: 3, Name: "failed"}}
	}
	return list
}

// control describes one option.
func (c *Camera) control(f *face, r *option, opt *Options) device.Control {
	ctl := device.Control{
		ID: f.name, Name: f.label, Group: f.group, Unit: f.unit, Kind: f.kind, Min: f.low, Max: r.Max, Step: f.step, Restarts: true,
	}
	switch f.kind {
	case device.ControlMenu, device.ControlIntegerMenu:
		ctl.Items = c.items(f, r, opt)
		ctl.Min, ctl.Max = float64(ctl.Items[0].Value), float64(ctl.Items[len(ctl.Items)-1].Value)
	case device.ControlText:
		ctl.Max = longestText
	case device.ControlBoolean:
		ctl.Max = 1
	}
	value, set := r.arg(opt)
	switch {
	case !set:
		value = f.neutral
	case f.kind == device.ControlBoolean:
		value = "true"
	}
	ctl.Default, ctl.Value = valueOf(&ctl, f.neutral), valueOf(&ctl, value)
	return ctl
}
