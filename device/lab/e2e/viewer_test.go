//go:build labguest

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab/stamp"
)

// part is one picture as a viewer got it.
type part struct {
	at          time.Time // when its last byte was there
	taken       time.Time // when the camera took it, as the daemon says
	sequence    uint64    // counts what the daemon published
	placeholder string
	size        int
	number      uint32 // of the camera's picture
	err         error  // what its stamp says
}

func (p part) live() bool { return p.placeholder == "" }

// viewer reads a stream until it ends.
type viewer struct {
	done chan struct{} // closed at the end; err is set by then
	err  error         // nil when the stream ended as it should
	stop context.CancelFunc

	mu      sync.Mutex
	parts   []part
	changed chan struct{} // closed when a part was added
}

// watch connects a viewer. reader takes the stream apart.
func watch(t *testing.T, d *daemon, reader func(*http.Response, func(textproto.MIMEHeader, []byte)) error) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/video", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // the reader's goroutine closes it
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("/video: status %s", resp.Status)
	}
	v := &viewer{done: make(chan struct{}), stop: cancel, changed: make(chan struct{})}
	go func() {
		v.err = reader(resp, v.add)
		_ = resp.Body.Close()
		close(v.done)
	}()
	t.Cleanup(v.leave)
	return v
}

// audience connects n viewers that read the raw bytes.
func audience(t *testing.T, d *daemon, n int) []*viewer {
	t.Helper()
	var vs []*viewer
	for range n {
		vs = append(vs, watch(t, d, readRaw))
	}
	return vs
}

// leave disconnects.
func (v *viewer) leave() {
	v.stop()
	<-v.done
}

func (v *viewer) add(header textproto.MIMEHeader, body []byte) {
	p := part{at: time.Now(), placeholder: header.Get("X-Placeholder"), size: len(body)}
	if seconds, err := strconv.ParseFloat(header.Get("X-Timestamp"), 64); err == nil {
		p.taken = time.UnixMicro(int64(math.Round(seconds * 1e6)))
	}
	p.sequence, _ = strconv.ParseUint(header.Get("X-Sequence"), 10, 64) // 0 is what no picture has
	if p.live() {
		p.number, p.err = stamp.Check(body)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = append(v.parts, p)
	close(v.changed)
	v.changed = make(chan struct{})
}

// seen returns the parts so far.
func (v *viewer) seen() []part {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clip(v.parts)
}

// await waits for a part that arrived after since and is what ok wants.
func (v *viewer) await(t *testing.T, since time.Time, within time.Duration, what string, ok func(part) bool) part {
	t.Helper()
	end := time.NewTimer(time.Until(since.Add(within)))
	defer end.Stop()
	next := 0
	for {
		v.mu.Lock()
		parts, changed := v.parts[next:], v.changed
		next = len(v.parts)
		v.mu.Unlock()
		for _, p := range parts {
			if p.at.After(since) && ok(p) {
				return p
			}
		}
		select {
		case <-changed:
		case <-v.done:
			t.Fatalf("the stream ended while waiting for %s: %v", what, v.err)
		case <-end.C:
			var last part
			if n := len(v.seen()); n > 0 {
				last = v.seen()[n-1]
			}
			t.Fatalf("not within %s: %s; %d parts, the last one %+v", within, what, next, last)
		}
	}
}

// readRaw takes the stream apart byte by byte, so that a part counts as soon as
// its last byte is there, and insists on what old clients insist on.
func readRaw(resp *http.Response, add func(textproto.MIMEHeader, []byte)) error {
	if got, want := resp.Header.Get("Content-Type"), "multipart/x-mixed-replace"; len(got) < len(want) || got[:len(want)] != want {
		return fmt.Errorf("content type %q", got)
	}
	r := textproto.NewReader(bufio.NewReaderSize(resp.Body, 64<<10))
	for first := true; ; first = false {
		line, err := r.ReadLine()
		if err == nil && line == "" {
			line, err = r.ReadLine() // a delimiter starts with CRLF; before the first one it is optional
		} else if err == nil && !first {
			return fmt.Errorf("after a part: %q instead of CRLF", line)
		}
		if err != nil {
			return fmt.Errorf("no closing delimiter: %w", err)
		}
		if line == "--frame--" {
			if _, err := r.R.ReadByte(); err == nil {
				return errors.New("more bytes after the closing delimiter")
			} else if !errors.Is(err, io.EOF) {
				return fmt.Errorf("after the closing delimiter: more bytes: %w", err)
			}
			return nil
		}
		if line != "--frame" {
			return fmt.Errorf("delimiter %q", line)
		}
		header, err := r.ReadMIMEHeader()
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(header.Get("Content-Length"))
		if err != nil || size < 1 || size > 64<<20 || header.Get("Content-Type") != "image/jpeg" {
			return fmt.Errorf("part header %v", header)
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r.R, body); err != nil {
			return err
		}
		if body[0] != 0xff || body[1] != 0xd8 || body[size-2] != 0xff || body[size-1] != 0xd9 {
			return fmt.Errorf("a part of %d bytes is no JPEG: % x ... % x", size, body[:2], body[size-2:])
		}
		add(header, body)
	}
}

// readMIME leaves the work to mime/multipart, which is strict about delimiters.
func readMIME(resp *http.Response, add func(textproto.MIMEHeader, []byte)) error {
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	r := multipart.NewReader(resp.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // the bare value alone means a closing delimiter
			return nil
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(p)
		if err != nil {
			return err
		}
		add(p.Header, body)
	}
}
