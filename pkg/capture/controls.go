package capture

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/status"
)

// controlsPace is how long at least passes between two looks at controls that
// change by themselves. Chosen: a page shows it soon enough, and reading all
// controls of a USB camera may take some milliseconds each.
const controlsPace = 500 * time.Millisecond

// errNoCamera is why there are no controls while the camera is away.
var errNoCamera = errors.New("no camera is open")

// Controls lists the controls of the camera with their present values. While it
// sleeps those that were seen last are given. The error matches
// device.ErrNotFound while no camera is open, device.ErrUnsupported when it has no
// controls.
func (s *Supervisor) Controls(ctx context.Context) ([]device.Control, error) {
	s.mu.Lock()
	known, asleep := s.st.Controls, s.asleepLocked()
	s.mu.Unlock()
	if asleep && known != nil {
		return slices.Clone(known), nil
	}
	ctl, of, err := s.controller(ctx, "get controls")
	if err != nil {
		return nil, err
	}
	list, err := ctl.Controls(ctx)
	if err != nil {
		return nil, err
	}
	s.sawControls(of, list)
	return list, nil
}

// SetControls sets controls of the camera as device.Controller does, and sets
// them again whenever the camera is opened anew. A camera that sleeps is woken.
// While a control restarts the camera viewers keep the picture they have.
func (s *Supervisor) SetControls(ctx context.Context, values map[string]device.ControlValue) ([]device.Control, error) {
	select {
	case s.setting <- struct{}{}:
		defer func() { <-s.setting }()
	case <-ctx.Done():
		return nil, &device.OpError{Op: "set controls", Path: s.config().Source, Err: context.Cause(ctx)}
	}
	ctl, of, err := s.controller(ctx, "set controls")
	if err != nil {
		return nil, err
	}
	before, err := ctl.Controls(ctx)
	if err != nil {
		return nil, err
	}
	restarts := func(c device.Control) bool {
		_, mine := values[c.ID]
		return mine && c.Restarts
	}
	interrupts := slices.ContainsFunc(before, restarts)
	if interrupts {
		s.expectSilence(of)
	}
	after, err := ctl.SetControls(ctx, values)
	if err != nil {
		return nil, err
	}
	if interrupts {
		s.expectSilence(of) // from now on
	}
	s.remember(values, after)
	s.sawControls(of, after)
	return after, nil
}

// expectSilence takes the next seconds of silence for normal.
func (s *Supervisor) expectSilence(of uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opens == of {
		s.session.quiet = time.Now().Add(restartTime)
	}
}

// remember keeps values for the next time the camera is opened. Buttons are not
// pressed again.
func (s *Supervisor) remember(values map[string]device.ControlValue, list []device.Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range list {
		if v, ok := values[c.ID]; ok && c.Kind != device.ControlButton {
			s.wanted[c.ID] = v
		}
	}
}

// asleepLocked says whether the camera sleeps, or will in a moment.
func (s *Supervisor) asleepLocked() bool {
	return s.st.State == status.Asleep && (s.camera == nil || s.session.ending)
}

// controller finds the camera in use, and how many were opened up to it. It wakes
// one that sleeps.
func (s *Supervisor) controller(ctx context.Context, op string) (ctl device.Controller, of uint64, err error) {
	fail := func(kind, err error) (device.Controller, uint64, error) {
		return nil, 0, &device.OpError{Op: op, Path: s.config().Source, Kind: kind, Err: err}
	}
	var release func()
	for {
		s.mu.Lock()
		cam, asleep, change := s.camera, s.asleepLocked(), s.waitLocked()
		of = s.opens
		s.mu.Unlock()
		switch {
		case asleep:
		case cam == nil:
			return fail(device.ErrNotFound, errNoCamera)
		default:
			ctl, ok := cam.(device.Controller)
			if !ok {
				return fail(device.ErrUnsupported, errors.New("this camera has no controls"))
			}
			return ctl, of, nil
		}
		if release == nil {
			release = s.config().Hub.Want()
			defer release()
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fail(nil, context.Cause(ctx))
		}
	}
}

// sawControls keeps the list for the status, unless the camera is another one by
// now. Lists are never changed.
func (s *Supervisor) sawControls(of uint64, list []device.Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opens == of {
		s.st.Controls = slices.Clone(list)
	}
}

// followControls keeps the list up to date until ctx ends.
func (s *Supervisor) followControls(ctx context.Context, ctl device.Controller, of uint64) {
	t := time.NewTimer(0)
	defer t.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		list, err := ctl.Controls(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.sawControls(of, list)
		case !failed:
			failed = true
			s.config().Logger.Debug("controls cannot be read", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ctl.ControlsChanged():
			t.Reset(controlsPace)
		}
	}
}

// applyControls sets what is wanted on a camera that was just opened. What cannot
// be set is no reason to have no picture: it is logged, once.
func (s *Supervisor) applyControls(ctx context.Context, ctl device.Controller, of uint64) {
	s.mu.Lock()
	wanted := maps.Clone(s.wanted)
	s.mu.Unlock()
	if len(wanted) == 0 {
		return
	}
	list, err := ctl.Controls(ctx)
	if err != nil {
		s.complain(ctx, "", "controls cannot be read", err)
		return
	}
	var ids []string
	for _, c := range list {
		if _, ok := wanted[c.ID]; ok {
			ids = append(ids, c.ID)
		}
	}
	for id := range wanted {
		if !slices.Contains(ids, id) {
			s.complain(ctx, id, "not there", errors.New("the camera has no control of that name"))
			delete(wanted, id)
		}
	}
	if len(wanted) == 0 {
		return
	}
	if list, err = ctl.SetControls(ctx, wanted); err == nil {
		s.sawControls(of, list)
		return
	}
	// One of them is wrong; the others may be right.
	for _, id := range ids {
		if list, err = ctl.SetControls(ctx, map[string]device.ControlValue{id: wanted[id]}); err != nil {
			s.complain(ctx, id, "control not set", err)
			continue
		}
		s.sawControls(of, list)
	}
}

// complain logs a warning once per control.
func (s *Supervisor) complain(ctx context.Context, id, what string, err error) {
	s.mu.Lock()
	known := s.warned[id]
	s.warned[id] = true
	s.mu.Unlock()
	if known || ctx.Err() != nil {
		return
	}
	s.config().Logger.Warn("control cannot be applied", "control", id, "problem", what, "err", err)
}
