package encode_test

import (
	"bytes"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

var transforms = []encode.Transform{
	encode.TransformNone, encode.Rotate90, encode.Rotate180, encode.Rotate270, encode.FlipHorizontal, encode.FlipVertical,
	encode.Rotate90.Then(encode.FlipHorizontal), encode.Rotate90.Then(encode.FlipVertical),
}

func newTransformer(tb testing.TB, t encode.Transform, o encode.Options) *encode.Transformer {
	tb.Helper()
	x, err := encode.NewTransformer(t, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(x.Close)
	return x
}

func transform(tb testing.TB, t encode.Transform, o encode.Options, src []byte) []byte {
	tb.Helper()
	x := newTransformer(tb, t, o)
	out, err := x.Transform(src)
	if err != nil {
		tb.Fatalf("%s: %v", t, err)
	}
	info, err := jpeg.Header(out)
	if w, h := x.Size(); err != nil || info.Width != w || info.Height != h {
		tb.Errorf("%s: header tells %+v, %v, the transformer %dx%d", t, info, err, w, h)
	}
	return out
}

// place says where the pixel x, y of a picture of w by h is after t.
func place(t encode.Transform, x, y, w, h int) (int, int) {
	for word := range strings.SplitSeq(t.String(), ",") {
		switch word {
		case "90":
			x, y, w, h = h-1-y, x, h, w
		case "180":
			x, y = w-1-x, h-1-y
		case "270":
			x, y, w, h = y, w-1-x, h, w
		case "hflip":
			x = w - 1 - x
		case "vflip":
			y = h - 1 - y
		}
	}
	return x, y
}

// mcu is the size of the whole blocks of a file.
func mcu(tb testing.TB, src []byte) (w, h int) {
	tb.Helper()
	info, err := jpeg.Header(src)
	if err != nil {
		tb.Fatal(err)
	}
	size, ok := map[string][2]int{
		"4:0:0": {8, 8}, "4:4:4": {8, 8}, "4:2:2": {16, 8}, "4:2:0": {16, 16}, "4:4:0": {8, 16}, "4:1:1": {32, 8}, "4:1:0": {32, 16},
	}[info.Sampling]
	if !ok {
		tb.Fatalf("unexpected sampling %q", info.Sampling)
	}
	return size[0], size[1]
}

// cut is the size that is left of w by h before t.
func cut(t encode.Transform, w, h, mw, mh int) (int, int) {
	x, y := place(t, 0, 0, w, h)
	if t.SwapsSides() {
		x, y = y, x
	}
	// The first pixel went to the end of an axis that is mirrored.
	if x != 0 {
		w -= w % mw
	}
	if y != 0 {
		h -= h % mh
	}
	return w, h
}

// The reference moves pixels; blocks are transformed by an inverse DCT that is
// not perfectly symmetric, so that levels may differ by a few. The test picture
// is a ramp, so that a wrong place shows.
func TestTransformMovesPixelsOfEveryKindOfJPEG(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Quality = 95
		for name, odd := range fixtures(t) {
			even := transcode(t, newTranscoder(t, encode.Options{Quality: 95, Width: 160, Height: 96}), odd)
			for _, src := range [][]byte{odd, even} {
				before := decode(t, src)
				w, h := before.Bounds().Dx(), before.Bounds().Dy()
				mw, mh := mcu(t, src)
				for _, way := range transforms {
					cw, ch := cut(way, w, h, mw, mh)
					after := decode(t, transform(t, way, o, guarded(t, src)))
					ow, oh := cw, ch
					if way.SwapsSides() {
						ow, oh = ch, cw
					}
					if b := after.Bounds(); b.Dx() != ow || b.Dy() != oh {
						t.Errorf("%s %dx%d %s: got %v, want %dx%d", name, w, h, way, b, ow, oh)
						continue
					}
					worst := 0
					for y := 0; y < ch; y += 3 {
						for x := 0; x < cw; x += 3 {
							tx, ty := place(way, x, y, cw, ch)
							worst = max(worst, far(after, tx, ty, colour(before, x, y)))
						}
					}
					if worst > 12 {
						t.Errorf("%s %dx%d %s: pixels differ by %d", name, w, h, way, worst)
					}
				}
			}
		}
	})
}

func colour(m image.Image, x, y int) rgb {
	r, g, b, _ := m.At(x, y).RGBA()
	return rgb{int(r >> 8), int(g >> 8), int(b >> 8)}
}

func TestTransformsCompose(t *testing.T) {
	t.Parallel()
	for _, a := range transforms {
		for _, b := range transforms {
			got := a.Then(b)
			x, y := place(a, 2, 5, 30, 20)
			w, h := 30, 20
			if a.SwapsSides() {
				w, h = 20, 30
			}
			x, y = place(b, x, y, w, h)
			if gx, gy := place(got, 2, 5, 30, 20); gx != x || gy != y {
				t.Errorf("%s then %s is called %s, which takes the pixel to %d,%d, not %d,%d", a, b, got, gx, gy, x, y)
			}
		}
		if back, err := encode.ParseTransform(a.String()); err != nil || back != a {
			t.Errorf("%s came back as %s, %v", a, back, err)
		}
	}
}

func TestParseTransform(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]encode.Transform{
		"": encode.TransformNone, "none": encode.TransformNone, " 90 ": encode.Rotate90, "180": encode.Rotate180, "270": encode.Rotate270,
		"HFLIP": encode.FlipHorizontal, "vflip": encode.FlipVertical, "hflip,vflip": encode.Rotate180, "90, 90": encode.Rotate180,
		"90,90,90": encode.Rotate270, "270,90": encode.TransformNone, "hflip,90": encode.Rotate90.Then(encode.FlipVertical),
	} {
		if got, err := encode.ParseTransform(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"45", "90;90", ",", "90,", "flip", "-90"} {
		if got, err := encode.ParseTransform(text); err == nil || got != encode.TransformNone ||
			!strings.Contains(err.Error(), "use none, 90, 180, 270, hflip or vflip") {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestTransformOfNothingReturnsTheInput(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		src := fixtures(t)["420"]
		if out := transform(t, encode.TransformNone, o, src); &out[0] != &src[0] || len(out) != len(src) {
			t.Error("not the input")
		}
	})
}

func TestTransformRefusesWhatItCannotTurn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		small := transcode(t, newTranscoder(t, encode.Options{Width: 15, Height: 40}), fixtures(t)["420"])
		x := newTransformer(t, encode.FlipHorizontal, o)
		for name, tt := range map[string]struct {
			src  []byte
			text string
		}{
			"nothing":  {nil, "transform: jpeg byte 0 of 0: empty"},
			"no JPEG":  {bytes.Repeat([]byte("x"), 500), "not a JPEG picture"},
			"no block": {small, "transform hflip of JPEG 15x40:"},
		} {
			out, err := x.Transform(tt.src)
			if w, h := x.Size(); err == nil || !strings.Contains(err.Error(), tt.text) || out != nil || w != 0 || h != 0 {
				t.Errorf("%s: got %d bytes, %dx%d, %v", name, len(out), w, h, err)
			}
		}
		if _, err := x.Transform(fixtures(t)["420"]); err != nil {
			t.Errorf("after errors: %v", err)
		}
		// Along the other axis there is a whole block.
		transform(t, encode.FlipVertical, o, small)
		x.Close()
		x.Close()
		if _, err := x.Transform(small); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("closed: got %v", err)
		}
	})
	if _, err := encode.NewTransformer(8, encode.Options{}); err == nil {
		t.Error("an unknown transform was accepted")
	}
	if _, err := encode.NewTransformer(encode.Rotate90, encode.Options{Quality: 101}); err == nil {
		t.Error("quality 101 was accepted")
	}
}

// Cameras leave the tables out; jpeg.Clean puts them in.
func TestTransformTakesWhatCleanMakes(t *testing.T) {
	t.Parallel()
	src := photo(t, 320, 240)
	bare := bytes.Clone(src)
	for {
		at := bytes.Index(bare, []byte{0xff, 0xc4})
		if at < 0 {
			break
		}
		bare = slices.Delete(bare, at, at+2+int(bare[at+2])<<8+int(bare[at+3]))
	}
	p, err := jpeg.Clean(bare)
	if err != nil || !p.Tables {
		t.Fatalf("got %+v, %v", p.Info, err)
	}
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		if !bytes.Equal(transform(t, encode.Rotate90, o, p.Data), transform(t, encode.Rotate90, o, src)) {
			t.Error("another picture than with tables")
		}
	})
}

func TestTransformOfBrokenFilesGivesAnErrorOrAPicture(t *testing.T) {
	t.Parallel()
	src := photo(t, 96, 64)
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		x := newTransformer(t, encode.Rotate90, o)
		for at := 2; at < len(src); at += 17 {
			for _, broken := range [][]byte{src[:at], slices.Concat(src[:at], []byte{src[at] ^ 0xff}, src[at+1:])} {
				out, err := x.Transform(guarded(t, broken))
				if err == nil {
					if _, err = jpeg.Header(out); err != nil {
						t.Fatalf("byte %d: %v", at, err)
					}
				}
			}
		}
		if _, err := x.Transform(src); err != nil || x.Damaged() {
			t.Errorf("the whole file: %v, damaged %v", err, x.Damaged())
		}
	})
}

// Run with
// go test -run '^$' -fuzz FuzzTransform ./pkg/encode .
func FuzzTransform(f *testing.F) {
	for _, src := range fixtures(f) {
		f.Add(src, uint8(1))
		f.Add(src[:len(src)*2/3], uint8(7))
		f.Add(src, uint8(14))
	}
	f.Fuzz(func(t *testing.T, src []byte, way uint8) {
		info, err := jpeg.Header(src)
		if err == nil && info.Width*info.Height > 1<<20 { // time
			return
		}
		x := newTransformer(t, encode.Transform(way&7), encode.Options{Portable: way&8 != 0})
		if len(src) > 0 {
			src = guarded(t, src)
		}
		out, err := x.Transform(src)
		if err != nil || way&7 == 0 {
			return
		}
		got, err := jpeg.Clean(out)
		if err != nil {
			if len(out) < jpeg.MinSize {
				return
			}
			t.Fatalf("made a file that is not accepted: %v", err)
		}
		if w, h := x.Size(); got.Width != w || got.Height != h {
			t.Errorf("made %dx%d, Size tells %dx%d", got.Width, got.Height, w, h)
		}
	})
}

// A camera's 1280x720 picture, 4:2:2. Run with
// go test -run '^$' -bench Transform -benchmem ./pkg/encode .
func BenchmarkTransform(b *testing.B) {
	src := photo(b, 1280, 720)
	for _, way := range []encode.Transform{encode.Rotate90, encode.Rotate180, encode.FlipHorizontal} {
		for _, o := range []encode.Options{{}, {Portable: true}} {
			x := newTransformer(b, way, o)
			b.Run(way.String()+"/"+strings.ReplaceAll(x.Name(), "/", "-"), func(b *testing.B) {
				b.ReportAllocs()
				report := reportCPU(b)
				for b.Loop() {
					if _, err := x.Transform(src); err != nil {
						b.Fatal(err)
					}
				}
				report()
				b.ReportMetric(float64(len(src))/1000, "KB/frame")
			})
		}
	}
}
