package datafiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFile is the largest data file that is read, in bytes. Chosen: pages and
// pictures of pages are far smaller, and templates are held in memory.
const MaxFile = 16 << 20

// Reasons for which a file is not read.
var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
)

// Files reads the data files. It gives regular files of at most MaxFile bytes
// inside of the folder and nothing else, and sees every change on the disk: the
// folder itself may be replaced meanwhile.
type Files struct {
	dir Dir
}

var (
	_ fs.StatFS     = (*Files)(nil)
	_ fs.ReadFileFS = (*Files)(nil)
)

// Open gives access to the data files of a place.
func Open(dir Dir) (*Files, error) {
	f := &Files{dir}
	root, err := f.root()
	if err != nil {
		return nil, fmt.Errorf("open data files %s: %w", dir, bare(err))
	}
	return f, root.Close()
}

// root opens the folder. It holds on to none: see Files.
func (f *Files) root() (*os.Root, error) {
	base, err := os.OpenRoot(f.dir.base)
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.Close() }() // only looked at
	return base.OpenRoot(filepath.ToSlash(f.dir.tree))
}

// Open opens a file for reading. Its size stays what it is at this moment. The
// result is also an io.Seeker and an io.ReaderAt.
func (f *Files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	root, err := f.root()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: bare(err)}
	}
	defer func() { _ = root.Close() }() // only looked at
	file, err := openRegular(root, name, MaxFile)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: bare(err)}
	}
	return file, nil
}

// Stat describes a file, with the same conditions as Open.
func (f *Files) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	root, err := f.root()
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: bare(err)}
	}
	defer func() { _ = root.Close() }() // only looked at
	info, err := statRegular(root, name, MaxFile)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: bare(err)}
	}
	return info, nil
}

// ReadFile reads a whole file.
func (f *Files) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	return data, errors.Join(err, file.Close())
}

// Stamp is a text that changes when one of the files does: when it comes, goes,
// or has another size or modification time. It reads none of them.
func (f *Files) Stamp(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		info, err := f.Stat(name)
		if err != nil {
			fmt.Fprintf(&b, "%q gone\n", name)
			continue
		}
		fmt.Fprintf(&b, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// statRegular describes what name leads to, if it is to be read.
func statRegular(root *os.Root, name string, limit int64) (fs.FileInfo, error) {
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	case info.Size() > limit:
		return nil, errTooLarge
	}
	return info, nil
}

// openRegular opens a file after looking at it, because opening a pipe would
// wait for somebody to write to it.
func openRegular(root *os.Root, name string, limit int64) (*file, error) {
	if _, err := statRegular(root, name, limit); err != nil {
		return nil, err
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errNotRegular
	case info.Size() > limit:
		err = errTooLarge
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, err
	}
	return &file{io.NewSectionReader(f, 0, info.Size()), f, info}, nil
}

// file is an open file of fixed size.
type file struct {
	*io.SectionReader
	closer io.Closer
	info   fs.FileInfo
}

// Stat describes the file as it was when it was opened.
func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close closes the file.
func (f *file) Close() error { return f.closer.Close() }
