package webgear_test

import (
	"context"
	"errors"
	"image"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/status"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// hardware is an encoder that works, or makes green pictures.
func hardware(green bool) device.EncoderMaker {
	m := encode.Makers(encode.Options{})[0]
	made := m.New
	m.Name, m.Hardware = "some chip", true
	m.New = func(ctx context.Context, f device.Format, quality int) (device.Encoder, error) {
		e, err := made(ctx, f, quality)
		return &chip{e, green}, err
	}
	return m
}

type chip struct {
	device.Encoder
	green bool
}

func (c *chip) Name() string { return "some chip" }

func (c *chip) Encode(b *device.Buffer) ([]byte, error) {
	if c.green {
		g := *b
		g.Data = make([]byte, len(b.Data)+4096)
		for i := range g.Data {
			g.Data[i] = 200
		}
		b = &g
	}
	return c.Encoder.Encode(b)
}

func TestHardwareEncodesOnlyWhenItIsRightAndWanted(t *testing.T) {
	raw := func() webgear.Options {
		return webgear.Options{Open: fake(device.Format{FourCC: device.YUYV, Width: 64, Height: 48}, 50*time.Millisecond).Open, Settings: webgear.DefaultSettings()}
	}
	for name, tt := range map[string]struct {
		change func(o *webgear.Options)
		want   bool
		state  status.EncoderState // of the first candidate
	}{
		"right": {func(o *webgear.Options) { o.Encoders = []device.EncoderMaker{hardware(false)} }, true, status.EncoderInUse},
		"green": {func(o *webgear.Options) { o.Encoders = []device.EncoderMaker{hardware(true)} }, false, status.EncoderDemoted},
		"smaller": {func(o *webgear.Options) {
			o.Encoders, o.FrameSizeReduction = []device.EncoderMaker{hardware(false)}, 50
		}, false, status.EncoderRefused},
		"not wanted": {func(o *webgear.Options) {
			o.Encoders, o.SoftwareEncoding = []device.EncoderMaker{hardware(false)}, true
		}, false, status.EncoderInUse},
		"not there":    {func(*webgear.Options) {}, false, status.EncoderInUse},
		"no such chip": {func(o *webgear.Options) { o.Encoders = []device.EncoderMaker{missing()} }, false, status.EncoderRefused},
	} {
		t.Run(name, func(t *testing.T) {
			o := raw()
			tt.change(&o)
			r := serve(t, o)
			r.watch("/video").await("")
			c := r.Status().Camera
			if c.EncoderHardware != tt.want || (c.Encoder == "some chip") != tt.want || c.EncoderCandidates[0].State != tt.state {
				t.Errorf("%q, hardware %v, %+v", c.Encoder, c.EncoderHardware, c.EncoderCandidates)
			}
			if n := strings.Count(r.log.String(), "encoder chosen"); n != 1 {
				t.Errorf("the choice was logged %d times", n)
			}
			if a := r.get("/state"); !strings.Contains(a.body, `"encoder_candidates"`) || !strings.Contains(a.body, `"encoder_hardware"`) {
				t.Error("/state says nothing of the encoders")
			}
		})
	}
}

func missing() device.EncoderMaker {
	m := hardware(false)
	m.New = func(context.Context, device.Format, int) (device.Encoder, error) { return nil, device.ErrNotFound }
	return m
}

func TestProbeEncodersTellsWhatWouldBeUsed(t *testing.T) {
	for want, green := range map[string]bool{"in use": false, "demoted": true} {
		got, err := webgear.ProbeEncoders(t.Context(), []device.EncoderMaker{hardware(green)}, device.Format{Width: 640, Height: 480})
		if err != nil || len(got) < 2 || string(got[0].State) != want {
			t.Errorf("%+v, %v, want the first %s", got, err, want)
		}
	}
	if _, err := webgear.ProbeEncoders(t.Context(), nil, device.Format{}); err == nil {
		t.Error("a picture of no size was encoded")
	}
}

func TestPicturesAreTurned(t *testing.T) {
	for name, open := range map[string]webgear.Opener{
		"drawn": webgear.ImageFunc(func(context.Context) (image.Image, error) { return busy(64, 48), nil }),
		"raw":   fake(device.Format{FourCC: device.YUYV, Width: 64, Height: 48}, 50*time.Millisecond).Open,
		"JPEG":  numbered(),
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, webgear.Options{Open: open, Transform: "90"})
			if got := r.watch("/video").await("").size(t); got != image.Pt(48, 64) {
				t.Errorf("a picture of 64x48 became %v", got)
			}
		})
	}
	_, err := webgear.New(webgear.Options{Open: numbered(), Transform: "sideways"})
	if err == nil || !strings.Contains(err.Error(), "sideways") {
		t.Errorf("got %v", err)
	}
}

// openings counts the cameras of an opener.
type openings struct {
	open webgear.Opener

	mu           sync.Mutex
	tries, ended int
}

func (o *openings) Open(ctx context.Context) (device.Camera, error) {
	o.mu.Lock()
	o.tries++
	o.mu.Unlock()
	cam, err := o.open(ctx)
	return &counted{cam, o}, err
}

func (o *openings) counts() (tries, ended int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tries, o.ended
}

type counted struct {
	device.Camera
	o *openings
}

func (c *counted) Close() error {
	c.o.mu.Lock()
	c.o.ended++
	c.o.mu.Unlock()
	return c.Camera.Close()
}

func TestSourceOnDemandRestsWhileNobodyWatches(t *testing.T) {
	src := &openings{open: numbered()}
	r := serve(t, webgear.Options{Open: src.Open, OnDemand: true, Linger: 100 * time.Millisecond})
	asleep := func() bool {
		tries, ended := src.counts()
		return r.Status().Camera.State == status.Asleep && tries == ended
	}
	eventually(t, "asleep", asleep)
	if a := r.get("/healthz"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "asleep") {
		t.Errorf("health: %d %s", a.StatusCode, a.body)
	}
	v := r.watch("/video")
	// On a starved computer the camera may be awake before the viewer is looked after.
	if p := v.must(); p.cause() != "asleep" && p.cause() != "" || p.size(t) != image.Pt(64, 48) {
		t.Errorf("the first picture is %q", p.cause())
	}
	v.await("")
	if w := r.Status().Camera.Wake; w.Count != 1 {
		t.Errorf("wake %+v", w)
	}
	_ = v.conn.Close()
	eventually(t, "asleep again", asleep)
	for f := range r.Frames(t.Context()) {
		if f.Placeholder == "" {
			break
		}
	}
	eventually(t, "asleep after Frames", asleep)
	release := r.Want()
	eventually(t, "awake", func() bool { return r.Status().Camera.State == status.Online })
	release()
	eventually(t, "asleep after Want", asleep)
}

func TestSourceRunsOnWithoutALinger(t *testing.T) {
	for name, o := range map[string]webgear.Options{"no linger": {OnDemand: true}, "a recording": {Linger: time.Nanosecond}} {
		t.Run(name, func(t *testing.T) {
			o.Open = numbered()
			r := serve(t, o)
			eventually(t, "thirty pictures", func() bool { return r.Status().Camera.Counters.Frames > 30 })
			if c := r.Status().Camera; c.Counters.Sleeps != 0 || c.OnDemand {
				t.Errorf("%+v", c)
			}
		})
	}
	if _, err := webgear.New(webgear.Options{Open: numbered(), Linger: -1}); err == nil {
		t.Error("a negative linger was accepted")
	}
}

func TestControlsOfASourceThatHasNone(t *testing.T) {
	r := serve(t, webgear.Options{Open: numbered(), Controls: map[string]device.ControlValue{"brightness": device.NumberValue(1)}})
	r.watch("/video").await("")
	if _, err := r.Controls(t.Context()); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if _, err := r.SetControls(t.Context(), nil); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
