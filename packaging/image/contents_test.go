//go:build image

package image_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestImageHoldsNothingItShouldNot(t *testing.T) {
	path := image(t)
	tools := strings.TrimSpace(output(t, "./tools.sh"))
	at := fmt.Sprintf("%s?offset=%d", path, rootMiB<<20)
	inside := func(request string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), tools+"/debugfs", "-R", request, at).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	list := func(dir string) (names []string) {
		for line := range strings.Lines(inside("ls -p " + dir)) {
			if f := strings.Split(line, "/"); len(f) > 5 && f[5] != "." && f[5] != ".." {
				names = append(names, f[5])
			}
		}
		return names
	}
	for _, dir := range []string{
		"/var/lib/apt/lists", "/var/log", "/tmp", "/var/tmp", "/run", "/root", "/home", "/dev", "/boot/firmware", "/var/cache/ldconfig",
		"/etc/NetworkManager/system-connections", "/var/lib/NetworkManager", "/var/backups", "/data",
	} {
		if names := list(dir); len(names) > 0 {
			t.Errorf("%s holds %v", dir, names)
		}
	}
	for _, name := range slices.Concat(list("/etc/ssh"), list("/var/lib/systemd")) {
		if strings.HasPrefix(name, "ssh_host_") || name == "random-seed" || name == "credential.secret" {
			t.Errorf("the image holds %s", name)
		}
	}
	if id := inside("cat /etc/machine-id"); strings.TrimSpace(id) != "uninitialized" {
		t.Errorf("machine-id %q", id)
	}
	if text := inside("cat /etc/dpkg/dpkg.cfg.d/webgear-image"); strings.Contains(text, "unsafe") {
		t.Errorf("dpkg's settings are those of the build:\n%s", text)
	}
	if slices.Contains(list("/usr/bin"), "qemu-aarch64-static") || slices.Contains(list("/"), "webgear.deb") {
		t.Error("something of the build was left")
	}
	for line := range strings.Lines(inside("cat /etc/shadow")) {
		if f := strings.Split(line, ":"); len(f) > 1 && !strings.HasPrefix(f[1], "!") && !strings.HasPrefix(f[1], "*") {
			t.Errorf("%s has a password", f[0])
		}
	}
	var sizes []string
	for line := range strings.Lines(output(t, "sfdisk", "-l", "-o", "Size,Id", path)) {
		if f := strings.Fields(line); len(f) == 2 && (f[1] == "83" || f[1] == "c") {
			sizes = append(sizes, f[0])
		}
	}
	if len(sizes) != 4 || sizes[1] != sizes[2] {
		t.Errorf("partitions %v: want a second root as large as the first", sizes)
	}
}

// A card that held something else, and was written with the help of the block
// map, has file systems without a mistake.
func TestBlockMapNamesAllThatCounts(t *testing.T) {
	path := image(t)
	text, err := os.ReadFile(path + ".bmap")
	if err != nil {
		t.Fatal(err)
	}
	img, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = img.Close() }() // only read
	info, err := img.Stat()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "card")
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the checks below read what was written
	noise := bytes.Repeat([]byte("not zero"), 1<<17)
	for n := int64(0); n < info.Size(); n += int64(len(noise)) {
		if _, err := out.WriteAt(noise[:min(int64(len(noise)), info.Size()-n)], n); err != nil {
			t.Fatal(err)
		}
	}
	ranges := regexp.MustCompile(`chksum="([0-9a-f]+)"> (\d+)(?:-(\d+))? <`).FindAllSubmatch(text, -1)
	for _, m := range ranges {
		from, _ := strconv.ParseInt(string(m[2]), 10, 64)
		last, err := strconv.ParseInt(string(m[3]), 10, 64)
		if err != nil {
			last = from
		}
		h := sha256.New()
		part := io.NewSectionReader(img, from*4096, (last+1-from)*4096)
		if _, err := io.Copy(io.MultiWriter(h, io.NewOffsetWriter(out, from*4096)), part); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != string(m[1]) {
			t.Errorf("blocks %s to %s have the sum %s, not %s", m[2], m[3], got, m[1])
		}
	}
	tools := strings.TrimSpace(output(t, "./tools.sh"))
	for _, at := range []int{rootMiB, dataMiB} {
		output(t, tools+"/e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", to, at<<20))
	}
	fat := filepath.Join(t.TempDir(), "fat")
	output(t, "dd", "if="+to, "of="+fat, "bs=1M", fmt.Sprintf("skip=%d", bootMiB), fmt.Sprintf("count=%d", rootMiB-bootMiB), "status=none")
	output(t, "fsck.vfat", "-n", fat)
	if got := output(t, "mtype", "-i", fat, "::cmdline.txt"); !strings.Contains(got, "root=PARTUUID=") {
		t.Errorf("cmdline.txt is %q", got)
	}
}
