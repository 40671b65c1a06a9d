package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/testsrc"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// idle measures what the whole program costs for so long while nobody watches and
// its camera is asleep. Somebody watched before, so that all is warm.
func idle(ctx context.Context, out io.Writer, span time.Duration) error {
	gear, err := webgear.New(webgear.Options{
		Settings: webgear.DefaultSettings(), Source: "test",
		Open: func(context.Context) (device.Camera, error) {
			return testsrc.NewPattern(testsrc.PatternOptions{})
		},
		OnDemand: true, Linger: time.Second, Assets: os.DirFS("web/data"),
	})
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- gear.Serve(ctx, ln) }()
	err = asleep(ctx, out, "http://"+ln.Addr().String(), span)
	stop()
	return errors.Join(err, <-done)
}

func asleep(ctx context.Context, out io.Writer, url string, span time.Duration) error {
	if err := begin(ctx, url+"/video"); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := get(ctx, url+"/state")
		if err != nil {
			return err
		}
		if strings.Contains(state, `"state": "asleep"`) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	tick.Stop()
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	took := time.Since(began)
	_, err = fmt.Fprintf(out, "asleep for %s: %.2f ms of processor time, %.4f %% of one processor\n",
		took.Round(time.Second), (after-before)/1000, (after-before)/float64(took.Microseconds())*100)
	return err
}

// get returns what a page says.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
