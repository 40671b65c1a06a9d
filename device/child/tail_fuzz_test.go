package child

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzTail reads what a program says. However much it is, what is kept is
// bounded, one line each, and can be shown.
func FuzzTail(f *testing.F) {
	f.Add([]byte("ffmpeg version 5\nframe= 1\rframe= 2\r\nConversion failed!\n"), uint8(0))
	f.Add(bytes.Repeat([]byte("x"), 3000), uint8(7))
	f.Add([]byte(strings.Repeat("a\n", 50)), uint8(1))
	f.Add([]byte("\xff\xfe\x00\n\r\r\n \t \n"), uint8(1))
	f.Fuzz(func(t *testing.T, said []byte, chunk uint8) {
		all := newTail(Spec{})
		all.collect(bytes.NewReader(said))
		lines := all.all()
		if len(lines) > keptLines {
			t.Errorf("%d lines", len(lines))
		}
		for _, l := range lines {
			if len(l) == 0 || len(l) > maxLine || strings.ContainsAny(l, "\r\n") || !utf8.ValidString(l) {
				t.Errorf("kept %q", l)
			}
		}
		// It does not matter in what pieces it comes.
		pieces := newTail(Spec{})
		if chunk%2 == 0 {
			pieces.collect(iotest.HalfReader(bytes.NewReader(said)))
		} else {
			pieces.collect(iotest.OneByteReader(bytes.NewReader(said)))
		}
		if got := pieces.all(); strings.Join(got, "\n") != strings.Join(lines, "\n") {
			t.Errorf("in pieces %q, at once %q", got, lines)
		}
	})
}
