package firstboot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Files of the boot partition.
const (
	// SetupFile is the one that a person writes.
	SetupFile = "webgear-setup.yaml"
	// PreseedFile is the one of Raspberry Pi Imager.
	PreseedFile = "rpi-preseed.toml"
	// ErrorsFile tells what is wrong with them.
	ErrorsFile = "webgear-setup-errors.txt"
)

// maxFile bounds what is read of a setup file, in bytes; chosen: the template
// has three thousand.
const maxFile = 64 << 10

// Change is one thing that a setup file set.
type Change string

// Changes. For each, Activate may bring it into force in the running system;
// what it has to do when the unit runs before the network, ssh and webgear
// start stands here.
const (
	// HostName: give it to the kernel, /proc/sys/kernel/hostname, and to avahi
	// when that runs.
	HostName Change = "host name"
	// TimeZone needs nothing in programs that start later.
	TimeZone Change = "time zone"
	// Country: iw reg set, and rfkill unblock wifi, because Raspberry Pi OS
	// blocks Wi-Fi until the country is known.
	Country Change = "Wi-Fi country"
	// WiFi: nmcli connection reload, when NetworkManager runs.
	WiFi Change = "Wi-Fi"
	// SSH: start or stop ssh.service, as [SSHLink] is there or not.
	SSH Change = "ssh keys"
	// Camera: reload webgear, when it runs.
	Camera Change = "camera"
	// Password: the access layer takes the hashes from [Preset] when it starts;
	// restart webgear, when it runs.
	Password Change = "password"
)

// Options are where the world is.
type Options struct {
	// Boot is where the boot partition is mounted, such as /boot/firmware.
	Boot string
	// Root is the root of the system to set up, such as /. It has to be writable
	// below etc and root. It names usr/share/zoneinfo, too.
	Root string
	// Data is a directory that lasts on the data partition.
	Data string
	// Settings is the settings file of webgear below Root. Empty: DefaultSettings.
	Settings string
	// AuthorizedKeys is where ssh looks for keys, below Root. Empty: those of
	// root, root/.ssh/authorized_keys; root has no password and no other way in.
	AuthorizedKeys string
	// ServiceGID is the group of the webgear service, which has to read its
	// settings, [Preset] and the report. 0 leaves groups as they are.
	ServiceGID int
	// Hash makes an argon2id hash, in the form $argon2id$v=19$..., of a password.
	Hash func(password string) (string, error)
	// Activate brings a change into force now; nil leaves it to the programs
	// that start later. It must bear being called again. Its error becomes a warning.
	Activate func(ctx context.Context, what Change) error

	// hook and rounds are for tests; see disk and digestRounds.
	hook   func(step, name string) error
	rounds int
}

// run is one run.
type run struct {
	o                Options
	boot, root, data *disk
	state            state
	report           Report
}

func (r *run) warn(text string) { r.report.Warnings = append(r.report.Warnings, text) }

// Run applies the files of the boot partition that are new. Mistakes in them are
// in the report; the error is about the disk, or the end of ctx, and then the
// next run starts over. The report is of use in either case.
func Run(ctx context.Context, o Options) (Report, error) {
	o.Settings = cmp.Or(o.Settings, DefaultSettings)
	o.AuthorizedKeys = cmp.Or(o.AuthorizedKeys, "root/.ssh/authorized_keys")
	o.rounds = cmp.Or(o.rounds, digestRounds)
	if o.Hash == nil {
		return Report{}, errors.New("setup: no way to hash passwords was given")
	}
	r := &run{o: o}
	for _, d := range []struct {
		to   **disk
		path string
	}{{&r.root, o.Root}, {&r.data, o.Data}, {&r.boot, o.Boot}} {
		root, err := os.OpenRoot(d.path)
		if err != nil && d.to == &r.boot {
			r.warn(fmt.Sprintf("the boot partition cannot be read, so no setup file is: %v", err))
			r.saveReport()
			return r.report, nil
		}
		if err != nil {
			return r.report, fmt.Errorf("setup: %w", err)
		}
		defer func() { _ = root.Close() }() // only names were looked up through it
		*d.to = &disk{root: root, hook: o.hook}
	}
	return r.all(ctx)
}

// all looks at each file.
func (r *run) all(ctx context.Context) (Report, error) {
	var err error
	if r.state, err = r.loadState(); err != nil {
		r.warn(fmt.Sprintf("the note of what was applied cannot be read, so setup files are applied again: %v", err))
	}
	var failed []error
	for _, f := range []source{
		{PreseedFile, false, readPreseed, wipePreseed},
		{SetupFile, true, readSetup, wipeSetup},
	} {
		report, err := r.file(ctx, f)
		if err != nil {
			report.Outcome = Failed
			failed = append(failed, fmt.Errorf("setup %s: %w", f.name, err))
		}
		for i := range report.Problems {
			report.Problems[i].File = f.name
		}
		r.report.Files = append(r.report.Files, report)
	}
	r.misnamed()
	if ctx.Err() == nil {
		r.tellErrors()
		r.saveReport()
	}
	return r.report, errors.Join(failed...)
}

// source is a kind of file.
type source struct {
	name string
	// strict says that a mistake keeps all of it from being applied.
	strict bool
	read   func(text string) *draft
	wipe   func(text string, d *draft) string
}

// file looks at one file.
func (r *run) file(ctx context.Context, f source) (FileReport, error) {
	report := FileReport{Name: f.name, Outcome: Absent}
	data, err := r.boot.read(f.name, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return report, nil
	case errors.Is(err, errTooLarge):
		report.Outcome = Wrong
		report.Problems = []Problem{{Line: 1, Text: "the file is too large", Remedy: fmt.Sprintf("it may have %d bytes", maxFile)}}
		return report, nil
	case err != nil:
		return report, err
	}
	known, secrets := r.state.Files[f.name].knows(data)
	if known && !secrets {
		report.Outcome = Unchanged
		return report, r.forgetSecret(f.name)
	}
	text, form, err := decode(data)
	if err != nil {
		report.Outcome = Wrong
		report.Problems = []Problem{{Line: lineOf(err), Text: "the file " + cause(err).Error(), Remedy: "save it as plain text, in UTF-8"}}
		return report, nil
	}
	d := f.read(text)
	if form.name != "" {
		d.notes = append(d.notes, "the file is no UTF-8 and was read as "+form.name+"; look at the letters that are not English")
	}
	if known { // and the secrets are still there
		report.Outcome = Unchanged
		r.prepare(d, f.strict) // only for its notes, which are part of the clean file
		clean := form.encode(f.wipe(text, d))
		if r.state.Files[f.name].Clean != fast(clean) {
			if err := r.stamp(f.name, data, clean); err != nil {
				return report, err
			}
		}
		return report, r.clean(&report, d, data, clean)
	}
	return r.fresh(ctx, f, data, text, form, d)
}

// fresh applies a file that is new.
func (r *run) fresh(ctx context.Context, f source, data []byte, text string, form encoding, d *draft) (FileReport, error) {
	report := FileReport{Name: f.name}
	steps := r.prepare(d, f.strict)
	report.Notes = d.notes
	if len(d.problems) > 0 {
		report.Outcome, report.Problems = Wrong, d.problems
		slices.SortStableFunc(report.Problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return report, nil
	}
	if d.empty() && len(d.secrets) == 0 && len(d.notes) == 0 {
		report.Outcome = Empty
		return report, nil
	}
	if err := r.apply(ctx, steps); err != nil {
		return report, err
	}
	clean := form.encode(f.wipe(text, d))
	if err := r.stamp(f.name, data, clean); err != nil {
		return report, err
	}
	report.Outcome = Applied
	for _, s := range steps {
		report.Set = append(report.Set, s.what)
	}
	return report, r.clean(&report, d, data, clean)
}

// stamp notes that a file was applied, and what it is going to be.
func (r *run) stamp(name string, data, clean []byte) error {
	a, err := note(data, clean, r.o.rounds)
	if err != nil {
		return err
	}
	r.state.Files[name] = a
	return r.saveState(r.state)
}

// clean takes the secrets out of a file that was applied.
func (r *run) clean(report *FileReport, d *draft, data, clean []byte) error {
	if bytes.Equal(data, clean) {
		return nil
	}
	if err := r.boot.write(report.Name, clean, access{}); err != nil {
		report.SecretsRemain = len(d.secrets) > 0
		r.warn(fmt.Sprintf("%s cannot be rewritten on the boot partition: %v", report.Name, err))
		return nil // the camera does not need it
	}
	return r.forgetSecret(report.Name)
}

// forgetSecret forgets the digest of a file with secrets when they are gone.
// Otherwise a person who puts the same file there again, to get a password back
// that was changed since, would wait in vain.
func (r *run) forgetSecret(name string) error {
	a := r.state.Files[name]
	if a.Secret == "" {
		return nil
	}
	r.state.Files[name] = applied{Clean: a.Clean}
	return r.saveState(r.state)
}

// misnamed looks for names that hidden endings lead to.
func (r *run) misnamed() {
	for _, name := range []string{SetupFile + ".txt", "webgear-setup.yml", "webgear-setup.txt", PreseedFile + ".txt"} {
		if _, err := r.boot.root.Stat(name); err != nil {
			continue
		}
		right := SetupFile
		if strings.HasPrefix(name, PreseedFile) {
			right = PreseedFile
		}
		for i := range r.report.Files {
			if f := &r.report.Files[i]; f.Name == right && f.Outcome == Absent {
				f.Outcome = Wrong
				f.Problems = []Problem{{File: name, Line: 1, Text: "the file has the wrong name", Remedy: "rename it to " + right + "; on Windows, let the Explorer show file name extensions"}}
			}
		}
	}
}

// tellErrors writes the mistakes beside the files, or removes what an earlier
// run wrote. Lines end as every editor on Windows understands them.
func (r *run) tellErrors() {
	problems := r.report.Problems()
	var err error
	if len(problems) == 0 {
		err = r.boot.remove(ErrorsFile)
	} else {
		var b strings.Builder
		b.WriteString("The camera runs, but nothing was applied of the files named here.\r\nCorrect them, and switch the camera off and on.\r\n\r\n")
		for _, p := range problems {
			b.WriteString(p.String() + "\r\n")
		}
		err = r.boot.write(ErrorsFile, []byte(b.String()), access{})
	}
	if err != nil {
		r.warn(fmt.Sprintf("%s cannot be written on the boot partition: %v", ErrorsFile, err))
	}
}
