package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
)

// sink keeps each datagram.
type sink struct {
	records [][]byte
	err     error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.records = append(s.records, bytes.Clone(p))
	return len(p), nil
}

// fields takes a datagram apart, by the rules of the protocol.
func fields(data []byte) (map[string]string, error) {
	all := map[string]string{}
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return nil, errors.New("no end of line")
		}
		name, value, plain := bytes.Cut(line, []byte("="))
		if !plain {
			if len(rest) < 8 {
				return nil, errors.New("no length")
			}
			n := binary.LittleEndian.Uint64(rest)
			rest = rest[8:]
			if uint64(len(rest)) < n+1 || rest[n] != '\n' {
				return nil, fmt.Errorf("length %d is wrong", n)
			}
			value, rest = rest[:n], rest[n+1:]
		}
		if strings.Trim(string(name), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || len(name) == 0 || len(name) > 64 {
			return nil, fmt.Errorf("bad name %q", name)
		}
		all[string(name)] = string(value)
		data = rest
	}
	return all, nil
}

func newLogger(s *sink, fallback *bytes.Buffer, level slog.Level) *slog.Logger {
	return slog.New(New(s, Options{Identifier: "webgear", Level: level, Fallback: slog.NewTextHandler(fallback, nil)}))
}

func TestEveryAttributeIsAFieldAndStandsInTheMessage(t *testing.T) {
	var s sink
	log := newLogger(&s, &bytes.Buffer{}, slog.LevelInfo).With("component", "capture").WithGroup("cam").With("path", "/dev/video0")
	log.Warn("camera offline", "err", errors.New("no such device"), "outage_seconds", 1.5, slog.Group("size", "w", 640), "note", "two\nlines")
	if len(s.records) != 1 {
		t.Fatalf("%d records", len(s.records))
	}
	got, err := fields(s.records[0])
	if err != nil {
		t.Fatalf("%v in %q", err, s.records[0])
	}
	want := map[string]string{
		"MESSAGE":  `camera offline component=capture cam.path=/dev/video0 cam.err="no such device" cam.outage_seconds=1.5 cam.size.w=640 cam.note="two\nlines"`,
		"PRIORITY": "4", "SYSLOG_IDENTIFIER": "webgear", "WEBGEAR_EVENT": "camera offline", "WEBGEAR_COMPONENT": "capture",
		"WEBGEAR_CAM_PATH": "/dev/video0", "WEBGEAR_CAM_ERR": "no such device", "WEBGEAR_CAM_OUTAGE_SECONDS": "1.5", "WEBGEAR_CAM_SIZE_W": "640",
		"WEBGEAR_CAM_NOTE": "two\nlines",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLevelsBecomePriorities(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelDebug: "7", slog.LevelInfo: "6", slog.LevelWarn: "4", slog.LevelError: "3", 12: "3"} {
		var s sink
		newLogger(&s, &bytes.Buffer{}, slog.LevelDebug).Log(t.Context(), level, "x")
		if got, err := fields(s.records[0]); err != nil || got["PRIORITY"] != want {
			t.Errorf("%v: got %q, %v", level, got["PRIORITY"], err)
		}
	}
	var s sink
	newLogger(&s, &bytes.Buffer{}, slog.LevelWarn).Info("x")
	if len(s.records) != 0 {
		t.Error("a level below the least was written")
	}
}

func TestWhatTheJournalDoesNotTakeGoesElsewhere(t *testing.T) {
	var other bytes.Buffer
	s := sink{err: errors.New("connection refused")}
	newLogger(&s, &other, slog.LevelInfo).With("a", 1).WithGroup("g").Info("hello", "b", 2)
	if !strings.Contains(other.String(), "msg=hello a=1 g.b=2") {
		t.Errorf("got %q", other.String())
	}
}

func TestHandlersDoNotShareWhatTheyAppend(t *testing.T) {
	var s sink
	log := newLogger(&s, &bytes.Buffer{}, slog.LevelInfo).With("a", 1)
	one, two := log.With("b", 1), log.With("b", 2)
	one.Info("x")
	two.Info("x")
	for i, want := range []string{"x a=1 b=1", "x a=1 b=2"} {
		if got, _ := fields(s.records[i]); got["MESSAGE"] != want {
			t.Errorf("got %q, want %q", got["MESSAGE"], want)
		}
	}
}

func FuzzHandleWritesWhatTheProtocolAllows(f *testing.F) {
	f.Add("message", "key", "value")
	f.Add("a\nb", "käy=", "\x00\xff\n")
	f.Fuzz(func(t *testing.T, message, key, value string) {
		var s sink
		h := New(&s, Options{Identifier: "webgear", Level: slog.LevelInfo, Fallback: slog.DiscardHandler})
		log := slog.New(h)
		log.LogAttrs(context.Background(), slog.LevelInfo, message, slog.String(key, value)) //nolint:sloglint // the message is what is tested
		got, err := fields(s.records[0])
		if err != nil || got["WEBGEAR_EVENT"] == "" && message != "" {
			t.Errorf("%v in %q", err, s.records[0])
		}
		if len(s.records[0]) > maxRecord+maxField {
			t.Errorf("record of %d bytes", len(s.records[0]))
		}
	})
}
