package main

import (
	"log/slog"
	"net"
	"os"

	sdjournal "github.com/coreos/go-systemd/v22/journal"

	"github.com/webgear-pi/webgear/pkg/config"
	"github.com/webgear-pi/webgear/pkg/journal"
)

// newLogger writes to stderr, or with all fields to the journal when stderr leads
// there anyway. The level can be changed later.
func newLogger(c config.Log, w world) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c.Level)
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w.stderr, o)
	if c.Format == "json" {
		h = slog.NewJSONHandler(w.stderr, o)
	}
	if w.stderr != os.Stderr {
		return slog.New(h), level
	}
	if is, err := sdjournal.StderrIsJournalStream(); err == nil && is {
		// The connection lasts as long as the process.
		if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: journal.Socket, Net: "unixgram"}); err == nil {
			h = journal.New(conn, journal.Options{Identifier: "webgear", Level: level, Fallback: h})
		}
	}
	return slog.New(h), level
}

// setLevel takes a level from the settings.
func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		l = slog.LevelInfo // Validate has refused everything else
	}
	level.Set(l)
}
