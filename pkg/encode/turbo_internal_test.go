//go:build cgo

package encode

import (
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
)

// libjpeg ends the program on an error unless told otherwise. New never lets
// such a size through, so the test goes around it.
func TestErrorInsideLibjpegComesBackAsError(t *testing.T) {
	t.Parallel()
	f := device.Format{FourCC: device.YU12, Width: 70000, Height: 1}
	e, err := newTurbo(job{kind: kindPlanar, width: 70000, height: 1, outWidth: 70000, outHeight: 1, hs: 2, vs: 2, convert: newConversion(f)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	for range 3 {
		b := make([]byte, 70000*2)
		_, err = e.encode(picture{y: b, cb: b[70000:], cr: b[105000:], stride: 70000, row: 70000, cStride: 35000}, 80)
		if err == nil || !strings.Contains(err.Error(), "Maximum supported image dimension is 65500") {
			t.Errorf("got %v, want libjpeg's text", err)
		}
	}
}

// The reason for the accurate DCT; run with
// go test -run '^$' -bench DCT ./pkg/encode .
func BenchmarkDCT(b *testing.B) {
	f := device.Format{FourCC: device.YU12, Width: 1280, Height: 720}
	l, err := newLayout(f)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, l.size)
	for i := range data {
		data[i] = byte(i%1280/8 + i/1280/4 + i*i%13)
	}
	for _, fast := range []bool{false, true} {
		j, err := newJob(f, Options{FastDCT: fast})
		if err != nil {
			b.Fatal(err)
		}
		e, err := newTurbo(j)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(e.close)
		b.Run(map[bool]string{false: "islow", true: "ifast"}[fast], func(b *testing.B) {
			for b.Loop() {
				if _, err := e.encode(newPicture(data, l), DefaultQuality); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
