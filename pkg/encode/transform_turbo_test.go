//go:build cgo

package encode_test

import (
	"bytes"
	"image"
	"reflect"
	"slices"
	"testing"

	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// Coefficients that are all back in place decode to the same samples, all of
// them.
func TestTurningBackRestoresEverySample(t *testing.T) {
	t.Parallel()
	for name, odd := range fixtures(t) {
		even := transcode(t, newTranscoder(t, encode.Options{Quality: 95, Width: 160, Height: 96}), odd)
		whole := transform(t, encode.Rotate180, encode.Options{}, transform(t, encode.Rotate180, encode.Options{}, odd))
		for _, src := range [][]byte{even, whole} {
			for _, ways := range [][]encode.Transform{
				{encode.Rotate90, encode.Rotate90, encode.Rotate90, encode.Rotate90},
				{encode.Rotate180, encode.Rotate180},
				{encode.Rotate90, encode.Rotate270},
				{encode.FlipHorizontal, encode.FlipHorizontal},
				{encode.FlipVertical, encode.FlipVertical},
				{encode.FlipHorizontal, encode.FlipVertical, encode.Rotate180},
				{encode.Rotate90, encode.FlipHorizontal, encode.Rotate90, encode.FlipHorizontal},
			} {
				if (name == "411" || name == "410") && slices.ContainsFunc(ways, encode.Transform.SwapsSides) {
					continue // encoded anew
				}
				out := src
				for _, way := range ways {
					out = transform(t, way, encode.Options{}, out)
				}
				if !reflect.DeepEqual(samples(t, out), samples(t, src)) {
					t.Errorf("%s: not the same after %v", name, ways)
				}
			}
		}
		// What is left of an odd picture is exactly its beginning.
		got, want := decode(t, whole), decode(t, odd)
		if r := got.Bounds(); r.Dx() > 160 || r.Dx() < 128 || r.Dy() > 96 || r.Dy() < 80 {
			t.Errorf("%s: cut to %v", name, r)
		}
		if y, ok := got.(*image.YCbCr); ok {
			w, _ := want.(*image.YCbCr)
			for row := range y.Rect.Dy() {
				if !bytes.Equal(y.Y[row*y.YStride:][:y.Rect.Dx()], w.Y[row*w.YStride:][:y.Rect.Dx()]) {
					t.Errorf("%s: row %d changed", name, row)
					break
				}
			}
		}
	}
}

func samples(tb testing.TB, file []byte) []any {
	tb.Helper()
	switch m := decode(tb, file).(type) {
	case *image.YCbCr:
		return []any{m.Rect, m.SubsampleRatio, m.Y, m.Cb, m.Cr}
	case *image.Gray:
		return []any{m.Rect, m.Pix}
	case *image.RGBA:
		return []any{m.Rect, m.Pix}
	}
	tb.Fatal("unknown kind of image")
	return nil
}

func TestTransformTurnsTheSampling(t *testing.T) {
	t.Parallel()
	want := map[string]string{"4:2:2": "4:4:0", "4:4:0": "4:2:2", "4:2:0": "4:2:0", "4:4:4": "4:4:4", "4:0:0": "4:0:0"}
	for name, src := range fixtures(t) {
		before, err := jpeg.Header(src)
		if err != nil {
			t.Fatal(err)
		}
		after, err := jpeg.Header(transform(t, encode.Rotate90, encode.Options{}, src))
		if w, ok := want[before.Sampling]; ok && (err != nil || after.Sampling != w) {
			t.Errorf("%s: %s became %s, %v, want %s", name, before.Sampling, after.Sampling, err, w)
		}
		same, err := jpeg.Header(transform(t, encode.Rotate180, encode.Options{}, src))
		if err != nil || same.Sampling != before.Sampling || same.Components != before.Components || same.Progressive {
			t.Errorf("%s: %+v became %+v, %v", name, before, same, err)
		}
	}
}

func TestTransformAllocatesOnlyTheResult(t *testing.T) {
	src := photo(t, 320, 240)
	x := newTransformer(t, encode.Rotate90, encode.Options{})
	if n := testing.AllocsPerRun(50, func() { _, _ = x.Transform(src) }); n != 1 {
		t.Errorf("got %v allocations for a picture, want 1", n)
	}
}

func TestTransformShowsWhatIsLeftOfDamagedData(t *testing.T) {
	t.Parallel()
	src := photo(t, 320, 240)
	x := newTransformer(t, encode.Rotate90, encode.Options{})
	out, err := x.Transform(append(bytes.Clone(src[:len(src)/2]), 0xff, 0xd9))
	if err != nil || !x.Damaged() {
		t.Fatalf("half a picture: %v, damaged %v", err, x.Damaged())
	}
	if r := decode(t, out).Bounds(); r.Dx() != 240 || r.Dy() != 320 {
		t.Errorf("got %v", r)
	}
	if _, err := x.Transform(src); err != nil || x.Damaged() {
		t.Errorf("a whole picture after half a one: %v, damaged %v", err, x.Damaged())
	}
}

// The steps of the coefficients change places with them.
func TestTransformTransposesTheQuantizationTables(t *testing.T) {
	t.Parallel()
	src := transcode(t, newTranscoder(t, encode.Options{Quality: 30}), photo(t, 64, 64))
	before := tables(t, src)
	for _, way := range transforms {
		after := tables(t, transform(t, way, encode.Options{}, src))
		for i := range 2 * 64 {
			n, y, x := i/64, i/8%8, i%8
			want := before[n][y][x]
			if way.SwapsSides() {
				want = before[n][x][y]
			}
			if after[n][y][x] != want {
				t.Fatalf("%s: table %d has %d at %d,%d, want %d", way, n, after[n][y][x], x, y, want)
			}
		}
	}
	if before[0][0][7] == before[0][7][0] {
		t.Error("the table is no test: it is symmetric")
	}
}

// tables reads the two quantization tables of a file, each in a segment of its
// own; they are stored along the diagonals, in turns down and up.
func tables(tb testing.TB, file []byte) (t [2][8][8]byte) {
	tb.Helper()
	for n := range t {
		at := bytes.Index(file, []byte{0xff, 0xdb, 0, 67, byte(n)})
		if at < 0 {
			tb.Fatalf("no table %d", n)
		}
		in := file[at+5:]
		for sum := range 15 {
			for k := max(0, sum-7); k <= min(sum, 7); k++ {
				x, y := k, sum-k
				if sum%2 == 1 {
					x, y = y, x
				}
				t[n][y][x], in = in[0], in[1:]
			}
		}
	}
	return t
}
