package webgear

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Settings are WebGear's own options. DefaultSettings gives the defaults;
// ParseSettings reads them from a mapping, such as a settings file.
type Settings struct {
	// SkipGenerateWebdata (skip_generate_webdata) serves the stream without
	// pages and data files; errors are JSON.
	SkipGenerateWebdata bool
	// VideoEndpoint (custom_video_endpoint) is the path of the stream without
	// the slash, letters and digits only. Default "video".
	VideoEndpoint string
	// DataLocation (custom_data_location) is an existing writable folder in
	// which the data files are kept. Empty: the home of the user.
	DataLocation string
	// OverwriteDefaultFiles (overwrite_default_files) replaces the default data
	// files; of files that were edited a dated copy is kept.
	OverwriteDefaultFiles bool
	// FrameSizeReduction (frame_size_reduction) makes pictures smaller by so
	// many per cent on each side, 0 to 90. Default 0, so that the JPEG of a
	// camera is passed through; WebGear's is 25.
	FrameSizeReduction float64
	// JPEGQuality (jpeg_compression_quality) is 10 to 100. 0, the default, means
	// 90 for pictures that have to be encoded, and that JPEG of the camera is
	// passed through as it is; any other value makes it encoded again.
	JPEGQuality int
	// JPEGFastDCT (jpeg_compression_fastdct) trades accuracy for speed when
	// encoding. Default true.
	JPEGFastDCT bool
	// JPEGFastUpsample (jpeg_compression_fastupsample) does so when JPEG is
	// decoded to be made smaller. Default false.
	JPEGFastUpsample bool
	// JPEGColorspace (jpeg_compression_colorspace) is the layout of pictures
	// that a PixelFunc gives without saying it; GRAY makes every picture grey.
	// Default BGR.
	JPEGColorspace string
	// InfiniteFrames (enable_infinite_frames) keeps the stream open when the
	// source is over, with a picture that says "No Input".
	InfiniteFrames bool
}

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{VideoEndpoint: "video", JPEGFastDCT: true, JPEGColorspace: "BGR"}
}

// Colorspaces are the values of jpeg_compression_colorspace.
func Colorspaces() []string {
	return []string{"RGB", "BGR", "RGBX", "BGRX", "XBGR", "XRGB", "GRAY", "RGBA", "BGRA", "ABGR", "ARGB", "CMYK"}
}

// ParseSettings takes WebGear's own keys out of values and returns what is left
// for the source. Keys are trimmed. A value that cannot be used never is an
// error: it is discarded, the default stays, and warn is told the key and the
// reason, once.
func ParseSettings(values map[string]any, warn func(key, reason string)) (s Settings, rest map[string]any) {
	s = DefaultSettings()
	rest = map[string]any{}
	flag := func(to *bool) func(any) string {
		return func(v any) string {
			b, ok := v.(bool)
			if !ok {
				return "must be true or false"
			}
			*to = b
			return ""
		}
	}
	own := map[string]func(any) string{
		"skip_generate_webdata":         flag(&s.SkipGenerateWebdata),
		"overwrite_default_files":       flag(&s.OverwriteDefaultFiles),
		"jpeg_compression_fastdct":      flag(&s.JPEGFastDCT),
		"jpeg_compression_fastupsample": flag(&s.JPEGFastUpsample),
		"enable_infinite_frames":        flag(&s.InfiniteFrames),
		"custom_video_endpoint":         func(v any) string { return parseEndpoint(v, &s.VideoEndpoint) },
		"custom_data_location":          func(v any) string { return parseText(v, &s.DataLocation) },
		"frame_size_reduction":          func(v any) string { return parseNumber(v, 0, 90, &s.FrameSizeReduction) },
		"jpeg_compression_quality":      func(v any) string { return parseQuality(v, &s.JPEGQuality) },
		"jpeg_compression_colorspace":   func(v any) string { return parseColorspace(v, &s.JPEGColorspace) },
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := strings.TrimSpace(key)
		parse, ok := own[name]
		if !ok {
			rest[name] = values[key]
			continue
		}
		if reason := parse(values[key]); reason != "" {
			warn(name, reason)
		}
	}
	return s, rest
}

func parseText(v any, to *string) string {
	text, ok := v.(string)
	if !ok || strings.TrimSpace(text) == "" {
		return "must be text and not empty"
	}
	*to = strings.TrimSpace(text)
	return ""
}

func parseEndpoint(v any, to *string) string {
	var text string
	if reason := parseText(v, &text); reason != "" {
		return reason
	}
	other := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) || r > unicode.MaxASCII }
	if strings.ContainsFunc(text, other) {
		return "must have letters and digits only"
	}
	if slices.Contains([]string{"access", "api", "claim", "healthz", "metrics", "snapshot", "state", "static", "ui"}, text) {
		return "must not be a path of the server"
	}
	*to = text
	return ""
}

func parseNumber(v any, low, high float64, to *float64) string {
	n, ok := number(v)
	if !ok || !(n >= low && n <= high) { // so that NaN fails too
		return fmt.Sprintf("must be a number from %v to %v", low, high)
	}
	*to = n
	return ""
}

func parseQuality(v any, to *int) string {
	var n float64
	if reason := parseNumber(v, 10, 100, &n); reason != "" {
		return reason
	}
	*to = int(math.Trunc(n))
	return ""
}

func parseColorspace(v any, to *string) string {
	var text string
	if reason := parseText(v, &text); reason != "" {
		return reason
	}
	text = strings.ToUpper(text)
	if !slices.Contains(Colorspaces(), text) {
		return "must be one of " + strings.Join(Colorspaces(), ", ")
	}
	*to = text
	return ""
}

// number accepts every type that YAML, JSON and Go programs use for numbers.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float32:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}
