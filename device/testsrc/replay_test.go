package testsrc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
	"github.com/webgear-pi/webgear/device/jpegscan"
)

// withThumbnail puts a whole small picture into an APP1 segment.
func withThumbnail(data []byte) []byte {
	thumb := devicetest.JPEG(999, 16, 16)
	out := append([]byte{0xFF, 0xD8, 0xFF, 0xE1, byte((len(thumb) + 2) >> 8), byte(len(thumb) + 2)}, thumb...)
	return append(out, data[2:]...)
}

// withRestarts puts restart markers and a stuffed byte into the entropy data,
// just before the end; it need not decode.
func withRestarts(data []byte) []byte {
	end := len(data) - 2
	return slices.Concat(data[:end], []byte{0xFF, 0xD0, 1, 0xFF, 0, 0xFF, 0xFF, 0xD7, 2}, data[end:])
}

func part(data []byte) []byte {
	return fmt.Appendf(nil, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: 12.5\r\n\r\n%s\r\n", len(data), data)
}

func TestSplitterFindsWholePictures(t *testing.T) {
	a, b, c := devicetest.JPEG(1, 64, 48), devicetest.JPEG(2, 64, 48), devicetest.JPEG(3, 64, 48)
	noise := []byte("\xFF\xD8\xFFnoise\xFF\xD8\xFF\xD9\x00\xFF\xFF")
	tests := []struct {
		name string
		data []byte
		want [][]byte
	}{
		{"nothing", nil, nil},
		{"text", []byte("hello"), nil},
		{"one", a, [][]byte{a}},
		{"in a row", slices.Concat(a, b, c), [][]byte{a, b, c}},
		{"multipart", slices.Concat(part(a), part(b), []byte("--frame--\r\n")), [][]byte{a, b}},
		{"noise between", slices.Concat(noise, a, noise, b, noise), [][]byte{a, b}},
		{"thumbnail", slices.Concat(withThumbnail(a), b), [][]byte{withThumbnail(a), b}},
		{"restart markers", slices.Concat(withRestarts(a), b), [][]byte{withRestarts(a), b}},
		{"cut off in its data", slices.Concat(a[:len(a)-9], b), [][]byte{b}},
		{"cut off in a segment", slices.Concat(a[:40], b, c), [][]byte{b, c}},
		{"cut off part", slices.Concat(part(a[:len(a)-9]), part(b)), [][]byte{b}},
		{"cut off at the end", slices.Concat(a, b[:len(b)-2]), [][]byte{a}},
		{"without picture data", []byte{0xFF, 0xD8, 0xFF, 0xD9}, nil},
		{"segment too short", slices.Concat([]byte{0xFF, 0xD8, 0xFF, 0xE0, 0, 1}, a), [][]byte{a}},
		{"fill bytes", slices.Concat(a[:2], []byte{0xFF, 0xFF}, a[2:]), [][]byte{slices.Concat(a[:2], []byte{0xFF, 0xFF}, a[2:])}},
	}
	for _, tt := range tests {
		for name, reader := range map[string]io.Reader{
			"at once":   bytes.NewReader(tt.data),
			"bytewise":  iotest.OneByteReader(bytes.NewReader(tt.data)),
			"end early": iotest.DataErrReader(bytes.NewReader(tt.data)),
		} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				s := newSplitter(reader, maxPicture)
				for i, want := range tt.want {
					got, w, h, err := s.Next(t.Context())
					if err != nil {
						t.Fatalf("picture %d: %v", i, err)
					}
					if !bytes.Equal(got, want) || w != 64 || h != 48 {
						t.Errorf("picture %d: got %d bytes, %dx%d, want %d bytes, 64x48", i, len(got), w, h, len(want))
					}
				}
				if _, _, _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
					t.Errorf("at the end: got %v, want io.EOF", err)
				}
			})
		}
	}
}

func TestSplitterPassesOverPicturesAboveItsLimit(t *testing.T) {
	small, big := devicetest.JPEG(1, 16, 16), devicetest.JPEG(2, 400, 400)
	s := newSplitter(bytes.NewReader(slices.Concat(big, small)), len(small)+10)
	got, _, _, err := s.Next(t.Context())
	if err != nil || !bytes.Equal(got, small) {
		t.Errorf("got %d bytes, %v, want the small picture", len(got), err)
	}
}

func TestSplitterHoldsNoMoreThanOnePicture(t *testing.T) {
	one := devicetest.JPEG(1, 640, 480)
	const count = 2000
	r := io.LimitReader(&repeat{data: slices.Concat(one, []byte("\r\n--frame\r\n"))}, int64(count*(len(one)+11)))
	window := jpegscan.NewWindow(r, readSize)
	s := jpegscan.NewSplitter(window, maxPicture)
	n := 0
	for {
		_, _, _, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if limit := 4 * readSize; n != count || cap(window.Bytes()) > limit {
		t.Errorf("got %d pictures with a buffer of %d bytes, want %d with at most %d", n, cap(window.Bytes()), count, limit)
	}
}

// repeat reads the same bytes again and again.
type repeat struct {
	data []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.data[r.at:])
	r.at = (r.at + n) % len(r.data)
	return n, nil
}

func TestSplitterReturnsErrorsOfTheReader(t *testing.T) {
	a := devicetest.JPEG(1, 64, 48)
	s := newSplitter(io.MultiReader(bytes.NewReader(slices.Concat(a, a[:50])), iotest.ErrReader(syscall.EIO)), maxPicture)
	if _, _, _, err := s.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Next(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
}

// FuzzSplitter: what is found is a picture by the splitter's own rules, lies in
// the input in order, and does not depend on how the input is cut into reads.
//
//	go test -run "^$" -fuzz FuzzSplitter -fuzzminimizetime 10x ./device/testsrc
func FuzzSplitter(f *testing.F) {
	a := devicetest.JPEG(1, 16, 16)
	f.Add(a, 7)
	f.Add(slices.Concat(part(withThumbnail(a)), part(withRestarts(a))), 100)
	f.Add(slices.Concat(a[:len(a)-5], a, []byte{0xFF, 0xD8, 0xFF}), 3)
	f.Fuzz(func(t *testing.T, data []byte, chunk int) {
		const limit = 1 << 16
		collect := func(r io.Reader) (all [][]byte) {
			s := newSplitter(r, limit)
			for {
				got, w, h, err := s.Next(t.Context())
				if errors.Is(err, io.EOF) {
					return all
				}
				if err != nil {
					t.Fatal(err)
				}
				if w < 1 || h < 1 || len(got) > limit {
					t.Fatalf("got a picture of %dx%d with %d bytes", w, h, len(got))
				}
				all = append(all, bytes.Clone(got))
			}
		}
		whole := collect(bytes.NewReader(data))
		pieces := collect(&pieces{data: data, size: max(1, chunk%512)})
		if len(whole) != len(pieces) {
			t.Fatalf("got %d pictures at once, %d in pieces", len(whole), len(pieces))
		}
		rest := data
		for i, got := range whole {
			if !bytes.Equal(got, pieces[i]) {
				t.Fatalf("picture %d differs when read in pieces", i)
			}
			if !bytes.HasPrefix(got, []byte{0xFF, 0xD8, 0xFF}) || !bytes.HasSuffix(got, []byte{0xFF, 0xD9}) {
				t.Fatalf("picture %d: got % x", i, got)
			}
			at := bytes.Index(rest, got)
			if at < 0 {
				t.Fatalf("picture %d is not in the input", i)
			}
			rest = rest[at+len(got):]
			if again := collect(bytes.NewReader(got)); len(again) != 1 || !bytes.Equal(again[0], got) {
				t.Fatalf("picture %d alone gives %d pictures", i, len(again))
			}
		}
	})
}

// pieces reads a few bytes at a time.
type pieces struct {
	data []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(p.size, len(b))], p.data)
	p.data = p.data[n:]
	return n, nil
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func openReplay(t *testing.T, path string, opt ReplayOptions) *Replay {
	t.Helper()
	r, err := OpenReplay(t.Context(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func pictureFile(t *testing.T, count int) string {
	t.Helper()
	var all []byte
	for i := range count {
		all = append(all, part(devicetest.JPEG(uint32(i), 64, 48))...)
	}
	return write(t, filepath.Join(t.TempDir(), "x.mjpeg"), all)
}

func pictureFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"frame1.jpg", "frame2.JPG", "frame10.jpeg", "frame010x.jpg"} {
		write(t, filepath.Join(dir, name), devicetest.JPEG(uint32(i), 64, 48))
	}
	write(t, filepath.Join(dir, "frame3.jpg"), []byte("no picture"))
	write(t, filepath.Join(dir, "notes.txt"), devicetest.JPEG(99, 64, 48))
	write(t, filepath.Join(dir, "frame4.jpg", "inner.jpg"), devicetest.JPEG(99, 64, 48))
	if err := syscall.Mkfifo(filepath.Join(dir, "frame5.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReplayPassesTheSuite(t *testing.T) {
	file, folder := pictureFile(t, 5), pictureFolder(t)
	for name, path := range map[string]string{"file": file, "folder": folder} {
		for _, loop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s loop %v", name, loop), func(t *testing.T) {
				devicetest.TestCameraWith(t, devicetest.Options{
					Open: func(t *testing.T) device.Camera {
						t.Helper()
						return openReplay(t, path, ReplayOptions{Rate: device.FPS(100), Loop: loop})
					},
					Finite:  !loop,
					Timeout: 10 * time.Second,
				})
			})
		}
	}
}

// play starts a recording and takes pictures until it ends, at most limit.
func play(t *testing.T, r *Replay, limit int) (numbers []uint32, err error) {
	t.Helper()
	if _, err := r.Start(t.Context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	for range limit {
		err := r.Next(t.Context(), func(b *device.Buffer) error {
			n, ok := devicetest.JPEGNumber(b.Data)
			if !ok || int(b.DriverSeq) != len(numbers) {
				t.Errorf("picture %d: number %v, %v", b.DriverSeq, n, ok)
			}
			numbers = append(numbers, n)
			return nil
		})
		if err != nil {
			return numbers, err
		}
	}
	return numbers, nil
}

func TestReplayPlaysInOrderAtItsRate(t *testing.T) {
	file, folder := pictureFile(t, 4), pictureFolder(t)
	tests := []struct {
		name, path string
		loop       bool
		want       []uint32
		ends       bool
	}{
		{"file", file, false, []uint32{0, 1, 2, 3}, true},
		{"folder in natural order", folder, false, []uint32{0, 1, 2, 3}, true},
		{"file again and again", file, true, []uint32{0, 1, 2, 3, 0, 1, 2, 3, 0, 1}, false},
		{"folder again and again", folder, true, []uint32{0, 1, 2, 3, 0, 1, 2, 3, 0, 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := openReplay(t, tt.path, ReplayOptions{Rate: device.FPS(10), Loop: tt.loop})
				begin := time.Now()
				got, err := play(t, r, 10)
				if !slices.Equal(got, tt.want) || errors.Is(err, device.ErrEnded) != tt.ends {
					t.Errorf("got pictures %v, then %v, want %v", got, err, tt.want)
				}
				want := time.Duration(len(tt.want)-1) * 100 * time.Millisecond
				if tt.ends {
					want += 100 * time.Millisecond // the last picture is shown as long as the others
				}
				if took := time.Since(begin); took != want {
					t.Errorf("took %v, want %v", took, want)
				}
			})
		})
	}
}

func TestReplayWaitsForLateConsumerWithoutBurst(t *testing.T) {
	path := pictureFile(t, 6)
	synctest.Test(t, func(t *testing.T) {
		r := openReplay(t, path, ReplayOptions{Rate: device.FPS(10)})
		if _, err := r.Start(t.Context(), device.Format{}); err != nil {
			t.Fatal(err)
		}
		var at []time.Duration
		begin := time.Now()
		for i := range 5 {
			err := r.Next(t.Context(), func(b *device.Buffer) error {
				at = append(at, b.CapturedAt.Sub(begin)/time.Millisecond)
				if i == 1 {
					<-time.After(250 * time.Millisecond) // until 350 ms
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{0, 100, 350, 400, 500}; !slices.Equal(at, want) {
			t.Errorf("pictures came at %d ms, want %d", at, want)
		}
	})
}

func TestReplayRateComesFromOptionsThenFromStart(t *testing.T) {
	path := pictureFile(t, 1)
	tests := []struct{ option, want, granted device.Rate }{
		{device.Rate{}, device.Rate{}, device.FPS(30)},
		{device.Rate{}, device.FPS(15), device.FPS(15)},
		{device.FPS(25), device.FPS(15), device.FPS(25)},
	}
	for _, tt := range tests {
		r := openReplay(t, path, ReplayOptions{Rate: tt.option})
		got, err := r.Start(t.Context(), device.Format{FourCC: device.YUYV, Width: 640, Height: 480, Rate: tt.want})
		want := device.Format{FourCC: device.MJPG, Width: 64, Height: 48, Rate: tt.granted}
		if err != nil || got != want {
			t.Errorf("option %v, asked for %v: got %+v, %v, want %+v", tt.option, tt.want, got, err, want)
		}
	}
}

func TestOpenReplayTellsWhyNot(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe.mjpeg")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	good := write(t, filepath.Join(dir, "good.mjpeg"), devicetest.JPEG(0, 16, 16))
	text := write(t, filepath.Join(dir, "text.mjpeg"), []byte("no picture"))
	tests := []struct {
		path string
		rate device.Rate
		kind error
		text string
	}{
		{filepath.Join(dir, "none.mjpeg"), device.Rate{}, device.ErrNotFound, ": no such file or directory"},
		{filepath.Join(good, "none"), device.Rate{}, nil, ": not a directory"},
		{text, device.Rate{}, device.ErrUnsupported, ": holds no JPEG pictures"},
		{empty, device.Rate{}, device.ErrUnsupported, ": holds no JPEG pictures"},
		{pipe, device.Rate{}, device.ErrUnsupported, ": neither a file nor a folder"},
		{good, device.FPS(2000), device.ErrUnsupported, ": rate 2000: must be 0.1 to 1000 frames per second"},
	}
	for _, tt := range tests {
		_, err := OpenReplay(t.Context(), tt.path, ReplayOptions{Rate: tt.rate})
		if err == nil {
			t.Errorf("OpenReplay %s: got no error", tt.path)
			continue
		}
		if tt.kind != nil && !errors.Is(err, tt.kind) {
			t.Errorf("OpenReplay %s: got %v, want one matching %v", tt.path, err, tt.kind)
		}
		if want := "testsrc open " + tt.path + tt.text; err.Error() != want {
			t.Errorf("OpenReplay %s: got %q, want %q", tt.path, err, want)
		}
	}
}

func TestOpenReplayTellsOfMissingPermission(t *testing.T) {
	// Tests may run as root, who may read everything, so the mapping is tested.
	r := &Replay{life: life{path: "/x"}}
	err := r.openError(&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES})
	if !errors.Is(err, device.ErrPermission) || err.Error() != "testsrc open /x: permission denied" {
		t.Errorf("got %v, want ErrPermission", err)
	}
}

func TestReplayEndsWhenEveryPictureIsGone(t *testing.T) {
	dir := t.TempDir()
	name := write(t, filepath.Join(dir, "a.jpg"), devicetest.JPEG(0, 16, 16))
	r := openReplay(t, dir, ReplayOptions{Loop: true, Rate: device.FPS(1000)})
	if _, err := play(t, r, 3); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := r.Next(t.Context(), func(*device.Buffer) error { return nil }); !errors.Is(err, device.ErrEnded) {
		t.Errorf("Next: got %v, want ErrEnded", err)
	}
}

func TestNaturalOrder(t *testing.T) {
	want := []string{"", "1.jpg", "a", "a0", "a00", "a1", "a01", "a2.jpg", "a2b.jpg", "a10.jpg", "a99999999999999999999998", "a99999999999999999999999", "ab", "b1"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, naturalOrder)
	// Names that differ in leading zeros only are in byte order.
	want[5], want[6] = "a01", "a1"
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// BenchmarkSplitter guards the cost of reading a recording:
//
//	go test -run '^$' -bench Splitter ./device/testsrc
func BenchmarkSplitter(b *testing.B) {
	one := devicetest.JPEG(1, 1280, 720)
	s := newSplitter(&repeat{data: one}, maxPicture)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := s.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
