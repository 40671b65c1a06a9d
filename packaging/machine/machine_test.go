//go:build deb

// Package machine_test boots Debian systems with systemd, and puts the package
// through what happens to it there: make test-deb. It needs root.
//
// By itself it takes some minutes: lintian, a second build with the same bytes,
// and the life of the amd64 package in a container with bookworm. DEB_FULL=1
// does the same for all architectures and trixie, has everything around the
// service fail, and boots emulated computers with cameras, amd64 and arm64,
// whose power fails, too. That takes an hour.
package machine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// full says whether everything is asked for.
func full() bool { return os.Getenv("DEB_FULL") != "" }

// suites are the Debian releases that the package is for.
func suites() []string {
	if !full() {
		return []string{"bookworm"}
	}
	return []string{"bookworm", "trixie"}
}

// others are the architectures beside amd64.
func others() []string {
	if !full() {
		return nil
	}
	return []string{"arm64", "armhf"}
}

// shell runs a program of the repository and returns what it printed.
func shell(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the scripts clear up
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %v: %w\n%s%s", program, args, err, stdout.String(), stderr.String())
	}
	return stdout.String(), err
}

func must(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	out, err := shell(t, env, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// build makes a package of the present tree.
func build(t *testing.T, arch, version string) (deb string) {
	t.Helper()
	var env []string
	if version != "" {
		env = []string{"DEB_VERSION=" + version}
	}
	return must(t, env, "../deb/build.sh", arch, t.TempDir())
}

// boot runs a job in a fresh machine with files.
func boot(t *testing.T, suite, job string, files ...string) {
	t.Helper()
	out, err := shell(t, []string{"LIMIT=400"}, "./boot.sh", append([]string{suite, job}, files...)...)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "[") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// named puts a file under another name into a folder of its own.
func named(t *testing.T, file, name string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestPackageInABootedMachine(t *testing.T) {
	old, newer := build(t, "amd64", "0.0.1~old"), build(t, "amd64", "0.0.1~older+new")
	oldDeb, newDeb := named(t, old, "old.deb"), named(t, newer, "new.deb")
	repos := repositories(t, old, newer)
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			t.Run("life", func(t *testing.T) { boot(t, suite, "life.sh", oldDeb, newDeb) })
			t.Run("repository", func(t *testing.T) { boot(t, suite, "repository.sh", repos...) })
			if full() {
				t.Run("faults", func(t *testing.T) { boot(t, suite, "faults.sh", newDeb) })
			}
		})
	}
	t.Run("lintian", func(t *testing.T) { lintian(t, newer) })
	t.Run("without systemd", func(t *testing.T) { withoutSystemd(t, newDeb) })
}

// repositories makes one with the old package, one with both, and three that
// somebody has tampered with.
func repositories(t *testing.T, old, newer string) []string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	key := func(name string) []string { return []string{"WEBGEAR_CACHE=" + at(name)} }
	for name := range map[string]bool{"key": true, "another": true} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	add := func(env []string, deb, repo string) { must(t, env, "../apt/build.sh", filepath.Dir(deb), at(repo)) }
	add(key("key"), old, "repo")
	must(t, nil, "cp", "-a", at("repo"), at("newer"))
	add(key("key"), newer, "newer")
	for _, name := range []string{"changed-list", "changed-package"} {
		must(t, nil, "cp", "-a", at("newer"), at(name))
	}
	damage(t, at("changed-list/dists"))
	damage(t, at("changed-package/pool"))
	add(key("another"), newer, "other-key")
	must(t, nil, "cp", at("repo/webgear-archive-keyring.gpg"), at("other-key/"))
	return []string{at("repo"), at("newer"), at("changed-list"), at("changed-package"), at("other-key")}
}

// damage adds a byte to every list and every package.
func damage(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		name := d.Name()
		if err != nil || d.IsDir() || strings.HasPrefix(name, "Release") || name == "InRelease" {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// withoutSystemd installs in a plain folder, as a container image is made.
func withoutSystemd(t *testing.T, deb string) {
	t.Helper()
	root := t.TempDir()
	must(t, nil, "tar", "-xf", must(t, nil, "./root.sh", "bookworm"), "-C", root, "--exclude=./dev/*")
	must(t, nil, "cp", deb, root+"/root/")
	job := "rm -f /bin/systemd-sysusers /bin/systemd-tmpfiles; set -e; mknod -m 666 /dev/null c 1 3 || true; dpkg -i /root/new.deb; id -nG webgear;" +
		" test -d /var/lib/webgear; webgear version; webgear provision --service; dpkg -P webgear; test ! -e /etc/webgear"
	out := must(t, []string{"DEBIAN_FRONTEND=noninteractive"}, "chroot", root, "/bin/bash", "-c", job)
	if !strings.Contains(out, "webgear video") {
		t.Errorf("groups of the user are missing:\n%s", out)
	}
}

func TestPackageIsTheSameWhereverItIsBuilt(t *testing.T) {
	here := build(t, "amd64", "")
	elsewhere := filepath.Join(t.TempDir(), "some", "other", "place")
	must(t, nil, "git", "clone", "-q", "../..", elsewhere)
	// Only what is committed is the same.
	if status := must(t, nil, "git", "-C", "../..", "status", "--porcelain", "--untracked-files=all"); status != "" {
		t.Logf("not committed:\n%s", status)
		here = must(t, nil, elsewhere+"/packaging/deb/build.sh", "amd64", t.TempDir())
		again := filepath.Join(t.TempDir(), "again")
		must(t, nil, "git", "clone", "-q", "../..", again)
		elsewhere = again
	}
	// Everything else on that machine differs, too.
	env := []string{"TMPDIR=" + t.TempDir(), "LANG=de_DE.UTF-8", "TZ=Asia/Tokyo"}
	if full() { // what was compiled elsewhere is the same, too, but that takes minutes
		env = append(env, "GOCACHE="+t.TempDir())
	}
	there := must(t, env, "sh", "-c", "umask 077; exec \"$0\" amd64 \"$1\"", elsewhere+"/packaging/deb/build.sh", t.TempDir())
	if filepath.Base(here) != filepath.Base(there) || sum(t, here) != sum(t, there) {
		t.Errorf("%s has %x, %s has %x", here, sum(t, here), there, sum(t, there))
	}
}

func sum(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

func TestLintianHasNothingToSayOfOtherArchitectures(t *testing.T) {
	for _, arch := range others() {
		t.Run(arch, func(t *testing.T) { lintian(t, build(t, arch, "")) })
	}
}

func lintian(t *testing.T, deb string) {
	t.Helper()
	out, err := shell(t, nil, "lintian", "--fail-on", "error,warning", "--allow-root", deb)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "N:") { // notes, such as of an override that says why
			t.Error(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestArmPackageChoosesByTheProcessor(t *testing.T) {
	if !full() {
		return
	}
	deb, root := build(t, "armhf", ""), t.TempDir()
	must(t, nil, "dpkg-deb", "-x", deb, root)
	v6, v7 := root+"/usr/libexec/webgear/webgear-armv6", root+"/usr/libexec/webgear/webgear-armv7"
	sysroot := must(t, nil, "sh", "-c", "echo ${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/sysroot-armhf")
	for _, tt := range []struct{ cpu, program string }{{"arm1176", v6}, {"cortex-a7", v7}, {"cortex-a7", v6}} {
		out, err := shell(t, nil, "qemu-arm-static", "-cpu", tt.cpu, "-L", sysroot, tt.program, "version")
		if err != nil || !strings.Contains(out, "linux/arm") {
			t.Errorf("%s on %s: %s%v", filepath.Base(tt.program), tt.cpu, out, err)
		}
	}
	script := must(t, nil, "cat", root+"/usr/bin/webgear")
	for machine, want := range map[string]string{"armv6l": "webgear-armv6", "armv7l": "webgear-armv7", "aarch64": "webgear-armv7"} {
		s := strings.NewReplacer("$(uname -m)", machine, "exec ", "echo ").Replace(script)
		if out := must(t, nil, "sh", "-c", s); !strings.Contains(strings.SplitN(out, "\n", 2)[0], want) {
			t.Errorf("%s: got %q", machine, out)
		}
	}
}
