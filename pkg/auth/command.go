package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Prompt asks a person for passwords. Its fields come from the command.
type Prompt struct {
	// In is where passwords are read from, a line each.
	In io.Reader
	// Out gets results, and questions unless Ask is set.
	Out io.Writer
	// Ask gets questions, so that results can go to a file.
	Ask io.Writer
	// Hidden reads a line from a terminal without showing it. Nil means that In is
	// no terminal: then nothing is asked and the password stands there once.
	Hidden func() (string, error)

	lines *bufio.Reader
}

// line reads one line of In.
func (p *Prompt) line() (string, error) {
	if p.lines == nil {
		p.lines = bufio.NewReader(io.LimitReader(p.In, 64<<10))
	}
	s, err := p.lines.ReadString('\n')
	if errors.Is(err, io.EOF) && s != "" {
		err = nil
	}
	if errors.Is(err, io.EOF) {
		return "", errors.New("no password was given")
	}
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r"), err
}

// newPassword asks for a new password, twice on a terminal.
func (p *Prompt) newPassword(question string) (string, error) {
	if p.Hidden == nil {
		s, err := p.line()
		if err != nil {
			return "", err
		}
		return s, CheckPassword(s)
	}
	first, err := p.ask(question)
	if err != nil {
		return "", err
	}
	if err := CheckPassword(first); err != nil {
		return "", err
	}
	again, err := p.ask("The same again")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ: nothing was changed")
	}
	return first, nil
}

// ask asks for one hidden line.
func (p *Prompt) ask(question string) (string, error) {
	to := p.Ask
	if to == nil {
		to = p.Out
	}
	if _, err := fmt.Fprintf(to, "%s: ", question); err != nil {
		return "", err
	}
	s, err := p.Hidden()
	if _, werr := fmt.Fprintln(to); err == nil {
		err = werr
	}
	return s, err
}

// HashPassword is the command hash-password: it prints the hash of a password,
// for the settings.
func HashPassword(p *Prompt) error {
	password, err := p.newPassword("Password")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Out, newHash(password))
	return err
}

// ClaimCommand is the command claim: it sets the first password, at any time. A
// program that runs notices within half a second.
func ClaimCommand(ctx context.Context, s *Store, name string, p *Prompt) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.Err(); err != nil {
		return err
	}
	if s.Claimed() {
		return fmt.Errorf("claim: %w; webgear passwd changes it", ErrClaimed)
	}
	password, err := p.newPassword("New password of " + name)
	if err != nil {
		return err
	}
	if err := s.claim(ctx, netip.Addr{}, name, password); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	_, err = fmt.Fprintf(p.Out, "The password of %s is set.\n", name)
	return err
}

// PasswdCommand is the command passwd: it changes the password of an account, or
// makes one of that role if there is none and role is not Nobody.
func PasswdCommand(ctx context.Context, s *Store, name string, role Role, p *Prompt) error {
	if err := checkName(name); err != nil {
		return err
	}
	c, err := s.current()
	if err != nil {
		return err
	}
	switch {
	case s.isPreset(name):
		return fmt.Errorf("account %s: %w", name, ErrPreset)
	case c.account(name) == nil && role == Nobody:
		return fmt.Errorf("account %s: %w: say which role a new one has", name, ErrNotFound)
	}
	password, err := p.newPassword("New password of " + name)
	if err != nil {
		return err
	}
	if err := s.SetPassword(ctx, name, role, password); err != nil {
		return fmt.Errorf("passwd: %w", err)
	}
	_, err = fmt.Fprintf(p.Out, "The password of %s is changed; it is signed out everywhere.\n", name)
	return err
}
