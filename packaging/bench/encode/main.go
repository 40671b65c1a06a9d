// Command encode measures what it costs to encode raw pictures of a camera, next
// to the least that it can cost with libjpeg, in a small C program, and next to
// ustreamer's encoder on the same pictures:
//
//	USTREAMER_SRC=/path/to/ustreamer go run ./packaging/bench/encode
//
// The folder is a copy of github.com/pikvm/ustreamer, release 6.x; its encoder
// is compiled with its own flags into a program that calls nothing else. Without
// USTREAMER_SRC it is left out. gcc and libjpeg62-turbo-dev have to be installed.
//
// The runs of all programs take turns and the median counts. What is counted is
// the processor time of the whole process, garbage collection included.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

const (
	width, height = 1280, 720
	// Pictures of each kind; together they do not fit into a core's cache.
	pictures = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "encode:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("encode", flag.ContinueOnError)
	rounds := flags.Int("rounds", 7, "how often each program runs")
	frames := flags.Int("frames", 150, "pictures per run")
	quality := flags.Int("quality", 80, "JPEG quality")
	format := flags.String("format", "YUYV", "pixel format of -file")
	file := flags.String("file", "", "encode the pictures in this file and print the cost; used by the program itself")
	sampling := flags.String("sampling", "source", "chroma subsampling for -file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file != "" {
		code, err := device.ParseFourCC(*format)
		if err != nil {
			return err
		}
		return ours(out, *file, code, *sampling, *quality, *frames)
	}
	dir, err := os.MkdirTemp("", "bench-encode-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder of ours
	if err := compile(ctx, dir); err != nil {
		return err
	}
	if _, err := io.WriteString(out, tableHead); err != nil {
		return err
	}
	for _, format := range []string{"YUYV", "YU12"} {
		for _, kind := range []string{"scene", "noisy", "flat"} {
			path := filepath.Join(dir, "pictures")
			if err := os.WriteFile(path, draw(kind, format), 0o600); err != nil {
				return err
			}
			all := programs(dir, path, format, strconv.Itoa(*quality), strconv.Itoa(*frames))
			if err := compare(ctx, out, kind, format, all, *rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

const tableHead = "| pictures | encoder | CPU ms per frame | to C | to ustreamer | KB per frame |\n|---|---|---|---|---|---|\n"

// compile makes all programs.
func compile(ctx context.Context, dir string) error {
	commands := [][]string{
		{"go", "build", "-o", filepath.Join(dir, "webgear"), "./packaging/bench/encode"},
		{"gcc", "-O3", "-Wall", "-o", filepath.Join(dir, "floor"), "packaging/bench/encode/c/floor.c", "-ljpeg"},
	}
	if src := os.Getenv("USTREAMER_SRC"); src != "" {
		src = filepath.Join(src, "src")
		commands = append(commands, []string{
			"gcc", "-std=c17", "-D_GNU_SOURCE", "-O3", "-I", src, "-o", filepath.Join(dir, "ustreamer"),
			"packaging/bench/encode/c/ustreamer.c", filepath.Join(src, "ustreamer/encoders/cpu/encoder.c"),
			filepath.Join(src, "libs/frame.c"), filepath.Join(src, "libs/logging.c"), "-ljpeg", "-lpthread", "-lm",
		})
	}
	for _, c := range commands {
		if b, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil { //nolint:gosec // commands of ours
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, b)
		}
	}
	return nil
}

// program is one of those that are compared.
type program struct {
	name string
	args []string
}

// programs are those that can encode the format, the least possible first.
func programs(dir, path, format, quality, frames string) []program {
	w, h := strconv.Itoa(width), strconv.Itoa(height)
	ours := []string{filepath.Join(dir, "webgear"), "-quality", quality, "-frames", frames, "-format", format, "-file", path}
	all := []program{
		{"libjpeg called from C", []string{filepath.Join(dir, "floor"), path, format, w, h, quality, frames}},
		{"webgear", ours},
	}
	if format == "YUYV" {
		all = append(all, program{"webgear, 4:2:0", append(slices.Clone(ours), "-sampling", "4:2:0")})
	}
	if os.Getenv("USTREAMER_SRC") != "" {
		all = append(all, program{"ustreamer, 4:2:0", []string{filepath.Join(dir, "ustreamer"), path, format, w, h, quality, frames}})
	}
	return all
}

// compare runs the programs in turns and prints their medians.
func compare(ctx context.Context, out io.Writer, kind, format string, programs []program, rounds int) error {
	cost := make([][]float64, len(programs))
	bytes := make([]float64, len(programs))
	for range rounds {
		for i, p := range programs {
			text, err := exec.CommandContext(ctx, p.args[0], p.args[1:]...).Output() //nolint:gosec // commands of ours
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			var ms float64
			if _, err := fmt.Sscan(string(text), &ms, &bytes[i]); err != nil {
				return fmt.Errorf("%s printed %q: %w", p.name, text, err)
			}
			cost[i] = append(cost[i], ms)
		}
	}
	least, peer := median(cost[0]), "—"
	for i, p := range programs {
		ms := median(cost[i])
		if last := len(programs) - 1; os.Getenv("USTREAMER_SRC") != "" {
			peer = fmt.Sprintf("%.2f", ms/median(cost[last]))
		}
		if _, err := fmt.Fprintf(out, "| %s, %s | %s | %.3f | %.2f | %s | %.1f |\n", kind, format, p.name, ms, ms/least, peer, bytes[i]/1000); err != nil {
			return err
		}
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// ours encodes what is in the file.
func ours(out io.Writer, path string, code device.FourCC, sampling string, quality, frames int) error {
	data, err := os.ReadFile(path) //nolint:gosec // the caller's own file
	if err != nil {
		return err
	}
	size := width * height * 2
	if code == device.YU12 {
		size = width * height * 3 / 2
	}
	if len(data) < size || frames < 1 {
		return errors.New("nothing to encode")
	}
	s, err := encode.ParseSubsampling(sampling)
	if err != nil {
		return err
	}
	f := device.Format{FourCC: code, Width: width, Height: height}
	e, err := encode.New(f, encode.Options{Quality: quality, Subsampling: s})
	if err != nil {
		return err
	}
	defer e.Close()
	count := len(data) / size
	var began, bytes float64
	for i := -count; i < frames; i++ { // all pictures once, to warm up
		if i == 0 {
			began, bytes = cpuMillis(), 0
		}
		at := (i + count) % count * size
		picture, err := e.Encode(&device.Buffer{Data: data[at : at+size], Format: f})
		if err != nil {
			return err
		}
		bytes += float64(len(picture))
	}
	_, err = fmt.Fprintln(out, (cpuMillis()-began)/float64(frames), bytes/float64(frames))
	return err
}

// cpuMillis is the processor time of this process so far.
func cpuMillis() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return float64(t.Nano()) / 1e6
}

// draw makes pictures. A scene has bars of colour, gradients, sharp edges and the
// noise of a camera in good light; a noisy one that of a camera in the dark.
func draw(kind, format string) []byte {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same pictures every time
	data := make([]byte, 0, pictures*width*height*2)
	amplitude := map[string]int{"scene": 5, "noisy": 12, "flat": 1}[kind]
	for n := range pictures {
		begin := len(data)
		for y := range height {
			for x := range width {
				luma, chroma := 110, 128
				if kind != "flat" {
					bar := (x + 7*n) / 160 % 8
					luma = 40 + 20*bar + (y+x/4)/12
					if y > height/2 {
						luma = 200 - (x+y)/16
					}
					if (x+3*n)/9%5 == 0 && y/14%3 == 0 && x > width/2 { // like writing
						luma = 30
					}
					chroma = 90 + (bar*37+x%2*50+y/30)%70
				}
				data = append(data, level(luma, amplitude, r), level(chroma, amplitude/2+1, r))
			}
		}
		if format == "YU12" {
			data = append(data[:begin], planar(data[begin:])...)
		}
	}
	return data
}

// planar takes a YUYV picture apart and leaves out every other row of chroma.
func planar(yuyv []byte) []byte {
	out := make([]byte, 0, width*height*3/2)
	for i := 0; i < len(yuyv); i += 2 {
		out = append(out, yuyv[i])
	}
	for c := 1; c <= 3; c += 2 {
		for y := 0; y < height; y += 2 {
			for x := 0; x < width; x += 2 {
				out = append(out, yuyv[(y*width+x)*2+c])
			}
		}
	}
	return out
}

func level(v, amplitude int, r *rand.Rand) byte {
	return byte(min(max(v+r.IntN(amplitude)+r.IntN(amplitude)-amplitude, 0), 255))
}
