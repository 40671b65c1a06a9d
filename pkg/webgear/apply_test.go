package webgear_test

import (
	"context"
	"errors"
	"image"
	"net/http"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/pkg/server"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

func TestViewersStayWhenTheSourceIsReplaced(t *testing.T) {
	r := serve(t, webgear.Options{Open: sized(64, 48), Source: "first"})
	v := r.watch("/video")
	v.must()
	for _, tt := range []struct {
		source string
		open   webgear.Opener
		cause  string
		size   image.Point
	}{
		{"second", sized(96, 64), "", image.Pt(96, 64)},
		{"gone", func(context.Context) (device.Camera, error) { return nil, devicetest.NotFound("/dev/video7") }, "not-found", image.Pt(96, 64)},
		{"third", sized(32, 32), "", image.Pt(32, 32)},
	} {
		if err := r.Apply(t.Context(), webgear.Options{Open: tt.open, Source: tt.source}, true); err != nil {
			t.Fatal(err)
		}
		eventually(t, "viewer sees "+tt.source, func() bool {
			p := v.must()
			return p.cause() == tt.cause && p.size(t) == tt.size
		})
		if got := r.Status().Camera.Source; got != tt.source {
			t.Errorf("state says source %q, want %q", got, tt.source)
		}
	}
	if n := len(r.Status().Stream.Viewers); n != 1 {
		t.Errorf("%d viewers, want the one from the beginning", n)
	}
}

func TestOptionsThatCannotBeUsedChangeNothing(t *testing.T) {
	r := serve(t, webgear.Options{Open: sized(64, 48), Source: "first"})
	r.watch("/video").must()
	for name, o := range map[string]webgear.Options{
		"no source":   {Source: "other"},
		"transform":   {Source: "other", Open: sized(32, 32), Transform: "45"},
		"subsampling": {Source: "other", Open: sized(32, 32), Subsampling: "9:9:9"},
		"limits":      {Source: "other", Open: sized(32, 32), Limits: server.Limits{MaxViewers: -1}},
		"linger":      {Source: "other", Open: sized(32, 32), Linger: -1},
	} {
		if err := r.Apply(t.Context(), o, true); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c := r.Status().Camera; c.Source != "first" || c.Counters.Opens != 1 {
		t.Errorf("source %q after %d openings", c.Source, c.Counters.Opens)
	}
}

func TestLimitsApplyWithoutReopening(t *testing.T) {
	o := webgear.Options{Open: sized(64, 48)}
	r := serve(t, o)
	v := r.watch("/video")
	v.must()
	o.Limits.MaxViewers = 1
	if err := r.Apply(t.Context(), o, false); err != nil {
		t.Fatal(err)
	}
	if a := r.get("/video"); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the second viewer got %d, want 503", a.StatusCode)
	}
	v.must()
	if n := r.Status().Camera.Counters.Opens; n != 1 {
		t.Errorf("the source was opened %d times", n)
	}
}

func TestSettingsThatChangeWhileTheSourceIsOpenedCount(t *testing.T) {
	opening, goOn := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context) (device.Camera, error) {
		close(opening)
		select {
		case <-goOn:
			return sized(64, 48)(ctx)
		case <-ctx.Done():
			return nil, errors.New("test is over")
		}
	}
	r := serve(t, webgear.Options{Open: slow})
	<-opening
	if err := r.Apply(t.Context(), webgear.Options{Open: sized(96, 64)}, true); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	v := r.watch("/video")
	eventually(t, "pictures of the new source", func() bool { return v.must().size(t) == image.Pt(96, 64) })
}
