package datafiles

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Steps of changing the disk, as the hook of tests sees them.
const (
	stepMkdir   = "mkdir"
	stepCreate  = "create"
	stepWrite   = "write"
	stepSync    = "sync"
	stepLink    = "link"
	stepRename  = "rename"
	stepSyncDir = "sync directory"
	stepRemove  = "remove"
)

// Permissions of what is created, less the umask.
const (
	dirPerm  = 0o755
	filePerm = 0o644
)

// disk changes one tree. Names are relative to it, with slashes; os.Root sees
// to it that nothing outside is reached.
type disk struct {
	root *os.Root
	// hook is called before each step; an error makes it fail. Only tests set it.
	hook func(step, name string) error
}

func (d *disk) before(step, name string) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(step, name)
}

// mkdir creates a directory for good.
func (d *disk) mkdir(name string) error {
	if err := d.before(stepMkdir, name); err != nil {
		return err
	}
	if err := d.root.Mkdir(name, dirPerm); err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// writeTemp writes a new file in dir, synced, under a temporary name. On failure
// there is none.
func (d *disk) writeTemp(dir string, data []byte, perm fs.FileMode) (name string, err error) {
	name = path.Join(dir, tempName())
	if err := d.before(stepCreate, name); err != nil {
		return "", err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close()) // a network file system may complain only here
		if err != nil {
			d.removeTemp(name)
		}
	}()
	if err := d.before(stepWrite, name); err != nil {
		_, _ = f.Write(data[:len(data)/2]) // what a full disk leaves behind
		return name, err
	}
	if _, err := f.Write(data); err != nil {
		return name, err
	}
	if err := d.before(stepSync, name); err != nil {
		return name, err
	}
	return name, f.Sync()
}

// removeTemp removes a temporary file. Failure is no matter: the next run tries
// again.
func (d *disk) removeTemp(name string) (removed bool) {
	return d.before(stepRemove, name) == nil && d.root.Remove(name) == nil
}

// placeNew gives the file temp the name, unless the name is taken: then the
// error matches fs.ErrExist. The temporary name is gone afterwards. The error
// matches fs.ErrNotExist when another process removed temp.
func (d *disk) placeNew(temp, name string) error {
	err := d.link(temp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		// Some file systems have no hard links. There, between looking and
		// renaming, somebody else's new file could be replaced.
		if _, lerr := d.root.Lstat(name); lerr == nil {
			err = fs.ErrExist
		} else if err = d.rename(temp, name); err == nil {
			return d.syncDir(path.Dir(name))
		}
	}
	d.removeTemp(temp)
	if err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

func (d *disk) link(from, to string) error {
	if err := d.before(stepLink, to); err != nil {
		return err
	}
	return d.root.Link(from, to)
}

func (d *disk) rename(from, to string) error {
	if err := d.before(stepRename, to); err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

// syncDir makes sure that names in a directory last.
func (d *disk) syncDir(name string) error {
	if err := d.before(stepSyncDir, name); err != nil {
		return err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// read reads a regular file of at most limit bytes.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	f, err := openRegular(d.root, name, limit)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// list gives the entries of a directory.
func (d *disk) list(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	return entries, errors.Join(err, f.Close())
}

// Temporary files have names that nobody else uses: prefix, 16 hexadecimal
// digits, suffix.
const (
	tempPrefix = ".webgear-"
	tempSuffix = ".tmp"
	tempDigits = 16
)

func tempName() string {
	var b [tempDigits / 2]byte
	_, _ = rand.Read(b[:]) // it never fails
	return tempPrefix + hex.EncodeToString(b[:]) + tempSuffix
}

// isTempName recognises what a killed run left behind.
func isTempName(name string) bool {
	digits, ok := strings.CutPrefix(name, tempPrefix)
	if !ok {
		return false
	}
	digits, ok = strings.CutSuffix(digits, tempSuffix)
	return ok && len(digits) == tempDigits && strings.Trim(digits, "0123456789abcdef") == ""
}
