package firstboot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Steps of changing the disk, as the hook of tests sees them.
const (
	stepMkdir   = "mkdir"
	stepCreate  = "create"
	stepWrite   = "write"
	stepSync    = "sync"
	stepSymlink = "symlink"
	stepRename  = "rename"
	stepSyncDir = "sync directory"
	stepRemove  = "remove"
)

// tempSuffix ends the names of files that are not complete. The names are
// fixed, so that what a killed run leaves is replaced by the next.
const tempSuffix = ".webgear-new"

// disk changes one tree. Names are relative to it, with slashes; os.Root sees
// to it that nothing outside is reached.
type disk struct {
	root *os.Root
	// hook is called before each step; an error makes it fail, but for errNoSync.
	// Only tests set it.
	hook func(step, name string) error
}

// errNoSync leaves the wait for the disk out, which takes most of a test's time.
var errNoSync = errors.New("not synced")

func (d *disk) before(step, name string) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(step, name)
}

// errTooLarge is a file with more bytes than anybody writes.
var errTooLarge = errors.New("is too large")

// read reads a regular file of at most limit bytes.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: name, Err: errTooLarge}
	}
	return data, err
}

// access is who may read a file. Permissions of 0 mean those of the file
// system, which on FAT are the same for all files; a group of 0 leaves the one
// it gets.
type access struct {
	perm fs.FileMode
	gid  int
}

// write puts a whole file in place, for good. One that is the same already is
// left alone, which spares the card.
func (d *disk) write(name string, data []byte, who access) error {
	if info, err := d.root.Lstat(name); err == nil && info.Mode().IsRegular() && (who.perm == 0 || info.Mode() == who.perm) && info.Size() == int64(len(data)) {
		if old, err := d.read(name, info.Size()); err == nil && bytes.Equal(old, data) {
			return nil
		}
	}
	if err := d.mkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := name + tempSuffix
	if err := d.writeTemp(temp, data, who); err != nil {
		if d.before(stepRemove, temp) == nil {
			_ = d.root.Remove(temp) // the error that counts is known; the next run removes it too
		}
		return fmt.Errorf("write %s: %w", name, err)
	}
	return d.replace(temp, name)
}

// writeTemp writes the file that takes the place of another.
func (d *disk) writeTemp(temp string, data []byte, who access) (err error) {
	if err := d.before(stepCreate, temp); err != nil {
		return err
	}
	if err := d.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, cmp.Or(who.perm, permPublic))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if who.gid != 0 {
		if err := f.Chown(-1, who.gid); err != nil {
			return err
		}
	}
	if who.perm != 0 {
		if err := f.Chmod(who.perm); err != nil { // the umask may have taken some away
			return err
		}
	}
	if err := d.before(stepWrite, temp); err != nil {
		_, _ = f.Write(data[:len(data)/2]) // what a power cut leaves behind
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := d.before(stepSync, temp); err != nil {
		return unlessSkipped(err)
	}
	return f.Sync()
}

// unlessSkipped is the error of a sync that failed.
func unlessSkipped(err error) error {
	if errors.Is(err, errNoSync) {
		return nil
	}
	return err
}

// replace renames for good.
func (d *disk) replace(temp, name string) error {
	if err := d.before(stepRename, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.root.Rename(temp, name); err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// symlink makes name lead to target, for good.
func (d *disk) symlink(target, name string) error {
	if old, err := d.root.Readlink(name); err == nil && old == target {
		return nil
	}
	if err := d.mkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := name + tempSuffix
	if err := d.before(stepSymlink, temp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := d.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.root.Symlink(target, temp); err != nil {
		return err
	}
	return d.replace(temp, name)
}

// remove removes a file for good; that there is none is no error.
func (d *disk) remove(name string) error {
	if _, err := d.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.before(stepRemove, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if err := d.root.Remove(name); err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// mkdirAll makes a directory and those above it, for good.
func (d *disk) mkdirAll(name string, perm fs.FileMode) error {
	if info, err := d.root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if parent := path.Dir(name); parent != name {
		if err := d.mkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if err := d.before(stepMkdir, name); err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	if err := d.root.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// syncDir makes sure that names in a directory last.
func (d *disk) syncDir(name string) error {
	if err := d.before(stepSyncDir, name); err != nil {
		return unlessSkipped(fmt.Errorf("sync directory %s: %w", name, err))
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
