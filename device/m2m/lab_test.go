//go:build labguest

package m2m

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/devicetest"
)

// The tests in this file need a real driver: they run in the virtual machine of
// device/lab, with its module labjpeg, as root.

// labLimit is long enough for an emulated processor.
const labLimit = 20 * time.Second

// labEncoder finds labjpeg, which fails on command by its parameters.
func labEncoder(t *testing.T, cfg Config) device.EncoderMaker {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Timeout == 0 {
		cfg.Timeout, cfg.FirstTimeout = labLimit, labLimit
	}
	list, err := New(cfg).Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Name == "labjpeg-encode_image on /dev/video31" {
			return m
		}
	}
	t.Fatalf("labjpeg is not among %d encoders", len(list))
	return device.EncoderMaker{}
}

// labSet sets a parameter of the module until the test ends.
func labSet(t *testing.T, name string, value int) {
	t.Helper()
	path := filepath.Join("/sys/module/labjpeg/parameters", name)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(strconv.Itoa(value))
	t.Cleanup(func() { write(string(old)) })
}

func labFormats() []device.Format {
	var list []device.Format
	for _, fourcc := range []device.FourCC{device.YU12, device.NV12, device.YUYV, device.UYVY} {
		sizes := [][2]int{{640, 480}, {1000, 362}}
		if fourcc == device.YU12 {
			sizes = append(sizes, [][2]int{{1280, 720}, {1920, 1080}}...) // seconds each, where the processor is emulated
		}
		for _, size := range sizes {
			list = append(list, device.Format{FourCC: fourcc, Width: size[0], Height: size[1], Rate: device.FPS(10)})
		}
	}
	return list
}

func TestLabEncoderKeepsTheContract(t *testing.T) {
	m := labEncoder(t, Config{})
	devicetest.TestEncoder(t, m, labFormats()...)
}

func TestLabEncoderThatCodesWholeBlocks(t *testing.T) {
	labSet(t, "blocks", 1)
	labSet(t, "stray", 1)
	m := labEncoder(t, Config{})
	devicetest.TestEncoder(t, m,
		device.Format{FourCC: device.YU12, Width: 640, Height: 360, Rate: device.FPS(30)},
		device.Format{FourCC: device.YU12, Width: 1920, Height: 1080, Rate: device.FPS(30)})
}

func TestLabEncoderReportsFlaggedResultsAndGoesOn(t *testing.T) {
	m := labEncoder(t, Config{})
	f := small()
	e, err := m.New(t.Context(), f, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	labSet(t, "fail_every", 3)
	for i := 1; i <= 9; i++ {
		data, err := e.Encode(picture(f))
		switch {
		case i%3 == 0 && !errors.Is(err, device.ErrDamaged):
			t.Errorf("picture %d: got %v, want ErrDamaged", i, err)
		case i%3 != 0 && err != nil:
			t.Errorf("picture %d: %v", i, err)
		case err == nil:
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				t.Errorf("picture %d: %v", i, err)
			}
		}
	}
}

func TestLabEncoderThatLosesPicturesIsResetAndGoesOn(t *testing.T) {
	const limit = 3 * time.Second
	m := labEncoder(t, Config{Timeout: limit, FirstTimeout: limit})
	f := small()
	e, err := m.New(t.Context(), f, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	labSet(t, "lose_every", 2)
	for i := 1; i <= 6; i++ {
		began := time.Now()
		_, err := e.Encode(picture(f))
		if took := time.Since(began); took > limit+labLimit {
			t.Errorf("picture %d: took %v", i, took)
		}
		if lost := i%2 == 0; lost != errors.Is(err, device.ErrStalled) || !lost && err != nil {
			t.Errorf("picture %d: got %v, lost %v", i, err, lost)
		}
	}
}

func TestLabEncoderThatIsSlow(t *testing.T) {
	const limit = 2 * time.Second
	m := labEncoder(t, Config{Timeout: limit, FirstTimeout: limit})
	f := small()
	e, err := m.New(t.Context(), f, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, tt := range []struct {
		delayMillis int
		stalls      bool
	}{{5, false}, {500, false}, {10_000, true}, {5, false}, {10_000, true}, {5, false}} {
		labSet(t, "delay_ms", tt.delayMillis)
		began := time.Now()
		_, err := e.Encode(picture(f))
		if stalled := errors.Is(err, device.ErrStalled); stalled != tt.stalls || !stalled && err != nil {
			t.Errorf("delay of %d ms: got %v", tt.delayMillis, err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("delay of %d ms: took %v", tt.delayMillis, took)
		}
	}
}

func TestLabFirmwareWithoutTheEncoderIsRefused(t *testing.T) {
	m := labEncoder(t, Config{})
	labSet(t, "other", 1)
	e, err := m.New(t.Context(), small(), 80)
	if !errors.Is(err, device.ErrUnsupported) || !strings.Contains(err.Error(), "it gives H264 instead") {
		t.Errorf("got %v", err)
	}
	if err == nil {
		e.Close()
	}
}

// TestLabEncoderLeavesNothing opens and closes in all states, and looks at the
// module's use count.
func TestLabEncoderLeavesNothing(t *testing.T) {
	m := labEncoder(t, Config{})
	var last string
	for i := range 30 {
		f := device.Format{FourCC: device.YU12, Width: 1920, Height: 1080}
		e, err := m.New(context.Background(), f, 80)
		if err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if i%3 == 1 {
			if _, err := e.Encode(picture(f)); err != nil {
				t.Errorf("cycle %d: %v", i, err)
			}
		}
		e.Close()
		count, err := os.ReadFile("/sys/module/labjpeg/refcnt")
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && string(count) != last {
			t.Errorf("cycle %d: module is used %s times, before %s", i, count, last)
		}
		last = string(count)
	}
}

func BenchmarkLabEncode(b *testing.B) {
	list, err := New(Config{Timeout: labLimit, FirstTimeout: labLimit}).Find(b.Context())
	if err != nil || len(list) == 0 {
		b.Fatal(err)
	}
	f := device.Format{FourCC: device.YU12, Width: 640, Height: 480}
	e, err := list[0].New(b.Context(), f, 80)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	p := picture(f)
	for b.Loop() {
		if _, err := e.Encode(p); err != nil {
			b.Fatal(err)
		}
	}
}
