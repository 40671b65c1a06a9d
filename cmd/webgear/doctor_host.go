package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device/board"
	"github.com/webgear-pi/webgear/pkg/webgear"
)

// helper is a program that some sources need.
type helper struct {
	programs []string
	pack     string
	purpose  string
	// needed says whether this source does.
	needed func(source string) bool
}

// helpers looks for the programs that read what we do not read ourselves.
func (d *doctor) helpers() {
	c := d.config.Camera
	pipe := func(s string) bool { return strings.Contains(s, " ! ") }
	for _, h := range []helper{
		{[]string{"rpicam-vid", "libcamera-vid"}, "rpicam-apps-lite", "cameras on the ribbon cable", func(s string) bool {
			return s == "csi" || strings.HasPrefix(s, "csi:") || strings.HasPrefix(s, "libcamera:") || c.API == "pigear"
		}},
		{[]string{"ffmpeg"}, "ffmpeg", "files and network streams", func(s string) bool {
			scheme, _, isAddress := strings.Cut(s, "://")
			return c.API == "ffgear" || !pipe(s) && isAddress && scheme != "http" && scheme != "https"
		}},
		{[]string{"gst-launch-1.0"}, "gstreamer1.0-tools", "pipelines", pipe},
		{[]string{"yt-dlp"}, "yt-dlp", "addresses of pages", func(string) bool { return c.StreamMode }},
	} {
		found := ""
		for _, name := range h.programs {
			if path, err := exec.LookPath(name); err == nil && found == "" {
				found = path
			}
		}
		switch {
		case found != "":
			d.say("program", good, found+", for "+h.purpose, "")
		case h.needed(c.Source):
			d.say("program", problem, h.programs[0]+" is missing, which the source needs", "sudo apt install "+h.pack)
		default:
			d.say("program", note, h.programs[0]+" is not there; only "+h.purpose+" need it", "")
		}
	}
}

// board looks at the computer: power, temperature, memory, encoder.
func (d *doctor) board() {
	f := d.facts
	line := strings.TrimSpace(f.Model + ", " + f.OS + ", Linux " + f.Kernel + " " + f.Architecture)
	d.say("computer", good, strings.Trim(line, ", "), "")
	if f.Temperature != nil {
		d.say("computer", good, fmt.Sprintf("%.0f °C", *f.Temperature), "")
	}
	for _, h := range f.Hints {
		v := note
		if slices.Contains([]string{"under_voltage", "throttled", "memory_low"}, h.Code) { // what is wrong right now
			v = problem
		}
		d.say("computer", v, h.Text, h.Remedy)
	}
	switch f.JPEG {
	case board.JPEGExpected:
		d.say("encoder", good, "this board has hardware that makes JPEG of raw pictures", "")
	case board.JPEGNone:
		d.say("encoder", note, "this board has no JPEG hardware: raw pictures are encoded by the processor", "")
	case board.JPEGUnknown:
	}
}

// leastFree is below which a disk counts as full: the pages and a log need less.
const leastFree = 32 << 20

// disk looks at where the pages are kept.
func (d *doctor) disk() {
	dir := "/var/lib/webgear"
	s, _ := webgear.ParseSettings(d.config.Options, func(key, reason string) {
		d.say("settings", note, "option "+key+" is discarded: "+reason, "edit "+d.path)
	})
	if s.DataLocation != "" {
		dir = s.DataLocation
	}
	path := filepath.Join(d.w.root, dir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		d.say("disk", note, dir+" is not there yet", "")
		return
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		d.say("disk", problem, dir+": "+cause(err), "")
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		d.say("disk", problem, dir+" is on a read-only file system", "journalctl -k | grep -i 'remount' says why; check the card, then restart")
	case free < leastFree:
		d.say("disk", problem, fmt.Sprintf("%s has %d MB left", dir, free>>20), "make room: sudo apt clean; sudo journalctl --vacuum-size=50M")
	default:
		d.say("disk", good, fmt.Sprintf("%s has %d MB left", dir, free>>20), "")
	}
}

// firstYear is before which no clock is right: webgear was not there.
const firstYear = 2026

// clock looks at whether the time is right, which pictures and certificates need.
func (d *doctor) clock() {
	const remedy = "timedatectl says more; sudo timedatectl set-ntp true"
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch now := time.Now(); {
	case now.Year() < firstYear:
		d.say("time", problem, "the clock says "+now.Format(time.DateTime), remedy)
	case err == nil && state == unix.TIME_ERROR:
		d.say("time", note, "the clock is not synchronized, it says "+now.Format(time.DateTime), remedy)
	default:
		d.say("time", good, now.Format(time.DateTime), "")
	}
}
