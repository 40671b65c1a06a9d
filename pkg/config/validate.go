package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// FieldError is a value that cannot be used. Key is the path of the setting,
// such as "camera.framerate".
type FieldError struct {
	Key     string
	Problem string
}

// Error names the key and the problem.
func (e *FieldError) Error() string { return e.Key + ": " + e.Problem }

// Validate checks the form of every value and returns the first problem, as a
// *FieldError. What the hardware can do is not its business.
func (c Config) Validate() error {
	if c.Camera.Source == "" {
		return &FieldError{"camera.source", "must not be empty: use auto for the first camera"}
	}
	if _, err := c.Want(); err != nil {
		return err
	}
	if err := c.Camera.check(); err != nil {
		return err
	}
	if err := c.HTTP.check(); err != nil {
		return err
	}
	if err := c.Access.check(); err != nil {
		return err
	}
	if err := oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return oneOf("log.format", c.Log.Format, "text", "json")
}

// Want returns the camera format that the settings ask for; zero fields leave
// the choice to the driver. The error is a *FieldError.
func (c Config) Want() (device.Format, error) {
	var f device.Format
	if c.Camera.Resolution != "" {
		w, h, rate, err := device.ParseSize(c.Camera.Resolution)
		if err != nil {
			return f, &FieldError{"camera.resolution", err.Error()}
		}
		f.Width, f.Height, f.Rate = w, h, rate
	}
	if r := c.Camera.Framerate; r != 0 {
		if !(r >= 0.1 && r <= 1000) { // so that NaN fails too
			return f, &FieldError{"camera.framerate", fmt.Sprintf("%v must be 0.1 to 1000 frames per second", r)}
		}
		f.Rate = device.FPS(r)
	}
	if c.Camera.Format != "" {
		code, err := device.ParseFourCC(c.Camera.Format)
		if err != nil {
			return f, &FieldError{"camera.format", err.Error()}
		}
		f.FourCC = code
	}
	return f, nil
}

// Times that settings may name. Shorter ones would cut off viewers that only
// wait for a slow network, longer ones are mistakes.
const (
	maxLinger        = 24 * time.Hour
	minViewerTimeout = time.Second
	maxViewerTimeout = time.Hour
	// maxDropped bounds pictures left out in a row.
	maxDropped = 1000
)

// check checks what Want does not.
func (c *Camera) check() error {
	if !slices.Contains([]string{"", "camgear", "pigear", "ffgear"}, c.API) {
		return &FieldError{"camera.api", fmt.Sprintf("%q is none of camgear, pigear, ffgear", c.API)}
	}
	if c.CameraNum < 0 {
		return &FieldError{"camera.camera_num", fmt.Sprintf("%d must not be negative", c.CameraNum)}
	}
	if d := c.TimeDelay; !(d >= 0 && d <= 3600) {
		return &FieldError{"camera.time_delay", fmt.Sprintf("%v must be 0 to 3600 seconds", d)}
	}
	if _, _, err := c.Lingers(); err != nil {
		return err
	}
	if _, err := c.ControlValues(); err != nil {
		return err
	}
	if err := oneOf("camera.encoder", c.Encoder, "auto", "software"); err != nil {
		return err
	}
	if err := oneOf("camera.codec", c.Codec, "auto", "mjpeg", "yuv420"); err != nil {
		return err
	}
	if err := oneOf("camera.subsampling", c.Subsampling, "420", "keep"); err != nil {
		return err
	}
	if c.Transform != "" {
		if err := oneOf("camera.transform", c.Transform, "90", "180", "270", "hflip", "vflip"); err != nil {
			return err
		}
	}
	if n := c.DropSameFrames; n < 0 || n > maxDropped {
		return &FieldError{"camera.drop_same_frames", fmt.Sprintf("%d must be 0 to %d pictures", n, maxDropped)}
	}
	return nil
}

// oneOf wants value to be one of a few words.
func oneOf(key, value string, words ...string) error {
	if !slices.Contains(words, value) {
		return &FieldError{key, fmt.Sprintf("%q is none of %s", value, strings.Join(words, ", "))}
	}
	return nil
}

// span reads a time span such as 90s or 1h30m.
func span(key, text string, low, high time.Duration, also string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &FieldError{key, fmt.Sprintf("%q is no time span: write it as 30s, 5m or 1h30m%s", text, also)}
	}
	if d < low || d > high {
		return 0, &FieldError{key, fmt.Sprintf("%s must be %s to %s%s", text, brief(low), brief(high), also)}
	}
	return d, nil
}

// brief prints a time span without zero parts at its end: 1h, not 1h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Lingers says how long the camera stays on without viewers; always means for
// ever. The error is a *FieldError.
func (c *Camera) Lingers() (d time.Duration, always bool, err error) {
	if c.Linger == "never" {
		return 0, true, nil
	}
	d, err = span("camera.linger", c.Linger, 0, maxLinger, ", or never to keep the camera on")
	return d, false, err
}

// Timeout is ViewerTimeout. The error is a *FieldError.
func (h *HTTP) Timeout() (time.Duration, error) {
	return span("http.viewer_timeout", h.ViewerTimeout, minViewerTimeout, maxViewerTimeout, "")
}

// ControlValues are the values of Controls. The error is a *FieldError.
func (c *Camera) ControlValues() (map[string]device.ControlValue, error) {
	values := make(map[string]device.ControlValue, len(c.Controls))
	for id, v := range c.Controls {
		key := "camera.controls." + id
		var n float64
		switch v := v.(type) {
		case bool:
			if v {
				n = 1
			}
		case int:
			n = float64(v)
		case int64:
			n = float64(v)
		case uint64:
			n = float64(v)
		case float64:
			n = v
		case string:
			values[id] = device.TextValue(v)
			continue
		default:
			return nil, &FieldError{key, "must be a number, true, false or text"}
		}
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, &FieldError{key, fmt.Sprintf("%v must be a finite number", v)}
		}
		values[id] = device.NumberValue(n)
	}
	return values, nil
}
