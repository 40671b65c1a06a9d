package libcamera

import (
	"bufio"
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

const (
	// maxCameras and maxModes bound what a listing may say. Chosen: a Pi 5 has
	// two ports, a multiplexer eight; no sensor has more than ten modes.
	maxCameras = 64
	maxModes   = 256
)

// SensorMode is one way in which the sensor can be read out.
type SensorMode struct {
	// Format is libcamera's name of the raw format, such as "SRGGB10_CSI2P".
	Format        string
	Width, Height int
	// BitDepth is bits per sample, 0 when not known.
	BitDepth int
	// Packed is set when samples share bytes.
	Packed bool
	// FPS is the highest frame rate, 0 when not known.
	FPS float64
}

// String gives the mode as Options.SensorMode wants it.
func (m SensorMode) String() string {
	s := strconv.Itoa(m.Width) + ":" + strconv.Itoa(m.Height)
	if m.BitDepth == 0 {
		return s
	}
	s += ":" + strconv.Itoa(m.BitDepth)
	if m.Packed {
		return s + ":P"
	}
	return s + ":U"
}

// listed is one camera as the program lists it.
type listed struct {
	index         int
	sensor, id    string
	width, height int // of the pixel array, 0 when not told
	bitDepth      int
	cfa           string
	modes         []SensorMode
}

// cameraLine is "0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/…/imx708@1a)".
// The part in brackets grew over time; with nothing to say, its opening bracket
// is overwritten.
var cameraLine = regexp.MustCompile(`^\s*(\d{1,3}) : (\S.*?) ?(?:\[([^\]]*)\]|\])? ?\((.+)\)$`)

// modeFormat is what stands before the sizes of one raw format.
var modeFormat = regexp.MustCompile(`^\s*(?:Modes: *)?'([^']*)' :`)

// modeSize is "1536x864 [120.13 fps - (0, 0)/4608x2592 crop]"; before 2022 the
// part in brackets was missing.
var modeSize = regexp.MustCompile(`(\d{1,5})x(\d{1,5})(?:\s*\[([^\]]*)\])?`)

// modeFPS finds the rate, which may be "nan".
var modeFPS = regexp.MustCompile(`^\s*(\d+(?:\.\d+)?) fps`)

// unsetCrop stands in the listing of a sensor that could not be asked, with a
// rate of 30 that means nothing.
const unsetCrop = "65535x65535"

// formatDepth finds the bits in the name of a raw format.
var formatDepth = regexp.MustCompile(`^[A-Z]+(\d{1,2})`)

// parseListing reads what --list-cameras writes. USB cameras, which the oldest
// versions did not hide, are left out: another driver has them.
func parseListing(out []byte) []listed {
	var cameras []listed
	var current *listed
	format := ""
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(strings.ToValidUTF8(lines.Text(), "?"), " \r")
		if m := cameraLine.FindStringSubmatch(line); m != nil {
			current, format = nil, ""
			c, ok := newListed(m)
			if ok && len(cameras) < maxCameras {
				cameras = append(cameras, c)
				current = &cameras[len(cameras)-1]
			}
			continue
		}
		if current == nil {
			continue
		}
		sizes := line
		if m := modeFormat.FindStringSubmatch(line); m != nil {
			format, sizes = m[1], line[len(m[0]):]
		} else if !strings.HasPrefix(line, " ") {
			format = ""
		}
		if strings.Contains(sizes, "Available controls") {
			format = "" // of --verbose 2; what follows are no modes
		}
		if format != "" {
			current.modes = appendModes(current.modes, format, sizes)
		}
	}
	return slices.DeleteFunc(cameras, func(c listed) bool { return strings.Contains(c.id, "/usb") })
}

func newListed(m []string) (listed, bool) {
	index, err := strconv.Atoi(m[1])
	if err != nil {
		return listed{}, false
	}
	c := listed{index: index, sensor: strings.TrimSpace(m[2]), id: m[4]}
	for word := range strings.FieldsSeq(m[3]) {
		switch {
		case strings.HasSuffix(word, "-bit"):
			c.bitDepth = depth(strings.TrimSuffix(word, "-bit"))
		case strings.Contains(word, "x") && c.width == 0:
			w, h, _ := strings.Cut(word, "x")
			if width, height, ok := size(w, h); ok {
				c.width, c.height = width, height
			}
		default:
			c.cfa = word
		}
	}
	return c, c.sensor != "" // which may be spaces of other kinds only
}

func appendModes(modes []SensorMode, format, text string) []SensorMode {
	bits := 0
	if m := formatDepth.FindStringSubmatch(format); m != nil {
		bits = depth(m[1])
	}
	packed := strings.HasSuffix(format, "_CSI2P") || strings.Contains(format, "_PISP_COMP")
	for _, m := range modeSize.FindAllStringSubmatch(text, maxModes) {
		w, h, ok := size(m[1], m[2])
		if !ok || len(modes) >= maxModes {
			continue
		}
		mode := SensorMode{Format: format, Width: w, Height: h, BitDepth: bits, Packed: packed}
		if fps := modeFPS.FindStringSubmatch(m[3]); fps != nil && !strings.Contains(m[3], unsetCrop) {
			if f, err := strconv.ParseFloat(fps[1], 64); err == nil && f > 0 && f <= 10000 {
				mode.FPS = f
			}
		}
		modes = append(modes, mode)
	}
	return modes
}

// size reads two sides in pixels.
func size(w, h string) (width, height int, ok bool) {
	width, werr := strconv.Atoi(w)
	height, herr := strconv.Atoi(h)
	ok = werr == nil && herr == nil && width > 0 && height > 0 &&
		width <= device.MaxSide && height <= device.MaxSide && width*height <= device.MaxPixels
	return width, height, ok
}

// depth reads bits per sample, 0 when that makes no sense.
func depth(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 32 {
		return 0
	}
	return n
}

// largest gives the sides that no picture should exceed.
func (c *listed) largest() (width, height int) {
	width, height = c.width, c.height
	for _, m := range c.modes {
		width, height = max(width, m.Width), max(height, m.Height)
	}
	if width == 0 || height == 0 {
		return 4096, 4096 // chosen: nothing is known, and more is rarely meant
	}
	return width, height
}

// maxFPS is the highest rate for pictures of this size, 0 when not known: that
// of a sensor mode that is large enough, for the picture is scaled down from it.
func (c *listed) maxFPS(width, height int) float64 {
	enough, other := 0.0, 0.0
	for _, m := range c.modes {
		if m.Width >= width && m.Height >= height {
			enough = max(enough, m.FPS)
		} else {
			other = max(other, m.FPS)
		}
	}
	if enough > 0 {
		return enough
	}
	return other
}
