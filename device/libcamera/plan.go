package libcamera

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// Board says which camera pipeline the computer has.
type Board string

// Boards. The empty one is found out from the camera's ID.
const (
	// BoardVC4 is a Raspberry Pi up to 4 and Zero 2 W, with JPEG hardware.
	BoardVC4 Board = "vc4"
	// BoardPiSP is a Raspberry Pi 5, 500 or CM5, without.
	BoardPiSP Board = "pisp"
)

// boardOf tells the board by a camera's ID: on a Pi 5 all cameras are behind
// the RP1 chip, which is on PCIe.
func boardOf(id string) Board {
	if strings.HasPrefix(id, "/base/axi/pcie") {
		return BoardPiSP
	}
	return BoardVC4
}

const (
	// defaultWidth and defaultHeight are the driver's choice. Chosen: what the
	// slowest board encodes at 30 fps.
	defaultWidth  = 1280
	defaultHeight = 720
	defaultFPS    = 30 // the program's own default
	// minSide is the least that is asked for, in pixels. Chosen: below it the
	// scaler of no board was tried.
	minSide = 64
	// minFPS and maxFPS bound what is asked for where the sensor's range is not
	// known. Chosen.
	minFPS = 0.1
	maxFPS = 1000
	// defaultQuality is webgear's for JPEG pictures; the program's is 50.
	defaultQuality = 80
	// alignment is what AlignWidth rounds to, in pixels: as picamera2 does.
	alignment = 32
)

// plan is one way to run the program.
type plan struct {
	codec   Codec
	format  device.Format
	board   Board
	index   int // of the camera
	stride  int // of raw pictures, 0 when not known yet
	options Options
}

// newPlan chooses what is nearest to want. raw says what suits the board.
func newPlan(cam *listed, board Board, raw bool, opt Options, want device.Format) plan {
	p := plan{board: board, index: cam.index, options: opt}
	switch {
	case want.FourCC == device.YU12:
		p.codec = CodecYUV420
	case want.FourCC == device.MJPG || want.FourCC == device.JPEG:
		p.codec = CodecMJPEG
	case opt.Codec != "" && opt.Codec != CodecAuto:
		p.codec = opt.Codec
	case raw:
		p.codec = CodecYUV420
	default:
		p.codec = CodecMJPEG
	}
	f := device.Format{FourCC: device.MJPG, Matrix: device.BT601, Quantization: device.FullRange}
	if p.codec == CodecYUV420 {
		f.FourCC = device.YU12
	}
	width, height := sides(want.Width, want.Height)
	mostWidth, mostHeight := cam.largest()
	f.Width, f.Height = clampSide(width, mostWidth), clampSide(height, mostHeight)
	if opt.AlignWidth && f.Width >= alignment {
		f.Width -= f.Width % alignment
	}
	fps := want.Rate.Float()
	if fps == 0 {
		fps = defaultFPS
	}
	most := cam.maxFPS(f.Width, f.Height)
	if most == 0 {
		most = maxFPS
	}
	f.Rate = device.FPS(max(minFPS, min(fps, most)))
	p.format = f
	return p
}

// sides fills in what was left to the driver, in the shape of its choice.
func sides(width, height int) (int, int) {
	switch {
	case width <= 0 && height <= 0:
		return defaultWidth, defaultHeight
	case width <= 0:
		return height * defaultWidth / defaultHeight, height
	case height <= 0:
		return width, width * defaultHeight / defaultWidth
	}
	return width, height
}

// clampSide brings a side into range and makes it even: the colours of YU12 have
// half the size.
func clampSide(side, most int) int {
	side = max(minSide, min(side, max(most, minSide)))
	return side &^ 1
}

// strides are the bytes of a row that are possible for YU12 pictures of this
// width, likeliest first.
func (p *plan) strides(width int) []int {
	if p.stride != 0 {
		return []int{p.stride}
	}
	if p.board != BoardPiSP {
		// VC4: rounded up to 64 (rpicam-apps issue 188: 780 gives 832).
		return []int{roundUp(width, 64)}
	}
	// PiSP: rows of colour are aligned to 64 and have half the stride, thus 128;
	// the hardware can do 32 (libpisp, compute_stride_align), and versions differ.
	var all []int
	for _, to := range []int{128, 64, 32, 2} {
		all = append(all, roundUp(width, to))
	}
	return slices.Compact(all)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// rawBytes is the size of a YU12 picture.
func rawBytes(stride, height int) int { return stride*height + stride/2*(height/2)*2 }

// rate is what the program is asked for, in pictures per second. libcamera cuts
// an exposure that is longer than a picture may take; who fixes the exposure
// wants that instead of the rate.
func (p *plan) rate() float64 {
	fps := p.format.Rate.Float()
	if t := p.options.ExposureTime.Seconds(); t*fps > 1 {
		return max(0.001, 1/t)
	}
	return fps
}

// args is the program's command line. metadata is where facts about pictures go,
// or empty.
func (p *plan) args(metadata string) []string {
	args := []string{
		"-n", "-t", "0", "--camera", strconv.Itoa(p.index),
		"--codec", string(p.codec),
		"--width", strconv.Itoa(p.format.Width), "--height", strconv.Itoa(p.format.Height),
		"--framerate", decimal(math.Round(p.rate()*1000) / 1000),
		"--flush", "-o", "-",
	}
	if p.codec == CodecMJPEG {
		quality := p.options.JpegQuality
		if quality == 0 {
			quality = defaultQuality
		}
		args = append(args, "--quality", strconv.Itoa(quality))
	}
	if metadata != "" {
		args = append(args, "--metadata", metadata, "--metadata-format", "txt")
	}
	if p.options.Verbose {
		args = append(args, "--verbose=2")
	}
	return append(args, p.options.args()...)
}

// without takes options out that the program does not have, and says which of
// them were there.
func without(args []string, missing func(name string) bool) (kept, dropped []string) {
	for i := 0; i < len(args); i++ {
		name, isLong := strings.CutPrefix(args[i], "--")
		name, _, inOne := strings.Cut(name, "=")
		if !isLong || !missing(name) || !slices.Contains(newerOptions(), name) {
			kept = append(kept, args[i])
			continue
		}
		dropped = append(dropped, name)
		// A value of its own follows, unless a switch was dropped.
		if !inOne && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return kept, dropped
}

// newerOptions are those that some version of the program lacks or has in
// another form. Everything else is there since 1.0, and nothing works without.
func newerOptions() []string {
	names := []string{"metadata", "metadata-format", "verbose"}
	for _, r := range optionTable() {
		if r.flag == "quality" {
			continue
		}
		names = append(names, r.flag)
	}
	return names
}
