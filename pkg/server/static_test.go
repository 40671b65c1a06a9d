package server

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestStaticFilesCannotBeLeft(t *testing.T) {
	assets := fstest.MapFS{
		"secret.txt":             {Data: []byte("SECRET")},
		"static/ok.txt":          {Data: []byte("ok"), ModTime: time.Unix(1e9, 0)},
		"static/a b.txt":         {Data: []byte("ok")},
		"static/.hidden":         {Data: []byte("SECRET")},
		"static/.git/config":     {Data: []byte("SECRET")},
		"static/dir/x.txt":       {Data: []byte("x")},
		"static/dir/index.html":  {Data: []byte("SECRET")},
		"templates/404.html":     {Data: []byte("themed 404")},
		"static/..%2fsecret.txt": {Data: []byte("ok")},
	}
	r := start(t, Options{Assets: assets})
	for path, want := range map[string]int{
		"/static/ok.txt":                      200,
		"/static/a%20b.txt":                   200,
		"/static/dir/x.txt?v=2":               200,
		"/static/":                            404,
		"/static/dir":                         404,
		"/static/dir/":                        404,
		"/static/../secret.txt":               404,
		"/static/../../../../etc/passwd":      404,
		"/static/%2e%2e/secret.txt":           404,
		"/static/%2E%2E%2Fsecret.txt":         404,
		"/static/dir/..%2f../secret.txt":      404,
		"/static/..%5csecret.txt":             404,
		"/static/..\\secret.txt":              404,
		"/static/%252e%252e/secret.txt":       404,
		"/static/ok.txt%00.png":               404,
		"/static//ok.txt":                     404,
		"/static/./ok.txt":                    404,
		"/static/dir/../ok.txt":               404,
		"/static/%":                           404,
		"/static/%zz":                         404,
		"/static//etc/passwd":                 404,
		"/static/%2fetc/passwd":               404,
		"/static/.hidden":                     404,
		"/static/.git/config":                 404,
		"/static/ok.txt/":                     404,
		"/static/\xff\xfe":                    404,
		"/../secret.txt":                      404,
		"/secret.txt":                         404,
		"http://cam/static/../secret.txt":     404,
		"http://cam/static/%2e%2e/secret.txt": 404,
	} {
		a := raw(t, r.addr, "GET "+path+" HTTP/1.1")
		if a.StatusCode != want || strings.Contains(a.body, "SECRET") {
			t.Errorf("%s: got %d %q, want %d", path, a.StatusCode, a.body, want)
		}
		if want == 404 && a.body != "themed 404" {
			t.Errorf("%s: not the themed page but %q", path, a.body)
		}
	}
}

func TestStaticFilesCanBeAskedForConditionally(t *testing.T) {
	big := strings.Repeat("0123456789", 100_000)
	assets := fstest.MapFS{
		"static/embedded.css": {Data: []byte("0123456789")},
		"static/dated.js":     {Data: []byte("0123456789"), ModTime: time.Unix(1e9, 0)},
		"static/big.bin":      {Data: []byte(big), ModTime: time.Unix(1e9, 0)},
	}
	r := start(t, Options{Assets: assets})
	first := raw(t, r.addr, "GET /static/embedded.css HTTP/1.1")
	tag := first.Header.Get("ETag")
	if first.body != "0123456789" || len(tag) < 10 || first.Header.Get("Last-Modified") == "" ||
		first.Header.Get("Content-Type") != "text/css; charset=utf-8" || first.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("got %q %v", first.body, first.Header)
	}
	for _, tc := range []struct {
		request string
		code    int
		header  map[string]string
		body    string
	}{
		{"GET /static/embedded.css HTTP/1.1\r\nIf-None-Match: " + tag, 304, map[string]string{"ETag": tag, "Content-Type": ""}, ""},
		{"GET /static/embedded.css HTTP/1.1\r\nIf-None-Match: \"other\"", 200, nil, "0123456789"},
		{"GET /static/embedded.css HTTP/1.1\r\nIf-Match: \"other\"", 412, nil, ""},
		{"HEAD /static/embedded.css HTTP/1.1", 200, map[string]string{"Content-Length": "10", "ETag": tag}, ""},
		{"GET /static/dated.js HTTP/1.1", 200, map[string]string{"Last-Modified": "Sun, 09 Sep 2001 01:46:40 GMT", "Content-Type": "text/javascript; charset=utf-8"}, "0123456789"},
		{"GET /static/dated.js HTTP/1.1\r\nIf-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 304, nil, ""},
		{"GET /static/dated.js HTTP/1.1\r\nIf-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT", 200, nil, "0123456789"},
		{"GET /static/dated.js HTTP/1.1\r\nRange: bytes=2-4", 206, map[string]string{"Content-Range": "bytes 2-4/10", "Content-Length": "3"}, "234"},
		{"GET /static/dated.js HTTP/1.1\r\nRange: bytes=-2", 206, map[string]string{"Content-Range": "bytes 8-9/10"}, "89"},
		{"HEAD /static/dated.js HTTP/1.1\r\nRange: bytes=2-4", 206, map[string]string{"Content-Length": "3"}, ""},
		{"GET /static/dated.js HTTP/1.1\r\nRange: bytes=0-1,4-5", 200, nil, "0123456789"},
		{"GET /static/dated.js HTTP/1.1\r\nRange: bytes=20-", 416, map[string]string{"Content-Range": "bytes */10"}, ""},
		{"GET /static/dated.js HTTP/1.1\r\nRange: bytes=2-4\r\nIf-Range: \"other\"", 200, nil, "0123456789"},
		{"GET /static/big.bin HTTP/1.1", 200, map[string]string{"Content-Length": "1000000"}, big},
	} {
		a := raw(t, r.addr, tc.request)
		if a.StatusCode != tc.code || a.body != tc.body {
			t.Errorf("%q: got %d %q, want %d %q", tc.request, a.StatusCode, shorten(a.body, 50), tc.code, shorten(tc.body, 50))
		}
		for name, want := range tc.header {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%q: %s: got %q, want %q", tc.request, name, got, want)
			}
		}
	}
}

// TestStaticFilesOfAFolderShowChanges proves that os.DirFS files work, too.
func TestFilesOfAFolderShowChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "static/x.txt"), "one")
	write(t, filepath.Join(dir, "templates/index.html"), "page one")
	r := start(t, Options{Assets: dirFS(dir)})
	for _, n := range []string{"one", "three"} {
		write(t, filepath.Join(dir, "static/x.txt"), n)
		write(t, filepath.Join(dir, "templates/index.html"), "page "+n)
		if a := raw(t, r.addr, "GET /static/x.txt HTTP/1.1"); a.body != n {
			t.Errorf("static: got %q, want %q", a.body, n)
		}
		if a := raw(t, r.addr, "GET / HTTP/1.1"); a.body != "page "+n {
			t.Errorf("page: got %q, want %q", a.body, "page "+n)
		}
	}
}

// dirFS is a folder as main hands it in.
func dirFS(dir string) fs.FS { return os.DirFS(dir) }

// FuzzStaticName holds that no path leads out of the folder or to a hidden
// file.
func FuzzStaticName(f *testing.F) {
	for _, p := range []string{"/static/css/custom.css", "/static/%2e%2e/x", "/static//x", "/static/a%2fb", "/static/..\\x", "/static/%00"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		name, ok := staticName(p)
		if !ok {
			return
		}
		if !fs.ValidPath(name) || !strings.HasPrefix(name, "static/") || strings.Contains(name, "/.") || strings.ContainsAny(name, "\\\x00") {
			t.Errorf("%q gives %q", p, name)
		}
	})
}

// write makes a file and the folders above it.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
