package libcamera

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"os"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// smallJPEG makes a picture whose segments hold what looks like others.
func smallJPEG(tb testing.TB, width, height int) []byte {
	tb.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i * 7)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		tb.Fatal(err)
	}
	trap := "\xFF\xE1\x00\x0A\xFF\xD8\xFF\xDB\xFF\xD9\xFF\xD8"
	return slices.Concat(b.Bytes()[:2], []byte(trap), b.Bytes()[2:])
}

func TestJPEGFramingNeedsNothingBehindAPicture(t *testing.T) {
	picture := smallJPEG(t, 32, 16)
	r, w := io.Pipe()
	frames := newJPEGFrames(r)
	go func() {
		for range 3 {
			_, _ = w.Write(picture) // and no more until it was taken
		}
		_ = w.Close()
	}()
	for range 3 {
		data, width, height, skipped, err := frames.next(context.Background())
		if err != nil || !bytes.Equal(data, picture) || width != 32 || height != 16 || skipped {
			t.Fatalf("got %d bytes, %dx%d, skipped %v, %v", len(data), width, height, skipped, err)
		}
	}
	if _, _, _, _, err := frames.next(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
}

func TestJPEGFramingTellsWhatItSkipped(t *testing.T) {
	picture := smallJPEG(t, 32, 16)
	stream := slices.Concat(picture, picture[:40], picture, []byte("garbage\xFF\xD8\xFF"), picture, picture)
	frames := newJPEGFrames(iotest.HalfReader(bytes.NewReader(stream)))
	for i, want := range []bool{false, true, true, false} {
		data, _, _, skipped, err := frames.next(context.Background())
		if err != nil || !bytes.Equal(data, picture) || skipped != want {
			t.Fatalf("picture %d: got %d bytes, skipped %v, %v, want %v", i, len(data), skipped, err, want)
		}
	}
}

// FuzzJPEGFraming: whatever comes before, whole pictures behind it are found,
// and how the bytes are cut does not matter.
func FuzzJPEGFraming(f *testing.F) {
	picture := smallJPEG(f, 16, 16)
	f.Add([]byte{}, uint8(1))
	f.Add(picture[:50], uint8(3))
	f.Add([]byte("\xFF\xD8\xFF\xE1\x00\x00\xFF\xD9"), uint8(7))
	f.Add(bytes.Repeat([]byte{0xFF}, 300), uint8(255))
	f.Fuzz(func(t *testing.T, noise []byte, cut uint8) {
		read := func(r io.Reader) (pictures [][]byte, total int64) {
			frames := newJPEGFrames(r)
			for {
				data, width, height, _, err := frames.next(context.Background())
				if err != nil {
					return pictures, frames.used
				}
				if width <= 0 || height <= 0 || !bytes.HasPrefix(data, []byte{0xFF, 0xD8}) || !bytes.HasSuffix(data, []byte{0xFF, 0xD9}) {
					t.Fatalf("no picture: %dx%d, % x", width, height, data)
				}
				pictures = append(pictures, bytes.Clone(data))
			}
		}
		// Noise may announce a segment of up to 64 KiB, which swallows pictures.
		stream := slices.Concat(noise, bytes.Repeat(picture, 1+0x20000/len(picture)))
		whole, used := read(bytes.NewReader(stream))
		if len(whole) == 0 || !bytes.Equal(whole[len(whole)-1], picture) || used > int64(len(stream)) {
			t.Fatalf("%d pictures, %d of %d bytes used", len(whole), used, len(stream))
		}
		if len(stream) > 200_000 {
			return
		}
		pieces, _ := read(&chopped{data: stream, size: int(cut) + 1})
		if len(pieces) != len(whole) {
			t.Fatalf("%d pictures in pieces, %d at once", len(pieces), len(whole))
		}
	})
}

// chopped gives a few bytes at a time.
type chopped struct {
	data []byte
	size int
}

func (c *chopped) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.data)
	c.data = c.data[n:]
	return n, nil
}

func TestStrideIsMeasuredByTheFirstPictures(t *testing.T) {
	const height = 100
	strides := []int{896, 832, 800, 780}
	for _, tt := range []struct {
		name           string
		bytes          int
		stride, frames int
		err            error
	}{
		{"likeliest", rawBytes(896, height), 896, 1, nil},
		{"second", rawBytes(832, height), 832, 1, nil},
		{"last", rawBytes(780, height), 780, 1, nil},
		{"two at once", 2 * rawBytes(832, height), 832, 2, nil},
		{"none", rawBytes(790, height), 0, 0, io.EOF},
		{"far too much", 5 * rawBytes(896, height), 0, 0, errStride},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			go func() {
				data := bytes.Repeat([]byte{7}, tt.bytes)
				_, _ = w.Write(data[1 : len(data)/2])
				_, _ = w.Write(data[len(data)/2:])
				if tt.err != nil {
					_ = w.Close()
				}
			}()
			if tt.err == nil {
				defer func() { _ = w.Close() }()
			}
			last, stride, count, err := measure(r, 7, height, strides, 5*time.Millisecond)
			if !errors.Is(err, tt.err) || stride != tt.stride || count != tt.frames || stride > 0 && len(last) != rawBytes(stride, height) {
				t.Errorf("got stride %d, %d pictures, %d bytes, %v", stride, count, len(last), err)
			}
		})
	}
}

// factsOf gives facts that nobody tells but the test.
func factsOf(t *testing.T, cam *Camera) *facts {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f := newFacts(cam, r, time.Time{})
	t.Cleanup(func() {
		f.close()
		_ = w.Close() // nothing was written
	})
	return f
}

func TestFactsAreMatchedToPictures(t *testing.T) {
	r := newRig(t, "")
	cam := r.open("", Options{})
	setUp := func(t *testing.T) *facts {
		t.Helper()
		return factsOf(t, cam)
	}
	tell := func(f *facts, frames ...uint32) {
		for _, n := range frames {
			f.stamps <- stamp{frame: n, at: int64(n) + 100}
		}
	}
	check := func(t *testing.T, f *facts, want ...int64) {
		t.Helper()
		for i, w := range want {
			s, ok := f.next()
			if ok != (w != 0) || ok && s.at != w+100 {
				t.Errorf("picture %d: got %+v, %v, want %d", i, s, ok, w)
			}
		}
	}
	t.Run("in order", func(t *testing.T) {
		f := setUp(t)
		tell(f, 0, 1, 2, 3)
		f.frame = 1
		check(t, f, 1, 2, 3)
	})
	t.Run("one is missing", func(t *testing.T) {
		f := setUp(t)
		f.frame = 1
		tell(f, 1, 3, 4)
		check(t, f, 1, 0, 3, 4)
	})
	t.Run("pictures were skipped", func(t *testing.T) {
		f := setUp(t)
		f.frame = 1
		tell(f, 1, 2, 3, 4)
		check(t, f, 1)
		f.skipped()
		check(t, f, 4)
		tell(f, 5)
		check(t, f, 5)
	})
	t.Run("none ever", func(t *testing.T) {
		f := setUp(t)
		begin := time.Now()
		check(t, f, make([]int64, 1000)...)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("waited %v for facts that never come", took)
		}
	})
}

func TestCapturedAtNeverGoesBackNorIntoTheFuture(t *testing.T) {
	now := time.Now()
	const boot = int64(1000 * time.Second)
	for _, tt := range []struct {
		name    string
		now, at int64
		want    time.Duration
	}{
		{"a frame ago", boot, boot - int64(33*time.Millisecond), 33 * time.Millisecond},
		{"not told", boot, 0, 0},
		{"the future", boot, boot + 1, 0},
		{"another clock", boot, 1, 0},
		{"no clock", 0, boot, 0},
	} {
		if got := now.Sub(takenAt(now, tt.now, tt.at)); got != tt.want {
			t.Errorf("%s: got %v before, want %v", tt.name, got, tt.want)
		}
	}
	r := newRig(t, "")
	f := factsOf(t, r.open("", Options{}))
	boots := bootTime()
	f.stamps <- stamp{0, boots - int64(time.Millisecond)}
	f.stamps <- stamp{1, boots - int64(20*time.Millisecond)}
	first := f.capturedAt(time.Now())
	if second := f.capturedAt(time.Now()); !second.After(first) {
		t.Errorf("%v is followed by %v", first, second)
	}
}

func TestMetadataIsReadInAnyPieces(t *testing.T) {
	text := "SensorTimestamp=123456789012\nExposureTime=9998\nUnknown=[ 1, 2 ]\nno value\nAnalogueGain=nan\nLux=1e300\nAeState=2\n\n\n\n" +
		"SensorTimestamp=-5\nColourGains=[ 1.5, 2.5 ]\nToneMapCurve=" + string(bytes.Repeat([]byte{'1'}, 2*maxMetadataLine)) + "\nLux=12.5\r\n\r\nhalf=1"
	want := []Metadata{
		{Frame: 0, SensorTimestamp: 123456789012, ExposureTime: 9998 * time.Microsecond, AeLocked: true},
		{Frame: 1, ColourGains: [2]float64{1.5, 2.5}, Lux: 12.5},
	}
	for _, size := range []int{1, 3, 17, 4096, len(text)} {
		var p metadataParser
		var got []Metadata
		for piece := range slices.Chunk([]byte(text), size) {
			p.write(piece, func(m Metadata) { got = append(got, m) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: got %+v", size, got)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte("SensorTimestamp=1\n\nLux=3\n\n"), uint8(3))
	f.Add([]byte("ExposureTime=99999999999999999999\nFrameDuration=999999999999999999\nAfState=999999999999\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		read := func(size int) (all []Metadata) {
			var p metadataParser
			for piece := range slices.Chunk(data, size) {
				p.write(piece, func(m Metadata) { all = append(all, m) })
			}
			if len(p.line) > maxMetadataLine {
				t.Fatalf("keeps %d bytes", len(p.line))
			}
			return all
		}
		whole := read(max(1, len(data)))
		for i, m := range whole {
			if m.Frame != uint32(i) || m.SensorTimestamp < 0 || m.ExposureTime < 0 || m.FrameDuration < 0 || m.Lux != m.Lux || m.AfState < 0 {
				t.Fatalf("picture %d: %+v", i, m)
			}
		}
		if pieces := read(int(cut) + 1); !slices.Equal(pieces, whole) {
			t.Fatalf("in pieces of %d: %+v, at once: %+v", int(cut)+1, pieces, whole)
		}
	})
}

// BenchmarkRawPicture is one 1280x720 picture through the pipe, from the fake
// program as fast as it goes. It allocates nothing per picture; measured on a
// 2-core Xeon: 0.44 ms, and 0.15 ms for a JPEG picture of 14 KB.
//
//	go test -bench RawPicture -benchmem -run '^$' ./device/libcamera
func BenchmarkRawPicture(b *testing.B) { benchmarkPicture(b, device.YU12) }

// BenchmarkJPEGPicture is the same for JPEG pictures.
func BenchmarkJPEGPicture(b *testing.B) { benchmarkPicture(b, device.MJPG) }

func benchmarkPicture(b *testing.B, code device.FourCC) {
	b.Helper()
	drv := New(Config{Program: fakeProgram, Env: []string{"FAKERPICAM=burst"}})
	cam, err := drv.Open(context.Background(), "", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cam.Close() }()
	f, err := cam.Start(context.Background(), device.Format{FourCC: code, Width: 1280, Height: 720})
	if err != nil {
		b.Fatal(err)
	}
	if f.FourCC == device.YU12 {
		b.SetBytes(int64(rawBytes(f.Stride, f.Height)))
	}
	use := func(*device.Buffer) error { return nil }
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if err := cam.Next(context.Background(), use); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart is what a changed setting costs besides the camera's own
// time: close, open, start, first picture. Measured with the fake program on a
// 2-core Xeon: 13 ms, most of them the process. A real camera takes 1 to 2 s.
//
//	go test -bench Restart -run '^$' ./device/libcamera
func BenchmarkRestart(b *testing.B) {
	drv := New(Config{Program: fakeProgram})
	for b.Loop() {
		cam, err := drv.Open(context.Background(), "", Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := cam.Start(context.Background(), device.Format{Width: 640, Height: 480, Rate: device.FPS(120)}); err != nil {
			b.Fatal(err)
		}
		if err := cam.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRawPicturesAllocateNothing guards the steady state. Timers and the
// child's lines may allocate now and then, a picture must not.
func TestRawPicturesAllocateNothing(t *testing.T) {
	r := newRig(t, "list=vc4 burst mute")
	cam, _ := r.start(Options{}, device.Format{Width: 640, Height: 480})
	use := func(*device.Buffer) error { return nil }
	ctx := r.context()
	next := func() {
		if err := cam.Next(ctx, use); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * patience {
		next()
	}
	if got := testing.AllocsPerRun(200, next); got >= 1 {
		t.Errorf("%v allocations per picture", got)
	}
}
