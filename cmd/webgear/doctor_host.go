package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/board"
	"github.com/webgear-pi/webgear/device/m2m"
	"github.com/webgear-pi/webgear/pkg/status"
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
}

// encoders looks at what makes JPEG of raw pictures: what the running server
// says, or else by having a picture encoded.
func (d *doctor) encoders(ctx context.Context) {
	hardware, err := m2m.New(m2m.Config{Root: d.w.root}).Find(ctx)
	if err != nil {
		d.say("encoder", note, "hardware encoders cannot be looked for: "+cause(err), "")
	}
	if len(hardware) == 0 && d.facts.JPEG == board.JPEGExpected {
		d.say("encoder", note, "this board has hardware that makes JPEG, but the system does not show it",
			"sudo modprobe bcm2835-codec; without it the processor does the work")
	}
	var list []status.EncoderCandidate
	if d.state != nil {
		list = d.state.Camera.EncoderCandidates
	}
	if !slices.ContainsFunc(list, func(e status.EncoderCandidate) bool { return e.State == status.EncoderInUse }) {
		if list, err = webgear.ProbeEncoders(ctx, hardware, device.Format{FourCC: device.YU12, Width: 1280, Height: 720}); err != nil {
			d.say("encoder", problem, "nothing makes JPEG of raw pictures: "+err.Error(), "use a camera that makes JPEG itself")
		}
	}
	for _, e := range list {
		kind := "software"
		if e.Hardware {
			kind = "hardware"
		}
		switch e.State {
		case status.EncoderInUse:
			d.say("encoder", good, e.Name+" ("+kind+") makes JPEG of raw pictures", "")
		case status.EncoderRefused, status.EncoderDemoted:
			d.say("encoder", note, e.Name+" ("+kind+") is "+string(e.State)+": "+e.Reason, "")
		case status.EncoderNotTried:
		}
	}
}

// recordPort finds the ports in what avahi tells the network.
var recordPort = regexp.MustCompile(`<port>([0-9]+)</port>`)

// record looks at whether the local network is told of the port that we listen on.
func (d *doctor) record() {
	const path = "/etc/avahi/services/webgear.service"
	_, port, err := net.SplitHostPort(d.config.HTTP.Listen)
	text, rerr := os.ReadFile(filepath.Join(d.w.root, path))
	if err != nil || rerr != nil {
		return // there need not be a record
	}
	for _, m := range recordPort.FindAllStringSubmatch(string(text), -1) {
		if m[1] != port {
			d.say("port", note, "the local network is told of port "+m[1]+", but http.listen is "+d.config.HTTP.Listen,
				"sudo sed -i 's|<port>"+m[1]+"<|<port>"+port+"<|' "+path)
			return
		}
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
