package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// claimWindow is how long after the computer was switched on it can be claimed.
const claimWindow = 10 * time.Minute

// SignIn checks a name and a password from the page to sign in; no name means
// DefaultAccount. If it is allowed, the decision holds the cookie.
func (g *Guard) SignIn(ctx context.Context, r *Request, name, password string) Decision {
	d, _, local := g.enter(r)
	if !d.Allowed() || local {
		return d // who needs no password gets no session
	}
	c, err := g.store.current()
	if err != nil {
		return d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
	}
	if !c.claimed() {
		return d.refuse(403, CodeUnclaimed, "This camera has no password yet: open "+PathClaim+".")
	}
	if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
		name = DefaultAccount
	}
	a := g.prove(ctx, d.Client, name, password, &d)
	if a == nil {
		if d.Allowed() {
			d = d.refuse(401, CodeSignIn, wrongPassword)
		}
		return d
	}
	g.log.Info("signed in", "address", d.Client.String(), "account", a.Name)
	return g.begin(d, a)
}

// begin starts a session.
func (g *Guard) begin(d Decision, a *Account) Decision {
	c, err := g.store.current()
	if err != nil {
		return d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
	}
	now := g.store.sys.Now()
	s := session{begun: now, renewed: now, mark: c.markOf(a), name: a.Name}
	_, _ = rand.Read(s.id[:]) // it never fails
	d.Cookie = g.issue(c, &s, d.Secure)
	d.Principal = Principal{Name: a.Name, Role: a.Role, Kind: KindSession, id: s.idText(), mark: s.mark, until: s.until()}
	return d
}

// SignOut ends the session of a request, on all its connections.
func (g *Guard) SignOut(ctx context.Context, r *Request) Decision {
	d, _, local := g.enter(r)
	if !d.Allowed() || local {
		return d
	}
	c, err := g.store.current()
	if err != nil {
		return d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
	}
	s, a := g.sessionOf(r, c, d.Secure)
	d.Cookie = setCookie(c.cookieName(d.Secure), "", 0, d.Secure)
	if a == nil {
		return d
	}
	if err := g.store.endSession(ctx, s.idText(), s.until()); err != nil {
		// It holds until the program restarts; the browser has lost its cookie.
		g.log.Warn("end of a session could not be stored", "account", a.Name, "err", err)
	}
	g.mu.Lock()
	g.out.put(s.idText(), struct{}{})
	g.mu.Unlock()
	g.sweep()
	return d
}

// ChangePassword gives the account of a session another password. All its
// sessions end; the decision holds the cookie of a new one.
func (g *Guard) ChangePassword(ctx context.Context, r *Request, current, next string) Decision {
	d := g.Check(ctx, r)
	if !d.Allowed() {
		return d
	}
	name := d.Principal.Name
	switch d.Principal.Kind {
	case KindSession, KindBasic:
	case KindNone, KindOpen, KindToken, KindLink:
		return d.refuse(403, CodeRole, "Sign in with the account whose password is to change.")
	}
	if a := g.prove(ctx, d.Client, name, current, &d); a == nil {
		if d.Allowed() {
			d = d.refuse(403, CodePassword, "The present password is wrong.")
		}
		return d
	}
	if err := g.store.SetPassword(ctx, name, Nobody, next); err != nil {
		return g.refuseChange(d, err)
	}
	g.log.Info("password changed", "address", d.Client.String(), "account", name)
	g.sweep()
	c, err := g.store.current()
	if err != nil {
		return d.refuse(503, CodeStore, "The access file of this camera cannot be read; its log says why.")
	}
	if a := c.account(name); a != nil {
		return g.begin(d, a)
	}
	return d
}

// refuseChange turns an error of the store into a refusal.
func (g *Guard) refuseChange(d Decision, err error) Decision {
	var bad *PasswordError
	switch {
	case errors.As(err, &bad):
		return d.refuse(422, CodePassword, "The password "+bad.Problem+".")
	case errors.Is(err, ErrClaimed):
		return d.refuse(409, CodeClaimed, "Somebody has set a password already. If that was not you, run on the camera: sudo webgear passwd")
	case errors.Is(err, ErrPreset):
		return d.refuse(409, CodePassword, "This password stands in the settings file and is changed there.")
	case errors.Is(err, ErrBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return d.busy()
	}
	g.log.Error("access file cannot be written", "err", err)
	return d.refuse(507, CodeStore, "This could not be stored, so nothing was changed. The log says why; often the disk is full.")
}

// ClaimState is what the claim page shows.
type ClaimState struct {
	// Claimed is set when there is a password.
	Claimed bool
	// Refusal is why this request cannot claim, or CodeNone.
	Refusal Code
	Message string
	// Left is the time that remains; 0 when it does not matter.
	Left time.Duration
}

// ClaimState says whether a request could claim.
func (g *Guard) ClaimState(r *Request) ClaimState {
	d, o, local := g.enter(r)
	s := ClaimState{Claimed: g.store.Claimed()}
	if d.Allowed() {
		d = g.mayClaim(d, r, &o, local)
	}
	s.Refusal, s.Message = d.Code, d.Message
	if s.Refusal == CodeNone && r.Listener == Network {
		s.Left = claimWindow - g.store.sys.SinceBoot()
	}
	return s
}

// Claim sets the first password, of an account that may do everything; no name
// means DefaultAccount. If it is allowed, the decision holds the cookie of a
// session.
func (g *Guard) Claim(ctx context.Context, r *Request, name, password string) Decision {
	d, o, local := g.enter(r)
	if !d.Allowed() {
		return d
	}
	if d = g.mayClaim(d, r, &o, local); !d.Allowed() {
		g.log.Warn("claim refused", "address", d.Client.String(), "reason", string(d.Code))
		return d
	}
	if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
		name = DefaultAccount
	}
	if err := checkName(name); err != nil {
		return d.refuse(422, CodePassword, "An account's name is 1 to 32 of a-z, 0-9 and . _ -.")
	}
	if err := g.store.claim(ctx, d.Client, name, password); err != nil {
		if errors.Is(err, ErrClaimed) {
			g.log.Warn("claim refused", "address", d.Client.String(), "reason", string(CodeClaimed))
		}
		return g.refuseChange(d, err)
	}
	g.log.Info("claimed", "address", d.Client.String(), "account", name)
	c, err := g.store.current()
	if err != nil || c.account(name) == nil || local {
		return d // a local user needs no session
	}
	return g.begin(d, c.account(name))
}

// mayClaim refuses whoever may not claim. A local user may at any time. Everybody
// else has to be near, directly connected, and quick; not even a user of this
// computer who comes through a listener for all is excepted, for he may be a
// proxy: for him there is webgear claim.
func (g *Guard) mayClaim(d Decision, r *Request, o *origin, local bool) Decision {
	switch {
	case g.store.Claimed():
		return d.refuse(409, CodeClaimed, "This camera has a password already: sign in.")
	case local && r.Listener == Local && !o.proxied:
		return d
	case g.mode == Open:
		return d.refuse(409, CodeClaimed, "The settings say access.mode: open, so there is no password to set here.")
	case o.proxied:
		return d.refuse(403, CodeClaimRemote, "The first password cannot be set through a proxy. Open this page directly, or run: sudo webgear claim")
	case !g.isNear(o.client):
		return d.refuse(403, CodeClaimRemote, "The first password can only be set from the same local network. On the camera itself, run: sudo webgear claim")
	case g.store.sys.SinceBoot() >= claimWindow:
		return d.refuse(403, CodeClaimClosed, "The first password can only be set in the first 10 minutes after the camera was switched on. "+
			"Switch it off and on again, then open this page; or run on it: sudo webgear claim")
	}
	return d
}

// isNear reports whether an address is of a local network: private (RFC 1918,
// RFC 4193), link-local (RFC 3927, RFC 4291), a public IPv6 address of a network
// that this computer is in, as most phones have one, or in a network that the
// settings name. 100.64.0.0/10 is not: behind a mobile modem these are other
// customers (RFC 6598). Nor is loopback, see mayClaim.
func (g *Guard) isNear(a netip.Addr) bool {
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.IsPrivate() || a.IsLinkLocalUnicast() || slices.ContainsFunc(g.claim, within) {
		return true
	}
	return a.Is6() && a.IsGlobalUnicast() && slices.ContainsFunc(g.onLink(), within)
}

// interfaceNetworks gives the IPv6 networks of this computer's interfaces, of 64
// bits or smaller, as far as one link goes.
func interfaceNetworks() (networks []netip.Prefix) {
	addresses, _ := net.InterfaceAddrs() // without them nobody is near by this rule
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is6() && p.Addr().IsGlobalUnicast() && p.Bits() >= 64 {
			networks = append(networks, p.Masked())
		}
	}
	return networks
}
