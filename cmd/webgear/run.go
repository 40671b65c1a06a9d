package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/m2m"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/server"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// runCommand is webgear run.
func runCommand(ctx context.Context, args []string, w world) error {
	c, flags, err := parseRunFlags(args, w)
	if err != nil {
		return err
	}
	log, level := newLogger(c.Log, w)
	if flags.pi {
		log.Warn("flag is deprecated", "flag", "--enablePiCamera", "remedy", "use --api pigear")
	}
	m := &maker{drv: v4l2.New(v4l2.Config{Root: w.root, Logger: log.With("component", "v4l2")}), root: w.root, home: w.home, log: log}
	m.devices = m.drv.NewWatcher()
	o, src, err := m.options(ctx, c, flags)
	if err != nil {
		return err
	}
	d, err := openDoor(ctx, c, flags, w, log)
	if err != nil {
		return err
	}
	defer d.close()
	if flags.debugErrors && trustOf(d.ln) == auth.Network {
		return usageError("--debug-errors: refused on %s, which others can reach: listen on 127.0.0.1 instead", d.ln.Addr())
	}
	m.guard, m.redirect = d.guard, d.redirect
	o.Guard, o.RedirectHTTPS = m.guard, m.redirect
	g, err := webgear.New(o)
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "webgear: ") // our own name comes first anyway
		if flags.config != "" && !flags.optionKeys["custom_data_location"] {
			return &exitError{exitConfig, fmt.Errorf("settings file %s: options: %s", flags.config, text)}
		}
		return usageError("--options: %s", text)
	}
	d.keep(w.manager, log)
	quiet := world{stdout: io.Discard, stderr: io.Discard}
	r := &reloader{
		parse: func() (config.Config, *runFlags, error) { return parseRunFlags(args, quiet) },
		options: func(ctx context.Context, c config.Config, f *runFlags) (webgear.Options, error) {
			o, _, err := m.options(ctx, c, f)
			return o, err
		},
		state: func() any { return g.Status() },
		level: level, manager: w.manager, log: log, running: c,
	}
	r.target = g
	s := &service{
		gear: g, src: src, devices: m.devices, manager: w.manager, reloader: r, log: log, slack: slack(c),
		explain: func(err *device.OpError) error { return sourceError(src.Name, flags, err) },
	}
	path := flags.control
	if dir := os.Getenv("RUNTIME_DIRECTORY"); path == "" && dir != "" && flags.service {
		path = filepath.Join(dir, "control.sock")
	}
	if path != "" {
		if s.control, err = listenControl(ctx, path); err != nil && flags.control != "" {
			return usageError("--control-socket: %w", err)
		} else if err != nil {
			log.Warn("settings can be reloaded by a signal only", "err", err)
		}
	}
	if flags.service {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		s.hangups = hangups
	}
	warnOfAccess(c, d.guard, d.ln, log)
	return d.serve(ctx, g.Ready(), s.serve)
}

// maker makes of settings what a server takes.
type maker struct {
	drv     *v4l2.Driver
	devices *v4l2.Watcher
	root    string
	home    string
	log     *slog.Logger
	// guard and redirect stay the same over reloads.
	guard    *auth.Guard
	redirect int
}

// shortest is how long a camera stays on at least: a time of 0 means for ever to
// the server.
const shortest = time.Millisecond

// encoders finds the hardware that makes JPEG.
func (m *maker) encoders(ctx context.Context, c config.Config) []device.EncoderMaker {
	if c.Camera.Encoder == "software" {
		return nil
	}
	found, err := m2m.New(m2m.Config{Root: m.root, Logger: m.log.With("component", "m2m")}).Find(ctx)
	if err != nil {
		m.log.Warn("hardware encoders cannot be looked for", "err", err)
	}
	return found
}

// options turns the settings into those of a server. It starts nothing.
func (m *maker) options(ctx context.Context, c config.Config, flags *runFlags) (webgear.Options, *source.Source, error) {
	settings, rest := webgear.ParseSettings(c.Options, func(key, reason string) {
		m.log.Warn("option discarded", "key", key, "reason", reason)
	})
	encoders := m.encoders(ctx, c)
	src, err := parseSource(c, rest, m.drv, len(encoders) > 0, m.log)
	if err != nil {
		if flags.config != "" && !flags.set["source"] {
			return webgear.Options{}, nil, &exitError{exitConfig, fmt.Errorf("settings file %s: camera.source: %w", flags.config, err)}
		}
		return webgear.Options{}, nil, usageError("--source: %w", err)
	}
	// Validate has checked these.
	linger, always, _ := c.Camera.Lingers()
	controls, _ := c.Camera.ControlValues()
	timeout, _ := c.HTTP.Timeout()
	o := webgear.Options{
		Settings: settings, Open: src.Open, Source: src.Name, Want: src.Want, Better: src.Better, Fatal: fatal(src, flags),
		Encoders: encoders, SoftwareEncoding: c.Camera.Encoder == "software", Transform: c.Camera.Transform,
		Subsampling: subsampling(c), Limits: server.Limits{
			MaxViewers: c.HTTP.MaxViewers, MaxViewersPerAddress: c.HTTP.MaxViewersPerAddress, ViewerTimeout: timeout,
		},
		DropSame: c.Camera.DropSameFrames, Linger: max(linger, shortest), OnDemand: src.OnDemand && !always, Controls: controls,
		Guard: m.guard, RedirectHTTPS: m.redirect,
		Home: m.home, Service: flags.service, DebugErrors: flags.debugErrors, Version: buildVersion(), Logger: m.log,
	}
	if src.Hotplug {
		o.Changes = m.devices.Changes()
	}
	return o, src, nil
}

// parseSource finds out what the settings mean by their source.
// hardware says that there is one that makes JPEG of raw pictures.
func parseSource(c config.Config, keys map[string]any, drv *v4l2.Driver, hardware bool, log *slog.Logger) (*source.Source, error) {
	want, err := c.Want()
	if err != nil {
		return nil, err
	}
	return source.Parse(c.Camera.Source, source.Options{
		API: source.API(c.Camera.API), Want: want, Loop: c.Camera.Loop, CameraNum: c.Camera.CameraNum, StreamMode: c.Camera.StreamMode,
		Demuxer: c.Camera.Demuxer, FFmpeg: c.Camera.FFmpeg, Colorspace: c.Camera.Colorspace,
		TimeDelay: time.Duration(c.Camera.TimeDelay * float64(time.Second)), Stabilize: c.Camera.Stabilize, Keys: keys,
		Codec: libcamera.Codec(c.Camera.Codec), Raw: func() bool { return hardware },
	}, drv, log)
}

// subsampling gives the name that an encoder knows.
func subsampling(c config.Config) string {
	if c.Camera.Subsampling == "keep" {
		return encode.SubsamplingSource.String()
	}
	return encode.Subsampling420.String()
}

// fatal says which failures of the very first attempt end the program. A user
// who names the source on the command line wants to be told; a source from the
// settings file may come later (a camera that is still off), and only what can
// never become a camera is a mistake in the file. auto never fails.
func fatal(src *source.Source, flags *runFlags) []error {
	switch {
	case src.Auto:
		return nil
	case flags.set["source"]:
		return []error{device.ErrNotFound, device.ErrBusy, device.ErrPermission, device.ErrUnsupported, device.ErrNotInstalled}
	}
	return []error{device.ErrUnsupported, device.ErrNotInstalled}
}

// sourceError tells a person why the source they named cannot be used.
func sourceError(name string, flags *runFlags, err *device.OpError) error {
	remedy := ""
	if !errors.Is(err, device.ErrNotInstalled) { // whose text has the remedy
		remedy = ". " + status.CauseOf(err).Remedy
	}
	if flags.set["source"] || flags.config == "" {
		return usageError("--source %s: %w%s", name, err, remedy)
	}
	return &exitError{exitConfig, fmt.Errorf("settings file %s: camera.source %s: %w%s", flags.config, name, err, remedy)}
}

// url is what a person types for an address we listen on.
func url(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// rootCause finds what the kernel said.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
