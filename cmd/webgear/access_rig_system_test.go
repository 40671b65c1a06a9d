//go:build system

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tweak changes a request.
type tweak func(*http.Request)

func header(name, value string) tweak { return func(r *http.Request) { r.Header.Add(name, value) } }

func basic(name, password string) tweak {
	return func(r *http.Request) { r.SetBasicAuth(name, password) }
}

func bearer(token string) tweak { return header("Authorization", "Bearer "+token) }

func asJSONBody(text string) tweak {
	return func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

// plainClient follows no redirects and keeps no connections.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// open begins a request; the caller closes the body.
func (d *daemon) open(ctx context.Context, t *testing.T, client *http.Client, method, url string, edits ...tweak) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		e(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// ask makes a request and reads all of the answer; of a stream that begins only
// the status counts.
func (d *daemon) ask(t *testing.T, method, path string, edits ...tweak) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp := d.open(ctx, t, plainClient(), method, d.url+path, edits...)
	defer func() { _ = resp.Body.Close() }()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/") {
		return answer{resp.StatusCode, resp.Header, nil}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// code is the code of a refusal.
func (a answer) code() string {
	var body struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal(a.body, &body) // pages have none
	return body.Error.Code
}

// commands runs a command of the daemon's user that has to succeed.
func (d *daemon) commands(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := command(ctx, d.home, append(args, "--data-dir", filepath.Join(d.home, ".webgear"))...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("webgear %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// soon waits until something is so, and says how long that took.
func soon(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	begun := time.Now()
	tick, end := time.NewTicker(20*time.Millisecond), time.NewTimer(limit+10*time.Second)
	defer tick.Stop()
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("%s: in vain", what)
		}
	}
	if took := time.Since(begun); took > limit {
		t.Errorf("%s: took %v, want %v", what, took, limit)
	}
}

// everybody is where others can reach the program.
const everybody = "0.0.0.0:0"

// claimed starts a program that others can reach, with the accounts admin and eve.
func claimed(t *testing.T, args ...string) *daemon {
	t.Helper()
	home := t.TempDir()
	d := &daemon{home: home}
	d.commands(t, adminPassword+"\n", "claim")
	d.commands(t, viewerPassword+"\n", "passwd", "eve", "--role", "viewer")
	return beginAt(t, place{home: home, addr: everybody}, append([]string{"-s", "test:320x240"}, args...)...)
}

// stream is a running stream of pictures.
type stream struct {
	resp *http.Response
	done chan struct{} // closed when it has ended
	got  chan struct{} // has a value when something came
}

// watchAs watches the stream as somebody.
func (d *daemon) watchAs(t *testing.T, edits ...tweak) *stream {
	t.Helper()
	return d.watchAt(t, plainClient(), d.url+"/video", edits...)
}

func (d *daemon) watchAt(t *testing.T, client *http.Client, url string, edits ...tweak) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp := d.open(ctx, t, client, http.MethodGet, url, edits...) //nolint:bodyclose // the test's end closes it
	s := &stream{resp: resp, done: make(chan struct{}), got: make(chan struct{}, 1)}
	if s.resp.StatusCode != http.StatusOK {
		t.Errorf("stream: %d", s.resp.StatusCode)
	}
	go func() {
		defer close(s.done)
		b := make([]byte, 64<<10)
		for {
			n, err := s.resp.Body.Read(b)
			if n > 0 {
				select {
				case s.got <- struct{}{}:
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-s.done; _ = s.resp.Body.Close() })
	return s
}

// next waits for more of the stream.
func (s *stream) next(t *testing.T) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-s.got:
	case <-s.done:
		t.Fatal("the stream ended")
	case <-limit.C:
		t.Fatal("nothing comes")
	}
}

// ends waits for the end of the stream.
func (s *stream) ends(t *testing.T, limit time.Duration) {
	t.Helper()
	begun := time.Now()
	end := time.NewTimer(10 * time.Second)
	defer end.Stop()
	select {
	case <-s.done:
		if took := time.Since(begun); took > limit {
			t.Errorf("ended after %v, want %v", took, limit)
		}
	case <-end.C:
		t.Fatal("the stream goes on")
	}
}
