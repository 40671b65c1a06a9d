package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/board"
	"github.com/webgear-pi/webgear/device/libcamera"
	"github.com/webgear-pi/webgear/device/v4l2"
	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/status"
)

// verdict is how bad a finding is.
type verdict string

// Verdicts. Only problems make the doctor fail.
const (
	good    verdict = "ok"
	note    verdict = "note"
	problem verdict = "problem"
)

// finding is what one look at something came to.
type finding struct {
	// About is what was looked at: "camera", "port".
	About   string  `json:"about"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
	// Remedy is what to do, for problems and some notes.
	Remedy string `json:"remedy,omitempty"`
}

// doctor looks at everything that can keep the picture away. It changes nothing.
type doctor struct {
	w world
	// path is the settings file, config what it says or the defaults.
	path   string
	config config.Config
	// state is what the running server says, nil when none answers.
	state *status.Snapshot
	facts board.Facts
	found []v4l2.Found
	pi    []libcamera.Found

	findings []finding
}

func (d *doctor) say(about string, v verdict, text, remedy string) {
	d.findings = append(d.findings, finding{about, v, text, remedy})
}

// defaultSettings is the settings file of the service.
const defaultSettings = "/etc/webgear/webgear.yaml"

// doctorCommand is webgear doctor.
func doctorCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("doctor")
	asJSON := fs.Bool("json", false, "print JSON for programs")
	report := fs.String("report", "", "write an archive for a fault report to this `file`, without passwords and addresses")
	path := fs.String("config", defaultSettings, "settings `file` to look at")
	about := "webgear doctor looks for reasons why there is no picture, and says what to do. It changes nothing."
	if err := parseFlags(fs, args, w, about); err != nil {
		return err
	}
	d := &doctor{w: w, path: *path}
	d.examine(ctx)
	if *asJSON {
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.findings); err != nil {
			return err
		}
	} else {
		d.print()
	}
	if *report != "" {
		if err := d.report(ctx, *report); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w.stderr, "webgear: wrote %s; look at it before you give it away\n", *report)
	}
	n := 0
	for _, f := range d.findings {
		if f.Verdict == problem {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("doctor: found %d to mend", n)
	}
	return nil
}

// examine makes every check.
func (d *doctor) examine(ctx context.Context) {
	d.facts = board.Read(d.w.root)
	d.settings()
	d.server(ctx)
	d.record()
	d.passwords()
	d.certificate()
	d.cameras(ctx)
	d.helpers()
	d.board()
	d.encoders(ctx)
	d.disk()
	d.clock()
}

// print prints the findings for people.
func (d *doctor) print() {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(d.w.stdout, format, args...) }
	for _, f := range d.findings {
		p("%-8s %-9s %s\n", f.Verdict, f.About, f.Text)
		if f.Remedy != "" {
			p("         %-9s -> %s\n", "", f.Remedy)
		}
	}
}

// settings looks at the settings file.
func (d *doctor) settings() {
	d.config = config.ServiceDefault()
	c, err := config.Load(d.path, d.config)
	switch {
	case err == nil:
		d.config = c
		d.say("settings", good, d.path, "")
	case errors.Is(err, fs.ErrNotExist):
		d.say("settings", note, "there is no "+d.path+", the defaults are looked at", "")
	case errors.Is(err, fs.ErrPermission):
		d.say("settings", note, d.path+" cannot be read by this user", "use sudo webgear doctor to see everything")
	default:
		d.say("settings", problem, err.Error(), "edit the file, then: sudo webgear reload, or sudo systemctl restart webgear")
	}
}

// answerTime bounds how long the server may take to answer.
const answerTime = 3 * time.Second

// server asks the running server how it is, or finds out why none answers.
func (d *doctor) server(ctx context.Context) {
	host, port, err := net.SplitHostPort(d.config.HTTP.Listen)
	if err != nil {
		return // the settings were looked at
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // names may not be resolved where something is wrong
	}
	address := net.JoinHostPort(host, port)
	s, err := askState(ctx, address)
	if errors.Is(err, errSignIn) {
		// Who may use the control socket need not sign in.
		if cerr := ask(ctx, filepath.Join(d.w.root, controlSocket), stateRequest, &s); cerr != nil {
			d.say("server", good, fmt.Sprintf("answers on port %s, and wants a password", port), "use sudo webgear doctor to see more")
			return
		}
		err = nil
	}
	if err == nil {
		d.state = &s
		d.say("server", good, fmt.Sprintf("answers on port %s, version %s, %d watching", port, s.Version, len(s.Stream.Viewers)), "")
		d.picture(s.Camera)
		return
	}
	conn, derr := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, "tcp", address)
	if derr == nil {
		_ = conn.Close()
		d.say("port", problem, "something answers on port "+port+", but it is not webgear: "+err.Error(),
			"sudo ss -ltnp 'sport = :"+port+"' names it; stop it, or choose another port with http.listen in "+d.path)
		return
	}
	if ln, lerr := (&net.ListenConfig{}).Listen(ctx, "tcp", d.config.HTTP.Listen); lerr != nil {
		d.say("port", problem, fmt.Sprintf("%s cannot be listened on: %v", d.config.HTTP.Listen, rootCause(lerr)),
			"choose another address or port with http.listen in "+d.path)
	} else {
		_ = ln.Close()
		d.say("port", good, d.config.HTTP.Listen+" is free", "")
	}
	d.say("server", problem, "no webgear runs on port "+port, "sudo systemctl start webgear; journalctl -u webgear says why it ended")
}

// errSignIn: the server does not tell its state to everybody.
var errSignIn = errors.New("wants a password")

// askState gets /state.
func askState(ctx context.Context, address string) (s status.Snapshot, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/state", http.NoBody)
	if err != nil {
		return s, err
	}
	req.Header.Set("Accept", "application/json")
	// A connection of its own: what answers may be anything.
	resp, err := (&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }() // was read, or is not wanted
	if refuses(resp) {
		return s, errSignIn
	}
	if resp.StatusCode != http.StatusOK {
		return s, errors.New(resp.Status)
	}
	const most = 4 << 20 // a thousand viewers take some 400 KB
	return s, json.NewDecoder(http.MaxBytesReader(nil, resp.Body, most)).Decode(&s)
}

// refuses says whether an answer is that of a webgear that wants a password, or
// sends everybody to HTTPS.
func refuses(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusMisdirectedRequest:
	case http.StatusPermanentRedirect:
		return strings.HasPrefix(resp.Header.Get("Location"), "https://")
	default:
		return false
	}
	var body struct {
		Error struct {
			Code auth.Code `json:"code"`
		} `json:"error"`
	}
	const most = 64 << 10
	err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, most)).Decode(&body)
	return err == nil && slices.Contains([]auth.Code{auth.CodeSignIn, auth.CodeUnclaimed, auth.CodeStore, auth.CodeHost}, body.Error.Code)
}

// picture judges what the running server says of its camera.
func (d *doctor) picture(c status.Camera) {
	line := describe(c)
	switch {
	case c.State == status.Offline && c.Cause != nil:
		d.say("picture", problem, strings.TrimSuffix(line, " "+c.Cause.Remedy)+" "+c.Error, c.Cause.Remedy)
	case c.Info != nil && c.Info.Synthetic && d.config.Camera.Source == "auto":
		d.say("picture", note, "the test picture is shown, no camera was found", "plug a camera in")
	default:
		d.say("picture", good, line, "")
	}
}

// cameras looks at all cameras there are, and at who may use them.
func (d *doctor) cameras(ctx context.Context) {
	drv := v4l2.New(v4l2.Config{Root: d.w.root, Logger: slog.New(slog.DiscardHandler)})
	var err error
	if d.found, err = drv.List(ctx); err != nil {
		d.say("camera", problem, err.Error(), "")
	}
	pi := libcamera.New(libcamera.Config{})
	if pi.Available() {
		if d.pi, err = pi.List(ctx); err != nil {
			d.say("camera", note, "the cameras of libcamera cannot be listed: "+err.Error(), "try rpicam-hello --list-cameras")
		}
	}
	usable := len(d.pi)
	for _, c := range d.pi {
		d.say("camera", good, c.Info.Path+", "+c.Info.Name+", on the ribbon cable", "")
	}
	for _, f := range d.found {
		switch {
		case d.serves(f.Info): // where some drivers say that it is in use, which is as it should be
			usable++
			d.say("camera", good, f.Info.Path+", "+f.Info.Name+", shown by the server"+countControls(ctx, drv, f.Info.Path), "")
		case f.Usable:
			usable++
			d.say("camera", good, f.Info.Path+", "+f.Info.Name+countControls(ctx, drv, f.Info.Path), "")
		}
	}
	if usable == 0 {
		d.noCamera()
	}
	d.access()
}

// serves says whether the running server has this camera.
func (d *doctor) serves(c device.Info) bool {
	return d.state != nil && d.state.Camera.State == status.Online && d.state.Camera.Info != nil && d.state.Camera.Info.Path == c.Path
}

// countControls says how much of a camera can be adjusted.
func countControls(ctx context.Context, drv *v4l2.Driver, path string) string {
	list, err := drv.Controls(ctx, path)
	n := 0
	for _, c := range list {
		if !c.ReadOnly {
			n++
		}
	}
	switch {
	case err != nil:
		return ", whose controls cannot be read: " + cause(err)
	case n == 0:
		return ", without controls"
	}
	return fmt.Sprintf(", %d controls: webgear probe --controls lists them", n)
}

// noCamera says why there is none.
func (d *doctor) noCamera() {
	for _, f := range d.found {
		d.say("camera", note, f.Info.Path+", "+f.Info.Name+": "+f.Reason, "")
	}
	if !slices.Contains([]string{"auto", ""}, d.config.Camera.Source) && !strings.HasPrefix(d.config.Camera.Source, "/dev/") {
		d.say("camera", good, "none on this computer, and none is needed: the source is elsewhere", "")
		return
	}
	for _, f := range d.found {
		if errors.Is(f.Err, device.ErrBusy) {
			d.say("camera", problem, f.Info.Path+" is in use by another program", "sudo fuser -v "+f.Info.Path+" names it; stop it, or show it the pictures of webgear instead")
			return
		}
	}
	remedy := "check the cable, and try another USB port; lsusb lists what is plugged in"
	if d.facts.RaspberryPi {
		remedy += "; for a camera on the ribbon cable: sudo apt install rpicam-apps-lite, then rpicam-hello --list-cameras"
	}
	d.say("camera", problem, "no usable camera was found", remedy)
}

// serviceUser is who the service runs as.
const serviceUser = "webgear"

// access looks at whether we, and the service, may open the cameras.
func (d *doctor) access() {
	for _, f := range d.found {
		h, err := os.OpenFile(filepath.Join(d.w.root, f.Info.Path), os.O_RDWR, 0)
		if err == nil {
			_ = h.Close()
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			d.say("access", problem, f.Info.Path+" may not be opened by this user", "sudo usermod -aG video $USER, then log in again")
			break
		}
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		d.say("access", note, "there is no user "+serviceUser+": the service is not installed", "")
		return
	}
	groups, err := u.GroupIds()
	video, gerr := user.LookupGroup("video")
	switch {
	case gerr != nil:
		d.say("access", problem, "there is no group video", "sudo groupadd --system video; then restart")
	case err != nil || !slices.Contains(groups, video.Gid):
		d.say("access", problem, "the user "+serviceUser+" is not in the group video", "sudo usermod -aG video "+serviceUser+"; sudo systemctl restart webgear")
	default:
		d.say("access", good, "the user "+serviceUser+" may use cameras", "")
	}
}

// cause tells what a person wants to know of an error.
func cause(err error) string {
	if oe, ok := errors.AsType[*device.OpError](err); ok && oe.Err != nil {
		return oe.Err.Error()
	}
	return rootCause(err).Error()
}
