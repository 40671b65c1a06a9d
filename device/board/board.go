// Package board tells facts about the computer: which Raspberry Pi it is, how
// warm it is, whether its power supply is good enough, and what of that keeps a
// camera from working well. Whoever is not on a Raspberry Pi gets what there is.
//
// Everything is read from files below a root, and, on a Raspberry Pi, asked from
// the firmware through /dev/vcio. What cannot be found out stays empty: nothing
// is guessed but [JPEGHardware], which follows from the chip. The package keeps no
// state and starts no goroutine; any goroutine may call it.
package board

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxFile bounds what is read of one file, in bytes. Chosen: the longest one,
// cpuinfo, has some kilobytes on a board.
const maxFile = 64 << 10

// JPEGHardware says whether a chip has something that makes JPEG pictures.
type JPEGHardware string

// What is expected of a chip. Whether the firmware offers it as well is up to
// the driver to find out.
const (
	// JPEGUnknown: not a Raspberry Pi.
	JPEGUnknown JPEGHardware = ""
	// JPEGExpected: all chips up to the BCM2711 of the Raspberry Pi 4.
	JPEGExpected JPEGHardware = "expected"
	// JPEGNone: the BCM2712 of the Raspberry Pi 5.
	JPEGNone JPEGHardware = "none"
)

// Facts are what is known about the computer.
type Facts struct {
	// Model is what the computer calls itself: "Raspberry Pi Zero 2 W Rev 1.0".
	Model string `json:"model,omitempty"`
	// SoC is the chip: "BCM2837".
	SoC string `json:"soc,omitempty"`
	// Revision is the board's code in hexadecimal digits: "902120".
	Revision string `json:"revision,omitempty"`
	// RaspberryPi is set when it is one.
	RaspberryPi bool `json:"raspberry_pi"`
	// JPEG says whether hardware that makes JPEG is expected.
	JPEG JPEGHardware `json:"jpeg_hardware,omitempty"`

	// MemoryTotal and MemoryAvailable are what Linux has, in bytes.
	MemoryTotal     uint64 `json:"memory_total_bytes,omitempty"`
	MemoryAvailable uint64 `json:"memory_available_bytes,omitempty"`
	// CMATotal and CMAFree are the memory that cameras and codecs take their
	// pictures from, in bytes. Linux uses it for other things as long as they do
	// not, so little that is free need not be a lack.
	CMATotal uint64 `json:"cma_total_bytes,omitempty"`
	CMAFree  uint64 `json:"cma_free_bytes,omitempty"`
	// GPUMemory is the firmware's share, in MiB, and GPUMemorySource who says so:
	// "firmware", or "config.txt". 0 when not known.
	GPUMemory       int    `json:"gpu_memory_mebibytes,omitempty"`
	GPUMemorySource string `json:"gpu_memory_source,omitempty"`
	// Firmware is the date of the running firmware, Bootloader the version of the
	// boot ROM's, on boards that have one.
	Firmware   string `json:"firmware,omitempty"`
	Bootloader string `json:"bootloader,omitempty"`

	// Temperature is that of the chip in degrees Celsius; nil when not known.
	Temperature *float64 `json:"temperature_celsius,omitempty"`
	// Power is what the firmware says about voltage and clocks; nil when nobody
	// says anything.
	Power *Power `json:"power,omitempty"`

	// CPUs is the number of processors, CPUModel what they are called.
	CPUs     int    `json:"cpus,omitempty"`
	CPUModel string `json:"cpu_model,omitempty"`
	// NEON is set when the processors of an ARM computer work on many samples at
	// once. libjpeg-turbo is several times slower without.
	NEON bool `json:"neon,omitempty"`

	// Kernel is its release, Architecture its machine: "aarch64".
	Kernel       string `json:"kernel,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	// OS is the name of the distribution, Image the line by which Raspberry Pi OS
	// says which image was flashed.
	OS    string `json:"os,omitempty"`
	Image string `json:"image,omitempty"`

	// Hints are what could be better.
	Hints []Hint `json:"hints,omitempty"`
}

// Read reads the facts from the tree below root, which is "/" but in tests. It
// takes some twenty small files, so it may be called every few seconds.
func Read(root string) Facts {
	r := reader{root: root}
	f := Facts{
		Model:        first(r.text("proc/device-tree/model"), r.text("sys/devices/virtual/dmi/id/product_name")),
		Kernel:       r.text("proc/sys/kernel/osrelease"),
		Architecture: r.text("proc/sys/kernel/arch"), // since Linux 6.1
		Image:        image(r.text("etc/rpi-issue")),
		OS:           prettyName(first(r.text("etc/os-release"), r.text("usr/lib/os-release"))),
		Bootloader:   r.bootloader(),
		Temperature:  r.temperature(),
	}
	compatible := r.file("proc/device-tree/compatible")
	f.RaspberryPi = bytes.Contains(compatible, []byte("raspberrypi,"))
	cpu := parseCPU(string(r.file("proc/cpuinfo")))
	f.CPUs, f.CPUModel, f.NEON = cpu.count, cpu.model, cpu.neon
	f.Revision = first(r.revision(), cpu.revision)
	f.SoC = first(socOf(compatible), socOfRevision(f.Revision))
	f.JPEG = jpegOf(f.SoC)
	parseMemory(string(r.file("proc/meminfo")), &f)

	config := parseConfig(string(r.config()))
	f.GPUMemory = config.gpuMemory
	if f.GPUMemory != 0 {
		f.GPUMemorySource = "config.txt"
	}
	answers := mailbox{}
	if f.RaspberryPi {
		answers = askFirmware(filepath.Join(root, "dev/vcio"))
	}
	if answers.gpuMemory != 0 {
		f.GPUMemory, f.GPUMemorySource = answers.gpuMemory, "firmware"
	}
	f.Firmware = answers.date()
	f.Power = r.power(answers)
	f.Hints = hints(&f, config)
	return f
}

// reader reads small files below a root.
type reader struct{ root string }

// file gives the beginning of a file, nothing when it cannot be read.
func (r reader) file(path string) []byte {
	f, err := os.Open(filepath.Join(r.root, path))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil
	}
	return data
}

// text gives a file as printable text without the ends: the device tree ends
// its texts with a zero byte.
func (r reader) text(path string) string { return printable(string(r.file(path))) }

func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return c
		case c < ' ', c == 0x7f, c == '\uFFFD':
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(s)
}

// first gives the first one that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// find gives the files that match, none when there are none.
func (r reader) find(pattern string) []string {
	paths, err := filepath.Glob(filepath.Join(r.root, pattern))
	if err != nil {
		return nil // a constant pattern
	}
	for i, p := range paths {
		if rel, err := filepath.Rel(r.root, p); err == nil {
			paths[i] = rel
		}
	}
	return paths
}

// config is that of the firmware, at its present and its former place.
func (r reader) config() []byte {
	if data := r.file("boot/firmware/config.txt"); data != nil {
		return data
	}
	return r.file("boot/config.txt")
}

// revision is that of the board, from the device tree.
func (r reader) revision() string {
	b := r.file("proc/device-tree/system/linux,revision")
	if len(b) != 4 {
		return ""
	}
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 16)
}

// bootloader is the version of the boot ROM's program, on boards that have one.
func (r reader) bootloader() string {
	version := r.text("proc/device-tree/chosen/bootloader/version")
	return version[:min(len(version), 12)] // of a commit's hash
}

// temperature is that of the chip.
func (r reader) temperature() *float64 {
	var best *float64
	for _, zone := range r.find("sys/class/thermal/thermal_zone*") {
		kind := r.text(zone + "/type")
		t, err := strconv.ParseFloat(r.text(zone+"/temp"), 64)
		t /= 1000 // millidegrees
		if err != nil || !(t > -100 && t < 250) {
			continue
		}
		if kind == "cpu-thermal" || kind == "x86_pkg_temp" {
			return &t
		}
		if best == nil {
			best = &t
		}
	}
	return best
}

// prettyName finds the name in os-release.
func prettyName(text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// image is the first line of rpi-issue: "Raspberry Pi reference 2025-05-13".
func image(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// socOf finds the chip among the compatible names, which are separated by zero
// bytes, the most special one first.
func socOf(compatible []byte) string {
	for name := range bytes.SplitSeq(compatible, []byte{0}) {
		if chip, ok := bytes.CutPrefix(name, []byte("brcm,bcm")); ok && len(chip) == 4 {
			return "BCM" + printable(string(chip))
		}
	}
	return ""
}

// socOfRevision reads the chip from a revision of the new style: bit 23 says
// that it is one, bits 12 to 15 name the chip (Raspberry Pi documentation,
// "Raspberry Pi revision codes").
func socOfRevision(revision string) string {
	n, err := strconv.ParseUint(revision, 16, 32)
	chips := []string{"BCM2835", "BCM2836", "BCM2837", "BCM2711", "BCM2712"}
	chip := n >> 12 & 15
	if err != nil || n>>23&1 == 0 || chip >= uint64(len(chips)) {
		return ""
	}
	return chips[chip]
}

func jpegOf(soc string) JPEGHardware {
	switch soc {
	case "BCM2835", "BCM2836", "BCM2837", "BCM2711":
		return JPEGExpected
	case "BCM2712":
		return JPEGNone
	}
	return JPEGUnknown
}

// cpu is what cpuinfo tells.
type cpu struct {
	count           int
	model, revision string
	neon            bool
}

func parseCPU(text string) (c cpu) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = printable(value)
		switch strings.TrimSpace(name) {
		case "processor":
			c.count++
		case "model name":
			c.model = first(c.model, value)
		case "Revision":
			c.revision = value
		case "Features":
			for f := range strings.FieldsSeq(value) {
				c.neon = c.neon || f == "neon" || f == "asimd"
			}
		}
	}
	return c
}

// parseMemory reads meminfo: "MemTotal:  949452 kB".
func parseMemory(text string, f *Facts) {
	fields := map[string]*uint64{"MemTotal": &f.MemoryTotal, "MemAvailable": &f.MemoryAvailable, "CmaTotal": &f.CMATotal, "CmaFree": &f.CMAFree}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		field, ok := fields[name]
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
		if n, err := strconv.ParseUint(number, 10, 50); err == nil && unit == "kB" {
			*field = n << 10
		}
	}
}

// config is what matters in the firmware's config.txt.
type config struct {
	gpuMemory    int // MiB, 0 when not said, or not for all boards
	noAutoDetect bool
}

// parseConfig reads the lines that hold for every board: those before the first
// section and in [all]. Whether another section holds is not found out.
func parseConfig(text string) (c config) {
	all := true
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			all = strings.EqualFold(line, "[all]")
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !all {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			continue
		}
		switch strings.TrimSpace(name) {
		case "gpu_mem":
			if n >= 16 && n <= 1024 {
				c.gpuMemory = n
			}
		case "camera_auto_detect":
			c.noAutoDetect = n == 0
		}
	}
	return c
}

// mebibytes prints a size for people.
func mebibytes(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
