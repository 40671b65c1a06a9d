package m2m

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/webgear-pi/webgear/device/jpegscan"
)

// JPEG markers (ITU-T T.81, table B.1): the byte behind 0xFF.
const (
	markSOF0  = 0xC0
	markSOF3  = 0xC3
	markSOI   = 0xD8
	markEOI   = 0xD9
	markSOS   = 0xDA
	sofLength = 8 // of a frame header without components, its length field included
)

var (
	errNoJPEG  = errors.New("is no JPEG")
	errCut     = errors.New("ends within the picture")
	errNoFrame = errors.New("has no frame header")
)

// finish looks at what an encoder gave for a picture of width by height pixels
// and returns it without what follows the end. It may change the size in it, see
// resize.
func finish(data []byte, width, height int) ([]byte, error) {
	var w jpegscan.Walker
	switch w.Walk(data) {
	case jpegscan.Whole:
	case jpegscan.More:
		return nil, errCut
	default:
		if len(data) > 2 && data[0] == 0xFF && data[1] == markSOI {
			return nil, errCut
		}
		return nil, errNoJPEG
	}
	data = data[:w.End():w.End()]
	if gotW, gotH := w.Size(); gotW == width && gotH == height {
		return data, nil
	}
	if err := resize(data, width, height); err != nil {
		return nil, err
	}
	return data, nil
}

// resize makes the frame header say width and height. An encoder that knows
// whole blocks only says 1088 lines where the picture has 1080. As long as the
// number of blocks is the same, the coded data fits both, and decoders leave out
// what is beyond: that is how the standard deals with sizes that are no multiple
// of a block (ITU-T T.81, A.2.4). Otherwise it is another picture.
func resize(data []byte, width, height int) error {
	at, err := frameHeader(data)
	if err != nil {
		return err
	}
	h := int(binary.BigEndian.Uint16(data[at+1:]))
	w := int(binary.BigEndian.Uint16(data[at+3:]))
	unitW, unitH := 8, 8
	for c := range int(data[at+5]) {
		sampling := int(data[at+6+3*c+1])
		unitW, unitH = max(unitW, 8*(sampling>>4)), max(unitH, 8*(sampling&15))
	}
	if blocks(w, unitW) != blocks(width, unitW) || blocks(h, unitH) != blocks(height, unitH) {
		return fmt.Errorf("is %dx%d pixels", w, h)
	}
	binary.BigEndian.PutUint16(data[at+1:], uint16(height))
	binary.BigEndian.PutUint16(data[at+3:], uint16(width))
	return nil
}

func blocks(side, unit int) int { return (side + unit - 1) / unit }

// frameHeader finds the first byte behind the frame header's length: precision,
// height, width, number of components, three bytes for each. All of them are
// there. data is a whole file.
func frameHeader(data []byte) (int, error) {
	for at := 2; at+4 <= len(data); {
		mark := data[at+1]
		switch {
		case data[at] != 0xFF || mark == markSOS || mark == markEOI:
			return 0, errNoFrame
		case mark == 0xFF: // fill byte
			at++
			continue
		case mark == 0x01 || mark >= 0xD0 && mark <= 0xD7: // TEM and RST have no length
			at += 2
			continue
		}
		length := int(binary.BigEndian.Uint16(data[at+2:]))
		if length < 2 || at+2+length > len(data) {
			return 0, errNoFrame
		}
		if mark >= markSOF0 && mark <= markSOF3 {
			if length < sofLength || length < sofLength+3*int(data[at+9]) {
				return 0, errNoFrame
			}
			return at + 4, nil
		}
		at += 2 + length
	}
	return 0, errNoFrame
}
