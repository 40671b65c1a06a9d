package datafiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// critical lists the files without which there are no pages.
var critical = []string{"templates/index.html", "templates/404.html", "templates/500.html"} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// directories are always there, even when a person put only the critical files
// into the tree by hand.
var directories = []string{"static", "static/css", "static/img", "static/js", "templates"} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// Options says what [Provision] does. Dir and Defaults must be set.
type Options struct {
	// Dir is the place, from Locate.
	Dir Dir
	// Defaults holds the default files: the folders templates and static.
	Defaults fs.FS
	// Overwrite puts the defaults back over files that differ, keeping a dated
	// copy of each, and restores missing ones.
	Overwrite bool
	// Now gives the date of copies. Nil means time.Now.
	Now func() time.Time
	// Logger receives what was done. Nil means nobody.
	Logger *slog.Logger

	// hook makes steps fail, in tests.
	hook func(step, name string) error
}

// Report says what [Provision] did. Names are relative to the tree, with
// slashes.
type Report struct {
	// Path is the tree.
	Path string
	// Kept files were there and stayed as they are.
	Kept []string
	// Created files were missing.
	Created []string
	// Replaced files differed from their default; Backups are their copies.
	Replaced []string
	Backups  []Backup
	// Removed are temporary files that a killed run had left.
	Removed []string
}

// Backup is a copy of a file that was replaced.
type Backup struct {
	File, Copy string
}

// Provision sees to it that the data files are there: all directories, and the
// three critical files. If one of those is missing, every default that is
// missing is restored; a file that is there is never touched, unless
// Options.Overwrite says so.
//
// It may be called again at any time, and stops when ctx ends. After an error
// the report says what was done until then; nothing is lost, and the built-in
// pages can be served instead.
func Provision(ctx context.Context, opt Options) (Report, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	p := &provisioner{opt: opt, report: Report{Path: opt.Dir.Path()}}
	err := p.run(ctx)
	if err == nil && len(p.report.Created)+len(p.report.Replaced) > 0 {
		opt.Logger.Info("data files provisioned", "path", p.report.Path,
			"kept", len(p.report.Kept), "created", p.report.Created, "replaced", p.report.Replaced)
	}
	return p.report, err
}

type provisioner struct {
	opt    Options
	disk   *disk
	report Report
}

// fail describes what went wrong with a file or directory of the tree.
func (p *provisioner) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s data files %s: %w", op, show(filepath.Join(p.opt.Dir.Path(), filepath.FromSlash(name))), bare(err))
}

// refuse is fail for what a person has to set right.
func (p *provisioner) refuse(name, text string) error {
	return p.fail("prepare", name, errors.New(text))
}

func (p *provisioner) run(ctx context.Context) error {
	if p.opt.Dir == (Dir{}) || p.opt.Defaults == nil {
		return errors.New("prepare data files: neither place nor defaults may be missing")
	}
	files, dirs, err := defaults(p.opt.Defaults)
	if err != nil {
		return err
	}
	root, err := p.openTree()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // everything was synced
	p.disk = &disk{root, p.opt.hook}
	for _, dir := range dirs {
		if err := p.makeDir(p.disk, "", dir); err != nil {
			return err
		}
	}
	p.removeLeftovers(append(dirs, "."))

	// Look at everything before anything is written.
	var missing []string
	for _, name := range files {
		there, err := p.examine(name)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, name)
		}
	}
	return p.restore(ctx, files, missing)
}

// restore writes what has to be written: critical files last, so that a run that
// is killed before its end finds one of them missing the next time and goes on.
func (p *provisioner) restore(ctx context.Context, files, missing []string) error {
	lost := slices.DeleteFunc(slices.Clone(missing), func(name string) bool { return !slices.Contains(critical, name) })
	if len(lost) > 0 && len(missing) < len(files) { // a first run is nothing to warn of
		p.opt.Logger.Warn("critical data files are missing, restoring the defaults", "path", p.report.Path, "missing", lost)
	}
	for _, name := range files {
		if ctx.Err() != nil {
			return p.fail("prepare", "", context.Cause(ctx))
		}
		var err error
		switch {
		case p.opt.Overwrite && !slices.Contains(missing, name):
			err = p.replace(name)
		case slices.Contains(missing, name) && (p.opt.Overwrite || len(lost) > 0):
			err = p.create(name)
		case !slices.Contains(missing, name):
			p.report.Kept = append(p.report.Kept, name)
		}
		if err != nil {
			return p.fail("write", name, err)
		}
	}
	return nil
}

// defaults lists files and directories, in the order to make them.
func defaults(fsys fs.FS) (files, dirs []string, err error) {
	dirs = slices.Clone(directories)
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && !slices.Contains(dirs, name):
			dirs = append(dirs, name)
		case d.Type().IsRegular():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read default data files: %w", err)
	}
	for _, name := range critical {
		if !slices.Contains(files, name) {
			return nil, nil, fmt.Errorf("read default data files: %s is missing", name)
		}
	}
	slices.Sort(dirs) // parents before children
	slices.SortFunc(files, func(a, b string) int {
		if ca, cb := slices.Contains(critical, a), slices.Contains(critical, b); ca != cb {
			if ca {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	return files, dirs, nil
}

// openTree opens the folder of the data files and creates it where needed.
func (p *provisioner) openTree() (*os.Root, error) {
	dir := p.opt.Dir
	base, err := os.OpenRoot(dir.base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("prepare data files %s: there is no directory %s: create it, or set custom_data_location", dir, show(dir.base))
	}
	if err != nil {
		return nil, fmt.Errorf("prepare data files %s: %w", dir, bare(err))
	}
	defer func() { _ = base.Close() }() // only looked at
	d := &disk{base, p.opt.hook}
	name := ""
	for element := range strings.SplitSeq(filepath.ToSlash(dir.tree), "/") {
		name = path.Join(name, element)
		if err := p.makeDir(d, dir.base, name); err != nil {
			return nil, err
		}
	}
	root, err := base.OpenRoot(dir.tree)
	return root, p.fail("prepare", "", err)
}

// makeDir sees to it that name is a directory inside of the tree. above is where
// d is rooted, empty for the tree itself.
func (p *provisioner) makeDir(d *disk, above, name string) error {
	shown := name
	if above != "" {
		if rel, err := filepath.Rel(p.opt.Dir.Path(), filepath.Join(above, name)); err == nil {
			shown = rel
		}
	}
	for range 2 { // somebody else may create it meanwhile
		info, err := d.root.Stat(name)
		switch {
		case err == nil && info.IsDir():
			return nil
		case err == nil:
			return p.refuse(shown, "is a file, and a directory is needed: rename or remove it")
		}
		link, lerr := d.root.Lstat(name)
		switch {
		case lerr == nil && link.Mode().Type() == fs.ModeSymlink:
			return p.refuse(shown, "is a link that leads nowhere or out of "+show(d.root.Name())+": replace it by a directory")
		case !errors.Is(err, fs.ErrNotExist):
			return p.fail("prepare", shown, err)
		}
		if err := d.mkdir(name); err == nil || !errors.Is(err, fs.ErrExist) {
			return p.fail("create", shown, err)
		}
	}
	return p.refuse(shown, "comes and goes")
}

// examine reports whether a file is there. It refuses what could be neither kept
// nor replaced.
func (p *provisioner) examine(name string) (there bool, err error) {
	info, err := p.disk.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, p.fail("prepare", name, err)
	case info.Mode().Type() == fs.ModeSymlink:
		if info, err = p.disk.root.Stat(name); err != nil {
			return false, p.refuse(name, "is a link that leads nowhere or out of "+p.opt.Dir.String()+": replace it by a file")
		}
	}
	switch {
	case info.IsDir():
		return false, p.refuse(name, "is a directory, and a file is needed: rename or remove it")
	case !info.Mode().IsRegular():
		return false, p.refuse(name, "is not a regular file: replace it by one")
	}
	return true, nil
}

// tries is how often a file is written anew when another process interferes,
// which each can do once, when it starts. Chosen: more will not run at a time.
const tries = 8

// errInterfered: another process changed the file, or removed ours, every time.
var errInterfered = errors.New("another program changes it all the time")

// create writes a missing file. One that appears meanwhile is kept.
func (p *provisioner) create(name string) error {
	data, err := fs.ReadFile(p.opt.Defaults, name)
	if err != nil {
		return err
	}
	for range tries {
		temp, err := p.disk.writeTemp(path.Dir(name), data, filePerm)
		if err != nil {
			return err
		}
		switch err := p.disk.placeNew(temp, name); {
		case err == nil:
			p.report.Created = append(p.report.Created, name)
			return nil
		case errors.Is(err, fs.ErrExist):
			p.report.Kept = append(p.report.Kept, name)
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return errInterfered
}

// replace puts the default in place of a file that differs.
func (p *provisioner) replace(name string) error {
	data, err := fs.ReadFile(p.opt.Defaults, name)
	if err != nil {
		return err
	}
	for range tries {
		old, err := p.disk.root.Stat(name)
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return p.create(name)
		}
		if err != nil {
			return err
		}
		if old.Size() == int64(len(data)) {
			now, err := p.disk.read(name, MaxFile)
			if err == nil && bytes.Equal(now, data) {
				p.report.Kept = append(p.report.Kept, name)
				return nil
			}
		}
		switch err := p.swap(name, old, data); {
		case err == nil:
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return errInterfered
}

// swap replaces the file old, and keeps a copy of it. The error matches
// fs.ErrNotExist when it changed meanwhile.
func (p *provisioner) swap(name string, old fs.FileInfo, data []byte) error {
	temp, err := p.disk.writeTemp(path.Dir(name), data, old.Mode().Perm())
	if err != nil {
		return err
	}
	backup, err := p.backup(name, old)
	if err != nil {
		p.disk.removeTemp(temp)
		return err
	}
	if now, err := p.disk.root.Stat(name); err != nil || !unchanged(old, now) {
		p.disk.removeTemp(temp)
		p.dropBackup(name, backup)
		return fs.ErrNotExist
	}
	if err := p.disk.rename(temp, name); err != nil {
		p.disk.removeTemp(temp)
		p.dropBackup(name, backup)
		return err
	}
	p.report.Replaced = append(p.report.Replaced, name)
	p.report.Backups = append(p.report.Backups, Backup{name, backup})
	return p.disk.syncDir(path.Dir(name))
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// backup gives the file a second name with the date in it. That costs no space
// and cannot end half way. Where it is not possible, the file is copied.
func (p *provisioner) backup(name string, old fs.FileInfo) (string, error) {
	date := p.opt.Now().UTC().Format("2006-01-02T15-04-05Z")
	for n := 1; ; n++ {
		backup := name + "." + date + ".bak"
		if n > 1 {
			backup = fmt.Sprintf("%s.%s.%d.bak", name, date, n)
		}
		err := p.disk.link(name, backup)
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			err = p.copy(name, backup, old)
		} else if err == nil {
			err = p.disk.syncDir(path.Dir(name))
		}
		if !errors.Is(err, fs.ErrExist) {
			return backup, err
		}
	}
}

// copy copies the file old. The errors are those of placeNew; fs.ErrNotExist
// also means that the file changed meanwhile.
func (p *provisioner) copy(name, backup string, old fs.FileInfo) error {
	data, err := p.disk.read(name, old.Size())
	if errors.Is(err, errTooLarge) {
		return fs.ErrNotExist // it changed meanwhile
	}
	if err != nil {
		return err
	}
	temp, err := p.disk.writeTemp(path.Dir(name), data, old.Mode().Perm())
	if err != nil {
		return err
	}
	return p.disk.placeNew(temp, backup)
}

// dropBackup takes a copy back of a file that was not replaced after all, if it
// is but a second name of it.
func (p *provisioner) dropBackup(name, backup string) {
	now, err := p.disk.root.Stat(name)
	copied, cerr := p.disk.root.Stat(backup)
	if err == nil && cerr == nil && os.SameFile(now, copied) {
		p.disk.removeTemp(backup)
	}
}

// removeLeftovers removes the temporary files of runs that were killed. One that
// belongs to a run that still goes on may be hit as well; that run writes again.
func (p *provisioner) removeLeftovers(dirs []string) {
	for _, dir := range dirs {
		entries, err := p.disk.list(dir)
		if err != nil {
			p.opt.Logger.Warn("data directory cannot be searched for leftovers", "path", p.report.Path, "name", dir, "err", err)
			continue
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if isTempName(e.Name()) && e.Type().IsRegular() && p.disk.removeTemp(name) {
				p.report.Removed = append(p.report.Removed, name)
			}
		}
	}
}
