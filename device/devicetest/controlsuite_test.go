package devicetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

func someControls() []device.Control {
	return []device.Control{
		{ID: "brightness", Name: "Brightness", Kind: device.ControlInteger, Min: 0, Max: 100, Value: device.NumberValue(50)},
		{ID: "auto", Name: "Auto", Kind: device.ControlBoolean, Max: 1},
		{ID: "mode", Name: "Mode", Kind: device.ControlMenu, Items: []device.ControlItem{{Value: 1, Name: "Manual"}, {Value: 3, Name: "Automatic"}}, Value: device.NumberValue(3)},
		{ID: "label", Name: "Label", Kind: device.ControlText, Max: 8, Value: device.TextValue("x")},
		{ID: "privacy", Name: "Privacy", Kind: device.ControlBoolean, Max: 1, ReadOnly: true},
		{ID: "reset", Name: "Reset", Kind: device.ControlButton, WriteOnly: true},
	}
}

func TestFakeControllerPassesTheSuite(t *testing.T) {
	TestController(t, func(*testing.T) device.Camera {
		return NewFakeController(FakeOptions{Interval: 2 * time.Millisecond}, someControls()...)
	})
}

func TestFakeControllerPlaysOtherPrograms(t *testing.T) {
	f := NewFakeController(FakeOptions{}, someControls()...)
	f.ChangeControl("brightness", func(c *device.Control) { c.Value, c.Inactive = device.NumberValue(7), true })
	<-f.ControlsChanged()
	if list, err := f.Controls(t.Context()); err != nil || list[0].Value.Number != 7 || !list[0].Inactive {
		t.Errorf("Controls: got %+v, %v", list, err)
	}
	mine := errors.New("mine")
	f.RefuseControls(mine)
	if _, err := f.SetControls(t.Context(), one("brightness", device.NumberValue(8))); !errors.Is(err, mine) || f.ControlSets() != 0 {
		t.Errorf("SetControls: got %v after %d sets, want %v", err, f.ControlSets(), mine)
	}
	f.Unplug()
	if _, err := f.Controls(t.Context()); !errors.Is(err, device.ErrUnplugged) {
		t.Errorf("Controls of an unplugged camera: got %v, want ErrUnplugged", err)
	}
}

// TestSuiteFindsBrokenControllers proves that each rule can fail.
func TestSuiteFindsBrokenControllers(t *testing.T) {
	good := func(edit ...func(c []device.Control)) *FakeController {
		controls := someControls()
		for _, e := range edit {
			e(controls)
		}
		return NewFakeController(FakeOptions{Interval: 2 * time.Millisecond}, controls...)
	}
	proven := map[string]bool{}
	for _, tt := range []struct {
		rule string
		cam  device.Camera
		want string
	}{
		{"ControlsAreSaneAtAnyTime", NewFakeController(FakeOptions{Interval: time.Millisecond}), "no controls"},
		{"ControlsAreSaneAtAnyTime", good(func(c []device.Control) { c[1].ID = "brightness" }), "listed twice"},
		{"ControlsAreSaneAtAnyTime", good(func(c []device.Control) { c[0].Value.Number = 101 }), "not within"},
		{"ControlsAreSaneAtAnyTime", good(func(c []device.Control) { c[0].Kind = "knob" }), "unknown kind"},
		{"ControlsAreSaneAtAnyTime", good(func(c []device.Control) { c[2].Items = nil }), "without choices"},
		{"SetControlsReadsBack", &forgetful{FakeController: good()}, "got 50"},
		{"SetControlsTakesNamesOfMenus", &nameless{FakeController: good()}, "no names"},
		{"SetControlsChangesAllOrNothing", &oneByOne{FakeController: good()}, "although"},
		{"SetControlsChangesAllOrNothing", &vague{FakeController: good()}, "want ErrInvalid"},
		{"ControlsChangedTells", &silent{FakeController: good()}, "told nothing"},
		{"ControlsWorkFromAnyGoroutine", &grumpy{FakeController: good()}, "bad file descriptor"},
		{"ControlsAfterCloseReturnErrClosed", &grumpy{FakeController: good()}, "bad file descriptor"},
		{"ControlsReturnCauseOfEndedContext", &patient{FakeController: good()}, "got <nil>"},
	} {
		proven[tt.rule] = true
		t.Run(tt.rule, func(t *testing.T) {
			all := controlRules()
			i := slices.IndexFunc(all, func(r rule) bool { return r.name == tt.rule })
			s := newSuite(Options{Timeout: 400 * time.Millisecond})
			s.open = func(tb) device.Camera { return tt.cam }
			var rec recorder
			var done sync.WaitGroup
			done.Go(func() { all[i].check(&rec, s) })
			done.Wait()
			rec.mu.Lock()
			defer rec.mu.Unlock()
			if got := strings.Join(rec.failures, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want a failure with %q", got, tt.want)
			}
		})
	}
	for _, r := range controlRules() {
		if !proven[r.name] {
			t.Errorf("no broken camera proves rule %s", r.name)
		}
	}
}

// vague refuses without saying of what kind that is.
type vague struct{ *FakeController }

func (v *vague) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	list, err := v.FakeController.SetControls(ctx, values)
	if errors.Is(err, device.ErrInvalid) {
		err = errors.New(err.Error())
	}
	return list, err
}

type forgetful struct{ *FakeController }

func (f *forgetful) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	if _, err := f.FakeController.SetControls(ctx, values); err != nil {
		return nil, err
	}
	return f.FakeController.SetControls(ctx, one("brightness", device.NumberValue(50)))
}

type nameless struct{ *FakeController }

func (f *nameless) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	for _, v := range values {
		if v.IsText {
			return nil, errors.New("no names")
		}
	}
	return f.FakeController.SetControls(ctx, values)
}

type oneByOne struct{ *FakeController }

func (f *oneByOne) SetControls(ctx context.Context, values map[string]device.ControlValue) (list []device.Control, err error) {
	for id, v := range values {
		if _, serr := f.FakeController.SetControls(ctx, one(id, v)); serr != nil {
			err = serr
		}
	}
	return nil, err
}

type silent struct{ *FakeController }

func (f *silent) ControlsChanged() <-chan struct{} { return nil }

// grumpy has another error after Close.
type grumpy struct{ *FakeController }

func (f *grumpy) Controls(ctx context.Context) ([]device.Control, error) {
	list, err := f.FakeController.Controls(ctx)
	if errors.Is(err, device.ErrClosed) {
		return nil, errors.New("bad file descriptor")
	}
	return list, err
}

type patient struct{ *FakeController }

func (f *patient) Controls(context.Context) ([]device.Control, error) {
	return f.FakeController.Controls(context.Background())
}
