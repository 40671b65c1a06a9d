package server

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/status"
)

// The pages, by the file of their template. Each may build on base.html, by
// calling that template and defining its blocks, or stand alone.
const (
	pageIndex    = "index.html"
	pageNotFound = "404.html"
	pageFailed   = "500.html"
	pageBase     = "base.html"
)

// contentPolicy allows a page what comes from this server and no script or
// style inside the page. Being framed is allowed: dashboards do it.
const contentPolicy = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; " +
	"connect-src 'self'; font-src 'self'; media-src 'self'; base-uri 'none'; form-action 'self'"

// plainPage stands in for a template that is broken or missing. Both verbs get
// text of ours.
const plainPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%[1]s</title><h1>%[1]s</h1>
%[2]s
</html>
`

// pageData is what templates may use.
type pageData struct {
	// Title is "webgear" or what went wrong.
	Title string
	// VideoPath and SnapshotPath are where the pictures are.
	VideoPath    string
	SnapshotPath string
	StatePath    string
	Version      string
	// User is who is signed in, empty where nobody has to be. Admin is set when he may
	// change things.
	User  string
	Admin bool
	// AccessPath and SignOutPath are where he goes for that.
	AccessPath  string
	SignOutPath string
	// Camera is what is known about it.
	Camera status.Camera
	// Reference leads from a 500 page to the log.
	Reference string
}

// pages renders templates and keeps them until their files change.
type pages struct {
	fsys fs.FS
	log  *slog.Logger

	mu     sync.Mutex
	cached map[string]parsedPage // guarded by mu
	failed map[string]string     // guarded by mu; by page, the last error that was logged
}

// parsedPage is a template with what its files looked like.
type parsedPage struct {
	tmpl  *template.Template
	files string
}

func newPages(fsys fs.FS, log *slog.Logger) *pages {
	return &pages{fsys: fsys, log: log, cached: map[string]parsedPage{}, failed: map[string]string{}}
}

// render returns the page, or an error when its template is missing or broken.
func (p *pages) render(page string, data pageData) ([]byte, error) {
	tmpl, err := p.load(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := tmpl.ExecuteTemplate(&b, page, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// load parses the page's files unless they are the same as the last time.
func (p *pages) load(page string) (*template.Template, error) {
	names := []string{"templates/" + page}
	// A page of the user's own may do without the base.
	if _, err := fs.Stat(p.fsys, "templates/"+pageBase); !errors.Is(err, fs.ErrNotExist) {
		names = append([]string{"templates/" + pageBase}, names...)
	}
	var b strings.Builder
	for _, name := range names {
		info, err := fs.Stat(p.fsys, name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
	}
	files := b.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.cached[page]; ok && c.files == files {
		return c.tmpl, nil
	}
	tmpl, err := template.ParseFS(p.fsys, names...)
	if err != nil {
		return nil, err
	}
	p.cached[page] = parsedPage{tmpl, files}
	return tmpl, nil
}

// report logs the failure of a page once, and again when it changes.
func (p *pages) report(page string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.failed, page)
		return
	}
	if p.failed[page] != err.Error() {
		p.failed[page] = err.Error()
		p.log.Error("page template failed", "page", page, "err", err)
	}
}

// page answers with the start page.
func (s *Server) page(c *fiber.Ctx) error {
	return s.render(c, pageIndex, pageData{Title: "webgear"})
}

// render sends a page with the status code that is set. A template that fails
// is replaced by a plain page with the same content.
func (s *Server) render(c *fiber.Ctx, page string, data pageData) error {
	data.VideoPath = s.opts.VideoPath
	data.SnapshotPath = pathSnapshot
	data.StatePath = pathState
	data.Version = s.opts.Version
	data.AccessPath, data.SignOutPath = pathAccess, pathSignOut
	data.User, data.Admin = signedIn(c)
	if page == pageIndex {
		data.Camera = s.opts.Snapshot().Camera
	}
	body, err := s.pages.render(page, data)
	s.pages.report(page, err)
	if err != nil {
		body = s.plain(page, data)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if s.opts.Guard == nil { // it has set more than these
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		c.Set(fiber.HeaderReferrerPolicy, "same-origin")
		c.Set(fiber.HeaderContentSecurityPolicy, contentPolicy)
	}
	return c.Send(body)
}

// plain makes the page that needs no template.
func (s *Server) plain(page string, data pageData) []byte {
	body := `<p><a href="/">To the camera</a>`
	switch {
	case page == pageIndex:
		body = fmt.Sprintf(`<p><img src="%s" alt="live picture" width="100%%">`, s.opts.VideoPath)
	case data.Reference != "":
		body = fmt.Sprintf("<p>Reference for the log: <code>%s</code>\n%s", data.Reference, body)
	}
	return fmt.Appendf(nil, plainPage, data.Title, body)
}
