package datafiles

import (
	"bytes"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func files(t *testing.T, dir Dir) *Files {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOpenReadsFilesInsideOfTheFolderOnly(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	outside := filepath.Join(dir.base, "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "static/new\nline", "odd")
	write(t, dir, "static/large", "")
	write(t, dir, "static/full", "")
	for name, size := range map[string]int64{"static/large": MaxFile + 1, "static/full": MaxFile} {
		if err := os.Truncate(filepath.Join(dir.Path(), name), size); err != nil {
			t.Fatal(err)
		}
	}
	makePipe(t, filepath.Join(dir.Path(), "static/pipe"))
	for name, target := range map[string]string{
		"static/in": "css/custom.css", "static/out": "../../../secret", "static/abs": outside, "static/up": "../..", "static/loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir.Path(), name)); err != nil {
			t.Fatal(err)
		}
	}
	f := files(t, dir)
	for _, tc := range []struct {
		name string
		size int64
		err  error // nil with size -1: any
	}{
		{"templates/index.html", int64(len(content(1, "templates/index.html"))), nil},
		{"static/in", int64(len(content(1, "static/css/custom.css"))), nil},
		{"static/new\nline", 3, nil},
		{"static/full", MaxFile, nil},
		{"static/large", -1, errTooLarge},
		{"static/pipe", -1, errNotRegular},
		{"static", -1, errNotRegular},
		{".", -1, errNotRegular},
		{"static/nowhere", -1, fs.ErrNotExist},
		{"static/nowhere/x", -1, fs.ErrNotExist},
		{"static/out", -1, nil},
		{"static/abs", -1, nil},
		{"static/up/secret", -1, nil},
		{"static/loop", -1, nil},
		{"../secret", -1, fs.ErrInvalid},
		{"static/../../../secret", -1, fs.ErrInvalid},
		{"/etc/passwd", -1, fs.ErrInvalid},
		{"", -1, fs.ErrInvalid},
		{"static//in", -1, fs.ErrInvalid},
		{"a\x00b", -1, nil},
	} {
		info, serr := f.Stat(tc.name)
		data, err := f.ReadFile(tc.name)
		if tc.size < 0 {
			if err == nil || serr == nil || tc.err != nil && (!errors.Is(err, tc.err) || !errors.Is(serr, tc.err)) {
				t.Errorf("%q: got %d bytes, %v and %v, want %v", tc.name, len(data), err, serr, tc.err)
			}
			if perr, ok := errors.AsType[*fs.PathError](err); !ok || perr.Path != tc.name {
				t.Errorf("%q: error %v is no path error", tc.name, err)
			}
			continue
		}
		if err != nil || serr != nil || int64(len(data)) != tc.size || info.Size() != tc.size {
			t.Errorf("%q: got %d bytes, %v and %v, want %d", tc.name, len(data), err, serr, tc.size)
		}
	}
}

func TestOpenedFilesCanBeSoughtAndKeepTheirSize(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	write(t, dir, "static/a.txt", "0123456789")
	f, err := files(t, dir).Open("static/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "static/a.txt", "0123456789 and more")
	seeker, ok := f.(io.ReadSeeker)
	if !ok {
		t.Fatal("cannot be sought")
	}
	if at, err := seeker.Seek(-3, io.SeekEnd); err != nil || at != 7 {
		t.Errorf("Seek: got %d, %v, want 7", at, err)
	}
	if data, err := io.ReadAll(f); err != nil || string(data) != "789" {
		t.Errorf("got %q, %v, want 789", data, err)
	}
	if _, ok := f.(io.Writer); ok {
		t.Error("can be written to")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Close: got %v, want ErrClosed", err)
	}
}

func TestTemplatesOfThePageCanBeParsed(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	write(t, dir, "templates/base.html", `<p>{{block "main" .}}{{end}}`)
	write(t, dir, "templates/index.html", `{{template "base.html" .}}{{define "main"}}hello{{end}}`)
	tmpl, err := template.ParseFS(files(t, dir), "templates/base.html", "templates/index.html")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.ExecuteTemplate(&b, "index.html", nil); err != nil || b.String() != "<p>hello" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

func TestStampChangesWithTheFiles(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	f := files(t, dir)
	seen := map[string]string{}
	step := func(what string, change func()) {
		t.Helper()
		change()
		stamp := f.Stamp("templates/index.html", "templates/base.html")
		if before, ok := seen[stamp]; ok {
			t.Errorf("%s: same stamp as %s", what, before)
		}
		seen[stamp] = what
		if again := f.Stamp("templates/index.html", "templates/base.html"); again != stamp {
			t.Errorf("%s: stamp changed by itself", what)
		}
	}
	path := filepath.Join(dir.Path(), "templates/index.html")
	step("the beginning", func() {})
	step("another size", func() { write(t, dir, "templates/index.html", "a") })
	step("another time", func() {
		if err := os.Chtimes(path, time.Time{}, time.Unix(1e9, 5)); err != nil {
			t.Fatal(err)
		}
	})
	step("removal", func() { remove(t, dir, "templates/base.html") })
	step("the folder replaced", func() {
		if err := os.Rename(dir.Path(), dir.Path()+".old"); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "templates/index.html", "new folder")
	})
	other := f.Stamp("templates/index.html")
	write(t, dir, "templates/404.html", "b")
	if f.Stamp("templates/index.html") != other {
		t.Error("stamp changed with a file that it is not about")
	}
}

func TestOpenNamesThePlaceThatIsNotThere(t *testing.T) {
	dir := place(t)
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir.Path()) {
		t.Errorf("got %v, want ErrNotExist and %s", err, dir)
	}
	provision(t, Options{Dir: dir})
	f := files(t, dir)
	remove(t, dir, "")
	if _, err := f.Open("templates/index.html"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the folder was removed: got %v", err)
	}
}

func TestReadersNeverSeeHalfAFileWhileItIsReplaced(t *testing.T) {
	dir := place(t)
	provision(t, Options{Dir: dir})
	f := files(t, dir)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		const name = "templates/index.html"
		for {
			data, err := f.ReadFile(name)
			if err != nil || string(data) != string(content(1, name)) && string(data) != string(content(2, name)) {
				t.Errorf("got %d bytes, %v", len(data), err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for n := range 10 {
		provision(t, Options{Dir: dir, Defaults: version(n%2 + 1), Overwrite: true})
	}
	close(stop)
	wg.Wait()
}

// FuzzOpen: no name leads out of the folder, and every error is a path error.
func FuzzOpen(f *testing.F) {
	base := f.TempDir()
	if err := os.MkdirAll(base+"/.webgear/webgear/static", 0o755); err != nil {
		f.Fatal(err)
	}
	for name, data := range map[string]string{"secret": "secret", ".webgear/secret": "secret", ".webgear/webgear/static/a": "open"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(data), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.Symlink("../..", base+"/.webgear/webgear/static/up"); err != nil {
		f.Fatal(err)
	}
	fsys := &Files{Dir{base, ".webgear/webgear"}}
	f.Add("static/a")
	f.Add("static/up/secret")
	f.Add("../secret")
	f.Fuzz(func(t *testing.T, name string) {
		data, err := fsys.ReadFile(name)
		if _, ok := errors.AsType[*fs.PathError](err); err != nil && !ok || err == nil && string(data) != "open" {
			t.Errorf("%q: got %q, %v", name, data, err)
		}
	})
}

// BenchmarkStamp measures what each page view costs:
// go test -bench Stamp ./pkg/datafiles.
func BenchmarkStamp(b *testing.B) {
	base := b.TempDir()
	dir, err := Locate(base, "", false)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := Provision(b.Context(), Options{Dir: dir, Defaults: version(1)}); err != nil {
		b.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if f.Stamp("templates/base.html", "templates/index.html") == "" {
			b.Fatal("no stamp")
		}
	}
}
