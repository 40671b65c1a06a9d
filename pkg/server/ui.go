package server

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"path"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// The pages of access control, by the file of their template. They work without
// scripts.
const (
	uiClaim   = "claim.html"
	uiSignIn  = "sign-in.html"
	uiAccess  = "access.html"
	uiMessage = "message.html"
	uiFrame   = "frame.html"
)

// ui are the pages of access control. They never change.
type ui struct {
	pages  map[string]*template.Template
	assets map[string]asset
}

// asset is a file that pages need.
type asset struct {
	body      []byte
	mediaType string
	tag       string
}

// uiData is what their templates may use.
type uiData struct {
	Title   string
	Version string
	// Home is where the picture is.
	Home string
	// User is who is signed in; Problem and Notice say what became of a form.
	User    string
	Problem string
	Notice  string
	SignIn  bool // whether to offer that

	LeastPassword int
	// Of the page to claim.
	Account     string
	Claimed     bool
	Refused     bool
	LeftSeconds int
	LeftText    string
	// Of the page to sign in.
	Name string
	Next string
	// Of the page about access.
	Admin       bool
	OwnPassword bool
	Accounts    []auth.AccountInfo
	Tokens      []auth.TokenInfo
	Paths       []string
	Shown       *shownItem
}

// newUI reads the pages.
func newUI(fsys fs.FS) (*ui, error) {
	u := &ui{pages: map[string]*template.Template{}, assets: map[string]asset{}}
	for _, page := range []string{uiClaim, uiSignIn, uiAccess, uiMessage} {
		t, err := template.New(page).Funcs(template.FuncMap{"day": day}).ParseFS(fsys, "templates/"+uiFrame, "templates/"+page)
		if err != nil {
			return nil, err
		}
		u.pages[page] = t
	}
	names, err := fs.Glob(fsys, "static/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		mediaType := contentType(name)
		if mediaType == "" {
			mediaType = mime.TypeByExtension(path.Ext(name))
		}
		u.assets[path.Base(name)] = asset{body, mediaType, fmt.Sprintf("\"%x\"", sha256.Sum256(body))}
	}
	return u, nil
}

// day writes a date; nothing when there is none.
func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateOnly)
}

// uiAsset answers with a file that the pages need.
func (s *Server) uiAsset(c *fiber.Ctx) error {
	a, ok := s.ui.assets[c.Params("name")]
	if !ok { // the page for that is not for everybody
		return s.sendProblem(c, fiber.StatusNotFound, "not_found", "There is no such file.")
	}
	c.Set(fiber.HeaderCacheControl, "no-cache") // that is: ask whether it changed
	c.Set(fiber.HeaderETag, a.tag)
	if strings.Contains(c.Get(fiber.HeaderIfNoneMatch), a.tag) {
		c.Response().Header.SetNoDefaultContentType(true)
		c.Status(fiber.StatusNotModified)
		return nil
	}
	c.Set(fiber.HeaderContentType, a.mediaType)
	c.Response().SetBodyRaw(a.body)
	return nil
}

// home is where the picture is.
func (s *Server) home() string {
	if s.opts.SkipPages {
		return s.opts.VideoPath
	}
	return pathPage
}

// sendUI answers with one of the pages.
func (s *Server) sendUI(c *fiber.Ctx, code int, page string, data uiData) error {
	data.Home, data.LeastPassword = s.home(), auth.MinPassword
	data.User, _ = signedIn(c)
	if v := visitOf(c); v.decision.Principal.Role > auth.Nobody { // strangers need not know
		data.Version = s.opts.Version
	}
	var b bytes.Buffer
	if err := s.ui.pages[page].ExecuteTemplate(&b, page, data); err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	c.Status(code)
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(b.Bytes())
}

// signedIn says who is signed in, and whether he may change things.
func signedIn(c *fiber.Ctx) (user string, admin bool) {
	v := visitOf(c)
	if v == nil || v.decision.Principal.Kind != auth.KindSession {
		return "", false
	}
	return v.decision.Principal.Name, v.decision.Principal.Role >= auth.Admin
}
