package jpegscan_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/jpegscan"
)

func jpg(n uint32) []byte { return devicetest.JPEG(n, 64, 48) }

// withSegment puts a COM segment with this content behind the SOI marker.
func withSegment(pic, content []byte) []byte {
	out := append([]byte{}, pic[:2]...)
	out = append(out, 0xFF, 0xFE, byte((len(content)+2)>>8), byte(len(content)+2))
	return append(append(out, content...), pic[2:]...)
}

func TestWalkerMeasuresAPictureThatArrivesByteByByte(t *testing.T) {
	thumbnail := withSegment(jpg(1), jpg(2))
	for name, pic := range map[string][]byte{"plain": jpg(1), "with a thumbnail": thumbnail} {
		data := append(bytes.Clone(pic), "trailing\xff\xd8"...)
		var w jpegscan.Walker
		for n := range len(pic) {
			if r := w.Walk(data[:n]); r != jpegscan.More {
				t.Fatalf("%s: %d of %d bytes: got %v, want More", name, n, len(pic), r)
			}
		}
		if r := w.Walk(data); r != jpegscan.Whole || w.End() != len(pic) {
			t.Errorf("%s: got %v with end %d, want Whole with %d", name, r, w.End(), len(pic))
		}
		if x, y := w.Size(); x != 64 || y != 48 {
			t.Errorf("%s: size %dx%d, want 64x48", name, x, y)
		}
	}
}

func TestWalkerRefusesWhatIsNoPicture(t *testing.T) {
	pic := jpg(1)
	for _, tc := range []struct {
		name string
		data []byte
		end  int
	}{
		{"text", []byte("hello"), 1},
		{"no marker behind SOI", []byte("\xff\xd8hello"), 2},
		{"nothing between SOI and EOI", []byte("\xff\xd8\xff\xd9"), 2},
		{"segment without length", []byte("\xff\xd8\xff\xe0\x00\x01"), 2},
		{"short frame header", []byte("\xff\xd8\xff\xc0\x00\x06aaaaaa"), 2},
		{"next picture begins", append(bytes.Clone(pic[:len(pic)-10]), pic...), len(pic) - 10},
	} {
		var w jpegscan.Walker
		if r := w.Walk(tc.data); r != jpegscan.Broken || w.End() != tc.end {
			t.Errorf("%s: got %v with end %d, want Broken with %d", tc.name, r, w.End(), tc.end)
		}
	}
}

func TestInsideTellsSegmentsFromPictureData(t *testing.T) {
	pic := withSegment(jpg(1), []byte("--frame"))
	var w jpegscan.Walker
	at := bytes.Index(pic, []byte("--frame"))
	w.Walk(pic[:at])
	if !w.Inside(at) || !w.Inside(at+6) || w.Inside(at+7) {
		t.Error("the segment's content does not count as inside")
	}
	w.Walk(pic[:len(pic)-2])
	if w.Inside(len(pic) - 4) {
		t.Error("entropy-coded data counts as inside")
	}
}

func TestSizeReadsTheFrameHeaderOnly(t *testing.T) {
	pic := devicetest.JPEG(1, 640, 368)
	sof := bytes.Index(pic, []byte{0xFF, 0xC0})
	for _, tc := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"whole", pic, true},
		{"up to the size", pic[:sof+9], true},
		{"a byte less", pic[:sof+8], false},
		{"empty", nil, false},
		{"text", []byte("GIF89a"), false},
	} {
		if w, h, ok := jpegscan.Size(tc.data); ok != tc.ok || ok && (w != 640 || h != 368) {
			t.Errorf("%s: got %dx%d, %v", tc.name, w, h, ok)
		}
	}
}

func TestSplitterFindsThePicturesBetweenJunk(t *testing.T) {
	a, b := jpg(1), withSegment(jpg(2), jpg(3))
	huge := withSegment(jpg(4), make([]byte, 60000))
	for _, tc := range []struct {
		name string
		in   [][]byte
		want [][]byte
	}{
		{"back to back", [][]byte{a, b, a}, [][]byte{a, b, a}},
		{"junk around", [][]byte{[]byte("--x\r\n\xff\xd8\xff"), a, []byte("\r\n\xff\xff\xd8"), b, []byte("\xff")}, [][]byte{a, b}},
		{"cut off by the next", [][]byte{a[:len(a)/2], b}, [][]byte{b}},
		{"cut off by the end", [][]byte{a, b[:len(b)-1]}, [][]byte{a, jpg(3)}},
		{"over the limit", [][]byte{a, huge, b}, [][]byte{a, b}},
		{"nothing", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := bytes.Join(tc.in, nil)
			for name, r := range map[string]io.Reader{
				"whole": bytes.NewReader(in), "bytewise": iotest.OneByteReader(bytes.NewReader(in)), "data with EOF": iotest.DataErrReader(bytes.NewReader(in)),
			} {
				s := jpegscan.NewSplitter(jpegscan.NewWindow(r, 512), 20000)
				for i, want := range tc.want {
					got, width, height, err := s.Next(t.Context())
					if err != nil || !bytes.Equal(got, want) || width != 64 || height != 48 {
						t.Fatalf("%s, picture %d: got %d bytes, %dx%d, %v, want %d bytes", name, i, len(got), width, height, err, len(want))
					}
				}
				if got, _, _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
					t.Errorf("%s: at the end got %d bytes, %v, want EOF", name, len(got), err)
				}
			}
		})
	}
}

func TestWindowPassesOnErrorsAndContext(t *testing.T) {
	broken := errors.New("cable cut")
	w := jpegscan.NewWindow(io.MultiReader(bytes.NewReader([]byte("ab")), iotest.ErrReader(broken)), 512)
	if err := w.Fill(t.Context()); err != nil || string(w.Bytes()) != "ab" {
		t.Errorf("got %q, %v", w.Bytes(), err)
	}
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := w.Fill(ctx); !errors.Is(err, cause) {
		t.Errorf("with an ended context: got %v, want its cause", err)
	}
	for range 2 {
		if err := w.Fill(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
	if string(w.Bytes()) != "ab" {
		t.Errorf("after errors: got %q", w.Bytes())
	}
	idle := jpegscan.NewWindow(idleReader{}, 512)
	if err := idle.Fill(t.Context()); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader that gives nothing: got %v, want ErrNoProgress", err)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestWindowKeepsBytesInOrderWhileTheyAreConsumed(t *testing.T) {
	var in []byte
	for i := range 300000 {
		in = append(in, byte(i), byte(i>>8), byte(i>>16))
	}
	w := jpegscan.NewWindow(iotest.HalfReader(bytes.NewReader(in)), 4096)
	var out []byte
	for step := 1; ; step = (step*7 + 3) % 9001 {
		for len(w.Bytes()) < step {
			if err := w.Fill(t.Context()); err != nil {
				out = append(out, w.Bytes()...)
				if !bytes.Equal(in, out) {
					t.Fatalf("%d bytes came out of %d, or others", len(out), len(in))
				}
				return
			}
		}
		out = append(out, w.Bytes()[:step]...)
		w.Skip(step)
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add(bytes.Join([][]byte{jpg(1), []byte("junk"), jpg(2)[:80], jpg(3)}, nil), 4)
	f.Add(withSegment(jpg(1), jpg(2)), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		all := func(r io.Reader) (pics [][]byte) {
			s := jpegscan.NewSplitter(jpegscan.NewWindow(r, 512), 1<<16)
			for {
				data, width, height, err := s.Next(t.Context())
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Fatalf("unknown error %v", err)
					}
					return pics
				}
				if w, h, ok := jpegscan.Size(data); !ok || w != width || h != height {
					t.Fatalf("Size says %dx%d, %v, the splitter %dx%d", w, h, ok, width, height)
				}
				if !bytes.Contains(in, data) {
					t.Fatal("the picture is not in the input")
				}
				pics = append(pics, bytes.Clone(data))
			}
		}
		whole := all(bytes.NewReader(in))
		cut = min(max(cut, 0), len(in))
		pieces := all(io.MultiReader(bytes.NewReader(in[:cut]), iotest.OneByteReader(bytes.NewReader(in[cut:]))))
		if len(whole) != len(pieces) {
			t.Fatalf("%d pictures at once, %d in pieces", len(whole), len(pieces))
		}
	})
}

// BenchmarkWalker measures looking for the end of one picture of 64 KiB:
// go test -bench Walker ./device/jpegscan.
func BenchmarkWalker(b *testing.B) {
	pic := jpg(1)
	entropy := bytes.Repeat([]byte("\x12\x34\x56\x78\x9a\xbc\xde\xf0\xff\x00\x11\x22\x33\x44\x55\x66"), 4096)
	at := len(pic) - 2
	pic = append(pic[:at:at], append(entropy, 0xFF, 0xD9)...)
	b.SetBytes(int64(len(pic)))
	b.ReportAllocs()
	for b.Loop() {
		var w jpegscan.Walker
		if w.Walk(pic) != jpegscan.Whole {
			b.Fatal("not whole")
		}
	}
}
