//go:build cgo

package encode_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

const defaultName = "libjpeg-turbo"

func TestEncodeAllocatesOnlyTheResult(t *testing.T) {
	f := device.Format{FourCC: device.YUYV, Width: 320, Height: 240}
	e := newEncoder(t, f, encode.Options{})
	b := &device.Buffer{Data: noise(320 * 240 * 2), Format: f}
	if n := testing.AllocsPerRun(50, func() { _, _ = e.Encode(b) }); n != 1 {
		t.Errorf("got %v allocations for a picture, want 1", n)
	}
}

func TestSamplingFollowsTheSource(t *testing.T) {
	t.Parallel()
	want := map[device.FourCC]string{
		device.YUYV: "4:2:2", device.UYVY: "4:2:2", device.NV12: "4:2:0",
		device.YU12: "4:2:0", device.RGB24: "4:2:0", device.GREY: "4:0:0",
	}
	for _, code := range formats {
		f := device.Format{FourCC: code, Width: 48, Height: 32}
		p, err := jpeg.Clean(encodeOnce(t, newEncoder(t, f, encode.Options{}), f, scene(f)))
		if err != nil || p.Sampling != want[code] || p.Tables || p.Trimmed != 0 || p.Width != 48 || p.Height != 32 {
			t.Errorf("%s: got %+v, %v, want an intact picture with %s", code, p.Info, err, want[code])
		}
	}
}

func TestTranscodeAllocatesOnlyTheResult(t *testing.T) {
	src := photo(t, 320, 240)
	for _, o := range []encode.Options{{Quality: 50}, {Width: 240}, {Width: 160, Gray: true}} {
		x := newTranscoder(t, o)
		if n := testing.AllocsPerRun(50, func() { _, _ = x.Transcode(src) }); n != 1 {
			t.Errorf("%+v: got %v allocations for a picture, want 1", o, n)
		}
	}
}

func TestTranscodeKeepsTheSampling(t *testing.T) {
	t.Parallel()
	for name, src := range fixtures(t) {
		before, err := jpeg.Header(src)
		if err != nil {
			t.Fatal(err)
		}
		for _, width := range []int{0, 120, 80, 50, 300} {
			after, err := jpeg.Header(transcode(t, newTranscoder(t, encode.Options{Quality: 70, Width: width}), src))
			if err != nil || after.Sampling != before.Sampling || after.Components != before.Components || after.Progressive {
				t.Errorf("%s at %d: %+v became %+v, %v", name, width, before, after, err)
			}
		}
	}
}

// The fast ways must be taken: they show in the bytes.
func TestFastDCTAndFastUpsampleChangeTheBytes(t *testing.T) {
	t.Parallel()
	src := photo(t, 640, 480)
	for _, o := range []encode.Options{{Quality: 80}, {Quality: 80, Width: 500}} {
		exact := transcode(t, newTranscoder(t, o), src)
		o.FastDCT = true
		if bytes.Equal(exact, transcode(t, newTranscoder(t, o), src)) {
			t.Errorf("width %d: FastDCT changes nothing", o.Width)
		}
		o.FastDCT, o.FastUpsample = false, true
		if o.Width > 0 == bytes.Equal(exact, transcode(t, newTranscoder(t, o), src)) {
			t.Errorf("width %d: FastUpsample does the wrong thing", o.Width)
		}
	}
	f := device.Format{FourCC: device.YU12, Width: 320, Height: 240}
	data := scene(f)
	if bytes.Equal(encodeOnce(t, newEncoder(t, f, encode.Options{}), f, data),
		encodeOnce(t, newEncoder(t, f, encode.Options{FastDCT: true}), f, data)) {
		t.Error("FastDCT of an encoder changes nothing")
	}
}

// Damaged picture data is shown as far as it goes; damaged headers are errors.
func TestTranscodeShowsWhatIsLeftOfDamagedData(t *testing.T) {
	t.Parallel()
	src := photo(t, 320, 240)
	cut := append(bytes.Clone(src[:len(src)/2]), 0xff, 0xd9)
	for _, o := range []encode.Options{{Quality: 50}, {Width: 240}} {
		x := newTranscoder(t, o)
		out := transcode(t, x, cut)
		if !x.Damaged() {
			t.Error("half a picture is not called damaged")
		}
		if m, want := decode(t, out), cmp.Or(o.Width, 320); m.Bounds().Dx() != want {
			t.Errorf("got %v, want width %d", m.Bounds(), want)
		}
		transcode(t, x, src)
		if x.Damaged() {
			t.Error("a whole picture is called damaged after half a one")
		}
	}
}

// A file that is small but has many scans would take very long.
func TestTranscodeRefusesEndlessProgressiveFiles(t *testing.T) {
	t.Parallel()
	src := fixtures(t)["grey-progressive"]
	sos := bytes.LastIndex(src, []byte{0xff, 0xda})
	last := src[sos : len(src)-2]
	many := bytes.Clone(src[:len(src)-2])
	for range 200 {
		many = append(many, last...)
	}
	many = append(many, 0xff, 0xd9)
	_, err := newTranscoder(t, encode.Options{Quality: 50}).Transcode(many)
	if err == nil || !strings.Contains(err.Error(), "more than 100 scans") {
		t.Errorf("got %v", err)
	}
}
