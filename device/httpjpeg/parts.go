package httpjpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device/jpegscan"
)

// Limits against senders that are broken or hostile. All are chosen: real
// headers have a few hundred bytes, and a picture of 64 million pixels stays
// below 32 MiB at any sensible quality.
const (
	maxPart     = 32 << 20 // bytes of one part
	maxPreamble = 64 << 10 // bytes before the first delimiter
	maxHeader   = 16 << 10 // bytes of one part's header
	readBytes   = 64 << 10 // read at once: a socket holds about as much
)

// placeholderField marks what another webgear shows in place of live pictures.
const placeholderField = "x-placeholder"

// errMalformed is matched when there is nothing more to be made of a stream.
var errMalformed = errors.New("malformed multipart stream")

// part is one picture as it was received.
type part struct {
	data          []byte // valid until the next call
	width, height int    // in pixels, 0 when not known
	corrupt       bool   // no JPEG, or one that was cut off
	timestamp     string // the part's X-Timestamp, or empty
	// placeholder is the cause for which another webgear has no live picture; its
	// part's X-Placeholder, or empty.
	placeholder string
	begun       time.Time
}

// lengths says whether a stream's Content-Length fields can be believed.
type lengths uint8

const (
	lengthsUnknown lengths = iota
	lengthsRight
	lengthsWrong
)

// partReader takes a multipart stream apart. The JPEG itself is asked where it
// ends whenever the sender says nothing, or something that cannot be: pictures
// are given out as soon as their last byte is there, not when the next
// delimiter comes, which some cameras send with the next picture only.
type partReader struct {
	in       *jpegscan.Window
	word     []byte // the boundary without leading dashes
	maxPart  int    // a field, so that tests need not send as much
	lengths  lengths
	byLength bool // the last part was taken by its length
	first    bool // no delimiter was seen yet
	ended    bool
	splitter *jpegscan.Splitter // when there is no boundary to go by
}

// newPartReader reads parts from r. Without a boundary, JPEG markers decide.
func newPartReader(r io.Reader, boundary string) *partReader {
	p := &partReader{
		in: jpegscan.NewWindow(r, readBytes), word: boundaryWord(boundary), maxPart: maxPart, first: true,
	}
	if len(p.word) == 0 {
		p.scan()
	}
	return p
}

// scan gives the boundary up.
func (p *partReader) scan() { p.splitter = jpegscan.NewSplitter(p.in, p.maxPart) }

// next gives the next picture; parts that are something else are passed over.
// The error is io.EOF when the stream ended between parts, io.ErrUnexpectedEOF
// inside one, matches errMalformed when it is none, and is the reader's own
// otherwise.
func (p *partReader) next(ctx context.Context) (part, error) {
	for {
		if p.splitter == nil {
			if err := p.seek(ctx); err != nil {
				return part{}, err
			}
		}
		if p.splitter != nil {
			return p.nextScanned(ctx)
		}
		h, err := p.header(ctx)
		if err != nil {
			return part{}, unexpected(err)
		}
		if typ, _ := mediaType(h.typ); typ != "" && !isJPEG(typ) {
			p.byLength = false
			continue
		}
		pic, err := p.body(ctx, h)
		if err != nil {
			return part{}, unexpected(err)
		}
		if len(pic.data) == 0 {
			continue
		}
		pic.timestamp, pic.placeholder = h.timestamp, h.placeholder
		return pic, nil
	}
}

func (p *partReader) nextScanned(ctx context.Context) (part, error) {
	data, width, height, err := p.splitter.Next(ctx)
	if err != nil {
		return part{}, err
	}
	return part{data: data, width: width, height: height, begun: time.Now()}, nil
}

// seek goes behind the next delimiter, or gives the boundary up when the stream
// does not begin with one.
func (p *partReader) seek(ctx context.Context) error {
	if p.ended {
		return io.EOF
	}
	junk, atEnd := 0, false
	for {
		b := p.in.Bytes()
		d, found := findDelimiter(b, 0, p.word, atEnd)
		junk += len(bytes.Trim(b[:d.start], "\r\n"))
		if found {
			p.in.Skip(d.end)
			p.ended, p.first = d.final, false
			p.judgeLengths(junk)
			if d.final {
				return io.EOF
			}
			return nil
		}
		if atEnd {
			return io.EOF
		}
		p.in.Skip(d.start)
		switch {
		case p.first && junk > maxPreamble:
			p.scan()
			return nil
		case junk > p.maxPart:
			return fmt.Errorf("%w: no boundary in %d bytes", errMalformed, junk)
		}
		if err := p.in.Fill(ctx); errors.Is(err, io.EOF) {
			atEnd = true
		} else if err != nil {
			return err
		}
	}
}

// judgeLengths learns from what stood between a part and the next delimiter.
func (p *partReader) judgeLengths(junk int) {
	switch {
	case !p.byLength:
	case junk > 0:
		p.lengths = lengthsWrong
	case p.lengths == lengthsUnknown:
		p.lengths = lengthsRight
	}
}

// header holds the fields of a part that matter.
type header struct {
	typ, timestamp, placeholder string
	length                      int // 0 when not given or not to be believed
}

// header reads up to the blank line. Lines that are no fields are left out.
func (p *partReader) header(ctx context.Context) (h header, err error) {
	for size := 0; ; {
		line, err := p.line(ctx, maxHeader-size)
		if err != nil {
			return header{}, err
		}
		size += len(line)
		s := strings.TrimSpace(string(line))
		if s == "" {
			return h, nil
		}
		name, value, _ := strings.Cut(s, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "content-type":
			h.typ = value
		case "content-length":
			if n, err := strconv.Atoi(value); err == nil && n > 0 && n <= p.maxPart {
				h.length = n
			}
		case "x-timestamp":
			h.timestamp = value
		case placeholderField:
			h.placeholder = value
		}
	}
}

// line consumes one line. It is valid until the next read.
func (p *partReader) line(ctx context.Context, limit int) ([]byte, error) {
	for {
		b := p.in.Bytes()
		i := bytes.IndexByte(b, '\n')
		if i > limit || i < 0 && len(b) > limit {
			return nil, fmt.Errorf("%w: header over %d bytes", errMalformed, maxHeader)
		}
		if i >= 0 {
			p.in.Skip(i + 1)
			return b[:i+1], nil
		}
		if err := p.in.Fill(ctx); err != nil {
			return nil, err
		}
	}
}

// body reads the picture of a part.
func (p *partReader) body(ctx context.Context, h header) (part, error) {
	if err := p.skipBlank(ctx); err != nil {
		return part{}, err
	}
	c := bodyReader{partReader: p, begun: time.Now(), length: h.length}
	if p.lengths == lengthsWrong {
		c.length = 0
	}
	for atEnd := false; ; {
		pic, ok, err := c.look(atEnd)
		if ok || err != nil {
			return pic, err
		}
		if len(p.in.Bytes()) > p.maxPart {
			return part{}, fmt.Errorf("%w: part over %d bytes", errMalformed, p.maxPart)
		}
		if atEnd {
			return part{}, io.ErrUnexpectedEOF
		}
		if err := p.in.Fill(ctx); errors.Is(err, io.EOF) {
			atEnd = true
		} else if err != nil {
			return part{}, err
		}
	}
}

// skipBlank passes over blank lines that a sender put behind the header, and
// waits for a byte that is something else.
func (p *partReader) skipBlank(ctx context.Context) error {
	for {
		b := p.in.Bytes()
		rest := bytes.TrimLeft(b, "\r\n")
		p.in.Skip(len(b) - len(rest))
		if len(rest) > 0 {
			return nil
		}
		if err := p.in.Fill(ctx); err != nil {
			return err
		}
	}
}

// unexpected turns the end of the source inside a part into
// io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
