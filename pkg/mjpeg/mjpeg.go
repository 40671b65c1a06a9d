// Package mjpeg knows the bytes of a Motion-JPEG stream over HTTP: a
// multipart/x-mixed-replace body (RFC 2046 section 5.1) with one JPEG per part.
// [AppendHead] and [Encode] make them; device/httpjpeg takes those of others apart.
//
// The package knows neither sockets nor a web framework: who writes the bytes,
// and how long that may take, is the server's business.
//
// An [Encoded] part never changes and is shared by all viewers.
//
// The form is the strictest that all known clients take: every part has a
// Content-Length in canonical spelling (go2rtc, Mainsail and motionEye need
// it), and the delimiter follows the picture at once, because browsers show a
// picture only when they saw what comes after it. Chrome wants even more, see
// [AppendAdvance] and [Ahead].
package mjpeg

import (
	"strconv"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// Boundary separates the parts. WebGear's word, which client programs may have
// learned by heart.
const Boundary = "frame"

// ContentType is the media type of the stream. The boundary stands unquoted and
// after one space, as in RFC 2046: curl, FFmpeg, GStreamer, OpenCV, Chromium and
// Go's mime package take it so, and others go by the first delimiter.
const ContentType = "multipart/x-mixed-replace; boundary=" + Boundary

const (
	firstDelimiter = "--" + Boundary + "\r\n"
	delimiter      = "\r\n--" + Boundary + "\r\n"
	closing        = "\r\n--" + Boundary + "--\r\n"
	// advance is the header of a part whose picture does not exist yet.
	advance = "Content-Type: image/jpeg\r\n\r\n"
	// mark is the name of the header field of placeholders.
	mark = "X-Placeholder"
)

// Field is one header field.
type Field struct {
	Name, Value string
}

// Fields returns the response fields that keep browsers and proxies from
// storing, sharing or delaying the pictures.
func Fields() []Field {
	return []Field{
		{"Connection", "close"},
		{"Cache-Control", "no-store, no-cache, must-revalidate, max-age=0"},
		{"Pragma", "no-cache"},
		{"X-Accel-Buffering", "no"}, // nginx collects pictures otherwise
		{"Content-Type", ContentType},
	}
}

// AppendHead appends everything that comes before the first part: status line,
// fields and the first delimiter. The status line says HTTP/1.1 when http11 is
// set, HTTP/1.0 otherwise; in both versions the body ends with the connection.
// The extra fields come first.
func AppendHead(dst []byte, http11 bool, extra ...Field) []byte {
	if http11 {
		dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	} else {
		dst = append(dst, "HTTP/1.0 200 OK\r\n"...)
	}
	for _, f := range extra {
		dst = appendField(dst, f.Name, f.Value)
	}
	for _, f := range Fields() {
		dst = appendField(dst, f.Name, f.Value)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, firstDelimiter...)
}

// AppendAdvance appends the header of the first part, for a viewer that gets
// headers in advance. It follows AppendHead.
//
// Chrome shows a picture when it has seen the end of the next part's header
// (third_party/blink/renderer/core/loader/resource/multipart_image_resource_parser.cc,
// ParseHeaders), so one frame late. Sent in advance, the header cannot tell the
// length nor the time of the picture.
func AppendAdvance(dst []byte) []byte { return append(dst, advance...) }

// Encoded is one picture as it goes over the wire, made once and shared by all
// viewers. Read only.
type Encoded struct {
	// Frame is the picture; its Data is sent between header and trailer.
	Frame *device.Frame

	header, delimiter, closing, advance, ahead []byte
}

// Encode makes the part for f. It does not copy the picture.
func Encode(f *device.Frame) *Encoded {
	// One allocation holds all pieces; 512 bytes is enough for the largest
	// numbers and the longest cause code.
	b := make([]byte, 0, 512)
	b = append(b, "Content-Type: image/jpeg\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(f.Data)), 10)
	b = append(b, "\r\nX-Timestamp: "...)
	b = appendTimestamp(b, f)
	b = append(b, "\r\nX-Sequence: "...)
	b = strconv.AppendUint(b, f.Seq, 10)
	b = append(b, "\r\n"...)
	if cause := token(f.Placeholder); cause != "" {
		b = appendField(b, mark, cause)
	}
	b = append(b, "\r\n"...)
	h := len(b)
	b = append(b, delimiter...)
	d := len(b)
	b = append(b, closing...)
	c := len(b)
	b = append(b, delimiter...)
	b = append(b, advance...)
	a := len(b)
	b = append(b, delimiter...)
	b = append(b, "Content-Type: image/jpeg\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(Room(len(f.Data))), 10)
	b = append(b, "\r\n\r\n"...)
	return &Encoded{
		Frame: f, header: b[:h:h], delimiter: b[h:d:d], closing: b[d:c:c], advance: b[c:a:a], ahead: b[a:len(b):len(b)],
	}
}

// AppendTo appends the pieces of the part to dst, in order, for one vectored
// write. The last part of a stream is closed by the final delimiter.
func (e *Encoded) AppendTo(dst [][]byte, final bool) [][]byte {
	trailer := e.delimiter
	if final {
		trailer = e.closing
	}
	return append(dst, e.header, e.Frame.Data, trailer)
}

// AppendAdvancedTo is AppendTo for a viewer that has the header of this part
// already and gets the next one's with it.
func (e *Encoded) AppendAdvancedTo(dst [][]byte, final bool) [][]byte {
	trailer := e.advance
	if final {
		trailer = e.closing
	}
	return append(dst, e.Frame.Data, trailer)
}

// PlaceholderFields returns the field that marks a placeholder with its cause; none
// for live pictures.
func PlaceholderFields(f *device.Frame) []Field {
	cause := token(f.Placeholder)
	if cause == "" {
		return nil
	}
	return []Field{{mark, cause}}
}

// token returns s with letters, digits, - and _ only: some clients give up on
// header fields with anything outside of plain ASCII.
func token(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return -1
	}, s)
}

// Timestamp returns when f was taken, as seconds and microseconds since 1970:
// "1767225600.000042". It is the value of X-Timestamp.
func Timestamp(f *device.Frame) string {
	return string(appendTimestamp(make([]byte, 0, 24), f))
}

func appendTimestamp(b []byte, f *device.Frame) []byte {
	if f.CapturedAt.IsZero() {
		return append(b, "0.000000"...)
	}
	us := f.CapturedAt.UnixMicro()
	b = strconv.AppendInt(b, us/1e6, 10)
	b = append(b, '.')
	frac := us % 1e6
	for digit := int64(100000); digit > 1 && frac < digit; digit /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, frac, 10)
}

// appendField appends a header line. Control characters are left out, so that
// no value can end the line early.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	for i := range len(value) {
		if c := value[i]; c >= 0x20 && c != 0x7f {
			dst = append(dst, c)
		}
	}
	return append(dst, "\r\n"...)
}
