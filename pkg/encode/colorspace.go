package encode

import (
	"fmt"
	"strings"
)

// Colorspace is an order of bytes in a pixel, named as the setting
// jpeg_compression_colorspace does. X and A are ignored: JPEG has no
// transparency.
type Colorspace uint8

// The orders there are; the zero value is the default. CMYK holds amounts of
// ink, 255 being all of it, and becomes an ordinary colour picture, since
// browsers do not agree on JPEG files in CMYK.
const (
	BGR Colorspace = iota
	RGB
	RGBX
	BGRX
	XBGR
	XRGB
	GRAY
	RGBA
	BGRA
	ABGR
	ARGB
	CMYK
)

// colorspaceNames stand in the order of the constants.
var colorspaceNames = [...]string{ //nolint:gochecknoglobals // a constant table; Go has no constant arrays
	"BGR", "RGB", "RGBX", "BGRX", "XBGR", "XRGB", "GRAY", "RGBA", "BGRA", "ABGR", "ARGB", "CMYK",
}

// String returns the name in capitals.
func (c Colorspace) String() string {
	if int(c) < len(colorspaceNames) {
		return colorspaceNames[c]
	}
	return fmt.Sprintf("Colorspace(%d)", uint8(c))
}

// ParseColorspace accepts a name in any case, with any white space in and
// around it. With an error comes BGR, the default.
func ParseColorspace(s string) (Colorspace, error) {
	name := strings.ToUpper(strings.Join(strings.Fields(s), ""))
	for i, n := range colorspaceNames {
		if n == name {
			return Colorspace(i), nil
		}
	}
	return BGR, fmt.Errorf("unknown colorspace %q: use one of %s", s, strings.Join(colorspaceNames[:], ", "))
}

// bytes per pixel, 0 when there is no such order.
func (c Colorspace) bytes() int {
	switch {
	case c == GRAY:
		return 1
	case c == BGR || c == RGB:
		return 3
	case int(c) < len(colorspaceNames):
		return 4
	default:
		return 0
	}
}

// reader returns a function that reads pixel x of a row.
func (c Colorspace) reader() func(row []byte, x int) (r, g, b byte) {
	order := func(size, r, g, b int) func([]byte, int) (byte, byte, byte) {
		return func(row []byte, x int) (byte, byte, byte) {
			p := row[size*x:]
			return p[r], p[g], p[b]
		}
	}
	switch c {
	case RGB:
		return order(3, 0, 1, 2)
	case RGBX, RGBA:
		return order(4, 0, 1, 2)
	case BGRX, BGRA:
		return order(4, 2, 1, 0)
	case XBGR, ABGR:
		return order(4, 3, 2, 1)
	case XRGB, ARGB:
		return order(4, 1, 2, 3)
	case CMYK:
		return func(row []byte, x int) (byte, byte, byte) {
			p := row[4*x:]
			light := 255 - int(p[3])
			ink := func(v byte) byte { return byte(((255-int(v))*light + 127) / 255) }
			return ink(p[0]), ink(p[1]), ink(p[2])
		}
	default:
		return order(3, 2, 1, 0)
	}
}
