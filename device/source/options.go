package source

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/ffmpeg"
	"github.com/webgear-pi/webgear/device/libcamera"
)

// API names one of WebGear's ways to read a source.
type API string

// WebGear's APIs. The zero value chooses by the look of the source.
const (
	// CamGear reads whatever the source text says.
	CamGear API = "camgear"
	// PiGear reads the Raspberry Pi's own camera.
	PiGear API = "pigear"
	// FFGear reads everything through ffmpeg.
	FFGear API = "ffgear"
)

// Options say how to read a source. The zero value suits most.
type Options struct {
	// API chooses who reads; empty means by the look of the source.
	API API
	// Want is the format to ask for; zero fields leave the choice to the driver.
	Want device.Format
	// Loop repeats recordings and files for ever.
	Loop bool
	// CameraNum is the number of the camera for PiGear.
	CameraNum int
	// StreamMode resolves the address of a page through yt-dlp.
	StreamMode bool
	// Demuxer is FFmpeg's name of the input format, such as "v4l2"; FFmpeg the
	// path of the program.
	Demuxer, FFmpeg string
	// Colorspace is the name of an OpenCV conversion, such as COLOR_BGR2GRAY.
	Colorspace string
	// TimeDelay is waited before the first picture is read.
	TimeDelay time.Duration
	// Stabilize calms shaky pictures.
	Stabilize bool
	// Codec is what the Pi's own camera delivers: auto (or empty), mjpeg made by
	// rpicam-vid, or yuv420 for an encoder of ours. With auto, Raw decides, which
	// says whether there is hardware that makes JPEG of raw pictures; nil goes by the
	// board.
	Codec libcamera.Codec
	Raw   func() bool
	// Keys are WebGear's option keys for sources: those of CamGear (CAP_PROP_…,
	// THREADED_QUEUE_MODE, THREAD_TIMEOUT, STREAM_RESOLUTION, STREAM_PARAMS), FFGear
	// (FFmpeg options with their dash), PiGear and the stabilizer. A key that is
	// unknown, or whose value cannot be used, is discarded with one warning.
	Keys map[string]any
}

// maxBorder bounds BORDER_SIZE in pixels, as the driver does, and the radius.
const maxBorder = 512

// keys are Options.Keys taken apart.
type keys struct {
	want       device.Format // from CAP_PROP_FRAME_WIDTH, _HEIGHT, _FPS and _FOURCC
	extra      map[string]string
	delivery   ffmpeg.Delivery
	timeout    time.Duration
	resolution string
	site       map[string]string
	stabilize  ffmpeg.Stabilize
	// others are left for the Pi camera.
	others map[string]any
}

// parseKeys takes the keys apart and warns of those that cannot be used.
func parseKeys(values map[string]any, log *slog.Logger) keys {
	k := keys{extra: map[string]string{}, site: map[string]string{}, others: map[string]any{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if reason := k.take(strings.TrimSpace(name), values[name]); reason != "" {
			log.Warn("source option discarded", "key", strings.TrimSpace(name), "reason", reason)
		}
	}
	return k
}

// take takes one key; the result says why its value cannot be used.
func (k *keys) take(name string, v any) (reason string) {
	number, isNumber := toNumber(v)
	text, isText := v.(string)
	flag, isFlag := v.(bool)
	switch strings.TrimPrefix(name, "CAP_PROP_") {
	case "FRAME_WIDTH", "FRAME_HEIGHT", "FPS":
		if !isNumber || number <= 0 {
			return "must be a number above 0"
		}
		switch name[len(name)-3:] {
		case "DTH":
			k.want.Width = int(number)
		case "GHT":
			k.want.Height = int(number)
		default:
			k.want.Rate = device.FPS(number)
		}
		return ""
	case "FOURCC":
		code, err := device.ParseFourCC(text)
		if err != nil {
			return err.Error()
		}
		k.want.FourCC = code
		return ""
	case "THREADED_QUEUE_MODE":
		if isFlag && !flag {
			k.delivery = ffmpeg.DeliverNewest
		}
		if !isFlag {
			return "must be true or false"
		}
		return ""
	case "THREAD_TIMEOUT":
		if !isNumber || number <= 0 {
			return "must be a number of seconds above 0"
		}
		k.timeout = time.Duration(number * float64(time.Second))
		return ""
	case "HWFAILURE_TIMEOUT": // a camera that stops is noticed sooner here
		if !isNumber || number <= 1 || number >= 10 {
			return "must be more than 1 and less than 10 seconds"
		}
		return ""
	case "STREAM_RESOLUTION":
		k.resolution = text // the driver warns of unknown names
		return asText(isText)
	case "STREAM_PARAMS":
		params, ok := v.(map[string]any)
		if !ok {
			return "must be a mapping"
		}
		for n, p := range params {
			k.site[n] = fmt.Sprint(p)
		}
		return ""
	case "SMOOTHING_RADIUS", "BORDER_SIZE":
		if !isNumber || number != float64(int(number)) || number < 0 || number > maxBorder {
			return fmt.Sprintf("must be a whole number from 0 to %d", maxBorder)
		}
		if name == "BORDER_SIZE" {
			k.stabilize.BorderSize = int(number)
		} else {
			k.stabilize.SmoothingRadius = int(number)
		}
		return ""
	case "BORDER_TYPE":
		if !slices.Contains([]string{"black", "reflect", "reflect_101", "replicate", "wrap"}, text) {
			return "must be black, reflect, reflect_101, replicate or wrap"
		}
		k.stabilize.BorderType = text
		return ""
	case "CROP_N_ZOOM":
		k.stabilize.CropNZoom = isFlag && flag
		if !isFlag {
			return "must be true or false"
		}
		return ""
	case "STABILIZER_MODE":
		if !strings.EqualFold(text, "ASW") {
			return "only ASW is there"
		}
		return ""
	}
	switch {
	case strings.HasPrefix(name, "-"):
		if v == nil {
			v = ""
		}
		k.extra[name] = fmt.Sprint(v)
		return ""
	case strings.HasPrefix(name, "CAP_PROP_"):
		return "this camera property cannot be set here"
	case slices.Contains(piKeys(), name):
		k.others[name] = v
		return ""
	}
	return "unknown"
}

// piKeys are the keys of PiGear, which its driver checks.
func piKeys() []string {
	return []string{"format", "sensor", "controls", "transform", "buffer_count", "queue", "auto_align_output_size", "enable_verbose_logs"}
}

func asText(ok bool) string {
	if ok {
		return ""
	}
	return "must be text"
}

func toNumber(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}
