package ffmpeg

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/webgear-pi/webgear/device"
)

func TestParseY4M(t *testing.T) {
	for _, tc := range []struct {
		line   string
		want   device.Format
		ranged bool
	}{
		{"YUV4MPEG2 W320 H240 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL", device.Format{FourCC: device.YU12, Width: 320, Height: 240, Rate: device.Rate{Num: 30000, Den: 1001}}, true},
		{"YUV4MPEG2 W320 H240 F25:1 C420mpeg2 XCOLORRANGE=LIMITED", device.Format{FourCC: device.YU12, Width: 320, Height: 240, Rate: device.Rate{Num: 25, Den: 1}, Quantization: device.LimitedRange}, true},
		{"YUV4MPEG2 C420 W322 H242 Ip F0:0 A1:1", device.Format{FourCC: device.YU12, Width: 322, Height: 242, Quantization: device.LimitedRange}, false},
		{"YUV4MPEG2 W2 H2 F90000:1", device.Format{FourCC: device.YU12, Width: 2, Height: 2, Quantization: device.LimitedRange}, false},
	} {
		got, ranged, err := parseY4M(tc.line)
		if err != nil || got != tc.want || ranged != tc.ranged {
			t.Errorf("parseY4M(%q): got %+v, %v, %v, want %+v, %v", tc.line, got, ranged, err, tc.want, tc.ranged)
		}
	}
	for _, line := range []string{
		"", "RIFF", "YUV4MPEG2 W320", "YUV4MPEG2 W0 H240", "YUV4MPEG2 Wx H240", "YUV4MPEG2 W-2 H-2", "YUV4MPEG2 W16385 H2",
		"YUV4MPEG2 W16384 H16384", "YUV4MPEG2 W320 H240 C444", "YUV4MPEG2 W320 H240 C420p10", "YUV4MPEG2 W99999999999999999999 H1",
	} {
		if got, _, err := parseY4M(line); !errors.Is(err, errFraming) {
			t.Errorf("parseY4M(%q): got %+v, %v, want an error", line, got, err)
		}
	}
}

// y4m writes pictures whose samples count up, packed or in GStreamer's layout.
func y4m(w, h, pictures int, layout planes) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "YUV4MPEG2 W%d H%d F25:1\n", w, h)
	for p := range pictures {
		b.WriteString("FRAME\n")
		data := bytes.Repeat([]byte{0xEE}, layout.size) // padding
		at := 0
		for i, plane := range []struct{ stride, rows, used, usedRows int }{
			{layout.stride, layout.rows, w, h},
			{layout.chroma, layout.chromaRows, (w + 1) / 2, (h + 1) / 2},
			{layout.chroma, layout.chromaRows, (w + 1) / 2, (h + 1) / 2},
		} {
			for y := range plane.usedRows {
				for x := range plane.used {
					data[at+y*plane.stride+x] = sample(p, i, x, y)
				}
			}
			at += plane.stride * plane.rows
		}
		b.Write(data)
	}
	return b.Bytes()
}

func sample(picture, plane, x, y int) byte { return byte(picture*31 + plane*7 + x + 3*y) }

func packedLayout(w, h int) planes {
	return planes{stride: w, chroma: (w + 1) / 2, rows: h, chromaRows: (h + 1) / 2, size: w*h + 2*((w+1)/2)*((h+1)/2)}
}

func TestY4MReaderFindsSamplesInEveryLayout(t *testing.T) {
	for _, size := range [][2]int{{16, 8}, {17, 9}, {18, 10}, {31, 16}, {322, 242}, {1, 1}} {
		w, h := size[0], size[1]
		for _, pad := range []bool{false, true} {
			layout := packedLayout(w, h)
			if pad {
				layout = gstLayout(w, h)
			}
			const pictures = 3
			y := newY4M(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(y4m(w, h, pictures, layout)))), true)
			f, err := y.header()
			if err != nil {
				t.Fatalf("%dx%d: %v", w, h, err)
			}
			var buf []byte
			for p := range pictures {
				if buf, err = y.next(buf); err != nil {
					t.Fatalf("%dx%d, padded %v: picture %d: %v", w, h, pad, p, err)
				}
				c, ch := f.Stride/2, (h+1)/2
				if len(buf) != f.Stride*h+2*c*ch {
					t.Fatalf("%dx%d: %d bytes", w, h, len(buf))
				}
				for _, at := range [][2]int{{0, 0}, {w - 1, 0}, {0, h - 1}, {w - 1, h - 1}} {
					if got, want := buf[at[1]*f.Stride+at[0]], sample(p, 0, at[0], at[1]); got != want {
						t.Errorf("%dx%d, padded %v: picture %d: Y at %v is %d, want %d", w, h, pad, p, at, got, want)
					}
					cx, cy := at[0]/2, at[1]/2
					for plane := 1; plane <= 2; plane++ {
						if got, want := buf[f.Stride*h+(plane-1)*c*ch+cy*c+cx], sample(p, plane, cx, cy); got != want {
							t.Errorf("%dx%d, padded %v: picture %d: plane %d at %d,%d is %d, want %d", w, h, pad, p, plane, cx, cy, got, want)
						}
					}
				}
			}
			if _, err := y.next(buf); !errors.Is(err, io.EOF) {
				t.Errorf("%dx%d, padded %v: at the end: got %v, want io.EOF", w, h, pad, err)
			}
		}
	}
}

func TestY4MReaderTellsTheEndFromACut(t *testing.T) {
	whole := y4m(16, 8, 2, packedLayout(16, 8))
	header := bytes.IndexByte(whole, '\n') + 1
	for cut := header; cut <= len(whole); cut++ {
		y := newY4M(bufio.NewReader(bytes.NewReader(whole[:cut])), false)
		if _, err := y.header(); err != nil {
			t.Fatal(err)
		}
		var err error
		n := 0
		for ; err == nil; n++ {
			_, err = y.next(nil)
		}
		want := io.ErrUnexpectedEOF
		if (cut-header)%(6+16*8*3/2) == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("cut after %d of %d bytes: got %v, want %v", cut, len(whole), err, want)
		}
	}
}

func FuzzY4M(f *testing.F) {
	f.Add(y4m(16, 8, 2, packedLayout(16, 8)), true)
	f.Add(y4m(17, 9, 2, gstLayout(17, 9)), true)
	f.Add(y4m(17, 9, 2, packedLayout(17, 9)), false)
	f.Add([]byte("YUV4MPEG2 W16384 H4096 F1:1\nFRAME\n"), false)
	f.Add([]byte("YUV4MPEG2 W2 H2\nFRAME Ip\nabcdef"), false)
	f.Fuzz(func(t *testing.T, data []byte, mayPad bool) {
		y := newY4M(bufio.NewReader(bytes.NewReader(data)), mayPad)
		format, err := y.header()
		if err != nil {
			return
		}
		if format.Width*format.Height > 1<<20 {
			return // memory for nothing
		}
		var buf []byte
		for range 4 {
			if buf, err = y.next(buf); err != nil {
				return
			}
			if want := format.Stride*format.Height + format.Stride*((format.Height+1)/2); len(buf) != want {
				t.Fatalf("%+v: %d bytes, want %d", format, len(buf), want)
			}
		}
	})
}

const (
	ffmpegParts = "--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 5\r\n\r\nfirst\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 6\r\n\r\nsecond\r\n--ffmpeg\r\n"
	gstParts    = "--ThisRandomString\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nfirst\r\n--ThisRandomString\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\n\r\nsecond"
)

func TestPartReader(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
		err        error
	}{
		{"ffmpeg", ffmpegParts, []string{"first", "second"}, io.EOF},
		{"gstreamer", gstParts, []string{"first", "second"}, io.EOF},
		{"nothing", "", nil, io.EOF},
		{"cut in a picture", gstParts[:len(gstParts)-1], []string{"first"}, io.ErrUnexpectedEOF},
		{"cut behind the length", "--x\r\nContent-Length: 5\r\n", nil, io.ErrUnexpectedEOF},
		{"bare line feeds", "--x\ncontent-length:5\n\nfirst\n", []string{"first"}, io.EOF},
		{"no length", "--x\r\nContent-Type: image/jpeg\r\n\r\n" + strings.Repeat("\n", maxPartLines), nil, errFraming},
		{"negative", "Content-Length: -1\r\n\r\n", nil, errFraming},
		{"empty", "Content-Length: 0\r\n\r\n", nil, errFraming},
		{"huge", fmt.Sprintf("Content-Length: %d\r\n\r\n", maxPicture+1), nil, errFraming},
		{"endless line", strings.Repeat("x", 2*maxHeader), nil, errFraming},
	} {
		p := partReader{bufio.NewReaderSize(strings.NewReader(tc.text), 16)}
		var got []string
		var buf []byte
		var err error
		for {
			if buf, err = p.next(buf); err != nil {
				break
			}
			got = append(got, string(buf))
		}
		if !slices.Equal(got, tc.want) || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", tc.name, got, err, tc.want, tc.err)
		}
	}
}

func FuzzParts(f *testing.F) {
	f.Add([]byte(ffmpegParts))
	f.Add([]byte(gstParts))
	f.Add([]byte("Content-Length: 67108864\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := partReader{bufio.NewReader(bytes.NewReader(data))}
		var buf []byte
		var err error
		total := 0
		for err == nil {
			if buf, err = p.next(buf[:0]); err == nil {
				total += len(buf)
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of pictures in %d bytes", total, len(data))
		}
	})
}

func TestJPEGSize(t *testing.T) {
	head := "\xff\xd8\xff\xfe\x00\x04ab\xff\xff\xdb\x00\x02"
	for _, tc := range []struct {
		name, data string
		w, h       int
	}{
		{"baseline", head + "\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01\x01\x11\x00", 320, 240},
		{"progressive", head + "\xff\xc2\x00\x0b\x08\x00\xf0\x01\x40\x01\x01\x11\x00", 320, 240},
		{"tables are no header", head + "\xff\xc4\x00\x0b\x08\x00\xf0\x01\x40\x01\x01\x11\x00\xff\xd9", 0, 0},
		{"no height", head + "\xff\xc0\x00\x0b\x08\x00\x00\x01\x40\x01\x01\x11\x00", 0, 0},
		{"cut", head + "\xff\xc0\x00\x0b\x08\x00\xf0", 0, 0},
		{"scan first", head + "\xff\xda\x00\x0b\x08\x00\xf0\x01\x40\x01\x01\x11\x00", 0, 0},
		{"short segment", "\xff\xd8\xff\xe0\x00\x01ab", 0, 0},
		{"no JPEG", "GIF89a", 0, 0},
		{"nothing", "", 0, 0},
	} {
		w, h, err := jpegSize([]byte(tc.data))
		if (err == nil) != (tc.w != 0) || err == nil && (w != tc.w || h != tc.h) {
			t.Errorf("%s: got %dx%d, %v, want %dx%d", tc.name, w, h, err, tc.w, tc.h)
		}
	}
}

func FuzzJPEGSize(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xfe\x00\x04ab\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01\x01\x11\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, err := jpegSize(data)
		if err == nil && (w < 1 || h < 1 || w*h > device.MaxPixels) {
			t.Fatalf("%dx%d", w, h)
		}
	})
}

// BenchmarkY4M is what a raw picture of full HD costs on its way through us,
// without the pipe: go test -bench Y4M ./device/ffmpeg.
func BenchmarkY4M(b *testing.B) {
	data := y4m(1920, 1080, 1, packedLayout(1920, 1080))
	header := bytes.IndexByte(data, '\n') + 1
	y := newY4M(bufio.NewReader(io.MultiReader(bytes.NewReader(data[:header]), &endless{data: data[header:]})), false)
	if _, err := y.header(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = y.next(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// endless repeats what it holds.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}
