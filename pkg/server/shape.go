package server

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// This file refuses requests that a proxy in front might understand in another way
// than we do: two programs that disagree on where a request ends, or on whom it is
// for, can be played off against each other. fasthttp takes many of them.

// checkShape says what is wrong with the form of a request, or "". The connection is
// closed after that: what follows may be no request.
func checkShape(h *fasthttp.RequestHeader) string {
	http11 := string(h.Protocol()) == "HTTP/1.1"
	if !http11 && string(h.Protocol()) != "HTTP/1.0" {
		return "the protocol is HTTP/1.0 or HTTP/1.1"
	}
	if len(h.Method()) > 32 || !isToken(h.Method()) {
		return "the method is not a word"
	}
	hosts, problem := checkFields(h.RawHeaders(), http11)
	if problem != "" {
		return problem
	}
	if http11 && hosts == 0 {
		return "the field Host is missing"
	}
	return checkTarget(string(h.Method()), string(h.RequestURI()), string(h.Host()))
}

// inChunks reports whether the body came in chunks. The connection is to be closed
// after such a request: fasthttp takes sizes and extensions of chunks that others
// would refuse, or understand in another way.
func inChunks(h *fasthttp.RequestHeader) bool {
	for line := range bytes.Lines(h.RawHeaders()) {
		if name, _, _ := bytes.Cut(line, []byte(":")); strings.EqualFold(string(name), fiber.HeaderTransferEncoding) {
			return true
		}
	}
	return false
}

// dropTrailers forgets the fields that came behind the last chunk, which fasthttp
// adds to those before the body: a proxy that takes care of these may have let
// those through. It says what is wrong, as checkShape does, which comes first.
func dropTrailers(h *fasthttp.RequestHeader) string {
	text := fmt.Appendf(nil, "%s %s %s\r\n%s", h.Method(), h.RequestURI(), h.Protocol(), h.RawHeaders())
	var before fasthttp.RequestHeader
	if err := before.Read(bufio.NewReaderSize(bytes.NewReader(text), len(text))); err != nil {
		return "its fields cannot be read" // that does not happen: they were read before
	}
	before.CopyTo(h)
	return ""
}

// checkFields looks at the header fields as they came, and counts those named Host.
func checkFields(raw []byte, http11 bool) (hosts int, problem string) {
	lengths, encodings := 0, 0
	for len(raw) > 0 {
		line, rest, ok := bytes.Cut(raw, []byte("\n"))
		raw = rest
		if !ok || len(line) == 0 || line[len(line)-1] != '\r' {
			return 0, "a line does not end with CR LF"
		}
		if line = line[:len(line)-1]; len(line) == 0 {
			if len(rest) > 0 {
				return 0, "there is an empty line between the fields"
			}
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			return 0, "a field goes on in the next line"
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) {
			return 0, "a field's name is not a word"
		}
		if bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return 0, "a field has a control character"
		}
		value = bytes.Trim(value, " \t")
		switch strings.ToLower(string(name)) {
		case "host":
			hosts++
		case "content-length":
			lengths++
			if len(value) == 0 || len(value) > 18 || bytes.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' }) {
				return 0, "Content-Length is not a number"
			}
		case "transfer-encoding":
			encodings++
			if !http11 || !strings.EqualFold(string(value), "chunked") {
				return 0, "of transfer encodings only chunked is known"
			}
		}
	}
	switch {
	case hosts > 1:
		return 0, "the field Host is there more than once"
	case lengths+encodings > 1:
		return 0, "the length of the body is given more than once"
	}
	return hosts, ""
}

// checkTarget looks at what the request is for. A whole address must name the same
// host as the field does: one is what is checked, the other what a proxy went by.
func checkTarget(method, target, host string) string {
	if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return "the address has characters that have to be encoded"
	}
	if strings.ContainsAny(host, ", \t/\\@?#") {
		return "the field Host is not the name of a host"
	}
	switch {
	case strings.HasPrefix(target, "//"):
		return "the address begins with two slashes"
	case strings.HasPrefix(target, "/"), target == "*" && method == http.MethodOptions:
		return ""
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return "the address is not a path"
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	if authority == "" || !strings.EqualFold(authority, host) {
		return "the address is for another host than the field Host says"
	}
	return ""
}

// isToken reports whether b is a token of RFC 9110, section 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

// refuseShape answers a malformed request and closes the connection.
func (s *Server) refuseShape(c *fiber.Ctx, problem string) error {
	c.Context().SetConnectionClose()
	return s.sendProblem(c, fiber.StatusBadRequest, "malformed", "This is not a request that can be answered: "+problem+".")
}

// sendProblem answers with a refusal for programs.
func (s *Server) sendProblem(c *fiber.Ctx, code int, name, message string) error {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Status(code).JSON(struct {
		Error problem `json:"error"`
	}{problem{name, message}})
}
