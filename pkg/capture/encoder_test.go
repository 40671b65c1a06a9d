package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/status"
)

func TestProofOfALargePictureIsMadeOfASmallOne(t *testing.T) {
	f := device.Format{FourCC: device.YU12, Width: 1280, Height: 720}
	raw, err := newRawLayout(f)
	if err != nil {
		t.Fatal(err)
	}
	b := &device.Buffer{Format: f, Data: make([]byte, raw.size)}
	for i := range b.Data {
		b.Data[i] = byte(60 + 120*i/len(b.Data))
	}
	e, err := encode.New(f, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out, err := e.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	if isTelling, err := proof(b, raw, out, 1280, 720); err != nil || !isTelling {
		t.Errorf("telling %v, %v", isTelling, err)
	}
	// Chroma where the encoder does not look for it.
	shifted := *b
	shifted.Data = make([]byte, len(b.Data))
	copy(shifted.Data, b.Data[:raw.cb])
	for i := raw.cb; i < len(b.Data); i++ {
		shifted.Data[i] = 0
	}
	if out, err = e.Encode(&shifted); err != nil {
		t.Fatal(err)
	}
	if _, err := proof(b, raw, out, 1280, 720); !errors.Is(err, errUnproven) {
		t.Errorf("missing chroma passed: %v", err)
	}
}

// rawSource delivers YUYV, as fast as it is told.
func rawSource(every time.Duration) *devicetest.FakeSource {
	return devicetest.NewFakeSource(devicetest.FakeOptions{
		Interval: every,
		Modes:    []device.Mode{{FourCC: device.YUYV, Width: 64, Height: 48, Rates: []device.Rate{device.FPS(1 / every.Seconds())}}},
	})
}

// startRaw runs a supervisor on raw pictures with these encoders.
func startRaw(t *testing.T, makers ...*fakeMaker) *rig {
	t.Helper()
	return start(t, rawSource(interval), func(c *Config) {
		c.Encoders = nil
		for _, m := range makers {
			c.Encoders = append(c.Encoders, m.maker())
		}
	})
}

// states prints the candidates as "name state", in order.
func states(st status.Camera) string {
	var out []string
	for _, c := range st.EncoderCandidates {
		out = append(out, c.Name+" "+string(c.State))
	}
	return strings.Join(out, ", ")
}

// green makes what a broken encoder makes: all samples zero.
func green(_ int, b device.Buffer) device.Buffer {
	b.Data = make([]byte, len(b.Data))
	return b
}

func TestFirstEncoderThatProvesToWorkIsTaken(t *testing.T) {
	small := func([]byte) []byte { return devicetest.JPEG(1, 32, 24) }
	text := func([]byte) []byte { return []byte("no picture") }
	for name, tt := range map[string]struct {
		first *fakeMaker
		state string
	}{
		"works":                    {&fakeMaker{}, "hw in use, sw not tried"},
		"does not take the format": {&fakeMaker{refuses: true}, "hw refused, sw in use"},
		"cannot be opened":         {&fakeMaker{newErr: errors.New("no such device")}, "hw refused, sw in use"},
		"makes green":              {&fakeMaker{spoil: green}, "hw demoted, sw in use"},
		"makes another size":       {&fakeMaker{result: small}, "hw demoted, sw in use"},
		"makes no JPEG":            {&fakeMaker{result: text}, "hw demoted, sw in use"},
		"fails at once":            {&fakeMaker{fail: func(int) error { return errors.New("EIO") }}, "hw demoted, sw in use"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := tt.first
				first.name, first.hardware = "hw", true
				sw := &fakeMaker{name: "sw"}
				src := devicetest.NewFakeSource(devicetest.FakeOptions{
					Modes: []device.Mode{{FourCC: device.YUYV, Width: 64, Height: 48, Rates: []device.Rate{{Num: 30, Den: 1}}}},
				})
				r := start(t, src, func(c *Config) { c.Encoders = []device.EncoderMaker{first.maker(), sw.maker()} })
				cam := <-src.Cameras()
				if _, err := cam.WaitStarted(t.Context()); err != nil {
					t.Fatal(err)
				}
				raw := make([]byte, 64*48*2)
				for i := range raw {
					raw[i] = byte(100 + i%128/2) // a ramp, with chroma
				}
				for range 3 {
					if err := cam.SendWait(t.Context(), devicetest.Picture{Data: raw}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(interval)
				}
				if got := r.shown(); got != "live" {
					t.Errorf("the viewer saw %q", got)
				}
				st := r.sup.Status()
				if got := states(st); got != tt.state {
					t.Errorf("candidates %q, want %q", got, tt.state)
				}
				hardware := strings.HasPrefix(tt.state, "hw in use")
				if st.EncoderHardware != hardware || (st.Encoder == "hw") != hardware || st.Counters.Frames != 3 || st.Counters.InvalidEncode != 0 {
					t.Errorf("status %+v", st)
				}
				if c := st.EncoderCandidates[0]; !hardware && c.Reason == "" {
					t.Error("no reason is given")
				}
				r.stop()
				if n := strings.Count(r.log.String(), "encoder chosen"); n != 1 {
					t.Errorf("the choice was logged %d times:\n%s", n, r.log)
				}
				for _, m := range []*fakeMaker{first, sw} {
					if c := m.counts(); c.opened != c.closed {
						t.Errorf("%s: %+v", m.name, c)
					}
				}
			})
		})
	}
}

func TestEncoderThatFailsAtWorkIsReplacedAndNeverComesBack(t *testing.T) {
	stalled := &device.OpError{Op: "encode", Path: "/dev/video11", Kind: device.ErrStalled}
	for name, tt := range map[string]struct {
		err  error
		lost uint64 // pictures
	}{
		"errors": {errors.New("EIO"), maxFailures - 1}, "stalls": {stalled, maxFailures - 1},
		"unplugged": {device.ErrUnplugged, 0}, "unsupported": {device.ErrUnsupported, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hw := &fakeMaker{name: "hw", hardware: true, fail: func(n int) error {
					if n > 20 {
						return tt.err
					}
					return nil
				}}
				sw := &fakeMaker{name: "sw"}
				r := startRaw(t, hw, sw)
				r.expect(3*time.Second, "live")
				st := r.sup.Status()
				if states(st) != "hw demoted, sw in use" || st.Encoder != "sw" || st.Counters.InvalidEncode != tt.lost {
					t.Errorf("%s, %+v", states(st), st.Counters)
				}
				r.src.Unplug()
				r.expect(time.Second, "unplugged")
				r.src.Plug()
				r.expect(3*time.Second, "live")
				if got := states(r.sup.Status()); got != "hw demoted, sw in use" || hw.counts().opened != 1 {
					t.Errorf("after a new start of the camera: %s, opened %d times", got, hw.counts().opened)
				}
			})
		})
	}
}

func TestSingleFailuresAreForgivenAndTheLastEncoderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := func(n int) error {
			if n%5 > 2 {
				return errors.New("hiccup") // two in a row
			}
			return nil
		}
		r := startRaw(t, &fakeMaker{name: "hw", hardware: true, fail: flaky}, &fakeMaker{name: "sw"})
		r.expect(5*time.Second, "live")
		if got := states(r.sup.Status()); got != "hw in use, sw not tried" {
			t.Error(got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ill := func(n int) error {
			if n > 10 && n < 100 {
				return errors.New("ill")
			}
			return nil
		}
		r := startRaw(t, &fakeMaker{name: "sw", fail: ill})
		r.expect(2*time.Second, "live damaged")
		r.expect(10*time.Second, "damaged live")
		if got := states(r.sup.Status()); got != "sw in use" {
			t.Error(got)
		}
	})
}

func TestEncoderThatIsRightInTheDarkOnlyIsFoundOutLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// It never sees a picture: what it makes is black.
		hw := &fakeMaker{name: "hw", hardware: true, spoil: func(_ int, b device.Buffer) device.Buffer {
			b.Data = make([]byte, len(b.Data))
			for i := range b.Data {
				b.Data[i] = byte(i % 2 * 128)
			}
			return b
		}}
		src := devicetest.NewFakeSource(devicetest.FakeOptions{
			Modes: []device.Mode{{FourCC: device.YUYV, Width: 64, Height: 48, Rates: []device.Rate{{Num: 30, Den: 1}}}},
		})
		r := start(t, src, func(c *Config) { c.Encoders = []device.EncoderMaker{hw.maker(), (&fakeMaker{name: "sw"}).maker()} })
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range proveAgain + 5 {
			raw := make([]byte, 64*48*2)
			for k := range raw {
				if raw[k] = 128; k%2 == 0 {
					raw[k] = byte(min(i*10, 200)) // it dawns
				}
			}
			if err := cam.SendWait(t.Context(), devicetest.Picture{Data: raw}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(interval)
		}
		if got := states(r.sup.Status()); got != "hw demoted, sw in use" {
			t.Error(got)
		}
		r.shown()
	})
}

func TestShortRawPicturesAreTheCamerasFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := devicetest.NewFakeSource(devicetest.FakeOptions{
			Modes: []device.Mode{{FourCC: device.YUYV, Width: 64, Height: 48, Rates: []device.Rate{{Num: 30, Den: 1}}}},
		})
		sw := &fakeMaker{name: "sw"}
		r := start(t, src, func(c *Config) { c.Encoders = []device.EncoderMaker{sw.maker()} })
		cam := <-src.Cameras()
		if _, err := cam.WaitStarted(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = cam.SendWait(t.Context(), devicetest.Picture{Data: make([]byte, 64*48*2-1)})
		_ = cam.SendWait(t.Context(), devicetest.Picture{Data: make([]byte, 64*48*2)})
		if c := r.sup.Status().Counters; c.InvalidTruncated != 1 || c.Frames != 1 || sw.counts().pictures != 1 {
			t.Errorf("counters %+v, encoder %+v", c, sw.counts())
		}
	})
}

func TestNoEncoderAtAllNamesTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRaw(t, &fakeMaker{name: "hw", newErr: errors.New("busy")}, &fakeMaker{name: "sw", refuses: true})
		r.expect(time.Second, "unsupported")
		if e := r.sup.Status().Error; !strings.Contains(e, "hw: busy") || !strings.Contains(e, "sw: does not take YUYV") {
			t.Error(e)
		}
	})
}

func TestSlowEncoderGoesWideInOrderAndHardwareDoesNot(t *testing.T) {
	for _, hardware := range []bool{false, true} {
		t.Run(fmt.Sprint(hardware), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				enc := &fakeMaker{name: "slow", takes: 2 * interval, hardware: hardware}
				r := start(t, rawSource(interval), func(c *Config) {
					c.Encoders, c.Cores = []device.EncoderMaker{enc.maker()}, 4
				})
				r.expect(3*time.Second, "live")
				before := r.sup.Status().Counters.Frames
				time.Sleep(3 * time.Second)
				synctest.Wait()
				st := r.sup.Status()
				fps := float64(st.Counters.Frames-before) / 3
				if hardware && (enc.counts().most != 1 || fps > 16) || !hardware && (st.EncoderWidth < 2 || fps < 29) {
					t.Errorf("%.1f fps, at most %d at once, width %d", fps, enc.counts().most, st.EncoderWidth)
				}
				r.mu.Lock()
				seen := r.seen
				r.mu.Unlock()
				for i, f := range seen[1:] {
					if f.DriverSeq <= seen[i].DriverSeq {
						t.Errorf("picture %d follows %d", f.DriverSeq, seen[i].DriverSeq)
					}
					// It waits for the next free lane, works, and waits for its turn.
					if d := f.PublishedAt.Sub(f.CapturedAt); i > 60 && d > 4*interval {
						t.Errorf("picture %d is %v late", f.DriverSeq, d)
					}
				}
				// In wide mode too, a silent camera is noticed.
				r.src.Current().Stall()
				time.Sleep(2 * time.Second)
				if got := r.shown(); !strings.HasSuffix(got, "stalled") {
					t.Errorf("the viewer saw %q", got)
				}
				r.src.Current().Resume()
				time.Sleep(time.Second)
				r.shown()
				r.stop()
				if c := enc.counts(); c.opened != c.closed {
					t.Errorf("encoders %+v", c)
				}
				if m := r.src.Current().Misuse(); len(m) > 0 {
					t.Error(m)
				}
			})
		})
	}
}

func TestSoftwareThatTakesOverMayGoWide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hw := &fakeMaker{name: "hw", hardware: true, takes: 2 * interval, fail: func(n int) error {
			if n > 60 {
				return device.ErrUnplugged
			}
			return nil
		}}
		// The first software fails as well, while it is wide.
		bad := &fakeMaker{name: "bad", takes: 2 * interval, fail: func(n int) error {
			if n > 200 {
				return errors.New("out of memory")
			}
			return nil
		}}
		sw := &fakeMaker{name: "sw", takes: 2 * interval}
		r := start(t, rawSource(interval), func(c *Config) {
			c.Encoders, c.Cores = []device.EncoderMaker{hw.maker(), bad.maker(), sw.maker()}, 4
		})
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if st := r.sup.Status(); st.Encoder != "bad" || st.EncoderWidth != 3 {
			t.Errorf("%s, width %d, %s", st.Encoder, st.EncoderWidth, states(st))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := r.sup.Status().Counters
		time.Sleep(3 * time.Second)
		r.shown()
		st := r.sup.Status()
		if n := st.Counters.Frames - before.Frames; st.Encoder != "sw" || st.EncoderWidth < 2 || n < 85 || st.Counters.InvalidEncode != before.InvalidEncode {
			t.Errorf("%s, width %d, %d frames in 3 s, %s, %+v", st.Encoder, st.EncoderWidth, n, states(st), st.Counters)
		}
		r.stop()
		for _, m := range []*fakeMaker{hw, bad, sw} {
			if c := m.counts(); c.opened != c.closed {
				t.Errorf("%s: %+v", m.name, c)
			}
		}
	})
}

func TestProofTakesEveryFormatOfTheSoftwareAndFindsMixedUpPlanes(t *testing.T) {
	const w, h = 96, 64
	for _, code := range []device.FourCC{device.YUYV, device.UYVY, device.NV12, device.YU12, device.RGB24, device.GREY} {
		for _, q := range []device.Quantization{device.FullRange, device.LimitedRange} {
			for _, m := range []device.Matrix{device.BT601, device.BT709} {
				f := device.Format{FourCC: code, Width: w, Height: h, Quantization: q, Matrix: m}
				raw, err := newRawLayout(f)
				if err != nil {
					t.Fatal(err)
				}
				b := &device.Buffer{Format: f, Data: make([]byte, raw.size)}
				for i := range b.Data {
					b.Data[i] = byte(90 + 70*i/len(b.Data))
				}
				for _, o := range []encode.Options{{}, {Gray: true}, {Width: w / 2, Height: h / 2}, {Portable: true}} {
					e, err := encode.New(f, o)
					if err != nil {
						t.Fatal(err)
					}
					out, err := e.Encode(b)
					if err != nil {
						t.Fatal(err)
					}
					ow, oh := e.Size()
					if _, err := proof(b, raw, out, ow, oh); err != nil {
						t.Errorf("%v range %d matrix %d %+v: %v", f, q, m, o, err)
					}
					// What a wrong stride or a forgotten plane looks like.
					wrong := *b
					wrong.Data = make([]byte, len(b.Data))
					if out, err = e.Encode(&wrong); err != nil {
						t.Fatal(err)
					}
					if _, err := proof(b, raw, out, ow, oh); !errors.Is(err, errUnproven) {
						t.Errorf("%v: a black or green picture passed: %v", f, err)
					}
					e.Close()
				}
			}
		}
	}
}

func TestProbeTellsWhatWouldEncode(t *testing.T) {
	f := device.Format{FourCC: device.YU12, Width: 64, Height: 48}
	b := &device.Buffer{Format: f, Data: make([]byte, 64*48*3/2)}
	makers := []device.EncoderMaker{
		(&fakeMaker{name: "hw", hardware: true, fail: func(int) error { return device.ErrStalled }}).maker(), (&fakeMaker{name: "sw"}).maker(),
	}
	log := slog.New(slog.DiscardHandler)
	got, err := ProbeEncoders(context.Background(), makers, 80, b, log)
	if err != nil || states(status.Camera{EncoderCandidates: got}) != "hw demoted, sw in use" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = ProbeEncoders(context.Background(), makers[:1], 80, b, log)
	if !errors.Is(err, device.ErrStalled) || got[0].State != status.EncoderRefused {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the first picture costs beside being encoded:
//
//	go test -run '^$' -bench BenchmarkProof ./pkg/capture
func BenchmarkProof(b *testing.B) {
	f := device.Format{FourCC: device.YU12, Width: 1920, Height: 1080}
	raw, err := newRawLayout(f)
	if err != nil {
		b.Fatal(err)
	}
	picture := &device.Buffer{Format: f, Data: make([]byte, raw.size)}
	for i := range picture.Data {
		picture.Data[i] = byte(60 + 120*i/len(picture.Data))
	}
	e, err := encode.New(f, encode.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	out, err := e.Encode(picture)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := proof(picture, raw, out, f.Width, f.Height); err != nil {
			b.Fatal(err)
		}
	}
}
