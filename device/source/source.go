// Package source turns what a person writes as a source into a camera that can
// be opened: "auto", "/dev/video0", "clip.mp4", "rtsp://…". It is the only
// package beside the command that names drivers; it opens nothing by itself and
// holds no state but that of the source.
//
// Which camera a source of this computer means:
//
//   - A number (0, /dev/video0) means the camera that was found by it when the
//     source was opened for the first time, from then on and wherever that camera
//     is plugged in: numbers change hands when cameras come and go. The camera is
//     known by its ID; one without a stable ID by its driver, its name and its
//     port.
//   - Any other path below /dev and a "bus:" name mean whatever camera that name
//     leads to each time.
//   - auto means any camera. It waits some seconds for the one it had to come
//     back before it takes another one.
//
// Sources that share a [v4l2.Driver] never open a camera that another of them has
// open. One that rests, as it has no viewers, is kept by number and by name, but
// auto may take it.
//
// A [Source] may be used by any goroutine.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/ffmpeg"
	"github.com/webgear-pi/webgear/device/httpjpeg"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/testsrc"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// Forms says what a source may be, for help and errors.
const Forms = "auto, test, test:1280x720@30, an index such as 0, a device such as /dev/video0 or /dev/v4l/by-id/…, the stable name that webgear probe lists, csi:0 for the Pi's own camera, " +
	"a recording or video file, a folder of .jpg files, an address (http, https, rtsp, rtmp, rtp, udp, srt), or a GStreamer pipeline that ends in appsink"

// Source is where pictures come from, ready to be opened.
type Source struct {
	// Want is the format to ask for.
	Want device.Format
	// Open opens it. It may be called again after the camera was closed.
	Open func(ctx context.Context) (device.Camera, error)
	// Better says whether a real camera could replace a synthetic one; nil when
	// that never happens.
	Better func(ctx context.Context) bool
	// Hotplug is set when it matters that devices come and go.
	Hotplug bool
	// Auto is set when any camera will do.
	Auto bool
	// OnDemand is set when nothing is lost while nobody reads: cameras and
	// streams of the network may rest then. Recordings, files, folders and pipes go
	// on where they were left, or begin anew, so they should not.
	OnDemand bool
	// Name is the source as it may be shown to everybody, without passwords:
	// what was written, or the camera that an API chose instead.
	Name string
}

// sizeSuffix is the size that may follow a camera: /dev/video0:1280x720@30.
var sizeSuffix = regexp.MustCompile(`:(\d+x\d+(?:@[0-9.]+)?)$`)

// parser is what Parse knows.
type parser struct {
	opt  Options
	keys keys
	drv  *v4l2.Driver
	pi   *libcamera.Driver
	log  *slog.Logger
}

// Parse finds out what spec means. It opens nothing; an error says that there is
// no such kind of source, and what there is instead.
func Parse(spec string, opt Options, drv *v4l2.Driver, log *slog.Logger) (*Source, error) {
	p := &parser{opt: opt, keys: parseKeys(opt.Keys, log), drv: drv, log: log, pi: libcamera.New(libcamera.Config{Raw: opt.Raw, Logger: log})}
	s, err := p.parse(spec)
	if err == nil && s.Name == "" {
		s.Name = Shown(spec)
	}
	return s, err
}

func (p *parser) parse(spec string) (*Source, error) {
	opt, log := p.opt, p.log
	p.opt.Want = merge(opt.Want, p.keys.want)
	name, err := p.cutSize(spec)
	if err != nil {
		return nil, err
	}
	ref, pi := isPi(name)
	if !pi && name != "auto" && opt.API != PiGear {
		for _, key := range slices.Sorted(maps.Keys(p.keys.others)) {
			log.Warn("source option discarded", "key", key, "reason", "is for the Pi's own camera")
		}
	}
	switch opt.API {
	case "", CamGear:
	case FFGear:
		return p.ffgear(spec, name), nil
	case PiGear:
		s := p.picam(p.cameraNum())
		s.Name = "csi:" + p.cameraNum()
		return s, nil
	default:
		return nil, fmt.Errorf("unknown api %q: use camgear, pigear or ffgear", opt.API)
	}
	switch {
	case pi:
		return p.picam(ref), nil
	case name == "auto":
		return p.auto(), nil
	case name == "test":
		return p.native(&Source{Want: p.opt.Want, OnDemand: true, Open: p.pattern("")}), nil
	case strings.HasPrefix(name, "test:"):
		_, _, _, err := device.ParseSize(strings.TrimPrefix(name, "test:"))
		return nil, fmt.Errorf("source %q: %w", spec, err)
	case isIndex(name):
		n, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("source %q: index out of range: webgear probe lists the cameras", spec)
		}
		return p.camera(p.stick(func(ctx context.Context) (device.Camera, error) { return p.openIndex(ctx, n) })), nil
	case strings.HasPrefix(name, "bus:"):
		return p.camera(func(ctx context.Context) (device.Camera, error) { return p.byID(ctx, name) }), nil
	case strings.HasPrefix(filepath.Clean(name), "/dev/"):
		return p.device(name), nil
	}
	return p.other(spec)
}

// cutSize takes the size off a camera's name.
func (p *parser) cutSize(spec string) (name string, err error) {
	m := sizeSuffix.FindStringSubmatch(spec)
	if m == nil {
		return spec, nil
	}
	name = strings.TrimSuffix(spec, m[0])
	if name != "auto" && name != "test" && !strings.HasPrefix(name, "csi") && !isIndex(name) && !strings.HasPrefix(name, "bus:") &&
		!strings.HasPrefix(filepath.Clean(name), "/dev/") {
		return spec, nil // part of a file's name or an address
	}
	w, h, rate, err := device.ParseSize(m[1])
	if err != nil {
		return "", fmt.Errorf("source %q: %w", spec, err)
	}
	p.opt.Want = merge(p.opt.Want, device.Format{Width: w, Height: h, Rate: rate})
	return name, nil
}

// other is everything that is no camera of this computer.
func (p *parser) other(spec string) (*Source, error) {
	info, err := os.Stat(spec)
	kind := ffmpeg.Detect(spec)
	plain := !p.opt.Stabilize && p.opt.Colorspace == "" && len(p.keys.extra) == 0
	switch {
	case err == nil && info.IsDir(), plain && isJPEGName(spec) && kind == ffmpeg.KindFile && !strings.ContainsRune(spec, '%'):
		return p.native(adviseFile(&Source{Want: p.opt.Want, Open: func(ctx context.Context) (device.Camera, error) {
			return opened(testsrc.OpenReplay(ctx, spec, testsrc.ReplayOptions{Rate: p.opt.Want.Rate, Loop: p.opt.Loop}))
		}})), nil
	case p.opt.StreamMode:
		return p.child(spec, ffmpeg.KindSite), nil
	case isHTTP(spec) && plain:
		return &Source{Want: p.opt.Want, OnDemand: !isFilm(spec), Open: func(ctx context.Context) (device.Camera, error) { return p.openHTTP(ctx, spec) }}, nil
	case kind != ffmpeg.KindFile, err == nil, strings.ContainsAny(spec, "/%"), filepath.Ext(spec) != "":
		return p.child(spec, kind), nil
	}
	return nil, fmt.Errorf("unknown source %q: use %s", spec, Forms)
}

// camera is a source on V4L2. The stabilizer and colour conversions are
// FFmpeg's, so that with them FFmpeg reads the camera.
func (p *parser) camera(open func(context.Context) (device.Camera, error)) *Source {
	s := &Source{Want: p.opt.Want, Open: open, Hotplug: true, OnDemand: true}
	if p.opt.Stabilize || p.opt.Colorspace != "" {
		s.Open = func(ctx context.Context) (device.Camera, error) {
			cam, err := open(ctx)
			if err != nil || cam.Info().Synthetic {
				return cam, err
			}
			path := cam.Info().Path
			if err := cam.Close(); err != nil {
				return nil, err
			}
			o := p.ffmpegOptions(ffmpeg.KindDevice)
			o.Demuxer = "v4l2"
			o.Extra = p.asV4L2()
			return opened(ffmpeg.Open(ctx, path, o))
		}
		return s // the delay is ffmpeg's as well
	}
	p.warnExtra()
	return p.delayed(s)
}

// asV4L2 adds what is wanted of a camera to FFmpeg's options, in the words of
// its demuxer v4l2. The driver grants what is nearest.
func (p *parser) asV4L2() map[string]string {
	want, extra := p.opt.Want, maps.Clone(p.keys.extra)
	set := func(name, value string) {
		if _, ok := extra[name]; !ok {
			extra[name] = value
		}
	}
	if want.Width > 0 && want.Height > 0 {
		set("-video_size", fmt.Sprintf("%dx%d", want.Width, want.Height))
	}
	if want.Rate.Float() > 0 {
		set("-framerate", fmt.Sprintf("%d/%d", want.Rate.Num, want.Rate.Den))
	}
	return extra
}

// sorted gives the names in a map in a fixed order.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// ffgear reads everything through ffmpeg; an index is a device there.
func (p *parser) ffgear(spec, name string) *Source {
	kind := ffmpeg.Detect(spec)
	if isIndex(name) {
		spec, kind = "/dev/video"+name, ffmpeg.KindDevice
		if p.opt.Demuxer == "" {
			p.opt.Demuxer = "v4l2"
		}
	} else if p.opt.Demuxer != "" {
		kind = ffmpeg.KindDevice
	}
	if p.opt.Demuxer == "v4l2" {
		p.keys.extra = p.asV4L2()
	}
	return p.child(spec, kind)
}

// child is a source that ffmpeg, gst-launch-1.0 or yt-dlp reads for us.
func (p *parser) child(spec string, kind ffmpeg.Kind) *Source {
	s := &Source{Want: p.opt.Want, Open: func(ctx context.Context) (device.Camera, error) { return p.openChild(ctx, spec, kind) }}
	switch kind {
	case ffmpeg.KindFile:
		return adviseFile(s)
	case ffmpeg.KindNetwork:
		s.OnDemand = !isFilm(spec)
	case ffmpeg.KindDevice:
		s.OnDemand = p.opt.Demuxer != "lavfi"
	}
	return s
}

func (p *parser) openChild(ctx context.Context, spec string, kind ffmpeg.Kind) (device.Camera, error) {
	cam, err := opened(ffmpeg.Open(ctx, spec, p.ffmpegOptions(kind)))
	if err == nil && kind == ffmpeg.KindNetwork && isFilm(spec) {
		return filmCamera{cam}, nil
	}
	return cam, err
}

func (p *parser) ffmpegOptions(kind ffmpeg.Kind) ffmpeg.Options {
	o := ffmpeg.Options{
		Kind: kind, Demuxer: p.opt.Demuxer, Extra: p.keys.extra, Loop: p.opt.Loop, TimeDelay: p.opt.TimeDelay, FFmpeg: p.opt.FFmpeg,
		Colorspace: p.opt.Colorspace, Delivery: p.keys.delivery, ReadTimeout: p.keys.timeout, StreamMode: p.opt.StreamMode,
		Resolution: p.keys.resolution, SiteParams: p.keys.site, Log: p.log,
	}
	if p.opt.Stabilize {
		stabilize := p.keys.stabilize
		o.Stabilize = &stabilize
	}
	return o
}

// openHTTP reads JPEG natively, and lets ffmpeg read what is something else,
// such as MP4 or HLS.
func (p *parser) openHTTP(ctx context.Context, address string) (device.Camera, error) {
	cam, err := httpjpeg.New(httpjpeg.Options{URL: address, Timeout: p.keys.timeout, Logger: p.log})
	if err != nil {
		return nil, err
	}
	if _, err = cam.Modes(ctx); err == nil {
		return p.late(cam), nil
	}
	err = errors.Join(err, cam.Close())
	if !errors.Is(err, device.ErrUnsupported) {
		return nil, err
	}
	return p.openChild(ctx, address, ffmpeg.KindNetwork)
}

// pattern returns an opener of the synthetic camera.
func (p *parser) pattern(note string) func(context.Context) (device.Camera, error) {
	want := p.opt.Want
	return func(context.Context) (device.Camera, error) {
		return opened(testsrc.NewPattern(testsrc.PatternOptions{Width: want.Width, Height: want.Height, Rate: want.Rate, Note: note}))
	}
}

// openIndex opens the n-th usable camera in the order of webgear probe.
func (p *parser) openIndex(ctx context.Context, n int) (device.Camera, error) {
	cameras, err := usable(ctx, p.drv)
	if err != nil {
		return nil, err
	}
	if n >= len(cameras) {
		return nil, &device.OpError{Op: "open", Path: "camera " + strconv.Itoa(n), Detail: fmt.Sprintf("(%d found)", len(cameras)), Kind: device.ErrNotFound}
	}
	return p.openPath(ctx, cameras[n].Info.Path)
}

// auto takes the first camera that opens. As long as none was ever seen it shows
// the synthetic camera, and gives way when a real one appears.
func (p *parser) auto() *Source {
	var seen atomic.Bool
	openPi := p.openPi("")
	first := p.prefer(func(ctx context.Context) (device.Camera, error) {
		if cam, found, err := p.firstPi(ctx, openPi); found {
			return cam, err
		}
		return p.firstUsable(ctx)
	})
	synthetic := p.pattern("No camera found. This is a test picture; plug a camera in and it is shown.")
	s := p.camera(func(ctx context.Context) (device.Camera, error) {
		cam, err := first(ctx)
		switch {
		case err != nil:
			return nil, err
		case cam != nil:
			seen.Store(true)
			return cam, nil
		case seen.Load():
			return nil, &device.OpError{Op: "open", Path: "any camera", Kind: device.ErrNotFound}
		}
		p.log.Warn("no camera found, showing a test picture", "remedy", "plug a camera in; webgear probe lists what there is")
		return synthetic(ctx)
	})
	s.Auto = true
	s.Better = func(ctx context.Context) bool {
		cameras, err := usable(ctx, p.drv)
		return err == nil && len(free(cameras)) > 0 || p.hasPi(ctx)
	}
	return s
}

// firstUsable opens the first camera that opens and that no other source has.
// Without any it gives nothing.
func (p *parser) firstUsable(ctx context.Context) (device.Camera, error) {
	cameras, err := usable(ctx, p.drv)
	if err != nil {
		p.log.Warn("cameras not listed", "err", err)
	}
	var last error
	for _, f := range free(cameras) {
		cam, err := p.openPath(ctx, f.Info.Path)
		if err == nil {
			return cam, nil
		}
		last = err
	}
	return nil, last
}

// usable lists the cameras that could be opened, in the order of their node
// numbers.
func usable(ctx context.Context, drv *v4l2.Driver) ([]v4l2.Found, error) {
	all, err := drv.List(ctx)
	if err != nil {
		return nil, err
	}
	var cameras []v4l2.Found
	for _, f := range all {
		if f.Usable {
			cameras = append(cameras, f)
		}
	}
	return cameras, nil
}

// free leaves out those that a source of this program has open.
func free(cameras []v4l2.Found) []v4l2.Found {
	return slices.DeleteFunc(cameras, func(f v4l2.Found) bool { return f.Open })
}

// opened keeps a nil pointer from becoming a camera.
func opened[C device.Camera](cam C, err error) (device.Camera, error) {
	if err != nil {
		return nil, err
	}
	return cam, nil
}

// merge lets what b says win over a.
func merge(a, b device.Format) device.Format {
	if b.FourCC != 0 {
		a.FourCC = b.FourCC
	}
	if b.Width != 0 {
		a.Width = b.Width
	}
	if b.Height != 0 {
		a.Height = b.Height
	}
	if b.Rate.Float() > 0 {
		a.Rate = b.Rate
	}
	return a
}

func isIndex(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// isJPEGName tells recordings of JPEG pictures by their name.
func isJPEGName(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".mjpeg", ".mjpg", ".jpg", ".jpeg":
		return true
	}
	return false
}
