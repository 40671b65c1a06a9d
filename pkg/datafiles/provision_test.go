package datafiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// version makes a set of default files; each has its version and name inside.
func version(n int) fstest.MapFS {
	m := fstest.MapFS{}
	for _, name := range []string{
		"templates/index.html", "templates/404.html", "templates/500.html", "templates/base.html",
		"static/css/custom.css", "static/js/custom.js", "static/img/favicon-32x32.png",
	} {
		m[name] = &fstest.MapFile{Data: content(n, name), Mode: 0o444}
	}
	return m
}

// content is what a default file holds: some KiB with a beginning and an end.
func content(n int, name string) []byte {
	return fmt.Appendf(nil, "version %d of %s\n%s\nend of %s\n", n, name, strings.Repeat(fmt.Sprint(n), 5000), name)
}

// place makes an empty place for data files.
func place(t *testing.T) Dir {
	t.Helper()
	dir, err := Locate(t.TempDir(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func provision(t *testing.T, opt Options) Report {
	t.Helper()
	if opt.Defaults == nil {
		opt.Defaults = version(1)
	}
	r, err := Provision(t.Context(), opt)
	if err != nil {
		t.Fatalf("Provision: %v", err)
	}
	return r
}

// tree reads all files below dir, by slashed name. Links appear as "-> target".
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[name] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func wantTree(t *testing.T, dir Dir, want map[string]string) {
	t.Helper()
	got := tree(t, dir.Path())
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if w, ok := want[name]; !ok || w != got[name] {
			t.Errorf("%s has %d bytes %.40q, want %.40q", name, len(got[name]), got[name], w)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

// asTree is what a tree of these defaults holds.
func asTree(m fstest.MapFS) map[string]string {
	files := map[string]string{}
	for name, f := range m {
		files[name] = string(f.Data)
	}
	return files
}

func write(t *testing.T, dir Dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir.Path(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir Dir, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir.Path(), name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProvisionFillsAnEmptyPlaceAndThenChangesNothing(t *testing.T) {
	dir := place(t)
	var log bytes.Buffer
	r := provision(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	wantTree(t, dir, asTree(version(1)))
	if len(r.Created) != 7 || r.Kept != nil || r.Replaced != nil || r.Backups != nil || r.Removed != nil || r.Path != dir.Path() {
		t.Errorf("first: %+v", r)
	}
	if !slices.Equal(r.Created[4:], []string{"templates/404.html", "templates/500.html", "templates/index.html"}) {
		t.Errorf("critical files are not the last: %v", r.Created)
	}
	if strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "data files provisioned") {
		t.Errorf("log: %s", log.String())
	}
	log.Reset()
	r = provision(t, Options{Dir: dir, Defaults: version(2), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	wantTree(t, dir, asTree(version(1)))
	if len(r.Kept) != 7 || r.Created != nil || log.Len() != 0 {
		t.Errorf("second: %+v, log %q", r, log.String())
	}
}

func TestProvisionRestoresOnlyWhatIsMissingAndOnlyWhenACriticalFileIs(t *testing.T) {
	for _, tc := range []struct {
		name    string
		removed []string
		back    bool
	}{
		{"index", []string{"templates/index.html"}, true},
		{"404 and style", []string{"templates/404.html", "static/css/custom.css"}, true},
		{"500 and base", []string{"templates/500.html", "templates/base.html"}, true},
		{"all templates", []string{"templates"}, true},
		{"everything", []string{"templates", "static"}, true},
		{"style", []string{"static/css/custom.css"}, false},
		{"all of static", []string{"static"}, false},
		{"base", []string{"templates/base.html"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := place(t)
			provision(t, Options{Dir: dir})
			for name := range version(1) {
				write(t, dir, name, "edited "+name)
			}
			write(t, dir, "static/my own.txt", "mine")
			write(t, dir, "templates/new\nline.html", "mine too")
			want := tree(t, dir.Path())
			remove(t, dir, tc.removed...)
			var missing []string
			for name := range want {
				if _, err := os.Stat(filepath.Join(dir.Path(), name)); err == nil {
					continue
				}
				delete(want, name)
				if f, ok := version(2)[name]; ok && tc.back {
					want[name] = string(f.Data)
					missing = append(missing, name)
				}
			}
			r := provision(t, Options{Dir: dir, Defaults: version(2)})
			wantTree(t, dir, want)
			slices.Sort(missing)
			if got := slices.Sorted(slices.Values(r.Created)); !slices.Equal(got, missing) {
				t.Errorf("created %v, want %v", got, missing)
			}
			for _, d := range directories {
				if info, err := os.Stat(filepath.Join(dir.Path(), d)); err != nil || !info.IsDir() {
					t.Errorf("directory %s: %v", d, err)
				}
			}
		})
	}
}

func TestProvisionAcceptsTheThreeCriticalFilesAlone(t *testing.T) {
	dir := place(t)
	want := map[string]string{}
	for _, name := range critical {
		write(t, dir, name, "")
		want[name] = ""
	}
	if r := provision(t, Options{Dir: dir}); len(r.Kept) != 3 || r.Created != nil {
		t.Errorf("got %+v", r)
	}
	wantTree(t, dir, want)
}

func TestOverwriteReplacesWhatDiffersAndKeepsDatedCopies(t *testing.T) {
	dir := place(t)
	now := time.Date(2026, 11, 22, 15, 30, 0, 0, time.FixedZone("CET", 3600))
	opt := Options{Dir: dir, Overwrite: true, Now: func() time.Time { return now }}
	provision(t, opt)
	write(t, dir, "templates/index.html", "first edit")
	if err := os.Chmod(filepath.Join(dir.Path(), "templates/index.html"), 0o640); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "static/css/custom.css", "")
	write(t, dir, "static/own.css", "mine")
	remove(t, dir, "static/js/custom.js")
	r := provision(t, opt)
	want := asTree(version(1))
	want["static/own.css"] = "mine"
	want["templates/index.html.2026-11-22T14-30-00Z.bak"] = "first edit"
	want["static/css/custom.css.2026-11-22T14-30-00Z.bak"] = ""
	wantTree(t, dir, want)
	wantBackups := []Backup{
		{"static/css/custom.css", "static/css/custom.css.2026-11-22T14-30-00Z.bak"},
		{"templates/index.html", "templates/index.html.2026-11-22T14-30-00Z.bak"},
	}
	if !slices.Equal(r.Backups, wantBackups) || !slices.Equal(r.Created, []string{"static/js/custom.js"}) ||
		!slices.Equal(r.Replaced, []string{"static/css/custom.css", "templates/index.html"}) || len(r.Kept) != 4 {
		t.Errorf("got %+v", r)
	}
	if info, err := os.Stat(filepath.Join(dir.Path(), "templates/index.html")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions: %v, %v, want 0640 as before", info.Mode(), err)
	}

	// A second copy within the same second gets another name, and copies stay
	// what they are when the file is edited in place.
	write(t, dir, "templates/index.html", "second edit")
	provision(t, opt)
	write(t, dir, "templates/index.html", "third edit")
	want["templates/index.html.2026-11-22T14-30-00Z.2.bak"] = "second edit"
	want["templates/index.html"] = "third edit"
	wantTree(t, dir, want)
}

func TestProvisionRefusesWhatStandsInTheWayAndTouchesNothing(t *testing.T) {
	type setup func(t *testing.T, dir Dir, outside string)
	link := func(target, name string) setup {
		return func(t *testing.T, dir Dir, outside string) {
			t.Helper()
			remove(t, dir, name)
			if err := os.Symlink(strings.Replace(target, "outside", outside, 1), filepath.Join(dir.Path(), name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name  string
		setup setup
		path  string // what the error must name
		text  string
	}{
		{"file instead of a directory", func(t *testing.T, dir Dir, _ string) {
			t.Helper()
			remove(t, dir, "static/css")
			write(t, dir, "static/css", "mine")
		}, "static/css", "is a file, and a directory is needed"},
		{"file instead of the tree", func(t *testing.T, dir Dir, _ string) {
			t.Helper()
			remove(t, dir, "")
			write(t, dir, "", "mine")
		}, "webgear", "is a file, and a directory is needed"},
		{"directory instead of a file", func(t *testing.T, dir Dir, _ string) {
			t.Helper()
			remove(t, dir, "templates/404.html")
			write(t, dir, "templates/404.html/mine", "mine")
		}, "templates/404.html", "is a directory, and a file is needed"},
		{"directory led out", link("outside", "static/css"), "static/css", "is a link that leads nowhere or out of"},
		{"tree led out", link("outside", ""), "webgear", "is a link that leads nowhere or out of"},
		{"parent directory led out", link("../../..", "templates"), "templates", "is a link that leads nowhere or out of"},
		{"file led out", link("outside/index.html", "templates/index.html"), "templates/index.html", "is a link that leads nowhere or out of"},
		{"file led out by an absolute path", link("/etc/hostname", "templates/base.html"), "templates/base.html", "is a link that leads nowhere or out of"},
		{"file led nowhere", link("nowhere", "templates/index.html"), "templates/index.html", "is a link that leads nowhere or out of"},
		{"device instead of a file", func(t *testing.T, dir Dir, _ string) {
			t.Helper()
			remove(t, dir, "templates/500.html")
			makePipe(t, filepath.Join(dir.Path(), "templates/500.html"))
		}, "templates/500.html", "is not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, overwrite := range []bool{false, true} {
				dir, outside := place(t), t.TempDir()
				if err := os.WriteFile(outside+"/index.html", []byte("outside"), 0o600); err != nil {
					t.Fatal(err)
				}
				provision(t, Options{Dir: dir})
				remove(t, dir, "static/js/custom.js")
				tc.setup(t, dir, outside)
				before := names(t, dir.base)
				_, err := Provision(t.Context(), Options{Dir: dir, Defaults: version(2), Overwrite: overwrite})
				if err == nil || !strings.Contains(err.Error(), filepath.Join(dir.Path(), "..", "webgear")) ||
					!strings.Contains(err.Error(), tc.path+": ") || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("got %v, want an error with %q and %q", err, tc.path, tc.text)
				}
				if after := names(t, dir.base); !slices.Equal(before, after) {
					t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
				if got := tree(t, outside); len(got) != 1 || got["index.html"] != "outside" {
					t.Errorf("outside: %v", got)
				}
			}
		})
	}
}

// names lists everything below dir with type, size and time.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%q %v", path, info.Mode())
		if !d.IsDir() {
			line += fmt.Sprintf(" %d %v", info.Size(), info.ModTime())
		}
		list = append(list, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLinksInsideOfTheTreeAreFollowed(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	remove(t, dir, "templates/index.html", "static/css")
	write(t, dir, "mine/page.html", "mine")
	for name, target := range map[string]string{"templates/index.html": "../mine/page.html", "static/css": "../mine"} {
		if err := os.Symlink(target, filepath.Join(dir.Path(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := provision(t, Options{Dir: dir}); r.Created != nil {
		t.Errorf("kept links: %+v", r)
	}
	r := provision(t, Options{Dir: dir, Overwrite: true, Now: func() time.Time { return time.Unix(0, 0) }})
	want := asTree(version(1))
	delete(want, "static/css/custom.css")
	want["static/css"] = "-> ../mine"
	want["mine/page.html"] = "mine"
	want["mine/custom.css"] = string(content(1, "static/css/custom.css"))
	want["templates/index.html.1970-01-01T00-00-00Z.bak"] = "-> ../mine/page.html"
	wantTree(t, dir, want)
	if len(r.Backups) != 1 {
		t.Errorf("backups: %+v", r.Backups)
	}
}

func TestLeftoversOfKilledRunsAreRemovedAndNothingElse(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	want := tree(t, dir.Path())
	for _, d := range []string{"", "templates", "static", "static/img"} {
		write(t, dir, filepath.Join(d, tempName()), "half")
	}
	own := map[string]string{"static/.webgear-mine.tmp": "a", "own/" + tempName(): "b", "templates/x.tmp": "c"}
	for name, data := range own {
		write(t, dir, name, data)
		want[name] = data
	}
	if r := provision(t, Options{Dir: dir}); len(r.Removed) != 4 {
		t.Errorf("removed %q, want 4", r.Removed)
	}
	wantTree(t, dir, want)
}

func TestProvisionEndsWithItsContext(t *testing.T) {
	dir := place(t)
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	steps := 0
	_, err := Provision(ctx, Options{Dir: dir, Defaults: version(1), hook: func(step, _ string) error {
		if steps++; step == stepRename || step == stepLink {
			cancel(cause)
		}
		return nil
	}})
	if !errors.Is(err, cause) || steps == 0 {
		t.Errorf("got %v, want the context's cause", err)
	}
	if r := provision(t, Options{Dir: dir}); len(r.Created) != 6 || len(r.Kept) != 1 {
		t.Errorf("the next run: %+v, want 1 kept", r)
	}
}

func TestProvisionRefusesWrongOptions(t *testing.T) {
	missing := version(1)
	delete(missing, "templates/500.html")
	nowhere := Dir{filepath.Join(t.TempDir(), "new\nhome"), "x"}
	for _, tc := range []struct {
		opt  Options
		want string
	}{
		{Options{}, "neither place nor defaults"},
		{Options{Dir: nowhere}, "neither place nor defaults"},
		{Options{Dir: nowhere, Defaults: missing}, "templates/500.html is missing"},
		{Options{Dir: nowhere, Defaults: os.DirFS(nowhere.Path())}, "no such file"},
		{Options{Dir: nowhere, Defaults: version(1)}, "create it, or set custom_data_location"},
	} {
		if _, err := Provision(t.Context(), tc.opt); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v, want one line with %q", tc.opt, err, tc.want)
		}
	}
}
