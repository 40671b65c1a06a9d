package webgear

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// parse collects the warnings.
func parse(values map[string]any) (s Settings, rest map[string]any, warned []string) {
	s, rest = ParseSettings(values, func(key, reason string) { warned = append(warned, key+": "+reason) })
	return s, rest, warned
}

func TestInvalidOptionIsDiscardedWithOneWarningThatNamesTheKey(t *testing.T) {
	for key, bad := range map[string][]any{
		"skip_generate_webdata":         {"invalid", 1, nil},
		"overwrite_default_files":       {"invalid", 0},
		"jpeg_compression_fastdct":      {"invalid", 1},
		"jpeg_compression_fastupsample": {"invalid", []any{}},
		"enable_infinite_frames":        {"invalid", map[string]any{}},
		"custom_video_endpoint":         {"x#x", "x x", "", "   ", "a/b", 7, "vidéo", nil},
		"custom_data_location":          {true, "", 5},
		"frame_size_reduction":          {"invalid", -1, 90.5, 91, math.NaN(), true},
		"jpeg_compression_quality":      {5, 9.99, 100.5, "90", true},
		"jpeg_compression_colorspace":   {"invalid", "", 3},
	} {
		for _, value := range bad {
			s, rest, warned := parse(map[string]any{key: value})
			if s != DefaultSettings() || len(rest) != 0 {
				t.Errorf("%s: %v: got %+v and %v left, want the defaults and nothing", key, value, s, rest)
			}
			if len(warned) != 1 || !strings.HasPrefix(warned[0], key+": must ") {
				t.Errorf("%s: %v: warned %q", key, value, warned)
			}
		}
	}
}

func TestValidOptionsAreTaken(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value any
		want  func(*Settings)
	}{
		{"skip_generate_webdata", true, func(s *Settings) { s.SkipGenerateWebdata = true }},
		{"overwrite_default_files", true, func(s *Settings) { s.OverwriteDefaultFiles = true }},
		{"jpeg_compression_fastdct", false, func(s *Settings) { s.JPEGFastDCT = false }},
		{"jpeg_compression_fastupsample", true, func(s *Settings) { s.JPEGFastUpsample = true }},
		{"enable_infinite_frames", true, func(s *Settings) { s.InfiniteFrames = true }},
		{"custom_video_endpoint", " xyz ", func(s *Settings) { s.VideoEndpoint = "xyz" }},
		{"custom_video_endpoint", "x1y1z", func(s *Settings) { s.VideoEndpoint = "x1y1z" }},
		{"custom_data_location", "/tmp", func(s *Settings) { s.DataLocation = "/tmp" }},
		{"frame_size_reduction", 0, func(*Settings) {}},
		{"frame_size_reduction", 90, func(s *Settings) { s.FrameSizeReduction = 90 }},
		{"frame_size_reduction", 12.5, func(s *Settings) { s.FrameSizeReduction = 12.5 }},
		{"jpeg_compression_quality", 55.55, func(s *Settings) { s.JPEGQuality = 55 }},
		{"jpeg_compression_quality", uint64(10), func(s *Settings) { s.JPEGQuality = 10 }},
		{"jpeg_compression_quality", int64(100), func(s *Settings) { s.JPEGQuality = 100 }},
		{"jpeg_compression_colorspace", " gray  ", func(s *Settings) { s.JPEGColorspace = "GRAY" }},
		{" jpeg_compression_colorspace ", "rgbx", func(s *Settings) { s.JPEGColorspace = "RGBX" }},
	} {
		want := DefaultSettings()
		tt.want(&want)
		got, _, warned := parse(map[string]any{tt.key: tt.value})
		if got != want || len(warned) != 0 {
			t.Errorf("%s: %v: got %+v, warned %q", tt.key, tt.value, got, warned)
		}
	}
}

func TestOtherKeysAreLeftForTheSource(t *testing.T) {
	_, rest, warned := parse(map[string]any{" CAP_PROP_FPS ": 30, "frame_size_reduction": 25, "-vf": "hflip"})
	keys := slices.Sorted(maps.Keys(rest))
	if fmt.Sprint(keys) != "[-vf CAP_PROP_FPS]" || len(warned) != 0 {
		t.Errorf("left %v, warned %v", keys, warned)
	}
}
