package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sdjournal "github.com/coreos/go-systemd/v22/journal"

	"github.com/webgear-pi/webgear/device/child"
	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/firstboot"
)

// Places of the service and of the card, below the root.
const (
	serviceData  = "var/lib/webgear"
	serviceGroup = "webgear"
	bootFirmware = "boot/firmware" // Debian 12 and Raspberry Pi OS 12, and later
)

// firstbootCommand is webgear firstboot. Mistakes in the files are said and no
// failure: the unit that runs it would count as failed at every start, and the
// person who can correct them is not at the console.
func firstbootCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("firstboot")
	boot := fs.String("boot", filepath.Join(w.root, bootFirmware), "the `directory` of the boot partition")
	asJSON := fs.Bool("json", false, "print JSON for programs")
	about := "webgear firstboot applies webgear-setup.yaml and rpi-preseed.toml of the boot partition, when they changed. The image for the card runs it at each start."
	if err := parseFlags(fs, args, w, about); err != nil {
		return err
	}
	live := w.root == "/"
	if live && os.Geteuid() != 0 {
		return errors.New("firstboot changes the system: run sudo webgear firstboot")
	}
	o := firstboot.Options{
		Boot: *boot, Root: w.root, Data: filepath.Join(w.root, serviceData),
		ServiceGID: groupID(filepath.Join(w.root, "etc/group"), serviceGroup), Hash: auth.Hash,
	}
	if live {
		a := &activator{root: w.root, run: runProgram}
		o.Activate = a.activate
	}
	report, err := firstboot.Run(ctx, o)
	// In the journal mistakes are errors, and kept on the card.
	if is, jerr := sdjournal.StderrIsJournalStream(); jerr == nil && is && live {
		log, _ := newLogger(config.Default().Log, w)
		report.Log(ctx, log)
	}
	if *asJSON {
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return errors.Join(err, enc.Encode(report))
	}
	_, werr := report.WriteTo(w.stdout)
	return errors.Join(err, werr)
}

// groupID looks a group up; 0 when there is none, which leaves groups alone.
func groupID(file, name string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[0] == name {
			id, _ := strconv.Atoi(f[2]) // 0 when it is no number
			return id
		}
	}
	return 0
}

// activateTimeout bounds one program, so that a start is never held up by it.
// Chosen: a Pi Zero 2 under load takes about 1 s for systemctl.
const activateTimeout = 10 * time.Second

// maxActivateOutput bounds what is read of a program, in bytes. None of it is used.
const maxActivateOutput = 64 << 10

// runProgram runs a program of the system to its end.
func runProgram(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, activateTimeout)
	defer cancel()
	_, _, err := child.Output(ctx, child.Spec{Program: name, Package: packageOf(name), Args: args, Log: slog.New(slog.DiscardHandler)}, maxActivateOutput)
	return err
}

// packageOf names the Debian package of a program.
func packageOf(name string) string {
	switch name {
	case "nmcli":
		return "network-manager"
	case "systemctl":
		return "systemd"
	}
	return name
}

// activator brings what a setup file set into force in the running system. What
// does not run yet reads the new settings when it starts, so nothing is done for
// it: usually that is all there is to do, because the unit comes before the rest.
type activator struct {
	root string
	run  func(ctx context.Context, name string, args ...string) error
}

// activate is firstboot.Options.Activate.
func (a *activator) activate(ctx context.Context, what firstboot.Change) error {
	switch what {
	case firstboot.HostName:
		return a.hostName(ctx)
	case firstboot.Country:
		return a.country(ctx)
	case firstboot.WiFi:
		if a.active(ctx, "NetworkManager.service") {
			return a.run(ctx, "nmcli", "connection", "reload")
		}
	case firstboot.SSH:
		return a.ssh(ctx)
	case firstboot.Camera:
		if a.active(ctx, "webgear.service") {
			return a.run(ctx, "systemctl", "--no-block", "reload", "webgear.service")
		}
	case firstboot.Password:
		// Who may look is read once. Who watched with the old password is cut off.
		if a.active(ctx, "webgear.service") {
			return a.run(ctx, "systemctl", "--no-block", "restart", "webgear.service")
		}
	case firstboot.TimeZone:
	}
	return nil
}

// path is a file of the system.
func (a *activator) path(name string) string { return filepath.Join(a.root, name) }

func (a *activator) exists(name string) bool {
	_, err := os.Stat(a.path(name))
	return err == nil
}

// managed says whether systemd runs the system.
func (a *activator) managed() bool { return a.exists("run/systemd/system") }

// active says whether a unit runs now.
func (a *activator) active(ctx context.Context, unit string) bool {
	return a.managed() && a.run(ctx, "systemctl", "--quiet", "is-active", unit) == nil
}

// hostName gives the name to the kernel, where every program looks it up.
func (a *activator) hostName(ctx context.Context) error {
	name, err := os.ReadFile(a.path(firstboot.HostNameFile))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(a.path("proc/sys/kernel/hostname"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, strings.TrimSpace(string(name)))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if a.active(ctx, "avahi-daemon.service") {
		return a.run(ctx, "systemctl", "--no-block", "restart", "avahi-daemon.service")
	}
	return nil
}

// country sets the rules for Wi-Fi where its driver has begun without them, and
// switches it on: Raspberry Pi OS keeps it off until the country is known.
func (a *activator) country(ctx context.Context) error {
	var failed []error
	if a.exists("sys/module/cfg80211") {
		code, err := a.regulatory()
		if err == nil {
			err = a.run(ctx, "iw", "reg", "set", code)
		}
		failed = append(failed, err)
	}
	if a.exists("dev/rfkill") {
		failed = append(failed, a.run(ctx, "rfkill", "unblock", "wifi"))
	}
	return errors.Join(failed...)
}

// regulatory is the country that was set.
func (a *activator) regulatory() (string, error) {
	text, err := os.ReadFile(a.path(firstboot.RegulatoryFile))
	if err != nil {
		return "", err
	}
	_, code, found := strings.Cut(string(text), "ieee80211_regdom=")
	if code = strings.TrimSpace(code); !found || len(code) != 2 {
		return "", errors.New("/" + firstboot.RegulatoryFile + " names no country")
	}
	return code, nil
}

// ssh starts or stops the service. Starting it only queues the job: it waits for
// the key of the machine, and for the unit that runs this.
func (a *activator) ssh(ctx context.Context) error {
	if !a.managed() {
		return nil
	}
	verb := "start"
	// The link may lead out of the root that is set up, so it is not followed.
	if _, err := os.Lstat(a.path(firstboot.SSHLink)); err != nil {
		verb = "stop"
	}
	return a.run(ctx, "systemctl", "--no-block", verb, "ssh.service")
}
