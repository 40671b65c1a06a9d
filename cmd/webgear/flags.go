package main

import (
	"errors"
	"flag"
	"net"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/pkg/config"
)

// runFlags are the flags of webgear run as given, before they are laid over the
// settings file.
type runFlags struct {
	config      string
	control     string
	dataDir     string
	c           config.Config
	ip, port    string
	mode        string
	options     string
	logging, pi bool
	debugErrors bool
	service     bool
	// set holds the names of the flags that were given, in their long form.
	set map[string]bool
	// optionKeys are the keys that --options has.
	optionKeys map[string]bool
}

// aliases are WebGear's names of flags, beside the native ones.
func aliases() map[string]string {
	return map[string]string{
		"s": "source", "r": "resolution", "f": "framerate", "a": "api", "S": "stabilize", "yt": "stream_mode", "b": "backend",
		"sd": "source_demuxer", "ff": "frame_format", "cf": "custom_ffmpeg", "cn": "camera_num", "cs": "colorspace", "td": "time_delay",
		"ip": "ipaddress", "pt": "port", "l": "logging", "op": "options", "m": "mode", "ep": "enablePiCamera",
	}
}

// newRunFlags declares the flags.
func newRunFlags() (*flag.FlagSet, *runFlags) {
	d := config.Default()
	f := &runFlags{c: d, set: map[string]bool{}, optionKeys: map[string]bool{}}
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	cam := &f.c.Camera
	fs.StringVar(&f.config, "config", "", "read settings from this `file` (YAML); flags win over it")
	fs.StringVar(&cam.Source, "source", d.Camera.Source, "where pictures come from: "+source.Forms)
	fs.StringVar(&cam.Resolution, "resolution", "", "wanted size, `WxH`, such as 1280x720; the nearest the camera has is used")
	fs.Float64Var(&cam.Framerate, "framerate", 0, "wanted rate in frames per second; also the pace of a recording (default 30)")
	fs.StringVar(&cam.Format, "format", "", "wanted pixel format: MJPG, JPEG, YUYV, UYVY, NV12, YU12, RGB24 or GREY (default: the least work)")
	fs.StringVar(&cam.Linger, "linger", d.Camera.Linger, "`time` the camera stays on when the last viewer has left, such as 5m; never keeps it on")
	fs.StringVar(&cam.Encoder, "encoder", d.Camera.Encoder, "who makes JPEG of raw pictures: auto (hardware first) or software")
	fs.StringVar(&cam.Subsampling, "subsampling", d.Camera.Subsampling, "colour of pictures encoded here: 420, or keep for what the source has")
	fs.StringVar(&cam.Codec, "codec", d.Camera.Codec, "what rpicam-vid is asked for: yuv420, mjpeg or auto")
	fs.StringVar(&cam.Transform, "transform", "", "turn or mirror the pictures: 90, 180, 270, hflip or vflip")
	fs.IntVar(&cam.DropSameFrames, "drop-same-frames", 0, "leave out up to this `number` of equal pictures in a row")
	fs.BoolVar(&cam.Loop, "loop", false, "repeat a recording or file for ever")
	fs.StringVar(&f.c.HTTP.Listen, "listen", d.HTTP.Listen, "`address` to listen on; :8000 means all interfaces")
	fs.IntVar(&f.c.HTTP.MaxViewers, "max-viewers", 0, "at most this `number` of viewers at once; 0: no bound")
	fs.IntVar(&f.c.HTTP.MaxViewersPerAddress, "max-viewers-per-address", 0, "at most this `number` of viewers from one address; 0: no bound")
	fs.StringVar(&f.c.HTTP.ViewerTimeout, "viewer-timeout", d.HTTP.ViewerTimeout, "`time` after which a viewer that takes no data is cut off")
	fs.IntVar(&f.c.HTTP.MaxConnections, "max-connections", d.HTTP.MaxConnections, "at most this `number` of connections at once to each address; 0: no bound")
	fs.IntVar(&f.c.HTTP.MaxConnectionsPerAddress, "max-connections-per-address", d.HTTP.MaxConnectionsPerAddress, "at most this `number` of connections from one address; 0: no bound")
	fs.StringVar(&f.c.HTTP.TLS, "tls", d.HTTP.TLS, "HTTPS beside HTTP: off, self-signed or files")
	fs.StringVar(&f.c.HTTP.TLSListen, "tls-listen", d.HTTP.TLSListen, "`address` to listen on for HTTPS")
	fs.StringVar(&f.c.HTTP.Certificate, "certificate", "", "`file` with the certificate, for --tls files")
	fs.StringVar(&f.c.HTTP.Key, "key", "", "`file` with the key of the certificate")
	fs.BoolVar(&f.c.HTTP.Redirect, "redirect", false, "send browsers from HTTP to HTTPS")
	fs.StringVar(&f.c.Access.Mode, "access", d.Access.Mode, "password, or open to let in everybody who can reach this computer")
	fs.StringVar(&f.dataDir, "data-dir", "", "`directory` of the passwords and of the certificate that is made here (default: .webgear in your home; with --service /var/lib/webgear)")
	fs.StringVar(&f.control, "control-socket", "", "`path` of a Unix socket for webgear reload (default: control.sock in $RUNTIME_DIRECTORY, if that is set)")
	fs.StringVar(&f.c.Log.Level, "log-level", d.Log.Level, "debug, info, warn or error")
	fs.StringVar(&f.c.Log.Format, "log-format", d.Log.Format, "text or json")
	fs.BoolVar(&f.debugErrors, "debug-errors", false, "show the stack of a failed request in the browser; loopback addresses only")
	fs.BoolVar(&f.service, "service", false, "keep the data files in /var/lib/webgear, as a system service does, instead of your home")

	fs.StringVar(&cam.API, "api", "", "who reads the source: camgear, pigear or ffgear (default: by the look of the source)")
	fs.IntVar(&cam.CameraNum, "camera_num", 0, "number of the Pi's own camera, for pigear")
	fs.BoolVar(&cam.StreamMode, "stream_mode", false, "resolve the address of a page through yt-dlp")
	fs.BoolVar(&cam.Stabilize, "stabilize", false, "calm shaky pictures")
	fs.StringVar(&cam.Colorspace, "colorspace", "", "`name` of an OpenCV conversion, such as COLOR_BGR2GRAY")
	fs.Float64Var(&cam.TimeDelay, "time_delay", 0, "`seconds` to wait before the first picture is read")
	fs.StringVar(&cam.Demuxer, "source_demuxer", "", "FFmpeg's `name` of the input format, for ffgear")
	fs.StringVar(&cam.FFmpeg, "custom_ffmpeg", "", "`path` of ffmpeg")
	fs.StringVar(&f.options, "options", "", "WebGear's options as a YAML `mapping`, such as '{\"frame_size_reduction\": 25}'")
	fs.BoolVar(&f.logging, "logging", false, "log more: the same as --log-level debug")
	fs.StringVar(&f.ip, "ipaddress", "", "`address` to listen on, without the port")
	fs.StringVar(&f.port, "port", "", "`number` of the port to listen on")
	fs.StringVar(&f.mode, "mode", "mjpeg", "mjpeg; there is no webrtc here")
	fs.BoolVar(&f.pi, "enablePiCamera", false, "deprecated: the same as --api pigear")
	fs.Int("backend", 0, "accepted for WebGear's sake, without effect: there is no OpenCV here")
	fs.String("frame_format", "", "accepted for WebGear's sake, without effect: the best format is chosen")
	for short, long := range aliases() {
		target := fs.Lookup(long)
		fs.Var(target.Value, short, "short for --"+long)
	}
	return fs, f
}

// parseRunFlags reads the command line over the settings file over the defaults.
func parseRunFlags(args []string, w world) (config.Config, *runFlags, error) {
	fs, f := newRunFlags()
	if err := parseFlags(fs, args, w, "webgear run shows the camera in a browser."); err != nil {
		return config.Config{}, f, err
	}
	fs.Visit(func(fl *flag.Flag) {
		if long, ok := aliases()[fl.Name]; ok {
			f.set[long] = true
		} else {
			f.set[fl.Name] = true
		}
	})
	c := f.base()
	if f.config != "" {
		var err error
		if c, err = config.Load(f.config, c); err != nil {
			return c, f, &exitError{exitConfig, err}
		}
	}
	if err := f.apply(&c); err != nil {
		return c, f, err
	}
	if err := c.Validate(); err != nil {
		fe, _ := errors.AsType[*config.FieldError](err)
		return c, f, usageError("%s: %s", flagOf(fe.Key), fe.Problem)
	}
	return c, f, nil
}

// base are the settings that file and flags are laid over.
func (f *runFlags) base() config.Config {
	if f.service {
		return config.ServiceDefault()
	}
	return config.Default()
}

// apply lays the flags that were given over c.
func (f *runFlags) apply(c *config.Config) error {
	to, from := &c.Camera, f.c.Camera
	for name, apply := range map[string]func(){
		"source": func() { to.Source = from.Source }, "resolution": func() { to.Resolution = plainSize(from.Resolution) },
		"framerate": func() { to.Framerate = from.Framerate }, "format": func() { to.Format = from.Format },
		"loop": func() { to.Loop = from.Loop }, "api": func() { to.API = from.API }, "camera_num": func() { to.CameraNum = from.CameraNum },
		"stream_mode": func() { to.StreamMode = from.StreamMode }, "stabilize": func() { to.Stabilize = from.Stabilize },
		"colorspace": func() { to.Colorspace = from.Colorspace }, "time_delay": func() { to.TimeDelay = from.TimeDelay },
		"source_demuxer": func() { to.Demuxer = from.Demuxer }, "custom_ffmpeg": func() { to.FFmpeg = from.FFmpeg },
		"linger": func() { to.Linger = from.Linger }, "encoder": func() { to.Encoder = from.Encoder },
		"codec":       func() { to.Codec = from.Codec },
		"subsampling": func() { to.Subsampling = from.Subsampling }, "transform": func() { to.Transform = from.Transform },
		"drop-same-frames":            func() { to.DropSameFrames = from.DropSameFrames },
		"max-viewers":                 func() { c.HTTP.MaxViewers = f.c.HTTP.MaxViewers },
		"max-viewers-per-address":     func() { c.HTTP.MaxViewersPerAddress = f.c.HTTP.MaxViewersPerAddress },
		"viewer-timeout":              func() { c.HTTP.ViewerTimeout = f.c.HTTP.ViewerTimeout },
		"max-connections":             func() { c.HTTP.MaxConnections = f.c.HTTP.MaxConnections },
		"max-connections-per-address": func() { c.HTTP.MaxConnectionsPerAddress = f.c.HTTP.MaxConnectionsPerAddress },
		"tls":                         func() { c.HTTP.TLS = f.c.HTTP.TLS }, "tls-listen": func() { c.HTTP.TLSListen = f.c.HTTP.TLSListen },
		"certificate": func() { c.HTTP.Certificate = f.c.HTTP.Certificate }, "key": func() { c.HTTP.Key = f.c.HTTP.Key },
		"redirect": func() { c.HTTP.Redirect = f.c.HTTP.Redirect }, "access": func() { c.Access.Mode = f.c.Access.Mode },
		"listen": func() { c.HTTP.Listen = f.c.HTTP.Listen }, "log-level": func() { c.Log.Level = f.c.Log.Level },
		"log-format": func() { c.Log.Format = f.c.Log.Format },
	} {
		if f.set[name] {
			apply()
		}
	}
	switch {
	case f.set["framerate"] && to.Framerate == 0:
		return usageError("--framerate 0: must be 0.1 to 1000 frames per second")
	case f.mode != "mjpeg":
		return usageError("--mode %s: only mjpeg is there", f.mode)
	}
	if f.pi && to.API == "" {
		to.API = string(source.PiGear)
	}
	if f.logging && !f.set["log-level"] {
		c.Log.Level = "debug"
	}
	if f.set["ipaddress"] || f.set["port"] {
		// WebGear's flags name the two halves of --listen.
		host, port, err := net.SplitHostPort(c.HTTP.Listen)
		if err != nil {
			host, port = "", "8000"
		}
		if f.set["ipaddress"] {
			host = f.ip
		}
		if f.set["port"] {
			if n, err := strconv.Atoi(f.port); err != nil || n < 0 || n > 65535 {
				return usageError("--port %s: must be a number from 0 to 65535", f.port)
			}
			port = f.port
		}
		c.HTTP.Listen = net.JoinHostPort(host, port)
	}
	return f.applyOptions(c)
}

// applyOptions lays the mapping of --options over that of the settings file.
func (f *runFlags) applyOptions(c *config.Config) error {
	if !f.set["options"] {
		return nil
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(f.options), &values); err != nil {
		reason := ""
		if ye, ok := errors.AsType[yaml.Error](err); ok {
			reason = " (" + strings.Join(strings.Fields(ye.GetMessage()), " ") + ")"
		}
		return usageError("--options %s: no YAML mapping%s, write it as '{\"frame_size_reduction\": 25}'", strconv.Quote(f.options), reason)
	}
	if c.Options == nil {
		c.Options = map[string]any{}
	}
	for k, v := range values {
		k = strings.TrimSpace(k) // so that it meets its like in the settings file
		c.Options[k] = v
		f.optionKeys[k] = true
	}
	return nil
}

// plainSize turns WebGear's way to write a size, (640,480), into ours.
func plainSize(s string) string {
	inner := strings.Trim(strings.ReplaceAll(s, " ", ""), "()")
	if w, h, ok := strings.Cut(inner, ","); ok {
		return w + "x" + h
	}
	return s
}

// flagOf names the flag for a setting: log.level is --log-level, access.mode
// --access, all others have the name of their key; those that WebGear does not
// have, with dashes.
func flagOf(key string) string {
	section, name, _ := strings.Cut(key, ".")
	switch {
	case section == "log":
		return "--log-" + name
	case key == "access.mode":
		return "--access"
	case section == "http", name == "drop_same_frames":
		name = strings.ReplaceAll(name, "_", "-")
	}
	return "--" + name
}
