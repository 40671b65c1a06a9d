package jpegscan

import (
	"bytes"
	"encoding/binary"
)

// JPEG markers (ITU-T T.81, table B.1): the byte behind 0xFF.
const (
	markTEM   = 0x01
	markSOF0  = 0xC0
	markDHT   = 0xC4
	markJPG   = 0xC8
	markDAC   = 0xCC
	markSOF15 = 0xCF
	markRST0  = 0xD0
	markRST7  = 0xD7
	markSOI   = 0xD8
	markEOI   = 0xD9
	markSOS   = 0xDA
)

// Result is what a [Walker] knows after looking at its data.
type Result uint8

// What the data was found to be.
const (
	// More: a picture so far, and its end is not there yet.
	More Result = iota
	// Whole: a picture with its end.
	Whole
	// Broken: no picture, or one that was cut off.
	Broken
)

// Walker measures one picture. The zero value is ready. It remembers how far it
// came, so looking again at grown data costs only what is new.
type Walker struct {
	at            int // all before is accounted for; beyond the data inside of a segment
	entropy       bool
	sizeOnly      bool
	scans         int
	width, height int
	result        Result
	end           int
}

// Walk looks at data, which begins with the picture and has the bytes of the
// last call in front.
func (w *Walker) Walk(data []byte) Result {
	if w.result != More {
		return w.result
	}
	if w.at == 0 {
		if len(data) < 2 {
			return More
		}
		if data[0] != 0xFF || data[1] != markSOI {
			return w.finish(Broken, 1)
		}
		w.at = 2
	}
	for {
		if w.entropy && !w.walkEntropy(data) {
			return More
		}
		if len(data) < w.at+2 {
			return More
		}
		if data[w.at] != 0xFF {
			return w.finish(Broken, 2)
		}
		mark := data[w.at+1]
		switch {
		case mark == 0xFF: // fill byte
			w.at++
			continue
		case mark == markEOI:
			if w.scans == 0 || w.width == 0 || w.height == 0 {
				return w.finish(Broken, 2)
			}
			return w.finish(Whole, w.at+2)
		case mark == markSOI || mark == 0:
			return w.finish(Broken, w.at) // the picture before was cut off
		case mark == markTEM || mark >= markRST0 && mark <= markRST7:
			w.at += 2
			continue
		}
		if len(data) < w.at+4 {
			return More
		}
		length := int(binary.BigEndian.Uint16(data[w.at+2:]))
		switch {
		case length < 2:
			return w.finish(Broken, 2)
		case isSOF(mark) && w.width == 0:
			if length < 7 {
				return w.finish(Broken, 2)
			}
			if len(data) < w.at+9 {
				return More
			}
			w.height = int(binary.BigEndian.Uint16(data[w.at+5:]))
			w.width = int(binary.BigEndian.Uint16(data[w.at+7:]))
			if w.sizeOnly {
				return More
			}
		case mark == markSOS:
			w.scans++
			w.entropy = true
		}
		w.at += 2 + length
	}
}

// walkEntropy goes on to the marker that ends the entropy-coded data, which is
// any but RST. It reports false when that is not there yet.
func (w *Walker) walkEntropy(data []byte) bool {
	for len(data) >= w.at+2 {
		i := bytes.IndexByte(data[w.at:len(data)-1], 0xFF)
		if i < 0 {
			w.at = len(data) - 1
			return false
		}
		w.at += i
		switch mark := data[w.at+1]; {
		case mark == 0 || mark >= markRST0 && mark <= markRST7:
			w.at += 2
		case mark == 0xFF:
			w.at++
		default:
			w.entropy = false
			return true
		}
	}
	return false
}

func (w *Walker) finish(r Result, end int) Result {
	w.result, w.end = r, end
	return r
}

// End is the length of a Whole picture, or how many bytes of a Broken one can
// be passed over before another may begin. While there is More it is 0.
func (w *Walker) End() int { return w.end }

// Size is the picture's size in pixels, zeros until its frame header was seen.
func (w *Walker) Size() (width, height int) { return w.width, w.height }

// Inside reports whether the byte at offset lies in a marker segment, so that
// it can be anything without meaning anything. It is known for what was walked.
func (w *Walker) Inside(offset int) bool { return !w.entropy && offset < w.at }

// Size reads the size of the picture that data begins with. ok is false when it
// begins with none, or ends before the frame header.
func Size(data []byte) (width, height int, ok bool) {
	w := Walker{sizeOnly: true}
	w.Walk(data)
	return w.width, w.height, w.width > 0 && w.height > 0
}

// isSOF reports whether a marker begins a frame header, which holds the size.
func isSOF(mark byte) bool {
	return mark >= markSOF0 && mark <= markSOF15 && mark != markDHT && mark != markJPG && mark != markDAC
}
