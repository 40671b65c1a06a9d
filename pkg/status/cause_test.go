package status

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func TestEveryKindOfFailureHasItsOwnCauseAndRemedy(t *testing.T) {
	codes := map[string]error{}
	for _, kind := range []error{
		device.ErrClosed, device.ErrUnplugged, device.ErrDisconnected, device.ErrNotInstalled, device.ErrNotFound, device.ErrBusy,
		device.ErrPermission, device.ErrUnsupported, device.ErrStalled, device.ErrDamaged, device.ErrEnded, errors.New("anything else"),
	} {
		err := fmt.Errorf("capture: %w", &device.OpError{Op: "open", Path: "/dev/video0", Kind: kind, Err: syscall.EIO})
		c := CauseOf(err)
		if c.Code == "" || c.Title == "" || c.Remedy == "" {
			t.Errorf("%v: incomplete cause %+v", kind, c)
		}
		if other, taken := codes[c.Code]; taken {
			t.Errorf("%v and %v share the code %q", kind, other, c.Code)
		}
		codes[c.Code] = kind
	}
	for _, c := range []Cause{StartingCause(), NoInputCause(), AsleepCause()} {
		if _, taken := codes[c.Code]; taken || c.Code == "" {
			t.Errorf("code %q is empty or taken", c.Code)
		}
		codes[c.Code] = nil
	}
}

// advised knows better what to do.
type advised struct{ error }

func (advised) Remedy() string  { return "Check the path." }
func (a advised) Unwrap() error { return a.error }

func TestErrorsMayKnowABetterRemedy(t *testing.T) {
	err := fmt.Errorf("capture: %w", advised{&device.OpError{Op: "open", Path: "clip.mp4", Kind: device.ErrNotFound}})
	if c := CauseOf(err); c.Code != "not-found" || c.Remedy != "Check the path." {
		t.Errorf("got %+v", c)
	}
}
