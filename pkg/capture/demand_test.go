package capture

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/status"
)

const linger = 10 * time.Second

// startOnDemand runs a supervisor that nobody watches.
func startOnDemand(t *testing.T, src *devicetest.FakeSource, change func(*Config)) *rig {
	t.Helper()
	return startUnwatched(t, src, func(c *Config) {
		c.OnDemand, c.Linger = true, linger
		c.Still = func(picture []byte, taken time.Time) ([]byte, error) {
			if len(picture) == 0 {
				return nil, errors.New("no picture")
			}
			return []byte("still of " + taken.UTC().Format(time.TimeOnly)), nil
		}
		if change != nil {
			change(c)
		}
	})
}

func TestCameraSleepsWhenNobodyWatchesAndWakesForAViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), nil)
		time.Sleep(linger - time.Second)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Online || !st.OnDemand {
			t.Errorf("before the linger is over: %+v", st)
		}
		leave := r.watch()
		r.expect(5*linger, "live")
		leave()
		time.Sleep(linger - 10*time.Millisecond)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Online {
			t.Errorf("%s although the viewer left just now", st.State)
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		st := r.sup.Status()
		if c := r.src.Counts(); st.State != status.Asleep || st.Counters.Sleeps != 1 || c.Opened != 1 || c.Closed != 1 {
			t.Errorf("state %s, source %+v", st.State, c)
		}
		// The last frame says that it is not live, and when it was.
		last := r.hub.Latest()
		if last.Placeholder != "asleep" || !strings.HasPrefix(string(last.Data), "still of ") || time.Since(last.CapturedAt) > time.Second {
			t.Errorf("last frame %q: %.30s", last.Placeholder, last.Data)
		}
		// Nothing happens for hours.
		before := last.Seq
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if f, c := r.hub.Latest(), r.src.Counts(); f.Seq != before || c.Tries != 1 {
			t.Errorf("%d frames while asleep, source %+v", f.Seq-before, c)
		}
		release := r.src.Hold() // a camera that takes its time
		woken := time.Now()
		leave = r.watch()
		r.expect(2500*time.Millisecond, "asleep")
		release()
		r.expect(100*time.Millisecond, "live")
		st = r.sup.Status()
		if st.State != status.Online || st.Wake.Count != 1 || st.Wake.Last < 2500 || st.Wake.Max != st.Wake.Last || time.Since(woken).Milliseconds() < st.Wake.Last {
			t.Errorf("state %s, wake %+v", st.State, st.Wake)
		}
		leave()
		r.stop()
		if c := r.src.Counts(); c.Opened != 2 || c.Closed != 2 {
			t.Errorf("source %+v", c)
		}
	})
}

func TestAViewerWhoComesAndGoesAtEveryMomentGetsLivePictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), func(c *Config) { c.Linger = 100 * time.Millisecond })
		for i := range 300 {
			time.Sleep(time.Duration(i) * time.Millisecond)
			leave := r.watch()
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
			if f := r.hub.Latest(); f == nil || f.Placeholder != "" || time.Since(f.CapturedAt) > 100*time.Millisecond {
				t.Fatalf("round %d: the newest is %+v", i, f)
			}
			leave()
		}
		r.shown()
		r.stop()
		if c := r.src.Counts(); c.Opened != c.Closed || c.Opened < 50 {
			t.Errorf("source %+v", c)
		}
	})
}

func TestASnapshotWakesTheCameraAndGetsAFreshPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), nil)
		time.Sleep(2 * linger)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		asked := time.Now()
		f, err := r.hub.After(ctx, asked)
		if err != nil || f.Placeholder != "" || f.CapturedAt.Before(asked) {
			t.Errorf("got %+v, %v", f, err)
		}
		time.Sleep(linger / 2)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Online {
			t.Errorf("%s after a snapshot, want the linger to pass", st.State)
		}
		time.Sleep(linger)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Asleep || st.Counters.Sleeps != 2 {
			t.Errorf("%s, %d sleeps", st.State, st.Counters.Sleeps)
		}
	})
}

func TestCameraThatIsGoneWhenWokenIsNamedAndLivePicturesReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), nil)
		time.Sleep(2 * linger)
		r.src.Unplug()
		leave := r.watch()
		defer leave()
		time.Sleep(3 * time.Second)
		if got := r.shown(); strings.TrimPrefix(got, "asleep ") != "not-found" {
			t.Errorf("the viewer saw %q", got)
		}
		r.src.Plug()
		r.expect(time.Second, "live")
		if w := r.sup.Status().Wake; w.Count != 0 {
			t.Errorf("an outage was measured as a wake: %+v", w)
		}
	})
}

func TestCameraThatIsSilentWhenWokenIsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		r := startOnDemand(t, src, nil)
		time.Sleep(2 * linger)
		src.SetOptions(devicetest.FakeOptions{}) // silent
		leave := r.watch()
		defer leave()
		r.expect(firstFrame-10*time.Millisecond, "asleep")
		r.expect(time.Second, "stalled")
		src.SetOptions(devicetest.FakeOptions{Interval: interval})
		r.expect(reopenAfter+time.Second, "stalled live")
	})
}

func TestCameraThatIsAwayIsLookedForWithoutViewersAndRestsOnceItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := auto()
		src.Unplug()
		r := startOnDemand(t, src, nil)
		time.Sleep(time.Minute)
		src.Plug()
		time.Sleep(time.Second)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Asleep || st.Counters.Frames == 0 || st.Counters.Frames > 2 {
			t.Errorf("%s after %d frames", st.State, st.Counters.Frames)
		}
	})
}

func TestStillThatCannotBeDrawnIsACard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), func(c *Config) {
			c.Still = func([]byte, time.Time) ([]byte, error) { return nil, errors.New("progressive") }
		})
		time.Sleep(2 * linger)
		synctest.Wait()
		if f := r.hub.Latest(); f.Placeholder != "asleep" || !strings.HasPrefix(string(f.Data), "card asleep 64x48") {
			t.Errorf("%q: %s", f.Placeholder, f.Data)
		}
	})
}

func TestStoppingWhileAsleepSaysFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOnDemand(t, auto(), nil)
		time.Sleep(2 * linger)
		r.stop()
		if f := r.hub.Latest(); f.Placeholder != "stopped" {
			t.Errorf("the last frame is %q", f.Placeholder)
		}
	})
}

func TestWithoutALingerTheCameraNeverSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startUnwatched(t, auto(), func(c *Config) { c.OnDemand = true })
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := r.sup.Status(); st.State != status.Online || st.OnDemand {
			t.Errorf("%s, on demand %v", st.State, st.OnDemand)
		}
	})
}

func TestRawCameraFreesItsEncoderWhenItSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enc := &fakeMaker{name: "sw"}
		r := startOnDemand(t, rawSource(interval), func(c *Config) { c.Encoders = []device.EncoderMaker{enc.maker()} })
		time.Sleep(2 * linger)
		synctest.Wait()
		if c := enc.counts(); r.sup.Status().State != status.Asleep || c.opened != 1 || c.closed != 1 {
			t.Errorf("encoder %+v", c)
		}
	})
}
