package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/webgear-pi/webgear/device/terminal"
	"github.com/webgear-pi/webgear/pkg/auth"
	"github.com/webgear-pi/webgear/pkg/config"
)

// Commands that change who may look. They change the access file of a program
// that may run; it notices within half a second.

// storeFlags say which access file.
type storeFlags struct{ dir, config string }

func addStoreFlags(fs *flag.FlagSet) *storeFlags {
	f := &storeFlags{}
	fs.StringVar(&f.dir, "data-dir", "", "`directory` of the passwords (default: that of the service, "+serviceState+", for root; else .webgear in your home)")
	fs.StringVar(&f.config, "config", "", "settings `file`, which may have accounts, too (default: that of the service, if it is the service's directory)")
	return f
}

// open opens the store of the flags.
func (f *storeFlags) open(w world) (*auth.Store, error) {
	service := filepath.Join(w.root, serviceState)
	dir, err := w.stateDir(f.dir, f.dir == "" && isService(service))
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, usageError("--data-dir: your home is not known: say where the passwords are")
	}
	c := config.Default()
	path := f.config
	if path == "" && dir == service {
		path = filepath.Join(w.root, defaultSettings)
	}
	if path != "" {
		loaded, err := config.Load(path, c)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.config == "":
		case err != nil:
			return nil, &exitError{exitConfig, err}
		default:
			c = loaded
		}
	}
	all, err := presets(c, dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, accessFile)
	store, err := auth.OpenStore(auth.StoreOptions{Path: file, Preset: all, System: accessSystem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := store.Err(); err != nil {
		return nil, forUser(err)
	}
	return store, nil
}

// isService says whether the service's passwords are meant when nobody says whose:
// they are root's business.
func isService(dir string) bool {
	info, err := os.Stat(dir)
	return os.Geteuid() == 0 && err == nil && info.IsDir()
}

// forUser adds to an error what its reader can do about it.
func forUser(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: use sudo for the passwords of the service", err)
	case errors.Is(err, auth.ErrPreset):
		return fmt.Errorf("%w: change it in the settings file, with what webgear hash-password prints, or in the setup file of the card", err)
	case errors.Is(err, auth.ErrLastAdmin):
		return fmt.Errorf("%w: make another one first: webgear passwd NAME --role admin", err)
	}
	return err
}

// prompt asks the person at the terminal, or reads a password from a pipe.
func (w world) prompt(ctx context.Context) *auth.Prompt {
	p := &auth.Prompt{In: w.stdin, Out: w.stdout, Ask: w.stderr}
	if p.In == nil {
		p.In = strings.NewReader("")
	}
	if f, ok := w.stdin.(*os.File); ok && terminal.Is(f) {
		p.Hidden = func() (string, error) { return terminal.ReadHidden(ctx, f) }
	}
	return p
}

// parseRole reads the flag --role.
func parseRole(text string) (auth.Role, error) {
	role, err := auth.ParseRole(text)
	if err != nil {
		return role, usageError("--role %s: %w", text, err)
	}
	return role, nil
}

// nameOf is the account that a command is about.
func nameOf(words []string) string {
	if len(words) == 0 {
		return auth.DefaultAccount
	}
	return strings.ToLower(words[0])
}

// claimCommand is webgear claim.
func claimCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("claim")
	f := addStoreFlags(fs)
	about := "webgear claim [NAME] sets the first password, of the account admin unless you name another, at any time. It asks, or reads one line from a pipe."
	words, err := parseArgs(fs, args, w, about, 1)
	if err != nil {
		return err
	}
	store, err := f.open(w)
	if err != nil {
		return err
	}
	return forUser(auth.ClaimCommand(ctx, store, nameOf(words), w.prompt(ctx)))
}

// passwdCommand is webgear passwd.
func passwdCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("passwd")
	f := addStoreFlags(fs)
	roleText := fs.String("role", "", "viewer or admin: the `role` of a new account, or another one of an old account")
	about := "webgear passwd [NAME] changes the password of the account admin, or of another one, which is made if --role is given. The account is signed out everywhere."
	words, err := parseArgs(fs, args, w, about, 1)
	if err != nil {
		return err
	}
	role := auth.Nobody
	if *roleText != "" {
		if role, err = parseRole(*roleText); err != nil {
			return err
		}
	}
	store, err := f.open(w)
	if err != nil {
		return err
	}
	err = auth.PasswdCommand(ctx, store, nameOf(words), role, w.prompt(ctx))
	switch {
	case errors.Is(err, auth.ErrNotFound) && !store.Claimed():
		return errors.New("nobody has a password yet: webgear claim sets the first one")
	case errors.Is(err, auth.ErrNotFound):
		return fmt.Errorf("%w, with --role viewer or --role admin", err)
	}
	return forUser(err)
}

// hashPasswordCommand is webgear hash-password.
func hashPasswordCommand(ctx context.Context, args []string, w world) error {
	about := "webgear hash-password prints the hash of a password, for access.accounts in the settings file. It asks, or reads one line from a pipe."
	if err := parseFlags(newFlagSet("hash-password"), args, w, about); err != nil {
		return err
	}
	return auth.HashPassword(w.prompt(ctx))
}

// accountsCommand is webgear accounts.
func accountsCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("accounts")
	f := addStoreFlags(fs)
	asJSON := fs.Bool("json", false, "print JSON for programs")
	about := "webgear accounts lists the accounts; webgear accounts remove NAME removes one, which ends what it watches."
	words, err := parseArgs(fs, args, w, about, 2)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		words = []string{"list"}
	}
	if !isOneOf(words, "list", 1) && !isOneOf(words, "remove", 2) {
		return usageError("accounts %s: use webgear accounts list, or webgear accounts remove NAME", strings.Join(words, " "))
	}
	store, err := f.open(w)
	if err != nil {
		return err
	}
	if words[0] == "remove" {
		if err := store.RemoveAccount(ctx, words[1]); err != nil {
			return forUser(err)
		}
		_, err := fmt.Fprintf(w.stdout, "The account %s is removed.\n", words[1])
		return err
	}
	all, err := store.Accounts()
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(w.stdout, all)
	}
	rows := [][]string{{"NAME", "ROLE", "CHANGED"}}
	for _, a := range all {
		when := day(a.ChangedAt)
		if a.Preset {
			when = "in the settings"
		}
		rows = append(rows, []string{a.Name, a.Role.String(), when})
	}
	return printRows(w.stdout, rows)
}

// tokenCommand is webgear token.
func tokenCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("token")
	f := addStoreFlags(fs)
	asJSON := fs.Bool("json", false, "print JSON for programs")
	roleText := fs.String("role", auth.Viewer.String(), "viewer or admin: the `role` of a new token")
	about := "webgear token create NAME makes a token for a program and shows it this once; webgear token list lists them; webgear token revoke ID ends one."
	words, err := parseArgs(fs, args, w, about, 2)
	if err != nil {
		return err
	}
	if !isOneOf(words, "list", 1) && !isOneOf(words, "create", 2) && !isOneOf(words, "revoke", 2) {
		return usageError("token %s: use webgear token create NAME, webgear token list or webgear token revoke ID", strings.Join(words, " "))
	}
	role, err := parseRole(*roleText)
	if err != nil {
		return err
	}
	store, err := f.open(w)
	if err != nil {
		return err
	}
	switch words[0] {
	case "create":
		return createToken(ctx, store, words[1], role, *asJSON, w)
	case "revoke":
		if err := store.RevokeToken(ctx, words[1]); err != nil {
			return forUser(err)
		}
		_, err := fmt.Fprintf(w.stdout, "The token %s is revoked.\n", words[1])
		return err
	}
	all, err := store.Tokens()
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(w.stdout, all)
	}
	rows := [][]string{{"ID", "NAME", "ROLE", "MADE", "USED"}}
	for _, t := range all {
		rows = append(rows, []string{t.ID, strconv.Quote(t.Name), t.Role.String(), day(t.CreatedAt), day(t.UsedAt)})
	}
	return printRows(w.stdout, rows)
}

// createToken makes a token. Only the token itself goes to standard output.
func createToken(ctx context.Context, store *auth.Store, name string, role auth.Role, asJSON bool, w world) error {
	info, text, err := store.CreateToken(ctx, name, role)
	if err != nil {
		return forUser(err)
	}
	if asJSON {
		return printJSON(w.stdout, struct {
			auth.TokenInfo
			Token string `json:"token"`
		}{info, text})
	}
	if !store.Claimed() {
		_, _ = fmt.Fprintln(w.stderr, "webgear: the token works once somebody has set a password: webgear claim")
	}
	_, _ = fmt.Fprintf(w.stderr, "webgear: this is shown once; programs send it as Authorization: Bearer TOKEN; webgear token revoke %s ends it\n", info.ID)
	_, err = fmt.Fprintln(w.stdout, text)
	return err
}

// linkCommand is webgear link.
func linkCommand(ctx context.Context, args []string, w world) error {
	fs := newFlagSet("link")
	f := addStoreFlags(fs)
	life := fs.String("life", "24h", "`time` for which it lets in, such as 10m, 24h or 30d; 366d at most")
	base := fs.String("url", "", "beginning of the address, such as `http://camera.local:8000`")
	revoke := fs.Bool("revoke-all", false, "end all links that were made so far instead")
	about := "webgear link PATH makes a link to the stream or the snapshot, such as /video or /snapshot, that lets everybody in who has it, for a time."
	words, err := parseArgs(fs, args, w, about, 1)
	if err != nil {
		return err
	}
	if (len(words) == 1) == *revoke {
		return usageError("link: use webgear link PATH, such as /snapshot, or webgear link --revoke-all")
	}
	store, err := f.open(w)
	if err != nil {
		return err
	}
	if *revoke {
		if err := store.RevokeLinks(ctx); err != nil {
			return forUser(err)
		}
		_, err := fmt.Fprintln(w.stdout, "All links that were made so far are ended.")
		return err
	}
	d, err := parseLife(*life)
	if err != nil {
		return usageError("--life %s: write it as 10m, 24h or 30d", *life)
	}
	// Without a file the key would be forgotten as this command ends.
	if err := store.Keep(ctx); err != nil {
		return forUser(err)
	}
	query, until, err := store.SignLink(words[0], d)
	if err != nil {
		return usageError("%w", err)
	}
	_, _ = fmt.Fprintf(w.stderr, "webgear: valid until %s; webgear link --revoke-all ends it before\n", until.Local().Format(time.DateTime)) //nolint:gosmopolitan // people read the time of their own clock
	_, err = fmt.Fprintln(w.stdout, strings.TrimSuffix(*base, "/")+words[0]+"?"+query)
	return err
}

// parseLife reads a time span that may be in days.
func parseLife(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// isOneOf says whether words are a verb with so many words in all.
func isOneOf(words []string, verb string, count int) bool {
	return len(words) == count && words[0] == verb
}

// day prints a day.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.DateOnly)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printRows(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}
