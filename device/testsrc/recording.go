package testsrc

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/webgear-pi/webgear/device/jpegscan"
)

// maxPicture is the largest picture in a recording, in bytes. Chosen: twice what
// 64 million pixels take at a high quality.
const maxPicture = 64 << 20

// readSize is how much of a recording is read at once, in bytes: about two
// pictures of 1280x720.
const readSize = 256 << 10

// newSplitter finds the pictures in r, none larger than limit bytes.
func newSplitter(r io.Reader, limit int) *jpegscan.Splitter {
	return jpegscan.NewSplitter(jpegscan.NewWindow(r, readSize), limit)
}

// file is a recording in one file, kept open.
type file struct {
	*os.File
	split *jpegscan.Splitter
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &file{File: f, split: newSplitter(f, maxPicture)}, nil
}

func (f *file) next(ctx context.Context) (data []byte, width, height int, err error) {
	return f.split.Next(ctx)
}

func (f *file) rewind() error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	f.split = newSplitter(f.File, maxPicture)
	return nil
}

// folder is a recording of one file per picture. Files that hold none, or are
// gone, are passed over.
type folder struct {
	path   string
	names  []string
	at     int
	closed atomic.Bool
}

func openFolder(path string) (*folder, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg":
			if !e.IsDir() {
				f.names = append(f.names, e.Name())
			}
		}
	}
	slices.SortFunc(f.names, naturalOrder)
	return f, nil
}

func (f *folder) next(ctx context.Context) (data []byte, width, height int, err error) {
	for f.at < len(f.names) {
		name := f.names[f.at]
		f.at++
		data, width, height, err = f.read(ctx, filepath.Join(f.path, name))
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return data, width, height, err
	}
	return nil, 0, 0, io.EOF
}

func (f *folder) read(ctx context.Context, path string) (data []byte, width, height int, err error) {
	if f.closed.Load() {
		return nil, 0, 0, os.ErrClosed
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, 0, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would block
		return nil, 0, 0, io.EOF
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	data, width, height, err = newSplitter(file, maxPicture).Next(ctx)
	return data, width, height, err
}

func (f *folder) rewind() error {
	f.at = 0
	return nil
}

func (f *folder) Close() error {
	f.closed.Store(true)
	return nil
}

// naturalOrder compares names so that runs of digits count as numbers: frame2
// comes before frame10. Names that are equal that way are in byte order.
func naturalOrder(a, b string) int {
	whole := strings.Compare(a, b)
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da == 0 || db == 0 {
			if c := cmp.Compare(a[0], b[0]); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
			continue
		}
		na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
		if c := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb)); c != 0 {
			return c
		}
		a, b = a[da:], b[db:]
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), whole)
}

// digits counts the digits that a name begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
