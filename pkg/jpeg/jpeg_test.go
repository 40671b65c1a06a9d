package jpeg_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// picture makes a noisy JPEG, so that its data does not repeat.
func picture(tb testing.TB, w, h, quality int) []byte {
	tb.Helper()
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Y {
		m.Y[i] = uint8(r.Uint32())
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(r.Uint32()), uint8(r.Uint32())
	}
	return encode(tb, m, quality)
}

func encode(tb testing.TB, m image.Image, quality int) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := stdjpeg.Encode(&b, m, &stdjpeg.Options{Quality: quality}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// withoutTables removes all DHT segments, as Motion-JPEG cameras do.
func withoutTables(tb testing.TB, b []byte) []byte {
	tb.Helper()
	out := append([]byte(nil), b[:2]...)
	for pos := 2; ; {
		n := 2 + int(b[pos+2])<<8 + int(b[pos+3])
		if b[pos+1] == 0xda {
			return append(out, b[pos:]...)
		}
		if b[pos+1] != 0xc4 {
			out = append(out, b[pos:pos+n]...)
		}
		pos += n
	}
}

// insert puts a segment behind SOI.
func insert(b []byte, marker byte, body []byte) []byte {
	n := len(body) + 2
	seg := append([]byte{0xff, marker, byte(n >> 8), byte(n)}, body...)
	return cat(b[:2], seg, b[2:])
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// patch returns a copy with b[find+off] replaced, where find is a marker.
func patch(tb testing.TB, b []byte, marker byte, off int, v ...byte) []byte {
	tb.Helper()
	i := bytes.Index(b, []byte{0xff, marker})
	if i < 0 {
		tb.Fatalf("no marker %02x", marker)
	}
	out := bytes.Clone(b)
	copy(out[i+off:], v)
	return out
}

func TestCleanCopiesIntactPictureByteForByte(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{16, 16}, {17, 33}, {641, 361}} {
		src := picture(t, size[0], size[1], 80)
		p, err := jpeg.Clean(src)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Data, src) || cap(p.Data) > len(src)+len(src)/4 {
			t.Errorf("%v: got %d bytes (capacity %d), want an equal copy of %d", size, len(p.Data), cap(p.Data), len(src))
		}
		if &p.Data[0] == &src[0] {
			t.Errorf("%v: the result shares memory with the source", size)
		}
		want := jpeg.Info{Width: size[0], Height: size[1], Components: 3, Sampling: "4:2:0", HasHuffman: true}
		if p.Info != want || p.Trimmed != 0 || p.Completed || p.Tables {
			t.Errorf("%v: got %+v, want %+v and nothing repaired", size, p, want)
		}
	}
}

func TestCleanRepairs(t *testing.T) {
	t.Parallel()
	good := picture(t, 48, 32, 80)
	bare := withoutTables(t, good)
	noEOI := good[:len(good)-2]
	tests := []struct {
		name      string
		src, want []byte // want nil: only decodable like good
		trimmed   int
		completed bool
		tables    bool
	}{
		{"one zero of padding", cat(good, make([]byte, 1)), good, 1, false, false},
		{"page of padding", cat(good, make([]byte, 4096)), good, 4096, false, false},
		{"junk behind the end", cat(good, []byte("junk\xff\xd8 and more")), good, 15, false, false},
		{"junk and padding", cat(good, []byte{1, 2, 3, 0, 0, 0}), good, 6, false, false},
		{"end overwritten by two zeros", cat(noEOI, make([]byte, 2)), good, 2, true, false},
		{"end overwritten by many zeros", cat(noEOI, make([]byte, 999)), good, 999, true, false},
		{"no Huffman tables", bare, nil, 0, false, true},
		{"no Huffman tables and padding", cat(bare, make([]byte, 5)), nil, 5, false, true},
		{"no Huffman tables and no end", cat(bare[:len(bare)-2], make([]byte, 5)), nil, 5, true, true},
		{"AVI1 segment, no Huffman tables", insert(bare, 0xe0, []byte("AVI1\x00\x00\x00\x00")), nil, 0, false, true},
		{"fill bytes before the frame header", func() []byte {
			i := bytes.Index(bare, []byte{0xff, 0xc0})
			return cat(bare[:i], []byte{0xff, 0xff, 0xff}, bare[i:])
		}(), nil, 0, false, true},
	}
	ref, err := stdjpeg.Decode(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := bytes.Clone(tt.src)
			p, err := jpeg.Clean(tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, tt.src) {
				t.Error("the source was written to")
			}
			if tt.want != nil && !bytes.Equal(p.Data, tt.want) {
				t.Errorf("got %d bytes that differ from the %d wanted", len(p.Data), len(tt.want))
			}
			if p.Trimmed != tt.trimmed || p.Completed != tt.completed || p.Tables != tt.tables {
				t.Errorf("got trimmed %d, completed %v, tables %v; want %d, %v, %v",
					p.Trimmed, p.Completed, p.Tables, tt.trimmed, tt.completed, tt.tables)
			}
			if !p.HasHuffman {
				t.Error("HasHuffman is not set for the result")
			}
			m, err := stdjpeg.Decode(bytes.NewReader(p.Data))
			if err != nil {
				t.Fatal(err)
			}
			a, b := m.(*image.YCbCr), ref.(*image.YCbCr)
			if !bytes.Equal(a.Y, b.Y) || !bytes.Equal(a.Cb, b.Cb) || !bytes.Equal(a.Cr, b.Cr) {
				t.Error("decoded pixels differ from the intact picture's")
			}
		})
	}
}

func TestAdoptCopiesOnlyWhatItRepairs(t *testing.T) {
	good := picture(t, 64, 48, 80)
	for name, tt := range map[string]struct {
		src  []byte
		same bool
	}{
		"intact":         {good, true},
		"padded":         {cat(good, make([]byte, 40)), true},
		"without tables": {withoutTables(t, good), false},
		"without end":    {cat(good[:len(good)-2], make([]byte, 40)), false},
	} {
		src := bytes.Clone(tt.src)
		got, err := jpeg.Adopt(src)
		want, werr := jpeg.Clean(tt.src)
		if err != nil || werr != nil {
			t.Fatalf("%s: %v, %v", name, err, werr)
		}
		if !bytes.Equal(got.Data, want.Data) || got.Info != want.Info || got.Trimmed != want.Trimmed || got.Tables != want.Tables || got.Completed != want.Completed {
			t.Errorf("%s: Adopt gives something else than Clean", name)
		}
		if same := &got.Data[0] == &src[0]; same != tt.same || cap(got.Data) != len(got.Data) && same {
			t.Errorf("%s: same memory %v, want %v", name, same, tt.same)
		}
		if !bytes.Equal(src, tt.src) {
			t.Errorf("%s: the source was written to", name)
		}
	}
	if _, err := jpeg.Adopt(good[:len(good)-2]); !errors.Is(err, jpeg.ErrTruncated) {
		t.Errorf("cut picture: got %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = jpeg.Adopt(good) }); n != 0 {
		t.Errorf("%v allocations for an intact picture", n)
	}
}

func TestInsertedTablesAreThoseOfAnnexK(t *testing.T) {
	t.Parallel()
	good := picture(t, 48, 32, 80) // image/jpeg uses the tables of Annex K, too
	i := bytes.Index(good, []byte{0xff, 0xc4})
	want := good[i : i+2+int(good[i+2])<<8+int(good[i+3])]
	p, err := jpeg.Clean(withoutTables(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(p.Data, want) {
		t.Error("the inserted DHT segment is not that of image/jpeg")
	}
}

func TestCleanIgnoresThumbnails(t *testing.T) {
	t.Parallel()
	thumb := picture(t, 16, 16, 50)
	bare := withoutTables(t, picture(t, 64, 48, 80))
	src := insert(bare, 0xe1, cat([]byte("Exif\x00\x00"), thumb))
	p, err := jpeg.Clean(src)
	if err != nil {
		t.Fatal(err)
	}
	if p.Width != 64 || p.Height != 48 || !p.Tables {
		t.Errorf("got %+v, want 64x48 with tables added", p.Info)
	}
	// The thumbnail's end is not the picture's.
	cut := src[:len(src)-2]
	if _, err := jpeg.Clean(cut); !errors.Is(err, jpeg.ErrTruncated) {
		t.Errorf("without its own end: got %v, want ErrTruncated", err)
	}
}

func TestCleanRefuses(t *testing.T) {
	t.Parallel()
	good := picture(t, 48, 32, 80)
	sos := bytes.Index(good, []byte{0xff, 0xda})
	tests := []struct {
		name string
		src  []byte
		want error
		text string
	}{
		{"nothing", nil, jpeg.ErrEmpty, "byte 0 of 0"},
		{"127 bytes", good[:127], jpeg.ErrEmpty, "at least 128 bytes"},
		{"zeros", make([]byte, 5000), jpeg.ErrNotJPEG, "00 00 instead of ff d8"},
		{"zero in front", cat([]byte{0}, good), jpeg.ErrNotJPEG, "byte 0 of"},
		{"text", bytes.Repeat([]byte("garbage "), 100), jpeg.ErrNotJPEG, "67 61 instead"},
		{"half a picture", good[:len(good)/2+sos/2], jpeg.ErrTruncated, "no end marker"},
		{"end marker cut in half", good[:len(good)-1], jpeg.ErrTruncated, "no end marker"},
		{"no end and a single zero", cat(good[:len(good)-2], []byte{0}), jpeg.ErrTruncated, "no end marker"},
		{"header only", good[:sos], jpeg.ErrTruncated, "ends before the picture data"},
		{"inside a segment", good[:sos-7], jpeg.ErrTruncated, "7 bytes more"},
		{"no picture data", cat(good[:sos+14], []byte{0xff, 0xd9}), jpeg.ErrTruncated, "no end marker"},
		{"picture data of zeros only", cat(good[:sos+14], make([]byte, 500)), jpeg.ErrTruncated, "no end marker"},
		{"stray byte between segments", cat(good[:2], []byte{7}, good[2:]), jpeg.ErrMalformed, "byte 2 of"},
		{"length 1", patch(t, good, 0xdb, 2, 0, 1), jpeg.ErrMalformed, "length 1"},
		{"width 0", patch(t, good, 0xc0, 7, 0, 0), jpeg.ErrMalformed, "size 0x32"},
		{"height 0", patch(t, good, 0xc0, 5, 0, 0), jpeg.ErrMalformed, "size 48x0"},
		{"12 bits", patch(t, good, 0xc0, 4, 12), jpeg.ErrUnsupported, "12 bits"},
		{"wrong component count", patch(t, good, 0xc0, 9, 2), jpeg.ErrMalformed, "frame header of 15 bytes"},
		{"sampling 3x1", patch(t, good, 0xc0, 11, 0x31), jpeg.ErrUnsupported, "3x1"},
		{"sampling 0x1", patch(t, good, 0xc0, 11, 0x01), jpeg.ErrMalformed, "0x1"},
		{"MCU of 16 blocks", patch(t, good, 0xc0, 11, 0x42, 0, 2, 0x22, 1, 3, 0x22), jpeg.ErrUnsupported, "4x2, 2x2, 2x2"},
		{"same component twice", patch(t, good, 0xc0, 13, 1), jpeg.ErrMalformed, "component 1 occurs twice"},
		{"lossless", patch(t, good, 0xc0, 1, 0xc3), jpeg.ErrUnsupported, "marker c3"},
		{"arithmetic", patch(t, good, 0xc0, 1, 0xc9), jpeg.ErrUnsupported, "marker c9"},
		{"no frame header", patch(t, good, 0xc0, 1, 0xfe), jpeg.ErrMalformed, "without a frame header"},
		{"no quantisation tables", patch(t, good, 0xdb, 1, 0xfe), jpeg.ErrMalformed, "table 0 is missing"},
		{"broken quantisation table", patch(t, good, 0xdb, 4, 0x27), jpeg.ErrMalformed, "broken quantisation"},
		{"broken Huffman table", patch(t, good, 0xc4, 5, 0xff, 0xff), jpeg.ErrMalformed, "broken Huffman"},
		{"scan of an unknown component", patch(t, good, 0xda, 5, 9), jpeg.ErrMalformed, "component 9"},
		{"progressive without tables", patch(t, withoutTables(t, good), 0xc0, 1, 0xc2), jpeg.ErrMalformed, "without Huffman"},
		{"frame header twice", insert(good, 0xc0, good[bytes.Index(good, []byte{0xff, 0xc0})+4:][:15]), jpeg.ErrMalformed, "second frame header"},
		{"second SOI", cat(good[:2], good), jpeg.ErrMalformed, "second picture"},
		{"restart marker in the header", cat(good[:2], []byte{0xff, 0xd3}, good[2:]), jpeg.ErrMalformed, "marker d3"},
		{"end before the data", cat(good[:2], []byte{0xff, 0xd9}, good[2:]), jpeg.ErrMalformed, "before its data"},
		{"restart interval of 3 bytes", insert(good, 0xdd, []byte{0, 1, 2}), jpeg.ErrMalformed, "restart interval"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := jpeg.Clean(tt.src)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v (%d bytes), want %v", err, len(p.Data), tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q does not say %q", err, tt.text)
			}
			if p.Data != nil {
				t.Error("data returned beside the error")
			}
		})
	}
}

func TestCleanNeverAcceptsACutPicture(t *testing.T) {
	t.Parallel()
	good := picture(t, 48, 32, 60)
	for n := range len(good) {
		if p, err := jpeg.Clean(good[:n]); err == nil && !p.Completed {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(good))
		}
	}
}

func TestHeaderReportsSampling(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[image.YCbCrSubsampleRatio]string{
		image.YCbCrSubsampleRatio444: "4:4:4", image.YCbCrSubsampleRatio422: "4:2:2", image.YCbCrSubsampleRatio420: "4:2:0",
		image.YCbCrSubsampleRatio440: "4:4:0", image.YCbCrSubsampleRatio411: "4:1:1", image.YCbCrSubsampleRatio410: "4:1:0",
	} {
		hv := map[string]byte{"4:4:4": 0x11, "4:2:2": 0x21, "4:2:0": 0x22, "4:4:0": 0x12, "4:1:1": 0x41, "4:1:0": 0x42}[want]
		info, err := jpeg.Header(patch(t, picture(t, 48, 32, 80), 0xc0, 11, hv))
		if err != nil || info.Sampling != want {
			t.Errorf("%v: got %+v, %v", ratio, info, err)
		}
	}
	info, err := jpeg.Header(encode(t, image.NewGray(image.Rect(0, 0, 9, 7)), 90))
	if want := (jpeg.Info{Width: 9, Height: 7, Components: 1, Sampling: "4:0:0", HasHuffman: true}); err != nil || info != want {
		t.Errorf("grey: got %+v, %v, want %+v", info, err, want)
	}
	info, err = jpeg.Header(patch(t, picture(t, 48, 32, 80), 0xc0, 1, 0xc2))
	if err != nil || !info.Progressive {
		t.Errorf("progressive: got %+v, %v", info, err)
	}
}

func TestCleanAllocatesOnce(t *testing.T) {
	src := picture(t, 320, 240, 80)
	if n := testing.AllocsPerRun(50, func() { _, _ = jpeg.Clean(src) }); n != 1 {
		t.Errorf("got %v allocations for an intact picture, want 1", n)
	}
}

func FuzzClean(f *testing.F) {
	good := picture(f, 16, 16, 20)
	f.Add(good)
	f.Add(withoutTables(f, good))
	f.Add(cat(good[:len(good)-2], make([]byte, 3)))
	f.Add(cat(good, []byte{1, 2, 3}))
	f.Add(encode(f, image.NewGray(image.Rect(0, 0, 8, 8)), 50))
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		p, err := jpeg.Clean(src)
		if !bytes.Equal(before, src) {
			t.Fatal("the source was written to")
		}
		if err != nil {
			if p.Data != nil || !known(err) {
				t.Fatalf("got %d bytes and %v", len(p.Data), err)
			}
			return
		}
		if !bytes.HasPrefix(p.Data, []byte{0xff, 0xd8}) || !bytes.HasSuffix(p.Data, []byte{0xff, 0xd9}) {
			t.Fatal("the result does not go from SOI to EOI")
		}
		cfg, err := stdjpeg.DecodeConfig(bytes.NewReader(p.Data))
		if err != nil || cfg.Width != p.Width || cfg.Height != p.Height {
			t.Fatalf("image/jpeg says %dx%d, %v; want %dx%d", cfg.Width, cfg.Height, err, p.Width, p.Height)
		}
		again, err := jpeg.Clean(p.Data)
		if err != nil || !bytes.Equal(again.Data, p.Data) || again.Info != p.Info {
			t.Fatalf("cleaning again changes the picture: %+v, %v, was %+v", again.Info, err, p.Info)
		}
		if h, err := jpeg.Header(p.Data); err != nil || h != p.Info {
			t.Fatalf("Header says %+v, %v; Clean said %+v", h, err, p.Info)
		}
	})
}

func known(err error) bool {
	for _, k := range []error{jpeg.ErrEmpty, jpeg.ErrNotJPEG, jpeg.ErrTruncated, jpeg.ErrMalformed, jpeg.ErrUnsupported} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

func FuzzHeader(f *testing.F) {
	f.Add(picture(f, 16, 16, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := jpeg.Header(data)
		if err == nil && (h.Width < 1 || h.Height < 1 || h.Sampling == "") {
			t.Fatalf("accepted %+v", h)
		}
		if err != nil && !known(err) {
			t.Fatalf("error of no known kind: %v", err)
		}
	})
}

// About 100 KB, a typical 720p camera frame. An intact picture must cost little
// more than the copy; run with
// go test -run '^$' -bench . -benchmem ./pkg/jpeg .
func BenchmarkClean(b *testing.B) {
	good := picture(b, 400, 300, 75)
	bare := withoutTables(b, good)
	for _, bb := range []struct {
		name string
		src  []byte
	}{
		{"intact", good},
		{"padded", cat(good, make([]byte, 4096))},
		{"no tables", bare},
		{"no end", cat(good[:len(good)-2], make([]byte, 4096))},
	} {
		b.Run(fmt.Sprintf("%s/%dKB", bb.name, len(bb.src)/1000), func(b *testing.B) {
			b.SetBytes(int64(len(bb.src)))
			for b.Loop() {
				if _, err := jpeg.Clean(bb.src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("copy alone", func(b *testing.B) {
		b.SetBytes(int64(len(good)))
		for b.Loop() {
			dst := make([]byte, len(good))
			copy(dst, good)
			sink = dst
		}
	})
}

var sink []byte
