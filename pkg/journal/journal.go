// Package journal writes log records to systemd's journal in its own protocol,
// so that every attribute becomes a field that can be searched:
//
//	journalctl -u webgear WEBGEAR_CAUSE=unplugged
//
// The message that people read holds the attributes as well, as the text
// handler of log/slog would print them. A record that the journal does not take
// goes to another handler. Whether the journal is there at all is the caller's
// business. A [Handler] may be used by any goroutine.
package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// Socket is where the journal listens.
const Socket = "/run/systemd/journal/socket"

// Sizes in bytes. A record is one datagram, which has to fit into the kernel's
// buffer of a socket (212992 by default).
const (
	maxField  = 16 << 10
	maxRecord = 96 << 10
	// maxName is the journal's own bound on names of fields.
	maxName = 64
)

// prefix begins the names of all fields that are not the journal's own.
const prefix = "WEBGEAR_"

// Options say how to write. All must be set.
type Options struct {
	// Identifier is the name of the program, SYSLOG_IDENTIFIER.
	Identifier string
	// Level is the least level that is written.
	Level slog.Leveler
	// Fallback gets what the journal does not take.
	Fallback slog.Handler
}

// Handler is a slog.Handler.
type Handler struct {
	opt      Options
	to       io.Writer
	fallback slog.Handler
	// text prints attributes as people read them, fields as fields: both hold
	// those of WithAttrs.
	text, fields []byte
	groups       []string
}

// New returns a handler that writes each record to w as one datagram.
func New(w io.Writer, o Options) *Handler { return &Handler{opt: o, to: w, fallback: o.Fallback} }

// Enabled says whether records of the level are written.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.opt.Level.Level()
}

// WithAttrs returns a handler with more attributes.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	other := h.clone()
	other.fallback = h.fallback.WithAttrs(attrs)
	for _, a := range attrs {
		other.add(h.groups, a)
	}
	return other
}

// WithGroup returns a handler whose further attributes stand in a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	other := h.clone()
	other.fallback = h.fallback.WithGroup(name)
	other.groups = append(other.groups, name)
	return other
}

// clone copies what is appended to.
func (h *Handler) clone() *Handler {
	other := *h
	other.text, other.fields, other.groups = slices.Clip(h.text), slices.Clip(h.fields), slices.Clip(h.groups)
	return &other
}

// Handle writes one record.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	all := h.clone()
	r.Attrs(func(a slog.Attr) bool {
		all.add(h.groups, a)
		return true
	})
	var b bytes.Buffer
	field(&b, "MESSAGE", r.Message+string(all.text))
	field(&b, "PRIORITY", strconv.Itoa(priority(r.Level)))
	field(&b, "SYSLOG_IDENTIFIER", h.opt.Identifier)
	field(&b, prefix+"EVENT", r.Message)
	if b.Len()+len(all.fields) <= maxRecord {
		b.Write(all.fields)
	}
	if _, err := h.to.Write(b.Bytes()); err != nil {
		return h.fallback.Handle(ctx, r)
	}
	return nil
}

// add appends one attribute to both forms.
func (h *Handler) add(groups []string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups = append(slices.Clip(groups), a.Key)
		}
		for _, inner := range v.Group() {
			h.add(groups, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	key := strings.Join(append(slices.Clip(groups), a.Key), ".")
	text := show(v)
	h.text = fmt.Appendf(h.text, " %s=%s", key, quoted(text))
	var b bytes.Buffer
	field(&b, name(key), text)
	h.fields = append(h.fields, b.Bytes()...)
}

// show prints a value.
func show(v slog.Value) string {
	if err, ok := v.Any().(error); ok && v.Kind() == slog.KindAny {
		return err.Error()
	}
	return v.String()
}

// quoted puts a text into quotes when it would be mistaken otherwise.
func quoted(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == 0x7f }) {
		return strconv.Quote(s)
	}
	return s
}

// name makes the name of a field: capital letters, digits and underscores.
func name(key string) string {
	n := prefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return n[:min(len(n), maxName)]
}

// field appends a field: NAME=value, or with its length where the value has
// several lines.
func field(b *bytes.Buffer, name, value string) {
	if len(value) > maxField {
		value = strings.ToValidUTF8(value[:maxField], "") + "…"
	}
	b.WriteString(name)
	if strings.ContainsRune(value, '\n') {
		b.WriteByte('\n')
		_ = binary.Write(b, binary.LittleEndian, uint64(len(value))) // a buffer takes everything
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

// priority is syslog's number for a level.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
