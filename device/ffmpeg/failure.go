package ffmpeg

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/child"
)

// speaker is who said a line: "[tcp @ 0x55d0c8a0]" of ffmpeg's, "ERROR: [site]".
var speaker = regexp.MustCompile(`^\[[^\]]* @ (0x)?[0-9a-fA-F]+\] `)

// address is a line's beginning that names what ffmpeg reads: for a site, an
// address that nobody knows.
var address = regexp.MustCompile(`^[a-z]+://\S+: `)

// complaint is how gst-launch-1.0 tells which element failed, and why.
var complaint = regexp.MustCompile(`^(?:ERROR: from element \S*:|WARNING: erroneous pipeline: )(.+)$`)

// vague are beginnings of lines that end a failure without naming it.
var vague = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"Conversion failed", "Error opening input", "Error opening output", "Error initializing output stream", "Exiting normally",
	"Output file is empty", "Nothing was written", "Failed to set value", "Error writing trailer", "Error closing file", "Error muxing a packet",
	"av_interleaved_write_frame", "Error parsing options", "Error while processing the decoded data", "Terminating thread",
	"Error reinitializing filters", "Failed to inject frame", "Error splitting the argument list", "Additional debug info", "Task finished with error",
	"../", "ERROR: pipeline doesn't want to preroll", "Setting pipeline to", "Failed to set pipeline", "Pipeline is", "Freeing pipeline", "Execution ended", "Failed to query video capabilities",
	"streaming stopped, reason", "New clock", "Error submitting", "To ignore this",
}

// cause picks the line that says most, without what the caller says itself:
// who speaks and about which source.
func cause(lines []string, s *source) string {
	if s.kind == KindGStreamer {
		// What comes later follows from it. The same comes several times, so the
		// very first may not have been kept.
		for _, line := range lines {
			if m := complaint.FindStringSubmatch(line); m != nil && !strings.Contains(line, "state change failed") {
				return strings.TrimSpace(m[1])
			}
		}
	}
	for _, line := range slices.Backward(lines) {
		for m := speaker.FindString(line); m != ""; m = speaker.FindString(line) {
			line = line[len(m):]
		}
		isVague := slices.ContainsFunc(vague, func(start string) bool { return strings.HasPrefix(line, start) })
		if line == "" || isVague {
			continue
		}
		for _, name := range []string{"file:" + s.text, s.text, s.shown} {
			line = strings.TrimPrefix(line, name+": ")
		}
		line = address.ReplaceAllString(line, "")
		return strings.TrimSpace(line)
	}
	if len(lines) > 0 {
		return lines[len(lines)-1]
	}
	return ""
}

// unreadable are parts of lines that say that trying again is no use.
var unreadable = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"Invalid data found", "does not contain any stream", "matches no streams", "Unrecognized option", "Option ", "Unknown input format",
	"Protocol not found", "No such filter", "moov atom not found", "Unknown decoder", "Decoder (codec", "Error initializing filter",
	"could not link", "no element", "no property", "syntax error", "erroneous pipeline", "Unsupported URL", "Requested format is not available",
	"is not a valid URL", "Undefined constant or missing",
}

// openKind says what it means that a source could not be opened.
func (s *source) openKind(line string) error {
	has := func(part string) bool { return strings.Contains(line, part) }
	switch {
	case slices.ContainsFunc(unreadable, has):
		return device.ErrUnsupported
	case s.networked:
		return device.ErrDisconnected
	case has("Resource not found"), has("No such file or directory"), has("Cannot identify device"), has("No such device"):
		return device.ErrNotFound
	case has("Device or resource busy"), has("is busy"):
		return device.ErrBusy
	case has("Permission denied"):
		return device.ErrPermission
	}
	return device.ErrUnsupported
}

// endKind says what it means that a source ended that was delivering.
func (s *source) endKind(pipe *pipeline, failed bool) error {
	switch {
	case s.networked:
		return device.ErrDisconnected
	case !failed:
		return device.ErrEnded
	case s.kind == KindDevice && !s.synthetic, pipe != nil && pipe.camera:
		return device.ErrUnplugged
	}
	return device.ErrDamaged
}

// failure describes why a program could not do what it was started for.
func (s *source) failure(op string, kind, err error, lines []string) error {
	if opErr, ok := errors.AsType[*device.OpError](err); ok {
		return opErr // the program itself is missing, or could not be started
	}
	line := cause(lines, s)
	if exit, ok := errors.AsType[*child.ExitError](err); ok {
		better := *exit
		better.Line = line
		err = &better
	}
	if kind == nil {
		kind = s.openKind(line)
	}
	return &device.OpError{Op: op, Path: s.shown, Kind: kind, Err: err}
}
