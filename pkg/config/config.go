// Package config holds the settings: what they are, their defaults, how a file
// is read and what is refused. It imports nothing of ours but the device
// contract, starts nothing and touches no file other than the one named.
//
// Precedence: built-in default, then settings file, then command line.
//
// A settings file is strict YAML. An unknown or repeated key, a value of the
// wrong type or out of range, is an error that names file, line and key.
// Values may be copied freely.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/webgear-pi/webgear/device"
)

// Config is every setting. Default gives a usable one; the zero value is not.
type Config struct {
	Camera Camera `yaml:"camera"`
	HTTP   HTTP   `yaml:"http"`
	Log    Log    `yaml:"log"`
	// Options are WebGear's own options and those of its sources, by WebGear's
	// names. As there, a key or value that cannot be used is discarded with a
	// warning; see webgear.ParseSettings and source.Options.
	Options map[string]any `yaml:"options"`
}

// Camera says where pictures come from.
type Camera struct {
	// Source is "auto", "test[:WxH[@FPS]]", an index, a /dev path, a file, a
	// folder of JPEG files, an address or a GStreamer pipeline. Default auto.
	Source string `yaml:"source"`
	// Resolution is the wanted size, "WxH". Empty: the nearest to 1280x720.
	Resolution string `yaml:"resolution"`
	// Framerate is the wanted rate in frames per second, 0.1 to 1000.
	// 0: 30, or the nearest the camera has.
	Framerate float64 `yaml:"framerate"`
	// Format is the wanted pixel format, such as MJPG or YUYV. Empty: the best
	// for the work it costs.
	Format string `yaml:"format"`
	// Loop repeats a recording for ever.
	Loop bool `yaml:"loop"`
	// API is who reads the source: camgear, pigear or ffgear. Empty: by the
	// look of the source.
	API string `yaml:"api"`
	// CameraNum is the number of the Pi's own camera, for pigear.
	CameraNum int `yaml:"camera_num"`
	// StreamMode resolves the address of a page through yt-dlp.
	StreamMode bool `yaml:"stream_mode"`
	// Stabilize calms shaky pictures.
	Stabilize bool `yaml:"stabilize"`
	// Colorspace is the name of an OpenCV conversion, such as COLOR_BGR2GRAY.
	Colorspace string `yaml:"colorspace"`
	// TimeDelay is waited before the first picture is read, in seconds, 0 to 3600.
	TimeDelay float64 `yaml:"time_delay"`
	// Demuxer is FFmpeg's name of the input format, for ffgear.
	Demuxer string `yaml:"source_demuxer"`
	// FFmpeg is the path of the program. Empty: the one in PATH.
	FFmpeg string `yaml:"custom_ffmpeg"`
}

// HTTP says where the server listens.
type HTTP struct {
	// Listen is HOST:PORT; an empty host means all interfaces. Default
	// 127.0.0.1:8000.
	Listen string `yaml:"listen"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format is text or json. Default text.
	Format string `yaml:"format"`
}

// Default returns the built-in settings.
func Default() Config {
	return Config{
		Camera: Camera{Source: "auto"},
		HTTP:   HTTP{Listen: "127.0.0.1:8000"},
		Log:    Log{Level: "info", Format: "text"},
	}
}

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
	if apis := []string{"", "camgear", "pigear", "ffgear"}; !slices.Contains(apis, c.Camera.API) {
		return &FieldError{"camera.api", fmt.Sprintf("%q is none of camgear, pigear, ffgear", c.Camera.API)}
	}
	if c.Camera.CameraNum < 0 {
		return &FieldError{"camera.camera_num", fmt.Sprintf("%d must not be negative", c.Camera.CameraNum)}
	}
	if d := c.Camera.TimeDelay; !(d >= 0 && d <= 3600) {
		return &FieldError{"camera.time_delay", fmt.Sprintf("%v must be 0 to 3600 seconds", d)}
	}
	_, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil {
		return &FieldError{"http.listen", fmt.Sprintf("%q is no address: write HOST:PORT, such as 127.0.0.1:8000, or :8000 for all interfaces", c.HTTP.Listen)}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return &FieldError{"http.listen", fmt.Sprintf("port %q must be a number from 0 to 65535", port)}
	}
	if levels := []string{"debug", "info", "warn", "error"}; !slices.Contains(levels, c.Log.Level) {
		return &FieldError{"log.level", fmt.Sprintf("%q is none of %s", c.Log.Level, strings.Join(levels, ", "))}
	}
	if formats := []string{"text", "json"}; !slices.Contains(formats, c.Log.Format) {
		return &FieldError{"log.format", fmt.Sprintf("%q is none of %s", c.Log.Format, strings.Join(formats, ", "))}
	}
	return nil
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

// maxFile bounds what is read; a settings file has a few kilobytes.
const maxFile = 1 << 20

// Load reads a settings file over the defaults and validates the result. Errors
// read "settings file PATH line N: KEY: problem".
func Load(path string) (Config, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("has %d bytes, at most %d are read", info.Size(), maxFile)
	}
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s: %w", path, reason(err))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s: %w", path, reason(err))
	}
	c, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("settings file %s%w", path, err)
	}
	return c, nil
}

// reason strips the operation and path that our own text says already.
func reason(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Parse reads settings over the defaults and validates them. Errors begin with
// " line N: " or ": ", to be put behind the name of the file.
func Parse(data []byte) (Config, error) {
	c := Default()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Config{}, positioned(err)
	}
	if len(file.Docs) > 1 {
		return Config{}, errors.New(": holds more than one YAML document, only one is read")
	}
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		if err := yaml.NodeToValue(file.Docs[0].Body, &c, yaml.Strict()); err != nil {
			return Config{}, positioned(err)
		}
	}
	if err := c.Validate(); err != nil {
		if fe, ok := errors.AsType[*FieldError](err); ok {
			return Config{}, fmt.Errorf(" line %d: %w", lineOf(file, fe.Key), fe)
		}
		return Config{}, fmt.Errorf(": %w", err)
	}
	return c, nil
}

// positioned turns an error of the YAML library into one line that begins with
// the line number.
func positioned(err error) error {
	ye, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return fmt.Errorf(": %w", err)
	}
	msg := strings.Join(strings.Fields(ye.GetMessage()), " ")
	tok := ye.GetToken()
	if tok == nil {
		return errors.New(": " + msg)
	}
	if _, unknown := errors.AsType[*yaml.UnknownFieldError](err); unknown {
		msg = fmt.Sprintf("unknown key %q: check its spelling and its section (%s)", tok.Value, keys())
	}
	return fmt.Errorf(" line %d: %s", tok.Position.Line, msg)
}

// keys lists every setting, for the error about an unknown one.
func keys() string {
	return "camera: source, resolution, framerate, format, loop, api, camera_num, stream_mode, stabilize, colorspace, time_delay, " +
		"source_demuxer, custom_ffmpeg; http: listen; log: level, format; options: those of WebGear"
}

// lineOf finds the line of a key such as "camera.source", or of the nearest
// section above it.
func lineOf(file *ast.File, key string) int {
	line := 1
	parts := strings.Split(key, ".")
	for i := range parts {
		p, err := yaml.PathString("$." + strings.Join(parts[:i+1], "."))
		if err != nil {
			break
		}
		node, err := p.FilterFile(file)
		if err != nil {
			break
		}
		line = node.GetToken().Position.Line
	}
	return line
}
