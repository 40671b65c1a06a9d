// Package config holds the settings: what they are, their defaults, how a file
// is read and what is refused, and what a change of them takes. It imports
// nothing of ours but the device contract and package auth, whose rules on
// names, hashes and networks it applies. It starts nothing and touches no file
// other than the one named.
//
// Precedence: built-in default, then settings file, then command line.
//
// A settings file is strict YAML. An unknown or repeated key, a value of the
// wrong type or out of range, is an error that names file, line and key.
// Values may be copied freely.
package config

// Config is every setting. Default gives a usable one; the zero value is not.
//
// The tag reload says what a change takes in a running program: "live" nothing,
// "reopen" that the camera is opened anew, while viewers stay connected, and
// "restart" that the program is.
type Config struct {
	Camera Camera `yaml:"camera"`
	HTTP   HTTP   `yaml:"http"`
	Access Access `yaml:"access"`
	Log    Log    `yaml:"log"`
	// Options are WebGear's own options and those of its sources, by WebGear's
	// names. As there, a key or value that cannot be used is discarded with a
	// warning; see webgear.ParseSettings and source.Options.
	Options map[string]any `yaml:"options" reload:"reopen"`
}

// Camera says where pictures come from.
type Camera struct {
	// Source is "auto", "test[:WxH[@FPS]]", an index, a /dev path, a file, a
	// folder of JPEG files, an address or a GStreamer pipeline. Default auto.
	Source string `yaml:"source" reload:"reopen"`
	// Resolution is the wanted size, "WxH". Empty: the nearest to 1280x720.
	Resolution string `yaml:"resolution" reload:"reopen"`
	// Framerate is the wanted rate in frames per second, 0.1 to 1000.
	// 0: 30, or the nearest the camera has.
	Framerate float64 `yaml:"framerate" reload:"reopen"`
	// Format is the wanted pixel format, such as MJPG or YUYV. Empty: the best
	// for the work it costs.
	Format string `yaml:"format" reload:"reopen"`
	// Linger is how long the camera stays on when the last viewer has left:
	// "0s" to "24h", or "never" to keep it on. Default 60s.
	Linger string `yaml:"linger" reload:"live"`
	// Controls are values for the controls of the camera, by their names in
	// webgear probe: numbers, true and false, or text. They are set each time
	// the camera is opened.
	Controls map[string]any `yaml:"controls" reload:"live"`
	// Encoder is who makes JPEG of raw pictures: "auto" tries the hardware
	// first, "software" does without. Default auto.
	Encoder string `yaml:"encoder" reload:"reopen"`
	// Codec is what rpicam-vid is asked for: "yuv420" for pictures that are encoded
	// here, "mjpeg" for finished ones, "auto" for what suits the board. Default auto.
	Codec string `yaml:"codec" reload:"reopen"`
	// Subsampling is the resolution of colour in pictures encoded here: "420" is
	// half of that of brightness in both directions, as most cameras make it;
	// "keep" is what the source has, which costs bytes and work. Default 420.
	Subsampling string `yaml:"subsampling" reload:"reopen"`
	// Transform turns or mirrors the pictures: "90", "180", "270" clockwise,
	// "hflip", "vflip". Empty: as they are.
	Transform string `yaml:"transform" reload:"reopen"`
	// DropSameFrames is how many pictures in a row may be left out when they
	// equal the one before, byte by byte; 0 to 1000. Default 0: none.
	DropSameFrames int `yaml:"drop_same_frames" reload:"reopen"`
	// Loop repeats a recording for ever.
	Loop bool `yaml:"loop" reload:"reopen"`
	// API is who reads the source: camgear, pigear or ffgear. Empty: by the
	// look of the source.
	API string `yaml:"api" reload:"reopen"`
	// CameraNum is the number of the Pi's own camera, for pigear.
	CameraNum int `yaml:"camera_num" reload:"reopen"`
	// StreamMode resolves the address of a page through yt-dlp.
	StreamMode bool `yaml:"stream_mode" reload:"reopen"`
	// Stabilize calms shaky pictures.
	Stabilize bool `yaml:"stabilize" reload:"reopen"`
	// Colorspace is the name of an OpenCV conversion, such as COLOR_BGR2GRAY.
	Colorspace string `yaml:"colorspace" reload:"reopen"`
	// TimeDelay is waited before the first picture is read, in seconds, 0 to 3600.
	TimeDelay float64 `yaml:"time_delay" reload:"reopen"`
	// Demuxer is FFmpeg's name of the input format, for ffgear.
	Demuxer string `yaml:"source_demuxer" reload:"reopen"`
	// FFmpeg is the path of the program. Empty: the one in PATH.
	FFmpeg string `yaml:"custom_ffmpeg" reload:"reopen"`
}

// HTTP says where the server listens, and to how many.
type HTTP struct {
	// Listen is HOST:PORT; an empty host means all interfaces. Default
	// 127.0.0.1:8000; of the system service :8000.
	Listen string `yaml:"listen" reload:"restart"`
	// MaxViewers bounds how many may watch at once, MaxViewersPerAddress how
	// many of them from one address. Default 0: no bound.
	MaxViewers           int `yaml:"max_viewers" reload:"live"`
	MaxViewersPerAddress int `yaml:"max_viewers_per_address" reload:"live"`
	// ViewerTimeout is how long a viewer may take no data before it is cut
	// off, "1s" to "1h". Default 10s.
	ViewerTimeout string `yaml:"viewer_timeout" reload:"live"`
	// MaxConnections bounds the connections to one listening address, whatever
	// they are for. MaxConnectionsPerAddress bounds those of one IPv4 address or
	// IPv6 network of 64 bits: everybody behind one router has the same address,
	// and yet one client leaves room for others. Default 2048 and 1024; 0 is no
	// bound.
	MaxConnections           int `yaml:"max_connections" reload:"restart"`
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address" reload:"restart"`
	// TLS says whether there is HTTPS beside HTTP: "off", "self-signed" with a
	// certificate that is made here, or "files". Default off.
	TLS string `yaml:"tls" reload:"restart"`
	// TLSListen is HOST:PORT for HTTPS. Default 127.0.0.1:8443; of the system
	// service :8443.
	TLSListen string `yaml:"tls_listen" reload:"restart"`
	// Certificate and Key are files in the form PEM, for TLS: files. What is in
	// them may change at any time.
	Certificate string `yaml:"certificate" reload:"restart"`
	Key         string `yaml:"key" reload:"restart"`
	// Redirect sends browsers from HTTP to HTTPS.
	Redirect bool `yaml:"redirect" reload:"restart"`
}

// Values of HTTP.TLS.
const (
	TLSOff        = "off"
	TLSSelfSigned = "self-signed"
	TLSFiles      = "files"
)

// Access says who may look, and who may change things. What is in it counts
// when the program starts; passwords, tokens and links are changed by commands
// and pages, at any time.
type Access struct {
	// Mode is "password", or "open" to let in everybody who can reach this
	// computer. Default password.
	Mode string `yaml:"mode" reload:"restart"`
	// Accounts are people with a password, beside those that webgear claim and
	// webgear passwd make.
	Accounts []Account `yaml:"accounts" reload:"restart"`
	// Hosts are further names under which this computer is reached.
	Hosts []string `yaml:"hosts" reload:"restart"`
	// Origins are web sites whose pages may read and change things with a token.
	Origins []string `yaml:"origins" reload:"restart"`
	// FrameAncestors are web sites that may show the pages in a frame.
	FrameAncestors []string `yaml:"frame_ancestors" reload:"restart"`
	// TrustedProxies are the addresses and networks of proxies whose header fields
	// about the client are believed.
	TrustedProxies []string `yaml:"trusted_proxies" reload:"restart"`
	// ClaimFrom are networks from which the first password can be set, beside
	// private ones.
	ClaimFrom []string `yaml:"claim_from" reload:"restart"`
}

// Account is somebody with a password.
type Account struct {
	// Name is 1 to 32 of a-z, 0-9 and . _ -.
	Name string `yaml:"name"`
	// Role is viewer or admin.
	Role string `yaml:"role"`
	// Hash is what webgear hash-password prints.
	Hash string `yaml:"hash"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level" reload:"live"`
	// Format is text or json. Default text. Under systemd the journal gets the
	// fields as they are, whatever stands here.
	Format string `yaml:"format" reload:"restart"`
}

// maxConnections is the default bound. Chosen: twice the thousand viewers that
// one camera has been shown to, and at some 20 KB each no more than a tenth of
// the smallest board's memory. One address gets half of it, so that nobody keeps
// out all others, even with a password.
const (
	maxConnections           = 2048
	maxConnectionsPerAddress = maxConnections / 2
)

// Default returns the built-in settings.
func Default() Config {
	return Config{
		Camera: Camera{Source: "auto", Linger: "60s", Encoder: "auto", Codec: "auto", Subsampling: "420"},
		HTTP: HTTP{
			Listen: "127.0.0.1:8000", ViewerTimeout: "10s", MaxConnections: maxConnections, MaxConnectionsPerAddress: maxConnectionsPerAddress,
			TLS: TLSOff, TLSListen: "127.0.0.1:8443",
		},
		Access: Access{Mode: "password"},
		Log:    Log{Level: "info", Format: "text"},
	}
}

// ServiceDefault returns the built-in settings of the system service, which
// listens on all interfaces.
func ServiceDefault() Config {
	c := Default()
	c.HTTP.Listen, c.HTTP.TLSListen = ":8000", ":8443"
	return c
}
