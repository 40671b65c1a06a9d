package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/datafiles"
	"github.com/webgear-pi/webgear/pkg/webgear"
	"github.com/webgear-pi/webgear/web"
)

// provisionFlags are the flags of webgear provision.
type provisionFlags struct {
	location, config string
	service          bool
	overwrite, json  bool
}

// provisionResult is what webgear provision --json prints. All names but Path
// are relative to it.
type provisionResult struct {
	// Path holds the folders templates and static; empty when the settings file
	// switches the pages off.
	Path     string            `json:"path"`
	Kept     []string          `json:"kept"`
	Created  []string          `json:"created"`
	Replaced []provisionBackup `json:"replaced"`
	// Removed are temporary files of runs that were killed.
	Removed []string `json:"removed"`
}

// provisionBackup is a file that was replaced, and the copy of what it was.
type provisionBackup struct {
	File string `json:"file"`
	Copy string `json:"copy"`
}

// provisionCommand is webgear provision.
func provisionCommand(ctx context.Context, args []string, w world) error {
	var f provisionFlags
	fs := flag.NewFlagSet("provision", flag.ContinueOnError)
	fs.StringVar(&f.location, "custom-data-location", "", "an existing `directory` to put the data files in (default: your home)")
	fs.BoolVar(&f.service, "service", false, "put them where webgear run --service reads them, below /var/lib/webgear")
	fs.StringVar(&f.config, "config", "", "put them where webgear run --config `file` reads them")
	fs.BoolVar(&f.overwrite, "overwrite", false, "put the default files back; what was edited is kept as a dated copy")
	fs.BoolVar(&f.json, "json", false, "print JSON for programs")
	about := "webgear provision makes the files of the web page, for you to edit. What is there is kept; it may be run again at any time."
	if err := parseFlags(fs, args, w, about); err != nil {
		return err
	}
	dir, overwrite, err := f.place(w)
	if err != nil {
		return err
	}
	var r datafiles.Report
	if dir != (datafiles.Dir{}) {
		r, err = datafiles.Provision(ctx, datafiles.Options{Dir: dir, Defaults: web.Data(), Overwrite: overwrite})
	}
	if err != nil && len(r.Created)+len(r.Backups)+len(r.Removed) == 0 {
		return err // there is nothing to report
	}
	return errors.Join(err, f.print(w, r))
}

// place finds out where the files go. It is the zero Dir when the settings file
// says that there are none.
func (f *provisionFlags) place(w world) (dir datafiles.Dir, overwrite bool, err error) {
	if f.location != "" && (f.service || f.config != "") {
		return dir, false, usageError("--custom-data-location: cannot be given together with --service or --config")
	}
	if f.config == "" {
		dir, err = datafiles.Locate(f.location, w.homeDir(), f.service)
		if err != nil {
			return dir, false, usageError("%w", err)
		}
		return dir, f.overwrite, nil
	}
	c, err := config.Load(f.config, config.Default())
	if err != nil {
		return dir, false, &exitError{exitConfig, err}
	}
	// What the file says about other things is the business of webgear run.
	s, _ := webgear.ParseSettings(c.Options, func(string, string) {})
	if s.SkipGenerateWebdata {
		return dir, false, nil
	}
	dir, err = datafiles.Locate(s.DataLocation, w.homeDir(), f.service)
	if err != nil {
		return dir, false, &exitError{exitConfig, fmt.Errorf("settings file %s: options: %w", f.config, err)}
	}
	return dir, f.overwrite || s.OverwriteDefaultFiles, nil
}

// homeDir is the home of the person, or "" when it is not known.
func (w world) homeDir() string {
	if w.home != "" {
		return w.home
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // who needs it says what to do
	}
	return home
}

// print says what was done.
func (f *provisionFlags) print(w world, r datafiles.Report) error {
	if f.json {
		out := provisionResult{
			Path: r.Path, Kept: notNil(r.Kept), Created: notNil(r.Created), Replaced: []provisionBackup{}, Removed: notNil(r.Removed),
		}
		for _, b := range r.Backups {
			out.Replaced = append(out.Replaced, provisionBackup{b.File, b.Copy})
		}
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w.stdout, format, args...) }
	if r.Path == "" {
		p("The settings file switches the pages off (skip_generate_webdata): no data files are needed.\n")
		return nil
	}
	p("%s\n", r.Path)
	for _, name := range r.Created {
		p("  created   %s\n", name)
	}
	for _, b := range r.Backups {
		p("  replaced  %s, the old one is %s\n", b.File, b.Copy)
	}
	for _, name := range r.Kept {
		p("  kept      %s\n", name)
	}
	for _, name := range r.Removed {
		p("  removed   %s, left by a run that was killed\n", name)
	}
	p("%d created, %d replaced, %d kept\n", len(r.Created), len(r.Backups), len(r.Kept))
	return nil
}

// notNil makes an empty list [] and not null in JSON.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
