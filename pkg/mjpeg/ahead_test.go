package mjpeg_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// aheadStream returns the body that a viewer with lengths in advance gets, and
// how much of it is there after each picture.
func aheadStream(frames []*device.Frame) (body []byte, after []int, repeats int) {
	a := mjpeg.Ahead{Filler: &mjpeg.Filler{}}
	body = []byte("--frame\r\n")
	for i, f := range frames {
		if a.Take(mjpeg.Encode(f), i == len(frames)-1) {
			repeats++
		}
		var array [8][]byte
		body = append(body, bytes.Join(a.AppendTo(array[:0]), nil)...)
		after = append(after, len(body))
	}
	return body, after, repeats
}

func TestLengthsInAdvanceAreKeptByEveryPart(t *testing.T) {
	for _, tt := range []struct {
		sizes   []int
		repeats int
	}{
		{[]int{1000, 1000, 1010, 990, 1000}, 0},
		{[]int{50_000, 52_000, 54_000, 50_000, 48_000}, 0},
		{[]int{50_000, 100_000, 50_000, 100_000}, 2},
		{[]int{4, 300_000, 4, 2, 3_000_000, 3_000_001, 5}, 2},
		{[]int{2}, 0},
	} {
		var frames []*device.Frame
		for i, size := range tt.sizes {
			frames = append(frames, frame(uint64(i+1), fmt.Sprintf("%c", 'a'+i)+strings.Repeat("x", size-1)))
		}
		body, _, repeats := aheadStream(frames)
		if repeats != tt.repeats {
			t.Errorf("%v: %d repeats, want %d", tt.sizes, repeats, tt.repeats)
		}
		parts := multipart.NewReader(bytes.NewReader(body), mjpeg.Boundary)
		shown := 0
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				if err != io.EOF { //nolint:errorlint // the interface says so
					t.Errorf("%v: after %d: %v", tt.sizes, shown, err)
				}
				break
			}
			data, err := io.ReadAll(p)
			length, convErr := strconv.Atoi(p.Header.Get("Content-Length"))
			if err != nil || convErr != nil || length != len(data) {
				t.Fatalf("%v: %d bytes, promised %q, %v", tt.sizes, len(data), p.Header.Get("Content-Length"), err)
			}
			data = bytes.TrimRight(data, "\x00")
			switch {
			case shown > 0 && bytes.Equal(data, frames[shown-1].Data): // once more
			case shown < len(frames) && bytes.Equal(data, frames[shown].Data):
				shown++
			default:
				t.Fatalf("%v: a part of %d bytes is none of the pictures", tt.sizes, len(data))
			}
		}
		if shown != len(frames) {
			t.Errorf("%v: %d pictures arrived", tt.sizes, shown)
		}
	}
}

// TestHeaderOfTheNextPartIsThereWithThePicture is what Chrome needs.
func TestHeaderOfTheNextPartIsThereWithThePicture(t *testing.T) {
	frames := []*device.Frame{frame(1, strings.Repeat("x", 2000)), frame(2, strings.Repeat("y", 9000)), frame(3, strings.Repeat("z", 100)), frame(4, "end")}
	body, after, _ := aheadStream(frames)
	for i, n := range after[:3] {
		tail := string(body[:n])
		tail = tail[strings.LastIndex(tail, "\r\n--frame"):]
		want := fmt.Sprintf("\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", mjpeg.Room(len(frames[i].Data)))
		if tail != want {
			t.Errorf("picture %d ends with %q, want %q", i+1, tail, want)
		}
	}
	if !bytes.HasSuffix(body, []byte("\r\n--frame--\r\n")) {
		t.Errorf("the stream ends with %q", body[len(body)-20:])
	}
}

func TestRoomIsSomeMoreThanThePicture(t *testing.T) {
	for size := 0; size < 5_000_000; size += 1 + size/97 {
		room := mjpeg.Room(size)
		if room < size+size/16 || size > 1024 && room > size+size/5+1 {
			t.Fatalf("%d bytes of room after a picture of %d", room, size)
		}
	}
}

func TestTakingPartsDoesNotAllocate(t *testing.T) {
	a := mjpeg.Ahead{Filler: &mjpeg.Filler{}}
	parts := []*mjpeg.Encoded{mjpeg.Encode(frame(1, strings.Repeat("x", 50_000))), mjpeg.Encode(frame(2, strings.Repeat("x", 40_000)))}
	var array [8][]byte
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		a.Take(parts[i%2], false)
		_ = a.AppendTo(array[:0])
		i++
	}); n > 0.1 {
		t.Errorf("%v allocations per part", n)
	}
}

func TestPlaceholdersAreMarkedInPlainASCII(t *testing.T) {
	for cause, want := range map[string]string{"unplugged": "unplugged", "not-found": "not-found", "a b\r\né: x": "abx", "é": ""} {
		fields := mjpeg.PlaceholderFields(&device.Frame{Placeholder: cause})
		if want == "" {
			if len(fields) != 0 {
				t.Errorf("%q: got %v", cause, fields)
			}
			continue
		}
		if len(fields) != 1 || fields[0] != (mjpeg.Field{Name: "X-Placeholder", Value: want}) {
			t.Errorf("%q: got %v", cause, fields)
		}
	}
}
