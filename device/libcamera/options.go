package libcamera

import (
	"errors"
	"fmt"
	"time"
)

// Codec is what rpicam-vid makes of the pictures.
type Codec string

// Codecs. The empty one is CodecAuto.
const (
	// CodecAuto takes what suits the board: raw pictures where there is hardware
	// that makes JPEG of them.
	CodecAuto Codec = "auto"
	// CodecYUV420 delivers raw YU12 pictures.
	CodecYUV420 Codec = "yuv420"
	// CodecMJPEG delivers JPEG pictures, made in software on every board.
	CodecMJPEG Codec = "mjpeg"
)

// Region is a part of the picture in fractions of its sides, from 0 to 1. The
// zero Region is all of it.
type Region struct {
	X, Y, Width, Height float64
}

// Options are the camera's controls and how it is run. The zero value leaves
// everything to libcamera. Fields have libcamera's names; [Controls] describes
// them, [Options.Set] sets one by name.
type Options struct {
	// Codec overrides what the board decides; a pixel format given to Start
	// goes before it.
	Codec Codec
	// JpegQuality is for CodecMJPEG, from 1 to 100. 0 means 80.
	JpegQuality int

	// ExposureTime is fixed when not 0; automatic otherwise.
	ExposureTime time.Duration
	// AnalogueGain is fixed when not 0; automatic otherwise.
	AnalogueGain float64
	// ExposureValue shifts automatic exposure, in stops.
	ExposureValue   float64
	AeExposureMode  string
	AeMeteringMode  string
	AeFlickerPeriod time.Duration

	AwbMode string
	// ColourGains are red and blue; they switch automatic white balance off.
	ColourGains [2]float64

	AfMode, AfRange, AfSpeed string
	AfWindow                 Region
	// LensPosition is in dioptres, 0 is infinity. Nil leaves the lens alone.
	LensPosition *float64

	Brightness float64
	// Contrast, Saturation and Sharpness are 1 when nil.
	Contrast, Saturation, Sharpness *float64
	NoiseReductionMode              string
	HdrMode                         string

	// ScalerCrop is the digital zoom.
	ScalerCrop   Region
	HFlip, VFlip bool
	// Rotation is 0 or 180 degrees; a quarter turn is not possible.
	Rotation int

	// TuningFile replaces libcamera's own file for the sensor.
	TuningFile string
	// SensorMode chooses how the sensor is read out: W:H, W:H:BITS or
	// W:H:BITS:P, or U for unpacked.
	SensorMode string
	// BufferCount is how many pictures may be in the making. 0 means 6, the
	// program's own choice.
	BufferCount int
	// NoRaw saves the memory for raw pictures. The sensor mode cannot be chosen
	// then.
	NoRaw bool

	// AlignWidth rounds the width down to what the hardware likes best.
	AlignWidth bool
	// Verbose makes the program tell more to the debug log.
	Verbose bool
}

// Kind is the form of a control's value.
type Kind string

// Forms of values.
const (
	KindNumber   Kind = "number"
	KindDuration Kind = "duration" // "10ms", or a number of microseconds
	KindChoice   Kind = "choice"
	KindSwitch   Kind = "switch"
	KindRegion   Kind = "region" // x,y,width,height
	KindText     Kind = "text"
)

// Control describes one of the [Options].
type Control struct {
	// Name is libcamera's, and that of the field.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Min and Max bound numbers and durations; durations are in microseconds.
	Min float64 `json:"min"`
	Max float64 `json:"max"`
	// Choices are the values of a choice.
	Choices []string `json:"choices,omitempty"`
	// Help says in a few words what it does and what its values mean.
	Help string `json:"help"`
}

// Controls describes all options that have a name.
func Controls() []Control {
	rows := optionTable()
	controls := make([]Control, len(rows))
	for i, r := range rows {
		controls[i] = r.Control
	}
	return controls
}

// Set sets an option by its name. An empty value gives it back to libcamera.
func (o *Options) Set(name, value string) error {
	for _, r := range optionTable() {
		if r.Name != name {
			continue
		}
		before := *o
		if err := r.set(o, value); err != nil {
			return fmt.Errorf("%s %q: %w", name, value, err)
		}
		if err := r.check(o); err != nil {
			*o = before
			return fmt.Errorf("%s %q: %w", name, value, err)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", name, errUnknownControl)
}

var (
	errUnknownControl = errors.New("no such control: use one of those that libcamera documents, such as AnalogueGain")
	errModeWithoutRaw = errors.New("cannot be chosen without raw pictures: leave out NoRaw")
	errCodec          = errors.New("use auto, mjpeg or yuv420")
)

// Validate checks every option. The error names each one that cannot be used,
// what it may be, and is nil when there is none.
func (o Options) Validate() error {
	var errs []error
	for _, r := range optionTable() {
		if err := r.check(&o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, err))
		}
	}
	if o.Codec != "" && o.Codec != CodecAuto && o.Codec != CodecYUV420 && o.Codec != CodecMJPEG {
		errs = append(errs, fmt.Errorf("Codec %q: %w", o.Codec, errCodec))
	}
	if o.SensorMode != "" && o.NoRaw {
		errs = append(errs, fmt.Errorf("SensorMode: %w", errModeWithoutRaw))
	}
	return errors.Join(errs...)
}

// args are the options as the program wants them. They are written with "=",
// so that a value can begin with a minus sign.
func (o Options) args() []string {
	var args []string
	for _, r := range optionTable() {
		if r.flag == "quality" {
			continue // handed over together with the codec, for which alone it is
		}
		if value, ok := r.arg(&o); ok {
			if value != "" {
				value = "=" + value
			}
			args = append(args, "--"+r.flag+value)
		}
	}
	return args
}
