// Package auth decides who may do what: accounts, sign-in, tokens, signed links,
// the claim of a computer that has no password yet, and the checks that keep
// other web sites out. It knows no HTTP library: [Guard.Check] takes a [Request]
// and returns a [Decision], and the server translates both.
//
// Who is let in without a password is decided by the listener that a request
// came through, never by the address it came from: a reverse proxy on the same
// computer would otherwise turn everybody into a local user.
//
// Everything that lasts is in one file, see [Store]. Other programs, such as
// webgear passwd, may change it at any time; that is noticed within half a
// second, also by what is running for somebody who lost his rights: see
// [Guard.Watch].
//
// The package starts no goroutine: [Guard.Run] is the caller's to start. All
// methods of Guard and Store may be called from any goroutine. Passwords, tokens
// and signatures never appear in errors, log records or decisions.
package auth

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Role is what somebody may do. A higher one includes the lower.
type Role uint8

// Roles.
const (
	// Nobody may see public pages only.
	Nobody Role = iota
	// Viewer may watch and read the state.
	Viewer
	// Admin may also change everything.
	Admin
)

// String gives the role's word.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Admin:
		return "admin"
	case Nobody:
	}
	return "nobody"
}

// ParseRole reads viewer or admin.
func ParseRole(s string) (Role, error) {
	switch s {
	case "viewer":
		return Viewer, nil
	case "admin":
		return Admin, nil
	}
	return Nobody, errors.New("a role is viewer or admin")
}

// MarshalText gives the role's word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads viewer or admin.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// Mode is the setting of who is let in.
type Mode uint8

// Modes.
const (
	// Password wants a password from everybody who comes through a listener
	// that others can reach. It is the default.
	Password Mode = iota
	// Open lets everybody do everything. Somebody has to choose it.
	Open
)

// ParseMode reads password or open.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "", "password":
		return Password, nil
	case "open":
		return Open, nil
	}
	return Password, errors.New("is password or open")
}

// Trust is what is known of whoever comes through a listener. The zero value
// trusts least.
type Trust uint8

// Kinds of listeners.
const (
	// Network: others can reach it.
	Network Trust = iota
	// Local: bound to a loopback address or a Unix socket. Users of this
	// computer need no password.
	Local
)

// TrustOf says what a listener's own address is worth. It must be the address
// that was bound, not the local one of a connection: whoever reaches a listener
// on all interfaces through 127.0.0.1 may be a proxy.
func TrustOf(bound net.Addr) Trust {
	switch a := bound.(type) {
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return Local
		}
	case *net.UnixAddr:
		// An abstract socket has no file, so no file's permissions: everybody on
		// this computer may connect, as to a loopback address.
		return Local
	}
	return Network
}

// Kind is how somebody proved who he is.
type Kind string

// Kinds of proof.
const (
	// KindNone is nobody.
	KindNone Kind = ""
	// KindOpen needs no proof: a local listener, or the mode Open.
	KindOpen    Kind = "open"
	KindSession Kind = "session"
	KindBasic   Kind = "basic"
	KindToken   Kind = "token"
	KindLink    Kind = "link"
)

// Principal is who a request is from. The zero value is nobody.
type Principal struct {
	// Name is that of the account or token, or empty.
	Name string `json:"name"`
	Role Role   `json:"role"`
	Kind Kind   `json:"kind"`

	// id is that of the session or token.
	id string
	// mark is the fingerprint of what the proof was checked against: another one
	// ends what was allowed by it.
	mark mark
	// until is when the right ends; zero means not by itself.
	until time.Time
}

// Need is what a route asks for.
type Need struct {
	// Role is the least that is let in; Nobody makes the route public.
	Role Role
	// Link is set where a signed link is enough: the stream and the snapshot.
	Link bool
	// Unclaimed is set for what answers before anybody has set a password: the
	// claim page and what it consists of.
	Unclaimed bool
	// Probe is set for /healthz, which has nothing to hide and answers under any
	// host name.
	Probe bool
}

// Request is what the decision depends on. Header fields that are repeated are
// joined with ", ", except Host, which must be the only one.
type Request struct {
	Method string
	// Path is the decoded path that the request is routed by.
	Path string
	// Query is the raw query, without the question mark.
	Query string
	Host  string

	Accept        string
	Authorization string
	Cookie        string
	Origin        string
	// FetchSite is Sec-Fetch-Site.
	FetchSite string
	Forwarded Forwarded

	// Peer is the other end of the connection; invalid for Unix sockets.
	Peer     netip.AddrPort
	Listener Trust
	// TLS is set when the connection itself is encrypted.
	TLS bool

	Need Need
}

// Forwarded is what proxies say about a request, as they wrote it.
type Forwarded struct {
	// Forwarded is the field of RFC 7239.
	Forwarded string
	// For, Proto, Host and RealIP are X-Forwarded-For, X-Forwarded-Proto,
	// X-Forwarded-Host and X-Real-IP.
	For, Proto, Host, RealIP string
	// Via is the field of RFC 9110, with CF-Connecting-IP, True-Client-IP and
	// the like appended: nothing in it is believed, but it shows that there is a
	// proxy.
	Via string
}

// any reports whether there is a proxy.
func (f *Forwarded) any() bool {
	return f.Forwarded != "" || f.For != "" || f.Proto != "" || f.Host != "" || f.RealIP != "" || f.Via != ""
}

// Code names a refusal to programs.
type Code string

// Reasons of refusals.
const (
	CodeNone Code = ""
	// CodeUnclaimed: nobody has set a password yet.
	CodeUnclaimed Code = "unclaimed"
	// CodeClaimClosed: the time to claim is over.
	CodeClaimClosed Code = "claim_closed"
	// CodeClaimRemote: a claim from too far away.
	CodeClaimRemote Code = "claim_remote"
	// CodeClaimed: somebody was faster.
	CodeClaimed Code = "claimed"
	// CodeSignIn: no or wrong credentials.
	CodeSignIn Code = "sign_in"
	// CodeRole: signed in, but that is not enough.
	CodeRole Code = "role"
	// CodeSlowDown: too many wrong passwords.
	CodeSlowDown Code = "slow_down"
	// CodeBusy: too many passwords to check at once.
	CodeBusy Code = "busy"
	// CodeHost: the request is for a host name that is not ours.
	CodeHost Code = "host"
	// CodeOrigin: another web site wants to change something.
	CodeOrigin Code = "origin"
	// CodeForwarded: what proxies say makes no sense.
	CodeForwarded Code = "forwarded"
	// CodePassword: a new password that is not good enough.
	CodePassword Code = "password"
	// CodeStore: the access file cannot be read or written.
	CodeStore Code = "store"
)

// Decision is what to do with a request.
type Decision struct {
	// Principal is who it is from; it may be known in refusals too.
	Principal Principal
	// Client is the address of the person behind it, for logs and limits; proxies
	// that are trusted are looked through. Invalid for Unix sockets.
	Client netip.Addr
	// Secure is set when the person's side of the connection is encrypted.
	Secure bool

	// Status is 0 when the request may go on, else that of the answer.
	Status int
	// Code and Message say why, to programs and people.
	Code    Code
	Message string
	// RetryAfter, if not 0, is the time after which it may work.
	RetryAfter time.Duration
	// Location, if not empty, goes with Status 303.
	Location string
	// Challenge, if not empty, is WWW-Authenticate.
	Challenge string
	// Cookie, if not empty, is Set-Cookie, for any answer.
	Cookie string
}

// Allowed reports whether the request may go on.
func (d *Decision) Allowed() bool { return d.Status == 0 }

// RetryAfterSeconds is RetryAfter for the header field: whole seconds, not 0.
func (d *Decision) RetryAfterSeconds() int {
	return max(1, int((d.RetryAfter+time.Second-1)/time.Second))
}

// RedactQuery hides what is secret in a raw query, for logs: the value of every
// parameter that could be a signature, a token or a password.
func RedactQuery(raw string) string {
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		name, _, has := strings.Cut(p, "=")
		if has && !isPlain(name) {
			parts[i] = name + "=…"
		}
	}
	return strings.Join(parts, "&")
}

// isPlain knows the parameters whose values are no secrets. A list of secret ones
// would miss those of tomorrow, and encoded spellings.
func isPlain(name string) bool {
	switch name {
	case "action", "exp", "fps", "height", "key", "q", "quality", "width":
		return true
	}
	return false
}
