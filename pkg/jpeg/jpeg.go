// Package jpeg looks after JPEG files as cameras make them: it finds out size
// and sampling, refuses what is damaged, trims padding and adds the Huffman
// tables that Motion-JPEG cameras leave out. It reads markers only; pixels are
// neither decoded nor checked.
//
// The functions are pure and safe for concurrent use. What they accept,
// image/jpeg and browsers can open.
package jpeg

import (
	"errors"
	"fmt"
)

// Kinds of damage. Match with errors.Is; the error's text names the place.
var (
	// ErrEmpty: nothing, or too little to be a picture.
	ErrEmpty = errors.New("empty")
	// ErrNotJPEG: the data is something else.
	ErrNotJPEG = errors.New("not a JPEG picture")
	// ErrTruncated: the beginning is fine, the end is missing.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed: the markers contradict themselves or the standard.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported: correct, but of a kind that browsers do not show, such as
	// lossless or 12-bit JPEG.
	ErrUnsupported = errors.New("unsupported kind of JPEG")
)

// MinSize is the smallest number of bytes taken for a picture: some cameras send
// buffers of a few bytes while they start. Chosen: one 8x8 block and the tables it
// needs take about as much.
const MinSize = 128

// Info is what the markers tell about a picture.
type Info struct {
	// Width and Height are in pixels, never 0.
	Width, Height int
	// Components is 1 for grey pictures, 3 for colour.
	Components int
	// Sampling is the usual name of the chroma subsampling, such as "4:2:0";
	// "4:0:0" for grey pictures.
	Sampling string
	// Progressive is set for pictures that build up in several scans.
	Progressive bool
	// HasHuffman tells whether Huffman tables stand before the first scan.
	HasHuffman bool
}

// Picture is a complete JPEG file and what its markers tell.
type Picture struct {
	Info
	// Data goes from SOI to EOI and includes Huffman tables. What Clean gives shares
	// no memory with the source.
	Data []byte
	// Trimmed counts the bytes after the end of the picture that were left out.
	Trimmed int
	// Completed is set when the end marker was missing and was added.
	Completed bool
	// Tables is set when the Huffman tables were missing and were added.
	Tables bool
}

// Clean checks the picture in src and returns a complete copy of it; an intact
// one is copied byte for byte. src may be memory lent by a driver.
//
// The picture must begin at the first byte: no camera is known to pad in front.
// Zeros behind the end are padding, other bytes behind the last EOI are left
// out. A picture that ends in two zeros or more without an EOI gets one, since
// some cameras overwrite it with padding; without those zeros it counts as
// truncated. Missing Huffman tables are put before the frame header.
func Clean(src []byte) (Picture, error) { return clean(src, true) }

// Adopt is Clean for pictures in memory that nobody else writes to: an intact
// one is not copied, and Data is a part of src.
func Adopt(src []byte) (Picture, error) { return clean(src, false) }

func clean(src []byte, always bool) (Picture, error) {
	h, err := scan(src)
	if err != nil {
		return Picture{}, err
	}
	end, hasEOI := findEnd(src, h.scanStart)
	if !hasEOI && (len(src)-end < 2 || end == h.scanStart) {
		return Picture{}, fail(ErrTruncated, src, end, "no end marker")
	}
	size := end
	if !hasEOI {
		size += 2
	}
	if size < MinSize {
		return Picture{}, fail(ErrEmpty, src, end, "a picture has at least %d bytes", MinSize)
	}
	if h.info.HasHuffman && hasEOI && !always {
		return Picture{Info: h.info, Data: src[:end:end], Trimmed: len(src) - end}, nil
	}
	if h.info.HasHuffman && hasEOI {
		// make and copy side by side: the compiler then skips the zeroing.
		data := make([]byte, size)
		copy(data, src)
		return Picture{Info: h.info, Data: data, Trimmed: len(src) - end}, nil
	}
	p := Picture{Info: h.info, Trimmed: len(src) - end, Completed: !hasEOI, Tables: !h.info.HasHuffman}
	if p.Tables {
		size += len(standardTables)
		p.HasHuffman = true
	}
	p.Data = make([]byte, 0, size)
	p.Data = append(p.Data, src[:h.sofStart]...)
	if p.Tables {
		p.Data = append(p.Data, standardTables...)
	}
	p.Data = append(p.Data, src[h.sofStart:end]...)
	if p.Completed {
		p.Data = append(p.Data, 0xff, mEOI)
	}
	return p, nil
}

// Header reads the markers up to the first scan. It does not look for the end
// of the picture.
func Header(data []byte) (Info, error) {
	h, err := scan(data)
	return h.info, err
}

// findEnd returns where the picture ends: behind its EOI if there is one,
// otherwise where the padding begins. An intact picture costs two comparisons.
func findEnd(src []byte, scanStart int) (end int, hasEOI bool) {
	end = len(src)
	for end > scanStart && src[end-1] == 0 {
		end--
	}
	// At least one byte of picture data must precede the EOI. FF D9 cannot be
	// part of that data: an FF there is followed by 00 or a restart number.
	for i := end; i > scanStart+2; i-- {
		if src[i-1] == mEOI && src[i-2] == 0xff {
			return i, true
		}
	}
	// A byte FF of picture data is stored as FF 00: this zero is no padding.
	if end > scanStart && end < len(src) && src[end-1] == 0xff {
		end++
	}
	return end, false
}

// fail builds the error for a place in the data.
func fail(kind error, data []byte, pos int, format string, args ...any) error {
	return fmt.Errorf("jpeg byte %d of %d: %w: %s", pos, len(data), kind, fmt.Sprintf(format, args...))
}
