package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// These tests guard the shape of the repository, so that go test alone tells
// when a change breaks it.

const module = "github.com/webgear-pi/webgear"

// rule forbids imports; the reason is printed.
type rule struct {
	reason string
	// from and not select packages by prefix, relative to the module.
	from   string
	except []string
	// deny lists import paths; a trailing slash means everything below.
	deny []string
	// allow lists exceptions from deny.
	allow []string
}

func rules() []rule {
	return []rule{
		{reason: "device is the bottom: it imports nothing from above", from: "device", deny: []string{module + "/pkg/", module + "/cmd/", module + "/web"}},
		{
			reason: "the contract imports the standard library only", from: "device", except: []string{"device/"},
			deny: []string{"github.com/", "golang.org/"},
		},
		{
			reason: "pkg sees the contract, never a driver", from: "pkg/", deny: []string{module + "/device/"}, except: []string{"pkg/server"},
		},
		{
			// netsend is no driver: it drives no device and has no alternative that
			// somebody could wire. It holds the system calls that package net lacks.
			reason: "pkg/server sees the contract and the socket calls, never a driver", from: "pkg/server",
			deny: []string{module + "/device/"}, allow: []string{module + "/device/netsend"},
		},
		{
			reason: "system calls and child processes belong to device/", from: "pkg/", except: []string{"pkg/encode"},
			deny: []string{"golang.org/x/sys/", "unsafe", "syscall", "os/exec"},
		},
		{
			reason: "Fiber stays in pkg/server, and in the library that hands its application out", from: "pkg/",
			except: []string{"pkg/server", "pkg/webgear"},
			deny:   []string{"github.com/gofiber/", "github.com/valyala/"},
		},
		{reason: "pictures never need the global logger", from: "", deny: []string{"log", "math/rand"}},
		{reason: "this package opens every camera when imported", from: "", deny: []string{"github.com/pion/mediadevices/pkg/driver/camera"}},
	}
}

func (r rule) applies(pkg string) bool {
	return strings.HasPrefix(pkg, r.from) && !slices.ContainsFunc(r.except, func(e string) bool { return strings.HasPrefix(pkg, e) })
}

func (r rule) forbids(path string) bool {
	if slices.Contains(r.allow, path) {
		return false
	}
	return slices.ContainsFunc(r.deny, func(d string) bool {
		return path == strings.TrimSuffix(d, "/") && !strings.HasSuffix(d, "/") || strings.HasSuffix(d, "/") && strings.HasPrefix(path, d)
	})
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImportsGoOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages++
		rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, r := range rules() {
			for _, path := range p.Imports {
				if r.applies(rel) && r.forbids(path) {
					t.Errorf("%s imports %s: %s", rel, path, r.reason)
				}
			}
		}
	}
	if packages < 10 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func TestRulesForbidWhatTheySay(t *testing.T) {
	for _, tt := range []struct {
		pkg, path string
		want      bool
	}{
		{"device/v4l2", module + "/pkg/jpeg", true},
		{"device/v4l2", module + "/device", false},
		{"device", "golang.org/x/sys/unix", true},
		{"device/v4l2", "golang.org/x/sys/unix", false},
		{"pkg/capture", module + "/device/v4l2", true},
		{"pkg/capture", module + "/device", false},
		{"pkg/capture", module + "/device/netsend", true},
		{"pkg/server", module + "/device/netsend", false},
		{"pkg/server", module + "/device/v4l2", true},
		{"pkg/capture", "unsafe", true},
		{"pkg/encode", "unsafe", false},
		{"pkg/fanout", "github.com/gofiber/fiber/v2", true},
		{"pkg/server", "github.com/gofiber/fiber/v2", false},
		{"pkg/webgear", "github.com/gofiber/fiber/v2", false},
		{"cmd/webgear", "log", true},
		{"cmd/webgear", "log/slog", false},
	} {
		got := slices.ContainsFunc(rules(), func(r rule) bool { return r.applies(tt.pkg) && r.forbids(tt.path) })
		if got != tt.want {
			t.Errorf("%s importing %s: forbidden %v, want %v", tt.pkg, tt.path, got, tt.want)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	allowed := []string{"cmd", "pkg", "device", "rootfs-overlay", "web", "packaging", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "bin"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong to the top level", e.Name())
		}
	}
}

func TestEveryPackageHasOnePackageComment(t *testing.T) {
	comments := map[string]int{}
	err := filepath.WalkDir(root(t), func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "_test.go") && hasPackageWithCode(filepath.Dir(path)) {
			return nil
		}
		comments[filepath.Dir(path)] += count(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want one", dir, n)
		}
	}
}

// hasPackageWithCode tells test-only folders from packages with tests.
func hasPackageWithCode(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return err == nil && slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

func count(f *ast.File) int {
	if f.Doc != nil {
		return 1
	}
	return 0
}
