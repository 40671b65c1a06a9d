package m2m

import (
	"bytes"
	"image"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device/jpegscan"
)

func file(tb testing.TB, w, h int) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420), nil); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestFinishGivesTheFrameHeaderTheSizeOfThePicture(t *testing.T) {
	for _, tt := range []struct {
		w, h, wantW, wantH int
		err                string
	}{
		{64, 48, 64, 48, ""},
		{64, 1088, 64, 1080, ""},
		{64, 48, 50, 33, ""},
		{64, 48, 64, 32, "is 64x48 pixels"}, // one block less
		{64, 48, 48, 48, "is 64x48 pixels"},
		{64, 48, 64, 49, "is 64x48 pixels"},
	} {
		data, err := finish(append(file(t, tt.w, tt.h), 0, 0, 0), tt.wantW, tt.wantH)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: got %v", tt, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil || img.Bounds().Size() != image.Pt(tt.wantW, tt.wantH) {
			t.Errorf("%+v: got %v, %v", tt, img.Bounds(), err)
		}
		if !bytes.HasSuffix(data, []byte{0xFF, markEOI}) {
			t.Errorf("%+v: ends with % x", tt, data[len(data)-4:])
		}
	}
}

func FuzzFinish(f *testing.F) {
	f.Add(file(f, 64, 48), 50, 40)
	f.Add([]byte{0xFF, markSOI, 0xFF, markSOF0, 0, 8, 8, 0, 1, 0, 1, 200, 0xFF, markSOS, 0, 2, 0xFF, markEOI}, 1, 2)
	f.Fuzz(func(t *testing.T, data []byte, w, h int) {
		w, h = w&0xFFFF, h&0xFFFF
		out, err := finish(bytes.Clone(data), w, h)
		if err != nil {
			return
		}
		if gotW, gotH, ok := jpegscan.Size(out); !ok || gotW != w || gotH != h {
			t.Errorf("result is %dx%d, %v, want %dx%d", gotW, gotH, ok, w, h)
		}
	})
}
