package libcamera

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// quick makes a rig whose changes settle soon.
func quick(t *testing.T, fake string, change ...func(*Config)) *rig {
	t.Helper()
	return newRig(t, fake, append([]func(*Config){func(c *Config) { c.Settle = 20 * time.Millisecond }}, change...)...)
}

func numbers(values map[string]float64) map[string]device.ControlValue {
	m := map[string]device.ControlValue{}
	for id, n := range values {
		m[id] = device.NumberValue(n)
	}
	return m
}

func texts(pairs ...string) map[string]device.ControlValue {
	m := map[string]device.ControlValue{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = device.TextValue(pairs[i+1])
	}
	return m
}

// control finds one in a list.
func control(t *testing.T, list []device.Control, id string) device.Control {
	t.Helper()
	i := slices.IndexFunc(list, func(c device.Control) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no control %s", id)
	}
	return list[i]
}

func TestControlsDescribeEveryValueTheyAccept(t *testing.T) {
	r := quick(t, "list=vc4")
	cam := r.open("", Options{})
	list, err := cam.Controls(r.context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range list {
		if seen[c.ID] || c.Name == "" || c.Group == "" || !c.Restarts || c.ReadOnly || c.Max <= c.Min || c.Default != c.Value {
			t.Errorf("odd control %+v", c)
		}
		seen[c.ID] = true
		values := []device.ControlValue{c.Default}
		switch c.Kind {
		case device.ControlText:
		case device.ControlMenu, device.ControlIntegerMenu:
			for _, item := range c.Items {
				values = append(values, device.NumberValue(float64(item.Value)), device.TextValue(strings.ToUpper(item.Name)))
			}
		default:
			values = append(values, device.NumberValue(c.Max))
			if c.ID != "AnalogueGain" { // 0 is automatic there
				values = append(values, device.NumberValue(c.Min))
			}
		}
		for _, v := range values {
			after, err := cam.SetControls(r.context(), map[string]device.ControlValue{c.ID: v})
			if err != nil {
				t.Errorf("%s=%s: %v", c.ID, v, err)
				continue
			}
			got := control(t, after, c.ID).Value
			if want := valueOrItem(c, v); got != want {
				t.Errorf("%s=%s: is %s afterwards, want %s", c.ID, v, got, want)
			}
		}
		if _, err := cam.SetControls(r.context(), map[string]device.ControlValue{c.ID: c.Default}); err != nil {
			t.Errorf("%s back to %s: %v", c.ID, c.Default, err)
		}
	}
	if got := cam.Options().args(); len(got) != 1 || got[0] != "--lens-position=0" {
		t.Errorf("with the defaults, %v is left", got)
	}
}

// valueOrItem gives the number that a menu has for a text.
func valueOrItem(c device.Control, v device.ControlValue) device.ControlValue {
	for _, item := range c.Items {
		if v.IsText && strings.EqualFold(item.Name, v.Text) {
			return device.NumberValue(float64(item.Value))
		}
	}
	return v
}

func TestWrongValuesAreNamedAndChangeNothing(t *testing.T) {
	r := quick(t, "list=vc4")
	cam := r.open("", Options{Brightness: 0.5})
	for _, tt := range []struct {
		values map[string]device.ControlValue
		want   []string
	}{
		{numbers(map[string]float64{"Brightness": 2, "Contrast": 3}), []string{"Brightness 2: outside of -1 to 1"}},
		{numbers(map[string]float64{"Bright": 0}), []string{"Bright: no such control"}},
		{numbers(map[string]float64{"AnalogueGain": 0.5}), []string{"AnalogueGain", "outside of 1 to 64"}},
		{numbers(map[string]float64{"ExposureTime": 0.5}), []string{"ExposureTime 0.5: not a whole number"}},
		{numbers(map[string]float64{"Contrast": math.NaN()}), []string{"Contrast NaN: outside"}},
		{numbers(map[string]float64{"HFlip": 2}), []string{"HFlip 2: use true or false"}},
		{numbers(map[string]float64{"Rotation": 90}), []string{"Rotation 90: not in the list: use one of 0, 180"}},
		{texts("AwbMode", "sunny", "ScalerCrop", "1,2"), []string{"AwbMode sunny: not in the list: use one of auto", "ScalerCrop 1,2: wants 4 numbers"}},
		{texts("ColourGains", strings.Repeat("1", 99)), []string{"more than 64 characters"}},
		{texts("TuningFile", "/etc/passwd"), []string{"TuningFile: no such control"}},
	} {
		_, err := cam.SetControls(r.context(), tt.values)
		for _, want := range tt.want {
			if !errors.Is(err, device.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "libcamera:0") {
				t.Errorf("%v: got %v, want ErrInvalid and %q", tt.values, err, want)
			}
		}
	}
	if got := strings.Join(cam.Options().args(), " "); got != "--brightness=0.5" {
		t.Errorf("options are %s now", got)
	}
}

func TestChangedControlsStartTheProgramAnewOnceAndPicturesGoOn(t *testing.T) {
	for _, list := range []string{"vc4", "pisp"} {
		t.Run(list, func(t *testing.T) {
			r := quick(t, "list="+list, func(c *Config) { c.Settle = 100 * time.Millisecond })
			leakFree(t, func() {
				cam, format := r.start(Options{}, device.Format{Width: 640, Height: 480, Rate: device.FPS(60)})
				before := r.take(cam)
				var all sync.WaitGroup
				for _, values := range []map[string]float64{{"Brightness": 0.25}, {"Contrast": 2}, {"HFlip": 1, "ExposureTime": 4000}} {
					all.Go(func() {
						list, err := cam.SetControls(r.context(), numbers(values))
						if err != nil {
							t.Errorf("%v: %v", values, err)
							return
						}
						for id, want := range values {
							if got := control(t, list, id).Value.Number; got != want {
								t.Errorf("%s is %v, want %v", id, got, want)
							}
						}
					})
				}
				all.Wait()
				runs := r.ran("--codec")
				if len(runs) != 2 || !strings.Contains(runs[1], "--shutter=4000 --brightness=0.25 --contrast=2 --hflip") {
					t.Errorf("ran %q, want one restart with everything", runs)
				}
				for range 5 {
					b := r.take(cam)
					if b.Format != before.Format || int32(b.DriverSeq-before.DriverSeq) <= 0 || !b.CapturedAt.After(before.CapturedAt) {
						t.Errorf("picture %d of %v follows %d of %v", b.DriverSeq, b.CapturedAt, before.DriverSeq, before.CapturedAt)
					}
					before = b
				}
				if before.Format != format {
					t.Errorf("format is %v, granted was %v", before.Format, format)
				}
				select {
				case <-cam.ControlsChanged():
				case <-time.After(5 * time.Second):
					t.Error("nobody was told of the change")
				}
				if err := cam.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNextWaitsForNewPicturesWhileTheProgramStartsAnew(t *testing.T) {
	r := quick(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(60)})
	r.fault("lag=200ms")
	set := make(chan error, 1)
	go func() {
		_, err := cam.SetControls(r.context(), numbers(map[string]float64{"Brightness": 0.5}))
		set <- err
	}()
	for {
		r.take(cam) // never fails
		select {
		case err := <-set:
			if err != nil {
				t.Error(err)
			}
			r.take(cam)
			return
		default:
		}
	}
}

func TestValuesThatTheProgramRefusesAreTakenBack(t *testing.T) {
	r := quick(t, "list=vc4 reject=--awb=custom say=Invalid_AWB_mode:_custom")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(60)})
	if _, err := cam.SetControls(r.context(), numbers(map[string]float64{"Contrast": 2})); err != nil {
		t.Fatal(err)
	}
	_, err := cam.SetControls(r.context(), texts("AwbMode", "custom"))
	if !errors.Is(err, device.ErrUnsupported) || !strings.Contains(err.Error(), "set controls libcamera:0 AwbMode") || !strings.Contains(err.Error(), "Invalid AWB mode: custom") {
		t.Errorf("got %v, want what was refused and why", err)
	}
	list, err := cam.Controls(r.context())
	if err != nil || control(t, list, "AwbMode").Value.Number != 0 || control(t, list, "Contrast").Value.Number != 2 {
		t.Errorf("controls are %+v, %v", list, err)
	}
	last := r.take(cam).DriverSeq
	if next := r.take(cam).DriverSeq; next <= last {
		t.Errorf("picture %d follows %d", next, last)
	}
	if runs := r.ran("--codec"); !strings.HasSuffix(runs[len(runs)-1], "--contrast=2") {
		t.Errorf("runs with %s", runs[len(runs)-1])
	}
}

func TestOptionsThatThisVersionLacksAreNoControlsOrRefused(t *testing.T) {
	r := quick(t, "list=vc4 version=1.2")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(60)})
	list, err := cam.Controls(r.context())
	if err != nil || slices.ContainsFunc(list, func(c device.Control) bool { return c.ID == "AeFlickerPeriod" }) {
		t.Errorf("lists a flicker period, %v", err)
	}
	// Its help has --hdr, but as a switch: that is found out by trying.
	_, err = cam.SetControls(r.context(), map[string]device.ControlValue{"HdrMode": device.TextValue("sensor"), "Brightness": device.NumberValue(0.5)})
	if err == nil || !strings.Contains(err.Error(), "this version of rpicam-vid has no HdrMode") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(cam.Options().args(), " "); got != "--brightness=0.5" {
		t.Errorf("options are %s", got)
	}
	r.take(cam)
}

func TestControlsSetBeforeStartCountAndOutliveTheCamera(t *testing.T) {
	r := quick(t, "list=vc4")
	cam := r.open("", Options{VFlip: true})
	if _, err := cam.SetControls(r.context(), numbers(map[string]float64{"Brightness": -0.5})); err != nil {
		t.Fatal(err)
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	again := r.open("", Options{VFlip: true})
	if _, err := again.Start(r.context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Controls(r.context()); !errors.Is(err, device.ErrClosed) {
		t.Errorf("Controls after Close: got %v", err)
	}
	if _, err := again.SetControls(r.context(), nil); !errors.Is(err, device.ErrClosed) {
		t.Errorf("SetControls after Close: got %v", err)
	}
	other := r.open("", Options{})
	if got := other.Options().args(); len(got) != 0 {
		t.Errorf("with other options %v is left", got)
	}
	if runs := r.ran("--codec"); len(runs) != 1 || !strings.HasSuffix(runs[0], "--brightness=-0.5 --vflip") {
		t.Errorf("ran %q", runs)
	}
}

func TestStartGoesBackFromControlsThatTheProgramRefuses(t *testing.T) {
	r := quick(t, "list=vc4 reject=--awb=custom say=Invalid_AWB_mode:_custom")
	cam := r.open("", Options{VFlip: true})
	if _, err := cam.SetControls(r.context(), texts("AwbMode", "custom")); err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(r.context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cam.Options().args(), " "); got != "--vflip" || r.log.count("controls refused") != 1 {
		t.Errorf("runs with %s", got)
	}
}

func TestCloseEndsARestart(t *testing.T) {
	r := quick(t, "list=vc4")
	leakFree(t, func() {
		cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240})
		r.fault("lag=30s")
		set := make(chan error, 1)
		go func() {
			_, err := cam.SetControls(context.Background(), numbers(map[string]float64{"Brightness": 0.5}))
			set <- err
		}()
		eventually(t, "the program starts anew", func() bool { return len(r.ran("--codec")) == 2 })
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
		if err := <-set; !errors.Is(err, device.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestReadOnlyControlsTellWhatLibcameraFound(t *testing.T) {
	r := quick(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240})
	for range 3 {
		r.take(cam)
	}
	var list []device.Control
	eventually(t, "metadata came", func() bool {
		var err error
		list, err = cam.Controls(r.context())
		return err == nil && slices.ContainsFunc(list, func(c device.Control) bool { return c.ID == "Lux" })
	})
	for id, want := range map[string]float64{"Lux": 401.25, "ColourTemperature": 4512, "PresentExposureTime": 9998, "PresentAnalogueGain": 1.5, "AfState": 2, "AeLocked": 1} {
		c := control(t, list, id)
		if c.Value.Number != want || !c.ReadOnly || !c.Volatile {
			t.Errorf("%s: got %+v, want %v", id, c, want)
		}
	}
	if delay := control(t, list, "SensorDelay").Value.Number; delay < 11 || delay > 1000 {
		t.Errorf("sensor's delay is %v ms, want 12", delay)
	}
	if _, err := cam.SetControls(r.context(), numbers(map[string]float64{"Lux": 3})); err == nil || !strings.Contains(err.Error(), "Lux: only tells") {
		t.Errorf("got %v", err)
	}
}

func TestExposureIsRememberedBeyondStopAndClose(t *testing.T) {
	r := quick(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240})
	if _, ok := cam.LastExposure(); ok {
		t.Error("known before the first stop")
	}
	eventually(t, "metadata came", func() bool { _, ok := cam.Metadata(); return ok })
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	e, ok := r.open("", Options{}).LastExposure()
	if !ok || e.Time != 9998*time.Microsecond || e.AnalogueGain != 1.5 || e.ColourGains != [2]float64{1.912, 2.105} || e.At.IsZero() {
		t.Errorf("got %+v, %v", e, ok)
	}
}

func TestRawFunctionDecidesUnlessTheCodecIsSet(t *testing.T) {
	for _, tt := range []struct {
		list  string
		raw   bool
		codec Codec
		want  device.FourCC
	}{
		{"vc4", true, "", device.YU12},
		{"vc4", false, "", device.MJPG},
		{"pisp", true, CodecAuto, device.YU12},
		{"pisp", false, CodecAuto, device.MJPG},
		{"vc4", false, CodecYUV420, device.YU12},
		{"pisp", true, CodecMJPEG, device.MJPG},
	} {
		r := newRig(t, "list="+tt.list, func(c *Config) { c.Raw = func() bool { return tt.raw } })
		cam, f := r.start(Options{Codec: tt.codec}, device.Format{Width: 320, Height: 240})
		modes, err := cam.Modes(r.context())
		if f.FourCC != tt.want || err != nil || modes[0].FourCC != tt.want {
			t.Errorf("%+v: granted %v, modes %v, %v", tt, f, modes, err)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPictureThatIsHeldStaysBeyondStop(t *testing.T) {
	r := newRig(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(100)})
	var held device.Buffer
	var release func()
	err := cam.Next(r.context(), func(b *device.Buffer) error {
		held = *b
		var ok bool
		if release, ok = b.Hold(); !ok {
			t.Error("not held")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r.take(cam)
	}
	checkRaw(t, held)
	if err := cam.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := cam.Start(r.context(), device.Format{Width: 320, Height: 240, Rate: device.FPS(100)}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.take(cam)
	}
	checkRaw(t, held)
	release()
}

func TestSilentSensorIsGivenUpAfterThreeRestarts(t *testing.T) {
	r := newRig(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(60)})
	r.take(cam)
	r.fault("dead")
	err := r.fail(cam)
	if !errors.Is(err, device.ErrStalled) || !strings.Contains(err.Error(), "check the ribbon cable") {
		t.Errorf("got %v, want ErrStalled with a remedy", err)
	}
	if n := cam.Timeouts(); n < maxTimeouts {
		t.Errorf("%d timeouts", n)
	}
}

func TestSignalsOfTheFakeAreThoseOfTheRealProgram(t *testing.T) {
	for _, tt := range []struct {
		name string
		sig  syscall.Signal
		ends bool
	}{{"SIGTERM kills", syscall.SIGTERM, true}, {"SIGUSR1 is heard only", syscall.SIGUSR1, false}, {"SIGUSR2 is heard only", syscall.SIGUSR2, false}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "list=vc4")
			cam, _ := r.start(Options{}, device.Format{Width: 320, Height: 240, Rate: device.FPS(100)})
			if err := syscall.Kill(cam.current().stream.child.PID(), tt.sig); err != nil {
				t.Fatal(err)
			}
			if tt.ends {
				if err := r.fail(cam); !errors.Is(err, device.ErrStalled) || !strings.Contains(err.Error(), "terminated") {
					t.Errorf("got %v", err)
				}
				return
			}
			for range 5 {
				r.take(cam)
			}
		})
	}
}
