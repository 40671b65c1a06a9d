package libcamera

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
)

// keptLines is how many lines with something to say are kept. Chosen: libcamera
// explains a failure in three or four.
const keptLines = 8

// chatter are lines that the program says all the time; at some verbosity one
// for each picture.
var chatter = regexp.MustCompile(`^(#\d+ \(|Viewfinder frame |FileOutput: |Mode selection for |Opening camera|Acquired camera |` +
	`Configuring |Stream configuration adjusted|Options:|\S+:\d+:[\d.]+/[\d.]+ - Score: |\s*S?[RGB]+\d+.*Score: |` +
	`(-+|Available controls):?$)|\bINFO\b|\bDEBUG\b`)

// configuring is libcamera's line with the size that was granted:
// "INFO Camera camera.cpp:1197 configuring streams: (0) 640x480-YUV420 (1) …".
var configuring = regexp.MustCompile(`configuring streams: \(0\) (\d{1,5})x(\d{1,5})-YUV420`)

// refusedOption is how Boost says that the program lacks an option, or has it in
// another form.
var refusedOption = regexp.MustCompile(`unrecogni[sz]ed option '?-{0,2}([a-z0-9-]+)|for option '-{0,2}([a-z0-9-]+)' is invalid`)

// voice listens to what the program says.
type voice struct {
	mu            sync.Mutex
	kept          []string // oldest first
	busy, denied  bool
	width, height int           // granted, 0 while not known
	sized         chan struct{} // closed when they are; nil for nobody waits
	onTimeout     func()
}

// hear takes one line.
func (v *voice) hear(line string) {
	timeout := strings.Contains(line, "Device timeout detected")
	v.mu.Lock()
	switch {
	case strings.Contains(line, "in use by another process"), strings.Contains(line, "resource busy"):
		v.busy = true
	case strings.Contains(line, "Permission denied"), strings.Contains(line, "Could not open any dma"):
		v.denied = true
	}
	if m := configuring.FindStringSubmatch(line); m != nil {
		if w, h, ok := size(m[1], m[2]); ok && v.width == 0 {
			v.width, v.height = w, h
			if v.sized != nil {
				close(v.sized)
			}
		}
	}
	if !chatter.MatchString(line) {
		if len(v.kept) == keptLines {
			v.kept = append(v.kept[:0], v.kept[1:]...)
		}
		v.kept = append(v.kept, plain(line))
	}
	v.mu.Unlock()
	if timeout && v.onTimeout != nil {
		v.onTimeout()
	}
}

// plain takes the decoration off: "ERROR: *** no cameras available ***".
func plain(line string) string {
	line = strings.TrimSpace(strings.TrimPrefix(line, "ERROR: "))
	return strings.TrimSpace(strings.Trim(line, "*"))
}

// size gives what was granted, zeros while that is not known.
func (v *voice) size() (width, height int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.width, v.height
}

func (v *voice) lines() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.kept)
}

// refused gives the option that the program does not take, or nothing.
func (v *voice) refused() string {
	for _, line := range v.lines() {
		if m := refusedOption.FindStringSubmatch(line); m != nil {
			return m[1] + m[2]
		}
	}
	return ""
}

// kind says what the end of the program means. delivered is set when pictures
// came before.
func (v *voice) kind(delivered bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	has := func(parts ...string) bool {
		return slices.ContainsFunc(v.kept, func(line string) bool {
			return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(line, part) })
		})
	}
	switch {
	case has("No such device", "Remote I/O error", "failed to find camera"), delivered && has("no cameras available"):
		return device.ErrUnplugged
	case delivered:
		return device.ErrStalled
	case v.denied:
		// Before the rest: who may not open the nodes is told that there are none.
		return device.ErrPermission
	case v.busy, has("failed to acquire camera"):
		return device.ErrBusy
	case has("no cameras available", "selected camera is not available", "No cameras available"):
		return device.ErrNotFound
	case has("unrecognised", "unrecognized", "is invalid", "Invalid", "illegal", "not supported", "camera manager failed",
		"failed to generate", "failed to configure", "failed to valid", "error while loading shared libraries"):
		return device.ErrUnsupported
	}
	return device.ErrStalled
}

// checkCable is what to do about a sensor that falls silent.
const checkCable = "check the ribbon cable and the power supply"

// remedy is what to do about kinds of failure whose cause is outside of the camera.
func remedy(kind error) string {
	switch {
	case errors.Is(kind, device.ErrPermission):
		return "add the user to the group video"
	case errors.Is(kind, device.ErrNotFound):
		return "check the ribbon cable, and camera_auto_detect=1 in config.txt"
	}
	return ""
}

// noMemory are words of a program that did not get memory for pictures.
func noMemory(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, "Cannot allocate memory") || strings.Contains(line, "failed to allocate") ||
			strings.Contains(line, "bad_alloc") || strings.Contains(line, "dmaHeap allocation failure")
	})
}

var errEnded = errors.New("ended by itself")

// failure describes how a program ended that should have gone on.
func failure(op, path string, exit error, v *voice, delivered bool) error {
	kind := v.kind(delivered)
	if exit == nil {
		exit = errEnded
	}
	if e, ok := errors.AsType[*child.ExitError](exit); ok {
		better := *e
		if lines := v.lines(); len(lines) > 0 {
			better.Line = strings.Join(lines[max(0, len(lines)-3):], "; ")
		}
		exit = &better
	}
	r := remedy(kind)
	if noMemory(v.lines()) {
		r = "choose a smaller size or fewer buffers, or give the camera more memory with cma=256M in cmdline.txt"
	}
	if r != "" {
		exit = fmt.Errorf("%w: %s", exit, r)
	}
	return &device.OpError{Op: op, Path: path, Kind: kind, Err: exit}
}
