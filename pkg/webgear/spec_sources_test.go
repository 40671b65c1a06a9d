package webgear_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/source"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// parsed is a source and what the log says of its options.
func parsed(t *testing.T, spec string, o source.Options) (*source.Source, string, error) {
	t.Helper()
	var b logBuffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	src, err := source.Parse(spec, o, v4l2.New(v4l2.Config{Root: t.TempDir(), Logger: log}), log)
	return src, b.String(), err
}

func TestSpec08Line18APIIsChecked(t *testing.T) {
	if _, _, err := parsed(t, "clip.mjpeg", source.Options{API: "CAMGEAR"}); err == nil || !strings.Contains(err.Error(), "camgear, pigear or ffgear") {
		t.Errorf("got %v", err)
	}
}

// A source that is read by oneself and slowly loses no picture of a recording.
func TestSpec08Line18And20RecordingsArePlayedToTheEnd(t *testing.T) {
	const pictures = 12
	for name, o := range map[string]source.Options{
		"default":          {},
		"camgear":          {API: source.CamGear},
		"in queue mode":    {Keys: map[string]any{"THREADED_QUEUE_MODE": true}},
		"mode is no value": {Keys: map[string]any{"THREADED_QUEUE_MODE": "invalid"}},
	} {
		o.Want.Rate = device.FPS(200)
		src := opened(t, recording(t, pictures), o)
		cam, err := src.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		granted, err := cam.Start(t.Context(), src.Want)
		if err != nil || granted.Rate.Float() <= 0 {
			t.Errorf("%s: granted %v, %v", name, granted, err)
		}
		n := 0
		for err == nil {
			err = cam.Next(t.Context(), func(*device.Buffer) error {
				n++
				slow := time.NewTimer(20 * time.Millisecond)
				defer slow.Stop()
				<-slow.C
				return nil
			})
		}
		if n != pictures || !errors.Is(err, device.ErrEnded) {
			t.Errorf("%s: %d of %d pictures, then %v", name, n, pictures, err)
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSpec08Line21MissingFileAndWrongOptions(t *testing.T) {
	src, log, err := parsed(t, filepath.Join(t.TempDir(), "im_wrong.mp4"), source.Options{Keys: map[string]any{
		"THREADED_QUEUE_MODE": "invalid", "im_wrong": true, "THREAD_TIMEOUT": "wrong", "CAP_PROP_FRAME_WIDTH ": 640, "STREAM_PARAMS": "invalid",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"THREADED_QUEUE_MODE", "im_wrong", "THREAD_TIMEOUT", "STREAM_PARAMS"} {
		if n := strings.Count(log, "key="+key+" "); n != 1 {
			t.Errorf("%d warnings of %s in %q", n, key, log)
		}
	}
	if src.Want.Width != 640 || strings.Contains(log, "CAP_PROP") {
		t.Errorf("a key with a space was not taken: %v, %q", src.Want, log)
	}
	g, _ := newGear(t, webgear.Options{Open: src.Open, Address: "127.0.0.1:0", Fatal: []error{device.ErrNotFound}})
	leakCheck(t)
	if err := wait(t, func() error { return g.Run(t.Context()) }); !errors.Is(err, device.ErrNotFound) {
		t.Errorf("Run gave %v, want that the file is missing", err)
	}
	// Without Fatal the daemon waits for the file to come.
	r := serve(t, webgear.Options{Open: src.Open})
	r.watch("/video").await("not-found")
}

func TestSpec08Line27And29StabilizerOptionsAreChecked(t *testing.T) {
	_, log, err := parsed(t, "clip.mp4", source.Options{Stabilize: true, Keys: map[string]any{
		"STABILIZER_MODE": "KALMAN", "SMOOTHING_RADIUS": "wrong", "BORDER_SIZE": -3, "BORDER_TYPE": 7, "CROP_N_ZOOM": "yes",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"STABILIZER_MODE", "SMOOTHING_RADIUS", "BORDER_SIZE", "BORDER_TYPE", "CROP_N_ZOOM"} {
		if n := strings.Count(log, "key="+key+" "); n != 1 {
			t.Errorf("%d warnings of %s in %q", n, key, log)
		}
	}
	if _, log, err = parsed(t, "clip.mp4", source.Options{Stabilize: true, Keys: map[string]any{"STABILIZER_MODE": "ASW", "SMOOTHING_RADIUS": 5}}); err != nil || log != "" {
		t.Errorf("good options: %v, %q", err, log)
	}
}

// Pictures of another webgear are passed on as they are, and viewers stay when
// it goes and comes back.
func TestRemoteFramesSurviveARestartOfTheOtherServer(t *testing.T) {
	other, log := newGear(t, webgear.Options{Open: numbered()})
	far := serveGear(t, other, log)
	r := serve(t, webgear.Options{Open: opened(t, far.url+"/video", source.Options{}).Open})
	v := r.watch("/video")
	if p := v.await(""); !slices.Equal(p.data[:2], []byte{0xff, 0xd8}) {
		t.Error("no picture")
	}
	if _, err := far.stop(); err != nil {
		t.Fatal(err)
	}
	v.await("disconnected")
	again, _ := newGear(t, webgear.Options{Open: numbered(), Address: far.addr})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- again.Run(ctx) }()
	v.await("")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
