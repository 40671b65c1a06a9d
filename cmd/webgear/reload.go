package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// applier is a server that takes new options while viewers stay connected: all of
// them or, with an error, none. What New takes only once (the place of the pages)
// is left as it was.
type applier interface {
	Apply(ctx context.Context, o webgear.Options, reopen bool) error
}

// outcome is what came of a reload.
type outcome struct {
	// Error is why the old settings stay; then nothing was changed.
	Error string `json:"error,omitempty"`
	// Code is the exit code that belongs to Error.
	Code int `json:"code,omitempty"`
	// Live settings are in force; for those in Reopen the camera was opened
	// anew; those in Restart wait for a restart.
	Live    []string `json:"live"`
	Reopen  []string `json:"reopen"`
	Restart []string `json:"restart"`
}

// print says it to a person.
func (o outcome) print(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	if len(o.Live)+len(o.Reopen)+len(o.Restart) == 0 {
		p("reloaded: nothing has changed\n")
		return
	}
	if len(o.Live) > 0 {
		p("in force: %s\n", strings.Join(o.Live, ", "))
	}
	if len(o.Reopen) > 0 {
		p("in force, the camera was opened anew: %s\n", strings.Join(o.Reopen, ", "))
	}
	if len(o.Restart) > 0 {
		p("needs a restart (sudo systemctl restart webgear): %s\n", strings.Join(o.Restart, ", "))
	}
}

// reloader reads the settings again. Its reload may be called from any goroutine.
type reloader struct {
	// parse reads the command line and the settings file, options makes of them
	// what a server takes. Neither changes anything.
	parse   func() (config.Config, *runFlags, error)
	options func(context.Context, config.Config, *runFlags) (webgear.Options, error)
	// target is the server, state says how it is.
	target  applier
	state   func() any
	level   *slog.LevelVar
	manager *manager
	log     *slog.Logger

	mu sync.Mutex
	// running are the settings in force.
	running config.Config // guarded by mu
}

// reload verifies all settings and then puts in force what can be.
func (r *reloader) reload(ctx context.Context) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager.reloading()
	defer r.manager.ready()
	o, err := r.change(ctx)
	if err != nil {
		r.log.Error("settings not reloaded, the old ones stay", "err", err)
		o = outcome{Error: err.Error(), Code: exitFailed}
		if ee, ok := errors.AsType[*exitError](err); ok {
			o.Code = ee.code
		}
		return o
	}
	r.log.Info("settings reloaded", "live", o.Live, "camera_reopened_for", o.Reopen, "restart_needed_for", o.Restart)
	return o
}

func (r *reloader) change(ctx context.Context) (outcome, error) {
	o := outcome{Live: []string{}, Reopen: []string{}, Restart: []string{}}
	c, flags, err := r.parse()
	if err != nil {
		return o, err
	}
	options, err := r.options(ctx, c, flags)
	if err != nil {
		return o, err
	}
	next, apply := c, false
	for _, ch := range config.Changes(r.running, c) {
		effect := effectOf(ch)
		own := ch.Key == "log.level" // ours, not the server's
		switch effect {
		case config.Live:
			o.Live = append(o.Live, ch.Key)
		case config.Reopen:
			o.Reopen = append(o.Reopen, ch.Key)
		case config.Restart:
			o.Restart = append(o.Restart, ch.Key)
			next.Take(ch.Key, r.running)
		}
		apply = apply || effect != config.Restart && !own
	}
	if apply {
		if err := r.target.Apply(ctx, options, len(o.Reopen) > 0); err != nil {
			return o, err
		}
	}
	setLevel(r.level, next.Log.Level)
	r.running = next
	return o, nil
}

// effectOf knows what a change of WebGear's own options takes beyond what the
// settings say: where the pages are is settled when the program starts.
func effectOf(ch config.Change) config.Effect {
	once := []string{"skip_generate_webdata", "custom_video_endpoint", "custom_data_location", "overwrite_default_files"}
	if name, ok := strings.CutPrefix(ch.Key, "options."); ok && slices.Contains(once, name) {
		return config.Restart
	}
	return ch.Effect
}

// Times of a conversation over the control socket.
const (
	controlTime = 2 * time.Second
	reloadTime  = 30 * time.Second
)

// Lines that ask for something.
const (
	controlRequest = "reload\n"
	stateRequest   = "state\n"
	// maxRequest bounds a line, in bytes.
	maxRequest = 16
)

// listenControl makes the socket for webgear reload. Its user and group may use
// it, and root.
func listenControl(ctx context.Context, path string) (net.Listener, error) {
	if conn, err := (&net.Dialer{Timeout: controlTime}).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("control socket %s: another webgear uses it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, rootCause(err))
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), ln.Close())
	}
	return ln, nil
}

// controlPause is how long a control socket that fails is left alone: without
// descriptors, for instance, until some viewers are gone.
const controlPause = time.Second

// serveControl answers one program after the other until the listener is closed.
func (r *reloader) serveControl(ctx context.Context, ln net.Listener) {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	again := time.NewTicker(controlPause)
	defer again.Stop()
	failing := false
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !failing {
				r.log.Warn("control socket fails, it is tried again every second", "err", err)
			}
			failing = true
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			continue
		}
		failing = false
		r.answer(ctx, conn)
	}
}

// answer reads one request. A program that says nothing is not waited for long.
func (r *reloader) answer(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }() // the answer was written or cannot be
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_ = conn.SetDeadline(time.Now().Add(controlTime))                                // a socket of the kernel's own has deadlines
	request, _ := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadString('\n') // half a line is no request
	var reply any
	switch {
	case request == controlRequest:
		reply = r.reload(ctx)
	case request == stateRequest && r.state != nil:
		reply = r.state()
	default:
		return
	}
	_ = conn.SetDeadline(time.Now().Add(controlTime))
	_ = json.NewEncoder(conn).Encode(reply) // who does not wait does not want it
}

// controlSocket is that of the service.
const controlSocket = "/run/webgear/control.sock"

// reloadCommand is webgear reload.
func reloadCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("reload")
	path := fs.String("control-socket", controlSocket, "`path` of the socket of the program that is to reload")
	about := "webgear reload has the running service read its settings again. All are checked first; with a mistake, the old ones stay."
	if err := parseFlags(fs, args, w, about); err != nil {
		return err
	}
	var o outcome
	if err := ask(ctx, *path, controlRequest, &o); err != nil {
		return err
	}
	if o.Error != "" {
		return &exitError{o.Code, fmt.Errorf("not reloaded, the old settings stay: %s", o.Error)}
	}
	o.print(w.stdout)
	return nil
}

// ask sends a request to the program behind a control socket and reads its
// answer.
func ask(ctx context.Context, path, request string, answer any) error {
	conn, err := (&net.Dialer{Timeout: controlTime}).DialContext(ctx, "unix", path)
	if err != nil {
		remedy := "is the service running? sudo systemctl start webgear"
		if errors.Is(err, os.ErrPermission) {
			remedy = "use sudo"
		}
		return fmt.Errorf("control socket %s: %w: %s", path, rootCause(err), remedy)
	}
	defer func() { _ = conn.Close() }() // everything was read
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_ = conn.SetDeadline(time.Now().Add(reloadTime)) // a socket of the kernel's own has deadlines
	_, err = io.WriteString(conn, request)
	if err == nil {
		err = json.NewDecoder(conn).Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("control socket %s: the service did not answer: %w", path, err)
	}
	return nil
}
