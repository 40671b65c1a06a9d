// Package m2m makes JPEG with the hardware encoders that Linux offers as V4L2
// memory-to-memory devices: the two of the Raspberry Pi Zero to 4
// (bcm2835-codec-encode_image, whose quality is set, and the MJPG role of
// bcm2835-codec-encode, whose bit rate is), and any other that takes raw
// pictures this program knows and gives JPEG. The Pi 5 has none.
//
// A Finder looks for them; what it finds are [device.EncoderMaker] values. The
// package opens, negotiates, lets the hardware read pictures where the camera put
// them or copies them in, copies files out, and proves that
// each file belongs to its picture. It does not choose between hardware and
// software and does not try again after a failure: its user does. It adds no
// Huffman tables to MJPG that comes without them; pkg/jpeg does.
//
// A Finder may be used by several goroutines. An Encoder belongs to one at a
// time, except for SetQuality. The package starts no goroutine.
package m2m

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"time"
	"unsafe"
)

// Config is the world a Finder lives in.
type Config struct {
	// Root is the directory that holds dev and sys; empty means "/". Paths in
	// names and errors are given as seen from there.
	Root string
	// Logger gets what was found and negotiated, at debug level, and at warn
	// level what an encoder lacks. Nil means silence.
	Logger *slog.Logger
	// Timeout is how long an encoder may take for a picture; 0 means 500 ms.
	// FirstTimeout is the same for the first one after the encoder was made or
	// reset, when the firmware sets itself up; 0 means 2 s.
	Timeout, FirstTimeout time.Duration
	// Nodes, where it is not nil, stands for the kernel, as devicetest.Kernel does:
	// it opens the node at a path and returns what answers its ioctls. Encoders can
	// then be found, but do not work.
	Nodes func(path string) (ioctl func(req uintptr, arg unsafe.Pointer) error, err error)
}

// Chosen: the Pi's block takes about 13 ms for 1920x1080 (160 million pixels a
// second), shared with other users of the VideoCore. What takes half a second is
// dead, and a viewer notices no less.
const (
	defaultTimeout      = 500 * time.Millisecond
	defaultFirstTimeout = 2 * time.Second
)

// Finder finds encoders.
type Finder struct {
	root           string
	log            *slog.Logger
	timeout, first time.Duration
	kernel         kernel
}

// New returns a Finder for the world described by cfg.
func New(cfg Config) *Finder {
	if cfg.Nodes != nil {
		return newFinder(cfg, described{cfg.Nodes})
	}
	return newFinder(cfg, system{})
}

func newFinder(cfg Config, k kernel) *Finder {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Finder{
		root:    cmp.Or(cfg.Root, "/"),
		log:     log,
		timeout: cmp.Or(cfg.Timeout, defaultTimeout),
		first:   cmp.Or(cfg.FirstTimeout, defaultFirstTimeout),
		kernel:  k,
	}
}

// real turns a path of the Finder's world into one of the process.
func (f *Finder) real(path string) string { return filepath.Join(f.root, path) }
