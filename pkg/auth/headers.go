package auth

import (
	"slices"
	"strings"
)

// Field is one header field of an answer.
type Field struct{ Name, Value string }

// SecurityFields are the header fields that every answer gets. Set picture for
// the stream and the snapshot, which pages of other sites may show, though not
// read; whether they get it is a matter of credentials.
func (g *Guard) SecurityFields(picture bool) []Field {
	if picture {
		return g.pictureFields
	}
	return g.pageFields
}

// securityFields prepares SecurityFields.
func securityFields(frames []string) (page, picture []Field) {
	ancestors := "'self'"
	if len(frames) > 0 {
		ancestors = "'self' " + strings.Join(frames, " ")
	}
	if slices.Contains(frames, "*") {
		ancestors = "*"
	}
	common := []Field{
		{"X-Content-Type-Options", "nosniff"},
		// With no-referrer browsers send "Origin: null" with our own forms.
		{"Referrer-Policy", "same-origin"},
	}
	page = append(slices.Clone(common),
		Field{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
			"font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors " + ancestors},
		Field{"Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"},
		Field{"Cross-Origin-Resource-Policy", "same-origin"},
	)
	if len(frames) == 0 {
		page = append(page, Field{"X-Frame-Options", "SAMEORIGIN"}) // it cannot say more than that
	}
	picture = append(common,
		Field{"Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors " + ancestors},
		Field{"Cross-Origin-Resource-Policy", "cross-origin"},
	)
	return page, picture
}

// CORSFields are the header fields that let a page of another site read an
// answer, for origins that the settings name. Without credentials in the browser's
// sense: such pages send a token.
func (g *Guard) CORSFields(origin string) []Field {
	if len(g.origins) == 0 {
		return nil
	}
	fields := []Field{{"Vary", "Origin"}}
	if slices.Contains(g.origins, origin) {
		fields = append(fields, Field{"Access-Control-Allow-Origin", origin})
	}
	return fields
}

// Preflight answers OPTIONS with Access-Control-Request-Method, which browsers
// ask without credentials; ok is false unless the settings name the origin.
func (g *Guard) Preflight(origin string) (fields []Field, ok bool) {
	if !slices.Contains(g.origins, origin) {
		return nil, false
	}
	return append(g.CORSFields(origin),
		Field{"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"},
		Field{"Access-Control-Allow-Headers", "Authorization, Content-Type"},
		Field{"Access-Control-Max-Age", "600"},
	), true
}
