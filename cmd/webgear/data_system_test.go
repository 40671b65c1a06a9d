//go:build system

package main

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/web"
)

const treeOf = ".webgear/webgear"

// defaults are the default data files.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(web.Data(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(web.Data(), name)
		all[name] = string(data)
		return err
	})
	if err != nil || len(all) != 7 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// beginWith starts with data files at location.
func beginWith(t *testing.T, location string, more map[string]any) *daemon {
	t.Helper()
	values := map[string]any{"custom_data_location": location}
	maps.Copy(values, more)
	return begin(t, append(options(t, values), "-s", "test:320x240")...)
}

func TestSystemDataLocationThatCannotBeUsedIsExitCode2(t *testing.T) {
	file := write(t, "file", "")
	readOnly := tmpfs(t, "size=64k")
	remount(t, readOnly, syscall.MS_RDONLY)
	for path, want := range map[string]string{"/nonexistent/im_wrong": "no such directory", file: "not a directory", readOnly: "read-only file system"} {
		for _, args := range [][]string{
			append([]string{"run", "--listen", "127.0.0.1:0", "-s", "test"}, options(t, map[string]any{"custom_data_location": path})...),
			{"provision", "--custom-data-location", path},
		} {
			code, out := fails(t, args...)
			if code != 2 || strings.Count(out, "\n") != 1 || !strings.Contains(out, path) || !strings.Contains(out, want) {
				t.Errorf("%v: code %d\n%s", args, code, out)
			}
		}
	}
}

func TestSystemDataFilesAreMadeEditedAndKept(t *testing.T) {
	where := t.TempDir()
	tree := filepath.Join(where, treeOf)
	d := beginWith(t, where, nil)
	for name, text := range defaults(t) {
		if got := read(t, filepath.Join(tree, name)); got != text {
			t.Errorf("%s: %d bytes, want the default's %d", name, len(got), len(text))
		}
	}

	// Edits show without a restart, and survive one.
	edit(t, filepath.Join(tree, "templates/index.html"), `<h1>My porch</h1><img src="{{.VideoPath}}">`)
	edit(t, filepath.Join(tree, "static/css/custom.css"), "/* mine */")
	check := func(d *daemon) {
		t.Helper()
		if a := d.get(t, "/"); a.status != http.StatusOK || string(a.body) != `<h1>My porch</h1><img src="/video">` {
			t.Errorf("page: %d\n%s", a.status, a.body)
		}
		if a := d.get(t, "/static/css/custom.css"); string(a.body) != "/* mine */" {
			t.Errorf("style: %d\n%s", a.status, a.body)
		}
	}
	check(d)
	d.end(t, syscall.SIGTERM)
	d = beginWith(t, where, nil)
	check(d)
	d.end(t, syscall.SIGTERM)

	// A deleted critical file comes back alone.
	remove(t, filepath.Join(tree, "templates/404.html"))
	d = beginWith(t, where, nil)
	check(d)
	if got := read(t, filepath.Join(tree, "templates/404.html")); got != defaults(t)["templates/404.html"] {
		t.Errorf("404.html: %q", got)
	}
	if a := d.get(t, "/ok"); a.status != http.StatusNotFound || !bytes.Contains(a.body, []byte("There is no page here")) {
		t.Errorf("/ok: %d\n%s", a.status, a.body)
	}
	d.end(t, syscall.SIGTERM)

	// Another deleted file stays deleted: the three critical ones are there.
	remove(t, filepath.Join(tree, "static/js/custom.js"))
	d = beginWith(t, where, nil)
	if a := d.get(t, "/static/js/custom.js"); a.status != http.StatusNotFound {
		t.Errorf("deleted script: %d", a.status)
	}
	d.end(t, syscall.SIGTERM)

	// Overwriting keeps what was edited.
	d = beginWith(t, where, map[string]any{"overwrite_default_files": true})
	if a := d.get(t, "/"); !bytes.Contains(a.body, []byte("Live picture")) {
		t.Errorf("the default page is not back:\n%s", a.body)
	}
	copies, err := filepath.Glob(filepath.Join(tree, "*/*.bak"))
	if more, err2 := filepath.Glob(filepath.Join(tree, "*/*/*.bak")); err == nil && err2 == nil {
		copies = append(copies, more...)
	}
	var texts []string
	for _, c := range copies {
		texts = append(texts, read(t, c))
	}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"/* mine */", `<h1>My porch</h1><img src="{{.VideoPath}}">`}) {
		t.Errorf("copies %v hold %q", copies, texts)
	}
}

// tmpfs mounts a file system of its own until the test ends.
func tmpfs(t *testing.T, mountOptions string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, mountOptions); err != nil {
		t.Fatalf("mount a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// builtIn checks that the pages that are in the program are shown.
func builtIn(t *testing.T, d *daemon, reason string) {
	t.Helper()
	if a := d.get(t, "/"); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("Live picture")) {
		t.Errorf("page: %d\n%s", a.status, a.body)
	}
	if a := d.get(t, "/static/css/custom.css"); a.status != http.StatusOK {
		t.Errorf("style: %d", a.status)
	}
	if a := d.get(t, "/ok"); a.status != http.StatusNotFound || !bytes.Contains(a.body, []byte("There is no page here")) {
		t.Errorf("/ok: %d\n%s", a.status, a.body)
	}
	d.watch(t, "/video").until("a picture", live)
	if log := d.log.String(); !strings.Contains(log, "the built-in pages are shown") || !strings.Contains(log, reason) {
		t.Errorf("the log does not say %q:\n%s", reason, log)
	}
}

func TestSystemServesOnWithoutRoomForDataFiles(t *testing.T) {
	t.Run("read-only home", func(t *testing.T) {
		home := tmpfs(t, "size=64k")
		remount(t, home, syscall.MS_RDONLY)
		builtIn(t, beginAt(t, place{home: home}, "-s", "test:320x240"), "read-only file system")
	})
	t.Run("home without a name", func(t *testing.T) {
		builtIn(t, beginAt(t, place{home: "nowhere"}, "-s", "test:320x240"), "set HOME, or custom_data_location")
	})
	t.Run("full disk", func(t *testing.T) {
		home := tmpfs(t, "size=64k")
		if err := os.WriteFile(filepath.Join(home, "big"), make([]byte, 56<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		d := beginWith(t, home, nil)
		builtIn(t, d, "no space left on device")
		d.end(t, syscall.SIGTERM)
		code, out := fails(t, "provision", "--custom-data-location", home)
		if code != 1 || !strings.Contains(out, "no space left on device") {
			t.Errorf("provision: code %d\n%s", code, out)
		}
		remove(t, filepath.Join(home, "big")) // and then there is room
		if code, out = fails(t, "provision", "--custom-data-location", home); code != 0 {
			t.Errorf("provision: code %d\n%s", code, out)
		}
	})
	t.Run("complete files on a read-only disk are used", func(t *testing.T) {
		home := tmpfs(t, "size=1m")
		beginAt(t, place{home: home}, "-s", "test:320x240").end(t, syscall.SIGTERM)
		edit(t, filepath.Join(home, treeOf, "templates/index.html"), "mine")
		remount(t, home, syscall.MS_RDONLY)
		d := beginAt(t, place{home: home}, "-s", "test:320x240")
		if a := d.get(t, "/"); string(a.body) != "mine" {
			t.Errorf("page: %d\n%s", a.status, a.body)
		}
		d.end(t, syscall.SIGTERM)
		remount(t, home, 0)
	})
}

func TestSystemBrokenTemplateIsReplacedAndNamed(t *testing.T) {
	where := t.TempDir()
	d := beginWith(t, where, nil)
	index := filepath.Join(where, treeOf, "templates/index.html")
	edit(t, index, "<h1>\n\n{{if}</h1>")
	for range 3 {
		if a := d.get(t, "/"); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`src="/video"`)) {
			t.Errorf("page: %d\n%s", a.status, a.body)
		}
	}
	if log := d.log.String(); strings.Count(log, "page template failed") != 1 || !strings.Contains(log, "index.html:3:") {
		t.Errorf("the log does not name file and line once:\n%s", log)
	}
	edit(t, index, "mended")
	if a := d.get(t, "/"); string(a.body) != "mended" {
		t.Errorf("after it was mended: %s", a.body)
	}
}

func TestSystemLinksOutOfTheTreeAreNotFollowed(t *testing.T) {
	where := t.TempDir()
	secret := write(t, "secret", "TOP SECRET")
	d := beginWith(t, where, nil)
	tree := filepath.Join(where, treeOf)
	for _, name := range []string{"static/secret.txt", "static/css/secret.css"} {
		if err := os.Symlink(secret, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(tree, "static/out")); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(tree, "templates/index.html")
	remove(t, index)
	if err := os.Symlink(secret, index); err != nil {
		t.Fatal(err)
	}
	look := func(d *daemon) {
		t.Helper()
		for path, status := range map[string]int{
			"/": 200, "/static/secret.txt": 404, "/static/css/secret.css": 404, "/static/out/secret": 404,
			"/static/../../../secret": 404, "/static/%2e%2e/templates/base.html": 404,
		} {
			if a := d.get(t, path); a.status != status || bytes.Contains(a.body, []byte("SECRET")) {
				t.Errorf("%s: %d, want %d\n%s", path, a.status, status, a.body)
			}
		}
	}
	look(d)
	d.end(t, syscall.SIGTERM)
	d = beginWith(t, where, nil) // which refuses the link
	look(d)
	builtIn(t, d, "link that leads nowhere or out of")
}

// TestSystemKilledProvisionLosesNothing kills webgear provision 200 times at
// random moments. Every file is whole at any time: the default, or the edit of
// a person, which is never lost.
func TestSystemKilledProvisionLosesNothing(t *testing.T) {
	where := t.TempDir()
	tree := filepath.Join(where, treeOf)
	want := defaults(t)
	const mine = "edited by a person"
	begun := time.Now()
	if code, out := fails(t, "provision", "--custom-data-location", where); code != 0 {
		t.Fatal(out)
	}
	took := time.Since(begun)
	interrupted, copies, rounds := 0, 0, 0
	rnd := rand.New(rand.NewPCG(uint64(begun.UnixNano()), 0))
	for ; interrupted < 200 && rounds < 2000; rounds++ {
		edit(t, filepath.Join(tree, "templates/index.html"), mine)
		args := []string{"provision", "--custom-data-location", where}
		if rounds%2 == 1 {
			args = append(args, "--overwrite")
		}
		for name := range want {
			if name != "templates/index.html" && rnd.IntN(2) == 0 {
				_ = os.Remove(filepath.Join(tree, name)) // it may be gone
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.Float64()*1.2*float64(took)))
		if err := command(ctx, where, args...).Run(); err != nil && ctx.Err() != nil {
			interrupted++ // by SIGKILL
		}
		cancel()
		kept := read(t, filepath.Join(tree, "templates/index.html")) == mine
		found, err := filepath.Glob(filepath.Join(tree, "templates/index.html.*.bak"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			if read(t, c) != mine {
				t.Errorf("round %d: copy %s is not what was edited", rounds, c)
			}
			kept = true
			copies++
			remove(t, c)
		}
		if !kept {
			t.Fatalf("round %d: the edit is lost", rounds)
		}
		for name, text := range want {
			data, err := os.ReadFile(filepath.Join(tree, name))
			if err == nil && string(data) != text && (name != "templates/index.html" || string(data) != mine) {
				t.Fatalf("round %d: %s is not whole: %d bytes", rounds, name, len(data))
			}
		}
	}
	t.Logf("one run takes %v; %d of %d were killed, %d copies were made", took, interrupted, rounds, copies)
	if interrupted < 200 || copies < 20 {
		t.Errorf("%d runs were killed and %d copies made: that proves little", interrupted, copies)
	}
	// The last round may have taken away files of which none is critical, and
	// those alone are a person's choice.
	_ = os.Remove(filepath.Join(tree, "templates/404.html")) // it may be gone
	if code, out := fails(t, "provision", "--custom-data-location", where); code != 0 {
		t.Fatal(out)
	}
	err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if name, rerr := filepath.Rel(tree, path); rerr == nil && err == nil && !e.IsDir() {
			if _, ok := want[name]; !ok {
				t.Errorf("left behind: %s", name)
			}
			delete(want, name)
		}
		return err
	})
	if err != nil || len(want) != 0 {
		t.Errorf("missing: %v, %v", slices.Sorted(maps.Keys(want)), err)
	}
}
