package firstboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how an editor wrote a file.
type encoding struct {
	// name is empty for UTF-8, which needs no mention.
	name string
	bom  bool
	crlf bool
}

// Byte order marks.
const (
	bomUTF8  = "\xef\xbb\xbf"
	bomUTF16 = "\xff\xfe" // little endian, what Windows calls Unicode
	bomBig   = "\xfe\xff"
)

// windows1252 are the characters 0x80 to 0x9f of Windows-1252, which Western
// editors on Windows wrote before UTF-8; five codes are unused. All others
// equal those of ISO 8859-1, Latin-1.
const windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"

// decode makes text with plain line ends of what an editor wrote. Bytes that
// are no UTF-8 are taken as Windows-1252; then the names and passwords become
// UTF-8, which is what access points use.
func decode(data []byte) (string, encoding, error) {
	var e encoding
	var text string
	switch {
	case bytes.HasPrefix(data, []byte(bomUTF8)):
		e.bom = true
		data = data[len(bomUTF8):]
	case bytes.HasPrefix(data, []byte(bomUTF16)):
		e.name, text = "UTF-16", wide(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte(bomBig)):
		e.name, text = "UTF-16", wide(data[2:], binary.BigEndian)
	}
	if e.name == "" {
		if utf8.Valid(data) {
			text = string(data)
		} else {
			e.name, text = "Windows-1252 (Latin-1)", narrow(data)
		}
	}
	text = strings.TrimLeft(text, "\ufeff") // some editors add a mark to a mark
	e.crlf = strings.Contains(text, "\r\n")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for i, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return "", e, &lineError{1 + strings.Count(text[:i], "\n"), fmt.Errorf("holds the character %U, which is no text", r)}
		}
	}
	return text, e, nil
}

// encode is the way back. What was no UTF-8 gets a mark that editors know it by.
func (e encoding) encode(text string) []byte {
	if e.crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if e.bom || e.name != "" {
		text = bomUTF8 + text
	}
	return []byte(text)
}

func wide(data []byte, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(data)/2)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units))
}

func narrow(data []byte) string {
	upper := []rune(windows1252)
	var b strings.Builder
	for _, c := range data {
		if c >= 0x80 && c <= 0x9f {
			b.WriteRune(upper[c-0x80])
		} else {
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

// lineError is a mistake in one line.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

// lineOf is the line that an error names, or 1.
func lineOf(err error) int {
	if le, ok := errors.AsType[*lineError](err); ok {
		return le.line
	}
	return 1
}

// cause is the error without its line.
func cause(err error) error {
	if le, ok := errors.AsType[*lineError](err); ok {
		return le.err
	}
	return err
}

// scrub keeps secrets out of what a parser says about a text: when any value
// stands in the message, the message is of no use to anybody else.
func scrub(message, text string) string {
	message = strings.Join(strings.Fields(message), " ")
	for line := range strings.Lines(text) {
		i := strings.IndexAny(line, ":=")
		if i < 0 || !isSecretName(line[:i]) {
			continue
		}
		for _, word := range strings.FieldsFunc(line[i+1:], func(r rune) bool { return strings.ContainsRune(" \t\n\"',{}[]#:=&*!|>", r) }) {
			if len(word) >= minScrubbed && strings.Contains(message, word) {
				return "cannot be read"
			}
		}
	}
	return message
}

// minScrubbed is the length of the shortest piece that is looked for, in bytes;
// chosen: shorter ones stand in every sentence and tell nothing.
const minScrubbed = 3

// isSecretName says whether a line with such a name may hold a secret.
func isSecretName(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "password") || strings.Contains(name, "token") || strings.Contains(name, "source") || strings.Contains(name, "psk")
}
