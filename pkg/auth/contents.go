package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fileVersion is that of the form of the access file.
const fileVersion = 1

// Bounds of what the file holds. Chosen: far more than a household or a workshop
// needs, few enough to search through for every request.
const (
	maxAccounts = 64
	maxTokens   = 128
	maxEnded    = 256
	maxFileSize = 256 << 10 // bytes
	keyBytes    = 32
)

// secret is bytes that print as nothing.
type secret []byte

// String hides the bytes from logs.
func (secret) String() string { return "(secret)" }

// GoString hides the bytes from logs.
func (secret) GoString() string { return "(secret)" }

// Account is somebody with a password.
type Account struct {
	// Name is 1 to 32 of a-z, 0-9, ".", "_", "-".
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Hash is the argon2id hash of the password in the PHC form.
	Hash string `json:"hash"`
	// Epoch counts how often all sessions were ended at once.
	Epoch     uint64    `json:"epoch,omitempty"`
	ChangedAt time.Time `json:"changed_at,omitzero"`

	parsed hash
	preset bool
}

// token is a program's key, known by the hash of its secret.
type token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	SHA256    secret    `json:"sha256"`
	CreatedAt time.Time `json:"created_at"`
	// UsedAt is the day on which it was last used, about.
	UsedAt time.Time `json:"used_at,omitzero"`
}

// ended is a session that its user ended. It is kept until it would have ended
// by itself.
type ended struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

// contents is what the access file holds. Nobody changes one that was published.
type contents struct {
	Version int `json:"version"`
	// SessionKey and LinkKey sign session cookies and links.
	SessionKey secret     `json:"session_key"`
	LinkKey    secret     `json:"link_key"`
	ClaimedAt  time.Time  `json:"claimed_at,omitzero"`
	Accounts   []*Account `json:"accounts"`
	Tokens     []*token   `json:"tokens"`
	Ended      []ended    `json:"ended_sessions"`
}

// mark is a fingerprint of a credential as it is stored.
type mark [16]byte

func newKey() secret {
	key := make(secret, keyBytes)
	_, _ = rand.Read(key) // it never fails
	return key
}

// randomID gives 128 random bits as text.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// decodeText reads base64 in its one right form: the standard library skips line
// ends wherever they stand.
func decodeText(e *base64.Encoding, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("line end in base64")
	}
	return e.Strict().DecodeString(s)
}

// freshContents is what a new file holds.
func freshContents() *contents {
	return &contents{Version: fileVersion, SessionKey: newKey(), LinkKey: newKey()}
}

// decode reads a file strictly. Errors name the key, never its value.
func decode(data []byte) (*contents, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	c := &contents{}
	if err := dec.Decode(c); err != nil {
		var syntax *json.SyntaxError
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int64(len(data)), syntax.Offset)], []byte("\n")), err)
		case errors.As(err, &wrong):
			return nil, fmt.Errorf("key %s: a %s cannot stand here", wrong.Field, firstWord(wrong.Value))
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("the file ends too early")
		case strings.HasPrefix(err.Error(), "json: unknown field"):
			return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
		}
		return nil, errors.New("a value has the wrong form") // the error could repeat it
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands after the end")
	}
	return c, c.check()
}

// firstWord keeps the kind of a JSON value and drops the value itself: "number 5".
func firstWord(s string) string {
	s, _, _ = strings.Cut(s, " ")
	return s
}

// check looks at every value, and prepares hashes for use.
func (c *contents) check() error {
	if c.Version != fileVersion {
		return fmt.Errorf("version: %d is not known, only %d", c.Version, fileVersion)
	}
	if len(c.SessionKey) != keyBytes {
		return fmt.Errorf("session_key: must have %d bytes", keyBytes)
	}
	if len(c.LinkKey) != keyBytes {
		return fmt.Errorf("link_key: must have %d bytes", keyBytes)
	}
	if len(c.Accounts) > maxAccounts || len(c.Tokens) > maxTokens || len(c.Ended) > maxEnded {
		return fmt.Errorf("at most %d accounts, %d tokens and %d ended sessions", maxAccounts, maxTokens, maxEnded)
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		key := "accounts[" + strconv.Itoa(i) + "]"
		if a == nil {
			return fmt.Errorf("%s: is empty", key)
		}
		if err := a.check(); err != nil {
			return fmt.Errorf("%s.%w", key, err)
		}
		if seen[a.Name] {
			return fmt.Errorf("%s.name: is there twice", key)
		}
		seen[a.Name] = true
	}
	seen = map[string]bool{}
	for i, t := range c.Tokens {
		key := "tokens[" + strconv.Itoa(i) + "]"
		switch {
		case t == nil:
			return fmt.Errorf("%s: is empty", key)
		case t.ID == "" || seen[t.ID]:
			return fmt.Errorf("%s.id: is empty or there twice", key)
		case checkTokenName(t.Name) != nil:
			return fmt.Errorf("%s.name: %w", key, checkTokenName(t.Name))
		case t.Role == Nobody:
			return fmt.Errorf("%s.role: is missing", key)
		case len(t.SHA256) != sha256.Size:
			return fmt.Errorf("%s.sha256: must have %d bytes", key, sha256.Size)
		}
		seen[t.ID] = true
	}
	return nil
}

// check looks at an account and prepares its hash.
func (a *Account) check() (err error) {
	if err := checkName(a.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if a.Role == Nobody {
		return errors.New("role: is missing")
	}
	if a.parsed, err = parseHash(a.Hash); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	return nil
}

// CheckName checks an account's name, for settings.
func CheckName(name string) error { return checkName(name) }

// checkName checks an account's name.
func checkName(name string) error {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	if name == "" || len(name) > 32 || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		return errors.New("an account's name is 1 to 32 of a-z, 0-9 and . _ -")
	}
	return nil
}

// checkTokenName checks what a token is called, for people.
func checkTokenName(name string) error {
	if strings.TrimSpace(name) != name || name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return errors.New("a token's name is 1 to 64 bytes of text")
	}
	return nil
}

// clone copies deep enough to change.
func (c *contents) clone() *contents {
	n := *c
	n.Accounts = make([]*Account, len(c.Accounts))
	for i, a := range c.Accounts {
		b := *a
		n.Accounts[i] = &b
	}
	n.Tokens = make([]*token, len(c.Tokens))
	for i, t := range c.Tokens {
		b := *t
		n.Tokens[i] = &b
	}
	n.Ended = slices.Clone(c.Ended)
	return &n
}

// encode gives the file's bytes.
func (c *contents) encode() ([]byte, error) {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	if data = append(data, '\n'); len(data) > maxFileSize {
		return nil, fmt.Errorf("would have more than %d bytes", maxFileSize)
	}
	return data, nil
}

// account finds one by its name.
func (c *contents) account(name string) *Account {
	for _, a := range c.Accounts {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// claimed reports whether somebody can sign in who may change things.
func (c *contents) claimed() bool {
	return slices.ContainsFunc(c.Accounts, func(a *Account) bool { return a.Role == Admin })
}

// tokenOf finds the token of a secret. The comparison is of hashes, whose
// beginnings nobody can choose; still it takes the same time for all.
func (c *contents) tokenOf(text string) *token {
	sum := sha256.Sum256([]byte(text))
	var found *token
	for _, t := range c.Tokens {
		if hmac.Equal(t.SHA256, sum[:]) {
			found = t
		}
	}
	return found
}

// markOf is the fingerprint of an account: it changes with the password, the role
// and the epoch, and ends what was allowed before.
func (c *contents) markOf(a *Account) mark {
	return c.fingerprint("account", a.Name, a.Role.String(), a.Hash, strconv.FormatUint(a.Epoch, 10))
}

// markOfToken is the fingerprint of a token.
func (c *contents) markOfToken(t *token) mark {
	return c.fingerprint("token", t.ID, t.Role.String(), base64.StdEncoding.EncodeToString(t.SHA256))
}

// markOfLinks is the fingerprint of the key that signs links.
func (c *contents) markOfLinks() mark {
	return c.fingerprint("links", base64.StdEncoding.EncodeToString(c.LinkKey))
}

func (c *contents) fingerprint(parts ...string) (m mark) {
	mac := hmac.New(sha256.New, c.SessionKey)
	for _, p := range append([]string{"webgear mark 1"}, parts...) {
		_, _ = fmt.Fprintf(mac, "%d:%s;", len(p), p) // a hash takes everything
	}
	copy(m[:], mac.Sum(nil))
	return m
}

// hasEnded reports whether a session was ended by its user.
func (c *contents) hasEnded(id string) bool {
	return slices.ContainsFunc(c.Ended, func(e ended) bool { return e.ID == id })
}
