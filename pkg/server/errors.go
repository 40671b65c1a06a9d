package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// panicError is a panic that catchPanics turned into an error.
type panicError struct {
	value any
	stack []byte
}

// Error says what was thrown.
func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// catchPanics turns the panic of a later handler into an error.
func (s *Server) catchPanics(c *fiber.Ctx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return c.Next()
}

// handleError answers a request that ended with err. It is the only place where
// errors become status codes. What went wrong inside stays inside: the log and
// the client get the same reference, the client nothing else.
func (s *Server) handleError(c *fiber.Ctx, err error) error {
	code := fiber.StatusInternalServerError
	if e := new(fiber.Error); errors.As(err, &e) {
		code = e.Code
	}
	s.secure(c, false)
	switch code {
	case fiber.StatusRequestEntityTooLarge:
		return s.sendProblem(c, code, "too_large", fmt.Sprintf("The body of the request is larger than %d KiB.", maxBodyBytes>>10))
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return s.sendProblem(c, code, "header_too_large", fmt.Sprintf("The header of the request is larger than %d KiB.", maxHeaderBytes>>10))
	}
	if visitOf(c) == nil && code < fiber.StatusInternalServerError { // fasthttp could not read it
		return s.sendProblem(c, code, "malformed", "This is not a request that can be answered.")
	}
	if code == fiber.StatusMethodNotAllowed && s.opts.SkipPages && c.Path() == pathPage {
		// Only the aliases of the stream are there, and they are a matter of GET.
		code = fiber.StatusNotFound
		c.Response().Header.Del(fiber.HeaderAllow)
	}
	switch {
	case code == fiber.StatusNotFound:
		return s.fail(c, code, pageNotFound, "")
	case code == fiber.StatusServiceUnavailable:
		return s.fail(c, code, "", err.Error())
	case code < fiber.StatusInternalServerError:
		return s.fail(c, code, "", "")
	}
	reference := strings.ToLower(rand.Text()[:8])
	args := []any{"reference", reference, "method", c.Method(), "path", strings.Clone(c.Path()), "err", err}
	if p := new(panicError); errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
	}
	s.log.Error("request failed", args...)
	c.Response().Reset()
	s.secure(c, false)
	if s.opts.DebugErrors {
		return s.showStack(c, reference, err)
	}
	return s.fail(c, fiber.StatusInternalServerError, pageFailed, reference)
}

// showStack answers with everything the log has, as plain text.
func (s *Server) showStack(c *fiber.Ctx, reference string, err error) error {
	text := fmt.Sprintf("reference %s\n%v\n", reference, err)
	if p := new(panicError); errors.As(err, &p) {
		text += "\n" + string(p.stack)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Status(fiber.StatusInternalServerError).SendString(text)
}

// fail answers with a status code: as JSON for programs that ask for it, as the
// page when there is one, as plain text otherwise. text is a reference for
// pages and a sentence without.
func (s *Server) fail(c *fiber.Ctx, code int, page, text string) error {
	title := http.StatusText(code)
	c.Status(code)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	switch {
	case s.opts.SkipPages, wantsJSON(c):
		body := map[string]string{"detail": title}
		if page != "" && text != "" {
			body["reference"] = text
		} else if text != "" {
			body["detail"] = text
		}
		return c.JSON(body)
	case page != "":
		return s.render(c, page, pageData{Title: title, Reference: text})
	}
	if text == "" {
		text = title
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
	return c.SendString(text + "\n")
}

// wantsJSON reports whether the client names JSON and not HTML among what it
// accepts. "*/*" alone is no wish.
func wantsJSON(c *fiber.Ctx) bool {
	accept := strings.ToLower(c.Get(fiber.HeaderAccept))
	return strings.Contains(accept, fiber.MIMEApplicationJSON) && !strings.Contains(accept, fiber.MIMETextHTML)
}

// knownMethods answers methods that the HTTP library does not know; it would do so
// before anybody else could.
func (s *Server) knownMethods(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			next(ctx)
			return
		}
		c := s.app.AcquireCtx(ctx)
		defer s.app.ReleaseCtx(c)
		ctx.SetConnectionClose()
		s.secure(c, false)
		_ = s.sendProblem(c, fiber.StatusBadRequest, "method", "This method is not known.") // it cannot fail
	}
}
