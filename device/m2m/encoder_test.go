package m2m

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// maker returns the only encoder there is.
func maker(tb testing.TB, f *Finder) device.EncoderMaker {
	tb.Helper()
	list, err := f.Find(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if len(list) != 1 {
		tb.Fatalf("found %d encoders, want 1", len(list))
	}
	return list[0]
}

// onOne is a world with one device, as node 31.
func onOne(tb testing.TB, d *fakeDevice) device.EncoderMaker {
	tb.Helper()
	return maker(tb, rig(tb, Config{}, map[string]*fakeDevice{"video31": d}))
}

func newEncoder(tb testing.TB, d *fakeDevice, f device.Format) *Encoder {
	tb.Helper()
	e, err := onOne(tb, d).New(tb.Context(), f, 80)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e.(*Encoder)
}

func TestEncoderKeepsTheContract(t *testing.T) {
	unaware := func(lines, columns uint32) *fakeDevice {
		d := piImageEncoder()
		d.lines, d.columns, d.visible, d.crops = lines, columns, false, false
		return d
	}
	for name, d := range map[string]*fakeDevice{
		"image encoder of the Pi": piImageEncoder(),
		"video encoder of the Pi": piVideoEncoder(),
		"knows whole blocks only": unaware(16, 16),
		"knows even rows only":    unaware(2, 2),
		"one plane": func() *fakeDevice {
			d := piImageEncoder()
			d.caps = capM2M | capStreaming
			d.inputs = []device.FourCC{device.GREY, device.YU12}
			return d
		}(),
		"garbage first": func() *fakeDevice {
			d := piImageEncoder()
			d.stray = []byte("garbage")
			return d
		}(),
		"results behind an offset": func() *fakeDevice {
			d := piImageEncoder()
			d.offset = 64
			return d
		}(),
		"quality only while stopped": func() *fakeDevice {
			d := piImageEncoder()
			d.busyCtrl = true
			return d
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			m := onOne(t, d)
			var formats []device.Format
			for _, fourcc := range d.inputs {
				f := device.Format{FourCC: fourcc, Width: 200, Height: 122, Rate: device.FPS(5)}
				if m.Accepts(f) {
					formats = append(formats, f)
				}
			}
			if name == "image encoder of the Pi" {
				formats = append(formats, device.Format{FourCC: device.YU12, Width: 1920, Height: 1080})
			}
			devicetest.TestEncoder(t, m, formats...)
		})
	}
}

// small is what most tests encode.
func small() device.Format {
	return device.Format{FourCC: device.YU12, Width: 64, Height: 48, Rate: device.FPS(30)}
}

func picture(f device.Format) *device.Buffer {
	p := newCopier(f, f.Width, f.Height, f.Width*4)
	data := make([]byte, p.size)
	for i := range data {
		data[i] = byte(i)
	}
	return &device.Buffer{Data: data, Format: f}
}

// TestFailuresAreToldAndTheNextPictureWorks goes through what can happen to a
// picture.
func TestFailuresAreToldAndTheNextPictureWorks(t *testing.T) {
	for _, tt := range []struct {
		fate string
		kind error
		text string
		lost bool // the hardware does not come back
	}{
		{fate: "lost", kind: device.ErrStalled, text: "no answer in time: 2s"},
		{fate: "half lost", kind: device.ErrStalled, text: "no answer in time"},
		{fate: "wrong time", kind: device.ErrStalled, text: "no answer in time"},
		{fate: "error", kind: device.ErrDamaged, text: "flags the result as damaged"},
		{fate: "error of the result", kind: device.ErrDamaged, text: "flags the result"},
		{fate: "empty", kind: device.ErrDamaged, text: "the result is empty"},
		{fate: "last", kind: device.ErrDamaged, text: "at the end"},
		{fate: "stray last", kind: device.ErrDamaged, text: "at the end"},
		{fate: "cut", kind: device.ErrDamaged, text: "the result: ends within the picture"},
		{fate: "text", kind: device.ErrDamaged, text: "the result: is no JPEG"},
		{fate: "failed queue", kind: unix.EIO, text: "input/output error"},
		{fate: "hangup", kind: device.ErrUnplugged, text: "no such device"},
		{fate: "gone", kind: device.ErrUnplugged, text: "no such device", lost: true},
		{fate: "too long", kind: unix.EPROTO, text: "buffer 7 of 2"},
	} {
		t.Run(tt.fate, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := piImageEncoder()
				d.fate = []string{tt.fate}
				e := newEncoder(t, d, small())
				_, err := e.Encode(picture(small()))
				if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want kind %v and %q", err, tt.kind, tt.text)
				}
				if !strings.Contains(err.Error(), "/dev/video31") {
					t.Errorf("%v does not name the device", err)
				}
				if !tt.lost {
					d.mu.Lock()
					d.fate = []string{""}
					d.mu.Unlock()
					e.node.(*fakeNode).events = 0
				}
				for range 3 {
					data, err := e.Encode(picture(small()))
					switch {
					case tt.lost && !errors.Is(err, device.ErrUnplugged):
						t.Errorf("later: got %v, want ErrUnplugged", err)
					case !tt.lost && err != nil:
						t.Errorf("later: %v", err)
					case !tt.lost:
						if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
							t.Error(err)
						}
					}
				}
			})
		})
	}
}

func TestErrorsOfTheKernelKeepTheirMeaning(t *testing.T) {
	for _, tt := range []struct {
		call string
		err  error
		kind error
		text string
	}{
		{"open", unix.EACCES, device.ErrPermission, "m2m open /dev/video31: permission denied"},
		{"open", unix.ENOENT, device.ErrNotFound, "m2m open"},
		{"open", unix.EBUSY, device.ErrBusy, "m2m open"},
		{"querycap", unix.ENODEV, device.ErrUnplugged, "query capabilities"},
		{"setfmt", unix.EBUSY, device.ErrBusy, "m2m set format /dev/video31 YU12 64x48 at 30 fps: device or resource busy"},
		{"setparm", unix.EIO, unix.EIO, "m2m set rate /dev/video31 30 fps"},
		{"setctrl", unix.EIO, unix.EIO, "m2m set quality /dev/video31 80"},
		{"reqbufs", unix.ENOMEM, unix.ENOMEM, "raise cma= on the kernel's command line, lower gpu_mem"},
		{"querybuf", unix.EIO, unix.EIO, "request buffers"},
		{"mmap", unix.ENOMEM, unix.ENOMEM, "cma="},
	} {
		t.Run(tt.call+" "+tt.err.Error(), func(t *testing.T) {
			d := piImageEncoder()
			m := onOne(t, d)
			d.broken = map[string]error{tt.call: tt.err}
			_, err := m.New(t.Context(), small(), 80)
			if !errors.Is(err, tt.kind) || !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("New: got %v, want kind %v and %q", err, tt.kind, tt.text)
			}
		})
	}
	for _, call := range []string{"qbuf", "dqbuf", "streamon", "poll"} {
		for _, errno := range []unix.Errno{unix.EIO, unix.ENODEV, unix.ENOMEM} {
			t.Run(call+" "+errno.Error(), func(t *testing.T) {
				d := piImageEncoder()
				e := newEncoder(t, d, small())
				for _, good := range []int{0, 2} {
					fail := make([]error, good+1)
					fail[good] = errno
					d.mu.Lock()
					d.fail = map[string][]error{call: fail}
					d.mu.Unlock()
					var err error
					for range 4 {
						if _, err = e.Encode(picture(small())); err != nil {
							break
						}
					}
					if call == "streamon" && good == 2 {
						continue // it is called once in a life only
					}
					if !errors.Is(err, errno) || errors.Is(err, device.ErrUnplugged) != (errno == unix.ENODEV) {
						t.Errorf("after %d good ones: got %v", good, err)
					}
					d.mu.Lock()
					d.fail = nil
					d.mu.Unlock()
					if _, err := e.Encode(picture(small())); err != nil {
						t.Errorf("the next picture: %v", err)
					}
				}
			})
		}
	}
}

func TestRefusalsOfTheDriverAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(d *fakeDevice)
		format device.Format
		kind   error
		text   string
	}{
		"firmware without the encoder": {
			func(d *fakeDevice) { d.given = fourccH264 }, small(), device.ErrUnsupported,
			"m2m set format /dev/video31 JPEG: it gives H264 instead; this firmware has no JPEG encoder (gpu_mem=16 selects such a one)",
		},
		"picture too large after all": {
			func(d *fakeDevice) { d.maxSide = 640 },
			device.Format{FourCC: device.YU12, Width: 1280, Height: 720},
			device.ErrUnsupported,
			"takes YU12 640x640 in 1 planes instead",
		},
		"no buffers": {
			func(d *fakeDevice) { d.countOnly = 1 }, small(), unix.ENOMEM, "cma=",
		},
		"one buffer of two": {
			func(d *fakeDevice) { d.countOnly = 2 }, small(), unix.ENOMEM, "cma=",
		},
		"another device has the number": {
			func(d *fakeDevice) { d.card = "bcm2835-codec-isp" }, small(), device.ErrNotFound, "is bcm2835-codec-isp now",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := piImageEncoder()
			m := onOne(t, d)
			tt.change(d)
			_, err := m.New(t.Context(), tt.format, 80)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want kind %v and %q", err, tt.kind, tt.text)
			}
		})
	}
}

func TestAnswersMayTakeAsLongAsTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := piImageEncoder()
		d.delay = 1900 * time.Millisecond
		e := newEncoder(t, d, small())
		d.spurious = 5
		if _, err := e.Encode(picture(small())); err != nil {
			t.Errorf("first picture after 1.9 s: %v", err)
		}
		d.delay = 490 * time.Millisecond
		if _, err := e.Encode(picture(small())); err != nil {
			t.Errorf("second picture after 0.49 s: %v", err)
		}
		d.delay = time.Second
		began := time.Now()
		if _, err := e.Encode(picture(small())); !errors.Is(err, device.ErrStalled) {
			t.Errorf("third picture after 1 s: got %v, want ErrStalled", err)
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("gave up after %v, want 500 ms", took)
		}
		if _, err := e.Encode(picture(small())); err != nil {
			t.Errorf("the reset encoder has 2 s for its first picture, got %v after 1 s", err)
		}
	})
}

func TestStalledEncoderIsStoppedAndStartedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := piImageEncoder()
		d.fate = []string{"lost"}
		e := newEncoder(t, d, small())
		if _, err := e.Encode(picture(small())); !errors.Is(err, device.ErrStalled) {
			t.Fatalf("got %v", err)
		}
		d.calls = nil
		if _, err := e.Encode(picture(small())); err != nil {
			t.Fatal(err)
		}
		want := []string{"qbuf", "qbuf", "streamon", "streamon", "qbuf"}
		if got := d.calls[:min(len(want), len(d.calls))]; !slices.Equal(got, want) {
			t.Errorf("calls after the stall: %v, want %v", got, want)
		}
	})
}

func TestAskedIsWhatTheContractSays(t *testing.T) {
	d := piImageEncoder()
	f := device.Format{FourCC: device.YU12, Width: 1920, Height: 1080, Rate: device.FPS(12.5), Stride: 2048}
	e := newEncoder(t, d, f)
	if d.asked.Colorspace != colorspaceJPEG || d.asked.Quantization != quantFull || d.asked.YCbCrEnc != enc601 ||
		d.asked.Planes[0].BytesPerLine != 2048 || d.asked.NumPlanes != 1 {
		t.Errorf("asked for %+v", d.asked)
	}
	if d.crop != [2]uint32{1920, 1080} {
		t.Errorf("crop is %v", d.crop)
	}
	if d.rate != [2]uint32{25, 2} {
		t.Errorf("rate is %v", d.rate)
	}
	if d.set[cidJPEGQuality] != 80 {
		t.Errorf("quality is %v", d.set)
	}
	if want := "bcm2835-codec-encode_image on /dev/video31"; e.Name() != want {
		t.Errorf("Name is %q, want %q", e.Name(), want)
	}
}

func TestQualityIsSetOncePerChange(t *testing.T) {
	d := piImageEncoder()
	e := newEncoder(t, d, small())
	for _, q := range []int{80, 50, 50, 60, 60} {
		if err := e.SetQuality(q); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Encode(picture(small())); err != nil {
			t.Fatal(err)
		}
		if got := d.set[cidJPEGQuality]; got != int32(q) {
			t.Errorf("quality is %d, want %d", got, q)
		}
	}
	count := 0
	for _, c := range d.calls {
		if c == "setctrl" {
			count++
		}
	}
	if count != 3 {
		t.Errorf("set %d times, want 3", count)
	}
	e.Close()
	if err := e.SetQuality(50); !errors.Is(err, device.ErrClosed) {
		t.Errorf("SetQuality after Close: got %v, want ErrClosed", err)
	}
}

func TestEncoderWithoutQualityControlEncodesAndSaysSo(t *testing.T) {
	d := piImageEncoder()
	d.controls = nil
	var log bytes.Buffer
	f := rig(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, map[string]*fakeDevice{"video31": d})
	e, err := maker(t, f).New(t.Context(), small(), 80)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Encode(picture(small())); err != nil {
		t.Error(err)
	}
	if err := e.SetQuality(50); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("SetQuality: got %v, want ErrUnsupported", err)
	}
	if !strings.Contains(log.String(), "encoder has no control for quality") {
		t.Errorf("log says %q", log.String())
	}
}

func TestEncodeFailsWhenTheContextOfNewEnded(t *testing.T) {
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := onOne(t, piImageEncoder()).New(ctx, small(), 80); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestEncodeAllocatesTheResultOnly(t *testing.T) {
	d := piImageEncoder()
	e := newEncoder(t, d, small())
	p := picture(small())
	var err error
	if d.canned, err = e.Encode(p); err != nil {
		t.Fatal(err)
	}
	d.quiet = true
	if n := testing.AllocsPerRun(100, func() { _, err = e.Encode(p) }); n != 1 || err != nil {
		t.Errorf("%v allocations, %v, want 1", n, err)
	}
}

// What a picture costs besides the hardware: one copy in, one copy of the
// result, and the memory of the result.
//
//	go test -run '^$' -bench Encode -benchmem ./device/m2m
func BenchmarkEncode(b *testing.B) {
	for name, f := range map[string]device.Format{
		"1280x720 as it lies":        {FourCC: device.YU12, Width: 1280, Height: 720},
		"1920x1080 with 1088 lines":  {FourCC: device.YU12, Width: 1920, Height: 1080},
		"1920x1080 of limited range": {FourCC: device.YU12, Width: 1920, Height: 1080, Quantization: device.LimitedRange},
		"1920x1080 YUYV":             {FourCC: device.YUYV, Width: 1920, Height: 1080},
	} {
		b.Run(name, func(b *testing.B) {
			d := piImageEncoder()
			e := newEncoder(b, d, f)
			p := picture(f)
			var err error
			if d.canned, err = e.Encode(p); err != nil {
				b.Fatal(err)
			}
			d.quiet = true
			b.SetBytes(int64(len(p.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Encode(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
