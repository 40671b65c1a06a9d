// Command release writes what is published beside an image of the card: its
// block map, the list of what is in it, the entry for Raspberry Pi Imager, and
// the sums of all files. packaging/image/build.sh calls it.
//
// It owns these formats, and not how the image is made. The same image gives the
// same bytes. Everything runs in the one goroutine of main.
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// release is one image with all that has to be known of it.
type release struct {
	out, name, version, flavour, url string
	epoch                            time.Time
	packages, modules, icon          string
	// used are the parts of the image that have to be written.
	used []span
}

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string, stderr io.Writer) error {
	var r release
	var epoch int64
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&r.out, "out", ".", "`folder` with NAME.img and NAME.img.xz")
	f.StringVar(&r.name, "name", "", "`name` of the image")
	f.StringVar(&r.version, "version", "", "`version` of webgear")
	f.StringVar(&r.flavour, "flavour", "debian", "`flavour` of the image")
	f.StringVar(&r.url, "url", "", "`address` of the folder that it is going to be in")
	f.Int64Var(&epoch, "epoch", 0, "`seconds` since 1970 of the release")
	f.StringVar(&r.packages, "packages", "", "`file` with the packages, from dpkg-query")
	f.StringVar(&r.modules, "modules", "", "`file` with the Go modules, from go version -m")
	f.StringVar(&r.icon, "icon", "", "`file` with the picture, a PNG, that Imager shows")
	f.Func("fat", "`OFFSET:FILE` of a FAT32 file system in the image", func(s string) error { return r.add(s, fatUsed) })
	f.Func("ext4", "`OFFSET:FILE` of what dumpe2fs says of an ext4 file system in the image", func(s string) error { return r.add(s, ext4Used) })
	if err := f.Parse(args); err != nil {
		return err
	}
	if r.name == "" || r.packages == "" || f.NArg() > 0 {
		return errors.New("name and packages are needed, and nothing else")
	}
	r.epoch = time.Unix(epoch, 0).UTC()
	return r.write()
}

// add notes the used parts of a file system.
func (r *release) add(arg string, used func(io.ReaderAt) ([]span, error)) error {
	at, path, ok := strings.Cut(arg, ":")
	offset, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok {
		return fmt.Errorf("%q is not OFFSET:FILE", arg)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	spans, err := used(f)
	if err != nil {
		return fmt.Errorf("used parts of %s: %w", path, err)
	}
	for _, s := range spans {
		r.used = append(r.used, span{s.from + offset, s.to + offset})
	}
	return nil
}

// write writes all files.
func (r *release) write() error {
	raw := filepath.Join(r.out, r.name+".img")
	img, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer func() { _ = img.Close() }() // only read
	info, err := img.Stat()
	if err != nil {
		return err
	}
	text, err := blockMap(img, info.Size(), r.used)
	if err != nil {
		return fmt.Errorf("block map: %w", err)
	}
	bill, err := r.bill()
	if err != nil {
		return fmt.Errorf("list of packages: %w", err)
	}
	list, err := r.osList(raw)
	if err != nil {
		return fmt.Errorf("entry for the imager: %w", err)
	}
	files := []struct {
		name string
		data []byte
	}{{r.name + ".img.bmap", text}, {r.name + ".spdx.json", bill}, {"os_list.json", list}}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(r.out, f.name), f.data, 0o644); err != nil { //nolint:gosec // to be published
			return err
		}
	}
	var sums strings.Builder
	for _, name := range []string{r.name + ".img.bmap", r.name + ".img.xz", r.name + ".spdx.json", "os_list.json"} {
		_, sum, err := fileSum(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o644) //nolint:gosec // to be published
}

// fileSum is the size and the SHA-256 of a file.
func fileSum(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, fmt.Sprintf("%x", h.Sum(nil)), err
}
