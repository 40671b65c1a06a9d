package libcamera

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// rawNumber reads the number in a raw picture.
func rawNumber(data []byte) int {
	var bits [4]byte
	for i := range 32 {
		bits[i/8] |= data[i] & 1 << (7 - i%8)
	}
	return int(binary.BigEndian.Uint32(bits[:]))
}

// jpegNumber reads the number in a JPEG picture, -1 when there is none.
func jpegNumber(data []byte) int {
	_, rest, _ := bytes.Cut(data, []byte("number "))
	n, err := strconv.Atoi(string(rest[:min(8, len(rest))]))
	if err != nil {
		return -1
	}
	return n
}

func TestRawPicturesAreWholeAndTheStrideIsRight(t *testing.T) {
	for _, tt := range []struct {
		name, fake    string
		cfg           func(*Config)
		width, height int
		stride        int
	}{
		{"VC4, width that is no multiple of 64", "list=vc4", nil, 780, 440, 832},
		{"VC4, in pieces", "list=vc4 split=999", nil, 640, 480, 640},
		{"PiSP, multiple of 128", "list=pisp", nil, 640, 480, 640},
		{"PiSP, rows of 128", "list=pisp", nil, 780, 440, 896},
		{"PiSP, rows of 64", "list=pisp align=64", nil, 780, 440, 832},
		{"PiSP, rows of 32, in pieces", "list=pisp align=32 split=4000", nil, 780, 440, 800},
		{"the board is configured", "list=vc4 align=128", func(c *Config) { c.Board = BoardPiSP }, 780, 440, 896},
		{"libcamera makes another size", "list=vc4 grant=800x600", nil, 780, 440, 832},
		{"the size is not told", "list=vc4 terse", nil, 780, 440, 832},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.fake, func(c *Config) {
				if tt.cfg != nil {
					tt.cfg(c)
				}
			})
			cam, f := r.start(Options{Codec: CodecYUV420}, device.Format{Width: tt.width, Height: tt.height, Rate: device.FPS(25)})
			want := device.Format{FourCC: device.YU12, Width: tt.width, Height: tt.height, Stride: tt.stride, Rate: device.FPS(25)}
			if strings.Contains(tt.fake, "grant") {
				want.Width, want.Height = 800, 600
			}
			if f != want {
				t.Fatalf("granted %+v, want %+v", f, want)
			}
			for range 5 {
				b := r.take(cam)
				checkRaw(t, b)
			}
		})
	}
}

// checkRaw looks at every sample, and that what is between the rows is only
// there.
func checkRaw(t *testing.T, b device.Buffer) {
	t.Helper()
	f := b.Format
	if len(b.Data) != f.Stride*f.Height*3/2 {
		t.Fatalf("%d bytes for %+v", len(b.Data), f)
	}
	if got := rawNumber(b.Data); got != int(b.DriverSeq) {
		t.Errorf("picture %d has the number %d", b.DriverSeq, got)
	}
	for y := range f.Height {
		for x := range f.Stride {
			want := byte(x + y)
			if x >= f.Width {
				want = 0xA5
			}
			if got := b.Data[y*f.Stride+x]; got != want && (y > 0 || x >= 32) {
				t.Fatalf("Y at %d,%d: got %d, want %d", x, y, got, want)
			}
		}
	}
	for i, value := range []byte{100, 150} {
		plane := b.Data[f.Stride*f.Height+i*f.Stride/2*f.Height/2:]
		for y := range f.Height / 2 {
			if got := plane[y*f.Stride/2]; got != value {
				t.Fatalf("plane %d, row %d: got %d, want %d", i+1, y, got, value)
			}
			if got := plane[y*f.Stride/2+f.Width/2-1]; got != value {
				t.Fatalf("plane %d, end of row %d: got %d, want %d", i+1, y, got, value)
			}
		}
	}
}

func TestJPEGPicturesAreWholeAndComeAtOnce(t *testing.T) {
	for _, fake := range []string{"list=pisp", "list=pisp split=700", "list=pisp garbage=2"} {
		t.Run(fake, func(t *testing.T) {
			r := newRig(t, fake)
			cam, f := r.start(Options{}, device.Format{Width: 640, Height: 480, Rate: device.FPS(30)})
			if f.FourCC != device.MJPG || f.Width != 640 || f.Height != 480 || f.Stride != 0 {
				t.Fatalf("granted %+v", f)
			}
			last, late := -1, 0
			for last < 6 {
				b := r.take(cam)
				if !bytes.HasPrefix(b.Data, []byte{0xFF, 0xD8}) || !bytes.HasSuffix(b.Data, []byte{0xFF, 0xD9}) {
					t.Fatalf("picture %d is not whole", b.DriverSeq)
				}
				n := jpegNumber(b.Data)
				if n <= last || int(b.DriverSeq) != n {
					t.Fatalf("picture %d has the number %d, after %d", b.DriverSeq, n, last)
				}
				// The sensor's time is 12 ms back. A picture that is complete only
				// when the next one begins would be 33 ms older.
				if age := b.ReceivedAt.Sub(b.CapturedAt); n != 3 && (age < 10*time.Millisecond || age > 40*time.Millisecond) {
					late++
				}
				last = n
			}
			if late > 2 { // a busy computer may spoil some
				t.Errorf("%d of 7 pictures were not received 12 ms after they were taken", late)
			}
		})
	}
}

// TestOutputIsFlushed shows that the fake keeps tails back when it is not told
// to flush, so that the other tests prove that it is.
func TestOutputIsFlushed(t *testing.T) {
	r := newRig(t, "list=pisp")
	r.start(Options{}, device.Format{})
	for _, run := range r.ran("--codec") {
		if !strings.Contains(run, " --flush ") {
			t.Errorf("run without --flush: %s", run)
		}
	}
}

func TestCapturedAtIsTheSensorsTime(t *testing.T) {
	for _, tt := range []struct {
		fake      string
		low, high time.Duration
	}{
		{"list=vc4", 11 * time.Millisecond, 40 * time.Millisecond},
		{"list=vc4 mute", 0, 0},
	} {
		t.Run(tt.fake, func(t *testing.T) {
			r := newRig(t, tt.fake)
			cam, _ := r.start(Options{}, device.Format{Width: 640, Height: 480})
			good := 0
			for range 8 {
				b := r.take(cam)
				if age := b.ReceivedAt.Sub(b.CapturedAt); age >= tt.low && age <= tt.high {
					good++
				}
			}
			if good < 6 { // a busy computer may spoil some
				t.Errorf("%d of 8 pictures were taken %v to %v before they were received", good, tt.low, tt.high)
			}
		})
	}
}

func TestMetadataOfTheNewestPictureCanBeRead(t *testing.T) {
	r := newRig(t, "list=vc4")
	cam := r.open("", Options{})
	if _, ok := cam.Metadata(); ok {
		t.Error("metadata before Start")
	}
	if _, err := cam.Start(r.context(), device.Format{}); err != nil {
		t.Fatal(err)
	}
	r.take(cam)
	eventually(t, "metadata came", func() bool { _, ok := cam.Metadata(); return ok })
	m, _ := cam.Metadata()
	m.Frame, m.SensorTimestamp, m.FocusFoM = 0, 0, 0
	want := Metadata{
		ExposureTime: 9998 * time.Microsecond, FrameDuration: 33333 * time.Microsecond, AnalogueGain: 1.5, DigitalGain: 1.002, Lux: 401.25,
		ColourTemperature: 4512, ColourGains: [2]float64{1.912, 2.105}, LensPosition: 1, AfState: 2, SensorTemperature: 41, AeLocked: true, Lens: true,
	}
	if m != want {
		t.Errorf("got %+v\nwant %+v", m, want)
	}
}

func TestSlowConsumerGetsTheNewestPictureAndNeverHoldsTheProgramUp(t *testing.T) {
	r := newRig(t, "list=vc4")
	cam, _ := r.start(Options{}, device.Format{Width: 1280, Height: 720, Rate: device.FPS(60)})
	first := r.take(cam)
	// Nobody takes pictures until the program has made 30 more: with 1.4 MB each,
	// that is far beyond what the pipe holds.
	eventually(t, "the program goes on", func() bool {
		m, _ := cam.Metadata()
		return m.Frame >= first.DriverSeq+30
	})
	b := r.take(cam)
	if got := int(b.DriverSeq - first.DriverSeq); got < 29 || b.Stale < got-2 {
		t.Errorf("got picture %d after %d with %d stale ones", b.DriverSeq, first.DriverSeq, b.Stale)
	}
	checkRaw(t, b)
}

func TestProgramIsStoppedInOrderOrKilled(t *testing.T) {
	for _, tt := range []struct {
		name, fake string
		low, high  time.Duration
	}{
		{"at once", "list=vc4", 0, time.Second},
		{"while it writes without a pause", "list=vc4 burst", 0, time.Second},
		{"ignores SIGINT", "list=vc4 deaf", defaultStopGrace, defaultStopGrace + 2*time.Second},
		{"stuck", "list=pisp stall=2", defaultStopGrace, defaultStopGrace + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.fake, func(c *Config) { c.StopGrace = 0 })
			cam, _ := r.start(Options{}, device.Format{Width: 640, Height: 480})
			r.take(cam)
			if strings.Contains(tt.fake, "stall") {
				eventually(t, "the last picture came", func() bool { m, _ := cam.Metadata(); return m.Frame == 1 })
			}
			s := cam.current().stream
			pid := s.child.PID()
			begin := time.Now()
			if err := cam.Close(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < tt.low || took > tt.high {
				t.Errorf("took %v, want %v to %v", took, tt.low, tt.high)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there: %v", pid, err)
			}
			inOrder := s.child.Err() == nil
			if wantOrder := tt.high <= time.Second; inOrder != wantOrder {
				t.Errorf("ended in order: %v (%v, %v), want %v", inOrder, s.child.Err(), s.child.Lines(), wantOrder)
			}
		})
	}
}

func TestFiftyCyclesLeaveNothingBehind(t *testing.T) {
	r := newRig(t, "list=vc4")
	cycle := func(i int) {
		cam, err := r.drv.Open(r.context(), "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := device.Format{Width: 320, Height: 240, Rate: device.FPS(100)}
		if i%2 == 1 {
			want.FourCC = device.MJPG
		}
		if _, err := cam.Start(r.context(), want); err != nil {
			t.Fatal(err)
		}
		if i%3 > 0 {
			r.take(cam)
		}
		if i%5 == 0 {
			if err := cam.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cam.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cycle(0)
	leakFree(t, func() {
		for i := range 50 {
			cycle(i)
		}
	})
	if r.drv.captures != 0 {
		t.Errorf("%d captures are left", r.drv.captures)
	}
	var rest int
	if n, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err == nil && n >= 0 {
		rest++
	}
	if rest > 0 {
		t.Error("a child process was not waited for")
	}
}

func TestCloseEndsASlowStart(t *testing.T) {
	r := newRig(t, "list=vc4 lag=10s")
	cam := r.open("", Options{})
	done := make(chan error, 1)
	go func() {
		_, err := cam.Start(context.Background(), device.Format{})
		done <- err
	}()
	eventually(t, "the program runs", func() bool { return len(r.ran("--codec")) == 1 })
	begin := time.Now()
	if err := cam.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, device.ErrClosed) {
		t.Errorf("Start: got %v, want ErrClosed", err)
	}
	if took := time.Since(begin); took > defaultStopGrace+2*time.Second {
		t.Errorf("took %v", took)
	}
}
