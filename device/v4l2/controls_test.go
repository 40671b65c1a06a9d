package v4l2

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

func controlled() *fakeDevice {
	d := webcam()
	d.auto, d.controls = true, everyControl()
	return d
}

func TestControlsKeepContract(t *testing.T) {
	devicetest.TestController(t, func(t *testing.T) device.Camera {
		t.Helper()
		return mustOpen(t, controlled())
	})
}

func mustControl(t *testing.T, list []device.Control, id string) device.Control {
	t.Helper()
	i := slices.IndexFunc(list, func(c device.Control) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no control %s", id)
	}
	return list[i]
}

func TestControlsDescribeEveryKind(t *testing.T) {
	cam := mustOpen(t, controlled())
	list, err := cam.Controls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	num := device.NumberValue
	for _, want := range []device.Control{
		{ID: "brightness", Name: "Brightness", Group: "user", Kind: device.ControlInteger, Min: -64, Max: 64, Step: 1, Value: num(7)},
		{ID: "contrast", Name: "Contrast", Group: "user", Kind: device.ControlInteger, Max: 95, Step: 5, Default: num(50), Value: num(50), Busy: true},
		{ID: "white_balance_automatic", Name: "White Balance, Automatic", Group: "user", Kind: device.ControlBoolean, Max: 1, Step: 1, Default: num(1), Value: num(1)},
		{ID: "do_white_balance", Name: "Do White Balance", Group: "user", Kind: device.ControlButton, WriteOnly: true},
		{
			ID: "power_line_frequency", Name: "Power Line Frequency", Group: "user", Kind: device.ControlMenu, Max: 2, Step: 1, Default: num(1), Value: num(2),
			Items: []device.ControlItem{{Value: 0, Name: "Disabled"}, {Value: 1, Name: "50 Hz"}, {Value: 2, Name: "60 Hz"}},
		},
		{ID: "white_balance_temperature", Name: "White Balance Temperature", Group: "user", Kind: device.ControlInteger, Unit: "K", Min: 2800, Max: 6500, Step: 10, Default: num(4600), Value: num(4600), Volatile: true},
		{ID: "brightness_2", Name: "Brightness", Group: "user", Kind: device.ControlInteger, Max: 1, Step: 1},
		{ID: "control_00980931", Name: "---", Group: "user", Kind: device.ControlInteger, Max: 1, Step: 1},
		{
			ID: "auto_exposure", Name: "Auto Exposure", Group: "camera", Kind: device.ControlMenu, Max: 3, Step: 1, Default: num(3), Value: num(3),
			Items: []device.ControlItem{{Value: 1, Name: "Manual Mode"}, {Value: 3, Name: "Aperture Priority Mode"}},
		},
		{ID: "exposure_time_absolute", Name: "Exposure Time, Absolute", Group: "camera", Kind: device.ControlInteger, Unit: "100 µs", Min: 1, Max: 5000, Step: 1, Default: num(157), Value: num(157), Inactive: true},
		{ID: "privacy", Name: "Privacy", Group: "camera", Kind: device.ControlBoolean, Max: 1, Step: 1, Value: num(1), ReadOnly: true},
		{
			ID: "exposure_bias", Name: "Exposure, Bias", Group: "camera", Kind: device.ControlIntegerMenu, Unit: "0.001 EV", Max: 2, Step: 1, Default: num(1), Value: num(1),
			Items: []device.ControlItem{{Value: 0, Name: "-2000"}, {Value: 1, Name: "0"}, {Value: 2, Name: "1099511627776"}},
		},
		{ID: "integer_64_bits", Name: "Integer 64 Bits", Group: "vivid", Kind: device.ControlInteger, Min: math.MinInt64, Max: math.MaxInt64, Step: 1, Value: num(1 << 40)},
		{ID: "bitmask", Name: "Bitmask", Group: "vivid", Kind: device.ControlBitmask, Max: 0x80002000, Default: num(0x80002000), Value: num(0x80000000)},
		{ID: "string", Name: "String", Group: "vivid", Kind: device.ControlText, Min: 2, Max: 8, Step: 2, Default: device.TextValue(""), Value: device.TextValue("  ab")},
		{ID: "unreadable", Name: "Unreadable", Group: "vivid", Kind: device.ControlInteger, Max: 9, Step: 1, WriteOnly: true},
	} {
		got := mustControl(t, list, want.ID)
		if !slices.Equal(got.Items, want.Items) {
			t.Errorf("%s: items %v, want %v", want.ID, got.Items, want.Items)
		}
		got.Items, want.Items = nil, nil
		if !sameControl(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", want.ID, got, want)
		}
	}
	if len(list) != 16 {
		t.Errorf("%d controls, want 16: arrays, structures and disabled ones left out", len(list))
	}
}

func sameControl(a, b device.Control) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Group == b.Group && a.Kind == b.Kind && a.Unit == b.Unit &&
		a.Min == b.Min && a.Max == b.Max && a.Step == b.Step && a.Default == b.Default && a.Value == b.Value &&
		a.ReadOnly == b.ReadOnly && a.WriteOnly == b.WriteOnly && a.Inactive == b.Inactive && a.Busy == b.Busy &&
		a.Volatile == b.Volatile && a.Restarts == b.Restarts
}

func TestControlIDsAreThoseOfV4L2Ctl(t *testing.T) {
	for name, want := range map[string]string{
		"White Balance Temperature, Auto": "white_balance_temperature_auto",
		"  Gain  ":                        "gain",
		"LED1 Mode":                       "led1_mode",
		"Zoom (Absolute)":                 "zoom_absolute",
		"Größe":                           "gr_e",
		"...":                             "",
	} {
		if got := controlID(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	used := map[string]bool{}
	for _, want := range []string{"a", "a_2", "a_3"} {
		if got := unusedID(used, "a"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := unusedID(used, "a_2"); got != "a_2_2" {
		t.Errorf("got %q, want a_2_2", got)
	}
}

func TestControlsOfOddDrivers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fakeDevice)
		want   int
		err    error
	}{
		{"none at all", func(d *fakeDevice) { d.controls = nil }, 0, nil},
		{"first fails", func(d *fakeDevice) { d.fail = map[string][]error{"queryctrl": {unix.EIO}} }, 0, unix.EIO},
		{"third fails", func(d *fakeDevice) { d.fail = map[string][]error{"queryctrl": {nil, nil, nil, unix.EIO}} }, 2, nil},
		{"pulled out amidst", func(d *fakeDevice) { d.fail = map[string][]error{"queryctrl": {nil, nil, unix.ENODEV}} }, 0, device.ErrUnplugged},
		{"pulled out while a value is read", func(d *fakeDevice) { d.fail = map[string][]error{"getctrl": {nil, unix.ENODEV}} }, 0, device.ErrUnplugged},
		{"pulled out while a menu is read", func(d *fakeDevice) { d.fail = map[string][]error{"querymenu": {nil, unix.ENODEV}} }, 0, device.ErrUnplugged},
		{"no events", func(d *fakeDevice) { d.broken = map[string]error{"subscribe": unix.ENOTTY} }, 16, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := controlled()
			tt.change(d)
			cam := mustOpen(t, d)
			list, err := cam.Controls(t.Context())
			if len(list) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Controls: %d, %v; want %d, %v", len(list), err, tt.want, tt.err)
			}
		})
	}
}

// endless never says that there is no more, and does not advance.
type endless struct{ *fakeNode }

func (n endless) queryControl(q *rawQueryControl) error {
	*q = query(0x980900, ctrlInteger, "Same", 0, 1, 1, 0, 0)
	return nil
}

func TestControlsOfAFaultyDriverEnd(t *testing.T) {
	cam := mustOpen(t, controlled())
	list, err := listControls(endless{cam.node.(*fakeNode)}, func() error { return nil })
	if err != nil || len(list) != 1 {
		t.Errorf("got %d controls, %v; want 1", len(list), err)
	}
}

func TestSetControlsChecksEveryValueFirst(t *testing.T) {
	num, txt := device.NumberValue, device.TextValue
	for _, tt := range []struct {
		id    string
		value device.ControlValue
		want  string
		kind  error
	}{
		{"nothing", num(1), "there is no such control", device.ErrInvalid},
		{"brightness", num(65), "65 is not within -64 to 64", device.ErrInvalid},
		{"brightness", num(-65), "not within", device.ErrInvalid},
		{"brightness", num(1.5), "wants a whole number, not 1.5", device.ErrInvalid},
		{"brightness", num(math.NaN()), "not within", device.ErrInvalid},
		{"brightness", num(math.Inf(1)), "not within", device.ErrInvalid},
		{"brightness", txt("7"), "wants a number", device.ErrInvalid},
		{"privacy", num(0), "cannot be set, only read", device.ErrInvalid},
		{"contrast", num(5), "in use", device.ErrBusy},
		{"white_balance_automatic", num(2), "not within 0 to 1", device.ErrInvalid},
		{"auto_exposure", num(0), `"0" is no choice: use one of 1 (Manual Mode), 3 (Aperture Priority Mode)`, device.ErrInvalid},
		{"auto_exposure", txt("Shutter"), "is no choice", device.ErrInvalid},
		{"exposure_bias", num(3), "is no choice", device.ErrInvalid},
		{"bitmask", num(1), "has bits outside of 0x80002000", device.ErrInvalid},
		{"bitmask", num(-1), "not within", device.ErrInvalid},
		{"string", num(1), "wants a text", device.ErrInvalid},
		{"string", txt("a"), "text of 1 bytes is not within 2 to 8", device.ErrInvalid},
		{"string", txt("123456789"), "not within", device.ErrInvalid},
		{"string", txt("abc"), "multiple of 2", device.ErrInvalid},
		{"string", txt("a\x00"), "zero byte", device.ErrInvalid},
		{"integer_64_bits", num(1e19), "not within", device.ErrInvalid},
	} {
		t.Run(tt.id+" "+tt.value.String(), func(t *testing.T) {
			d := controlled()
			cam := mustOpen(t, d)
			_, err := cam.SetControls(t.Context(), map[string]device.ControlValue{"brightness_2": num(1), tt.id: tt.value})
			if err == nil || !strings.Contains(err.Error(), "v4l2 set control /dev/video0 "+tt.id+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if !errors.Is(err, tt.kind) {
				t.Errorf("got %v, want kind %v", err, tt.kind)
			}
			if slices.Contains(d.calls, "setctrl") {
				t.Error("something was set")
			}
		})
	}
}

func TestSetControlsTakesEveryKind(t *testing.T) {
	num, txt := device.NumberValue, device.TextValue
	for _, tt := range []struct {
		id          string
		value, want device.ControlValue
	}{
		{"brightness", num(-64), num(-64)},
		{"white_balance_automatic", num(0), num(0)},
		{"white_balance_temperature", num(3333), num(3330)}, // the driver's rounding is read back
		{"auto_exposure", txt("Manual Mode"), num(1)},
		{"auto_exposure", txt(" manual mode "), num(1)},
		{"exposure_bias", txt("-2000"), num(0)},
		{"bitmask", num(0x2000), num(0x2000)},
		{"bitmask", num(0x80002000), num(0x80002000)},
		{"string", txt("äöü "), txt("")}, // seven bytes: refused below
		{"string", txt("abcd"), txt("abcd")},
		{"integer_64_bits", num(math.MaxInt64), num(math.MaxInt64)},
		{"integer_64_bits", num(math.MinInt64), num(math.MinInt64)},
		{"integer_64_bits", num(1 << 53), num(1 << 53)},
		{"unreadable", num(3), num(0)},
	} {
		t.Run(tt.id+" "+tt.value.String(), func(t *testing.T) {
			cam := mustOpen(t, controlled())
			list, err := cam.SetControls(t.Context(), map[string]device.ControlValue{tt.id: tt.value})
			if tt.value.Text == "äöü " {
				if err == nil {
					t.Error("seven bytes accepted where the length goes in steps of two")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := mustControl(t, list, tt.id).Value; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSetControlsSetsModesThenValuesThenButtons(t *testing.T) {
	num := device.NumberValue
	d := controlled()
	var order []uint32
	for _, c := range d.controls {
		was := c.onSet
		c.onSet = func(v int64) {
			order = append(order, c.ID)
			if was != nil {
				was(v)
			}
		}
	}
	cam := mustOpen(t, d)
	list, err := cam.SetControls(t.Context(), map[string]device.ControlValue{
		"do_white_balance": num(1), "exposure_time_absolute": num(100), "auto_exposure": num(1), "brightness": num(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint32{0x9a0901, 0x980900, 0x9a0902, 0x98090d}; !slices.Equal(order, want) {
		t.Errorf("set in the order %x, want %x", order, want)
	}
	if c := mustControl(t, list, "exposure_time_absolute"); c.Value.Number != 100 || c.Inactive {
		t.Errorf("got %+v", c)
	}
}

func TestSetControlsOfInactiveValues(t *testing.T) {
	num := device.NumberValue
	cam := mustOpen(t, controlled())
	_, err := cam.SetControls(t.Context(), map[string]device.ControlValue{"exposure_time_absolute": num(100)})
	if !errors.Is(err, errInactive) || !errors.Is(err, unix.EACCES) || !errors.Is(err, device.ErrInvalid) || errors.Is(err, device.ErrPermission) {
		t.Errorf("alone: got %v, want that it has no effect now", err)
	}
	list, err := cam.SetControls(t.Context(), map[string]device.ControlValue{"exposure_time_absolute": num(100), "auto_exposure": num(3)})
	if err != nil {
		t.Errorf("with the mode that makes it so: %v", err)
	} else if c := mustControl(t, list, "exposure_time_absolute"); c.Value.Number != 157 || !c.Inactive {
		t.Errorf("with the mode that makes it so: got %+v", c)
	}
}

func TestSetControlsPassesOnRefusals(t *testing.T) {
	for _, tt := range []struct {
		errno unix.Errno
		kind  error
	}{{unix.EBUSY, device.ErrBusy}, {unix.ENODEV, device.ErrUnplugged}, {unix.EIO, nil}, {unix.ERANGE, device.ErrInvalid}, {unix.EACCES, device.ErrInvalid}, {unix.EINVAL, device.ErrInvalid}} {
		d := controlled()
		d.fail = map[string][]error{"setctrl": {tt.errno}}
		cam := mustOpen(t, d)
		_, err := cam.SetControls(t.Context(), map[string]device.ControlValue{"brightness": device.NumberValue(1)})
		op, ok := errors.AsType[*device.OpError](err)
		if !ok || !errors.Is(err, tt.errno) || op.Detail != "brightness" || !errors.Is(op.Kind, tt.kind) {
			t.Errorf("%v: got %#v, want kind %v", tt.errno, err, tt.kind)
		}
	}
}

func TestDriverListsControlsOfACameraInUse(t *testing.T) {
	driver := newFake(t, map[string]*fakeDevice{"video0": controlled()})
	cam, err := driver.Open(t.Context(), "/dev/video0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cam.Close() }()
	if _, err := cam.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/video0", "bus:usb-1"} {
		if list, err := driver.Controls(t.Context(), path); err != nil || len(list) != 16 {
			t.Errorf("Controls(%s): %d, %v; want 16", path, len(list), err)
		}
	}
	if _, err := driver.Controls(t.Context(), "/dev/video7"); !errors.Is(err, device.ErrNotFound) {
		t.Errorf("Controls of no camera: got %v, want ErrNotFound", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := driver.Controls(ctx, "/dev/video0"); !errors.Is(err, cause) {
		t.Errorf("Controls with an ended context: got %v, want %v", err, cause)
	}
}

func TestCloseEndsWaitingCallsAboutControls(t *testing.T) {
	cam := mustOpen(t, controlled())
	leave, err := cam.enterControls(t.Context(), "test") // a call that takes long
	if err != nil {
		t.Fatal(err)
	}
	waiting, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := cam.Controls(context.Background())
		waiting <- err
	}()
	go func() { closed <- cam.Close() }()
	until(t, func() bool {
		cam.mu.Lock()
		defer cam.mu.Unlock()
		return cam.closed
	})
	select {
	case err := <-closed:
		t.Errorf("Close returned %v while the node is in use", err)
	default:
	}
	leave()
	if err := <-waiting; !errors.Is(err, device.ErrClosed) {
		t.Errorf("Controls: got %v, want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

// until waits for a condition.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the condition did not come true")
		}
	}
}

func TestControlsWaitNoLongerThanTheirContext(t *testing.T) {
	cam := mustOpen(t, controlled())
	leave, err := cam.enterControls(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := cam.Controls(ctx); !errors.Is(err, cause) {
		t.Errorf("Controls: got %v, want %v", err, cause)
	}
}

// TestControlIoctlsKeepErrno asks a pipe: the errno comes through.
func TestControlIoctlsKeepErrno(t *testing.T) {
	n := pipeNode(t)
	for name, err := range map[string]error{
		"QUERY_EXT_CTRL":  n.queryControl(&rawQueryControl{ID: ctrlNext}),
		"QUERYMENU":       n.queryMenu(&rawMenu{}),
		"G_EXT_CTRLS":     n.getControl(&controlData{id: 1}),
		"S_EXT_CTRLS":     n.setControl(&controlData{id: 1, text: []byte("a\x00")}),
		"SUBSCRIBE_EVENT": n.subscribe(eventControl, 1),
		"DQEVENT":         n.dequeueEvent(&rawEvent{}),
	} {
		if !is(err, unix.ENOTTY, unix.ENOSYS) {
			t.Errorf("%s on a pipe: got %v, want ENOTTY", name, err)
		}
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

func TestOlderAnswerOfTheKernelBecomesTheNewer(t *testing.T) {
	bits := uint32(0x80002000)
	o := rawQueryOld{ID: 5, Type: ctrlBitmask, Name: name32("Bits"), Maximum: int32(bits), Default: int32(bits), Flags: ctrlFlagVolatile}
	if q := o.wide(); q.Maximum != 0x80002000 || q.Default != 0x80002000 || q.ID != 5 || q.Flags != ctrlFlagVolatile || q.Elems != 1 {
		t.Errorf("got %+v", q)
	}
	o = rawQueryOld{Type: ctrlInteger, Minimum: -5, Maximum: 5, Step: 2, Default: -1}
	if q := o.wide(); q.Minimum != -5 || q.Maximum != 5 || q.Step != 2 || q.Default != -1 {
		t.Errorf("got %+v", q)
	}
}

// FuzzDescribe reads what a kernel may say; whatever it is, values that are
// accepted are within the control's own range.
func FuzzDescribe(f *testing.F) {
	f.Add(uint32(0x980900), uint32(ctrlInteger), "Brightness", int64(-5), int64(5), uint64(1), int64(0), uint32(0), 3.0)
	f.Add(uint32(0xf00901), uint32(ctrlBitmask), "", int64(0), int64(-1), uint64(0), int64(-1), uint32(0), 4294967295.0)
	f.Add(uint32(0xf00900), uint32(ctrlInteger64), "X\xff", int64(math.MinInt64), int64(math.MaxInt64), uint64(1), int64(0), uint32(0), 9.3e18)
	f.Fuzz(func(t *testing.T, id, typ uint32, name string, low, high int64, step uint64, def int64, flags uint32, v float64) {
		q := query(id, typ, name, low, high, step, def, flags)
		c, ok := describe(&q)
		if !ok {
			return
		}
		if c.ID == "" {
			t.Error("no ID")
		}
		d, err := c.data(device.NumberValue(v))
		if err == nil && c.Kind == device.ControlInteger && (d.value < low || d.value > high) {
			t.Errorf("%v became %d, which is not within %d to %d", v, d.value, low, high)
		}
		if err == nil && c.Kind == device.ControlBitmask && d.value&^int64(uint32(high)) != 0 {
			t.Errorf("%v became %#x, which has bits outside of %#x", v, d.value, uint32(high))
		}
	})
}
