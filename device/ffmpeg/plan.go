package ffmpeg

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
)

const (
	// networkTimeout is how long a network source may be silent unless told
	// otherwise. Chosen: longer than a Wi-Fi station takes to roam.
	networkTimeout = 10 * time.Second
	// openTimeout is how long a source may take to its first picture, where
	// silence is limited at all. Chosen: ffmpeg looks at a stream for 5 s, and
	// some cameras send a whole picture every 10 s only.
	openTimeout = 30 * time.Second
)

// plan is a program to run and what is known about its pictures beforehand.
type plan struct {
	source *source
	pipe   *pipeline // nil for ffmpeg
	spec   child.Spec
	// multipart is set for JPEG pictures; otherwise they are YUV4MPEG2.
	multipart bool
	// rate is what will be granted; zero leaves it to the header, unless
	// rateUnknown is set.
	rate        device.Rate
	rateUnknown bool
	// full is the range that was asked for, should the header not tell.
	full bool
	// matrix is known when facts were there, otherwise guessed from the height.
	matrix      device.Matrix
	matrixKnown bool
	// caps gives what GStreamer says about the pictures; nil for ffmpeg.
	caps <-chan string
	// all delivers every picture.
	all bool
	// silence is how long the program may be silent, 0 without limit; first the
	// same for the first picture.
	silence, first time.Duration
}

// programs gives the paths of ffmpeg and ffprobe.
func (opt Options) programs() (ffmpeg, ffprobe string) {
	path := opt.FFmpeg
	if path == "" {
		return "ffmpeg", "ffprobe"
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "ffmpeg")
	}
	ffprobe = filepath.Join(filepath.Dir(path), "ffprobe")
	if _, err := os.Stat(ffprobe); err != nil {
		ffprobe = "ffprobe"
	}
	if !strings.ContainsRune(path, '/') {
		ffprobe = "ffprobe"
	}
	return path, ffprobe
}

func (c *Camera) spec(program, debian string, args []string) child.Spec {
	return child.Spec{
		Program: program, Package: debian, Args: args, Env: c.opt.Env, Redact: c.source.redact,
		Log: c.log.With("program", filepath.Base(program)),
	}
}

// target is what stands behind -i.
func (s *source) target() string {
	if s.kind == KindFile {
		return "file:" + s.text // a name may look like an option or a protocol
	}
	return s.text
}

// inputArgs are the arguments up to the input, the same for ffmpeg and ffprobe.
func inputArgs(s *source, target string, opt Options, set func(string) bool, live bool, want device.Format) []string {
	var args []string
	add := func(name, value string) {
		if !set(name) {
			args = append(args, "-"+name, value)
		}
	}
	if live {
		add("fflags", "nobuffer")
		add("flags", "low_delay")
	}
	if p := scheme(target); p == "rtsp" || p == "rtsps" {
		add("rtsp_transport", "tcp") // pictures that lack packets are no use
	}
	if s.numbered && want.Rate.Float() > 0 {
		add("framerate", fmt.Sprintf("%d/%d", want.Rate.Num, want.Rate.Den))
	}
	if opt.Demuxer != "" {
		args = append(args, "-f", opt.Demuxer)
	}
	return args
}

// probeArgs are the arguments for ffprobe.
func probeArgs(s *source, target string, opt Options, x *extra, want device.Format) []string {
	args := []string{
		"-hide_banner", "-loglevel", "error", "-show_program_version", "-show_streams", "-show_format",
		"-select_streams", "V:0", "-of", "json",
	}
	args = append(args, inputArgs(s, target, opt, x.has, false, want)...)
	return slices.Concat(args, x.probe, []string{"-i", target})
}

// ffmpegPlan decides how ffmpeg is run. f is nil when nobody was asked.
func ffmpegPlan(s *source, target string, opt Options, x *extra, chain string, f *facts, want device.Format) *plan {
	p := &plan{source: s, all: s.recording}
	// What is on the network but has an end, or comes in bursts, runs by the
	// clock too; otherwise it would be over as fast as the network can.
	stored := s.networked && f != nil && (!f.endless || f.segmented())
	live := s.networked && !stored
	args := []string{"-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"}
	if (s.recording || s.synthetic || stored) && !x.has("re") && !x.has("readrate") {
		args = append(args, "-re")
	}
	if s.recording && opt.Loop && !x.has("stream_loop") {
		args = append(args, "-stream_loop", "-1")
	}
	args = append(args, inputArgs(s, target, opt, x.has, live, want)...)
	args = slices.Concat(args, x.input, []string{"-i", target})
	if !x.has("map") && !x.has("filter_complex") && !x.has("lavfi") {
		args = append(args, "-map", "0:V:0") // the video, not the picture on its cover
	}
	args = append(args, x.output...)

	p.multipart = f != nil && f.jpeg() && chain == "" && !x.decodes()
	if p.multipart {
		args = append(args, "-c:v", "copy", "-f", "mpjpeg")
	} else {
		if chain != "" {
			args = append(args, "-vf", chain)
		}
		args = append(args, rawArgs(p, x, chain, f)...)
	}
	p.spec.Args = append(args, "-flush_packets", "1", "pipe:1")
	p.setRate(s, x, f, live, want)
	p.setSilence(s, opt, live)
	return p
}

// rawArgs say how decoded pictures are written.
func rawArgs(p *plan, x *extra, chain string, f *facts) []string {
	var args []string
	if !x.has("r") && !x.has("fps_mode") && !x.has("vsync") {
		// Every picture once, as it comes. Before 5.1 the option had another name.
		name := "-fps_mode"
		if f != nil && (f.major > 0 && f.major < 5 || f.major == 5 && f.minor < 1) {
			name = "-vsync"
		}
		args = append(args, name, "passthrough")
	}
	pixels := "yuv420p"
	if f != nil {
		p.matrix, p.matrixKnown = f.matrix, true
		// Pictures that are not YUV are converted in any case; full range is
		// what a JPEG needs in the end.
		if f.full || f.pixels != "" && !isYUV(f.pixels) {
			pixels, p.full = "yuvj420p", true
		}
	}
	if strings.Contains(chain, "format=gbrp") || strings.Contains(chain, "format=rgb") {
		p.matrix, p.matrixKnown = device.BT601, true // what swscale makes of RGB
	}
	return append(args, "-pix_fmt", pixels, "-f", "yuv4mpegpipe")
}

func (p *plan) setRate(s *source, x *extra, f *facts, live bool, want device.Format) {
	switch {
	case s.numbered && want.Rate.Float() > 0 && !x.has("framerate"):
		p.rate = want.Rate
	case f == nil || x.filter != "" || x.decodes():
		// The header is right.
	case live && f.guessedRate():
		p.rateUnknown = true
	default:
		p.rate = f.rate
	}
}

func (p *plan) setSilence(s *source, opt Options, live bool) {
	p.silence = max(0, opt.ReadTimeout)
	if opt.ReadTimeout == 0 && live {
		p.silence = networkTimeout
	}
	if p.silence > 0 && !s.once { // somebody may have to connect first
		p.first = max(p.silence, openTimeout)
	}
}

// deliverAll decides between all pictures and the newest.
func deliverAll(d Delivery, otherwise bool) bool {
	switch d {
	case DeliverAll:
		return true
	case DeliverNewest:
		return false
	default:
		return otherwise
	}
}

// gstPlan decides how gst-launch-1.0 is run.
func gstPlan(s *source, pipe *pipeline, opt Options) *plan {
	p := &plan{source: s, pipe: pipe, multipart: pipe.jpeg, all: pipe.recording && !pipe.newest}
	caps := make(chan string, 1)
	p.caps = caps
	p.spec.OnLine = func(line string) {
		if text := capsOf(line); text != "" {
			select {
			case caps <- text:
			default: // they changed; the first ones count
			}
		}
	}
	p.spec.Args = pipe.args
	p.spec.DataFD3 = true
	p.setSilence(s, opt, pipe.network)
	return p
}

// granted completes the format that a header told.
func (p *plan) granted(f device.Format, ranged bool) device.Format {
	switch {
	case p.rateUnknown:
		f.Rate = device.Rate{}
	case p.rate.Float() > 0:
		f.Rate = p.rate
	}
	if f.FourCC.Compressed() {
		return f
	}
	if !ranged && p.full {
		f.Quantization = device.FullRange
	}
	f.Matrix = p.matrix
	if !p.matrixKnown {
		f.Matrix = matrixOf("", "", f.Height)
	}
	return f
}

// gstProgram and siteProgram are what is run for pipelines and sites.
func (opt Options) gstProgram() string  { return cmp.Or(opt.GstLaunch, "gst-launch-1.0") }
func (opt Options) siteProgram() string { return cmp.Or(opt.YTDLP, "yt-dlp") }
