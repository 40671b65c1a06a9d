package ffmpeg

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// optionName is what names of options look like: -vf, -filter:v, -c:v:0.
var optionName = regexp.MustCompile(`^-[a-zA-Z][a-zA-Z0-9_:.-]*$`)

// outputOptions go behind -i. See Options.Extra.
var outputOptions = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"vf", "filter", "filter_complex", "lavfi", "map", "r", "s", "aspect", "frames", "vframes",
	"fps_mode", "vsync", "sws_flags", "autoscale", "filter_threads",
}

// ownOptions say what ffmpeg writes, where, and what it tells; they are ours.
var ownOptions = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"i", "f", "y", "n", "pix_fmt", "loglevel", "v", "report", "progress", "stats", "nostats", "stats_period",
	"stdin", "nostdin", "hide_banner", "attach", "dump_attachment", "vstats", "vstats_file", "passlogfile",
	"pass", "sdp_file", "target", "filter_script", "filter_complex_script", "vpre", "pre", "fpre", "flush_packets",
	"benchmark", "benchmark_all", "timelimit", "dump", "hex", "print_graphs", "print_graphs_file",
	"stats_enc_pre", "stats_enc_post", "stats_mux_pre", "stats_enc_pre_fmt", "stats_enc_post_fmt", "stats_mux_pre_fmt",
	"h", "help", "version", "L", "formats", "codecs", "sources", "sinks", "tee", "cpuflags", "map_metadata",
}

// flagOptions take no value: ffmpeg would take one for the name of an output.
var flagOptions = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"re", "copyts", "start_at_zero", "accurate_seek", "autorotate", "autoscale", "find_stream_info", "bitexact",
	"shortest", "copyinkf", "xerror", "ignore_unknown", "copy_unknown", "recast_media", "vn", "an", "sn", "dn",
	"fix_sub_duration", "debug_ts", "qphist", "psnr", "deinterlace", "intra", "apply_cropping_all", "display_hflip", "display_vflip",
}

// ffmpegOnly are input options that ffprobe does not know.
var ffmpegOnly = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"ss", "sseof", "t", "to", "re", "readrate", "readrate_initial_burst", "stream_loop", "itsoffset", "itsscale",
	"hwaccel", "hwaccel_device", "hwaccel_output_format", "init_hw_device", "filter_hw_device", "c", "codec", "vcodec",
	"thread_queue_size", "accurate_seek", "seek_timestamp", "autorotate", "discard", "reinit_filter", "copyts",
	"start_at_zero", "xerror", "ignore_unknown", "copy_unknown", "recast_media", "fix_sub_duration", "vn", "an", "sn", "dn",
	"dts_delta_threshold", "dts_error_threshold", "max_error_rate", "abort_on", "bitexact", "shortest", "copyinkf", "debug_ts",
	"threads", "display_rotation", "display_hflip", "display_vflip", "hwaccels", "vaapi_device", "qsv_device",
}

// extra is Options.Extra, sorted out.
type extra struct {
	input, output, probe []string
	set                  map[string]string // all, by name without the dash and specifier
	filter               string            // -vf
}

// newExtra sorts options to the side of -i where they belong, in the order of
// their names. Nothing that is given can become an option, an input or an
// output of its own.
func newExtra(options map[string]string) (*extra, error) {
	x := &extra{set: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := options[name]
		if !optionName.MatchString(name) {
			return nil, fmt.Errorf("option %q: write it with a leading dash, such as -vf", name)
		}
		base, _, _ := strings.Cut(name[1:], ":")
		if slices.Contains(ownOptions, base) {
			return nil, fmt.Errorf("option %s: cannot be set", name)
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("option %s: its value is no text", name)
		}
		args := []string{name, value}
		if slices.Contains(flagOptions, strings.TrimPrefix(base, "no")) || slices.Contains(flagOptions, base) {
			switch strings.ToLower(value) {
			case "", "true", "1", "yes":
				args = args[:1]
			case "false", "0", "no":
				continue
			default:
				return nil, fmt.Errorf("option %s: takes no value", name)
			}
		} else if value == "" {
			return nil, fmt.Errorf("option %s: needs a value", name)
		}
		x.set[base] = value
		switch {
		case base == "vf" || base == "filter":
			if x.filter != "" {
				return nil, fmt.Errorf("option %s: there is another filter already", name)
			}
			x.filter = value
		case slices.Contains(outputOptions, base):
			x.output = append(x.output, args...)
		default:
			x.input = append(x.input, args...)
			if !slices.Contains(ffmpegOnly, strings.TrimPrefix(base, "no")) && !slices.Contains(ffmpegOnly, base) {
				x.probe = append(x.probe, args...)
			}
		}
	}
	if x.filter != "" && (x.has("filter_complex") || x.has("lavfi")) {
		return nil, fmt.Errorf("option -vf: cannot be used with a complex filter")
	}
	return x, nil
}

func (x *extra) has(name string) bool {
	_, ok := x.set[name]
	return ok
}

// decodes reports whether an option works on decoded pictures.
func (x *extra) decodes() bool {
	for _, name := range outputOptions {
		if name != "map" && name != "frames" && name != "vframes" && x.has(name) {
			return true
		}
	}
	return false
}

// listens reports whether ffmpeg is told to wait for somebody who connects.
func listens(options map[string]string) bool {
	return strings.Contains(options["-rtsp_flags"], "listen") || options["-listen"] != "" && options["-listen"] != "0"
}
