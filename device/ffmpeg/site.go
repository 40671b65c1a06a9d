package ffmpeg

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// siteParams are the options of yt-dlp that may be given. None of them runs
// programs or writes files. The value says whether it is a flag.
var siteParams = map[string]bool{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"proxy": false, "cookies": false, "username": false, "password": false, "video-password": false, "referer": false,
	"user-agent": false, "socket-timeout": false, "source-address": false, "extractor-args": false,
	"force-ipv4": true, "force-ipv6": true, "no-check-certificates": true, "geo-bypass": true,
}

// siteAliases are the names of the same in Python.
var siteAliases = map[string]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"cookiefile": "cookies", "nocheckcertificate": "no-check-certificates", "videopassword": "video-password",
}

// resolutions are the heights that may be asked for, in pixels.
var resolutions = []int{144, 240, 360, 480, 720, 1080, 1440, 2160, 4320} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// siteFormat gives yt-dlp's format selection, and the height that is wanted or
// 0. ok is false for a name that is not known; the best is taken then. Formats
// with pictures only are preferred: sound is not needed.
func siteFormat(resolution string) (selection string, height int, ok bool) {
	const best = "bv*/b"
	switch name := strings.ToLower(strings.TrimSpace(resolution)); name {
	case "", "best":
		return best, 0, true
	case "worst":
		return "wv*/w", 0, true
	default:
		n, err := strconv.Atoi(strings.TrimSuffix(name, "p"))
		if err != nil || !slices.Contains(resolutions, n) {
			return best, 0, false
		}
		return fmt.Sprintf("bv*[height=%d]/b[height=%d]/bv*[height<=%d]/%s", n, n, n, best), n, true
	}
}

// siteArgs are the arguments for yt-dlp.
func siteArgs(url string, opt Options) (args, odd []string) {
	selection, _, ok := siteFormat(opt.Resolution)
	if !ok {
		odd = append(odd, fmt.Sprintf("resolution %q is not known: the best is used", opt.Resolution))
	}
	// Two entries are enough to see that it is a playlist.
	args = []string{"--ignore-config", "--no-warnings", "--no-playlist", "--playlist-items", "1-2", "-g", "-f", selection}
	for _, name := range slices.Sorted(maps.Keys(opt.SiteParams)) {
		value := opt.SiteParams[name]
		long := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(name), "--"), "_", "-")
		if alias, ok := siteAliases[long]; ok {
			long = alias
		}
		flag, known := siteParams[long]
		switch {
		case !known:
			odd = append(odd, fmt.Sprintf("site option %q is not supported: it is ignored", name))
		case !flag:
			args = append(args, "--"+long+"="+value)
		case slices.Contains([]string{"", "true", "1", "yes"}, strings.ToLower(value)):
			args = append(args, "--"+long)
		}
	}
	return append(args, "--", url), odd
}

var (
	errPlaylist  = errors.New("is a playlist: give the address of one video")
	errNoAddress = errors.New("yt-dlp gave no address of a video")
)

// parseSite reads what yt-dlp -g prints: the address of one video.
func parseSite(out []byte) (string, error) {
	lines := strings.Fields(string(out))
	switch {
	case len(lines) == 0:
		return "", errNoAddress
	case len(lines) > 1:
		return "", errPlaylist
	case scheme(lines[0]) == "":
		return "", fmt.Errorf("%w: %.80q", errNoAddress, lines[0])
	}
	return lines[0], nil
}
