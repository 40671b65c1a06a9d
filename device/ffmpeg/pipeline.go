package ffmpeg

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// splitPipeline splits the text of a pipeline into words as a shell would:
// quotes and backslashes keep what is between them together and disappear.
// Exclamation marks outside of quotes are words of their own.
func splitPipeline(text string) (words []string, err error) {
	var word strings.Builder
	inWord := false
	var quote rune
	escaped := false
	flush := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	for _, c := range text {
		switch {
		case c == 0:
			return nil, errors.New("holds a zero byte")
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteRune(c)
			}
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			flush()
		case c == '!':
			flush()
			words = append(words, "!")
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("a quote (%c) is not closed", quote)
	case escaped:
		return nil, errors.New("ends with a backslash")
	}
	flush()
	return words, nil
}

// pipeline is a GStreamer pipeline, prepared to write its pictures to file
// descriptor 3.
type pipeline struct {
	args []string
	// jpeg is set when the pictures reach the sink as JPEG.
	jpeg bool
	// recording is set when it reads a file.
	recording bool
	// network and camera say what it means when the pipeline breaks.
	network, camera bool
	// newest is set when the sink was told to drop pictures.
	newest bool
}

// jpegMakers are parts of the names of elements whose output is JPEG.
var jpegMakers = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"jpegenc", "jpegparse", "rtpjpegdepay", "multipartdemux", "avenc_mjpeg",
}

// passers are elements that change nothing.
var passers = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"queue", "queue2", "identity", "tee", "valve", "watchdog", "clocksync",
}

// sinkName is what the element is called that our pictures come from.
const sinkName = "webgear_pictures"

// sinkCaps is how gst-launch -v tells which caps that element was given.
var sinkCaps = regexp.MustCompile(`:` + sinkName + `\.[^ ]*:sink[_0-9]*: caps = (.*)$`)

var (
	capsRate        = regexp.MustCompile(`framerate=\(fraction\)(\d+/\d+)`)
	capsColorimetry = regexp.MustCompile(`colorimetry=\(string\)"?([0-9A-Za-z:-]+)`)
)

// capsOf gives the caps that a line tells, or "".
func capsOf(line string) string {
	if m := sinkCaps.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

// applyCaps completes a format by what the y4m header or the JPEG does not tell.
func applyCaps(f device.Format, caps string) device.Format {
	if m := capsRate.FindStringSubmatch(caps); m != nil && f.Rate.Float() == 0 {
		f.Rate = parseRatio(m[1], "/")
	}
	if f.FourCC.Compressed() {
		return f
	}
	f.Quantization, f.Matrix = device.LimitedRange, matrixOf("", "", f.Height)
	m := capsColorimetry.FindStringSubmatch(caps)
	if m == nil {
		return f
	}
	switch name, parts := m[1], strings.Split(m[1], ":"); {
	case name == "bt601":
		f.Matrix = device.BT601
	case name == "bt709" || strings.HasPrefix(name, "bt2020") || name == "smpte240m":
		f.Matrix = device.BT709
	case len(parts) == 4: // range:matrix:transfer:primaries, GstVideoColorRange and GstVideoColorMatrix
		if parts[0] == "1" {
			f.Quantization = device.FullRange
		}
		switch parts[1] {
		case "2", "4": // FCC, BT.601
			f.Matrix = device.BT601
		case "3", "5", "6": // BT.709, SMPTE 240M, BT.2020
			f.Matrix = device.BT709
		}
	}
	return f
}

// newPipeline prepares a pipeline as people write it for OpenCV: its appsink
// is replaced by elements that write the pictures to us. gray takes the colours out.
func newPipeline(text string, gray bool) (*pipeline, error) {
	words, err := splitPipeline(text)
	if err != nil {
		return nil, err
	}
	if len(words) > 0 && (words[0] == "gst-launch-1.0" || words[0] == "gst-launch") {
		words = words[1:] // pasted from a terminal
	}
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			return nil, fmt.Errorf("%q is an option, not a part of a pipeline", w)
		}
	}
	at := slices.Index(words, "appsink")
	switch {
	case at < 2 || words[at-1] != "!":
		return nil, errors.New("a pipeline has to end in ! appsink")
	case slices.Contains(words[at+1:], "appsink"):
		return nil, errors.New("a pipeline may have one appsink only")
	}
	p := &pipeline{}
	sync := "true" // appsink's default
	end := at + 1
	for ; end < len(words) && strings.Contains(words[end], "=") && !strings.HasPrefix(words[end], "video/"); end++ {
		name, value, _ := strings.Cut(words[end], "=")
		isTrue := slices.Contains([]string{"true", "1", "yes"}, strings.ToLower(value))
		switch {
		case name == "sync" && !isTrue:
			sync = "false"
		case name == "drop":
			p.newest = isTrue
		}
	}
	p.examine(words[:at-1])
	p.args = []string{"-v", "--"} // so that it tells the caps
	p.args = append(p.args, words[:at]...)
	if p.jpeg {
		p.args = append(p.args, "multipartmux", "name="+sinkName)
	} else {
		p.args = append(p.args, "videoconvert", "!")
		if gray {
			p.args = append(p.args, "videobalance", "saturation=0", "!", "videoconvert", "!")
		}
		p.args = append(p.args, "video/x-raw,format=I420", "!", "y4menc", "name="+sinkName)
	}
	p.args = append(p.args, "!", "fdsink", "fd=3", "sync="+sync)
	p.args = append(p.args, words[end:]...)
	return p, nil
}

// examine finds out what the elements before the sink do.
func (p *pipeline) examine(words []string) {
	for _, w := range words {
		switch {
		case slices.Contains([]string{"filesrc", "multifilesrc", "splitfilesrc"}, w), strings.HasPrefix(w, "uri=file:"):
			p.recording = true
		case slices.Contains([]string{"rtspsrc", "souphttpsrc", "curlhttpsrc", "udpsrc", "tcpclientsrc", "tcpserversrc", "rtmpsrc", "rtmp2src", "srtsrc", "neonhttpsrc"}, w),
			strings.HasPrefix(w, "uri=") && scheme(strings.TrimPrefix(w, "uri=")) != "":
			p.network = true
		case slices.Contains([]string{"v4l2src", "libcamerasrc", "rpicamsrc", "nvarguscamerasrc"}, w):
			p.camera = true
		}
	}
	for len(words) > 0 {
		last := len(words) - 1
		for last > 0 && words[last-1] != "!" {
			last--
		}
		first := words[last]
		switch {
		case slices.Contains(passers, first):
		case strings.HasPrefix(first, "image/jpeg"):
			p.jpeg = true
			return
		default:
			p.jpeg = slices.ContainsFunc(jpegMakers, func(part string) bool { return strings.Contains(first, part) })
			return
		}
		words = words[:max(0, last-1)]
	}
}
