package ffmpeg

import (
	"log/slog"
	"time"
)

// Kind is what a source is.
type Kind uint8

// Kinds of sources.
const (
	// KindAuto finds out by the look of the source, see [Detect].
	KindAuto Kind = iota
	// KindFile is a video file or an image sequence pattern such as img%03d.png.
	KindFile
	// KindNetwork is an address: http, https, rtsp, rtsps, rtp, rtmp, rtmps, mms,
	// mmsh, mmst, udp, tcp, srt.
	KindNetwork
	// KindDevice is what one of FFmpeg's input devices reads; Options.Demuxer
	// says which one.
	KindDevice
	// KindGStreamer is the text of a pipeline that ends in an appsink.
	KindGStreamer
	// KindSite is the address of a page that yt-dlp knows.
	KindSite
)

// String gives the kind in a word.
func (k Kind) String() string {
	switch k {
	case KindFile:
		return "file"
	case KindNetwork:
		return "network"
	case KindDevice:
		return "device"
	case KindGStreamer:
		return "pipeline"
	case KindSite:
		return "site"
	default:
		return "auto"
	}
}

// Delivery says what happens to pictures that nobody took in time.
type Delivery uint8

// Ways of delivery.
const (
	// DeliverAuto is DeliverAll for files and pipelines that read files,
	// DeliverNewest for everything else.
	DeliverAuto Delivery = iota
	// DeliverAll delivers every picture in order; whoever is slow slows the
	// source down. Live sources get late that way.
	DeliverAll
	// DeliverNewest skips pictures and counts them in Buffer.Stale.
	DeliverNewest
)

// Options says how a source is read. The zero value suits files and addresses.
type Options struct {
	// Kind of the source.
	Kind Kind
	// Demuxer is FFmpeg's name of the input format, such as "lavfi", "v4l2",
	// "x11grab", "mjpeg". Empty lets ffmpeg find out.
	Demuxer string
	// Extra are options for ffmpeg, by name with the leading dash, such as
	// "-vf": "hflip". Flags have the value "" or "true"; "false" leaves them out.
	//
	// Behind -i, as output options, go -vf, -filter:v, -filter_complex, -lavfi,
	// -map, -r, -s, -aspect, -frames:v, -vframes, -fps_mode, -vsync, -sws_flags,
	// -autoscale and -filter_threads. Everything else goes before -i: -ss, -t,
	// -to, -hwaccel, -c:v (the decoder), -framerate, -video_size, -rtsp_flags, …
	// Options that say what ffmpeg writes and where are refused.
	Extra map[string]string
	// Loop begins again at the end. Files only.
	Loop bool
	// TimeDelay is waited in Start before pictures are read; live sources run
	// meanwhile, so that a camera can settle.
	TimeDelay time.Duration
	// FFmpeg is the path of ffmpeg or of the folder it is in. Empty means PATH.
	// ffprobe is taken from the same folder when it is there.
	FFmpeg string
	// Colorspace is the name of an OpenCV conversion, such as "COLOR_BGR2GRAY".
	// What cannot be shown is ignored with a warning.
	Colorspace string
	// Stabilize calms shaky pictures; nil leaves them. It costs much time per
	// picture. Not for pipelines.
	Stabilize *Stabilize
	// Delivery chooses between all pictures and the newest.
	Delivery Delivery
	// ReadTimeout is how long a source may be silent (THREAD_TIMEOUT). 0 means
	// 10 s for network sources and no limit for others; below 0 means no limit.
	ReadTimeout time.Duration
	// NoProbe starts without asking ffprobe what the source is. For sources
	// that can be opened once only; pictures are then always decoded. It is
	// implied by the options -listen and -rtsp_flags listen.
	NoProbe bool
	// StreamMode takes http addresses for KindSite.
	StreamMode bool
	// Resolution is what to choose from a site: best, worst, or one of 144p,
	// 240p, 360p, 480p, 720p, 1080p, 1440p, 2160p, 4320p. Empty means best.
	Resolution string
	// SiteParams are options for yt-dlp, by yt-dlp's or youtube_dl's Python
	// name: proxy, cookies, username, password, referer, user-agent,
	// socket-timeout, force-ipv4, force-ipv6, no-check-certificates,
	// extractor-args, geo-bypass. Others are ignored with a warning.
	SiteParams map[string]string
	// YTDLP and GstLaunch are the paths of yt-dlp and gst-launch-1.0. Empty
	// means PATH.
	YTDLP, GstLaunch string
	// Env is added to the environment of the programs, which otherwise is PATH,
	// HOME and LANG=C: "DISPLAY=:0" for x11grab, "http_proxy=…".
	Env []string
	// Log gets what is odd but handled, and at debug level what programs say.
	// Nil drops it.
	Log *slog.Logger
}

// Stabilize are the settings of WebGear's stabilizer, as far as FFmpeg's
// single-pass filter deshake knows them.
type Stabilize struct {
	// SmoothingRadius is SMOOTHING_RADIUS. The filter averages over a fixed
	// number of pictures, so it is accepted and has no effect.
	SmoothingRadius int
	// BorderSize is BORDER_SIZE: pixels added on each side, or cut off with
	// CropNZoom. 0 to 512.
	BorderSize int
	// BorderType is BORDER_TYPE, what is shown where the picture was moved away:
	// black, reflect, reflect_101, replicate. Empty means black; wrap is not
	// possible and becomes reflect.
	BorderType string
	// CropNZoom is CROP_N_ZOOM: the border is cut off and the rest scaled back
	// to full size. The border is black then.
	CropNZoom bool
}
