package libcamera

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// option is one row of the table: how a control is set, checked and handed to
// the program.
type option struct {
	Control
	// flag is the program's name for it, without the dashes.
	flag string
	// set reads a value; empty means unset.
	set func(o *Options, value string) error
	// check says what is wrong with the value.
	check func(o *Options) error
	// arg gives the program's value; an empty one is a switch. ok is false when
	// there is nothing to say.
	arg func(o *Options) (value string, ok bool)
}

// optionTable is every control, in the order in which the program gets them.
// The ranges are those of libcamera's control_ids and of rpicam-apps'
// core/options.cpp; where these have none, they are what sensors can do.
func optionTable() []option {
	return []option{
		jpegQuality(),
		duration("ExposureTime", "shutter", time.Microsecond, 250*time.Second,
			"exposure time; without it automatic", func(o *Options) *time.Duration { return &o.ExposureTime }),
		number("AnalogueGain", "gain", 1, 64, "gain of the sensor; without it automatic",
			func(o *Options) *float64 { return &o.AnalogueGain }),
		number("ExposureValue", "ev", -8, 8, "brightness that automatic exposure aims at, in stops",
			func(o *Options) *float64 { return &o.ExposureValue }),
		choice("AeExposureMode", "exposure", []string{"normal", "sport", "long", "custom"},
			"how automatic exposure divides between time and gain", func(o *Options) *string { return &o.AeExposureMode }),
		choice("AeMeteringMode", "metering", []string{"centre", "spot", "average", "custom"},
			"which part of the picture exposure is measured from", func(o *Options) *string { return &o.AeMeteringMode }),
		duration("AeFlickerPeriod", "flicker-period", 100*time.Microsecond, time.Second,
			"period of flickering light: 10000us for mains of 50 Hz, 8333us for 60 Hz",
			func(o *Options) *time.Duration { return &o.AeFlickerPeriod }),
		choice("AwbMode", "awb", []string{"auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy", "custom"},
			"light for automatic white balance", func(o *Options) *string { return &o.AwbMode }),
		colourGains(),
		choice("AfMode", "autofocus-mode", []string{"manual", "auto", "continuous"},
			"autofocus: never, once, or always", func(o *Options) *string { return &o.AfMode }),
		choice("AfRange", "autofocus-range", []string{"normal", "macro", "full"},
			"distances that autofocus looks at", func(o *Options) *string { return &o.AfRange }),
		choice("AfSpeed", "autofocus-speed", []string{"normal", "fast"},
			"how fast autofocus moves the lens", func(o *Options) *string { return &o.AfSpeed }),
		region("AfWindow", "autofocus-window", "part of the picture that autofocus looks at",
			func(o *Options) *Region { return &o.AfWindow }),
		optional("LensPosition", "lens-position", 32, "distance in dioptres: 0 is infinity, 2 is half a metre",
			func(o *Options) **float64 { return &o.LensPosition }),
		number("Brightness", "brightness", -1, 1, "brightness, 0 is neutral", func(o *Options) *float64 { return &o.Brightness }),
		optional("Contrast", "contrast", 15.99, "contrast, 1 is neutral", func(o *Options) **float64 { return &o.Contrast }),
		optional("Saturation", "saturation", 15.99, "saturation, 1 is neutral, 0 is grey", func(o *Options) **float64 { return &o.Saturation }),
		optional("Sharpness", "sharpness", 15.99, "sharpening, 1 is usual, 0 is none", func(o *Options) **float64 { return &o.Sharpness }),
		choice("NoiseReductionMode", "denoise", []string{"auto", "off", "cdn_off", "cdn_fast", "cdn_hq"},
			"noise reduction; cdn_off saves time and work", func(o *Options) *string { return &o.NoiseReductionMode }),
		choice("HdrMode", "hdr", []string{"off", "auto", "sensor", "single-exp"},
			"high dynamic range: by the sensor, or single-exp on a Pi 5", func(o *Options) *string { return &o.HdrMode }),
		region("ScalerCrop", "roi", "digital zoom: the part of the picture that is shown", func(o *Options) *Region { return &o.ScalerCrop }),
		toggle("HFlip", "hflip", "mirror left and right", func(o *Options) *bool { return &o.HFlip }),
		toggle("VFlip", "vflip", "mirror top and bottom", func(o *Options) *bool { return &o.VFlip }),
		rotation(),
		tuningFile(),
		sensorMode(),
		bufferCount(),
		toggle("NoRaw", "no-raw", "save the memory for raw pictures; the sensor mode cannot be chosen then", func(o *Options) *bool { return &o.NoRaw }),
	}
}

var (
	errNoNumber = errors.New("not a number")
	errSwitch   = errors.New("use true or false")
)

func outside(low, high float64) error {
	return fmt.Errorf("outside of %s to %s", decimal(low), decimal(high))
}

// decimal prints a number without exponent, exact to 1/1000000.
func decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func parseNumber(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f-f != 0 { // infinite, or no number
		return 0, errNoNumber
	}
	return f, nil
}

// number is a control that is not set when 0.
func number(name, flag string, low, high float64, help string, field func(*Options) *float64) option {
	return option{
		Control: Control{Name: name, Kind: KindNumber, Min: low, Max: high, Help: help}, flag: flag,
		set: func(o *Options, value string) (err error) {
			f := 0.0
			if value != "" {
				f, err = parseNumber(value)
			}
			if err == nil {
				*field(o) = f
			}
			return err
		},
		check: func(o *Options) error {
			if f := *field(o); f != 0 && !(f >= low && f <= high) {
				return outside(low, high)
			}
			return nil
		},
		arg: func(o *Options) (string, bool) { return decimal(*field(o)), *field(o) != 0 },
	}
}

// optional is a control from 0 on, for which 0 is a value.
func optional(name, flag string, high float64, help string, field func(*Options) **float64) option {
	return option{
		Control: Control{Name: name, Kind: KindNumber, Max: high, Help: help}, flag: flag,
		set: func(o *Options, value string) error {
			if value == "" {
				*field(o) = nil
				return nil
			}
			f, err := parseNumber(value)
			if err != nil {
				return err
			}
			*field(o) = &f
			return nil
		},
		check: func(o *Options) error {
			if p := *field(o); p != nil && !(*p >= 0 && *p <= high) {
				return outside(0, high)
			}
			return nil
		},
		arg: func(o *Options) (string, bool) {
			p := *field(o)
			if p == nil {
				return "", false
			}
			return decimal(*p), true
		},
	}
}

// duration is a control that the program takes in microseconds.
func duration(name, flag string, low, high time.Duration, help string, field func(*Options) *time.Duration) option {
	return option{
		Control: Control{
			Name: name, Kind: KindDuration, Min: float64(low.Microseconds()), Max: float64(high.Microseconds()), Help: help,
		}, flag: flag,
		set: func(o *Options, value string) error {
			value = strings.TrimSpace(value)
			if value == "" {
				*field(o) = 0
				return nil
			}
			d, err := time.ParseDuration(value)
			if err != nil {
				us, err := parseNumber(value)
				if err != nil || us < -1e12 || us > 1e12 {
					return errors.New("write it as 10ms or 10000us")
				}
				d = time.Duration(us * float64(time.Microsecond))
			}
			*field(o) = d
			return nil
		},
		check: func(o *Options) error {
			if d := *field(o); d != 0 && (d < low || d > high) {
				return fmt.Errorf("outside of %v to %v", low, high)
			}
			return nil
		},
		// Without a unit: versions before 1.4 take none.
		arg: func(o *Options) (string, bool) {
			d := *field(o)
			if flag == "flicker-period" { // that one is newer than units, and they are required
				return strconv.FormatInt(d.Microseconds(), 10) + "us", d != 0
			}
			return strconv.FormatInt(d.Microseconds(), 10), d != 0
		},
	}
}

func choice(name, flag string, choices []string, help string, field func(*Options) *string) option {
	return option{
		Control: Control{Name: name, Kind: KindChoice, Choices: choices, Help: help}, flag: flag,
		set: func(o *Options, value string) error {
			*field(o) = strings.ToLower(strings.TrimSpace(value))
			return nil
		},
		check: func(o *Options) error {
			if v := *field(o); v != "" && !slices.Contains(choices, v) {
				return fmt.Errorf("use one of %s", strings.Join(choices, ", "))
			}
			return nil
		},
		arg: func(o *Options) (string, bool) { return *field(o), *field(o) != "" },
	}
}

func toggle(name, flag, help string, field func(*Options) *bool) option {
	return option{
		Control: Control{Name: name, Kind: KindSwitch, Help: help}, flag: flag,
		set: func(o *Options, value string) error {
			on := false
			if value != "" {
				var err error
				if on, err = strconv.ParseBool(strings.ToLower(strings.TrimSpace(value))); err != nil {
					return errSwitch
				}
			}
			*field(o) = on
			return nil
		},
		check: func(*Options) error { return nil },
		arg:   func(o *Options) (string, bool) { return "", *field(o) },
	}
}

// parseNumbers reads n numbers between commas.
func parseNumbers(s string, n int) ([]float64, error) {
	parts := strings.Split(strings.Trim(strings.TrimSpace(s), "[]()"), ",")
	if len(parts) != n {
		return nil, fmt.Errorf("wants %d numbers with commas between them", n)
	}
	numbers := make([]float64, n)
	for i, p := range parts {
		var err error
		if numbers[i], err = parseNumber(p); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

func region(name, flag, help string, field func(*Options) *Region) option {
	return option{
		Control: Control{Name: name, Kind: KindRegion, Max: 1, Help: help}, flag: flag,
		set: func(o *Options, value string) error {
			if value == "" {
				*field(o) = Region{}
				return nil
			}
			n, err := parseNumbers(value, 4)
			if err != nil {
				return err
			}
			*field(o) = Region{n[0], n[1], n[2], n[3]}
			return nil
		},
		check: func(o *Options) error {
			r := *field(o)
			const slack = 1e-6 // sums of fractions
			inside := r.X >= 0 && r.Y >= 0 && r.Width > 0 && r.Height > 0 && r.X+r.Width <= 1+slack && r.Y+r.Height <= 1+slack
			if r != (Region{}) && !inside {
				return errors.New("write x,y,width,height as fractions of the picture from 0 to 1, such as 0.25,0.25,0.5,0.5")
			}
			return nil
		},
		arg: func(o *Options) (string, bool) {
			r := *field(o)
			return decimal(r.X) + "," + decimal(r.Y) + "," + decimal(r.Width) + "," + decimal(r.Height), r != Region{}
		},
	}
}

func colourGains() option {
	const low, high = 0.1, 32
	return option{
		Control: Control{
			Name: "ColourGains", Kind: KindText, Min: low, Max: high,
			Help: "gains of red and blue; they switch automatic white balance off",
		}, flag: "awbgains",
		set: func(o *Options, value string) error {
			if value == "" {
				o.ColourGains = [2]float64{}
				return nil
			}
			n, err := parseNumbers(value, 2)
			if err != nil {
				return err
			}
			o.ColourGains = [2]float64(n)
			return nil
		},
		check: func(o *Options) error {
			for _, g := range o.ColourGains {
				if o.ColourGains != [2]float64{} && !(g >= low && g <= high) {
					return fmt.Errorf("write red,blue: each is %w", outside(low, high))
				}
			}
			return nil
		},
		arg: func(o *Options) (string, bool) {
			return decimal(o.ColourGains[0]) + "," + decimal(o.ColourGains[1]), o.ColourGains != [2]float64{}
		},
	}
}

// integer is a control with whole numbers; check does more than the range.
func integer(name, flag string, low, high int, help string, field func(*Options) *int) option {
	return option{
		Control: Control{Name: name, Kind: KindNumber, Min: float64(low), Max: float64(high), Help: help}, flag: flag,
		set: func(o *Options, value string) (err error) {
			n := 0
			if value != "" {
				if n, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					return errors.New("not a whole number")
				}
			}
			*field(o) = n
			return nil
		},
		check: func(o *Options) error {
			if n := *field(o); n != 0 && (n < low || n > high) {
				return fmt.Errorf("outside of %d to %d", low, high)
			}
			return nil
		},
		arg: func(o *Options) (string, bool) { return strconv.Itoa(*field(o)), *field(o) != 0 },
	}
}

func jpegQuality() option {
	return integer("JpegQuality", "quality", 1, 100, "quality of JPEG pictures made by rpicam-vid, 80 unless told otherwise",
		func(o *Options) *int { return &o.JpegQuality })
}

func bufferCount() option {
	return integer("BufferCount", "buffer-count", 1, 64, "pictures that may be in the making, 6 unless told otherwise",
		func(o *Options) *int { return &o.BufferCount })
}

func rotation() option {
	r := integer("Rotation", "rotation", 0, 180, "0 or 180 degrees", func(o *Options) *int { return &o.Rotation })
	r.Kind, r.Choices = KindChoice, []string{"0", "180"}
	r.check = func(o *Options) error {
		if o.Rotation != 0 && o.Rotation != 180 {
			return errors.New("use 0 or 180: the hardware cannot make a quarter turn, turn the camera")
		}
		return nil
	}
	return r
}

func tuningFile() option {
	return option{
		Control: Control{Name: "TuningFile", Kind: KindText, Help: "tuning file of libcamera for this sensor"}, flag: "tuning-file",
		set: func(o *Options, value string) error {
			o.TuningFile = value
			return nil
		},
		check: func(o *Options) error {
			if strings.ContainsAny(o.TuningFile, "\x00\n\r") || o.TuningFile == "-" {
				return errors.New("not a path to a file")
			}
			return nil
		},
		arg: func(o *Options) (string, bool) { return o.TuningFile, o.TuningFile != "" },
	}
}

var sensorModeForm = regexp.MustCompile(`^(\d{1,5}):(\d{1,5})(:(8|10|12|14|16)(:[PU])?)?$`)

func sensorMode() option {
	return option{
		Control: Control{Name: "SensorMode", Kind: KindText, Help: "how the sensor is read out: WIDTH:HEIGHT:BITS:P, or U for unpacked"}, flag: "mode",
		set: func(o *Options, value string) error {
			o.SensorMode = strings.ToUpper(strings.TrimSpace(value))
			return nil
		},
		check: func(o *Options) error {
			if o.SensorMode == "" {
				return nil
			}
			m := sensorModeForm.FindStringSubmatch(o.SensorMode)
			if m != nil {
				if _, _, ok := size(m[1], m[2]); ok {
					return nil
				}
			}
			return errors.New("write it as WIDTH:HEIGHT:BITS:P, such as 2304:1296:10:P; the sensor's modes are listed with the camera")
		},
		arg: func(o *Options) (string, bool) { return o.SensorMode, o.SensorMode != "" },
	}
}
