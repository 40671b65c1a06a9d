package datafiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// hiddenName is the folder that holds what webgear keeps for a person.
	hiddenName = ".webgear"
	// treeName is the folder of the data files in it.
	treeName = "webgear"
	// serviceState is the state directory of the system service.
	serviceState = "/var/lib/webgear"
)

// Dir is where data files are. Get one from [Locate]; the zero value is no
// place.
type Dir struct {
	base string // absolute; must be there
	tree string // the folder of the data files, below base
}

// Path is the folder that holds templates and static.
func (d Dir) Path() string { return filepath.Join(d.base, d.tree) }

// String is Path, readable whatever characters it holds.
func (d Dir) String() string { return show(d.Path()) }

// Locate says where the data files are. Without custom, that is .webgear/webgear
// in the person's home, or webgear in the state directory of the service.
//
// A custom location must be a directory that is there and can be written to; the
// data files go to .webgear/webgear in it, or to webgear when it is called
// .webgear itself.
func Locate(custom, home string, service bool) (Dir, error) {
	switch {
	case custom != "":
		return locateCustom(custom)
	case service:
		return Dir{serviceState, treeName}, nil
	case !filepath.IsAbs(home):
		return Dir{}, errors.New("locate data files: the home directory is not known: set HOME, or custom_data_location")
	}
	return Dir{filepath.Clean(home), filepath.Join(hiddenName, treeName)}, nil
}

func locateCustom(custom string) (Dir, error) {
	fail := func(path, what, remedy string) (Dir, error) {
		return Dir{}, fmt.Errorf("custom_data_location %s: %s: %s", show(path), what, remedy)
	}
	const another = "or choose another directory"
	if strings.ContainsRune(custom, 0) {
		return fail(custom, "not a path", "choose an existing directory")
	}
	base, err := filepath.Abs(custom)
	if err != nil {
		return fail(custom, "cannot be made absolute", "write it with a leading slash")
	}
	info, err := os.Stat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(base, "there is no such directory", "create it with mkdir -p, "+another)
	case err != nil:
		return Dir{}, fmt.Errorf("custom_data_location %s: %w: choose another directory", show(base), bare(err))
	case !info.IsDir():
		return fail(base, "not a directory", "choose an existing directory")
	}
	if err := tryWrite(base); err != nil {
		return Dir{}, fmt.Errorf("custom_data_location %s: cannot be written to: %w: allow it with chown or chmod, %s", show(base), err, another)
	}
	if filepath.Base(base) == hiddenName {
		return Dir{base, treeName}, nil
	}
	return Dir{base, filepath.Join(hiddenName, treeName)}, nil
}

// tryWrite finds out by trying, since permission bits do not tell of read-only
// file systems, access lists and sandboxes.
func tryWrite(dir string) error {
	path := filepath.Join(dir, tempName())
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return bare(err)
	}
	return errors.Join(f.Close(), os.Remove(path))
}

// show makes a path fit for one line of text: as it is, or quoted when it holds
// line breaks and the like.
func show(path string) string {
	if q := strconv.Quote(path); q != `"`+path+`"` {
		return q
	}
	return path
}

// bare takes operation and path off an error of the os package: they are
// relative there, and stand in our text already.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
