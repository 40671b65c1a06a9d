package server

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// This file is the pages of access control and their forms. A form that succeeds
// sends the browser to a page, so that loading that again repeats nothing.

// addAccess adds the routes of access control.
func (s *Server) addAccess() {
	if s.opts.Guard == nil {
		return
	}
	s.app.Get(pathUI+"/:name", s.uiAsset)
	s.app.Get(auth.PathClaim, s.claimPage)
	s.app.Post(auth.PathClaim, s.claimForm)
	s.app.Get(auth.PathSignIn, s.signInPage)
	s.app.Post(auth.PathSignIn, s.signInForm)
	s.app.Get(pathSignOut, func(c *fiber.Ctx) error { return redirect(c, auth.PathSignIn) })
	s.app.Post(pathSignOut, s.signOutForm)
	s.app.Get(pathAccess, func(c *fiber.Ctx) error { return s.accessPage(c, nil) })
	for path, do := range map[string]func(*fiber.Ctx) (string, *auth.Decision){
		"/password":        s.passwordForm,
		"/accounts":        s.accountForm,
		"/accounts/remove": s.removeAccountForm,
		"/sessions/end":    s.endSessionsForm,
		"/tokens":          s.tokenForm,
		"/tokens/revoke":   s.revokeTokenForm,
		"/links":           s.linkForm,
		"/links/revoke":    s.revokeLinksForm,
	} {
		s.app.Post(pathAccess+path, func(c *fiber.Ctx) error {
			if refusal := checkForm(c); refusal != nil {
				return s.refuse(c, *refusal)
			}
			to, refusal := do(c)
			if refusal != nil {
				return s.accessPage(c, refusal)
			}
			return redirect(c, to)
		})
	}
	s.addAPI()
}

// checkForm makes sure that the body is what browsers make of our forms.
func checkForm(c *fiber.Ctx) *auth.Decision {
	kind, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	if strings.TrimSpace(strings.ToLower(kind)) != fiber.MIMEApplicationForm {
		return no(fiber.StatusUnsupportedMediaType, "media_type", "This form has to be sent as "+fiber.MIMEApplicationForm+".")
	}
	return nil
}

// value is a field of a form. Those of the query do not count: they end up in logs.
func value(c *fiber.Ctx, name string) string { return string(c.Request().PostArgs().Peek(name)) }

// claimData is what the claim page shows.
func (s *Server) claimData(r *auth.Request) uiData {
	state := s.opts.Guard.ClaimState(r)
	data := uiData{Title: "Set a password", Account: auth.DefaultAccount, Claimed: state.Claimed, Refused: state.Refusal != auth.CodeNone}
	if data.Refused {
		data.Title, data.Problem = "No password can be set now", state.Message
	}
	if state.Claimed {
		data.Title = "This camera has a password"
	}
	if left := state.Left; left > 0 {
		data.LeftSeconds = int(left.Seconds())
		data.LeftText = minutes(data.LeftSeconds)
	}
	return data
}

// minutes writes a time for people, as ui.js does.
func minutes(seconds int) string {
	switch n := (seconds + 30) / 60; {
	case seconds < 90:
		return strconv.Itoa(seconds) + " seconds"
	default:
		return strconv.Itoa(n) + " minutes"
	}
}

func (s *Server) claimPage(c *fiber.Ctx) error {
	v := visitOf(c)
	data := s.claimData(&v.request)
	code := fiber.StatusOK
	if data.Refused && !data.Claimed {
		code = fiber.StatusForbidden
	}
	return s.sendUI(c, code, uiClaim, data)
}

func (s *Server) claimForm(c *fiber.Ctx) error {
	v := visitOf(c)
	d := checkForm(c)
	if d == nil {
		ctx, cancel := s.change()
		defer cancel()
		made := s.opts.Guard.Claim(ctx, &v.request, value(c, "name"), value(c, "password"))
		if made.Allowed() {
			setCookie(c, made.Cookie)
			return redirect(c, s.home())
		}
		d = &made
	}
	data := s.claimData(&v.request)
	data.Problem = d.Message
	retryAfter(c, d)
	return s.sendUI(c, d.Status, uiClaim, data)
}

// retryAfter says when it may work, if that is known.
func retryAfter(c *fiber.Ctx, d *auth.Decision) {
	if d.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(d.RetryAfterSeconds()))
	}
}

// nextPath is where to go after signing in: not back to a page about that.
func (s *Server) nextPath(next string) string {
	next = auth.SafePath(next)
	path, _, _ := strings.Cut(next, "?")
	if path == pathPage || slices.ContainsFunc([]string{auth.PathClaim, auth.PathSignIn, pathSignOut}, func(p string) bool { return isBelow(path, p) }) {
		return s.home()
	}
	return next
}

func (s *Server) signInPage(c *fiber.Ctx) error {
	v := visitOf(c)
	next := s.nextPath(strings.Clone(c.Query("next")))
	if v.decision.Principal.Kind == auth.KindOpen {
		return redirect(c, next)
	}
	return s.sendUI(c, fiber.StatusOK, uiSignIn, uiData{Title: "Sign in", Next: next})
}

func (s *Server) signInForm(c *fiber.Ctx) error {
	v := visitOf(c)
	next, name := s.nextPath(value(c, "next")), value(c, "name")
	d := checkForm(c)
	if d == nil {
		ctx, cancel := s.change()
		defer cancel()
		made := s.opts.Guard.SignIn(ctx, &v.request, name, value(c, "password"))
		if made.Allowed() {
			setCookie(c, made.Cookie)
			return redirect(c, next)
		}
		d = &made
	}
	retryAfter(c, d)
	if auth.CheckName(name) != nil {
		name = "" // people type passwords there: do not show them
	}
	return s.sendUI(c, d.Status, uiSignIn, uiData{Title: "Sign in", Next: next, Name: name, Problem: d.Message})
}

func (s *Server) signOutForm(c *fiber.Ctx) error {
	v := visitOf(c)
	ctx, cancel := s.change()
	defer cancel()
	d := s.opts.Guard.SignOut(ctx, &v.request)
	if !d.Allowed() {
		return s.refuse(c, d)
	}
	c.Response().Header.DelAllCookies() // one that was renewed must not come after
	setCookie(c, d.Cookie)
	return redirect(c, auth.PathSignIn)
}

// notices are what the page about access says after a form, by ?done=.
var notices = map[string]string{ //nolint:gochecknoglobals // a constant table; Go has no constant maps
	"password": "The password is changed. Other devices have to sign in again.",
	"account":  "The account is there.",
	"removed":  "The account is removed, and whoever watched with it is gone.",
	"sessions": "The account is signed out everywhere.",
	"revoked":  "The token is revoked, and whoever watched with it is gone.",
	"links":    "No link that was made so far is valid any more.",
}

// accessPage shows who has access, after a form that was refused if there is a
// refusal.
func (s *Server) accessPage(c *fiber.Ctx, refusal *auth.Decision) error {
	who := visitOf(c).decision.Principal
	data := uiData{Title: "Access", Admin: who.Role >= auth.Admin, OwnPassword: who.Kind == auth.KindSession, Name: who.Name}
	code := fiber.StatusOK
	if refusal != nil {
		code, data.Problem = refusal.Status, refusal.Message
		retryAfter(c, refusal)
		setCookie(c, refusal.Cookie)
	} else {
		data.Notice = notices[c.Query("done")]
		data.Shown = s.shown.take(strings.Clone(c.Query("shown")), who, time.Now())
	}
	if data.Admin {
		store := s.opts.Guard.Store()
		var err error
		if data.Accounts, err = store.Accounts(); err == nil {
			data.Tokens, err = store.Tokens()
		}
		if err != nil {
			return s.refuse(c, *no(fiber.StatusServiceUnavailable, auth.CodeStore, "The access file of this camera cannot be read; its log says why."))
		}
		data.Paths = s.linkPaths()
	}
	return s.sendUI(c, code, uiAccess, data)
}

func done(what string) string { return pathAccess + "?done=" + what }

func (s *Server) passwordForm(c *fiber.Ctx) (string, *auth.Decision) {
	ctx, cancel := s.change()
	defer cancel()
	d := s.opts.Guard.ChangePassword(ctx, &visitOf(c).request, value(c, "current"), value(c, "password"))
	if !d.Allowed() {
		return "", &d
	}
	setCookie(c, d.Cookie)
	return done("password"), nil
}

func (s *Server) accountForm(c *fiber.Ctx) (string, *auth.Decision) {
	return done("account"), s.addAccount(c, value(c, "name"), value(c, "password"), auth.Viewer)
}

func (s *Server) removeAccountForm(c *fiber.Ctx) (string, *auth.Decision) {
	return done("removed"), s.removeAccount(c, value(c, "name"))
}

func (s *Server) endSessionsForm(c *fiber.Ctx) (string, *auth.Decision) {
	return done("sessions"), s.endSessions(c, value(c, "name"))
}

func (s *Server) tokenForm(c *fiber.Ctx) (string, *auth.Decision) {
	role, err := auth.ParseRole(value(c, "role"))
	if err != nil {
		return "", no(fiber.StatusUnprocessableEntity, auth.CodeRole, "Choose what the token may do.")
	}
	info, secret, refusal := s.addToken(c, value(c, "name"), role)
	if refusal != nil {
		return "", refusal
	}
	return s.show(c, shownItem{What: "token", Name: info.Name, Secret: secret}), nil
}

// show keeps a secret for the page that follows, and returns its address.
func (s *Server) show(c *fiber.Ctx, item shownItem) string {
	item.owner = visitOf(c).decision.Principal
	return pathAccess + "?shown=" + url.QueryEscape(s.shown.put(item, time.Now()))
}

func (s *Server) revokeTokenForm(c *fiber.Ctx) (string, *auth.Decision) {
	return done("revoked"), s.revokeToken(c, value(c, "id"))
}

func (s *Server) linkForm(c *fiber.Ctx) (string, *auth.Decision) {
	hours, err := strconv.Atoi(value(c, "hours"))
	if err != nil || hours < 1 || hours > int(longestLink/time.Hour) {
		return "", no(fiber.StatusUnprocessableEntity, "life", "Choose how long the link lasts.")
	}
	link, until, refusal := s.signLink(c, value(c, "path"), time.Duration(hours)*time.Hour)
	if refusal != nil {
		return "", refusal
	}
	v := visitOf(c)
	site := "http://"
	if v.decision.Secure {
		site = "https://"
	}
	return s.show(c, shownItem{What: "link", Name: until.UTC().Format("2006-01-02 15:04 UTC"), Secret: site + v.request.Host + link, Path: link}), nil
}

func (s *Server) revokeLinksForm(c *fiber.Ctx) (string, *auth.Decision) {
	return done("links"), s.revokeLinks(c)
}
