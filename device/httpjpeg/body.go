package httpjpeg

import (
	"bytes"
	"time"

	"github.com/webgear-pi/webgear/device/jpegscan"
)

// bodyReader decides where the picture of one part ends, by three witnesses:
// the length that was announced, the JPEG's own markers, the next delimiter.
type bodyReader struct {
	*partReader
	begun  time.Time
	length int // announced, 0 when there is none to believe
	walker jpegscan.Walker
	from   int // before, there is no delimiter
}

// look tries to find the end in what is there; atEnd says that nothing comes
// after it. ok is false while that cannot be told.
func (c *bodyReader) look(atEnd bool) (pic part, ok bool, err error) {
	if c.length > 0 {
		pic, ok := c.lookByLength(atEnd)
		if ok || c.length > 0 {
			return pic, ok, nil
		}
	}
	return c.lookByMarkers(atEnd)
}

// lookByLength goes by the announced length, and stops to believe in it when
// the bytes say otherwise.
func (c *bodyReader) lookByLength(atEnd bool) (pic part, ok bool) {
	b := c.in.Bytes()
	if len(b) < c.length {
		// A length that is too large would swallow the pictures that follow.
		if atEnd || c.lengths == lengthsUnknown && c.endsEarly(b) {
			c.disbelieve()
		}
		return part{}, false
	}
	data := b[:c.length]
	if endsLikeJPEG(data) {
		return c.take(data, c.length), true
	}
	// No end marker: cut off, padded, or the length is wrong. What follows tells.
	rest := b[c.length:]
	d, found := findDelimiter(rest, 0, c.word, atEnd)
	between := len(bytes.TrimLeft(rest[:d.start], "\r\n"))
	switch {
	case between > 0:
		c.disbelieve()
		return part{}, false
	case found || atEnd:
		return c.take(data, c.length), true
	}
	return part{}, false
}

// endsEarly reports whether the picture is over before a delimiter that comes
// before the announced length.
func (c *bodyReader) endsEarly(b []byte) bool {
	d, found := findDelimiter(b, c.from, c.word, false)
	if !found {
		c.from = d.start
		return false
	}
	if c.walker.Walk(b[:d.line]) == jpegscan.Whole {
		return true
	}
	c.from = d.end // inside of the picture, so it is none
	return false
}

func (c *bodyReader) disbelieve() {
	c.length, c.from, c.lengths = 0, 0, lengthsWrong
}

// lookByMarkers goes by the JPEG's own end, or else by the delimiter.
func (c *bodyReader) lookByMarkers(atEnd bool) (pic part, ok bool, err error) {
	b := c.in.Bytes()
	for {
		d, found := findDelimiter(b, c.from, c.word, atEnd)
		seen := b
		if found {
			seen = b[:d.line]
		}
		switch c.walker.Walk(seen) {
		case jpegscan.Whole:
			return c.takeWalked(b, c.walker.End(), false), true, nil
		case jpegscan.More:
			if found && c.walker.Inside(d.line) {
				c.from = d.end // it only looks like one
				continue
			}
		case jpegscan.Broken:
		}
		if found {
			return c.takeWalked(b, d.start, true), true, nil
		}
		c.from = d.start
		return part{}, false, nil
	}
}

// take gives out a part of which the length is known.
func (c *bodyReader) take(data []byte, n int) part {
	c.byLength = true
	c.in.Skip(n)
	width, height, ok := jpegscan.Size(data)
	return part{data: data, width: width, height: height, corrupt: !ok, begun: c.begun}
}

// takeWalked gives out the first n bytes of b.
func (c *bodyReader) takeWalked(b []byte, n int, corrupt bool) part {
	c.byLength = false
	c.in.Skip(n)
	width, height := c.walker.Size()
	return part{data: b[:n], width: width, height: height, corrupt: corrupt, begun: c.begun}
}

// endsLikeJPEG reports whether data ends in an end marker, padding aside:
// cameras append zeros or a line break.
func endsLikeJPEG(data []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(data, "\x00\r\n"), []byte{0xFF, 0xD9})
}
