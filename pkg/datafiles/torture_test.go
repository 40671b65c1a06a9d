package datafiles

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// childVar makes the test binary a program that provisions for ever in the place
// that the variable names, to be killed.
const childVar = "DATAFILES_TEST_CHILD"

func TestMain(m *testing.M) {
	if base := os.Getenv(childVar); base != "" {
		os.Exit(child(base))
	}
	os.Exit(m.Run())
}

// child restores and overwrites by turns, each time after a file was removed.
func child(base string) int {
	dir, err := Locate(base, "", false)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "child:", err) // nobody else to tell
		return 1
	}
	_, _ = os.Stdout.WriteString("ready\n") // the parent sees that it came
	for n := range 1 << 20 {
		for _, name := range []string{"templates/404.html", "templates/base.html", "static/js/custom.js"} {
			_ = os.Remove(filepath.Join(dir.Path(), name)) // it may be gone already
		}
		// Versions by turns, so that there always is something to replace.
		_, err := Provision(context.Background(), Options{Dir: dir, Defaults: version(n%2 + 1), Overwrite: n%2 == 1})
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "child:", err) // nobody else to tell
			return 1
		}
	}
	return 0
}

// origin finds out which file a file of the tree is, or is a copy of.
func origin(name string) string {
	for known := range version(1) {
		if rest, ok := strings.CutPrefix(name, known); ok && (rest == "" || strings.HasSuffix(rest, ".bak")) {
			return known
		}
	}
	return ""
}

// wholeTree checks that every file is a whole version, a person's edit, or, in
// between, temporary. It reports whether the edit was seen.
func wholeTree(t *testing.T, dir Dir, edit string, temporary bool) (editSeen bool) {
	t.Helper()
	for name, data := range tree(t, dir.Path()) {
		known := origin(name)
		switch {
		case isTempName(filepath.Base(name)):
			if !temporary {
				t.Errorf("%s was left behind", name)
			}
		case name == "static/own.html":
			if data != edit {
				t.Errorf("%s was changed to %.40q", name, data)
			}
		case known == "":
			t.Errorf("%s came from nowhere", name)
		case data == edit:
			editSeen = true
		case data != string(content(1, known)) && data != string(content(2, known)):
			t.Errorf("%s has %d bytes, neither of the versions: %.40q", name, len(data), data)
		}
	}
	return editSeen
}

// TestKilledRunsLeaveAWholeTree kills a provisioning process 200 times at random
// moments.
func TestKilledRunsLeaveAWholeTree(t *testing.T) {
	t.Parallel()
	const groups, kills = 4, 50
	var interrupted atomic.Int32
	t.Cleanup(func() { // after all groups
		n := interrupted.Load()
		t.Logf("%d of %d kills left temporary files", n, groups*kills)
		if n < groups*kills/20 {
			t.Errorf("only %d of %d kills hit a run in the middle: the test proves little", n, groups*kills)
		}
	})
	for g := range groups {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			t.Parallel()
			dir := place(t)
			provision(t, Options{Dir: dir})
			const edit = "edited by a person"
			write(t, dir, "static/own.html", edit)
			for range kills {
				write(t, dir, "static/css/custom.css", edit)
				killOne(t, dir.base)
				if !wholeTree(t, dir, edit, true) {
					t.Fatal("the edited file is neither in place nor in a copy")
				}
				before := tree(t, dir.Path())
				if r := provision(t, Options{Dir: dir}); len(r.Removed) > 0 {
					interrupted.Add(1)
				}
				wholeTree(t, dir, edit, false)
				after := tree(t, dir.Path())
				for _, name := range critical {
					if _, ok := after[name]; !ok {
						t.Errorf("after the next run %s is missing", name)
					}
				}
				for name, data := range after {
					if old, ok := before[name]; ok && old != data {
						t.Errorf("the next run changed %s", name)
					}
					if strings.HasSuffix(name, ".bak") {
						remove(t, dir, name) // they would be thousands
					}
				}
			}
		})
	}
}

// killOne starts a child and kills it some milliseconds after it is ready.
func killOne(t *testing.T, base string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childVar+"="+base)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Errorf("child said %q, %v", line, err)
	}
	timer := time.NewTimer(rand.N(15 * time.Millisecond))
	defer timer.Stop()
	<-timer.C
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("child ended by itself: %v", err)
	}
}

// TestFailureOfAnyStepLosesNothing lets the disk be full, read-only or broken
// from each step on, or at that step alone.
func TestFailureOfAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		errno   error
		forever bool
	}{{syscall.ENOSPC, true}, {syscall.EIO, false}} {
		for _, overwrite := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v forever %v overwrite %v", tc.errno, tc.forever, overwrite), func(t *testing.T) {
				t.Parallel()
				fail := 1
				for !failAt(t, fail, tc.forever, overwrite, tc.errno) {
					fail++
				}
				if fail < 10 {
					t.Errorf("there were %d steps only", fail)
				}
			})
		}
	}
}

// failAt provisions with a failure and checks what is left. It reports whether
// the run had fewer steps.
func failAt(t *testing.T, fail int, forever, overwrite bool, errno error) (beyond bool) {
	t.Helper()
	const edit = "edited by a person"
	dir := place(t)
	provision(t, Options{Dir: dir})
	write(t, dir, "static/own.html", edit)
	write(t, dir, "static/css/custom.css", edit)
	remove(t, dir, "templates/404.html", "templates/base.html", "static/js")
	before := tree(t, dir.Path())

	step := 0
	r, err := Provision(t.Context(), Options{Dir: dir, Defaults: version(2), Overwrite: overwrite, hook: func(string, string) error {
		if step++; step == fail || step > fail && forever {
			return errno
		}
		return nil
	}})
	if err != nil && (!errors.Is(err, errno) || !strings.Contains(err.Error(), dir.Path())) {
		t.Errorf("step %d: got %v, want %v and the path", fail, err, errno)
	}
	if !wholeTree(t, dir, edit, true) {
		t.Errorf("step %d: the edited file is lost", fail)
	}
	after := tree(t, dir.Path())
	replaced := map[string]bool{}
	for _, b := range r.Backups {
		replaced[b.File] = true
		if after[b.Copy] != before[b.File] {
			t.Errorf("step %d: %s is no copy of %s", fail, b.Copy, b.File)
		}
	}
	for name, data := range before {
		if after[name] != data && !replaced[name] {
			t.Errorf("step %d: %s was changed and is not reported", fail, name)
		}
	}

	r = provision(t, Options{Dir: dir, Defaults: version(2), Overwrite: overwrite})
	if !wholeTree(t, dir, edit, false) {
		t.Errorf("step %d: after the next run the edited file is lost", fail)
	}
	for name, f := range version(2) {
		data, err := os.ReadFile(filepath.Join(dir.Path(), name))
		if overwrite && string(data) != string(f.Data) || err != nil && slices.Contains(critical, name) {
			t.Errorf("step %d: after the next run %s has %d bytes, %v; %+v", fail, name, len(data), err, r)
		}
	}
	return step < fail
}

// TestDisksWithoutHardLinksGetCopies covers file systems such as FAT, and links
// that the kernel does not allow to others' files.
func TestDisksWithoutHardLinksGetCopies(t *testing.T) {
	dir := place(t)
	hook := func(step, _ string) error {
		if step == stepLink {
			return syscall.EPERM
		}
		return nil
	}
	now := func() time.Time { return time.Unix(0, 0) }
	if r := provision(t, Options{Dir: dir, hook: hook}); len(r.Created) != 7 {
		t.Errorf("got %+v", r)
	}
	for _, edit := range []string{"first edit", "second edit"} {
		write(t, dir, "templates/index.html", edit)
		if r := provision(t, Options{Dir: dir, Overwrite: true, Now: now, hook: hook}); len(r.Backups) != 1 || len(r.Kept) != 6 {
			t.Errorf("%s: %+v", edit, r)
		}
	}
	want := asTree(version(1))
	want["templates/index.html.1970-01-01T00-00-00Z.bak"] = "first edit"
	want["templates/index.html.1970-01-01T00-00-00Z.2.bak"] = "second edit"
	wantTree(t, dir, want)
}

// TestFilesThatAPersonSavesMeanwhileAreKept saves at the worst moments.
func TestFilesThatAPersonSavesMeanwhileAreKept(t *testing.T) {
	const name = "templates/index.html"
	for _, tc := range []struct {
		name, step string
		overwrite  bool
		before     string // empty: the file is missing
	}{
		{"created before it is restored", stepLink, false, ""},
		{"saved before its copy", stepLink, true, "old"},
		{"saved while the default is written", stepSync, true, "old"},
	} {
		for _, links := range []bool{true, false} {
			dir := place(t)
			provision(t, Options{Dir: dir})
			remove(t, dir, name)
			if tc.before != "" {
				write(t, dir, name, tc.before)
			}
			saved := false
			r := provision(t, Options{Dir: dir, Overwrite: tc.overwrite, hook: func(step, at string) error {
				if step == tc.step && strings.HasPrefix(at, "templates/") && !saved {
					saved = true
					write(t, dir, "mine.tmp", "saved meanwhile")
					if err := os.Rename(filepath.Join(dir.Path(), "mine.tmp"), filepath.Join(dir.Path(), name)); err != nil {
						t.Error(err)
					}
				}
				if step == stepLink && !links {
					return syscall.EPERM
				}
				return nil
			}})
			found := false
			for _, data := range tree(t, dir.Path()) {
				found = found || data == "saved meanwhile"
			}
			if !saved || !found {
				t.Errorf("%s, links %v: what was saved is lost: %+v", tc.name, links, r)
			}
		}
	}
}

// TestConcurrentRunsDoNotDisturbEachOther runs several at a time, as several
// processes would.
func TestConcurrentRunsDoNotDisturbEachOther(t *testing.T) {
	before := runtime.NumGoroutine()
	const edit = "edited by a person"
	for round := range 10 {
		dir := place(t)
		overwrite := round%2 == 1
		if overwrite {
			provision(t, Options{Dir: dir, Defaults: version(2)})
			write(t, dir, "static/css/custom.css", edit)
		}
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = Provision(t.Context(), Options{Dir: dir, Defaults: version(1), Overwrite: overwrite})
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if seen := wholeTree(t, dir, edit, false); seen != overwrite {
			t.Errorf("round %d: the edited file is lost", round)
		}
		for name, f := range version(1) {
			if data, err := os.ReadFile(filepath.Join(dir.Path(), name)); err != nil || string(data) != string(f.Data) {
				t.Errorf("round %d: %s has %d bytes, %v", round, name, len(data), err)
			}
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestReadOnlyDirectoriesAreNamedAndACompleteTreeNeedsNoWriting(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	readOnly := func(step, name string) error {
		return &fs.PathError{Op: step, Path: name, Err: syscall.EROFS}
	}
	if r := provision(t, Options{Dir: dir, hook: readOnly}); len(r.Kept) != 7 {
		t.Errorf("complete tree: %+v", r)
	}
	remove(t, dir, "templates/404.html")
	_, err := Provision(t.Context(), Options{Dir: dir, Defaults: version(1), hook: readOnly})
	if want := "write data files " + dir.Path() + "/templates/404.html: read-only file system"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDefaultsWithOddNamesAreProvisioned(t *testing.T) {
	dir := place(t)
	odd := version(1)
	for _, name := range []string{"static/new\nline.css", "static/with space/ü.js", "static/" + strings.Repeat("a", 200)} {
		odd[name] = &fstest.MapFile{Data: []byte(name)}
	}
	provision(t, Options{Dir: dir, Defaults: odd})
	write(t, dir, "static/new\nline.css", "edit")
	r := provision(t, Options{Dir: dir, Defaults: odd, Overwrite: true, Now: func() time.Time { return time.Unix(0, 0) }})
	want := asTree(odd)
	want["static/new\nline.css.1970-01-01T00-00-00Z.bak"] = "edit"
	wantTree(t, dir, want)
	if len(r.Replaced) != 1 {
		t.Errorf("got %+v", r)
	}
	remove(t, dir, "static/new\nline.css", "templates/404.html")
	if err := os.Mkdir(filepath.Join(dir.Path(), "static/new\nline.css"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(t.Context(), Options{Dir: dir, Defaults: odd}); err == nil || !strings.Contains(err.Error(), `new\nline.css": is a directory`) {
		t.Errorf("got %v, want the quoted name", err)
	}
}
