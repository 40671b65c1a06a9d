package devicetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// TestController checks the rules in the documentation of [device.Controller]
// against cameras that open gives. It sets the first controls that can be set
// and puts them back; buttons are not pressed.
func TestController(t *testing.T, open func(t *testing.T) device.Camera) {
	t.Helper()
	for _, r := range controlRules() {
		t.Run(r.name, func(t *testing.T) {
			s := newSuite(Options{})
			s.open = func(tb) device.Camera { return open(t) }
			r.check(t, s)
		})
	}
}

func controlRules() []rule {
	return []rule{
		{"ControlsAreSaneAtAnyTime", controlsAreSane},
		{"SetControlsReadsBack", setControlsReadsBack},
		{"SetControlsTakesNamesOfMenus", setControlsTakesNames},
		{"SetControlsChangesAllOrNothing", setControlsChecksFirst},
		{"ControlsChangedTells", controlsChangedTells},
		{"ControlsWorkFromAnyGoroutine", controlsFromAnyGoroutine},
		{"ControlsAfterCloseReturnErrClosed", controlsAfterClose},
		{"ControlsReturnCauseOfEndedContext", controlsContext},
	}
}

// control is the controls' side of a session.
func (c *session) controller() device.Controller {
	c.Helper()
	ctl, ok := c.cam.(device.Controller)
	if !ok {
		c.Fatalf("the camera has no controls")
	}
	return ctl
}

func (c *session) controls() []device.Control {
	c.Helper()
	var list []device.Control
	ctx, cancel := c.context()
	defer cancel()
	err := c.bounded("Controls", func() (err error) {
		list, err = c.controller().Controls(ctx)
		return err
	})
	if err != nil {
		c.Fatalf("Controls: %v", err)
	}
	return list
}

func (c *session) set(values map[string]device.ControlValue) ([]device.Control, error) {
	c.Helper()
	var list []device.Control
	ctx, cancel := c.context()
	defer cancel()
	err := c.bounded("SetControls", func() (err error) {
		list, err = c.controller().SetControls(ctx, values)
		return err
	})
	return list, err
}

func one(id string, v device.ControlValue) map[string]device.ControlValue {
	return map[string]device.ControlValue{id: v}
}

// valueOf finds a control's present value.
func valueOf(list []device.Control, id string) (v device.ControlValue) {
	for _, c := range list {
		if c.ID == id {
			return c.Value
		}
	}
	return v
}

// settable finds a control of a kind that can be set and keeps what it is set
// to.
func (c *session) settable(kind device.ControlKind) (device.Control, bool) {
	c.Helper()
	for _, ctl := range c.controls() {
		free := !ctl.ReadOnly && !ctl.WriteOnly && !ctl.Inactive && !ctl.Busy && !ctl.Volatile && !ctl.Restarts
		if free && ctl.Kind == kind && (ctl.Max > ctl.Min || len(ctl.Items) > 1) {
			return ctl, true
		}
	}
	return device.Control{}, false
}

// other is a value of an integer control that it does not have.
func other(c device.Control) device.ControlValue {
	if c.Value.Number == c.Min {
		return device.NumberValue(c.Max)
	}
	return device.NumberValue(c.Min)
}

func controlsAreSane(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	check := func(when string) {
		t.Helper()
		list := c.controls()
		if len(list) == 0 {
			t.Errorf("no controls %s", when)
		}
		seen := map[string]bool{}
		for _, ctl := range list {
			if seen[ctl.ID] {
				t.Errorf("%s: control %s is listed twice", when, ctl.ID)
			}
			seen[ctl.ID] = true
			for _, p := range controlProblems(ctl) {
				t.Errorf("%s: control %s: %s", when, ctl.ID, p)
			}
		}
	}
	check("before Start")
	c.start(device.Format{})
	c.frame()
	check("while capturing")
	c.stop()
	check("after Stop")
}

// controlProblems says what is wrong with a control.
func controlProblems(c device.Control) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.ID == "" || c.Name == "" {
		add("ID %q, name %q", c.ID, c.Name)
	}
	inItems := func(v device.ControlValue) bool {
		for _, it := range c.Items {
			if !v.IsText && float64(it.Value) == v.Number {
				return true
			}
		}
		return false
	}
	readable := !c.WriteOnly
	switch c.Kind {
	case device.ControlInteger, device.ControlNumber, device.ControlBoolean, device.ControlBitmask:
		if c.Max < c.Min {
			add("range %v to %v", c.Min, c.Max)
		}
		if c.Value.IsText || c.Default.IsText {
			add("value %v and default %v are text", c.Value, c.Default)
		}
		if n := c.Value.Number; readable && !c.Volatile && !c.Inactive && (n < c.Min || n > c.Max) {
			add("value %v is not within %v to %v", n, c.Min, c.Max)
		}
	case device.ControlMenu, device.ControlIntegerMenu:
		if len(c.Items) == 0 {
			add("menu without choices")
		}
		if readable && !inItems(c.Value) {
			add("value %v is no choice of %v", c.Value, c.Items)
		}
	case device.ControlText:
		if readable && !c.Value.IsText {
			add("value %v is no text", c.Value)
		}
	case device.ControlButton:
	default:
		add("unknown kind %q", c.Kind)
	}
	return problems
}

func setControlsReadsBack(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	ctl, ok := c.settable(device.ControlInteger)
	if !ok {
		return
	}
	for _, v := range []device.ControlValue{other(ctl), ctl.Value} { // the second puts it back
		list, err := c.set(one(ctl.ID, v))
		if err != nil {
			t.Fatalf("SetControls(%s = %v): %v", ctl.ID, v, err)
		}
		if got := valueOf(list, ctl.ID); got != v {
			t.Errorf("SetControls(%s = %v) returned %v", ctl.ID, v, got)
		}
		if got := valueOf(c.controls(), ctl.ID); got != v {
			t.Errorf("Controls after %s = %v: got %v", ctl.ID, v, got)
		}
	}
}

func setControlsTakesNames(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	ctl, ok := c.settable(device.ControlMenu)
	if !ok {
		return
	}
	for _, it := range ctl.Items {
		list, err := c.set(one(ctl.ID, device.TextValue(it.Name)))
		if got := valueOf(list, ctl.ID); err != nil || got.Number != float64(it.Value) {
			t.Errorf("SetControls(%s = %q): got %v, %v; want %d", ctl.ID, it.Name, got, err, it.Value)
		}
	}
	if _, err := c.set(one(ctl.ID, ctl.Value)); err != nil {
		t.Errorf("SetControls(%s = %v): %v", ctl.ID, ctl.Value, err)
	}
}

// setControlsChecksFirst sets one control well and another badly.
func setControlsChecksFirst(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	good, ok := c.settable(device.ControlInteger)
	if !ok {
		return
	}
	bad := map[string]device.ControlValue{"no_such_control_0": device.NumberValue(1)}
	for _, ctl := range c.controls() {
		number := ctl.Kind == device.ControlInteger || ctl.Kind == device.ControlBoolean
		switch {
		case ctl.ID == good.ID:
		case ctl.ReadOnly:
			bad[ctl.ID] = ctl.Value
		case ctl.Busy: // ErrBusy
		case number && ctl.Max < 1<<52:
			bad[ctl.ID] = device.NumberValue(ctl.Max + 1)
		case ctl.Kind == device.ControlMenu:
			bad[ctl.ID] = device.TextValue("no such choice")
		}
	}
	for id, v := range bad {
		_, err := c.set(map[string]device.ControlValue{good.ID: other(good), id: v})
		if !errors.Is(err, device.ErrInvalid) || !strings.Contains(err.Error(), id) {
			t.Errorf("SetControls(%s = %v): got %v, want ErrInvalid and a text that names it", id, v, err)
		}
		if got := valueOf(c.controls(), good.ID); got != good.Value {
			t.Errorf("%s changed from %v to %v although %s was refused", good.ID, good.Value, got, id)
		}
	}
}

func controlsChangedTells(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	ctl, ok := c.settable(device.ControlInteger)
	if !ok {
		return
	}
	for {
		select {
		case <-c.controller().ControlsChanged():
			continue
		default:
		}
		break
	}
	for _, v := range []device.ControlValue{other(ctl), ctl.Value} {
		if _, err := c.set(one(ctl.ID, v)); err != nil {
			t.Fatalf("SetControls(%s = %v): %v", ctl.ID, v, err)
		}
		timer := time.NewTimer(s.timeout)
		select {
		case <-c.controller().ControlsChanged():
		case <-timer.C:
			t.Errorf("ControlsChanged told nothing after %s = %v", ctl.ID, v)
		}
		timer.Stop()
	}
}

// controlsFromAnyGoroutine lists and sets while pictures are taken, and closes
// in the middle of it.
func controlsFromAnyGoroutine(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	ctl, ok := c.settable(device.ControlInteger)
	if !ok {
		return
	}
	c.start(device.Format{})
	controller := c.controller()
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for i := range 4 {
		wg.Go(func() {
			for {
				var err error
				if i%2 == 0 {
					_, err = controller.Controls(context.Background())
				} else {
					_, err = controller.SetControls(context.Background(), one(ctl.ID, ctl.Value))
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for range s.frames {
		c.frame()
	}
	c.end()
	_ = c.await("Controls and SetControls after Close", async(func() error { wg.Wait(); return nil }), s.timeout)
	for range 4 {
		if err := <-errs; !errors.Is(err, device.ErrClosed) {
			t.Errorf("while closing: got %v, want ErrClosed", err)
		}
	}
}

func controlsAfterClose(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	c.end()
	if _, err := c.controller().Controls(context.Background()); !errors.Is(err, device.ErrClosed) {
		t.Errorf("Controls after Close: got %v, want ErrClosed", err)
	}
	if _, err := c.set(nil); !errors.Is(err, device.ErrClosed) {
		t.Errorf("SetControls after Close: got %v, want ErrClosed", err)
	}
	select {
	case _, open := <-c.controller().ControlsChanged():
		if !open {
			t.Errorf("ControlsChanged is closed")
		}
	default:
	}
}

func controlsContext(t tb, s *suite) {
	t.Helper()
	c := s.begin(t)
	defer c.end()
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := c.controller().Controls(ctx); !errors.Is(err, cause) {
		t.Errorf("Controls: got %v, want the cause of its context: %v", err, cause)
	}
	if _, err := c.controller().SetControls(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("SetControls: got %v, want the cause of its context: %v", err, cause)
	}
}
