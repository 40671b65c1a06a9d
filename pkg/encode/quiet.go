package encode

import "bytes"

// quiet makes FFmpeg keep quiet about a flawless picture, and returns it.
//
// When FFmpeg looks at a stream for the first time it skips the entropy-coded
// data, and steps one byte too far when that holds no stuffed FF 00, as in a
// very flat picture: it lands behind the first byte of the end marker and warns
// "EOI missing, emulating" (seen with 5.1.9; the same bytes decode without a
// word later on). An empty comment before the end marker gives it something
// harmless to step into. Every decoder skips comments; the cost is four bytes, in
// flat pictures only.
func quiet(picture []byte) []byte {
	scan := bytes.Index(picture, []byte{0xff, 0xda}) // our own encoders put nothing before it that looks like it
	if scan < 0 || bytes.Contains(picture[scan:], []byte{0xff, 0x00}) {
		return picture
	}
	end := len(picture) - 2
	out := make([]byte, 0, len(picture)+4)
	out = append(out, picture[:end]...)
	return append(out, 0xff, 0xfe, 0x00, 0x02, 0xff, 0xd9)
}
