package capture

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/status"
)

// controlled makes the cameras of a source ones with controls.
type controlled struct {
	src *devicetest.FakeSource

	mu   sync.Mutex
	cams []*fakeControls
	make func(c *fakeControls)
}

func (s *controlled) open(ctx context.Context) (device.Camera, error) {
	cam, err := s.src.Open(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newFakeControls(cam)
	if s.make != nil {
		s.make(c)
	}
	s.cams = append(s.cams, c)
	return c, nil
}

func (s *controlled) last() *fakeControls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cams[len(s.cams)-1]
}

func numbers(values map[string]float64) map[string]device.ControlValue {
	out := map[string]device.ControlValue{}
	for id, v := range values {
		out[id] = device.NumberValue(v)
	}
	return out
}

func TestControlsOfTheSettingsAreSetAfterEachOpenAndWrongOnesAreNamedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		cams := &controlled{src: src}
		r := start(t, src, func(c *Config) {
			c.Open = cams.open
			c.Controls = numbers(map[string]float64{"brightness": 70, "exposure": 5000, "no_such": 1})
		})
		for range 3 {
			r.expect(time.Second, "live")
			if v := cams.last().value(0); v != 70 {
				t.Errorf("brightness is %v", v)
			}
			src.Unplug()
			r.expect(time.Second, "unplugged")
			src.Plug()
		}
		r.expect(time.Second, "live")
		for _, id := range []string{"no_such", "exposure"} {
			if n := strings.Count(r.log.String(), "control="+id+" "); n != 1 {
				t.Errorf("%s was complained about %d times:\n%s", id, n, r.log)
			}
		}
	})
}

func TestControlsAreSetLiveAndAgainOnACameraThatIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		cams := &controlled{src: src}
		r := start(t, src, func(c *Config) { c.Open = cams.open })
		r.expect(time.Second, "live")
		list, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"brightness": 30, "focus_now": 1}))
		if err != nil || list[0].Value.Number != 30 {
			t.Fatalf("%+v, %v", list, err)
		}
		if _, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"brightness": 101})); err == nil || !strings.Contains(err.Error(), "brightness") {
			t.Errorf("a value out of range: %v", err)
		}
		src.Unplug()
		r.expect(time.Second, "unplugged")
		src.Plug()
		r.expect(time.Second, "live")
		cam := cams.last()
		if len(cam.sets) != 1 || len(cam.sets[0]) != 1 || cam.value(0) != 30 {
			t.Errorf("set anew: %v", cam.sets)
		}
		list, err = r.sup.Controls(t.Context())
		if err != nil || len(list) != 4 || list[0].Value.Number != 30 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestChangesByOthersAppearInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		cams := &controlled{src: src}
		r := start(t, src, func(c *Config) { c.Open = cams.open })
		r.expect(time.Second, "live")
		cams.last().change(0, 11)
		time.Sleep(2 * controlsPace)
		synctest.Wait()
		cams.last().change(0, 12)
		time.Sleep(2 * controlsPace)
		synctest.Wait()
		if st := r.sup.Status(); len(st.Controls) != 4 || st.Controls[0].Value.Number != 12 {
			t.Errorf("%+v", st.Controls)
		}
	})
}

func TestControlsWithoutACameraOrWithOneThatHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		r := start(t, src, func(c *Config) { c.Source = "here" })
		r.expect(time.Second, "live")
		if _, err := r.sup.Controls(t.Context()); !errors.Is(err, device.ErrUnsupported) {
			t.Errorf("a camera without: %v", err)
		}
		src.Unplug()
		r.expect(time.Second, "unplugged")
		_, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"brightness": 1}))
		if !errors.Is(err, device.ErrNotFound) || !strings.Contains(err.Error(), "here") {
			t.Errorf("no camera: %v", err)
		}
	})
}

func TestViewersKeepTheirPictureWhileAControlRestartsTheCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		cams := &controlled{src: src}
		cams.make = func(c *fakeControls) {
			fake := src.Current()
			c.quiet = func() {
				fake.Stall()
				time.AfterFunc(3*time.Second, fake.Resume)
			}
		}
		r := start(t, src, func(c *Config) { c.Open = cams.open })
		r.expect(time.Second, "live")
		if _, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"exposure": 200})); err != nil {
			t.Fatal(err)
		}
		r.expect(5*time.Second, "live")
		if st := r.sup.Status(); st.Counters.Stalls != 0 || st.Counters.Repeated < 2 || st.Counters.Opens != 1 {
			t.Errorf("%+v", st.Counters)
		}
		// That silence is no measure of the camera.
		src.Current().Stall()
		r.expect(350*time.Millisecond, "")
		r.expect(150*time.Millisecond, "stalled")
		src.Current().Resume()
		r.expect(time.Second, "live")
		// A restart that never ends is a stall like any other.
		cams.last().quiet = src.Current().Stall
		if _, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"exposure": 300})); err != nil {
			t.Fatal(err)
		}
		r.expect(restartTime-100*time.Millisecond, "live")
		r.expect(time.Second, "live stalled")
	})
}

func TestControlsOfACameraThatIsAsleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		cams := &controlled{src: src}
		r := startOnDemand(t, src, func(c *Config) { c.Open = cams.open })
		time.Sleep(2 * linger)
		synctest.Wait()
		// To look does not wake it, to set does.
		list, err := r.sup.Controls(t.Context())
		if err != nil || len(list) != 4 || src.Counts().Opened != 1 {
			t.Errorf("%d controls, %v, source %+v", len(list), err, src.Counts())
		}
		list, err = r.sup.SetControls(t.Context(), numbers(map[string]float64{"brightness": 9}))
		if err != nil || list[0].Value.Number != 9 || src.Counts().Opened != 2 {
			t.Errorf("%+v, %v, source %+v", list, err, src.Counts())
		}
		time.Sleep(2 * linger)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Asleep || src.Counts().Closed != 2 {
			t.Errorf("%s, source %+v", st.State, src.Counts())
		}
		// When the camera cannot be woken, it says so.
		src.Unplug()
		if _, err := r.sup.SetControls(t.Context(), numbers(map[string]float64{"brightness": 9})); !errors.Is(err, device.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.sup.setting <- struct{}{}
		if _, err := r.sup.SetControls(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		<-r.sup.setting
	})
}
