package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// This file asks the guard about every request, before anything else sees it, and
// puts the decision into an answer. What a route needs stands in needOf, and
// nowhere else.

// Paths of access control, beside those of package auth.
const (
	pathSignOut = "/sign-out"
	pathAccess  = "/access"
	pathUI      = "/ui"
	pathAPI     = "/api"
	apiClaim    = "/api/v1/claim"
	apiSignIn   = "/api/v1/sign-in"
	apiSignOut  = "/api/v1/sign-out"
	apiPassword = "/api/v1/password" //nolint:gosec // a path, no credential
	apiTokens   = "/api/v1/tokens"   //nolint:gosec // a path, no credential
	apiAccounts = "/api/v1/accounts"
	apiLinks    = "/api/v1/links"
)

// accessPaths are those that no stream may have when there is a guard.
var accessPaths = []string{auth.PathClaim, auth.PathSignIn, pathSignOut, pathAccess, pathUI, pathAPI} //nolint:gochecknoglobals // a constant table; Go has no constant slices

// checkTime bounds how long a request waits for its password to be checked. Below
// writeTimeout, so that a refusal can be sent.
const checkTime = 10 * time.Second

// visitor is what is known about a request. It is in the context's locals.
type visitor struct {
	srv      *Server // that holds the connection
	request  auth.Request
	decision auth.Decision
}

// visitKey is where visitors are.
type visitKey struct{}

// visitOf returns what is known about a request; nil for those that never came to
// enter, as they are malformed.
func visitOf(c *fiber.Ctx) *visitor {
	v, _ := c.Locals(visitKey{}).(*visitor)
	return v
}

// guardOf returns the guard that let the request in, or nil.
func guardOf(c *fiber.Ctx) *auth.Guard {
	if v := visitOf(c); v != nil {
		return v.srv.opts.Guard
	}
	return nil
}

// needOf says what a route asks for. Routes that are not known are for those who
// may look, so that nobody else finds out which there are.
func (s *Server) needOf(method, path, action string) auth.Need {
	reads := method == fiber.MethodGet || method == fiber.MethodHead
	switch path {
	case auth.PathClaim, apiClaim:
		if reads || method == fiber.MethodPost {
			return auth.Need{Unclaimed: true}
		}
	case auth.PathSignIn, pathSignOut, apiSignIn, apiSignOut:
		if reads || method == fiber.MethodPost {
			return auth.Need{}
		}
	case pathAccess + "/password", apiPassword:
		return auth.Need{Role: auth.Viewer}
	}
	switch {
	case !reads, isBelow(path, pathAPI):
		return auth.Need{Role: auth.Admin}
	case path == pathHealth:
		return auth.Need{Probe: true}
	case strings.HasPrefix(path, pathUI+"/"):
		return auth.Need{Unclaimed: true}
	}
	return auth.Need{Role: auth.Viewer, Link: s.isPicture(path, action)}
}

// isBelow reports whether a path is root or below it.
func isBelow(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// isPicture reports whether a path is that of a stream or the snapshot.
func (s *Server) isPicture(path, action string) bool {
	switch path {
	case s.opts.VideoPath, s.opts.VideoPath + "/", pathSnapshot, "/snapshot.jpg", "/stream", "/stream.mjpg":
		return true
	case pathPage, "/webcam", "/webcam/":
		return action == "stream" || action == "snapshot"
	}
	return s.mounted[path]
}

// actionOf is what programs written for mjpg-streamer want. crowsnest appends
// "?t=…" to it.
func actionOf(c *fiber.Ctx) string {
	action, _, _ := strings.Cut(c.Query("action"), "?")
	return action
}

// enter is the first to see a request. It refuses what is malformed, sends people to
// the encrypted side, and lets in whom the guard lets in.
func (s *Server) enter(c *fiber.Ctx) error {
	v := &visitor{srv: s}
	c.Locals(visitKey{}, v)
	need := s.needOf(c.Method(), c.Path(), actionOf(c))
	s.secure(c, need.Link)
	header := &c.Request().Header
	problem := checkShape(header)
	if problem == "" && inChunks(header) {
		c.Context().SetConnectionClose()
		problem = dropTrailers(header)
	}
	if problem != "" {
		return s.refuseShape(c, problem)
	}
	v.request = requestOf(c, s.trust, need)
	r, guard := &v.request, s.opts.Guard
	if to, refusal := s.encrypted(r); refusal != nil {
		return s.refuse(c, *refusal)
	} else if to != "" {
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Set(fiber.HeaderLocation, to)
		c.Status(fiber.StatusPermanentRedirect)
		return nil
	}
	if guard == nil {
		served(c)
		return c.Next()
	}
	if r.Method == fiber.MethodOptions && r.Origin != "" && c.Get(fiber.HeaderAccessControlRequestMethod) != "" {
		fields, ok := guard.Preflight(r.Origin)
		if !ok {
			return s.sendProblem(c, fiber.StatusForbidden, string(auth.CodeOrigin), "Pages of that site may not use this camera. If they should, add it to access.origins in the settings.")
		}
		setFields(c, fields)
		c.Status(fiber.StatusNoContent)
		return nil
	}
	ctx, cancel := context.WithTimeout(s.running, checkTime)
	defer cancel()
	v.decision = guard.Check(ctx, r)
	if !v.decision.Allowed() {
		return s.refuse(c, v.decision)
	}
	// What everybody can ask for is no reason to keep a connection when there is no
	// room for others.
	if v.decision.Principal.Role > auth.Nobody {
		served(c)
	}
	setCookie(c, v.decision.Cookie)
	return c.Next()
}

// served notes that the connection is worth to be kept, if it is one that counts.
func served(c *fiber.Ctx) {
	for conn := range layers(c.Context().Conn()) {
		if g, ok := conn.(interface{ Served() }); ok { // as gate.Conn has it
			g.Served()
		}
	}
}

// secure sets the header fields that every answer has, but for those that are set
// already.
func (s *Server) secure(c *fiber.Ctx, picture bool) {
	if s.opts.Guard == nil {
		return
	}
	fields := s.opts.Guard.SecurityFields(picture)
	if len(c.Request().Header.Peek(fiber.HeaderOrigin)) > 0 {
		fields = append(slices.Clip(fields), s.opts.Guard.CORSFields(field(c, fiber.HeaderOrigin))...)
	}
	for _, f := range fields {
		if c.GetRespHeader(f.Name) == "" {
			c.Set(f.Name, f.Value)
		}
	}
}

func setFields(c *fiber.Ctx, fields []auth.Field) {
	for _, f := range fields {
		c.Set(f.Name, f.Value)
	}
}

// setCookie adds a cookie to the answer, unless it is empty.
func setCookie(c *fiber.Ctx, cookie string) {
	if cookie != "" {
		c.Response().Header.Add(fiber.HeaderSetCookie, cookie)
	}
}

// field returns a header field; one that is repeated is joined.
func field(c *fiber.Ctx, name string) string { return joined(c, name, ", ") }

func joined(c *fiber.Ctx, name, separator string) string {
	all := c.Request().Header.PeekAll(name)
	switch len(all) {
	case 0:
		return ""
	case 1:
		return string(all[0])
	}
	texts := make([]string, len(all))
	for i, b := range all {
		texts[i] = string(b)
	}
	return strings.Join(texts, separator)
}

// requestOf is a request as the guard sees it. Nothing in it is fasthttp's memory.
func requestOf(c *fiber.Ctx, trust auth.Trust, need auth.Need) auth.Request {
	r := auth.Request{
		Method: strings.Clone(c.Method()), Path: strings.Clone(c.Path()), Query: string(c.Request().URI().QueryString()),
		Host:   string(c.Request().Header.Host()),
		Accept: field(c, fiber.HeaderAccept), Authorization: field(c, fiber.HeaderAuthorization),
		// Proxies that speak HTTP/2 on their other side may split it (RFC 9113 8.2.3).
		Cookie: joined(c, fiber.HeaderCookie, "; "),
		Origin: field(c, fiber.HeaderOrigin), FetchSite: field(c, "Sec-Fetch-Site"),
		Forwarded: auth.Forwarded{
			Forwarded: field(c, fiber.HeaderForwarded), For: field(c, fiber.HeaderXForwardedFor), Proto: field(c, fiber.HeaderXForwardedProto),
			Host: field(c, fiber.HeaderXForwardedHost), RealIP: field(c, "X-Real-Ip"),
		},
		Listener: trust, Need: need,
	}
	var via []string
	for _, name := range []string{fiber.HeaderVia, "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Fastly-Client-Ip", "X-Forwarded"} {
		if f := field(c, name); f != "" {
			via = append(via, f)
		}
	}
	r.Forwarded.Via = strings.Join(via, ", ")
	if a, ok := c.Context().RemoteAddr().(*net.TCPAddr); ok {
		r.Peer = a.AddrPort()
	}
	for conn := range layers(c.Context().Conn()) {
		// A listener may be several that were joined; their connections know which.
		if t, ok := conn.(interface{ Trust() auth.Trust }); ok {
			r.Listener = t.Trust()
		}
		if isTLS(conn) {
			r.TLS = true
		}
	}
	return r
}

// inner returns the connection that another one wraps, or nil.
func inner(conn net.Conn) net.Conn {
	if w, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return w.NetConn()
	}
	return nil
}

// layers gives a connection and all that it wraps.
func layers(conn net.Conn) func(yield func(net.Conn) bool) {
	return func(yield func(net.Conn) bool) {
		for conn != nil && yield(conn) {
			conn = inner(conn)
		}
	}
}

// isTLS reports whether a connection is encrypted.
func isTLS(conn net.Conn) bool {
	_, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok
}

// hold has a connection count for as long as a viewer watches on it, although it is
// closed when the viewer goes on with a copy.
func hold(conn net.Conn) (release func()) {
	for conn := range layers(conn) {
		if h, ok := conn.(interface{ Hold() (release func()) }); ok { // as gate.Conn has it
			return h.Hold()
		}
	}
	return func() {}
}

// bareConn looks through wrappers that only count or bound. Encryption stays.
func bareConn(conn net.Conn) net.Conn {
	for !isTLS(conn) {
		below := inner(conn)
		if below == nil {
			break
		}
		conn = below
	}
	return conn
}

// encrypted says where to go instead of here, when that has to be encrypted.
func (s *Server) encrypted(r *auth.Request) (to string, refusal *auth.Decision) {
	if s.opts.RedirectHTTPS == 0 || r.TLS || r.Listener == auth.Local || r.Need.Probe || r.Method != fiber.MethodGet && r.Method != fiber.MethodHead {
		return "", nil
	}
	if g := s.opts.Guard; g != nil {
		// Only whether the request is for us, and whether a proxy encrypts already.
		public := *r
		public.Need, public.Authorization, public.Cookie = auth.Need{Unclaimed: true}, "", ""
		d := g.Check(s.running, &public)
		switch {
		case !d.Allowed():
			return "", &d
		case d.Secure:
			return "", nil
		}
	}
	host := hostOnly(r.Host)
	if host == "" {
		return "", &auth.Decision{Status: fiber.StatusBadRequest, Code: auth.CodeHost, Message: "This camera answers over HTTPS only."}
	}
	if s.opts.RedirectHTTPS != 443 {
		host += ":" + strconv.Itoa(s.opts.RedirectHTTPS)
	}
	to = "https://" + host + r.Path
	if r.Query != "" {
		to += "?" + r.Query
	}
	return to, nil
}

// hostOnly is a Host field without its port, or "" if it is no plain name or
// address.
func hostOnly(field string) string {
	name := field
	if i := strings.LastIndexByte(field, ':'); i >= 0 && !strings.HasSuffix(field, "]") {
		name = field[:i]
	}
	if literal, ok := strings.CutPrefix(name, "["); ok {
		if a, err := netip.ParseAddr(strings.TrimSuffix(literal, "]")); err != nil || !a.Is6() || a.Zone() != "" {
			return ""
		}
		return name
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return ""
		}
	}
	return name
}

// refuse answers as the guard decided: a person gets a page, a program JSON.
func (s *Server) refuse(c *fiber.Ctx, d auth.Decision) error {
	setCookie(c, d.Cookie)
	if d.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(d.RetryAfterSeconds()))
	}
	if d.Challenge != "" {
		c.Set(fiber.HeaderWWWAuthenticate, d.Challenge)
	}
	if d.Location != "" {
		return redirect(c, d.Location)
	}
	if v := visitOf(c); v != nil && s.ui != nil && wantsHTML(v.request.Accept) && !isBelow(v.request.Path, pathAPI) {
		return s.sendUI(c, d.Status, uiMessage, uiData{Title: titleOf(d.Status), Problem: d.Message, SignIn: d.Status == http.StatusUnauthorized})
	}
	return s.sendProblem(c, d.Status, string(d.Code), d.Message)
}

// redirect sends a browser to another path of ours by GET.
func redirect(c *fiber.Ctx, to string) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderLocation, to)
	c.Status(fiber.StatusSeeOther)
	return nil
}

// wantsHTML reports whether the field Accept names pages.
func wantsHTML(accept string) bool {
	return strings.Contains(strings.ToLower(accept), fiber.MIMETextHTML)
}

// titleOf is a status code in words for people.
func titleOf(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return "Sign in first"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusMisdirectedRequest:
		return "Wrong address"
	case http.StatusTooManyRequests:
		return "Too many attempts"
	}
	return "This did not work"
}

// crossOrigin returns the field that lets pages of other sites read pictures, where
// no guard decides about that.
func (s *Server) crossOrigin(c *fiber.Ctx) []mjpeg.Field {
	if s.opts.AllowOrigin == "" || guardOf(c) != nil || c.GetRespHeader(fiber.HeaderAccessControlAllowOrigin) != "" {
		return nil
	}
	return []mjpeg.Field{{Name: fiber.HeaderAccessControlAllowOrigin, Value: s.opts.AllowOrigin}}
}

// AddStream has the stream of another Server, as its Attach returns it, served at
// path, under the same rules as this one's. It comes before Run.
func (s *Server) AddStream(path string, stream fiber.Handler) {
	if s.mounted == nil {
		s.mounted = map[string]bool{}
	}
	s.mounted[path] = true
	s.app.Get(path, stream)
}
