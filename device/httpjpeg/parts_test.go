package httpjpeg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/webgear-pi/webgear/device/devicetest"
)

func jpg(n uint32) []byte { return devicetest.JPEG(n, 64, 48) }

// withComment puts a segment with this text into a picture.
func withComment(pic []byte, text string) []byte {
	out := append(bytes.Clone(pic[:2]), 0xFF, 0xFE, byte((len(text)+2)>>8), byte(len(text)+2))
	return append(append(out, text...), pic[2:]...)
}

// wire builds a stream: strings are sent as they are.
func wire(pieces ...any) []byte {
	var b bytes.Buffer
	for _, p := range pieces {
		switch p := p.(type) {
		case []byte:
			b.Write(p)
		case string:
			b.WriteString(p)
		}
	}
	return b.Bytes()
}

// sized is a part with a length field of size n.
func sized(n int, data []byte) []byte {
	return wire(fmt.Sprintf("--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", n), data, "\r\n")
}

func TestPartReaderTakesWhatCamerasSend(t *testing.T) {
	a, b, c := jpg(1), jpg(2), jpg(3)
	tricky := withComment(a, "\r\n--x\r\n\r\n--x--\r\n")
	noEnd := a[:len(a)-2]
	padded := append(bytes.Clone(a), make([]byte, 40)...)
	for _, tc := range []struct {
		name, boundary string
		in             []byte
		want           [][]byte
		err            error // nil means io.EOF
	}{
		{"with lengths", "x", wire(sized(len(a), a), sized(len(b), b), "--x--\r\n"), [][]byte{a, b}, nil},
		{"without lengths", "x", wire("--x\r\n\r\n", a, "\r\n--x\r\n\r\n", b, "\r\n--x--\r\n"), [][]byte{a, b}, nil},
		{"without headers' types", "x", wire("--x\r\nX-A: b\r\n\r\n", a, "\r\n--x--"), [][]byte{a}, nil},
		{"announced with dashes", "--x", wire(sized(len(a), a), "--x--"), [][]byte{a}, nil},
		{"sent with more dashes", "--x", wire("----x\r\n\r\n", a, "\r\n----x\r\n\r\n", b, "\r\n----x--\r\n"), [][]byte{a, b}, nil},
		{"sent without dashes", "--x", wire("x\r\n\r\n", a, "\r\nx\r\n\r\n", b, "\r\nx--\r\n"), [][]byte{a, b}, nil},
		{"bare line feeds", "x", wire("--x\nContent-Type: image/jpeg\n\n", a, "\n--x\n\n", b, "\n--x--\n"), [][]byte{a, b}, nil},
		{"no line break before the boundary", "x", wire("--x\r\n\r\n", a, "--x\r\n\r\n", b, "--x--"), [][]byte{a, b}, nil},
		{"blanks behind the boundary", "x", wire("--x \t\r\n\r\n", a, "\r\n--x  \r\n\r\n", b, "\r\n--x-- \r\n"), [][]byte{a, b}, nil},
		{"preamble", "x", wire("hello --xy\r\nx \r\n--xx\r\n\r\n", sized(len(a), a), "--x--"), [][]byte{a}, nil},
		{"blank lines around", "x", wire("\r\n\r\n", "--x\r\n\r\n\r\n\r\n", a, "\r\n\r\n\r\n--x\r\nContent-Length: ", fmt.Sprint(len(b)), "\r\n\r\n\r\n", b, "\r\n\r\n--x--"), [][]byte{a, b}, nil},
		{"no boundary", "", wire("--x\r\nContent-Type: image/jpeg\r\n\r\n", a, "\r\n--x\r\n\r\n", b, "\r\n"), [][]byte{a, b}, nil},
		{"boundary of dashes", "--", wire("----\r\n\r\n", a, "\r\n----\r\n\r\n", b, "\r\n"), [][]byte{a, b}, nil},
		{"another boundary than announced", "x", wire(strings.Repeat("preamble", maxPreamble/8), "\r\n--y\r\n\r\n", make([]byte, 1<<17), a, "\r\n--y\r\n\r\n", b, "\r\n--y--"), [][]byte{a, b}, nil},
		{"other types", "x", wire("--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n", sized(len(a), a), "--x\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n--x--"), [][]byte{a}, nil},
		{"length in any case and padding", "x", wire("--x\r\ncontent-LENGTH :    ", fmt.Sprint(len(a)), "  \r\nnonsense\r\n\r\n", a, "\r\n--x--"), [][]byte{a}, nil},
		{"length too small", "x", wire(sized(100, a), sized(100, b), sized(100, c), "--x--"), [][]byte{a, b, c}, nil},
		{"length too large", "x", wire(sized(len(a)+300, a), sized(len(b)+300, b), sized(len(c)+9999, c), "--x--"), [][]byte{a, b, c}, nil},
		{"length too large, once", "x", wire(sized(len(a), a), sized(len(b)+300, b), sized(len(c), c), sized(len(a), a), "--x--"), [][]byte{a, b, c, a}, nil},
		{"length no number", "x", wire("--x\r\nContent-Length: many\r\n\r\n", a, "\r\n--x\r\nContent-Length: -1\r\n\r\n", b, "\r\n--x--"), [][]byte{a, b}, nil},
		{"length absurd", "x", wire("--x\r\nContent-Length: 99999999999\r\n\r\n", a, "\r\n", sized(0, b), "--x--"), [][]byte{a, b}, nil},
		{"boundary inside of a picture", "x", wire(sized(len(tricky), tricky), sized(len(b), b), "--x--"), [][]byte{tricky, b}, nil},
		{"boundary inside of a picture without length", "x", wire("--x\r\n\r\n", tricky, "\r\n--x\r\n\r\n", b, "\r\n--x--"), [][]byte{tricky, b}, nil},
		{"padded", "x", wire(sized(len(padded), padded), sized(len(b), b), "--x--"), [][]byte{padded, b}, nil},
		{"end marker missing", "x", wire(sized(len(noEnd), noEnd), sized(len(b), b), "--x--"), [][]byte{noEnd, b}, nil},
		{"end marker missing, no length", "x", wire("--x\r\n\r\n", noEnd, "\r\n--x\r\n\r\n", b, "\r\n--x--"), [][]byte{noEnd, b}, nil},
		{"end marker missing in the last", "x", wire(sized(len(noEnd), noEnd)), [][]byte{noEnd}, nil},
		{"no picture at all", "x", wire(sized(5, []byte("hello")), "--x\r\n\r\nhello\r\n--x\r\n\r\n\r\n", sized(len(b), b)), [][]byte{[]byte("hello"), []byte("hello"), b}, nil},
		{"empty parts", "x", wire("--x\r\n\r\n\r\n--x\r\n\r\n\r\n", sized(len(a), a)), [][]byte{a}, nil},
		{"end without final boundary", "x", sized(len(a), a), [][]byte{a}, nil},
		{"end behind the picture", "x", wire("--x\r\n\r\n", a), [][]byte{a}, nil},
		{"cut in a picture", "x", wire(sized(len(a), a), "--x\r\nContent-Length: 500\r\n\r\n", b[:50]), [][]byte{a}, io.ErrUnexpectedEOF},
		{"cut in a picture of unknown length", "x", wire("--x\r\n\r\n", b[:50]), nil, io.ErrUnexpectedEOF},
		{"cut in a header", "x", []byte("--x\r\nContent-Len"), nil, io.ErrUnexpectedEOF},
		{"endless header", "x", wire("--x\r\n", strings.Repeat("a: b\r\n", maxHeader/6+1)), nil, errMalformed},
		{"endless header line", "x", wire("--x\r\n", strings.Repeat("a", maxHeader+1)), nil, errMalformed},
		{"endless part", "x", wire("--x\r\n\r\n", a[:len(a)-2], make([]byte, testMaxPart)), nil, errMalformed},
		{"endless part with a length", "x", wire(sized(testMaxPart*2, a[:len(a)-2]), make([]byte, testMaxPart)), nil, errMalformed},
		{"endless junk between parts", "x", wire(sized(len(a), a), bytes.Repeat([]byte("abc"), testMaxPart/2)), [][]byte{a}, errMalformed},
		{"nothing", "x", nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, src := range map[string]io.Reader{
				"whole": bytes.NewReader(tc.in), "bytewise": iotest.OneByteReader(bytes.NewReader(tc.in)), "data with EOF": iotest.DataErrReader(bytes.NewReader(tc.in)),
			} {
				r := newPartReader(src, tc.boundary)
				r.maxPart = testMaxPart
				for i, want := range tc.want {
					p, err := r.next(t.Context())
					if err != nil || !bytes.Equal(p.data, want) {
						t.Fatalf("%s, part %d: got %d bytes %.30q, %v, want %d bytes %.30q", name, i, len(p.data), p.data, err, len(want), want)
					}
					if bad := !bytes.HasPrefix(want, []byte{0xFF, 0xD8}); bad != (p.corrupt && p.width == 0) {
						t.Errorf("%s, part %d: corrupt is %v, width %d", name, i, p.corrupt, p.width)
					}
					if !p.corrupt && (p.width != 64 || p.height != 48) {
						t.Errorf("%s, part %d: size %dx%d, want 64x48", name, i, p.width, p.height)
					}
					if p.begun.IsZero() {
						t.Errorf("%s, part %d: no time", name, i)
					}
				}
				want := tc.err
				if want == nil {
					want = io.EOF
				}
				if p, err := r.next(t.Context()); !errors.Is(err, want) {
					t.Errorf("%s, at the end: got %d bytes, %v, want %v", name, len(p.data), err, want)
				}
			}
		})
	}
}

// testMaxPart stands for the limit of 32 MiB, in bytes.
const testMaxPart = 200 << 10

// TestPicturesComeWithoutWaitingForTheNextDelimiter guards against a delay of a
// whole frame interval: many cameras send the delimiter with the next picture.
func TestPicturesComeWithoutWaitingForTheNextDelimiter(t *testing.T) {
	broken := errors.New("would block")
	for name, in := range map[string][]byte{
		"with length":    bytes.TrimSuffix(sized(len(jpg(1)), jpg(1)), []byte("\r\n")),
		"without length": wire("--x\r\n\r\n", jpg(1)),
	} {
		r := newPartReader(io.MultiReader(bytes.NewReader(in), iotest.ErrReader(broken)), "x")
		if p, err := r.next(t.Context()); err != nil || !bytes.Equal(p.data, jpg(1)) {
			t.Errorf("%s: got %d bytes, %v", name, len(p.data), err)
		}
		if _, err := r.next(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: then got %v, want the reader's error", name, err)
		}
	}
}

func TestMediaTypeForgivesWhatCamerasWrite(t *testing.T) {
	for field, want := range map[string][2]string{
		"multipart/x-mixed-replace; boundary=frame":               {"multipart/x-mixed-replace", "frame"},
		"Multipart/X-Mixed-Replace;BOUNDARY=\"--my boundary\"":    {"multipart/x-mixed-replace", "--my boundary"},
		"multipart/x-mixed-replace; charset=x; boundary= \"frame": {"multipart/x-mixed-replace", "frame"},
		"multipart/x-mixed-replace;boundary=--Boundary:=1;":       {"multipart/x-mixed-replace", "--Boundary:=1"},
		"multipart/x-mixed-replace":                               {"multipart/x-mixed-replace", ""},
		"multipart/x-mixed-replace; boundary":                     {"multipart/x-mixed-replace", ""},
		" image/jpeg ; q=1":                                       {"image/jpeg", ""},
		"multipart/x-mixed-replace; boundary='a'; boundary=b":     {"multipart/x-mixed-replace", "a"},
		"": {"", ""},
	} {
		if typ, boundary := mediaType(field); typ != want[0] || boundary != want[1] {
			t.Errorf("%q: got %q, %q, want %q", field, typ, boundary, want)
		}
	}
}

func TestBoundaryWordLeavesDashesOut(t *testing.T) {
	for in, want := range map[string]string{
		"frame": "frame", "--frame": "frame", "-----a-b--": "a-b--", "--": "", "": "", "a\nb": "", strings.Repeat("a", maxBoundary+1): "",
	} {
		if got := boundaryWord(in); string(got) != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzPartReader: whatever comes, no more pictures than bytes, in any slicing
// the same ones, and nothing but the documented errors.
func FuzzPartReader(f *testing.F) {
	f.Add(wire(sized(len(jpg(1)), jpg(1)), sized(10, jpg(2)), sized(9999, jpg(3)), "--x--"), "x")
	f.Add(wire("--x\r\n\r\n", withComment(jpg(1), "\r\n--x\r\n"), "\r\n--x\r\n\r\n", jpg(2)[:99], "\r\n--x--"), "--x")
	f.Add(wire("----x\n\n\n", jpg(1), "----x--"), "")
	f.Add([]byte("-\r\n--\r\n---\r\n"), "-a")
	f.Fuzz(func(t *testing.T, in []byte, boundary string) {
		all := func(src io.Reader) (pics [][]byte, last error) {
			r := newPartReader(src, boundary)
			r.maxPart = 1 << 16
			for total := 0; ; {
				p, err := r.next(t.Context())
				if err != nil {
					if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errMalformed) {
						t.Fatalf("unknown error %v", err)
					}
					return pics, err
				}
				if total += len(p.data); total > len(in) || len(p.data) == 0 {
					t.Fatalf("%d bytes came out of %d", total, len(in))
				}
				if !p.corrupt && (p.width <= 0 || p.height <= 0) {
					t.Fatalf("size %dx%d", p.width, p.height)
				}
				pics = append(pics, bytes.Clone(p.data))
			}
		}
		whole, _ := all(bytes.NewReader(in))
		again, _ := all(iotest.DataErrReader(bytes.NewReader(in)))
		if len(whole) != len(again) {
			t.Fatalf("%d pictures, then %d", len(whole), len(again))
		}
		if bytewise, _ := all(iotest.OneByteReader(bytes.NewReader(in))); len(bytewise) > len(in) {
			t.Fatalf("%d pictures from %d bytes", len(bytewise), len(in))
		}
	})
}

// FuzzRoundTrip: what a correct sender puts into parts comes out, byte for byte.
func FuzzRoundTrip(f *testing.F) {
	f.Add("\r\n--x\r\n", "x--", true)
	f.Add("", "\r\n\r\n", false)
	f.Add("\nx\n\r\x1f\nx\nx\n\r", "x--", false) // the segment's length ends in a carriage return
	f.Fuzz(func(t *testing.T, a, b string, lengths bool) {
		if len(a) > 60000 || len(b) > 60000 {
			return
		}
		want := [][]byte{withComment(jpg(1), a), withComment(jpg(2), b), jpg(3)}
		var in []byte
		for _, pic := range want {
			if lengths {
				in = append(in, sized(len(pic), pic)...)
			} else {
				in = append(in, wire("--x\r\n\r\n", pic, "\r\n")...)
			}
		}
		r := newPartReader(bytes.NewReader(in), "x")
		for i, pic := range want {
			if p, err := r.next(t.Context()); err != nil || !bytes.Equal(p.data, pic) || p.corrupt {
				t.Fatalf("part %d: got %d bytes, corrupt %v, %v, want %d", i, len(p.data), p.corrupt, err, len(pic))
			}
		}
	})
}

// BenchmarkPartReader measures what one picture of 100 KiB costs on its way
// through the parser: go test -bench PartReader ./device/httpjpeg.
func BenchmarkPartReader(b *testing.B) {
	pic := jpg(1)
	at := len(pic) - 2
	pic = append(pic[:at:at], append(bytes.Repeat([]byte("\x12\x34\x56\xff\x00\x21\x43\x65\x87\xa9\xcb\xed\x0f\x11\x22\x33"), 6400), 0xFF, 0xD9)...)
	for name, one := range map[string][]byte{"length": sized(len(pic), pic), "markers": wire("--x\r\n\r\n", pic, "\r\n")} {
		b.Run(name, func(b *testing.B) {
			r := newPartReader(&repeater{of: one}, "x")
			b.SetBytes(int64(len(pic)))
			b.ReportAllocs()
			for b.Loop() {
				if p, err := r.next(b.Context()); err != nil || len(p.data) != len(pic) {
					b.Fatal(len(p.data), err)
				}
			}
		})
	}
}

// repeater reads the same bytes again and again.
type repeater struct {
	of []byte
	at int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.of[r.at:])
	r.at = (r.at + n) % len(r.of)
	return n, nil
}
