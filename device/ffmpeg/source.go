package ffmpeg

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// schemes are the protocols that sources may name. Others of ffmpeg's, such as
// concat or pipe, could read what a source should not.
var schemes = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"http", "https", "rtsp", "rtsps", "rtp", "rtmp", "rtmps", "mms", "mmsh", "mmst", "udp", "tcp", "srt",
}

// sequencePattern is what FFmpeg's image2 replaces by a number: %d, %3d, %03d.
var sequencePattern = regexp.MustCompile(`%0?\d{0,2}d`)

// scheme gives the protocol of a network address in lower case, or "".
func scheme(source string) string {
	name, _, ok := strings.Cut(source, "://")
	if name = strings.ToLower(name); ok && slices.Contains(schemes, name) {
		return name
	}
	return ""
}

// Detect says what a source looks like, without opening anything: a pipeline
// has an appsink behind an exclamation mark, a network address begins with one
// of the known protocols, everything else is taken for a file. A site cannot be
// told from an address.
func Detect(source string) Kind {
	switch {
	case scheme(source) != "":
		return KindNetwork
	case isPipeline(source):
		return KindGStreamer
	}
	return KindFile
}

// isPipeline looks for an appsink that something is linked to.
func isPipeline(source string) bool {
	words, err := splitPipeline(source)
	if err != nil {
		return strings.Contains(source, "!") && strings.Contains(source, "appsink")
	}
	i := slices.Index(words, "appsink")
	return i > 0 && slices.Contains(words[:i], "!")
}

// source is what a camera reads from.
type source struct {
	kind Kind
	// text is what the user wrote.
	text string
	// shown is the text without its password.
	shown string
	// networked is set when it comes over a network.
	networked bool
	// recording is set when the source has an end and its own pace by nature.
	recording bool
	// numbered is set for image sequences and for formats without times, whose
	// rate can be chosen.
	numbered bool
	// synthetic is set for lavfi: as fast as it is asked.
	synthetic bool
	// once is set when it can be opened one time only, or not before it is used.
	once bool
	// redact takes passwords out of lines; nil when there are none.
	redact func(string) string
}

// newSource finds out what text is, and refuses what can be refused without
// opening it.
func newSource(text string, opt Options) (*source, error) {
	s := &source{kind: opt.Kind, text: text, shown: text}
	if strings.TrimSpace(text) == "" || strings.ContainsRune(text, 0) {
		return nil, s.refuse("no source is given")
	}
	if s.kind == KindAuto {
		s.kind = Detect(text)
		switch {
		case s.kind == KindNetwork && opt.StreamMode:
			s.kind = KindSite
		case s.kind != KindNetwork && opt.Demuxer != "" && !isFile(text):
			s.kind = KindDevice
		}
	}
	s.once = opt.NoProbe || listens(opt.Extra)
	switch s.kind {
	case KindNetwork, KindSite:
		return s, s.address()
	case KindDevice:
		s.synthetic = opt.Demuxer == "lavfi"
		switch {
		case opt.Demuxer == "":
			return nil, s.refuse("a device needs the name of its demuxer")
		case strings.HasPrefix(text, "-"):
			return nil, s.refuse("must not begin with a dash")
		}
	case KindFile:
		return s, s.file(opt)
	case KindGStreamer:
		s.shown, s.redact = hideSecrets(text)
	}
	return s, nil
}

func (s *source) refuse(why string) error {
	return &device.OpError{Op: "open", Path: s.shown, Kind: device.ErrUnsupported, Err: errors.New(why)}
}

// address checks a network address and hides its password.
func (s *source) address() error {
	s.networked = true
	s.shown, s.redact = hideSecrets(s.text)
	name := scheme(s.text)
	switch {
	case name == "":
		return s.refuse("no known protocol: use one of " + strings.Join(schemes, ", "))
	case s.kind == KindSite && name != "http" && name != "https":
		return s.refuse("a site has an http or https address")
	case strings.ContainsAny(s.text, " \t\r\n"):
		return s.refuse("an address has no spaces")
	}
	return nil
}

// userInfo is the user and the password in an address.
var userInfo = regexp.MustCompile(`://([^/@\s:"']*):([^/\s"']*)@`)

// secretField is a field of an address, or a property of an element of a
// pipeline, whose name says that its value is nobody's business.
var secretField = regexp.MustCompile(`(?i)([?&;\s][\w.-]*(?:pas|pwd|pw|auth|token|secret|key)[\w.-]*=)("[^"]*"|'[^']*'|[^&;\s"'!]+)`)

// hideSecrets takes the passwords out of all addresses in text, and gives a
// function that does so in lines that may quote them.
func hideSecrets(text string) (shown string, redact func(string) string) {
	redact = func(line string) string { return userInfo.ReplaceAllString(line, "://$1:xxxxx@") }
	shown = redact(text)
	var pairs []string
	for _, m := range append(userInfo.FindAllStringSubmatch(text, -1), secretField.FindAllStringSubmatch(shown, -1)...) {
		// Programs also print a password without its address.
		p := strings.Trim(m[2], `"'`)
		for _, p := range []string{p, unescape(p)} {
			if len(p) > 3 { // shorter ones are parts of ordinary words
				pairs = append(pairs, p, "xxxxx")
			}
		}
	}
	if len(pairs) > 0 {
		whole, plain := redact, strings.NewReplacer(pairs...)
		redact = func(line string) string { return plain.Replace(whole(line)) }
	}
	return secretField.ReplaceAllString(shown, "${1}xxxxx"), redact
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// isFile reports whether text names a regular file or a sequence of them.
func isFile(text string) bool {
	info, err := os.Stat(text)
	if err == nil {
		return info.Mode().IsRegular()
	}
	return sequencePattern.MatchString(filepath.Base(text))
}

// file checks that a file can be read, or that a sequence has pictures.
func (s *source) file(opt Options) error {
	s.recording = true
	switch opt.Demuxer {
	case "mjpeg", "image2", "h264", "hevc":
		s.numbered = true
	}
	info, err := os.Stat(s.text)
	switch {
	case errors.Is(err, fs.ErrNotExist) && sequencePattern.MatchString(s.text):
		s.numbered = true
		return s.sequence()
	case err != nil:
		return s.openError(err)
	case info.IsDir():
		return s.refuse("is a folder")
	case !info.Mode().IsRegular():
		// A pipe or a device: it can be read once, and has its own pace.
		s.recording, s.once = false, true
		return nil
	}
	f, err := os.Open(s.text)
	if err != nil {
		return s.openError(err)
	}
	if filepath.Ext(s.text) == ".mjpeg" || filepath.Ext(s.text) == ".mjpg" {
		s.numbered = true
	}
	return f.Close()
}

// sequence looks for a picture of an image sequence.
func (s *source) sequence() error {
	folder, pattern := filepath.Split(s.text)
	if sequencePattern.MatchString(folder) {
		return s.refuse("the number of an image sequence belongs to the name of the files")
	}
	if folder == "" {
		folder = "."
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return s.openError(err)
	}
	at := sequencePattern.FindStringIndex(pattern)
	before, after := pattern[:at[0]], pattern[at[1]:]
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), before)
		if middle, ok2 := strings.CutSuffix(middle, after); ok && ok2 && middle != "" && strings.Trim(middle, "0123456789") == "" {
			return nil
		}
	}
	return s.openError(fs.ErrNotExist)
}

func (s *source) openError(err error) error {
	e := &device.OpError{Op: "open", Path: s.shown, Err: err}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = pathErr.Err // ours says operation and path already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = device.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		e.Kind = device.ErrPermission
	}
	return e
}
