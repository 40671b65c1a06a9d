package ffmpeg

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// facts is what ffprobe finds out about a source.
type facts struct {
	codec         string
	width, height int
	rate          device.Rate
	// pixels is FFmpeg's name of the pixel format.
	pixels     string
	full       bool // full range, as far as the source tells
	matrix     device.Matrix
	interlaced bool
	// endless is set when the source has no duration.
	endless bool
	// container is FFmpeg's name of the format.
	container string
	// major and minor are ffmpeg's version, 0 when it does not tell.
	major, minor int
}

// errNoVideo: ffprobe could read the source, but it holds no pictures.
var errNoVideo = errors.New("holds no video")

// parseProbe reads what ffprobe prints in JSON.
func parseProbe(data []byte) (*facts, error) {
	var p struct {
		Version struct {
			Version string `json:"version"`
		} `json:"program_version"`
		Streams []struct {
			Codec      string `json:"codec_name"`
			Width      int    `json:"width"`
			Height     int    `json:"height"`
			Pixels     string `json:"pix_fmt"`
			Range      string `json:"color_range"`
			Space      string `json:"color_space"`
			Average    string `json:"avg_frame_rate"`
			Real       string `json:"r_frame_rate"`
			FieldOrder string `json:"field_order"`
			Duration   string `json:"duration"`
			Frames     string `json:"nb_frames"`
			Tags       struct {
				Rotate string `json:"rotate"`
			} `json:"tags"`
			SideData []struct {
				Rotation json.Number `json:"rotation"`
			} `json:"side_data_list"`
		} `json:"streams"`
		Format struct {
			Name     string `json:"format_name"`
			Duration string `json:"duration"`
		} `json:"format"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("answer of ffprobe: %w", err)
	}
	if len(p.Streams) == 0 {
		return nil, errNoVideo
	}
	s := p.Streams[0]
	f := &facts{
		codec: s.Codec, width: s.Width, height: s.Height, pixels: s.Pixels, container: p.Format.Name,
		interlaced: s.FieldOrder != "" && s.FieldOrder != "progressive" && s.FieldOrder != "unknown",
	}
	if s.Codec == "" {
		return nil, errNoVideo
	}
	if err := checkSize(f.width, f.height); err != nil {
		return nil, err
	}
	for _, sd := range s.SideData {
		if n, err := sd.Rotation.Float64(); err == nil && int(n)%180 != 0 {
			f.width, f.height = f.height, f.width
			break
		}
	}
	f.rate = parseRatio(s.Average, "/")
	if f.rate.Float() == 0 {
		f.rate = parseRatio(s.Real, "/")
	}
	f.full = s.Range == "pc" || strings.HasPrefix(s.Pixels, "yuvj")
	f.matrix = matrixOf(s.Space, s.Pixels, s.Height)
	f.endless = seconds(p.Format.Duration) <= 0 && seconds(s.Duration) <= 0
	f.major, f.minor = parseVersion(p.Version.Version)
	return f, nil
}

func checkSize(width, height int) error {
	if width < 1 || height < 1 || width > device.MaxSide || height > device.MaxSide || width*height > device.MaxPixels {
		return fmt.Errorf("picture of %dx%d pixels: each side must be 1 to %d, the area at most %d million", width, height, device.MaxSide, device.MaxPixels>>20)
	}
	return nil
}

// maxRate is the highest rate that is believed, in frames per second. Formats
// that count time finely are said to have 90000.
const maxRate = 1000

// parseRatio reads "30000/1001". What is no rate gives the zero Rate.
func parseRatio(s, separator string) device.Rate {
	num, den, _ := strings.Cut(s, separator)
	n, err1 := strconv.ParseUint(num, 10, 32)
	d, err2 := strconv.ParseUint(den, 10, 32)
	if err1 != nil || err2 != nil || n == 0 || d == 0 || n > maxRate*d {
		return device.Rate{}
	}
	return device.Rate{Num: uint32(n), Den: uint32(d)}
}

func seconds(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return f
}

// parseVersion reads "5.1.9-0+deb12u1"; 0, 0 for anything else.
func parseVersion(s string) (major, minor int) {
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) < 2 {
		return 0, 0
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return major, minor
}

// highDefinition is the height in pixels above which players take BT.709 for
// granted. GStreamer uses the same number.
const highDefinition = 576

// matrixOf gives the matrix of FFmpeg's color_space, guessed from the height
// where the source does not tell. What is not YUV is converted by swscale, which
// uses BT.601.
func matrixOf(space, pixels string, height int) device.Matrix {
	switch {
	case pixels != "" && !isYUV(pixels):
		return device.BT601
	case slices.Contains([]string{"bt470bg", "smpte170m", "fcc"}, space):
		return device.BT601
	case slices.Contains([]string{"bt709", "smpte240m", "bt2020nc", "bt2020c"}, space):
		return device.BT709 // of the two that we know, the nearer one
	case height > highDefinition && !strings.HasPrefix(pixels, "yuvj"):
		return device.BT709
	}
	return device.BT601
}

func isYUV(pixels string) bool {
	for _, p := range []string{"yuv", "nv12", "nv16", "nv20", "nv21", "nv24", "uyvy", "yvyu", "yuyv", "p010", "p210", "y210"} {
		if strings.HasPrefix(pixels, p) {
			return true
		}
	}
	return false
}

// jpeg reports whether the pictures can be passed on as they are. Of interlaced
// ones, two halves make a picture.
func (f *facts) jpeg() bool { return f.codec == "mjpeg" && !f.interlaced }

// guessedRate reports whether the rate is FFmpeg's own idea: these formats have
// no times.
func (f *facts) guessedRate() bool {
	return slices.Contains([]string{"mpjpeg", "mjpeg", "h264", "hevc", "image2", "image2pipe"}, f.container) || strings.HasSuffix(f.container, "_pipe")
}

// segmented reports whether the source comes in bursts of many pictures.
func (f *facts) segmented() bool {
	return slices.ContainsFunc(strings.Split(f.container, ","), func(name string) bool {
		return name == "hls" || name == "applehttp" || name == "dash"
	})
}
