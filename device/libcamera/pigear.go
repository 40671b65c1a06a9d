package libcamera

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// picamera2Enums are the numbers that picamera2 has for what the program names.
// They are those of libcamera's control_ids; an empty name stands for a value
// that the program does not offer.
var picamera2Enums = map[string][]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"AeExposureMode":     {"normal", "sport", "long", "custom"},
	"AeMeteringMode":     {"centre", "spot", "average", "custom"},
	"AwbMode":            {"auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy", "custom"},
	"AfMode":             {"manual", "auto", "continuous"},
	"AfRange":            {"normal", "macro", "full"},
	"AfSpeed":            {"normal", "fast"},
	"NoiseReductionMode": {"off", "cdn_fast", "cdn_hq", "off", "cdn_off"},
	"HdrMode":            {"off", "", "", "single-exp", ""},
}

// picamera2Words are what libcamera calls some values that the program names
// otherwise, in lower case.
var picamera2Words = map[string]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"AeExposureMode short":           "sport",
	"AeMeteringMode centreweighted":  "centre",
	"AeMeteringMode matrix":          "average",
	"NoiseReductionMode fast":        "cdn_fast",
	"NoiseReductionMode highquality": "cdn_hq",
	"NoiseReductionMode minimal":     "off",
	"HdrMode singleexposure":         "single-exp",
}

// pigear collects what comes out of a PiGear configuration.
type pigear struct {
	options  Options
	want     device.Format
	warnings []string
}

// FromPiGear turns the options of PiGear's picamera2 backend into ours. want is
// the format that is asked for besides them; sensor's output_size overrides its
// size. As in PiGear, nothing in the options is an error: what is not known or
// cannot be used is dropped, with a warning that names it and why.
func FromPiGear(settings map[string]any, want device.Format) (Options, device.Format, []string) {
	p := &pigear{want: want}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		value := settings[key]
		switch key {
		case "format":
			p.format(value)
		case "sensor":
			p.sensor(value)
		case "controls":
			p.controls(value)
		case "transform":
			p.transform(value)
		case "buffer_count":
			if n, ok := wholeNumber(value); !ok || n < 1 || n > 64 {
				p.warn("buffer_count", value, "wants a whole number from 1 to 64")
			} else {
				p.options.BufferCount = n
			}
		case "queue": // the newest picture is delivered in any case
			p.boolean(key, value, nil)
		case "auto_align_output_size":
			p.boolean(key, value, &p.options.AlignWidth)
		case "enable_verbose_logs":
			p.boolean(key, value, &p.options.Verbose)
		default:
			p.warn(key, nil, "is not an option of PiGear with picamera2")
		}
	}
	return p.options, p.want, p.warnings
}

// warn notes that something was dropped. A nil value is not shown.
func (p *pigear) warn(name string, value any, why string) {
	text := "option " + name
	if value != nil {
		text += fmt.Sprintf(" %v", value)
	}
	p.warnings = append(p.warnings, text+" "+why+": dropped")
}

func (p *pigear) boolean(name string, value any, field *bool) {
	on, ok := value.(bool)
	switch {
	case !ok:
		p.warn(name, value, "wants true or false")
	case field != nil:
		*field = on
	}
}

func (p *pigear) format(value any) {
	name, ok := value.(string)
	switch strings.ToUpper(strings.TrimSpace(name)) {
	case "YUV420", "YU12", "I420":
		p.options.Codec = CodecYUV420
	case "MJPEG":
		p.options.Codec = CodecMJPEG
	case "RGB888", "BGR888", "XRGB8888", "XBGR8888": // what PiGear makes JPEG pictures from; we do not need to
	default:
		if !ok || name == "" {
			p.warn("format", value, "wants the name of a pixel format")
			return
		}
		p.warn("format", value, "cannot be delivered, use YUV420 or MJPEG")
	}
}

func (p *pigear) sensor(value any) {
	m, ok := dictionary(value)
	if !ok {
		p.warn("sensor", value, "wants output_size and bit_depth")
		return
	}
	width, height, bits := 0, 0, 0
	for _, key := range slices.Sorted(maps.Keys(m)) {
		switch key {
		case "output_size":
			sides, ok := numberList(m[key])
			if !ok || len(sides) != 2 || !plausible(sides[0]) || !plausible(sides[1]) {
				p.warn("sensor.output_size", m[key], "wants width and height")
				continue
			}
			width, height = int(sides[0]), int(sides[1])
		case "bit_depth":
			n, ok := wholeNumber(m[key])
			if !ok || !slices.Contains([]int{8, 10, 12, 14, 16}, n) {
				p.warn("sensor.bit_depth", m[key], "wants 8, 10, 12, 14 or 16")
				continue
			}
			bits = n
		default:
			p.warn("sensor."+key, nil, "is not known, use output_size and bit_depth")
		}
	}
	if width == 0 {
		if bits != 0 {
			p.warn("sensor.bit_depth", bits, "needs output_size beside it")
		}
		return
	}
	if p.want.Width != 0 && (p.want.Width != width || p.want.Height != height) {
		p.warnings = append(p.warnings, fmt.Sprintf("option sensor.output_size %dx%d overrides the resolution %dx%d",
			width, height, p.want.Width, p.want.Height))
	}
	p.want.Width, p.want.Height = width, height
	p.options.SensorMode = strconv.Itoa(width) + ":" + strconv.Itoa(height)
	if bits != 0 {
		p.options.SensorMode += ":" + strconv.Itoa(bits)
	}
}

func plausible(side float64) bool {
	return side >= 16 && side <= device.MaxSide && side == float64(int(side))
}

func (p *pigear) transform(value any) {
	m, ok := dictionary(value)
	if !ok {
		p.warn("transform", value, "wants hflip and vflip")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var field *bool
		switch key {
		case "hflip":
			field = &p.options.HFlip
		case "vflip":
			field = &p.options.VFlip
		default:
			p.warn("transform."+key, nil, "is not possible: the hardware makes no quarter turns")
			continue
		}
		on, isBool := m[key].(bool)
		n, isNumber := wholeNumber(m[key])
		if !isBool && (!isNumber || n != 0 && n != 1) {
			p.warn("transform."+key, m[key], "wants true or false")
			continue
		}
		*field = on || n == 1
	}
}

func (p *pigear) controls(value any) {
	m, ok := dictionary(value)
	if !ok {
		p.warn("controls", value, "wants controls by their names")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value := m[name]
		switch name {
		case "FrameDuration", "FrameDurationLimits", "FrameRate":
			p.warn("controls."+name, value, "is refused: set the frame rate instead")
		case "AeEnable":
			p.automatic(name, value, "ExposureTime and AnalogueGain", m, "ExposureTime", "AnalogueGain")
		case "AwbEnable":
			p.automatic(name, value, "ColourGains", m, "ColourGains")
		case "AfMetering": // AfWindows says it all
		case "AfWindows":
			p.control("AfWindow", value)
		case "AeFlickerPeriod", "ExposureTime", "AnalogueGain", "ExposureValue", "AeExposureMode", "AeMeteringMode", "AwbMode",
			"ColourGains", "AfMode", "AfRange", "AfSpeed", "LensPosition", "Brightness", "Contrast", "Saturation", "Sharpness",
			"NoiseReductionMode", "HdrMode", "ScalerCrop":
			p.control(name, value)
		default:
			p.warn("controls."+name, nil, "is not a control that rpicam-vid can set")
		}
	}
}

// automatic handles the switches of automatic exposure and white balance. The
// program has none; they are off when the values are given.
func (p *pigear) automatic(name string, value any, remedy string, all map[string]any, fixed ...string) {
	on, ok := value.(bool)
	if !ok {
		p.warn("controls."+name, value, "wants true or false")
		return
	}
	for _, f := range fixed {
		if _, given := all[f]; given {
			return
		}
	}
	if !on {
		p.warn("controls."+name, value, "needs "+remedy+" beside it")
	}
}

// control sets a control from whatever form it has in a configuration.
func (p *pigear) control(name string, value any) {
	text, ok := "", false
	switch v := value.(type) {
	case string:
		text, ok = v, v != ""
		if better := picamera2Words[name+" "+strings.ToLower(v)]; better != "" {
			text = better
		}
	case []any:
		if list, isList := numberList(flatten(v)); isList {
			words := make([]string, len(list))
			for i, f := range list {
				words[i] = decimal(f)
			}
			text, ok = strings.Join(words, ","), true
		}
	default:
		var f float64
		if f, ok = realNumber(value); ok {
			text = decimal(f)
		}
	}
	if names := picamera2Enums[name]; names != nil && ok {
		if n, err := strconv.Atoi(text); err == nil {
			ok = n >= 0 && n < len(names) && names[n] != ""
			if ok {
				text = names[n]
			}
		}
	}
	if !ok {
		p.warn("controls."+name, value, "has no such value")
		return
	}
	if err := p.options.Set(name, text); err != nil {
		p.warnings = append(p.warnings, "option controls."+err.Error()+": dropped")
	}
}

// flatten takes the first of several regions: [[x, y, w, h]].
func flatten(v []any) []any {
	if len(v) > 0 {
		if inner, ok := v[0].([]any); ok {
			return inner
		}
	}
	return v
}

// dictionary accepts both forms of a mapping that YAML decoders give.
func dictionary(value any) (map[string]any, bool) {
	switch v := value.(type) {
	case map[string]any:
		return v, true
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[fmt.Sprint(key)] = value
		}
		return m, true
	}
	return nil, false
}

// numberList reads a list of numbers, also one written as text: "(640, 480)".
func numberList(value any) ([]float64, bool) {
	var list []float64
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			f, ok := realNumber(e)
			if !ok {
				return nil, false
			}
			list = append(list, f)
		}
	case []int:
		for _, e := range v {
			list = append(list, float64(e))
		}
	case string:
		for part := range strings.SplitSeq(strings.Trim(v, "()[] "), ",") {
			f, err := parseNumber(part)
			if err != nil {
				return nil, false
			}
			list = append(list, f)
		}
	default:
		return nil, false
	}
	return list, true
}

func realNumber(value any) (float64, bool) {
	var f float64
	switch v := value.(type) {
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case uint64:
		f = float64(v)
	case float64:
		f = v
	case float32:
		f = float64(v)
	default:
		return 0, false
	}
	return f, f-f == 0
}

func wholeNumber(value any) (int, bool) {
	f, ok := realNumber(value)
	if !ok || f < -1e9 || f > 1e9 || f != float64(int(f)) {
		return 0, false
	}
	return int(f), true
}
