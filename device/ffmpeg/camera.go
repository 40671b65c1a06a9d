package ffmpeg

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
	"github.com/webgear-pi/webgear/device/feed"
)

// maxAnswer bounds what ffprobe and yt-dlp may say, in bytes. Chosen: far above
// the 3 KB of a usual answer.
const maxAnswer = 1 << 20

// Camera is a source that another program reads.
type Camera struct {
	opt    Options
	source *source
	extra  *extra
	chain  string    // filters
	pipe   *pipeline // for pipelines
	log    *slog.Logger
	life   *feed.Life

	facts *facts       // of the source, once they were asked for; guarded by life.Busy
	known *device.Mode // what was granted last; guarded by life.Busy

	mu     sync.Mutex
	stream *stream // nil unless capturing
}

var _ device.Camera = (*Camera)(nil)

// Open prepares a source. Files are looked for, everything else is only opened
// by Start; that the programs are installed shows there, too. A source that can
// never work gives an error of the kind device.ErrUnsupported.
func Open(ctx context.Context, text string, opt Options) (*Camera, error) {
	c := &Camera{opt: opt, log: opt.Log}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.source, err = newSource(text, opt); err != nil {
		return nil, err
	}
	c.life = feed.NewLife(c.source.shown)
	if err := c.life.Check(ctx, "open"); err != nil {
		return nil, err
	}
	var odd []string
	if c.source.kind == KindGStreamer {
		colour, known := colourFilter(opt.Colorspace)
		gray := colourName(opt.Colorspace) == "GRAY" || colourName(opt.Colorspace) == "GREY"
		if !known || colour != "" && !gray {
			odd = append(odd, "colour space "+opt.Colorspace+" cannot be shown: it is ignored")
		}
		if c.pipe, err = newPipeline(text, gray); err != nil {
			return nil, c.life.Fail("open", device.ErrUnsupported, err)
		}
		if opt.Stabilize != nil {
			odd = append(odd, "pipelines are not stabilized")
		}
		if gray && c.pipe.jpeg {
			odd = append(odd, "pictures that are JPEG already keep their colours")
		}
		c.source.recording, c.source.networked = c.pipe.recording, c.pipe.network
	} else {
		if c.extra, err = newExtra(opt.Extra); err != nil {
			return nil, c.life.Fail("open", device.ErrUnsupported, err)
		}
		if c.chain, odd, err = filterChain(opt, c.extra); err != nil {
			return nil, c.life.Fail("open", device.ErrUnsupported, err)
		}
	}
	if opt.Loop && c.source.kind != KindFile {
		odd = append(odd, "only files can be looped")
	}
	for _, o := range odd {
		c.log.Warn("setting not applied as it stands", "path", c.source.shown, "reason", o)
	}
	return c, nil
}

// Info says what the source is. Passwords are hidden.
func (c *Camera) Info() device.Info {
	name := "Network stream"
	driver := "ffmpeg"
	switch c.source.kind {
	case KindFile:
		name = "Video " + filepath.Base(c.source.shown)
	case KindDevice:
		name = "FFmpeg " + c.opt.Demuxer
	case KindGStreamer:
		name, driver = "GStreamer pipeline", "gstreamer"
	case KindSite:
		name, driver = "Video site", "yt-dlp"
	}
	return device.Info{
		Driver: driver, Name: name, Path: c.source.shown, ID: c.source.shown,
		Synthetic: c.source.recording || c.source.synthetic,
	}
}

// Modes gives the one mode of the source. Nothing is known about a source that
// can be opened once only until it was started; the list is empty then.
func (c *Camera) Modes(ctx context.Context) ([]device.Mode, error) {
	const op = "enumerate formats"
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	if err := c.life.Check(ctx, op); err != nil {
		return nil, err
	}
	if c.known == nil {
		if c.source.once {
			return nil, nil
		}
		ctx, release := c.life.Until(ctx)
		defer release()
		s, err := c.launch(ctx, device.Format{})
		if err != nil {
			return nil, c.life.Explain(ctx, op, err)
		}
		s.halt()
		c.learn(s.format)
	}
	return []device.Mode{*c.known}, nil
}

func (c *Camera) learn(f device.Format) {
	c.known = &device.Mode{FourCC: f.FourCC, Width: f.Width, Height: f.Height}
	if f.Rate.Float() > 0 {
		c.known.Rates = []device.Rate{f.Rate}
	}
}

// Start runs the program and waits for what it delivers. Files begin anew.
// Whatever is asked for, the source's own format is granted; only image
// sequences and formats without times take the rate.
func (c *Camera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	const op = "start"
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	if err := c.life.Check(ctx, op); err != nil {
		return device.Format{}, err
	}
	if c.current() != nil {
		return device.Format{}, c.life.Started(op)
	}
	ctx, release := c.life.Until(ctx)
	defer release()
	if c.source.recording {
		c.pause(ctx)
	}
	s, err := c.launch(ctx, want)
	if err != nil {
		c.facts = nil // somebody may have changed it
		return device.Format{}, c.life.Explain(ctx, op, err)
	}
	if !c.source.recording {
		c.pause(ctx)
	}
	if ctx.Err() != nil {
		s.halt()
		return device.Format{}, c.life.Explain(ctx, op, context.Cause(ctx))
	}
	c.learn(s.format)
	c.mu.Lock()
	c.stream = s
	c.mu.Unlock()
	return s.format, nil
}

// pause waits for TimeDelay.
func (c *Camera) pause(ctx context.Context) {
	if c.opt.TimeDelay <= 0 {
		return
	}
	timer := time.NewTimer(c.opt.TimeDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// launch finds out how, and starts the program.
func (c *Camera) launch(ctx context.Context, want device.Format) (*stream, error) {
	var p *plan
	var program string
	debian := "ffmpeg"
	if c.pipe != nil {
		p = gstPlan(c.source, c.pipe, c.opt)
		program, debian = c.opt.gstProgram(), "gstreamer1.0-tools"
	} else {
		target := c.source.target()
		if c.source.kind == KindSite {
			var err error
			if target, err = c.resolve(ctx); err != nil {
				return nil, err
			}
			c.facts = nil // of another stream, perhaps
		}
		f, err := c.probe(ctx, target, want)
		if err != nil {
			return nil, err
		}
		c.reportHeight(f)
		program, _ = c.opt.programs()
		p = ffmpegPlan(c.source, target, c.opt, c.extra, c.chain, f, want)
	}
	p.all = deliverAll(c.opt.Delivery, p.all)
	spec := c.spec(program, debian, p.spec.Args)
	spec.DataFD3, spec.OnLine = p.spec.DataFD3, p.spec.OnLine
	p.spec = spec
	return startStream(ctx, p)
}

// probe asks what the source is, unless it is known or must not be opened.
func (c *Camera) probe(ctx context.Context, target string, want device.Format) (*facts, error) {
	if c.source.once {
		return nil, nil
	}
	if c.facts != nil {
		return c.facts, nil
	}
	if c.source.networked && c.opt.ReadTimeout >= 0 {
		var cancel context.CancelFunc
		late := &device.OpError{Op: "open", Path: c.source.shown, Kind: device.ErrDisconnected, Err: errSilent}
		ctx, cancel = context.WithTimeoutCause(ctx, max(openTimeout, c.opt.ReadTimeout), late)
		defer cancel()
	}
	_, ffprobe := c.opt.programs()
	out, lines, err := child.Output(ctx, c.spec(ffprobe, "ffmpeg", probeArgs(c.source, target, c.opt, c.extra, want)), maxAnswer)
	if err != nil {
		return nil, c.source.failure("open", nil, err, lines)
	}
	f, err := parseProbe(out)
	if err != nil {
		return nil, c.source.failure("open", device.ErrUnsupported, err, nil)
	}
	c.facts = f
	return f, nil
}

// resolve asks yt-dlp for the address of the video.
func (c *Camera) resolve(ctx context.Context) (string, error) {
	args, odd := siteArgs(c.source.text, c.opt)
	for _, o := range odd {
		c.log.Warn("setting not applied as it stands", "path", c.source.shown, "reason", o)
	}
	out, lines, err := child.Output(ctx, c.spec(c.opt.siteProgram(), "yt-dlp", args), maxAnswer)
	if err != nil {
		return "", c.source.failure("resolve", nil, err, lines)
	}
	target, err := parseSite(out)
	if err != nil {
		return "", c.source.failure("resolve", device.ErrUnsupported, err, nil)
	}
	return target, nil
}

// reportHeight says when a site does not have the resolution that was wanted.
func (c *Camera) reportHeight(f *facts) {
	if c.source.kind != KindSite || f == nil {
		return
	}
	if _, height, _ := siteFormat(c.opt.Resolution); height != 0 && height != f.height {
		c.log.Warn("resolution not available at the site", "path", c.source.shown, "wanted", c.opt.Resolution, "width_pixels", f.width, "height_pixels", f.height)
	}
}

func (c *Camera) current() *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream
}

// Next lends the next picture: the newest one, or with DeliverAll the one that
// follows the last.
func (c *Camera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	const op = "next"
	if err := c.life.Check(ctx, op); err != nil {
		return err
	}
	s := c.current()
	if s == nil {
		return c.life.NotStarted(op)
	}
	p, err := s.feed.Take(ctx, c.life.Closed())
	if err != nil {
		return c.life.Explain(ctx, op, err)
	}
	defer s.feed.GiveBack(p)
	return use(&p.Buffer)
}

// Stop ends the program.
func (c *Camera) Stop() error {
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	if c.life.IsClosed() {
		return c.life.Fail("stop", device.ErrClosed, nil)
	}
	c.end()
	return nil
}

// end halts the stream if there is one. The caller holds life.Busy.
func (c *Camera) end() {
	c.mu.Lock()
	s := c.stream
	c.stream = nil
	c.mu.Unlock()
	if s != nil {
		s.halt()
	}
}

// Close ends everything. It waits for the program, at most for the time that it
// is given to end by itself. Pictures that are lent or held stay as they are.
func (c *Camera) Close() error {
	c.life.Close()
	c.life.Busy.Lock()
	defer c.life.Busy.Unlock()
	c.end()
	return nil
}
