package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// This file is access control for programs: JSON in, JSON out, refusals as
// sendProblem makes them.

// addAPI adds the routes of programs.
func (s *Server) addAPI() {
	s.app.Get(apiClaim, s.claimState)
	s.app.Post(apiClaim, s.apiClaim)
	s.app.Get(apiSignIn, func(c *fiber.Ctx) error { return c.JSON(visitOf(c).decision.Principal) })
	s.app.Post(apiSignIn, s.apiSignIn)
	s.app.Post(apiSignOut, func(c *fiber.Ctx) error {
		ctx, cancel := s.change()
		defer cancel()
		d := s.opts.Guard.SignOut(ctx, &visitOf(c).request)
		c.Response().Header.DelAllCookies() // one that was renewed must not come after
		return s.decided(c, d)
	})
	s.app.Post(apiPassword, s.apiPassword)
	s.app.Get(apiTokens, s.apiListTokens)
	s.app.Post(apiTokens, s.apiAddToken)
	s.app.Delete(apiTokens+"/:id", func(c *fiber.Ctx) error { return s.removed(c, s.revokeToken(c, param(c, "id"))) })
	s.app.Get(apiAccounts, s.apiListAccounts)
	s.app.Post(apiAccounts, s.apiAddAccount)
	s.app.Delete(apiAccounts+"/:id", func(c *fiber.Ctx) error { return s.removed(c, s.removeAccount(c, param(c, "id"))) })
	s.app.Delete(apiAccounts+"/:id/sessions", func(c *fiber.Ctx) error { return s.removed(c, s.endSessions(c, param(c, "id"))) })
	s.app.Post(apiLinks, s.apiAddLink)
	s.app.Delete(apiLinks, func(c *fiber.Ctx) error { return s.removed(c, s.revokeLinks(c)) })
}

// param is a part of the path, decoded.
func param(c *fiber.Ctx, name string) string {
	text, err := url.PathUnescape(strings.Clone(c.Params(name)))
	if err != nil {
		return "" // there is no object of that name
	}
	return text
}

// read takes the body apart. It knows all its fields, so that a misspelt one is
// noticed.
func read[T any](c *fiber.Ctx) (body T, refusal *auth.Decision) {
	kind, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	if strings.TrimSpace(strings.ToLower(kind)) != fiber.MIMEApplicationJSON {
		return body, no(fiber.StatusUnsupportedMediaType, "media_type", "The body has to be "+fiber.MIMEApplicationJSON+".")
	}
	dec := json.NewDecoder(bytes.NewReader(c.Body()))
	dec.DisallowUnknownFields()
	err := dec.Decode(&body)
	if _, more := dec.Token(); err != nil || !errors.Is(more, io.EOF) {
		return body, no(fiber.StatusBadRequest, "json", "The body is not the JSON that this takes.") // the error may repeat a password
	}
	return body, nil
}

// send answers with a value.
func send(c *fiber.Ctx, code int, value any) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Status(code).JSON(value)
}

// decided answers with who somebody is now.
func (s *Server) decided(c *fiber.Ctx, d auth.Decision) error {
	if !d.Allowed() {
		return s.refuse(c, d)
	}
	setCookie(c, d.Cookie)
	return send(c, fiber.StatusOK, d.Principal)
}

// removed answers that something is gone.
func (s *Server) removed(c *fiber.Ctx, refusal *auth.Decision) error {
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Status(fiber.StatusNoContent)
	return nil
}

func (s *Server) claimState(c *fiber.Ctx) error {
	state := s.opts.Guard.ClaimState(&visitOf(c).request)
	return send(c, fiber.StatusOK, struct {
		Claimed     bool      `json:"claimed"`
		Refusal     auth.Code `json:"refusal,omitempty"`
		Message     string    `json:"message,omitempty"`
		LeftSeconds int       `json:"left_seconds,omitempty"`
	}{state.Claimed, state.Refusal, state.Message, int(state.Left.Seconds())})
}

// credentials are a name, which may be missing, and a password.
type credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"` //nolint:gosec // it is read and never written
}

func (s *Server) apiClaim(c *fiber.Ctx) error {
	body, refusal := read[credentials](c)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	ctx, cancel := s.change()
	defer cancel()
	return s.decided(c, s.opts.Guard.Claim(ctx, &visitOf(c).request, body.Name, body.Password))
}

func (s *Server) apiSignIn(c *fiber.Ctx) error {
	body, refusal := read[credentials](c)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	ctx, cancel := s.change()
	defer cancel()
	return s.decided(c, s.opts.Guard.SignIn(ctx, &visitOf(c).request, body.Name, body.Password))
}

func (s *Server) apiPassword(c *fiber.Ctx) error {
	body, refusal := read[struct {
		Current  string `json:"current"`
		Password string `json:"password"` //nolint:gosec // it is read and never written
	}](c)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	ctx, cancel := s.change()
	defer cancel()
	return s.decided(c, s.opts.Guard.ChangePassword(ctx, &visitOf(c).request, body.Current, body.Password))
}

func (s *Server) apiListTokens(c *fiber.Ctx) error {
	all, err := s.opts.Guard.Store().Tokens()
	if err != nil {
		return s.refuse(c, *s.because(err))
	}
	return send(c, fiber.StatusOK, map[string]any{"tokens": all})
}

func (s *Server) apiAddToken(c *fiber.Ctx) error {
	body, refusal := read[struct {
		Name string    `json:"name"`
		Role auth.Role `json:"role"`
	}](c)
	if refusal == nil && body.Role == auth.Nobody {
		refusal = no(fiber.StatusUnprocessableEntity, auth.CodeRole, "A role is viewer or admin.")
	}
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	info, secret, refusal := s.addToken(c, body.Name, body.Role)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	return send(c, fiber.StatusCreated, map[string]any{"token": info, "secret": secret})
}

func (s *Server) apiListAccounts(c *fiber.Ctx) error {
	all, err := s.opts.Guard.Store().Accounts()
	if err != nil {
		return s.refuse(c, *s.because(err))
	}
	return send(c, fiber.StatusOK, map[string]any{"accounts": all})
}

func (s *Server) apiAddAccount(c *fiber.Ctx) error {
	body, refusal := read[struct {
		credentials

		Role auth.Role `json:"role"`
	}](c)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	if body.Role == auth.Nobody {
		body.Role = auth.Viewer
	}
	if refusal := s.addAccount(c, body.Name, body.Password, body.Role); refusal != nil {
		return s.refuse(c, *refusal)
	}
	return send(c, fiber.StatusCreated, map[string]any{"name": strings.ToLower(strings.TrimSpace(body.Name)), "role": body.Role})
}

func (s *Server) apiAddLink(c *fiber.Ctx) error {
	body, refusal := read[struct {
		Path        string `json:"path"`
		LifeSeconds int64  `json:"life_seconds"`
	}](c)
	if refusal == nil && (body.LifeSeconds < 1 || body.LifeSeconds > int64(longestLink/time.Second)) {
		refusal = no(fiber.StatusUnprocessableEntity, "life", "A link lasts for a second to 366 days.")
	}
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	link, until, refusal := s.signLink(c, body.Path, time.Duration(body.LifeSeconds)*time.Second)
	if refusal != nil {
		return s.refuse(c, *refusal)
	}
	return send(c, fiber.StatusCreated, map[string]any{"link": link, "until": until.UTC()})
}
