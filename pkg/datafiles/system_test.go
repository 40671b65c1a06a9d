//go:build system

package datafiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// These tests mount file systems and need root:
//
//	go test -tags system -run TestSystem ./pkg/datafiles

// mount puts a small tmpfs somewhere until the test ends.
func mount(t *testing.T, options string) string {
	t.Helper()
	base := t.TempDir()
	if err := syscall.Mount("tmpfs", base, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(base, 0); err != nil { // fails when files were left open
			t.Errorf("unmount: %v", err)
		}
	})
	return base
}

// TestSystemFullDiskLosesNothing provisions on disks of every size from too
// small for a directory to just enough, in pages of 4 KiB.
func TestSystemFullDiskLosesNothing(t *testing.T) {
	const edit = "edited by a person"
	refused := 0
	for pages := 2; pages < 40; pages++ {
		base := mount(t, fmt.Sprintf("size=%dk", pages*4))
		dir, err := Locate(base, "", false)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "static/css/custom.css", edit)
		_, err = Provision(t.Context(), Options{Dir: dir, Defaults: version(1), Overwrite: pages%2 == 1})
		if err != nil {
			refused++
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir.Path()) || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("%d pages: got %v, want ENOSPC and the path", pages, err)
			}
		}
		if !wholeTree(t, dir, edit, false) {
			t.Errorf("%d pages: the edited file is lost", pages)
		}
	}
	if refused < 5 || refused > 35 {
		t.Errorf("%d sizes were too small, want some", refused)
	}
}

func TestSystemFullOfInodesLosesNothing(t *testing.T) {
	base := mount(t, "size=4m,nr_inodes=8")
	dir, err := Locate(base, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(t.Context(), Options{Dir: dir, Defaults: version(1)}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	wholeTree(t, dir, "", false)
}

func TestSystemReadOnlyFileSystemIsNamed(t *testing.T) {
	base := mount(t, "size=4m")
	dir, err := Locate(base, "", false)
	if err != nil {
		t.Fatal(err)
	}
	provision(t, Options{Dir: dir})
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", base, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	if r := provision(t, Options{Dir: dir}); len(r.Kept) != 7 {
		t.Errorf("complete tree: %+v", r)
	}
	if _, err := Locate(base, "", false); err == nil || !strings.Contains(err.Error(), base+": cannot be written to: read-only file system") {
		t.Errorf("Locate: got %v", err)
	}
	remount(0)
	if err := os.Remove(filepath.Join(dir.Path(), "templates/404.html")); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	if _, err := Provision(t.Context(), Options{Dir: dir, Defaults: version(1)}); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "404.html: read-only") {
		t.Errorf("got %v, want EROFS and the file", err)
	}
	remount(0)
}
