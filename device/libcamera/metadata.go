package libcamera

import (
	"bytes"
	"strconv"
	"time"
)

// maxMetadataLine is how long a line may be, in bytes; longer ones are passed
// over. Chosen: the longest known one, a tone curve, has 600.
const maxMetadataLine = 4096

// Metadata is what libcamera says about one picture. What it does not tell for
// this sensor is zero.
type Metadata struct {
	// Frame counts pictures from 0 since Start.
	Frame uint32 `json:"frame"`
	// SensorTimestamp is when the first row was exposed, in nanoseconds of
	// CLOCK_BOOTTIME.
	SensorTimestamp int64 `json:"sensor_timestamp_nanoseconds"`
	// ExposureTime and FrameDuration are what the sensor was set to.
	ExposureTime  time.Duration `json:"exposure_time_nanoseconds"`
	FrameDuration time.Duration `json:"frame_duration_nanoseconds"`
	// AnalogueGain is the sensor's, DigitalGain that of the image processor.
	AnalogueGain float64 `json:"analogue_gain"`
	DigitalGain  float64 `json:"digital_gain"`
	// Lux is the estimated brightness of the scene.
	Lux float64 `json:"lux"`
	// ColourTemperature is in kelvin; ColourGains are red and blue.
	ColourTemperature float64    `json:"colour_temperature_kelvin"`
	ColourGains       [2]float64 `json:"colour_gains"`
	// LensPosition is in dioptres, FocusFoM the sharpness that autofocus sees.
	LensPosition float64 `json:"lens_position_dioptres"`
	FocusFoM     float64 `json:"focus_fom"`
	// AfState is libcamera's number: 0 idle, 1 scanning, 2 focused, 3 failed.
	AfState int `json:"af_state"`
	// SensorTemperature is in degrees Celsius.
	SensorTemperature float64 `json:"sensor_temperature_celsius"`
	// AeLocked is set while automatic exposure has found its values.
	AeLocked bool `json:"ae_locked"`
	// Lens is set when there is something to focus.
	Lens bool `json:"lens"`
}

// metadataParser takes "Name=value" lines apart; an empty line ends a picture.
type metadataParser struct {
	current Metadata
	any     bool // lines of the current picture came
	line    []byte
	long    bool // in the rest of a line that was too long
}

// write takes what was read and calls done for every picture that is complete.
func (p *metadataParser) write(data []byte, done func(Metadata)) {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		part := data
		if i >= 0 {
			part = data[:i]
		}
		if len(p.line)+len(part) > maxMetadataLine {
			p.long = true
		}
		if !p.long {
			p.line = append(p.line, part...)
		}
		if i < 0 {
			return
		}
		data = data[i+1:]
		line := bytes.TrimRight(p.line, "\r ")
		switch {
		case p.long:
			p.any = true
		case len(line) > 0:
			p.any = true
			p.set(line)
		case p.any:
			done(p.current)
			p.current = Metadata{Frame: p.current.Frame + 1}
			p.any = false
		}
		p.line, p.long = p.line[:0], false
	}
}

// set takes one line. What it does not know it ignores.
func (p *metadataParser) set(line []byte) {
	name, value, ok := bytes.Cut(line, []byte{'='})
	if !ok {
		return
	}
	m := &p.current
	switch string(name) {
	case "SensorTimestamp":
		m.SensorTimestamp = whole(value)
	case "ExposureTime":
		m.ExposureTime = micros(value)
	case "FrameDuration":
		m.FrameDuration = micros(value)
	case "AnalogueGain":
		m.AnalogueGain = float(value)
	case "DigitalGain":
		m.DigitalGain = float(value)
	case "Lux":
		m.Lux = float(value)
	case "ColourTemperature":
		m.ColourTemperature = float(value)
	case "ColourGains":
		red, blue, _ := bytes.Cut(bytes.Trim(value, "[] "), []byte{','})
		m.ColourGains = [2]float64{float(red), float(blue)}
	case "LensPosition":
		m.LensPosition, m.Lens = float(value), true
	case "FocusFoM":
		m.FocusFoM = float(value)
	case "AfState":
		m.AfState = int(whole(value)) & 0xFF // an enumeration of four
	case "SensorTemperature":
		m.SensorTemperature = float(value)
	case "AeLocked":
		m.AeLocked = string(value) == "true" || string(value) == "1"
	case "AeState": // since libcamera 0.5; 2 is converged
		m.AeLocked = whole(value) == 2
	}
}

// whole reads a number without fraction that is not negative, 0 for anything else.
func whole(b []byte) int64 {
	var n int64
	b = bytes.TrimSpace(b)
	if len(b) > 18 { // would not fit
		return 0
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// micros reads microseconds, 0 for what no picture takes.
func micros(b []byte) time.Duration {
	n := whole(b)
	if n > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

// float reads a number, 0 for anything that is none or not finite.
func float(b []byte) float64 {
	f, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64)
	if err != nil || f != f || f > 1e12 || f < -1e12 {
		return 0
	}
	return f
}
