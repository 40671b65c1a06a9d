package jpegscan

import (
	"context"
	"io"
)

// keptBytes is the memory that a Window keeps however little of it is used, in
// bytes. Chosen: above it, one huge picture should not stay for ever.
const keptBytes = 4 << 20

// Window is the part of a stream that was read and not consumed.
type Window struct {
	r     io.Reader
	chunk int
	buf   []byte
	start int   // of what was not consumed, in buf
	err   error // of r, once it has failed or ended
}

// NewWindow returns an empty Window of r that reads chunk bytes at once.
func NewWindow(r io.Reader, chunk int) *Window { return &Window{r: r, chunk: max(chunk, 512)} }

// Bytes is what is there, valid until the next Fill. Read only.
func (w *Window) Bytes() []byte { return w.buf[w.start:] }

// Skip consumes n bytes, which must be there.
func (w *Window) Skip(n int) { w.start += min(n, len(w.buf)-w.start) }

// Fill reads more; what is there stays in front. The error is the reader's own
// and comes again with every later call.
func (w *Window) Fill(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	w.makeRoom()
	for range 100 { // as bufio: a reader may give nothing now and then
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := w.r.Read(w.buf[len(w.buf) : len(w.buf)+w.chunk])
		w.buf = w.buf[:len(w.buf)+n]
		w.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	w.err = io.ErrNoProgress
	return w.err
}

// makeRoom sees to it that a chunk fits behind what is there.
func (w *Window) makeRoom() {
	if cap(w.buf)-len(w.buf) >= w.chunk {
		return
	}
	there := w.Bytes()
	need := len(there) + w.chunk
	switch {
	case cap(w.buf) < need && need > keptBytes:
		// Twice as much would be a lot for a board with little memory, and who
		// sends pictures of this size may well send garbage.
		w.buf = append(make([]byte, 0, need+need/4), there...)
	case cap(w.buf) < need:
		w.buf = append(make([]byte, 0, 2*need), there...)
	case cap(w.buf) > keptBytes && need < cap(w.buf)/8:
		w.buf = append(make([]byte, 0, 2*need), there...)
	default:
		w.buf = w.buf[:copy(w.buf, there)]
	}
	w.start = 0
}
