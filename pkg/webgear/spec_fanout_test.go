package webgear_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// counting counts how often the pictures of a raw camera are read.
type counting struct {
	device.Camera
	mu    sync.Mutex
	taken int // guarded by mu
}

func (c *counting) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.Camera.Next(ctx, func(b *device.Buffer) error {
		c.mu.Lock()
		c.taken++
		c.mu.Unlock()
		return use(b)
	})
}

// WebGear divides the rate among its viewers; here each gets all of it, and each
// picture is encoded once.
func TestSpec04EveryViewerGetsTheFullRateFromOneEncoding(t *testing.T) {
	const viewers, fps, pictures = 12, 25, 50
	// A viewer on a busy computer misses some; of a rate that is divided among
	// twelve it would get a twelfth.
	const least = 0.5
	src := fake(device.Format{FourCC: device.YUYV, Width: 64, Height: 48}, time.Second/fps)
	var cam *counting
	r := serve(t, webgear.Options{Open: func(ctx context.Context) (device.Camera, error) {
		c, err := src.Open(ctx)
		if err != nil {
			return nil, err
		}
		cam = &counting{Camera: c}
		return cam, nil
	}})
	type result struct {
		published uint64            // while it watched
		parts     map[string]string // by sequence number
	}
	results := make(chan result, viewers)
	for range viewers {
		v := r.watch("/video")
		go func() {
			v.await("")
			before := r.Status().Camera.Counters.Frames
			res := result{parts: map[string]string{}}
			for range pictures {
				p, err := v.next()
				if err != nil {
					break
				}
				res.parts[p.header.Get("X-Sequence")] = string(p.data)
			}
			res.published = r.Status().Camera.Counters.Frames - before
			results <- res
		}()
	}
	all := map[string]string{}
	for range viewers {
		res := <-results
		if len(res.parts) != pictures || float64(pictures) < least*float64(res.published) {
			t.Errorf("a viewer got %d of %d pictures", len(res.parts), res.published)
		}
		for seq, data := range res.parts {
			if other, ok := all[seq]; ok && other != data {
				t.Errorf("two viewers got different pictures with the number %s", seq)
			}
			all[seq] = data
		}
	}
	if _, err := r.stop(); err != nil {
		t.Fatal(err)
	}
	c := r.Status().Camera
	cam.mu.Lock()
	defer cam.mu.Unlock()
	if !strings.Contains(c.Encoder, "jpeg") || c.Counters.Frames != uint64(cam.taken) {
		t.Errorf("%q made %d frames of %d pictures of the camera; want one each", c.Encoder, c.Counters.Frames, cam.taken)
	}
}

// A camera's own JPEG reaches the viewer byte by byte.
func TestSpec04JPEGIsPassedThroughUntouched(t *testing.T) {
	r := serve(t, webgear.Options{Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) { return devicetest.JPEG(7, 64, 48), nil })})
	if p := r.watch("/video").await(""); string(p.data) != string(devicetest.JPEG(7, 64, 48)) {
		t.Errorf("%d bytes were changed to %d", len(devicetest.JPEG(7, 64, 48)), len(p.data))
	}
}

// A source is asked once per picture, and with nobody watching, too.
func TestSpec04FunctionIsAskedOncePerPicture(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	r := serve(t, webgear.Options{Open: webgear.JPEGFunc(func(context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return picture(asked), nil
	})})
	for range 5 {
		defer func(v *viewer) { _ = v.conn.Close() }(r.watch("/video"))
	}
	eventually(t, "20 pictures", func() bool { return r.Status().Camera.Counters.Frames >= 20 })
	if _, err := r.stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if frames := int(r.Status().Camera.Counters.Frames); asked < frames || asked > frames+1 {
		t.Errorf("function was asked %d times for %d pictures", asked, frames)
	}
}

// The pages answer while the source blocks; in WebGear the whole server hangs.
func TestSpec04SourceThatBlocksDoesNotBlockTheServer(t *testing.T) {
	n := 0
	r := serve(t, webgear.Options{Open: webgear.JPEGFunc(func(ctx context.Context) ([]byte, error) {
		if n++; n > 3 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return picture(n), nil
	})})
	v := r.watch("/video")
	v.await("stalled")
	began := time.Now()
	for _, path := range []string{"/", "/state", "/snapshot", "/static/css/custom.css"} {
		if a := r.get(path); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("four answers took %v", took)
	}
}
