package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab/stamp"
)

// descriptors splits a configuration into its parts by their length bytes.
func descriptors(t *testing.T, config []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for b := config; len(b) > 0; {
		n := int(b[0])
		if n < 2 || n > len(b) {
			t.Fatalf("descriptor at byte %d says it has %d of %d bytes", len(config)-len(b), n, len(b))
		}
		all = append(all, b[:n])
		b = b[n:]
	}
	return all
}

func TestConfigurationIsConsistent(t *testing.T) {
	for _, m := range []model{{iso: true}, {iso: false}} {
		config := m.config()
		if got := int(binary.LittleEndian.Uint16(config[2:])); got != len(config) {
			t.Errorf("iso %v: total length %d, want %d", m.iso, got, len(config))
		}
		all := descriptors(t, config)
		interfaces, frameCount, endpoints := 0, 0, 0
		for i, d := range all {
			switch {
			case d[1] == 4:
				interfaces++
			case d[1] == 5:
				endpoints++
				if kind := d[3] & 3; m.iso != (kind == 1) {
					t.Errorf("iso %v: endpoint of type %d", m.iso, kind)
				}
			case d[1] == 0x24 && len(d) == 26+4*len(rates):
				frameCount++
				if int(d[25]) != len(rates) {
					t.Errorf("frame descriptor announces %d rates, want %d", d[25], len(rates))
				}
			case d[1] == 0x24 && len(d) == 15: // VS input header: length of all class descriptors that follow
				want := 0
				for _, e := range all[i:] {
					if e[1] == 0x24 {
						want += len(e)
					}
				}
				if got := int(binary.LittleEndian.Uint16(d[4:])); got != want {
					t.Errorf("input header's total length %d, want %d", got, want)
				}
			case d[1] == 0x24 && len(d) == 13: // VC header: itself, camera, processing unit and terminal
				want := len(d) + len(all[i+1]) + len(all[i+2]) + len(all[i+3])
				if got := int(binary.LittleEndian.Uint16(d[5:])); got != want {
					t.Errorf("control header's total length %d, want %d", got, want)
				}
			}
		}
		wantInterfaces := map[bool]int{true: 3, false: 2}[m.iso]
		if interfaces != wantInterfaces || endpoints != 1 || frameCount != 2*len(sizes) {
			t.Errorf("iso %v: %d interfaces, %d endpoints, %d frames", m.iso, interfaces, endpoints, frameCount)
		}
	}
	if d := (model{}).device(); int(d[0]) != len(d) {
		t.Errorf("device descriptor says it has %d of %d bytes", d[0], len(d))
	}
}

func TestSerialNumberIsReported(t *testing.T) {
	got, ok := model{serial: "Ä1"}.text(3)
	if want := []byte{6, 3, 0xc4, 0, '1', 0}; !ok || !bytes.Equal(got, want) {
		t.Errorf("text(3) = % x, want % x", got, want)
	}
	if _, ok := (model{}).text(9); ok {
		t.Error("a string that does not exist was delivered")
	}
}

func TestNegotiationGrantsWhatIsNearest(t *testing.T) {
	wish := func(format, frame int, interval uint32) []byte {
		b := make([]byte, 34) // UVC 1.1
		b[2], b[3] = byte(format), byte(frame)
		binary.LittleEndian.PutUint32(b[4:], interval)
		return b
	}
	tests := map[string]struct {
		in   []byte
		want probe
	}{
		"offered":          {wish(2, 3, 666666), probe{2, 3, 666666}},
		"nothing":          {nil, probe{1, 1, 333333}},
		"no such format":   {wish(7, 2, 333333), probe{1, 2, 333333}},
		"no such frame":    {wish(1, 4, 333333), probe{1, 1, 333333}},
		"faster":           {wish(1, 2, 166666), probe{1, 2, 333333}},
		"between 15 and 5": {wish(1, 2, 1_000_000), probe{1, 2, 666666}},
		"very slow":        {wish(1, 2, 1<<32-1), probe{1, 2, 2_000_000}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := negotiate(tt.in)
			if got != tt.want {
				t.Errorf("negotiate = %+v, want %+v", got, tt.want)
			}
			for _, m := range []model{{iso: true}, {}} {
				block := got.block(m)
				if again := negotiate(block); again != got {
					t.Errorf("block does not read back: %+v, want %+v", again, got)
				}
				if n := int(binary.LittleEndian.Uint32(block[22:])); n != m.maxPayload() {
					t.Errorf("payload %d, want %d", n, m.maxPayload())
				}
			}
		})
	}
}

func TestControlRequests(t *testing.T) {
	var committed []probe
	f := newFunction(model{iso: true}, func(p probe) { committed = append(committed, p) })
	ask := func(kind, request byte, value, index, length int, data ...byte) ([]byte, bool) {
		return f.answer(setup{kind, request, value, index, length}, data)
	}
	if b, ok := ask(0x80, getDescriptor, 1<<8, 0, 8); !ok || len(b) != 8 {
		t.Errorf("device descriptor cut to 8 bytes: % x, %v", b, ok)
	}
	if _, ok := ask(0x80, getDescriptor, 6<<8, 0, 10); ok {
		t.Error("a device qualifier was delivered, which only fast and slow devices have")
	}
	if _, ok := ask(0x21, setCur, vsProbe<<8, interfaceVS, 26, negotiate(nil).block(f.model)...); !ok || committed != nil {
		t.Errorf("probe: %v, committed %v", ok, committed)
	}
	if _, ok := ask(0x21, setCur, vsCommit<<8, interfaceVS, 26, probe{1, 2, 333333}.block(f.model)...); !ok || len(committed) != 1 || committed[0].frame != 2 {
		t.Errorf("commit: %v, committed %v", ok, committed)
	}
	brightness := entityProc<<8 | interfaceVC
	if b, ok := ask(0xa1, getCur, 2<<8, brightness, 2); !ok || !bytes.Equal(b, []byte{128, 0}) {
		t.Errorf("brightness at first: % x, %v", b, ok)
	}
	ask(0x21, setCur, 2<<8, brightness, 2, 77, 0)
	if b, ok := ask(0xa1, getCur, 2<<8, brightness, 2); !ok || !bytes.Equal(b, []byte{77, 0}) {
		t.Errorf("brightness after setting 77: % x, %v", b, ok)
	}
	if _, ok := ask(0xa1, getCur, 9<<8, brightness, 2); ok {
		t.Error("an unknown control was delivered")
	}
}

func TestCommandsAreRead(t *testing.T) {
	tests := map[string]struct {
		want command
		ok   bool
	}{
		"unplug": {command{verb: "unplug"}, true}, " plug ": {command{verb: "plug"}, true}, "truncate": {command{"truncate", 1}, true},
		"garbage 5": {command{"garbage", 5}, true}, "empty -1": {command{"empty", -1}, true}, "fps 0": {command{"fps", 0}, true},
		"fps -1": {}, "truncate -2": {}, "pad x": {}, "nodht 1 2": {}, "go 1": {}, "jump": {}, "": {},
	}
	for line, tt := range tests {
		got, err := parseCommand(line)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("parseCommand(%q) = %+v, %v; want %+v", line, got, err, tt.want)
		}
	}
}

// albums are made once: they take seconds under the race detector, and nobody
// writes to them.
var albums = sync.OnceValues(draw)

func testCamera(t *testing.T, m model) *camera {
	t.Helper()
	pictures, err := albums()
	if err != nil {
		t.Fatal(err)
	}
	return newCamera(m, pictures, slog.New(slog.DiscardHandler))
}

func TestPicturesAreStampedAndOfLifelikeSize(t *testing.T) {
	c := testCamera(t, model{})
	for i, s := range sizes {
		f, period, _ := c.next(probe{formatMJPG, i + 1, 333333})
		if n, err := stamp.Check(f); int(n) != i || err != nil {
			t.Errorf("%v: Check = %d, %v; want %d", s, n, err, i)
		}
		cfg, err := jpeg.DecodeConfig(bytes.NewReader(f))
		if err != nil || cfg.Width != s.w || cfg.Height != s.h {
			t.Errorf("%v: DecodeConfig = %+v, %v", s, cfg, err)
		}
		if period != 33333300*time.Nanosecond {
			t.Errorf("%v: period %s", s, period)
		}
		if s.h == 720 && (len(f) < 60_000 || len(f) > 110_000) {
			t.Errorf("%v: %d bytes, want 60 to 110 thousand", s, len(f))
		}
		if raw, _, _ := c.next(probe{formatYUYV, i + 1, 333333}); len(raw) != 2*s.w*s.h {
			t.Errorf("%v: raw picture of %d bytes", s, len(raw))
		}
		c.number = uint32(i) + 1
	}
}

func TestFaultsLastAsLongAsToldAndEndWithGo(t *testing.T) {
	c := testCamera(t, model{})
	p := probe{formatMJPG, 1, 333333}
	intact := func(f []byte) bool { _, err := stamp.Check(f); return err == nil }
	for verb, spoilt := range map[string]func([]byte) bool{
		"truncate": func(f []byte) bool { return len(f) > 1000 && !intact(f) },
		"garbage":  func(f []byte) bool { return len(f) == 5000 && !intact(f) },
		"empty":    func(f []byte) bool { return len(f) == 0 },
		"nodht":    func(f []byte) bool { return intact(f) && !bytes.Contains(f, []byte{0xff, 0xc4, 0x01}) },
		"pad":      func(f []byte) bool { return len(f) > 1024 && f[len(f)-1] == 0 && intact(f[:len(f)-1024]) },
	} {
		c.apply(command{verb, 2})
		for i, want := range []bool{true, true, false} {
			f, _, _ := c.next(p)
			sound := intact(f) && bytes.Contains(f, []byte{0xff, 0xc4})
			if want && !spoilt(f) || !want && !sound {
				t.Errorf("%s 2: picture %d is not as it should be", verb, i)
			}
		}
		c.apply(command{verb, -1})
		for range 5 {
			if f, _, _ := c.next(p); !spoilt(f) {
				t.Errorf("%s -1: an intact picture", verb)
			}
		}
		c.apply(command{verb: "go"})
		if f, _, _ := c.next(p); !intact(f) {
			t.Errorf("%s: still a fault after go", verb)
		}
	}
	c.apply(command{verb: "stall"})
	_, _, resume := c.next(p)
	if resume == nil {
		t.Fatal("stalled, and still a picture")
	}
	c.apply(command{verb: "go"})
	<-resume
	c.apply(command{"fps", 10})
	if _, period, _ := c.next(p); period != 100*time.Millisecond {
		t.Errorf("fps 10: period %s", period)
	}
}

func TestPortThatIsBusyIsTriedAgainUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := (port{dir: filepath.Join(dir, "none")}).attach(ctx, 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no controller: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "attach"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (port{dir: dir, number: 2}).attach(ctx, 9); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "attach")); string(got) != "2 9 65540 3" {
		t.Errorf("order %q", got)
	}
}

// wedged is a port whose detach file is a FIFO nobody reads: writing blocks.
func TestDetachOfAWedgedControllerGivesUp(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "detach")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	err := (port{dir: dir}).detach()
	if err == nil || time.Since(before) > 2*detachTimeout {
		t.Errorf("detach = %v after %s", err, time.Since(before))
	}
	f, err := os.Open(fifo) // lets the writer go
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestRunSaysWhatIsWrongWithItsArguments(t *testing.T) {
	var stderr strings.Builder
	for _, args := range [][]string{{"-nonsense"}, {"file"}, {"-port", "8"}} {
		if code := run(t.Context(), args, &stderr); code != 2 {
			t.Errorf("run(%q) = %d, want 2", args, code)
		}
	}
	if code := run(t.Context(), []string{"-h"}, &stderr); code != 0 || !strings.Contains(stderr.String(), "-absent") {
		t.Errorf("run(-h) = %d, %s", code, stderr.String())
	}
}

func TestRunObeysTheControlFileWhileAbsent(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	fifo := filepath.Join(t.TempDir(), "ctl")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString("nonsense\nfps 5\nquit\n"); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	if code := run(t.Context(), []string{"-absent", "-ctl", fifo}, &stderr); code != 0 {
		t.Errorf("run = %d\n%s", code, stderr.String())
	}
	if !strings.Contains(stderr.String(), "unknown command") || !strings.Contains(stderr.String(), "verb=fps") {
		t.Errorf("log:\n%s", stderr.String())
	}
	checkGoroutines(t, goroutines)
}

// checkGoroutines fails the test unless the count falls back within 5 s.
func checkGoroutines(t *testing.T, want int) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	end := time.NewTimer(5 * time.Second)
	defer end.Stop()
	for runtime.NumGoroutine() > want {
		select {
		case <-again.C:
		case <-end.C:
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, want %d\n%s", runtime.NumGoroutine(), want, buf[:runtime.Stack(buf, true)])
		}
	}
}
