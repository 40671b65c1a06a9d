// Package stamp numbers and signs the JPEG pictures of the simulated camera, so
// that a test at the far end of the daemon can tell which picture it received
// and that not one byte of it changed on the way.
//
// The stamp is a COM segment right after SOI whose text reads
// "webgear-camsim frame=123 crc32=89abcdef": the picture's number and the
// IEEE CRC-32 of everything that follows the segment. A picture without Huffman
// tables says "nodht" as well; its checksum leaves DHT segments out, because
// whoever passes it on has to add them.
//
// The package knows just enough of JPEG for that. It is pure and safe for
// concurrent use.
package stamp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Reasons for Check to fail. Match with errors.Is.
var (
	// ErrNoStamp: the picture is not one of the simulated camera's.
	ErrNoStamp = errors.New("no stamp")
	// ErrDamaged: the picture was stamped and changed afterwards.
	ErrDamaged = errors.New("checksum differs")
)

const (
	// name opens the text of a stamp.
	name = "webgear-camsim"

	// JPEG markers, ITU-T T.81 table B.1.
	soi = 0xd8
	sos = 0xda
	dht = 0xc4
	com = 0xfe
)

// Picture is a JPEG prepared for stamping, so that the checksum is computed
// once for any number of frames.
type Picture struct {
	rest  []byte // what follows SOI
	crc   uint32
	nodht bool
}

// Prepare takes a whole JPEG, from SOI to EOI. It keeps the slice.
func Prepare(jpeg []byte) (Picture, error) {
	if len(jpeg) < 4 || jpeg[0] != 0xff || jpeg[1] != soi {
		return Picture{}, errors.New("stamp: not a JPEG")
	}
	p := Picture{rest: jpeg[2:]}
	segments, entropy := split(p.rest)
	p.nodht = true
	for _, s := range segments {
		if s[1] == dht {
			p.nodht = false
		}
	}
	p.crc = checksum(segments, entropy, p.nodht)
	return p, nil
}

// Frame returns a new slice with the picture stamped with a number.
func (p Picture) Frame(number uint32) []byte {
	text := make([]byte, 0, 64)
	text = fmt.Appendf(text, "%s frame=%d crc32=%08x", name, number, p.crc)
	if p.nodht {
		text = append(text, " nodht"...)
	}
	out := make([]byte, 0, 6+len(text)+len(p.rest))
	out = append(out, 0xff, soi, 0xff, com)
	out = binary.BigEndian.AppendUint16(out, uint16(2+len(text)))
	out = append(out, text...)
	return append(out, p.rest...)
}

// Put stamps one JPEG. It returns a new slice.
func Put(jpeg []byte, number uint32) ([]byte, error) {
	p, err := Prepare(jpeg)
	if err != nil {
		return nil, err
	}
	return p.Frame(number), nil
}

// Check returns the number of a stamped picture and whether the picture is
// whole. With ErrDamaged the number is still what the stamp says.
func Check(jpeg []byte) (number uint32, err error) {
	if len(jpeg) < 6 || jpeg[0] != 0xff || jpeg[1] != soi || jpeg[2] != 0xff || jpeg[3] != com {
		return 0, ErrNoStamp
	}
	size := int(binary.BigEndian.Uint16(jpeg[4:]))
	if size < 2 || 4+size > len(jpeg) {
		return 0, ErrNoStamp
	}
	fields := strings.Fields(string(jpeg[6 : 4+size]))
	if len(fields) < 3 || fields[0] != name {
		return 0, ErrNoStamp
	}
	n, ok := parse(fields[1], "frame=", 10)
	want, ok2 := parse(fields[2], "crc32=", 16)
	if !ok || !ok2 {
		return 0, ErrNoStamp
	}
	nodht := len(fields) == 4 && fields[3] == "nodht"
	segments, entropy := split(jpeg[4+size:])
	if got := checksum(segments, entropy, nodht); got != want {
		return n, fmt.Errorf("frame %d: %w: %08x instead of %08x over %d bytes", n, ErrDamaged, got, want, len(jpeg)-4-size)
	}
	return n, nil
}

func parse(field, key string, base int) (value uint32, ok bool) {
	digits, ok := strings.CutPrefix(field, key)
	v, err := strconv.ParseUint(digits, base, 32)
	return uint32(v), ok && err == nil
}

// split cuts what follows SOI or the stamp into marker segments, each from its
// 0xff on, and the remainder that starts at SOS or at the first byte that is no
// segment.
func split(b []byte) (segments [][]byte, entropy []byte) {
	for len(b) >= 4 && b[0] == 0xff && b[1] != sos {
		n := 2 + int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			break
		}
		segments = append(segments, b[:n])
		b = b[n:]
	}
	return segments, b
}

func checksum(segments [][]byte, entropy []byte, nodht bool) uint32 {
	var crc uint32
	for _, s := range segments {
		if !nodht || s[1] != dht {
			crc = crc32.Update(crc, crc32.IEEETable, s)
		}
	}
	return crc32.Update(crc, crc32.IEEETable, entropy)
}
