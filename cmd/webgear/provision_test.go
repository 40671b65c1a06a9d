package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// provisionJSON runs webgear provision and returns what it says.
func provisionJSON(t *testing.T, args ...string) provisionResult {
	t.Helper()
	code, stdout, stderr := execute(t, append([]string{"provision", "--json"}, args...)...)
	var r provisionResult
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || stderr != "" {
		t.Fatalf("provision %v: code %d, %v\n%s%s", args, code, err, stdout, stderr)
	}
	return r
}

func edit(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestProvisionMakesKeepsAndReplaces(t *testing.T) {
	place := t.TempDir()
	tree := filepath.Join(place, ".webgear/webgear")
	index := filepath.Join(tree, "templates/index.html")

	r := provisionJSON(t, "--custom-data-location", place)
	if r.Path != tree || len(r.Created) != 7 || len(r.Kept)+len(r.Replaced)+len(r.Removed) != 0 {
		t.Errorf("first run: %+v", r)
	}
	original := read(t, index)

	edit(t, index, "mine")
	if err := os.Remove(filepath.Join(tree, "templates/404.html")); err != nil {
		t.Fatal(err)
	}
	r = provisionJSON(t, "--custom-data-location", place)
	if !slices.Equal(r.Created, []string{"templates/404.html"}) || len(r.Kept) != 6 || read(t, index) != "mine" {
		t.Errorf("second run: %+v", r)
	}

	r = provisionJSON(t, "--custom-data-location", place, "--overwrite")
	if len(r.Replaced) != 1 || len(r.Kept) != 6 || read(t, index) != original {
		t.Fatalf("overwrite: %+v", r)
	}
	if b := r.Replaced[0]; b.File != "templates/index.html" || read(t, filepath.Join(tree, b.Copy)) != "mine" {
		t.Errorf("copy: %+v", b)
	}

	edit(t, index, "mine again")
	code, stdout, _ := execute(t, "provision", "--custom-data-location", place, "--overwrite")
	if code != 0 || !strings.HasPrefix(stdout, tree+"\n  replaced  templates/index.html, the old one is templates/index.html.") ||
		!strings.HasSuffix(stdout, "\n0 created, 1 replaced, 6 kept\n") {
		t.Errorf("code %d:\n%s", code, stdout)
	}
}

func TestProvisionReadsPlaceAndOverwriteFromTheSettingsFile(t *testing.T) {
	place := t.TempDir()
	file := write(t, "place.yaml", "options: {custom_data_location: "+place+", overwrite_default_files: true, unknown: 1}\n")
	r := provisionJSON(t, "--config", file)
	if r.Path != filepath.Join(place, ".webgear/webgear") || len(r.Created) != 7 {
		t.Fatalf("%+v", r)
	}
	edit(t, filepath.Join(r.Path, "static/css/custom.css"), "mine")
	if r = provisionJSON(t, "--config", file); len(r.Replaced) != 1 {
		t.Errorf("%+v", r)
	}
	if r = provisionJSON(t, "--config", write(t, "home.yaml", "")); len(r.Created) != 7 || filepath.Base(filepath.Dir(r.Path)) != ".webgear" {
		t.Errorf("without a place: %+v", r)
	}
	file = write(t, "skip.yaml", "options: {skip_generate_webdata: true}\n")
	if r = provisionJSON(t, "--config", file); r.Path != "" {
		t.Errorf("switched off: %+v", r)
	}
	if code, stdout, _ := execute(t, "provision", "--config", file); code != 0 || !strings.Contains(stdout, "skip_generate_webdata") {
		t.Errorf("switched off: code %d, %s", code, stdout)
	}
}

func TestProvisionFailsWithOneLineAndItsExitCode(t *testing.T) {
	blocked := t.TempDir()
	edit(t, filepath.Join(blocked, ".webgear"), "a file where a directory is needed")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--custom-data-location", "/nonexistent"}, 2, "there is no such directory"},
		{[]string{"--custom-data-location", write(t, "file", "")}, 2, "not a directory"},
		{[]string{"--custom-data-location", "/tmp", "--service"}, 2, "cannot be given together"},
		{[]string{"--custom-data-location", "/tmp", "--config", "x"}, 2, "cannot be given together"},
		{[]string{"--frobnicate"}, 2, "webgear provision --help"},
		{[]string{"here"}, 2, `unexpected argument "here"`},
		{[]string{"--config", "/nonexistent.yaml"}, 78, "settings file /nonexistent.yaml"},
		{[]string{"--config", write(t, "p.yaml", "options: {custom_data_location: /nonexistent}\n")}, 78, "p.yaml: options: custom_data_location /nonexistent"},
		{[]string{"--custom-data-location", blocked}, 1, "is a file, and a directory is needed"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, stdout, stderr := execute(t, append([]string{"provision"}, tt.args...)...)
			if code != tt.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("code %d, want %d and %q\n%s%s", code, tt.code, tt.want, stdout, stderr)
			}
		})
	}
}
