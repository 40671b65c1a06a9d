package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// newLogger writes to stderr, where systemd's journal picks it up.
func newLogger(c config.Log, w world) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // Validate has refused everything else
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w.stderr, o))
	}
	return slog.New(slog.NewTextHandler(w.stderr, o))
}

// runCommand is webgear run.
func runCommand(ctx context.Context, args []string, w world) error {
	c, flags, err := parseRunFlags(args, w)
	if err != nil {
		return err
	}
	log := newLogger(c.Log, w)
	if flags.pi {
		log.Warn("flag is deprecated", "flag", "--enablePiCamera", "remedy", "use --api pigear")
	}
	drv := v4l2.New(v4l2.Config{Root: w.root, Logger: log.With("component", "v4l2")})
	settings, rest := webgear.ParseSettings(c.Options, func(key, reason string) {
		log.Warn("option discarded", "key", key, "reason", reason)
	})
	src, err := parseSource(c, rest, drv, log)
	if err != nil {
		if flags.config != "" && !flags.set["source"] {
			return &exitError{exitConfig, fmt.Errorf("settings file %s: camera.source: %w", flags.config, err)}
		}
		return usageError("--source: %w", err)
	}
	devices := drv.NewWatcher()
	o := webgear.Options{
		Settings: settings, Open: src.Open, Source: source.Shown(c.Camera.Source), Want: src.Want, Better: src.Better, Fatal: fatal(src, flags),
		Home: w.home, Service: flags.service, DebugErrors: flags.debugErrors, Version: buildVersion(), Logger: log,
	}
	if src.Hotplug {
		o.Changes = devices.Changes()
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.HTTP.Listen)
	if err != nil {
		return usageError("--listen %s: %w: choose another address or port, or stop the program that uses it", c.HTTP.Listen, rootCause(err))
	}
	defer func() { _ = ln.Close() }() // closed already, unless we fail before
	if a, ok := ln.Addr().(*net.TCPAddr); flags.debugErrors && (!ok || !a.IP.IsLoopback()) {
		return usageError("--debug-errors: refused on %s, which others can reach: listen on 127.0.0.1 instead", ln.Addr())
	}
	g, err := webgear.New(o)
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "webgear: ") // our own name comes first anyway
		if flags.config != "" && !flags.optionKeys["custom_data_location"] {
			return &exitError{exitConfig, fmt.Errorf("settings file %s: options: %s", flags.config, text)}
		}
		return usageError("--options: %s", text)
	}
	return serve(ctx, g, ln, src, devices, log, func(err *device.OpError) error { return sourceError(c, flags, err) })
}

// parseSource finds out what the settings mean by their source.
func parseSource(c config.Config, keys map[string]any, drv *v4l2.Driver, log *slog.Logger) (*source.Source, error) {
	want, err := c.Want()
	if err != nil {
		return nil, err
	}
	return source.Parse(c.Camera.Source, source.Options{
		API: source.API(c.Camera.API), Want: want, Loop: c.Camera.Loop, CameraNum: c.Camera.CameraNum, StreamMode: c.Camera.StreamMode,
		Demuxer: c.Camera.Demuxer, FFmpeg: c.Camera.FFmpeg, Colorspace: c.Camera.Colorspace,
		TimeDelay: time.Duration(c.Camera.TimeDelay * float64(time.Second)), Stabilize: c.Camera.Stabilize, Keys: keys,
	}, drv, log)
}

// serve runs g until ctx ends.
func serve(ctx context.Context, g *webgear.Gear, ln net.Listener, src *source.Source, devices *v4l2.Watcher, log *slog.Logger,
	explain func(*device.OpError) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if src.Hotplug {
		wg.Go(func() {
			if err := devices.Run(ctx); err != nil && ctx.Err() == nil {
				log.Warn("device changes are not seen, cameras are looked for every 2 s instead", "err", err)
			}
		})
	}
	wg.Go(func() {
		select {
		case <-g.Ready():
			log.Info("serving", "url", url(ln.Addr()), "version", buildVersion())
			<-ctx.Done()
			log.Info("stopping")
		case <-ctx.Done():
		}
	})
	err := g.Serve(ctx, ln)
	if oe, ok := errors.AsType[*device.OpError](err); ok {
		return explain(oe)
	}
	return err
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
func sourceError(c config.Config, flags *runFlags, err *device.OpError) error {
	remedy := ""
	if !errors.Is(err, device.ErrNotInstalled) { // whose text has the remedy
		remedy = ". " + status.CauseOf(err).Remedy
	}
	if flags.set["source"] || flags.config == "" {
		return usageError("--source %s: %w%s", source.Shown(c.Camera.Source), err, remedy)
	}
	return &exitError{exitConfig, fmt.Errorf("settings file %s: camera.source %s: %w%s", flags.config, source.Shown(c.Camera.Source), err, remedy)}
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
