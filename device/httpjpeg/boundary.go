package httpjpeg

import (
	"bytes"
	"strings"
)

// maxBoundary is the longest boundary word that is taken seriously, in bytes.
// RFC 2046 section 5.1.1 allows 70.
const maxBoundary = 200

// mediaType takes a Content-Type field apart. Cameras write it in ways that
// mime.ParseMediaType refuses: unbalanced quotes, separators in the bare word.
func mediaType(field string) (typ, boundary string) {
	typ, params, _ := strings.Cut(field, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(p, "=")
		if ok && boundary == "" && strings.EqualFold(strings.TrimSpace(name), "boundary") {
			boundary = strings.TrimSpace(strings.Trim(strings.TrimSpace(value), `"'`))
		}
	}
	return strings.ToLower(strings.TrimSpace(typ)), boundary
}

// isJPEG reports whether a media type without parameters is a JPEG picture.
func isJPEG(typ string) bool {
	switch typ {
	case "image/jpeg", "image/jpg", "image/pjpeg", "image/x-jpeg":
		return true
	}
	return false
}

// boundaryWord is a boundary without its leading dashes: cameras announce them
// or not, and send two more or not. It is empty when there is nothing to go by.
func boundaryWord(boundary string) []byte {
	word := strings.TrimLeft(boundary, "-")
	if len(word) > maxBoundary || strings.ContainsAny(word, "\r\n") {
		return nil
	}
	return []byte(word)
}

// delimiter is a line that separates parts.
type delimiter struct {
	start, end int  // with the line breaks around it
	line       int  // where it begins without the line break before it
	final      bool // the stream ends here
}

// findDelimiter looks for the boundary word behind two dashes or at the
// beginning of a line, with the line's end behind it; atEnd says that nothing
// comes after b. Without one, start is how much of b can never belong to one.
func findDelimiter(b []byte, from int, word []byte, atEnd bool) (d delimiter, found bool) {
	for {
		i := bytes.Index(b[from:], word)
		if i < 0 {
			// The word may have begun, and dashes before it. The byte before
			// those stays as well: it tells whether they begin a line.
			keep := max(from, len(b)-len(word)+1)
			for keep > from && (b[keep-1] == '-' || b[keep-1] == '\n' || b[keep-1] == '\r') {
				keep--
			}
			keep = max(from, keep-1)
			return delimiter{start: keep}, false
		}
		at := from + i
		d := delimiter{start: at, end: at + len(word)}
		for d.start > 0 && b[d.start-1] == '-' {
			d.start--
		}
		d.line = d.start
		dashes := at - d.start
		begins := d.start == 0 || b[d.start-1] == '\n'
		if dashes < 2 && !begins {
			from = at + 1
			continue
		}
		if begins && d.start > 0 {
			d.start--
			if d.start > 0 && b[d.start-1] == '\r' {
				d.start--
			}
		}
		switch end, final, r := lineEnd(b[d.end:], atEnd); r {
		case isEnd:
			d.end, d.final = d.end+end, final
			return d, true
		case mayBeEnd:
			return delimiter{start: d.start}, false
		case isNoEnd:
			from = at + 1
		}
	}
}

type verdict uint8

const (
	isNoEnd verdict = iota
	mayBeEnd
	isEnd
)

// lineEnd measures what may stand between the boundary word and the next line.
func lineEnd(b []byte, atEnd bool) (n int, final bool, v verdict) {
	undecided := mayBeEnd
	if atEnd {
		undecided = isEnd
	}
	if len(b) > 0 && b[0] == '-' {
		if len(b) == 1 {
			return 1, false, undecided
		}
		if b[1] != '-' {
			return 0, false, isNoEnd
		}
		final, n = true, 2
	}
	for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
		n++
	}
	switch {
	case n == len(b):
		return n, final, undecided
	case b[n] == '\n':
		return n + 1, final, isEnd
	case b[n] != '\r':
		return 0, false, isNoEnd
	case n+1 == len(b):
		return n + 1, final, undecided
	case b[n+1] == '\n':
		return n + 2, final, isEnd
	}
	return 0, false, isNoEnd
}
