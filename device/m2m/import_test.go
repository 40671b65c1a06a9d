package m2m

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// camera is one that shares its buffers.
type camera struct {
	format device.Format
	data   [][]byte
	first  int // descriptor
	asked  int
}

// sharing makes a camera whose memory the device can be given.
func sharing(d *fakeDevice, f device.Format, buffers int) *camera {
	c := &camera{format: f, first: 70}
	for range buffers {
		p := picture(f)
		d.shared[c.first+len(c.data)] = p.Data
		c.data = append(c.data, p.Data)
	}
	return c
}

// lend gives the i-th picture.
func (c *camera) lend(i int) *device.Buffer {
	index := i % len(c.data)
	for at := range c.data[index] {
		c.data[index][at] = byte(at * (i + 1))
	}
	return &device.Buffer{Data: c.data[index], Format: c.format, DMABUF: func() (int, bool) {
		c.asked++
		return c.first + index, true
	}}
}

// alike is a format that lies in the encoder's memory just as in the camera's.
func alike() device.Format {
	return device.Format{FourCC: device.YU12, Width: 64, Height: 48, Rate: device.FPS(30), Stride: 64}
}

// importer makes an encoder that logs to the buffer.
func importer(t *testing.T, d *fakeDevice, f device.Format) (*Encoder, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	if d.shared == nil {
		d.shared = map[int][]byte{}
	}
	finder := rig(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, map[string]*fakeDevice{"video31": d})
	e, err := maker(t, finder).New(t.Context(), f, 80)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e.(*Encoder), &log
}

// encodeBoth encodes a picture as it is shared, and a copy of it on another
// encoder, and wants the same of both.
func encodeBoth(t *testing.T, e, other *Encoder, b *device.Buffer) {
	t.Helper()
	got, err := e.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	want, err := other.Encode(&device.Buffer{Data: b.Data, Format: b.Format})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the shared picture came out differently")
	}
}

func TestSharedPicturesAreNotCopied(t *testing.T) {
	single := func(d *fakeDevice) *fakeDevice {
		d.caps = capM2M | capStreaming
		return d
	}
	for name, d := range map[string]*fakeDevice{"planes": piImageEncoder(), "one plane": single(piImageEncoder())} {
		for _, fourcc := range []device.FourCC{device.YU12, device.YUYV, device.RGB24} {
			t.Run(name+" "+fourcc.String(), func(t *testing.T) {
				f := alike()
				f.FourCC, f.Stride = fourcc, planesOf(fourcc)[0].row(f.Width)
				e, log := importer(t, d, f)
				other := newEncoder(t, piImageEncoder(), f)
				cam := sharing(d, f, 4)
				for i := range 20 {
					encodeBoth(t, e, other, cam.lend(i))
				}
				if e.imports.pictures != 20 || e.copied != uint64(len(cam.data[0])) {
					t.Errorf("%d pictures imported and %d bytes copied, want 20 and one picture of %d", e.imports.pictures, e.copied, len(cam.data[0]))
				}
				if !slices.Equal(e.imports.slots, []int{70, 71, 72, 73}) {
					t.Errorf("slots are %v: one for each buffer is wanted", e.imports.slots)
				}
				if got := strings.Count(log.String(), "level=INFO"); got != 1 || !strings.Contains(log.String(), "encoder reads pictures from the camera's memory") {
					t.Errorf("log says %s", log)
				}
			})
		}
	}
}

func TestMoreBuffersThanSlotsTakeTurns(t *testing.T) {
	d := piImageEncoder()
	e, _ := importer(t, d, alike())
	other := newEncoder(t, piImageEncoder(), alike())
	cam := sharing(d, alike(), 7)
	for i := range 30 {
		encodeBoth(t, e, other, cam.lend(i))
	}
	if e.imports.pictures != 30 || len(e.imports.slots) != importBuffers {
		t.Errorf("%d pictures imported into %d slots", e.imports.pictures, len(e.imports.slots))
	}
}

func TestPicturesThatLieDifferentlyAreCopied(t *testing.T) {
	for name, tt := range map[string]struct {
		edit   func(f *device.Format)
		change func(d *fakeDevice)
	}{
		"lines are added":      {edit: func(f *device.Format) { f.Height = 40 }},
		"rows are longer":      {change: func(d *fakeDevice) { d.stride = 96 }},
		"rows have an edge":    {edit: func(f *device.Format) { f.Width, f.Stride = 60, 64 }},
		"limited range":        {edit: func(f *device.Format) { f.Quantization = device.LimitedRange }},
		"short packed picture": {edit: func(f *device.Format) { f.FourCC, f.Height, f.Stride = device.YUYV, 40, 128 }},
	} {
		t.Run(name, func(t *testing.T) {
			d, f := piImageEncoder(), alike()
			if tt.edit != nil {
				tt.edit(&f)
			}
			if tt.change != nil {
				tt.change(d)
			}
			e, log := importer(t, d, f)
			cam := sharing(d, f, 2)
			for i := range 5 {
				if _, err := e.Encode(cam.lend(i)); err != nil {
					t.Fatal(err)
				}
			}
			if e.imports.pictures != 0 || e.copied != 5*uint64(e.copier.size) || cam.asked > 1 {
				t.Errorf("%d pictures imported, %d bytes copied, asked %d times for a descriptor", e.imports.pictures, e.copied, cam.asked)
			}
			if got := strings.Count(log.String(), "pictures are copied for the encoder"); got != 1 {
				t.Errorf("log says %s", log)
			}
		})
	}
}

func TestImportThatDoesNotWorkIsTriedOnce(t *testing.T) {
	for imports, reason := range map[string]string{
		"no memory type": "invalid argument", "refused": "bad address", "garbled": "makes something else", "lost": "no answer in time: 2s",
	} {
		t.Run(imports, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := piImageEncoder()
				d.imports = imports
				e, log := importer(t, d, alike())
				other := newEncoder(t, piImageEncoder(), alike())
				cam := sharing(d, alike(), 3)
				for i := range 6 {
					encodeBoth(t, e, other, cam.lend(i))
				}
				if cam.asked != 1 || e.copied != 6*uint64(e.copier.size) || e.output.mem != memoryMMAP {
					t.Errorf("asked %d times for a descriptor, %d bytes copied", cam.asked, e.copied)
				}
				if !strings.Contains(log.String(), reason) || strings.Count(log.String(), "level=INFO") != 1 {
					t.Errorf("log says %s, want %q", log, reason)
				}
			})
		})
	}
}

func TestImportThatFailsLaterIsGivenUp(t *testing.T) {
	for name, breaks := range map[string]func(d *fakeDevice, b *device.Buffer){
		"not exported":       func(_ *fakeDevice, b *device.Buffer) { b.DMABUF = func() (int, bool) { return -1, false } },
		"not shared":         func(_ *fakeDevice, b *device.Buffer) { b.DMABUF = nil },
		"refused":            func(d *fakeDevice, _ *device.Buffer) { d.imports = "refused" },
		"descriptor is gone": func(d *fakeDevice, _ *device.Buffer) { clear(d.shared) },
	} {
		t.Run(name, func(t *testing.T) {
			d := piImageEncoder()
			e, log := importer(t, d, alike())
			other := newEncoder(t, piImageEncoder(), alike())
			cam := sharing(d, alike(), 3)
			for i := range 10 {
				b := cam.lend(i)
				if i == 4 {
					breaks(d, b)
				}
				encodeBoth(t, e, other, b)
			}
			if e.imports.pictures != 4 || e.copied != 7*uint64(e.copier.size) {
				t.Errorf("%d pictures imported and %d bytes copied, want 4 and 7 pictures", e.imports.pictures, e.copied)
			}
			if strings.Count(log.String(), "pictures are copied for the encoder") != 1 {
				t.Errorf("log says %s", log)
			}
		})
	}
}

// TestFailuresOfTheEncoderDoNotEndTheImport is about an encoder that hiccups.
func TestFailuresOfTheEncoderDoNotEndTheImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := piImageEncoder()
		e, _ := importer(t, d, alike())
		cam := sharing(d, alike(), 3)
		for i := range 12 {
			if i%4 == 3 {
				d.fate = []string{[]string{"lost", "error", "cut"}[i/4]}
			}
			if _, err := e.Encode(cam.lend(i)); (err != nil) != (i%4 == 3) {
				t.Errorf("picture %d: %v", i, err)
			}
		}
		if e.imports.over || e.output.mem != memoryDMABUF || e.copied != uint64(e.copier.size) {
			t.Errorf("import is over: %v, %d bytes copied", e.imports.over, e.copied)
		}
	})
}

// TestMemoryThatCannotBeHadBack gives up the import and fails to go back once.
func TestMemoryThatCannotBeHadBack(t *testing.T) {
	d := piImageEncoder()
	e, _ := importer(t, d, alike())
	cam := sharing(d, alike(), 3)
	for i := range 3 {
		if _, err := e.Encode(cam.lend(i)); err != nil {
			t.Fatal(err)
		}
	}
	d.imports = "refused"
	d.fail = map[string][]error{"reqbufs": {nil, unix.ENOMEM}} // release, then allocate
	if _, err := e.Encode(cam.lend(3)); err == nil || !strings.Contains(err.Error(), "cma=") {
		t.Errorf("got %v, want a hint about memory", err)
	}
	if _, err := e.Encode(cam.lend(4)); err != nil {
		t.Errorf("the next picture: %v", err)
	}
}

func TestEncodeOfSharedPicturesAllocatesTheResultOnly(t *testing.T) {
	d := piImageEncoder()
	e, _ := importer(t, d, alike())
	b := sharing(d, alike(), 1).lend(0)
	var err error
	if d.canned, err = e.Encode(b); err != nil {
		t.Fatal(err)
	}
	d.quiet = true
	if n := testing.AllocsPerRun(100, func() { _, err = e.Encode(b) }); n > 2 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
}

// What the copy costs that importing saves, for a picture of 1920x1088 in YU12
// (3.1 MB). The fake encoder takes no time.
//
//	go test -run '^$' -bench Import -benchmem ./device/m2m
func BenchmarkImport(b *testing.B) {
	f := device.Format{FourCC: device.YU12, Width: 1920, Height: 1088}
	for _, shared := range []bool{false, true} {
		name := map[bool]string{false: "copied", true: "imported"}[shared]
		b.Run(name, func(b *testing.B) {
			d := piImageEncoder()
			d.shared = map[int][]byte{}
			e := newEncoder(b, d, f)
			p := sharing(d, f, 1).lend(0)
			if !shared {
				p.DMABUF = nil
			}
			clear(p.Data) // for a small result
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
			b.ReportMetric(float64(e.copied)/float64(b.N+1), "copied-B/op")
		})
	}
}
