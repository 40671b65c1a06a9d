package server

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// maxHashed is the size, in bytes, up to which a file without a modification
// time is hashed for its ETag. Those are embedded, and small.
const maxHashed = 1 << 20

// static serves files of the assets. Conditions and ranges are left to
// net/http, which knows every corner of them.
func (s *Server) static(c *fiber.Ctx) error {
	name, ok := staticName(c.Path())
	if !ok {
		return fiber.ErrNotFound
	}
	file, err := s.opts.Assets.Open(name)
	if err != nil {
		// Unreadable is the same as not there; details would only help to probe.
		return fiber.ErrNotFound
	}
	info, err := file.Stat()
	content, seekable := file.(io.ReadSeeker)
	if err != nil || !info.Mode().IsRegular() || !seekable {
		_ = file.Close() // only read
		return fiber.ErrNotFound
	}

	r, err := http.NewRequest(c.Method(), "/", http.NoBody) //nolint:noctx // it is never sent; it carries header fields to ServeContent
	if err != nil {
		_ = file.Close() // only read
		return err
	}
	for _, h := range []string{
		fiber.HeaderIfMatch, fiber.HeaderIfNoneMatch, fiber.HeaderIfModifiedSince, fiber.HeaderIfUnmodifiedSince, fiber.HeaderIfRange, fiber.HeaderRange,
	} {
		if v := c.Get(h); v != "" {
			r.Header.Set(h, strings.Clone(v))
		}
	}
	// Several ranges at once would need a multipart body; answering with the
	// whole file is as correct.
	if strings.Contains(r.Header.Get(fiber.HeaderRange), ",") {
		r.Header.Del(fiber.HeaderRange)
	}
	w := &responseWriter{c: c, header: http.Header{}, file: file}
	w.header.Set(fiber.HeaderCacheControl, "no-cache") // that is: ask whether it changed
	w.header.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if tag, err := etag(info, content); err == nil {
		w.header.Set(fiber.HeaderETag, tag)
	}
	if t := contentType(name); t != "" {
		w.header.Set(fiber.HeaderContentType, t)
	}
	http.ServeContent(w, r, name, modTime(info, s.startedAt), content)
	return w.finish()
}

// staticName turns the path of a request into a name in the assets. It accepts
// plain names only: decoded once, no "..", no empty or hidden elements, no
// backslash, no NUL.
func staticName(requestPath string) (string, bool) {
	p, err := url.PathUnescape(strings.TrimPrefix(requestPath, pathStatic+"/"))
	if err != nil || strings.ContainsAny(p, "\\\x00") || !fs.ValidPath(p) || p == "." {
		return "", false
	}
	for element := range strings.SplitSeq(p, "/") {
		if strings.HasPrefix(element, ".") {
			return "", false
		}
	}
	return path.Join("static", p), true
}

// contentType names the types that browsers insist on with "nosniff", whatever
// the system's own table says. For others net/http asks that table.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".html":
		return "text/html; charset=utf-8"
	}
	return ""
}

// modTime is when the file changed. Embedded files do not know; they changed
// with the program, so when that started is late enough.
func modTime(info fs.FileInfo, started time.Time) time.Time {
	if info.ModTime().IsZero() {
		return started
	}
	return info.ModTime()
}

// etag identifies the content: by time and size, or by its bytes when there is
// no time.
func etag(info fs.FileInfo, content io.ReadSeeker) (string, error) {
	if t := info.ModTime(); !t.IsZero() {
		return fmt.Sprintf("%q", strconv.FormatInt(t.UnixNano(), 36)+"-"+strconv.FormatInt(info.Size(), 36)), nil
	}
	if info.Size() > maxHashed {
		return "", errors.New("too large to hash")
	}
	h := sha256.New()
	if _, err := io.Copy(h, content); err != nil {
		return "", err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return fmt.Sprintf("%q", fmt.Sprintf("%x", h.Sum(nil)[:12])), nil
}

// responseWriter hands what net/http.ServeContent decides to fasthttp. The
// content itself is not read here: ServeContent offers a reader of it, which
// fasthttp empties later.
type responseWriter struct {
	c      *fiber.Ctx
	header http.Header
	file   io.Closer
	code   int
	body   io.Reader // what ServeContent offered, or nil
}

// Header returns the fields to be sent.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader notes the status code.
func (w *responseWriter) WriteHeader(code int) { w.code = code }

// Write takes error texts.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.c.Response().AppendBody(p)
	return len(p), nil
}

// ReadFrom takes the content as a reader that knows its length.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	n := limited.N
	w.body = struct {
		io.Reader
		io.Closer
	}{limited, w.file}
	return n, nil
}

// finish sends the response, or lets fasthttp do it.
func (w *responseWriter) finish() error {
	for name, values := range w.header {
		if name != fiber.HeaderContentLength {
			w.c.Set(name, values[0])
		}
	}
	if w.code != 0 {
		w.c.Status(w.code)
	}
	size, err := strconv.Atoi(w.header.Get(fiber.HeaderContentLength))
	switch {
	case w.body != nil:
		w.c.Context().SetBodyStream(w.body, size) // closes the file
		return nil
	case w.code == fiber.StatusRequestedRangeNotSatisfiable:
		_ = w.file.Close() // only read
		w.c.Response().ResetBody()
		return nil
	case w.c.Method() == fiber.MethodHead && err == nil:
		w.c.Response().SkipBody = true
		w.c.Response().Header.SetContentLength(size)
	case w.code == fiber.StatusNotModified:
		w.c.Response().Header.SetNoDefaultContentType(true)
	}
	return w.file.Close()
}
