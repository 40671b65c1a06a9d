package child

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

const (
	// keptLines is how many lines are kept. Chosen: what ffmpeg says about an
	// input it cannot read, with room.
	keptLines = 20
	// maxLine is how long a line may be, in bytes; the rest of it is dropped.
	maxLine = 1024
)

// tail keeps the last lines somebody said.
type tail struct {
	redact func(string) string
	onLine func(string)
	log    *slog.Logger

	mu   sync.Mutex
	kept []string // oldest first
}

func newTail(spec Spec) *tail {
	t := &tail{redact: spec.Redact, onLine: spec.OnLine, log: spec.Log}
	if t.redact == nil {
		t.redact = func(line string) string { return line }
	}
	if t.onLine == nil {
		t.onLine = func(string) {}
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t
}

// collect reads until the end. It never waits for anybody but the reader, so
// whoever speaks is never held up.
func (t *tail) collect(r io.Reader) {
	br := bufio.NewReaderSize(r, maxLine)
	long := false // in the rest of a line that was too long
	for {
		part, err := br.ReadSlice('\n')
		if !long {
			t.add(string(part))
		}
		long = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long {
			return
		}
	}
}

// add keeps a line. Of what overwrites itself by carriage returns, like a
// progress display, only the last is kept.
func (t *tail) add(line string) {
	line = strings.TrimRight(line, " \r\n")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
	if line == "" {
		return
	}
	line = t.redact(line)
	t.mu.Lock()
	if len(t.kept) == keptLines {
		t.kept = append(t.kept[:0], t.kept[1:]...)
	}
	t.kept = append(t.kept, line)
	t.mu.Unlock()
	t.onLine(line)
	t.log.LogAttrs(context.Background(), slog.LevelDebug, "helper program spoke", slog.String("line", line))
}

func (t *tail) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return ""
	}
	return t.kept[len(t.kept)-1]
}
