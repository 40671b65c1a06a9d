package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// blockSize is that of the map, in bytes; the one that bmaptool makes.
const blockSize = 4096

// span is a part of the image, in bytes, without its end.
type span struct{ from, to int64 }

// Fields of the first sector of FAT32, by their offsets (Microsoft FAT
// specification 1.03, section 3).
const (
	fatSectorBytes   = 11
	fatSectorsInUnit = 13
	fatReserved      = 14
	fatCopies        = 16
	fatSectors       = 32
	fatSize          = 36
	fatBootBytes     = 64
)

// maxFAT bounds what is read of a table, in bytes; chosen: that of 128 GiB.
const maxFAT = 64 << 20

// fatUsed finds the parts of a FAT32 file system that are in use: everything in
// front of the data, and the clusters that the table names. Those that are not
// hold nothing, whatever was on the card.
func fatUsed(r io.ReaderAt) ([]span, error) {
	boot := make([]byte, fatBootBytes)
	if _, err := r.ReadAt(boot, 0); err != nil {
		return nil, err
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(boot[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(boot[at:])) }
	sector, unit := u16(fatSectorBytes), int64(boot[fatSectorsInUnit])
	start, size := u16(fatReserved)*sector, u32(fatSize)*sector
	if sector == 0 || unit == 0 || size == 0 || size > maxFAT {
		return nil, errors.New("no FAT32 file system")
	}
	table := make([]byte, size)
	if _, err := r.ReadAt(table, start); err != nil {
		return nil, err
	}
	cluster := sector * unit
	data := start + int64(boot[fatCopies])*size
	used := []span{{0, data}}
	const first = 2 // the first two entries are no clusters
	last := min((u32(fatSectors)*sector-data)/cluster, size/4-first)
	for n := range last {
		if binary.LittleEndian.Uint32(table[4*(n+first):])&0x0FFFFFFF != 0 {
			used = append(used, span{data + n*cluster, data + (n+1)*cluster})
		}
	}
	return used, nil
}

var (
	ext4Count = regexp.MustCompile(`(?m)^Block count:\s+(\d+)$`)
	ext4Size  = regexp.MustCompile(`(?m)^Block size:\s+(\d+)$`)
	ext4Free  = regexp.MustCompile(`(?m)^  Free blocks: (.*)$`)
)

// ext4Used finds the parts of an ext4 file system that are in use, in the text
// of dumpe2fs. That a block holds only zeros does not count: a table of inodes
// has to be zeros on the card, too.
func ext4Used(r io.ReaderAt) ([]span, error) {
	data, err := io.ReadAll(io.NewSectionReader(r, 0, math.MaxInt64))
	if err != nil {
		return nil, err
	}
	text := string(data)
	number := func(re *regexp.Regexp) int64 {
		m := re.FindStringSubmatch(text)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseInt(m[1], 10, 64) // digits
		return n
	}
	count, size := number(ext4Count), number(ext4Size)
	if count == 0 || size == 0 {
		return nil, errors.New("this is not what dumpe2fs writes")
	}
	var used []span
	next := int64(0)
	for _, m := range ext4Free.FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq(m[1], ", ") {
			if part == "" {
				continue
			}
			from, to, ok := strings.Cut(part, "-")
			if !ok {
				to = from
			}
			a, errA := strconv.ParseInt(from, 10, 64)
			b, errB := strconv.ParseInt(to, 10, 64)
			if errA != nil || errB != nil || a < next || b < a || b >= count {
				return nil, fmt.Errorf("free blocks %q make no sense", part)
			}
			used = append(used, span{next * size, a * size})
			next = b + 1
		}
	}
	return append(used, span{next * size, count * size}), nil
}

// blocks are the numbers of the blocks in use, joined. The first megabyte, with
// the partition table, always is.
func blocks(size int64, used []span) []span {
	used = append(slices.Clone(used), span{0, 1 << 20})
	slices.SortFunc(used, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var all []span
	for _, s := range used {
		s.from, s.to = s.from/blockSize, (min(s.to, size)+blockSize-1)/blockSize
		if s.to <= s.from {
			continue
		}
		if n := len(all); n > 0 && s.from <= all[n-1].to {
			all[n-1].to = max(all[n-1].to, s.to)
		} else {
			all = append(all, s)
		}
	}
	return all
}

// emptySum stands in the map where its own sum goes, which is made with it.
const emptySum = "0000000000000000000000000000000000000000000000000000000000000000"

// blockMap is the image's map in the format of bmaptool, version 2.0.
func blockMap(img io.ReaderAt, size int64, used []span) ([]byte, error) {
	all := blocks(size, used)
	mapped := int64(0)
	for _, s := range all {
		mapped += s.to - s.from
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n  <ImageSize> %d </ImageSize>\n  <BlockSize> %d </BlockSize>\n"+
		"  <BlocksCount> %d </BlocksCount>\n  <MappedBlocksCount> %d </MappedBlocksCount>\n  <ChecksumType> sha256 </ChecksumType>\n"+
		"  <BmapFileChecksum> %s </BmapFileChecksum>\n  <BlockMap>\n", size, blockSize, (size+blockSize-1)/blockSize, mapped, emptySum)
	for _, s := range all {
		h := sha256.New()
		from, to := s.from*blockSize, min(s.to*blockSize, size)
		if _, err := io.Copy(h, bufio.NewReaderSize(io.NewSectionReader(img, from, to-from), 1<<20)); err != nil {
			return nil, err
		}
		blocks := fmt.Sprint(s.from)
		if s.to-s.from > 1 {
			blocks = fmt.Sprintf("%d-%d", s.from, s.to-1)
		}
		fmt.Fprintf(&b, "    <Range chksum=\"%x\"> %s </Range>\n", h.Sum(nil), blocks)
	}
	b.WriteString("  </BlockMap>\n</bmap>\n")
	sum := fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
	return bytes.Replace(b.Bytes(), []byte(emptySum), []byte(sum), 1), nil
}
