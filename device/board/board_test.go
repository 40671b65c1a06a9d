package board

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree lays a fixture out as files. A fixture is a text: each file begins with a
// line "-- path --", its zero bytes and others are written as \0 and \x1f.
func tree(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	path := ""
	for line := range strings.Lines(string(data)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			path = strings.TrimSuffix(p, " --")
			continue
		}
		files[path] += line
	}
	root := tb.TempDir()
	for path, text := range files {
		if strings.Contains(text, `\`) {
			text, err = strconv.Unquote(`"` + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), `\0`, `\x00`) + `"`)
			if err != nil {
				tb.Fatalf("%s: %v", path, err)
			}
		}
		put(tb, root, path, text)
	}
	return root
}

func put(tb testing.TB, root, path, text string) {
	tb.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func TestFactsOfKnownBoards(t *testing.T) {
	celsius := func(c float64) *float64 { return &c }
	for _, tt := range []struct {
		name  string
		want  Facts // without hints
		hints string
	}{
		{"zero2w", Facts{
			Model: "Raspberry Pi Zero 2 W Rev 1.0", SoC: "BCM2837", Revision: "902120", RaspberryPi: true, JPEG: JPEGExpected,
			MemoryTotal: 425996 << 10, MemoryAvailable: 214320 << 10, CMATotal: 64 << 20, CMAFree: 30212 << 10, GPUMemory: 96, GPUMemorySource: "config.txt",
			Temperature: celsius(61.224), CPUs: 4, NEON: true, Kernel: "6.12.25+rpt-rpi-v8", Architecture: "aarch64",
			OS: "Debian GNU/Linux 12 (bookworm)", Image: "Raspberry Pi reference 2025-05-13",
			Power: &Power{UnderVoltage: true, Throttled: true, UnderVoltageSince: true, ThrottledSince: true, Source: "get_throttled"},
		}, "under_voltage throttled"},
		{"3bplus", Facts{
			Model: "Raspberry Pi 3 Model B Plus Rev 1.3", SoC: "BCM2837", Revision: "a020d3", RaspberryPi: true, JPEG: JPEGExpected,
			MemoryTotal: 927664 << 10, MemoryAvailable: 601232 << 10, CMATotal: 32 << 20, CMAFree: 8180 << 10, GPUMemory: 16, GPUMemorySource: "config.txt",
			Temperature: celsius(48.312), CPUs: 4, NEON: true, Kernel: "6.1.21-v7+", Architecture: "armv7l", OS: "Raspbian GNU/Linux 11 (bullseye)",
			Power: &Power{UnderVoltage: true, Source: "hwmon"},
		}, "under_voltage gpu_memory_too_small cma_too_small camera_auto_detect_off"},
		{"4b", Facts{
			Model: "Raspberry Pi 4 Model B Rev 1.4", SoC: "BCM2711", Revision: "c03114", RaspberryPi: true, JPEG: JPEGExpected, Bootloader: "a32c4d1bd0f0",
			MemoryTotal: 3884384 << 10, MemoryAvailable: 3310112 << 10, CMATotal: 512 << 20, CMAFree: 489216 << 10,
			Temperature: celsius(82.3), CPUs: 4, NEON: true, Kernel: "6.12.34+rpt-rpi-v8", Architecture: "aarch64", OS: "Debian GNU/Linux 13 (trixie)",
			Power: &Power{Source: "get_throttled"},
		}, "hot"},
		{"cm4", Facts{
			Model: "Raspberry Pi Compute Module 4 Rev 1.1", SoC: "BCM2711", Revision: "b03141", RaspberryPi: true, JPEG: JPEGExpected,
			MemoryTotal: 1899220 << 10, MemoryAvailable: 1700000 << 10, CMATotal: 256 << 20, CMAFree: 250000 << 10,
			CPUs: 4, NEON: true, Kernel: "6.6.51+rpt-rpi-v8", OS: "Debian GNU/Linux 12 (bookworm)",
			Power: &Power{FrequencyCappedSince: true, ThrottledSince: true, SoftTemperatureLimitSince: true, Source: "get_throttled"},
		}, "throttled_since_boot"},
		{"5", Facts{
			Model: "Raspberry Pi 5 Model B Rev 1.0", SoC: "BCM2712", Revision: "d04170", RaspberryPi: true, JPEG: JPEGNone,
			MemoryTotal: 8257632 << 10, MemoryAvailable: 7400000 << 10, CMATotal: 64 << 20, CMAFree: 40000 << 10,
			Temperature: celsius(45), CPUs: 4, NEON: true, Kernel: "6.12.47+rpt-rpi-2712", Architecture: "aarch64", OS: "Debian GNU/Linux 13 (trixie)",
			Power: &Power{Source: "get_throttled"},
		}, ""},
		{"zerow", Facts{
			Model: "Raspberry Pi Zero W Rev 1.1", SoC: "BCM2835", Revision: "9000c1", RaspberryPi: true, JPEG: JPEGExpected,
			MemoryTotal: 441000 << 10, MemoryAvailable: 30000 << 10, CMATotal: 64 << 20, CMAFree: 20000 << 10,
			CPUs: 1, CPUModel: "ARMv6-compatible processor rev 7 (v6l)",
		}, "memory_low no_neon"},
		{"pc", Facts{
			Model: "OptiPlex 7050", MemoryTotal: 16259340 << 10, MemoryAvailable: 12000000 << 10, Temperature: celsius(39), CPUs: 2,
			CPUModel: "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz", Kernel: "6.1.0-39-amd64", Architecture: "x86_64", OS: "Debian GNU/Linux 12 (bookworm)",
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Read(tree(t, tt.name))
			var codes []string
			for _, h := range got.Hints {
				codes = append(codes, h.Code)
				if !strings.HasSuffix(h.Text, ".") || !strings.HasSuffix(h.Remedy, ".") {
					t.Errorf("hint %+v is no sentence", h)
				}
			}
			if s := strings.Join(codes, " "); s != tt.hints {
				t.Errorf("hints %q, want %q", s, tt.hints)
			}
			got.Hints = nil
			if g, w := asJSON(t, got), asJSON(t, tt.want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNothingIsFoundWhereThereIsNothing(t *testing.T) {
	if got := asJSON(t, Read(t.TempDir())); got != `{"raspberry_pi":false}` {
		t.Errorf("got %s", got)
	}
	if got := asJSON(t, Read(filepath.Join(t.TempDir(), "missing"))); got != `{"raspberry_pi":false}` {
		t.Errorf("got %s", got)
	}
}

func TestChipIsReadFromTheRevisionWhereTheTreeDoesNotTell(t *testing.T) {
	for revision, want := range map[string]string{
		"9000c1": "BCM2835", "a01041": "BCM2836", "a02082": "BCM2837", "c03114": "BCM2711", "d04170": "BCM2712",
		"000e": "", "": "", "zzzz": "", "80f000": "", "ffffffffff": "",
	} {
		if got := socOfRevision(revision); got != want {
			t.Errorf("%q: got %q, want %q", revision, got, want)
		}
	}
}

func TestThrottlingIsReadInEveryForm(t *testing.T) {
	for text, want := range map[string]uint64{"50005": 0x50005, "0x50005": 0x50005, "throttled=0x50005": 0x50005, "0": 0} {
		if got, ok := parseThrottled(text); !ok || got != want {
			t.Errorf("%q: got %x, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "x", "-1", "fffffffff"} {
		if got, ok := parseThrottled(text); ok {
			t.Errorf("%q: got %x", text, got)
		}
	}
}

func TestFirmwareAnswersAreTakenWhereTheyAreMarked(t *testing.T) {
	m := request()
	if m[0] != uint32(len(m)*4) || m[15] != 0 {
		t.Errorf("request %v", m)
	}
	if got := response(m); got != (mailbox{}) {
		t.Errorf("an unanswered request gives %+v", got)
	}
	m[1] = 0x80000000
	m[4], m[5] = 1<<31|4, 1735689600
	m[8], m[10] = 1<<31|8, 76<<20
	if got := response(m); got != (mailbox{revision: 1735689600, gpuMemory: 76}) || got.date() != "2025-01-01" {
		t.Errorf("got %+v", got)
	}
	m[13], m[14] = 1<<31|4, 0x50000
	if got := response(m); !got.asked || got.throttled != 0x50000 {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyADeviceIsAskedAsFirmware(t *testing.T) {
	root := tree(t, "4b")
	put(t, root, "dev/vcio", "no device")
	if got := Read(root); got.Firmware != "" || got.Power.Source != "get_throttled" {
		t.Errorf("got %+v", got)
	}
	if got := askFirmware("/dev/null"); got != (mailbox{}) {
		t.Errorf("a device that is none of the firmware gives %+v", got)
	}
}

func TestLongAndStrangeFilesAreReadInPart(t *testing.T) {
	root := t.TempDir()
	put(t, root, "proc/device-tree/model", "A\x00\x01\xff\x1b[31mB"+strings.Repeat("x", 2*maxFile))
	put(t, root, "proc/cpuinfo", strings.Repeat("processor : 0\n", 1<<16))
	if err := os.MkdirAll(filepath.Join(root, "proc/meminfo"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := Read(root)
	if !strings.HasPrefix(got.Model, "A[31mBx") || len(got.Model) > maxFile || got.CPUs < 100 || got.MemoryTotal != 0 {
		t.Errorf("model of %d bytes, %d processors", len(got.Model), got.CPUs)
	}
}

func FuzzParsers(f *testing.F) {
	for _, name := range []string{"zero2w", "3bplus", "pc"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("MemTotal: 99999999999999999999 kB\nCmaTotal: kB\ngpu_mem=-5\n[all\nFeatures:neon"))
	f.Add([]byte("raspberrypi,x\x00brcm,bcm27\xff2\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		var facts Facts
		parseMemory(text, &facts)
		c := parseConfig(text)
		if c.gpuMemory < 0 || c.gpuMemory > 1024 {
			t.Errorf("gpu_mem is %d", c.gpuMemory)
		}
		cpus := parseCPU(text)
		facts.CPUs, facts.NEON, facts.CPUModel, facts.Revision = cpus.count, cpus.neon, cpus.model, cpus.revision
		facts.SoC, facts.OS, facts.Image = socOf(data), printable(prettyName(text)), image(printable(text))
		_ = socOfRevision(text)
		if bits, ok := parseThrottled(text); ok && bits > 1<<32 {
			t.Errorf("throttled is %x", bits)
		}
		if _, err := json.Marshal(facts); err != nil {
			t.Error(err)
		}
		for _, s := range []string{facts.OS, facts.CPUModel, facts.SoC} {
			if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' && c != '\n' }) {
				t.Errorf("control characters in %q", s)
			}
		}
		if !slices.Equal(hints(&facts, c), hints(&facts, c)) {
			t.Error("hints differ")
		}
	})
}

// BenchmarkRead is what a look at all facts costs, on a tree of plain files; those
// of a real /proc cost more, depending on the kernel.
//
//	go test -bench Read -benchmem -run '^$' ./device/board
func BenchmarkRead(b *testing.B) {
	root := tree(b, "zero2w")
	for b.Loop() {
		Read(root)
	}
}
