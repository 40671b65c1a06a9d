// Package v4l2 is the driver for cameras that Linux offers as /dev/video
// nodes: it lists and classifies nodes, opens cameras, negotiates a format,
// lends out and exports the driver's own buffers, sets controls, and tells when
// nodes come and go. A camera that comes back under another number is found by
// its ID.
//
// It does not decide which camera to use or when to open it again, checks no
// picture and encodes none. Memory-to-memory codecs and the ISP of the
// Raspberry Pi look like cameras and are recognised as what they are.
//
// Enumeration goes through go4vl in builds with cgo and through plain ioctls
// without. Everything whose errno decides something (formats, buffers,
// streaming, controls, events) is our own ioctls on our own structures, because
// go4vl maps ENODEV, EIO and others to one error.
//
// A [Driver] may be used by several goroutines. A [Camera] follows the contract
// of [device.Camera] and [device.Controller]: one goroutine captures, any may
// close, use the controls, or give back a picture that was held. A [Watcher] runs
// in the goroutine that calls Run. The package starts no goroutine of its own.
package v4l2

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"sync"
	"unsafe"
)

// Config is the world a Driver lives in.
type Config struct {
	// Root is the directory that holds dev and sys; empty means "/". Paths of
	// cameras are given and returned as seen from there.
	Root string
	// Logger gets what was negotiated, at debug level. Nil means silence.
	Logger *slog.Logger
	// Nodes, where it is not nil, stands for the kernel, as devicetest.Kernel does:
	// it opens the node at a path and returns what answers its ioctls. Cameras can
	// then be listed and opened, but not started.
	Nodes func(path string) (ioctl func(req uintptr, arg unsafe.Pointer) error, err error)
}

// Driver finds and opens cameras.
type Driver struct {
	root   string
	log    *slog.Logger
	kernel kernel

	mu   sync.Mutex
	open map[string]int // open cameras by node name ("video0"), guarded by mu
}

// New returns a Driver for the world described by cfg.
func New(cfg Config) *Driver {
	if cfg.Nodes != nil {
		return newDriver(cfg, described{cfg.Nodes})
	}
	return newDriver(cfg, system{})
}

func newDriver(cfg Config, k kernel) *Driver {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Driver{
		root:   cmp.Or(cfg.Root, "/"),
		log:    log,
		kernel: k,
		open:   map[string]int{},
	}
}

// real turns a path of the Driver's world into one of the process.
func (d *Driver) real(path string) string { return filepath.Join(d.root, path) }

// opened counts a camera in (delta 1) or out (-1), and returns how often the node
// is open then.
func (d *Driver) opened(node string, delta int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[node] += delta
	n := d.open[node]
	if n <= 0 {
		delete(d.open, node)
	}
	return n
}

func (d *Driver) isOpen(node string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[node] > 0
}
