package server

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// This file is what an administrator can change about access, for forms and programs
// alike. Who may do so was decided before; see needOf.

// longestLink is how long a link may last, as auth.Store.SignLink has it.
const longestLink = 366 * 24 * time.Hour

// change begins a change: for how long it may take, and who makes it.
func (s *Server) change() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.running, checkTime)
}

// changed logs what an administrator did.
func (s *Server) changed(c *fiber.Ctx, what, object string) {
	d := &visitOf(c).decision
	s.log.Info("access changed", "change", what, "object", object, "by", d.Principal.Name, "kind", string(d.Principal.Kind), "address", d.Client.String())
}

// no is a refusal.
func no(status int, code auth.Code, message string) *auth.Decision {
	return &auth.Decision{Status: status, Code: code, Message: message}
}

// because turns an error of the store into a refusal.
func (s *Server) because(err error) *auth.Decision {
	var bad *auth.PasswordError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		return no(fiber.StatusUnprocessableEntity, auth.CodePassword, "The password "+bad.Problem+".")
	case errors.Is(err, auth.ErrPreset):
		return no(fiber.StatusConflict, "preset", "This account stands in the settings file and is changed there.")
	case errors.Is(err, auth.ErrNotFound):
		return no(fiber.StatusNotFound, "not_found", "It is not there any more.")
	case errors.Is(err, auth.ErrLastAdmin):
		return no(fiber.StatusConflict, "last_admin", "The last administrator has to stay, or nobody could change anything.")
	case errors.Is(err, auth.ErrBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		d := no(fiber.StatusServiceUnavailable, auth.CodeBusy, "The camera is busy. Try again in 2 seconds.")
		d.RetryAfter = 2 * time.Second
		return d
	}
	s.log.Error("access file cannot be written", "err", err)
	return no(fiber.StatusInsufficientStorage, auth.CodeStore, "This could not be stored, so nothing was changed. The log says why; often the disk is full.")
}

// addAccount makes an account that is not there yet.
func (s *Server) addAccount(c *fiber.Ctx, name, password string, role auth.Role) *auth.Decision {
	name = strings.ToLower(strings.TrimSpace(name))
	if err := auth.CheckName(name); err != nil {
		return no(fiber.StatusUnprocessableEntity, "name", "A name is 1 to 32 of a-z, 0-9 and . _ -.")
	}
	store := s.opts.Guard.Store()
	all, err := store.Accounts()
	if err != nil {
		return s.because(err)
	}
	for _, a := range all {
		if a.Name == name {
			return no(fiber.StatusConflict, "exists", "There is an account of this name already.")
		}
	}
	ctx, cancel := s.change()
	defer cancel()
	if err := store.SetPassword(ctx, name, role, password); err != nil {
		return s.because(err)
	}
	s.changed(c, "account added", name)
	return nil
}

func (s *Server) removeAccount(c *fiber.Ctx, name string) *auth.Decision {
	ctx, cancel := s.change()
	defer cancel()
	if err := s.opts.Guard.Store().RemoveAccount(ctx, name); err != nil {
		return s.because(err)
	}
	s.changed(c, "account removed", name)
	return nil
}

// endSessions signs an account out everywhere.
func (s *Server) endSessions(c *fiber.Ctx, name string) *auth.Decision {
	ctx, cancel := s.change()
	defer cancel()
	if err := s.opts.Guard.Store().EndSessions(ctx, name); err != nil {
		return s.because(err)
	}
	s.changed(c, "signed out everywhere", name)
	return nil
}

func (s *Server) addToken(c *fiber.Ctx, name string, role auth.Role) (info auth.TokenInfo, secret string, refusal *auth.Decision) {
	name = strings.TrimSpace(name)
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, control) {
		return info, "", no(fiber.StatusUnprocessableEntity, "name", "Give the token a name of up to 64 letters, to know it again.")
	}
	ctx, cancel := s.change()
	defer cancel()
	info, secret, err := s.opts.Guard.Store().CreateToken(ctx, name, role)
	if err != nil {
		return info, "", s.because(err)
	}
	s.changed(c, "token created", info.ID)
	return info, secret, nil
}

func (s *Server) revokeToken(c *fiber.Ctx, id string) *auth.Decision {
	ctx, cancel := s.change()
	defer cancel()
	if err := s.opts.Guard.Store().RevokeToken(ctx, id); err != nil {
		return s.because(err)
	}
	s.changed(c, "token revoked", id)
	return nil
}

// linkPaths are those that links can be made to.
func (s *Server) linkPaths() []string {
	all := []string{s.opts.VideoPath, pathSnapshot}
	for p := range s.mounted {
		all = append(all, p)
	}
	return all
}

// signLink makes a link. Its path is a stream or the snapshot.
func (s *Server) signLink(c *fiber.Ctx, path string, life time.Duration) (link string, until time.Time, refusal *auth.Decision) {
	if !s.isPicture(path, "") {
		return "", until, no(fiber.StatusUnprocessableEntity, "path", "Links lead to the stream or the snapshot: "+strings.Join(s.linkPaths(), ", ")+".")
	}
	if life < time.Second || life > longestLink {
		return "", until, no(fiber.StatusUnprocessableEntity, "life", "A link lasts for a second to 366 days.")
	}
	query, until, err := s.opts.Guard.Store().SignLink(path, life)
	if err != nil {
		return "", until, s.because(err)
	}
	s.changed(c, "link signed", path)
	return path + "?" + query, until, nil
}

func (s *Server) revokeLinks(c *fiber.Ctx) *auth.Decision {
	ctx, cancel := s.change()
	defer cancel()
	if err := s.opts.Guard.Store().RevokeLinks(ctx); err != nil {
		return s.because(err)
	}
	s.changed(c, "links revoked", "all")
	return nil
}

// onceShown keeps secrets between the form that made them and the page that shows
// them, once. Its zero value is ready.
type onceShown struct {
	mu    sync.Mutex
	items map[string]shownItem // guarded by mu
}

// shownItem is a secret.
type shownItem struct {
	// What it is: "token" or "link".
	What, Name, Secret string
	// Path is that of a link.
	Path string

	owner auth.Principal
	until time.Time
}

// Bounds of onceShown. Chosen: the page follows the form at once.
const (
	maxShown  = 16
	shownTime = time.Minute
)

// put keeps an item and returns its key.
func (o *onceShown) put(item shownItem, now time.Time) (key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.items == nil {
		o.items = map[string]shownItem{}
	}
	for k, i := range o.items {
		if now.After(i.until) || len(o.items) >= maxShown {
			delete(o.items, k)
		}
	}
	key = rand.Text()
	item.until = now.Add(shownTime)
	o.items[key] = item
	return key
}

// take returns an item, if it is this one's, and forgets it.
func (o *onceShown) take(key string, who auth.Principal, now time.Time) *shownItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := o.items[key]
	if !ok || i.owner != who {
		return nil
	}
	delete(o.items, key)
	if now.After(i.until) {
		return nil
	}
	return &i
}
