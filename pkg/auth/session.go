package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// A session is a signed cookie, so it costs the disk nothing, survives restarts,
// and works when the disk is full. It names the account and carries the account's
// mark: a new password, another role or the end of all sessions make it void.

// How long sessions last.
const (
	// sessionFor is how long one lasts without being used. Chosen: a phone that
	// looks once a month stays signed in.
	sessionFor = 30 * 24 * time.Hour
	// renewAfter is the age at which a cookie that is used is replaced.
	renewAfter = 24 * time.Hour
	// sessionAtMost is how long one lasts however much it is used. Chosen: a
	// cookie that was stolen unnoticed is of no use for ever.
	sessionAtMost = 180 * 24 * time.Hour
	// maxCookie bounds its value, in bytes.
	maxCookie = 512
)

// session is what a cookie says.
type session struct {
	id      [16]byte
	begun   time.Time
	renewed time.Time
	mark    mark
	name    string
}

// sessionFixed is the length of a session's fields before the name: version, id,
// two times, mark.
const sessionFixed = 1 + 16 + 8 + 8 + 16

// idText is the id as the file has it.
func (s *session) idText() string { return hex.EncodeToString(s.id[:]) }

// stamp tells the cookies of one session apart.
type stamp struct {
	id      [16]byte
	renewed int64
}

func (s *session) stamp() stamp { return stamp{s.id, s.renewed.Unix()} }

// until is when the session ends by itself.
func (s *session) until() time.Time {
	end, last := s.renewed.Add(sessionFor), s.begun.Add(sessionAtMost)
	if last.Before(end) {
		return last
	}
	return end
}

// value gives the cookie's value.
func (s *session) value(key secret) string {
	b := make([]byte, 0, sessionFixed+len(s.name)+sha256.Size)
	b = append(b, 1)
	b = append(b, s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.begun.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.renewed.Unix()))
	b = append(b, s.mark[:]...)
	b = append(b, s.name...)
	return base64.RawURLEncoding.EncodeToString(append(b, sessionMAC(key, b)...))
}

// sessionMAC signs a session's fields.
func sessionMAC(key secret, fields []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("webgear session 1\n"))
	mac.Write(fields)
	return mac.Sum(nil)
}

// parseSession reads a cookie's value; ok is false unless the key signed it.
func parseSession(value string, key secret) (s session, ok bool) {
	if len(value) > maxCookie {
		return s, false
	}
	b, err := decodeText(base64.RawURLEncoding, value)
	if err != nil || len(b) < sessionFixed+sha256.Size {
		return s, false
	}
	fields, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(sum, sessionMAC(key, fields)) || fields[0] != 1 {
		return s, false
	}
	fields = fields[1:]
	copy(s.id[:], fields)
	s.begun = time.Unix(int64(binary.BigEndian.Uint64(fields[16:])), 0)
	s.renewed = time.Unix(int64(binary.BigEndian.Uint64(fields[24:])), 0)
	copy(s.mark[:], fields[32:])
	s.name = string(fields[48:])
	return s, true
}

// cookieName is the name of the session cookie. Cookies do not know ports: two
// programs on one computer have different names by a part of their own. With
// encryption the prefix makes browsers refuse cookies that were set without.
func (c *contents) cookieName(secure bool) string {
	sum := sha256.Sum256(append([]byte("webgear cookie name\n"), c.SessionKey...))
	name := "webgear_" + hex.EncodeToString(sum[:4])
	if secure {
		return "__Host-" + name
	}
	return name
}

// setCookie gives the field Set-Cookie. An empty value removes the cookie.
func setCookie(name, value string, lifetime time.Duration, secure bool) string {
	s := name + "=" + value + "; Path=/; Max-Age=" + strconv.Itoa(int(lifetime/time.Second)) + "; HttpOnly; SameSite=Strict"
	if secure {
		s += "; Secure"
	}
	return s
}

// maxSameCookies bounds how many cookies of one name are tried. A page on another
// port of this computer can add its own; one of them being right is enough.
const maxSameCookies = 4

// cookies finds the values of a cookie in the field Cookie. Other programs'
// cookies may be malformed in any way.
func cookies(field, name string) (values []string) {
	for part := range strings.SplitSeq(field, ";") {
		n, v, ok := strings.Cut(strings.Trim(part, " \t"), "=")
		if ok && n == name && len(values) < maxSameCookies {
			values = append(values, strings.Trim(v, "\""))
		}
	}
	return values
}
