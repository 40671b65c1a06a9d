package source

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// maxSpec bounds a source that comes from elsewhere, in bytes; addresses of
// cameras have some 200.
const maxSpec = 2048

// remoteSchemes are the addresses that may come from elsewhere. The others of
// FFmpeg's listen on a port, or do not say who is asked.
var remoteSchemes = []string{"http", "https", "rtsp", "rtsps"} //nolint:gochecknoglobals // a constant table; Go has no constant slices

var (
	// ownCamera is a camera of this computer, without its size.
	ownCamera = regexp.MustCompile(`^(auto|test|csi|\d{1,3}|/dev/video\d{1,3}|/dev/v4l/by-(id|path)/[\w.:@+-]+|(csi|libcamera):[\w/][\w./@-]*|bus:[\w.:@+-]+)$`)
	// errSettingsOnly says where everything else may stand.
	errSettingsOnly = errors.New("may stand in the settings file and on the command line only")
)

// CheckRestricted says whether a source may be used that stands neither in the
// settings file nor on the command line, as one from a request or a page. Those
// two belong to whoever owns the computer and may name anything; from elsewhere
// come
//
//   - cameras of this computer, and the test picture;
//   - http, https, rtsp and rtsps addresses of other computers. An address that
//     is written as this computer's own is refused; a name that leads to it cannot
//     be told, so what listens on loopback should not trust whoever asks;
//   - files and folders below folders, wherever links lead.
//
// Pipelines, demuxers, options of FFmpeg, patterns of files and every other
// protocol are not among them. Errors do not repeat passwords.
func CheckRestricted(spec string, folders []string) error {
	if err := checkRestricted(spec, folders); err != nil {
		return fmt.Errorf("source %.64q: %w", Shown(spec), err)
	}
	return nil
}

func checkRestricted(spec string, folders []string) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }
	switch {
	case spec == "" || len(spec) > maxSpec || strings.ContainsFunc(spec, control):
		return fmt.Errorf("must be 1 to %d bytes of text on one line", maxSpec)
	case strings.HasPrefix(spec, "-"):
		return errors.New("must not begin with a dash") // programs would take it for an option
	case isOwnCamera(spec):
		return nil
	case strings.Contains(spec, "://"):
		return checkAddress(spec)
	case strings.ContainsAny(spec, "!%|"): // a pipeline, a numbered sequence, a list of FFmpeg's
		return errSettingsOnly
	}
	return checkFile(spec, folders)
}

// isOwnCamera knows the cameras of this computer, with a size or without.
func isOwnCamera(spec string) bool {
	if m := sizeSuffix.FindStringSubmatch(spec); m != nil {
		if _, _, _, err := device.ParseSize(m[1]); err != nil {
			return false
		}
		spec = strings.TrimSuffix(spec, m[0])
	}
	return ownCamera.MatchString(spec) && !strings.Contains(spec, "..")
}

// checkAddress checks an address of the network.
func checkAddress(spec string) error {
	u, err := url.Parse(spec)
	if err != nil || u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(spec, " \\") {
		return errors.New("is no address: write it as rtsp://camera/stream") // the error could repeat a password
	}
	if !slices.Contains(remoteSchemes, u.Scheme) {
		return fmt.Errorf("%.16s: %w: others use one of %s", u.Scheme, errSettingsOnly, strings.Join(remoteSchemes, ", "))
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return fmt.Errorf("this computer's own address %w", errSettingsOnly)
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil && !isName(host):
		// C libraries read 127.1, 0x7f000001 and 2130706433 as addresses.
		return errors.New("its host is neither a name nor a whole address")
	case err == nil:
		a = a.Unmap()
		if a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() {
			return fmt.Errorf("the address %s %w", a, errSettingsOnly)
		}
	}
	return nil
}

// isName says whether a host is a name: its last part is no number.
func isName(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && (last[0] < '0' || last[0] > '9')
}

// checkFile checks that a path leads into one of the folders.
func checkFile(spec string, folders []string) error {
	if !filepath.IsAbs(spec) {
		return errors.New("is no source that may come from elsewhere: write a camera of webgear probe, or an address such as rtsp://camera/stream")
	}
	where, err := filepath.EvalSymlinks(spec)
	if err != nil {
		return fmt.Errorf("a file outside the folders for recordings %w", errSettingsOnly) // whether it is there is nobody's business
	}
	for _, folder := range folders {
		base, err := filepath.EvalSymlinks(folder)
		if err != nil || !filepath.IsAbs(base) {
			continue
		}
		rel, err := filepath.Rel(base, where)
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			continue
		}
		info, err := os.Stat(where)
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return errors.New("is neither a file nor a folder")
		}
		return nil
	}
	return fmt.Errorf("a file outside the folders for recordings %w", errSettingsOnly)
}
