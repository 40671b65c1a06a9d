package capture

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// frames are what the viewer saw since the last call.
func (r *rig) frames() []*device.Frame {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

func TestPictureOfASlowSourceIsRepeatedEverySecondAndStaysWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{Interval: 2500 * time.Millisecond})
		r := start(t, src, nil)
		time.Sleep(20 * time.Second)
		seen := r.frames()
		st := r.sup.Status()
		if c := st.Counters; c.Repeated != 2*(c.Frames-1) && c.Repeated != 2*c.Frames || c.Stalls != 0 || uint64(len(seen)) != c.Frames+c.Repeated {
			t.Errorf("%d seen, counters %+v", len(seen), c)
		}
		for i, f := range seen[1:] {
			last := seen[i]
			if f.Seq != last.Seq+1 || f.PublishedAt.Sub(last.PublishedAt) > repeatEvery {
				t.Errorf("frame %d came %v after %d", f.Seq, f.PublishedAt.Sub(last.PublishedAt), last.Seq)
			}
			if same := f.DriverSeq == last.DriverSeq; same != f.CapturedAt.Equal(last.CapturedAt) || same != (&f.Data[0] == &last.Data[0]) {
				t.Errorf("frame %d is a repetition or not: number %d, captured at %v", f.Seq, f.DriverSeq, f.CapturedAt)
			}
		}
		// To be shown again is no sign of life.
		src.Current().Stall()
		time.Sleep(8 * time.Second)
		r.frames()
		r.expect(3*time.Second, "stalled")
	})
}

func TestFastSourceIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, auto(), nil)
		r.expect(10*time.Second, "live")
		if c := r.sup.Status().Counters; c.Repeated != 0 || c.DroppedSame != 0 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestSamePicturesAreDroppedUpToSoManyInARowAndOnceASecondShown(t *testing.T) {
	for _, n := range []int{0, 3, 1000} {
		synctest.Test(t, func(t *testing.T) {
			src := devicetest.NewFakeSource(devicetest.FakeOptions{})
			r := start(t, src, func(c *Config) { c.DropSame = n })
			cam := <-src.Cameras()
			if _, err := cam.WaitStarted(t.Context()); err != nil {
				t.Fatal(err)
			}
			const sent = 300
			for range sent {
				if err := cam.SendWait(t.Context(), devicetest.Picture{Data: devicetest.JPEG(1, 64, 48)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			st := r.sup.Status()
			c := st.Counters
			want := uint64(sent / (n + 1))
			if n == 1000 {
				want = 3 // in three seconds
			}
			if c.Frames+c.DroppedSame != sent || c.Frames+c.Repeated < want || c.Frames+c.Repeated > want+1 || c.Stalls != 0 {
				t.Errorf("DropSame %d: counters %+v, want %d frames", n, c, want)
			}
			if st.FPS < 90 {
				t.Errorf("DropSame %d: %v fps, want the camera's", n, st.FPS)
			}
			seen := len(r.frames())
			// Another picture is shown at once.
			if err := cam.SendWait(t.Context(), devicetest.Picture{Data: devicetest.JPEG(2, 64, 48)}); err != nil {
				t.Fatal(err)
			}
			if fresh := r.frames(); len(fresh) != 1 || seen == 0 {
				t.Errorf("DropSame %d: %d frames of a new picture", n, len(fresh))
			}
		})
	}
}
