package placeholder_test

import (
	"bytes"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"testing"

	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// coloured makes a JPEG of one bright colour.
func coloured(tb testing.TB, w, h int, ratio image.YCbCrSubsampleRatio, gray bool) []byte {
	tb.Helper()
	m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	for i := range m.Y {
		m.Y[i] = 200
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 90, 160
	}
	e, err := encode.NewPixelEncoder(encode.Options{Quality: 90, Gray: gray})
	if err != nil {
		tb.Fatal(err)
	}
	defer e.Close()
	out, err := e.EncodeImage(m)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func luma(tb testing.TB, data []byte) *image.Gray {
	tb.Helper()
	m, err := stdjpeg.Decode(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	g := image.NewGray(m.Bounds())
	for y := range g.Rect.Dy() {
		for x := range g.Rect.Dx() {
			v, _ := color.GrayModel.Convert(m.At(x, y)).(color.Gray)
			g.SetGray(x, y, v)
		}
	}
	return g
}

func TestStillIsDimKeepsSizeAndSamplingAndCarriesItsText(t *testing.T) {
	r := newRenderer(t)
	for name, live := range map[string][]byte{
		"4:2:0": coloured(t, 640, 480, image.YCbCrSubsampleRatio420, false),
		"4:2:2": coloured(t, 1280, 720, image.YCbCrSubsampleRatio422, false),
		"grey":  coloured(t, 321, 243, image.YCbCrSubsampleRatio420, true),
		"tiny":  coloured(t, 16, 16, image.YCbCrSubsampleRatio420, false),
	} {
		before, err := jpeg.Header(live)
		if err != nil {
			t.Fatal(err)
		}
		kept := bytes.Clone(live)
		with, err := r.Still(live, "Last picture, 14:03:22 — waking the camera", 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(live, kept) {
			t.Errorf("%s: the live picture was written to", name)
		}
		after, err := jpeg.Header(with)
		if err != nil || after.Width != before.Width || after.Height != before.Height || after.Components != before.Components {
			t.Errorf("%s: %+v became %+v, %v", name, before, after, err)
		}
		g := luma(t, with)
		if v := g.GrayAt(after.Width/2, after.Height/4).Y; v < 60 || v > 100 {
			t.Errorf("%s: the picture has luma %d of 200, want less than half", name, v)
		}
		bright := 0
		for _, v := range g.Pix {
			if v > 180 {
				bright++
			}
		}
		if name != "tiny" && bright < 100 || name == "tiny" && bright > 0 {
			t.Errorf("%s: %d bright pixels of text", name, bright)
		}
	}
}

func TestStillOfWhatIsNoPictureIsAnError(t *testing.T) {
	r := newRenderer(t)
	good := coloured(t, 64, 64, image.YCbCrSubsampleRatio420, false)
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("no picture"), "cut": good[:len(good)/2]} {
		if out, err := r.Still(data, "x", 0); err == nil {
			t.Errorf("%s: got %d bytes", name, len(out))
		}
	}
}

// go test -run '^$' -bench BenchmarkStill -benchmem ./pkg/placeholder.
func BenchmarkStill(b *testing.B) {
	r := newRenderer(b)
	live := coloured(b, 1280, 720, image.YCbCrSubsampleRatio422, false)
	for b.Loop() {
		if _, err := r.Still(live, "Last picture, 14:03:22 — waking the camera", 0); err != nil {
			b.Fatal(err)
		}
	}
}
