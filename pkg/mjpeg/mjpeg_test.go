package mjpeg_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// stream returns the whole body that a viewer of frames gets, without the
// response head.
func stream(frames ...*device.Frame) []byte {
	head := mjpeg.AppendHead(nil, true)
	_, body, _ := bytes.Cut(head, []byte("\r\n\r\n"))
	var pieces [][]byte
	for i, f := range frames {
		pieces = mjpeg.Encode(f).AppendTo(pieces, i == len(frames)-1)
	}
	return append(body, bytes.Join(pieces, nil)...)
}

func frame(seq uint64, data string) *device.Frame {
	return &device.Frame{Data: []byte(data), Seq: seq, CapturedAt: time.UnixMicro(1767225600000042)}
}

func TestAppendHeadWritesTheWholeHeadAndTheFirstDelimiter(t *testing.T) {
	const fields = "Access-Control-Allow-Origin: *\r\n" +
		"Connection: close\r\n" +
		"Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n" +
		"Pragma: no-cache\r\n" +
		"X-Accel-Buffering: no\r\n" +
		"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n" +
		"\r\n--frame\r\n"
	for _, tc := range []struct {
		http11 bool
		want   string
	}{
		{true, "HTTP/1.1 200 OK\r\n" + fields},
		{false, "HTTP/1.0 200 OK\r\n" + fields},
	} {
		got := string(mjpeg.AppendHead(nil, tc.http11, mjpeg.Field{Name: "Access-Control-Allow-Origin", Value: "*"}))
		if got != tc.want {
			t.Errorf("http11 %v: got\n%q, want\n%q", tc.http11, got, tc.want)
		}
	}
}

func TestAppendHeadLeavesOutControlCharactersOfValues(t *testing.T) {
	got := string(mjpeg.AppendHead(nil, true, mjpeg.Field{Name: "X-A", Value: "b\r\nX-Evil: 1\x00\x7f"}))
	if !strings.Contains(got, "\r\nX-A: bX-Evil: 1\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestEncodeWritesHeaderPictureAndTrailer(t *testing.T) {
	placeholder := frame(8, "\xff\xd8\xff\xd9")
	placeholder.Placeholder = "unplugged"
	timeless := frame(9, "x")
	timeless.CapturedAt = time.Time{}
	for _, tc := range []struct {
		name  string
		f     *device.Frame
		final bool
		want  string
	}{
		{
			"live", frame(7, "\xff\xd8abc\xff\xd9"), false,
			"Content-Type: image/jpeg\r\nContent-Length: 7\r\nX-Timestamp: 1767225600.000042\r\nX-Sequence: 7\r\n\r\n" +
				"\xff\xd8abc\xff\xd9\r\n--frame\r\n",
		},
		{
			"final placeholder", placeholder, true,
			"Content-Type: image/jpeg\r\nContent-Length: 4\r\nX-Timestamp: 1767225600.000042\r\nX-Sequence: 8\r\nX-Placeholder: unplugged\r\n\r\n" +
				"\xff\xd8\xff\xd9\r\n--frame--\r\n",
		},
		{
			"no time", timeless, false,
			"Content-Type: image/jpeg\r\nContent-Length: 1\r\nX-Timestamp: 0.000000\r\nX-Sequence: 9\r\n\r\nx\r\n--frame\r\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pieces := mjpeg.Encode(tc.f).AppendTo(nil, tc.final)
			if got := string(bytes.Join(pieces, nil)); got != tc.want {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
			if &pieces[1][0] != &tc.f.Data[0] {
				t.Error("the picture was copied")
			}
		})
	}
}

// TestAdvancedHeaderEndsBeforeTheNextPicture is what Chrome needs: with each
// picture comes all of the next header.
func TestAdvancedHeaderEndsBeforeTheNextPicture(t *testing.T) {
	b := mjpeg.AppendAdvance([]byte("--frame\r\n"))
	for i, data := range []string{"one", "two"} {
		b = append(b, bytes.Join(mjpeg.Encode(frame(uint64(i+1), data)).AppendAdvancedTo(nil, i == 1), nil)...)
	}
	want := "--frame\r\nContent-Type: image/jpeg\r\n\r\none\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\ntwo\r\n--frame--\r\n"
	if string(b) != want {
		t.Errorf("got\n%q, want\n%q", b, want)
	}
}

// TestPartCostsTwoAllocations holds the cost of a picture, however many watch
// it: its bytes around the picture, and the Encoded that keeps them together.
func TestPartCostsTwoAllocations(t *testing.T) {
	f := frame(1<<40, "\xff\xd8\xff\xd9")
	f.Placeholder = "not-found"
	pieces := make([][]byte, 0, 4)
	var e *mjpeg.Encoded
	if n := testing.AllocsPerRun(100, func() { e = mjpeg.Encode(f) }); n > 2 {
		t.Errorf("%v allocations per part", n)
	}
	if n := testing.AllocsPerRun(100, func() { pieces = e.AppendTo(pieces[:0], false) }); n != 0 {
		t.Errorf("%v allocations per viewer", n)
	}
}

func TestTimestampPadsMicroseconds(t *testing.T) {
	for us, want := range map[int64]string{
		1_000000: "1.000000", 1_000001: "1.000001", 1_000010: "1.000010", 1_099999: "1.099999", 1_100000: "1.100000", 12_999999: "12.999999",
	} {
		if got := mjpeg.Timestamp(&device.Frame{CapturedAt: time.UnixMicro(us)}); got != want {
			t.Errorf("%d: got %s, want %s", us, got, want)
		}
	}
}

// TestMultipartOfTheStandardLibraryReadsTheStream stands for clients that split
// by boundary.
func TestMultipartOfTheStandardLibraryReadsTheStream(t *testing.T) {
	_, params, err := mime.ParseMediaType(mjpeg.ContentType)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"first", "", "\r\n--fram", "last\r\n"}
	var frames []*device.Frame
	for i, s := range want {
		frames = append(frames, frame(uint64(i+1), s))
	}
	r := multipart.NewReader(bytes.NewReader(stream(frames...)), params["boundary"])
	for i, s := range want {
		p, err := r.NextRawPart()
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		got, err := io.ReadAll(p)
		if err != nil || string(got) != s {
			t.Errorf("part %d: got %q, %v, want %q", i, got, err, s)
		}
		if got := p.Header.Get("X-Sequence"); got != strconv.Itoa(i+1) {
			t.Errorf("part %d: X-Sequence %q", i, got)
		}
	}
	if _, err := r.NextRawPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the final delimiter: got %v, want EOF", err)
	}
}

// FuzzRoundTrip: a client that splits by boundary reads back any picture that
// does not contain it, with its fields.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\xff\xd8one\xff\xd9"), []byte("\xff\xd8two\xff\xd9"), uint64(1), "")
	f.Add([]byte("\r\n--fram"), []byte("\r\n"), uint64(1<<63), "stalled")
	f.Fuzz(func(t *testing.T, a, b []byte, seq uint64, placeholder string) {
		if bytes.Contains(a, []byte("--frame")) || bytes.Contains(b, []byte("--frame")) {
			return
		}
		first := &device.Frame{Data: a, Seq: seq, Placeholder: placeholder}
		second := &device.Frame{Data: b, Seq: seq + 1}
		m := multipart.NewReader(bytes.NewReader(stream(first, second)), mjpeg.Boundary)
		for _, f := range []*device.Frame{first, second} {
			p, err := m.NextRawPart()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(p); err != nil || !bytes.Equal(got, f.Data) {
				t.Fatalf("got %q, %v, want %q", got, err, f.Data)
			}
			if got := p.Header.Get("X-Sequence"); got != strconv.FormatUint(f.Seq, 10) {
				t.Fatalf("X-Sequence: got %s, want %d", got, f.Seq)
			}
		}
		if _, err := m.NextRawPart(); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: got %v, want EOF", err)
		}
	})
}

// BenchmarkEncode measures the once-per-frame work:
// go test -bench Encode -benchmem ./pkg/mjpeg.
func BenchmarkEncode(b *testing.B) {
	f := frame(1, "x")
	var dst [][]byte
	b.ReportAllocs()
	for b.Loop() {
		dst = mjpeg.Encode(f).AppendTo(dst[:0], false)
	}
}
