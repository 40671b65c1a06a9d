package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/httpjpeg"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/server"
)

// Servers of others. Most pass on what another one makes: there is no camera here
// that all of them could read, so they, and webgear beside them, read the same stream
// over HTTP. ustreamer reads cameras only and gets one of ours; webgear is measured
// with its own clock beside that.
const (
	nameRelay     = "relay"
	nameMJPG      = "mjpg-streamer"
	nameGo2rtc    = "go2rtc"
	nameUstreamer = "ustreamer"
)

// mjpgBoundary is the only delimiter that mjpg-streamer reads.
const mjpgBoundary = "boundarydonotcross"

// rivals are programs of others; "" leaves one out. rivals.sh builds them.
type rivals struct{ mjpgStreamer, go2rtc, ustreamer string }

// names lists those that are there.
func (r rivals) names() []string {
	var all []string
	if r.mjpgStreamer != "" {
		all = append(all, nameMJPG)
	}
	if r.go2rtc != "" {
		all = append(all, nameGo2rtc)
	}
	if r.ustreamer != "" {
		all = append(all, nameUstreamer)
	}
	return all
}

// servers lists who is compared: the floor, ourselves, and them.
func (r rivals) servers() []string {
	ours := []string{nameFloor}
	if r.mjpgStreamer != "" || r.go2rtc != "" {
		ours = append(ours, nameRelay)
	}
	if r.ustreamer != "" {
		ours = append(ours, nameOurs)
	}
	return append(ours, r.names()...)
}

// relays reports whether a server reads the stream of the feeder.
func relays(name string) bool {
	return slices.Contains([]string{nameRelay, nameMJPG, nameGo2rtc}, name)
}

// talks reports whether a program tells more than anybody wants to know.
func (r rivals) talks(name string) bool { return slices.Contains(r.names(), name) }

// command prepares a server on port that passes on the stream of the feeder or the
// pictures of a camera, and says where it has it.
func (r rivals) command(ctx context.Context, dir, name, port, feeder string, l load) (cmd *exec.Cmd, path string, err error) {
	switch name {
	case nameUstreamer:
		camera := filepath.Join(dir, "camera")
		if err := os.WriteFile(camera, nil, 0o600); err != nil {
			return nil, "", err
		}
		cmd = exec.CommandContext(ctx, r.ustreamer, "--device", camera, "--format", "MJPEG", "--encoder", "CPU", //nolint:gosec // the user's own program
			"--desired-fps", strconv.Itoa(l.fps), "--host", "127.0.0.1", "--port", port)
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+filepath.Join(dir, "camera.so"), "BENCH_CAMERA="+camera,
			"BENCH_BYTES="+strconv.Itoa(l.size), "BENCH_FPS="+strconv.Itoa(l.fps))
		return cmd, "/stream", nil
	case nameMJPG:
		lib := filepath.Dir(r.mjpgStreamer)
		return exec.CommandContext(ctx, r.mjpgStreamer, //nolint:gosec // the user's own program
			"-i", filepath.Join(lib, "input_http.so")+" -H 127.0.0.1 -p "+feeder,
			"-o", filepath.Join(lib, "output_http.so")+" -l 127.0.0.1 -p "+port), "/?action=stream", nil
	case nameGo2rtc:
		config := filepath.Join(dir, "go2rtc.yaml")
		text := fmt.Sprintf("api: {listen: '127.0.0.1:%s'}\nrtsp: {listen: ''}\nwebrtc: {listen: ''}\nstreams: {cam: 'http://127.0.0.1:%s/'}\n", port, feeder)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, "", err
		}
		return exec.CommandContext(ctx, r.go2rtc, "-config", config), "/api/stream.mjpeg?src=cam", nil //nolint:gosec // the user's own program
	default:
		return exec.CommandContext(ctx, filepath.Join(dir, "webgear"), "relay", port, "http://127.0.0.1:"+feeder+"/"), "/video", nil //nolint:gosec // our own program
	}
}

// feeder makes the pictures.
type feeder struct {
	port string
	stop func()
}

func startFeeder(ctx context.Context, dir string, l load) (*feeder, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "feeder"), port, strconv.Itoa(l.size), strconv.Itoa(l.fps)) //nolint:gosec // our own program
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &feeder{port, func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()         // it was killed
	}}
	if err := listening(ctx, port); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// answering waits until the beginning of the stream is there. One that only connects
// and goes makes mjpg-streamer end.
func answering(ctx context.Context, url string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := begin(ctx, url); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// begin reads the beginning of a stream.
func begin(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // there is more, nobody wants it
	_, err = io.ReadFull(resp.Body, make([]byte, 1000))
	return err
}

// relay is our server with the stream of another one as its camera.
func relay(ctx context.Context, port, url string) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	hub := fanout.New()
	srv, err := server.New(server.Options{Hub: hub})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx, ln) }()
	cam, err := httpjpeg.New(httpjpeg.Options{URL: url})
	if err != nil {
		return err
	}
	defer func() { _ = cam.Close() }() // it is over anyway
	if _, err := cam.Start(ctx, device.Format{}); err != nil {
		return err
	}
	for {
		err := cam.Next(ctx, func(b *device.Buffer) error {
			hub.Publish(&device.Frame{Data: slices.Clone(b.Data), CapturedAt: b.CapturedAt, PublishedAt: time.Now()})
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case err := <-done:
			return err
		default:
		}
	}
}
