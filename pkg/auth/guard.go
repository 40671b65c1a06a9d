package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Paths that decisions send people to.
const (
	// PathClaim is the page to set the first password.
	PathClaim = "/claim"
	// PathSignIn is the page to sign in.
	PathSignIn = "/sign-in"
)

// DefaultAccount is the account of a claim, and of a sign-in without a name.
const DefaultAccount = "admin"

// Options are the settings of access.
type Options struct {
	// Store is needed.
	Store *Store
	Mode  Mode
	// Hostname is this computer's name, without domain. Hosts are further names
	// under which it is reached.
	Hostname string
	Hosts    []string
	// Origins are web sites whose pages may read and change things, with a token.
	Origins []string
	// FrameAncestors are web sites that may frame the pages; "*" means all.
	FrameAncestors []string
	// TrustedProxies are those whose forwarded header fields are believed.
	TrustedProxies []netip.Prefix
	// ClaimFrom are networks to claim from, beside private and link-local ones.
	ClaimFrom []netip.Prefix
	// OnLink gives the IPv6 networks that this computer is part of, whose public
	// addresses are neighbours too; nil asks the interfaces.
	OnLink func() []netip.Prefix
	// Logger receives events; nil discards them.
	Logger *slog.Logger
}

// Guard decides about requests.
type Guard struct {
	store    *Store
	mode     Mode
	hostname string
	hosts    []string
	origins  []string
	proxies  []netip.Prefix
	claim    []netip.Prefix
	onLink   func() []netip.Prefix
	log      *slog.Logger

	pageFields, pictureFields []Field

	slow     *slowdown
	verdicts *verdicts

	mu      sync.Mutex
	issued  *recent[stamp, time.Duration] // guarded by mu; when cookies were made, since boot
	out     *recent[string, struct{}]     // guarded by mu; sessions that ended and could not be stored
	used    map[string]time.Time          // guarded by mu; tokens to be stored as used
	watches map[*Watch]struct{}           // guarded by mu
	ended   chan struct{}                 // guarded by mu; closed when a watch ends

	first  chan struct{} // room for one: there is a watch again
	noting chan struct{} // room for one: there is a token in used
}

// maxIssued bounds the cookies whose age is known without the time of day.
const maxIssued = 256

// New checks the options and makes a guard.
func New(o Options) (*Guard, error) {
	if o.Store == nil {
		return nil, errors.New("access: the store is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnLink == nil {
		o.OnLink = interfaceNetworks
	}
	g := &Guard{
		store: o.Store, mode: o.Mode, proxies: o.TrustedProxies, claim: o.ClaimFrom, onLink: o.OnLink, log: o.Logger,
		slow: newSlowdown(o.Store.sys.SinceBoot), verdicts: newVerdicts(),
		issued: newRecent[stamp, time.Duration](maxIssued), out: newRecent[string, struct{}](maxIssued),
		used: map[string]time.Time{}, watches: map[*Watch]struct{}{}, ended: make(chan struct{}),
		first: make(chan struct{}, 1), noting: make(chan struct{}, 1),
	}
	g.hostname, _, _ = strings.Cut(strings.ToLower(o.Hostname), ".")
	for _, h := range o.Hosts {
		name, port, ok := splitHost(h)
		if !ok || port != "" {
			return nil, fmt.Errorf("access host %q: write a name such as camera.example.org", h)
		}
		g.hosts = append(g.hosts, name)
	}
	var err error
	if g.origins, err = parseOrigins(o.Origins); err != nil {
		return nil, fmt.Errorf("access origins: %w", err)
	}
	var frames []string
	for _, f := range o.FrameAncestors {
		if f == "*" {
			frames = append(frames, f)
			continue
		}
		more, err := parseOrigins([]string{f})
		if err != nil {
			return nil, fmt.Errorf("access frame ancestors: %w", err)
		}
		frames = append(frames, more...)
	}
	g.pageFields, g.pictureFields = securityFields(frames)
	return g, nil
}

// Store is that of the options.
func (g *Guard) Store() *Store { return g.store }

// refuse fills in a refusal.
func (d Decision) refuse(status int, code Code, message string) Decision {
	d.Status, d.Code, d.Message = status, code, message
	return d
}

// enter is the part of a decision that does not depend on who it is: where the
// request is from, and whether a page of another site made it. local is true for
// those who need no password.
func (g *Guard) enter(r *Request) (d Decision, o origin, local bool) {
	o, err := originOf(r, g.proxies)
	d.Client, d.Secure = o.client, o.secure
	if err != nil {
		return d.refuse(400, CodeForwarded, "The proxy in front of this camera sends header fields that contradict each other."), o, false
	}
	if r.Need.Probe {
		return d, o, false
	}
	if !g.knowsHost(o.host) {
		return d.refuse(421, CodeHost, "This camera does not answer under this name. Use its address, its own name, or add the name to access.hosts in the settings."), o, false
	}
	if changes(r.Method) && !g.mayChange(r, &o) {
		return d.refuse(403, CodeOrigin, "A page of another site tried to change something. If it should be able to, add it to access.origins in the settings."), o, false
	}
	local = g.mode == Open || r.Listener == Local && !o.proxied
	if local {
		d.Principal = Principal{Role: Admin, Kind: KindOpen}
	}
	return d, o, local
}

// Check decides about a request. It may take as long as a password takes to
// check, or until ctx ends.
func (g *Guard) Check(ctx context.Context, r *Request) Decision {
	d, o, local := g.enter(r)
	if !d.Allowed() || local || r.Need.Probe {
		return d
	}
	c, err := g.store.current()
	if err != nil {
		return d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
	}
	if !c.claimed() {
		if r.Need.Unclaimed {
			return d
		}
		if wantsPage(r) {
			d.Location = PathClaim
			return d.refuse(303, CodeUnclaimed, "This camera has no password yet.")
		}
		return d.refuse(403, CodeUnclaimed, "This camera has no password yet: open "+PathClaim+" in a browser.")
	}
	if r.Need.Role == Nobody {
		g.bySession(r, c, &d) // so that pages can say who it is
		return d
	}
	problem := g.identify(ctx, r, c, &o, &d)
	switch {
	case !d.Allowed():
		return d
	case d.Principal.Kind == KindNone:
		if wantsPage(r) && r.Authorization == "" {
			d.Location = PathSignIn + "?next=" + url.QueryEscape(nextOf(r))
			return d.refuse(303, CodeSignIn, problem)
		}
		if wantsChallenge(r) {
			d.Challenge = `Basic realm="webgear", charset="UTF-8"`
		}
		return d.refuse(401, CodeSignIn, problem)
	case d.Principal.Role < r.Need.Role:
		return d.refuse(403, CodeRole, "This takes an administrator; "+d.Principal.describe()+" may only watch.")
	case d.Principal.Kind == KindSession && changes(r.Method) && r.Origin == "" && r.FetchSite == "":
		// Browsers have told where forms come from since 2020.
		return d.refuse(403, CodeOrigin, "The browser does not say which page this comes from. Programs use a token.")
	}
	return d
}

// describe names a principal in a sentence.
func (p *Principal) describe() string {
	switch p.Kind {
	case KindLink:
		return "a link"
	case KindToken:
		return "the token " + p.Name
	case KindNone, KindOpen, KindSession, KindBasic:
	}
	return p.Name
}

// wantsPage reports whether a person follows a link, who can be sent to another
// page.
func wantsPage(r *Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Accept, "text/html")
}

// wantsChallenge reports whether to ask for Basic credentials. Browsers that load
// part of a page would open a window of their own, over ours.
func wantsChallenge(r *Request) bool {
	return r.FetchSite == "" && !strings.Contains(r.Accept, "image/") && !strings.Contains(r.Accept, "application/json") || r.Authorization != ""
}

// nextOf is where to go on after signing in; what is secret stays out of the
// browser's history.
func nextOf(r *Request) string {
	if _, present, _ := parseLink(r.Query); present || r.Query == "" {
		return SafePath(r.Path)
	}
	return SafePath(r.Path + "?" + r.Query)
}

// identify finds out who a request is from. Without success it says what is wrong,
// or refuses.
func (g *Guard) identify(ctx context.Context, r *Request, c *contents, o *origin, d *Decision) (problem string) {
	if r.Authorization != "" {
		return g.byAuthorization(ctx, r.Authorization, c, o, d)
	}
	problem = "Sign in to see this."
	if l, present, ok := parseLink(r.Query); present && r.Need.Link && r.Need.Role == Viewer && !changes(r.Method) {
		problem = "This link is not valid, or no longer."
		if ok && l.signs(c.LinkKey, r.Path) && g.store.sys.Now().Unix() < l.exp {
			d.Principal = Principal{Role: Viewer, Kind: KindLink, mark: c.markOfLinks(), until: time.Unix(l.exp, 0)}
			return ""
		}
	}
	g.bySession(r, c, d)
	return problem
}

// maxAuthorization bounds the field, in bytes: a name and a password in base64.
const maxAuthorization = 2 << 10

// byAuthorization looks at the field Authorization.
func (g *Guard) byAuthorization(ctx context.Context, field string, c *contents, o *origin, d *Decision) (problem string) {
	scheme, rest, _ := strings.Cut(field, " ")
	rest = strings.Trim(rest, " ")
	switch {
	case len(field) > maxAuthorization:
	case strings.EqualFold(scheme, "Bearer"):
		t := c.tokenOf(rest)
		if t == nil {
			return "This token is not valid, or no longer."
		}
		d.Principal = Principal{Name: t.Name, Role: t.Role, Kind: KindToken, id: t.ID, mark: c.markOfToken(t)}
		g.noteUse(t)
		return ""
	case strings.EqualFold(scheme, "Basic"):
		name, password, ok := parseBasic(rest)
		if !ok {
			break
		}
		a := g.prove(ctx, o.client, name, password, d)
		if a == nil {
			return wrongPassword
		}
		d.Principal = Principal{Name: a.Name, Role: a.Role, Kind: KindBasic, mark: c.markOf(a)}
		return ""
	}
	return "Sign in with a name and a password, or with a token."
}

// wrongPassword does not say which of the two is wrong.
const wrongPassword = "The name or the password is wrong."

// parseBasic reads the credentials of RFC 7617. Neither part may be empty.
func parseBasic(s string) (name, password string, ok bool) {
	b, err := decodeText(base64.StdEncoding, s)
	if err != nil || !utf8.Valid(b) {
		return "", "", false
	}
	name, password, ok = strings.Cut(string(b), ":")
	return strings.ToLower(name), password, ok && name != "" && password != ""
}

// prove checks a password, as slowly as it has to be. When it returns nil without
// a refusal in d, the password is wrong.
func (g *Guard) prove(ctx context.Context, from netip.Addr, name, password string, d *Decision) *Account {
	key := g.verdicts.digestOf(name, password)
	for {
		c, err := g.store.current()
		if err != nil {
			*d = d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
			return nil
		}
		a := c.account(name)
		compare, m := decoy(), mark{}
		if a != nil {
			compare, m = a.parsed, c.markOf(a)
		}
		right, known, wait := g.verdicts.look(key, g.store.sys.SinceBoot(), m)
		if known {
			if right {
				return a
			}
			return nil
		}
		if wait != nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				*d = d.busy()
				return nil
			}
		}
		found := g.check(ctx, from, name, password, compare, d)
		if found != nil {
			found.right = found.right && a != nil && len(password) <= maxPassword
			found.mark = m
			if found.right {
				found.until = g.store.sys.SinceBoot() + rightFor
				g.slow.forgive(from, name, true)
			} else {
				found.until = g.store.sys.SinceBoot() + wrongFor
				g.log.Info("wrong password", "address", from.String(), "account", shortName(name))
			}
		}
		g.verdicts.done(key, found)
		if found != nil && found.right {
			return a
		}
		return nil
	}
}

// shortName is a name that somebody typed, for the log: people type passwords
// there, so only names that could be one appear.
func shortName(name string) string {
	if checkName(name) != nil {
		return "(not a name)"
	}
	return name
}

// check compares a password with a hash. It returns nil with a refusal when that
// may not be done now.
func (g *Guard) check(ctx context.Context, from netip.Addr, name, password string, compare hash, d *Decision) *verdict {
	if wait := g.slow.begin(from, name); wait > 0 {
		*d = d.slowDown(wait)
		return nil
	}
	v := &verdict{}
	if len(password) > maxPassword {
		password = password[:maxPassword] // it cannot be right; the work is the same
	}
	if err := g.store.hasher.do(ctx, from, func() { v.right = compare.matches(password) }); err != nil {
		g.slow.forgive(from, name, false)
		*d = d.busy()
		return nil
	}
	return v
}

// slowDown refuses somebody who guesses.
func (d Decision) slowDown(wait time.Duration) Decision {
	d.RetryAfter = wait
	return d.refuse(429, CodeSlowDown, fmt.Sprintf("Too many wrong passwords. Try again in %s.", seconds(d.RetryAfterSeconds())))
}

// seconds writes a time for people.
func seconds(n int) string {
	switch {
	case n == 1:
		return "a second"
	case n < 120:
		return fmt.Sprintf("%d seconds", n)
	}
	return fmt.Sprintf("%d minutes", (n+59)/60)
}

// busy refuses when many passwords are being checked.
func (d Decision) busy() Decision {
	d.RetryAfter = 2 * time.Second
	return d.refuse(503, CodeBusy, "Many passwords are being checked at this moment. Try again in 2 seconds.")
}

// bySession looks for a session cookie, and renews it.
func (g *Guard) bySession(r *Request, c *contents, d *Decision) {
	s, a := g.sessionOf(r, c, d.Secure)
	if a == nil {
		return
	}
	now := g.store.sys.Now()
	renew := now.Sub(s.renewed) >= renewAfter
	if !now.Before(s.until()) {
		if !g.correct(&s, now) {
			return
		}
		renew = true
	}
	if renew {
		s.renewed = now
		d.Cookie = g.issue(c, &s, d.Secure)
	}
	d.Principal = Principal{Name: a.Name, Role: a.Role, Kind: KindSession, id: s.idText(), mark: s.mark, until: s.until()}
}

// sessionOf finds the session of a request that is valid but for its age.
func (g *Guard) sessionOf(r *Request, c *contents, secure bool) (session, *Account) {
	for _, v := range cookies(r.Cookie, c.cookieName(secure)) {
		s, ok := parseSession(v, c.SessionKey)
		if !ok {
			continue
		}
		if a := c.account(s.name); a != nil && c.markOf(a) == s.mark && !g.isOut(c, s.idText()) {
			return s, a
		}
	}
	return session{}, nil
}

// correct looks at a session that seems to be over. A computer without a clock of
// its own finds the time of day minutes after it started: then a session that was
// begun before looks years old, but is known to be young. Its times are corrected.
func (g *Guard) correct(s *session, now time.Time) bool {
	g.mu.Lock()
	renewed, ok := g.issued.get(s.stamp())
	g.mu.Unlock()
	age := g.store.sys.SinceBoot() - renewed
	if !ok || age >= sessionFor || s.renewed.Sub(s.begun)+age >= sessionAtMost {
		return false
	}
	off := now.Add(-age).Sub(s.renewed)
	s.begun, s.renewed = s.begun.Add(off), s.renewed.Add(off)
	return true
}

// isOut reports whether a session was ended by its user.
func (g *Guard) isOut(c *contents, id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, out := g.out.get(id)
	return out || c.hasEnded(id)
}

// issue gives the cookie of a session that was renewed now.
func (g *Guard) issue(c *contents, s *session, secure bool) string {
	g.mu.Lock()
	g.issued.put(s.stamp(), g.store.sys.SinceBoot())
	g.mu.Unlock()
	return setCookie(c.cookieName(secure), s.value(c.SessionKey), s.until().Sub(s.renewed), secure)
}
