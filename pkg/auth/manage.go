package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Reasons why a change is refused, for callers that tell them apart.
var (
	// ErrClaimed: there is an administrator already.
	ErrClaimed = errors.New("a password is set already")
	// ErrPreset: the account stands in the settings.
	ErrPreset = errors.New("the account stands in the settings and is changed there")
	// ErrNotFound: there is no such account or token.
	ErrNotFound = errors.New("not found")
	// ErrLastAdmin: nobody could change anything afterwards.
	ErrLastAdmin = errors.New("the last administrator has to stay")
)

// tokenPrefix makes tokens known to programs that look for leaked ones.
const tokenPrefix = "webgear_"

// AccountInfo is what can be shown of an account.
type AccountInfo struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Preset is set when it stands in the settings.
	Preset    bool      `json:"preset,omitempty"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
}

// TokenInfo is what can be shown of a token.
type TokenInfo struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	CreatedAt time.Time `json:"created_at"`
	// UsedAt is when it was last used, to a day.
	UsedAt time.Time `json:"used_at,omitzero"`
}

// Accounts lists the accounts.
func (s *Store) Accounts() ([]AccountInfo, error) {
	c, err := s.current()
	if err != nil {
		return nil, err
	}
	all := make([]AccountInfo, 0, len(c.Accounts))
	for _, a := range c.Accounts {
		all = append(all, AccountInfo{a.Name, a.Role, a.preset, a.ChangedAt})
	}
	return all, nil
}

// hash checks and hashes a new password, when it is its turn.
func (s *Store) hash(ctx context.Context, from netip.Addr, password string) (h hash, err error) {
	if err := CheckPassword(password); err != nil {
		return h, err
	}
	err = s.hasher.do(ctx, from, func() { h = newHash(password) })
	return h, err
}

// isPreset reports whether the settings have an account.
func (s *Store) isPreset(name string) bool {
	return slices.ContainsFunc(s.preset, func(a *Account) bool { return a.Name == name })
}

// claim makes the first administrator. Of several at once, one wins.
func (s *Store) claim(ctx context.Context, from netip.Addr, name, password string) error {
	h, err := s.hash(ctx, from, password)
	if err != nil {
		return err
	}
	return s.update(ctx, func(c *contents) error {
		if c.claimed() || len(s.preset) > 0 && s.Claimed() {
			return ErrClaimed
		}
		c.ClaimedAt = s.sys.Now().UTC().Truncate(time.Second)
		return s.putAccount(c, name, Admin, h)
	})
}

// putAccount stores an account; the role Nobody keeps that of one that is there.
func (s *Store) putAccount(c *contents, name string, role Role, h hash) error {
	if s.isPreset(name) {
		return fmt.Errorf("account %s: %w", name, ErrPreset)
	}
	a := c.account(name)
	if a == nil {
		if role == Nobody {
			return fmt.Errorf("account %s: %w", name, ErrNotFound)
		}
		a = &Account{Name: name}
		c.Accounts = append(c.Accounts, a)
	}
	if role != Nobody {
		a.Role = role
	}
	a.Hash, a.ChangedAt = h.String(), s.sys.Now().UTC().Truncate(time.Second)
	return nil
}

// SetPassword gives an account another password, which ends all its sessions. A
// role other than Nobody is set too, and makes the account if there is none.
// The error is a *PasswordError when the password is not good enough.
func (s *Store) SetPassword(ctx context.Context, name string, role Role, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	h, err := s.hash(ctx, netip.Addr{}, password)
	if err != nil {
		return err
	}
	return s.setHash(ctx, name, role, h)
}

// SetHash is SetPassword with an argon2id hash that was made elsewhere.
func (s *Store) SetHash(ctx context.Context, name string, role Role, text string) error {
	if err := checkName(name); err != nil {
		return err
	}
	h, err := parseHash(text)
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	return s.setHash(ctx, name, role, h)
}

func (s *Store) setHash(ctx context.Context, name string, role Role, h hash) error {
	return s.update(ctx, func(c *contents) error {
		if err := s.putAccount(c, name, role, h); err != nil {
			return err
		}
		return s.checkAdmin(c)
	})
}

// RemoveAccount removes an account, which ends all its sessions.
func (s *Store) RemoveAccount(ctx context.Context, name string) error {
	if s.isPreset(name) {
		return fmt.Errorf("account %s: %w", name, ErrPreset)
	}
	return s.update(ctx, func(c *contents) error {
		if c.account(name) == nil {
			return fmt.Errorf("account %.32q: %w", name, ErrNotFound)
		}
		c.Accounts = slices.DeleteFunc(c.Accounts, func(a *Account) bool { return a.Name == name })
		return s.checkAdmin(c)
	})
}

// checkAdmin makes sure that somebody can still change things.
func (s *Store) checkAdmin(c *contents) error {
	if !c.claimed() && !slices.ContainsFunc(s.preset, func(a *Account) bool { return a.Role == Admin }) {
		return ErrLastAdmin
	}
	return nil
}

// EndSessions ends all sessions of an account, and what runs for its password.
func (s *Store) EndSessions(ctx context.Context, name string) error {
	if s.isPreset(name) {
		return fmt.Errorf("account %s: %w", name, ErrPreset)
	}
	return s.update(ctx, func(c *contents) error {
		a := c.account(name)
		if a == nil {
			return fmt.Errorf("account %.32q: %w", name, ErrNotFound)
		}
		a.Epoch++
		return nil
	})
}

// endSession ends one session for good.
func (s *Store) endSession(ctx context.Context, id string, until time.Time) error {
	return s.update(ctx, func(c *contents) error {
		now := s.sys.Now()
		c.Ended = slices.DeleteFunc(c.Ended, func(e ended) bool { return e.ID == id || e.Until.Before(now) })
		c.Ended = append(c.Ended, ended{id, until.UTC()})
		if len(c.Ended) > maxEnded {
			// None may come back to life: all sessions of all accounts end.
			c.Ended, c.SessionKey = nil, newKey()
		}
		return nil
	})
}

// CreateToken makes a token; its secret is shown this once.
func (s *Store) CreateToken(ctx context.Context, name string, role Role) (info TokenInfo, text string, err error) {
	if err := checkTokenName(name); err != nil {
		return info, "", err
	}
	if role == Nobody {
		return info, "", errors.New("a role is viewer or admin")
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	text = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(text))
	t := &token{ID: randomID()[:16], Name: name, Role: role, SHA256: sum[:], CreatedAt: s.sys.Now().UTC().Truncate(time.Second)}
	if err := s.update(ctx, func(c *contents) error {
		c.Tokens = append(c.Tokens, t)
		return nil
	}); err != nil {
		return info, "", err
	}
	return t.info(), text, nil
}

func (t *token) info() TokenInfo { return TokenInfo{t.ID, t.Name, t.Role, t.CreatedAt, t.UsedAt} }

// Tokens lists the tokens.
func (s *Store) Tokens() ([]TokenInfo, error) {
	c, err := s.current()
	if err != nil {
		return nil, err
	}
	all := make([]TokenInfo, 0, len(c.Tokens))
	for _, t := range c.Tokens {
		all = append(all, t.info())
	}
	return all, nil
}

// RevokeToken ends a token, and what runs for it.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	return s.update(ctx, func(c *contents) error {
		n := len(c.Tokens)
		if c.Tokens = slices.DeleteFunc(c.Tokens, func(t *token) bool { return t.ID == id }); len(c.Tokens) == n {
			return fmt.Errorf("token %.32q: %w", id, ErrNotFound)
		}
		return nil
	})
}

// SignLink gives the query of a link to path that lets a viewer in for a time, and
// no other path. Which paths accept one is the routes' matter, see [Need].
func (s *Store) SignLink(path string, life time.Duration) (query string, until time.Time, err error) {
	if !strings.HasPrefix(path, "/") || SafePath(path) != path || strings.ContainsAny(path, "?#") {
		return "", until, fmt.Errorf("link %.64q: write a path such as /snapshot", path)
	}
	if life < time.Second || life > maxLinkLife {
		return "", until, errors.New("link: it can be valid for a second to 366 days")
	}
	c, err := s.current()
	if err != nil {
		return "", until, err
	}
	until = s.sys.Now().Add(life).Truncate(time.Second)
	return signLink(c.LinkKey, path, until), until, nil
}

// RevokeLinks ends all links that were signed so far.
func (s *Store) RevokeLinks(ctx context.Context) error {
	return s.update(ctx, func(c *contents) error { c.LinkKey = newKey(); return nil })
}

// Keep stores keys that exist in memory only, so that sessions and links survive
// the program where accounts come from the settings.
func (s *Store) Keep(ctx context.Context) error {
	s.mu.Lock()
	stored := s.path == "" || s.seen != nil
	s.mu.Unlock()
	if stored {
		return nil
	}
	return s.update(ctx, func(*contents) error { return nil })
}

// noteUses stores the days on which tokens were used.
func (s *Store) noteUses(ctx context.Context, used map[string]time.Time) error {
	return s.update(ctx, func(c *contents) error {
		for _, t := range c.Tokens {
			if at, ok := used[t.ID]; ok {
				t.UsedAt = at.UTC().Truncate(time.Second)
			}
		}
		return nil
	})
}
