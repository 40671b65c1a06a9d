//go:build lab

package v4l2

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// camsimControl is where the machine's script has the simulated camera listen.
const camsimControl = "/run/camsim"

func camsim(t *testing.T, command string) {
	t.Helper()
	f, err := os.OpenFile(camsimControl, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(command + "\n"); err != nil {
		t.Fatal(err)
	}
}

// TestLabReplugIsToldAndFound pulls the USB camera out of a running stream and
// plugs it in again.
func TestLabReplugIsToldAndFound(t *testing.T) {
	d, f := labCamera(t, uvcDriver)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	w := d.NewWatcher()
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	<-w.Changes()

	cam, err := d.Open(ctx, f.Info.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(ctx, device.Format{Width: 640, Height: 480}); err != nil {
		t.Fatal(err)
	}
	var release func()
	held := false
	for !held {
		err := cam.Next(ctx, func(b *device.Buffer) error {
			release, held = b.Hold()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	camsim(t, "unplug")
	began := time.Now()
	for err = nil; err == nil; {
		err = cam.Next(ctx, func(*device.Buffer) error { return nil })
	}
	if !errors.Is(err, device.ErrUnplugged) {
		t.Errorf("Next: got %v, want ErrUnplugged", err)
	}
	t.Logf("Next ended %v after the order: %v", time.Since(began), err)
	if _, err := cam.Controls(ctx); !errors.Is(err, device.ErrUnplugged) {
		t.Errorf("Controls: got %v, want ErrUnplugged", err)
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case <-w.Changes():
			case <-ctx.Done():
				t.Fatalf("%s: not told in time", what)
			}
		}
		t.Logf("%s after %v", what, time.Since(began))
	}
	release()
	if err := cam.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wait("gone", func() bool {
		_, err := d.OpenID(ctx, f.Info.ID)
		return errors.Is(err, device.ErrNotFound)
	})
	began = time.Now()
	camsim(t, "plug")
	wait("back", func() bool {
		cam, err = d.OpenID(ctx, f.Info.ID)
		return err == nil
	})
	if got := cam.Info(); got.ID != f.Info.ID || got.Driver != uvcDriver {
		t.Errorf("got %+v, want the camera with ID %s", got, f.Info.ID)
	}
	if _, err := cam.Start(ctx, device.Format{Width: 640, Height: 480}); err != nil {
		t.Errorf("Start: %v", err)
	} else if err := cam.Next(ctx, func(*device.Buffer) error { return nil }); err != nil {
		t.Errorf("Next: %v", err)
	}
	if err := cam.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
