package ffmpeg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxPicture is the largest JPEG that is believed, in bytes. Chosen: twice
	// what 64 million pixels take at a high quality.
	maxPicture = 64 << 20
	// maxPartLines bounds the lines between two pictures. FFmpeg and GStreamer
	// write three or four.
	maxPartLines = 32
)

// partReader reads multipart JPEG as FFmpeg's mpjpeg and GStreamer's
// multipartmux write it: every part has a length.
type partReader struct{ r *bufio.Reader }

// next reads a picture into buf, growing it as needed. io.EOF is the end
// between two pictures, io.ErrUnexpectedEOF the one inside of one.
func (p partReader) next(buf []byte) ([]byte, error) {
	length := -1
	for range maxPartLines {
		line, err := readLine(p.r, maxHeader)
		if err != nil {
			if length >= 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return buf, err
		}
		if line == "" {
			if length < 0 {
				continue // the end of the part before
			}
			buf = sized(buf, length)
			return buf, whole(p.r, buf)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			continue
		}
		length, err = strconv.Atoi(strings.TrimSpace(value))
		if err != nil || length < 1 || length > maxPicture {
			return buf, fmt.Errorf("%w: a picture of %.20q bytes", errFraming, value)
		}
	}
	return buf, fmt.Errorf("%w: no length of a picture in %d lines", errFraming, maxPartLines)
}

// jpegSize finds the size in pixels in a JPEG picture's frame header (ITU-T
// T.81, B.2.2).
func jpegSize(data []byte) (width, height int, err error) {
	errNone := fmt.Errorf("%w: no JPEG picture", errFraming)
	if len(data) < 4 || data[0] != 0xFF || data[1] != 0xD8 {
		return 0, 0, errNone
	}
	for at := 2; at+4 <= len(data); {
		mark := data[at+1]
		switch {
		case data[at] != 0xFF:
			return 0, 0, errNone
		case mark == 0xFF: // fill byte
			at++
			continue
		case mark == 0x01 || mark >= 0xD0 && mark <= 0xD7:
			at += 2
			continue
		case mark == 0xD9 || mark == 0xDA:
			return 0, 0, errNone // the picture itself, without a header before
		}
		length := int(data[at+2])<<8 | int(data[at+3])
		isSOF := mark >= 0xC0 && mark <= 0xCF && mark != 0xC4 && mark != 0xC8 && mark != 0xCC
		if isSOF {
			if length < 7 || at+9 > len(data) {
				return 0, 0, errNone
			}
			height, width = int(data[at+5])<<8|int(data[at+6]), int(data[at+7])<<8|int(data[at+8])
			return width, height, checkSize(width, height)
		}
		at += 2 + length
		if length < 2 {
			return 0, 0, errNone
		}
	}
	return 0, 0, errNone
}

// reader is what both framings have in common.
type reader interface {
	next(buf []byte) ([]byte, error)
}

var (
	_ reader = (*y4mReader)(nil)
	_ reader = partReader{}
)
