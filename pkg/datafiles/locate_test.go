package datafiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocateFindsThePlace(t *testing.T) {
	tmp := t.TempDir()
	t.Chdir(tmp)
	for _, dir := range []string{"plain", ".webgear", "new\nline", "with space"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, custom, home string
		service            bool
		want               string
	}{
		{"person", "", "/home/foo", false, "/home/foo/.webgear/webgear"},
		{"person, odd slashes", "", "/home//foo/", false, "/home/foo/.webgear/webgear"},
		{"service", "", "", true, "/var/lib/webgear/webgear"},
		{"service with a home", "", "/home/foo", true, "/var/lib/webgear/webgear"},
		{"custom", tmp + "/plain", "/home/foo", false, tmp + "/plain/.webgear/webgear"},
		{"custom for the service", tmp + "/plain/", "", true, tmp + "/plain/.webgear/webgear"},
		{"custom relative", "plain", "", false, tmp + "/plain/.webgear/webgear"},
		{"custom is our own folder", tmp + "/.webgear", "", false, tmp + "/.webgear/webgear"},
		{"custom is our own folder, odd slashes", tmp + "/plain/..//.webgear//", "", false, tmp + "/.webgear/webgear"},
		{"custom with a line break", tmp + "/new\nline", "", false, tmp + "/new\nline/.webgear/webgear"},
		{"custom with a space", tmp + "/with space", "", false, tmp + "/with space/.webgear/webgear"},
	} {
		got, err := Locate(tc.custom, tc.home, tc.service)
		if err != nil || got.Path() != tc.want {
			t.Errorf("%s: got %q, %v, want %q", tc.name, got.Path(), err, tc.want)
		}
	}
	entries, err := os.ReadDir("plain")
	if err != nil || len(entries) != 0 {
		t.Errorf("Locate left %v behind, %v", entries, err)
	}
}

func TestLocateRefusesUnusablePlacesWithARemedy(t *testing.T) {
	tmp := t.TempDir()
	if err := os.WriteFile(tmp+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", tmp+"/loop"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, custom, home string
		want               []string
	}{
		{"no home", "", "", []string{"home", "custom_data_location"}},
		{"relative home", "", "foo", []string{"home"}},
		{"not there", tmp + "/nowhere", "", []string{tmp + "/nowhere: ", "no such directory", "mkdir"}},
		{"a file", tmp + "/file", "", []string{tmp + "/file: ", "not a directory", "choose"}},
		{"below a file", tmp + "/file/x", "", []string{tmp + "/file/x: ", "not a directory", "choose"}},
		{"loop", tmp + "/loop", "", []string{tmp + "/loop: ", "symbolic links", "choose"}},
		{"NUL", tmp + "/a\x00b", "", []string{`a\x00b`, "not a path"}},
		{"line break", tmp + "/a\nb", "", []string{`a\nb`, "no such directory"}},
		{"too long", "/" + strings.Repeat("a", 300), "", []string{"too long", "choose"}},
		{"read-only", "/proc/sys", "", []string{"/proc/sys: cannot be written to", "choose"}},
	} {
		got, err := Locate(tc.custom, tc.home, false)
		if err == nil || got != (Dir{}) {
			t.Errorf("%s: got %v, %v, want an error", tc.name, got, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %q, want one line with %q", tc.name, err, want)
			}
		}
	}
}

// FuzzLocate: an accepted place is absolute, below the one that was asked for,
// and shown in one line.
func FuzzLocate(f *testing.F) {
	base := f.TempDir()
	f.Add("a", "/home/x")
	f.Add("../.webgear/", "")
	f.Add("\n/.", "relative")
	f.Fuzz(func(t *testing.T, custom, home string) {
		for _, c := range []string{"", filepath.Join(base, filepath.Clean("/"+custom))} {
			dir, err := Locate(c, home, false)
			switch {
			case err != nil && strings.ContainsAny(err.Error(), "\n\r"):
				t.Errorf("%q, %q: error %q is not one line", c, home, err)
			case err == nil && (!filepath.IsAbs(dir.Path()) || filepath.Base(dir.Path()) != treeName || strings.ContainsAny(dir.String(), "\n\r")):
				t.Errorf("%q, %q: got %s", c, home, dir)
			}
		}
	})
}

func TestTempNamesAreRecognisedAndNothingElse(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		name := tempName()
		if !isTempName(name) || seen[name] {
			t.Errorf("%s is not recognised, or came twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{"", ".webgear-.tmp", ".webgear-0123456789abcde.tmp", ".webgear-0123456789abcdeg.tmp", ".webgear-0123456789ABCDEF.tmp", ".webgear-0123456789abcdef", "a.webgear-0123456789abcdef.tmp", "index.html"} {
		if isTempName(name) {
			t.Errorf("%q is taken for a temporary file", name)
		}
	}
}
