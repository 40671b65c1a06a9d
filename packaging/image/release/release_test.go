package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fat makes the front of a FAT32 file system of 64 clusters of 4 KiB.
func fat(used ...int) []byte {
	img := make([]byte, 40*512)
	binary.LittleEndian.PutUint16(img[fatSectorBytes:], 512)
	img[fatSectorsInUnit] = 8
	binary.LittleEndian.PutUint16(img[fatReserved:], 32)
	img[fatCopies] = 2
	binary.LittleEndian.PutUint32(img[fatSectors:], 34+64*8)
	binary.LittleEndian.PutUint32(img[fatSize:], 1)
	for _, n := range used {
		binary.LittleEndian.PutUint32(img[32*512+4*n:], 0x0FFFFFFF)
	}
	return img
}

func TestFATIsUsedWhereItsTableSaysSo(t *testing.T) {
	got, err := fatUsed(bytes.NewReader(fat(0, 1, 2, 5)))
	if err != nil {
		t.Fatal(err)
	}
	const data = 34 * 512
	want := []span{{0, data}, {data, data + 4096}, {data + 3*4096, data + 4*4096}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, img := range map[string][]byte{"empty": nil, "zeros": make([]byte, 512), "short table": fat(2)[:33*512-1]} {
		if got, err := fatUsed(bytes.NewReader(img)); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}

const dump = `Block count:              100
Block size:               1024
Group 0: (Blocks 0-49)
  Free blocks: 10-19, 30
Group 1: (Blocks 50-99)
  Free blocks: 
Group 2: (Blocks 50-99)
  Free blocks: 90-99
`

func TestExt4IsUsedWhereItIsNotFree(t *testing.T) {
	got, err := ext4Used(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	want := []span{{0, 10 * 1024}, {20 * 1024, 30 * 1024}, {31 * 1024, 90 * 1024}, {100 * 1024, 100 * 1024}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, text := range map[string]string{
		"nothing":        "",
		"behind the end": strings.Replace(dump, "90-99", "90-100", 1),
		"backwards":      strings.Replace(dump, "10-19", "19-10", 1),
		"twice":          strings.Replace(dump, ", 30", ", 15", 1),
	} {
		if got, err := ext4Used(strings.NewReader(text)); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}

func TestBlocksAreJoinedAndTheStartIsAmongThem(t *testing.T) {
	got := blocks(3<<20+1, []span{{2 << 20, 2<<20 + 1}, {2<<20 + 4096, 2<<20 + 8192}, {3 << 20, 4 << 20}, {5, 5}})
	want := []span{{0, 256}, {512, 514}, {768, 769}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzExt4(f *testing.F) {
	f.Add(dump)
	f.Fuzz(func(t *testing.T, text string) {
		used, err := ext4Used(strings.NewReader(text))
		if err != nil {
			return
		}
		for i, s := range used {
			if s.to < s.from || i > 0 && s.from < used[i-1].to {
				t.Fatalf("spans %v", used)
			}
		}
	})
}

func FuzzFAT(f *testing.F) {
	f.Add(fat(0, 1, 2, 5))
	f.Fuzz(func(_ *testing.T, img []byte) { _, _ = fatUsed(bytes.NewReader(img)) })
}

func TestEveryFileIsWrittenAndSummed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("x.img", strings.Repeat("a", 4<<20))
	write("x.img.xz", "compressed")
	args := []string{
		"-out", dir, "-name", "x", "-version", "1", "-epoch", "1790000000", "-url", "https://example.org",
		"-packages", write("p", "libc6\t2.41-1\tarm64\tglibc\t2.41-1\n"),
		"-modules", write("m", "webgear: go1.26\n\tdep\texample.org/m\tv1.2.3\th1:x\n"),
		"-ext4", fmt.Sprintf("%d:%s", 2<<20, write("d", dump)),
	}
	if err := run(args, io.Discard); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	sums := read("SHA256SUMS")
	for _, name := range []string{"x.img.bmap", "x.img.xz", "x.spdx.json", "os_list.json"} {
		_, sum, err := fileSum(filepath.Join(dir, name))
		if err != nil || !strings.Contains(sums, sum+"  "+name+"\n") {
			t.Errorf("%s is not in %s (%v)", name, sums, err)
		}
	}
	var list struct {
		OSList []osEntry `json:"os_list"`
	}
	if err := json.Unmarshal([]byte(read("os_list.json")), &list); err != nil {
		t.Fatal(err)
	}
	if e := list.OSList[0]; e.InitFormat != "rpi-preseed" || e.ExtractSize != 4<<20 || e.ReleaseDate != "2026-09-21" {
		t.Errorf("entry %+v", e)
	}
	if bill := read("x.spdx.json"); !strings.Contains(bill, `"pkg:golang/example.org/m@v1.2.3"`) || !strings.Contains(bill, "pkg:deb/debian/libc6@2.41-1?arch=arm64") {
		t.Errorf("list of packages:\n%s", bill)
	}
	if text := read("x.img.bmap"); !strings.Contains(text, "<MappedBlocksCount> 277 </MappedBlocksCount>") {
		t.Errorf("map:\n%s", text)
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"-name", "x"}, {"-ext4", "x"}, {"-fat", "0:/nonexistent"}, {"-name", "x", "-packages", "/nonexistent"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
