package webgear

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// FuzzParseSettings reads WebGear's options as people write them. What comes out
// is always within its bounds, and each wrong value is named once.
func FuzzParseSettings(f *testing.F) {
	for _, s := range []string{
		"{frame_size_reduction: 25, jpeg_compression_quality: 80}", "{frame_size_reduction: .nan}", "{frame_size_reduction: -.inf, ' frame_size_reduction': 5}",
		"{jpeg_compression_quality: 1e400}", "{custom_video_endpoint: ä/b}", "{custom_data_location: [1]}", "{jpeg_compression_colorspace: bgr}",
		"{enable_infinite_frames: 1, CAP_PROP_FPS: 30, -vf: hflip}", "{skip_generate_webdata: !!binary aGk=}", "{1: 2, [1]: 3}", "custom_video_endpoint: \"\\u0000\"",
	} {
		f.Add(s)
	}
	endpoint := regexp.MustCompile(`^[\pL\pN]+$`)
	f.Fuzz(func(t *testing.T, text string) {
		var values map[string]any
		if len(text) > 4096 || yaml.Unmarshal([]byte(text), &values) != nil {
			return
		}
		warned := map[string]int{}
		s, rest := ParseSettings(values, func(key, reason string) {
			if reason == "" {
				t.Errorf("%s: no reason", key)
			}
			warned[key]++
		})
		if !(s.FrameSizeReduction >= 0 && s.FrameSizeReduction <= 90) || s.JPEGQuality != 0 && (s.JPEGQuality < 10 || s.JPEGQuality > 100) ||
			!endpoint.MatchString(s.VideoEndpoint) || !slices.Contains(Colorspaces(), s.JPEGColorspace) {
			t.Errorf("%q: %+v", text, s)
		}
		if len(warned)+len(rest) > len(values) {
			t.Errorf("%q: %v and %v", text, warned, slices.Collect(maps.Keys(rest)))
		}
	})
}
