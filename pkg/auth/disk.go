package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Steps of changing the disk, as the hook of tests sees them.
const (
	stepLock    = "lock"
	stepCreate  = "create"
	stepOwn     = "own"
	stepWrite   = "write"
	stepSync    = "sync"
	stepRename  = "rename"
	stepSyncDir = "sync folder"
)

// Permissions: nobody else may look.
const (
	folderPerm = 0o700
	filePerm   = 0o600
)

// folder is the access file's, locked against others who change it. os.Root sees
// to it that nothing outside is reached, whatever links its owner put there for
// root to follow.
type folder struct {
	root *os.Root
	self *os.File // locked
	info fs.FileInfo
	sys  *System
	hook func(step string) error
}

// openFolder opens and locks a folder, which is made if there is none.
func openFolder(ctx context.Context, path string, sys *System, hook func(string) error) (*folder, error) {
	if err := os.MkdirAll(path, folderPerm); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &folder{root: root, sys: sys, hook: hook}
	if d.self, err = root.Open("."); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if d.info, err = d.self.Stat(); err == nil {
		err = d.do(stepLock, func() error {
			if sys.Lock == nil {
				return nil
			}
			return sys.Lock(ctx, d.self)
		})
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return d, nil
}

// close unlocks the folder.
func (d *folder) close() {
	_ = d.self.Close() // neither was written to
	_ = d.root.Close()
}

// do takes a step, unless the hook makes it fail.
func (d *folder) do(step string, work func() error) error {
	if d.hook != nil {
		if err := d.hook(step); err != nil {
			return err
		}
	}
	return work()
}

// replace puts a new file in the place of name, or changes nothing. info is not
// nil when the file is in its place; with an error it may not stay there if the
// power fails now.
func (d *folder) replace(name string, data []byte) (info fs.FileInfo, err error) {
	temp := tempPrefix(name) + randomID()[:16] + tempSuffix
	if info, err = d.write(temp, data); err == nil {
		err = d.do(stepRename, func() error { return d.root.Rename(temp, name) })
	}
	if err != nil {
		_ = d.root.Remove(temp) // there may be none
		return nil, err
	}
	return info, d.do(stepSyncDir, d.self.Sync)
}

// Temporary files are named like .access.json-0123456789abcdef.tmp.
func tempPrefix(name string) string { return "." + name + "-" }

const tempSuffix = ".tmp"

// tidy removes what power cuts left behind. The lock says that nobody needs it.
func (d *folder) tidy(name string) {
	names, _ := d.self.Readdirnames(-1) // what cannot be seen stays
	for _, n := range names {
		if strings.HasPrefix(n, tempPrefix(name)) && strings.HasSuffix(n, tempSuffix) && len(n) == len(tempPrefix(name))+16+len(tempSuffix) {
			_ = d.root.Remove(n) // the next change tries again
		}
	}
}

// write writes a new file, which is on the disk afterwards.
func (d *folder) write(name string, data []byte) (info fs.FileInfo, err error) {
	var f *os.File
	if err := d.do(stepCreate, func() (err error) {
		f, err = d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
		return err
	}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // a network file system may complain only here
	err = d.do(stepOwn, func() error {
		if d.sys.Own == nil {
			return nil
		}
		return d.sys.Own(f, d.info)
	})
	if err == nil {
		err = d.do(stepWrite, func() error { _, err := f.Write(data); return err })
	}
	if err == nil {
		err = d.do(stepSync, f.Sync)
	}
	if err != nil {
		return nil, err
	}
	return f.Stat()
}
