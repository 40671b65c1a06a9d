package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a new hash. Chosen: one of the settings that OWASP's password storage
// cheat sheet names as equal (12 MiB, 3 passes, 1 lane), because the smallest
// boards have 512 MiB that the camera and the pictures share. Measured: 29 ms
// with the portable code on an x86-64 Xeon; a Cortex-A53 of 1 GHz should need
// about a third of a second, which is the price of a sign-in, not of a request.
const (
	hashMemory  = 12 << 10 // KiB
	hashPasses  = 3
	hashLanes   = 1
	hashSalt    = 16 // bytes
	hashLength  = 32 // bytes
	hashVersion = argon2.Version
)

// Bounds of hashes from elsewhere. Chosen: what a board of 512 MiB survives, and
// the least that is worth calling a password hash.
const (
	minHashMemory, maxHashMemory = 4 << 10, 64 << 10 // KiB
	maxHashPasses, maxHashLanes  = 10, 4
	minHashBytes, maxHashBytes   = 16, 64
	minSaltBytes, maxSaltBytes   = 8, 64
)

// MinPassword is the least length of a password in characters, that of NIST SP
// 800-63B.
const MinPassword = 8

// maxPassword is the most in bytes; it bounds work.
const maxPassword = 1024

// hash is an argon2id hash with what it takes to compare it.
type hash struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

// parseHash reads the PHC form, $argon2id$v=19$m=…,t=…,p=…$salt$sum. Errors never
// repeat what was read.
func parseHash(s string) (hash, error) {
	var h hash
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errors.New("is no argon2id hash: make one with webgear hash-password")
	}
	if parts[2] != "v="+strconv.Itoa(hashVersion) {
		return h, fmt.Errorf("is of another version of argon2id than %d", hashVersion)
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return h, errors.New("lacks the costs m, t and p")
	}
	var numbers [3]uint64
	for i, key := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], key)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || digits != strconv.FormatUint(n, 10) {
			return h, errors.New("lacks the costs m, t and p")
		}
		numbers[i] = n
	}
	m, t, p := numbers[0], numbers[1], numbers[2]
	if m < minHashMemory || m > maxHashMemory || t < 1 || t > maxHashPasses || p < 1 || p > maxHashLanes {
		return h, fmt.Errorf("costs m=%d,t=%d,p=%d are out of range: m is %d to %d KiB, t 1 to %d, p 1 to %d",
			m, t, p, minHashMemory, maxHashMemory, maxHashPasses, maxHashLanes)
	}
	h.memory, h.passes, h.lanes = uint32(m), uint32(t), uint8(p) // bounded above
	var err error
	if h.salt, err = decodeText(base64.RawStdEncoding, parts[4]); err != nil || len(h.salt) < minSaltBytes || len(h.salt) > maxSaltBytes {
		return h, fmt.Errorf("has no salt of %d to %d bytes", minSaltBytes, maxSaltBytes)
	}
	if h.sum, err = decodeText(base64.RawStdEncoding, parts[5]); err != nil || len(h.sum) < minHashBytes || len(h.sum) > maxHashBytes {
		return h, fmt.Errorf("has no sum of %d to %d bytes", minHashBytes, maxHashBytes)
	}
	return h, nil
}

// String gives the PHC form.
func (h hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", hashVersion, h.memory, h.passes, h.lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

// matches computes the password's hash and compares.
func (h hash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// newHash hashes a password with a new salt.
func newHash(password string) hash {
	h := hash{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, hashSalt)}
	_, _ = rand.Read(h.salt) // it never fails
	h.sum = argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, hashLength)
	return h
}

// decoy is compared with when there is no such account, so that time does not
// tell. Its costs are those of new hashes.
func decoy() hash {
	return hash{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, hashSalt), sum: make([]byte, hashLength)}
}

// CheckHash checks the form of a hash from the settings.
func CheckHash(s string) error {
	_, err := parseHash(s)
	return err
}

// Hash makes the hash of a new password, for what hands accounts over to the
// settings. The error is a *PasswordError.
func Hash(password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	return newHash(password).String(), nil
}

// PasswordError says why a new password is not good enough.
type PasswordError struct{ Problem string }

// Error gives the problem.
func (e *PasswordError) Error() string { return "password: " + e.Problem }

// CheckPassword says whether a new password is good enough, with a
// *PasswordError: long enough, and none of those that are tried first. Rules on
// kinds of characters make passwords worse.
func CheckPassword(password string) error {
	folded := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		return &PasswordError{"must be valid UTF-8 text"}
	case utf8.RuneCountInString(password) < MinPassword:
		return &PasswordError{fmt.Sprintf("must have at least %d characters", MinPassword)}
	case len(password) > maxPassword:
		return &PasswordError{fmt.Sprintf("must have at most %d bytes", maxPassword)}
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &PasswordError{"must not contain control characters"}
	case strings.Trim(folded, folded[:1]) == "" || slices.Contains(tooCommon, folded):
		return &PasswordError{"is one of those that are tried first: choose another"}
	}
	return nil
}

// tooCommon are passwords of 8 characters and more that lead published lists, and
// those that are near at hand here.
var tooCommon = []string{ //nolint:gochecknoglobals // a constant table; Go has no constant slices
	"12345678", "123456789", "1234567890", "0123456789", "987654321", "87654321", "1q2w3e4r", "1qaz2wsx", "1q2w3e4r5t",
	"password", "password1", "password123", "passw0rd", "p@ssw0rd", "pa$$word", "qwertyui", "qwertyuiop", "qwerty123", "qwertz123",
	"abcd1234", "abcdefgh", "iloveyou", "sunshine", "princess", "football", "baseball", "superman", "letmein1", "welcome1",
	"trustno1", "changeme", "admin123", "admin1234", "administrator", "adminadmin", "default1",
	"raspberry", "raspberrypi", "webgear1", "webgear123", "webgearpi", "octoprint", "mainsail", "camera123", "webcam123",
}

// Hashing is done one password at a time, and few may wait: a flood costs the
// flooders time, not the computer its memory.
const (
	maxWaiting       = 16
	maxWaitingOfHost = 2
)

// ErrBusy is matched when too many passwords are being checked to check another
// one. It passes within seconds.
var ErrBusy = errors.New("too many passwords are being checked")

// hasher is the one place where passwords are hashed.
type hasher struct {
	slot chan struct{} // holds the token of who is hashing

	mu      sync.Mutex
	waiting int                // guarded by mu; those who hash included
	of      map[netip.Addr]int // guarded by mu
}

func newHasher() *hasher {
	return &hasher{slot: make(chan struct{}, 1), of: map[netip.Addr]int{}}
}

// do calls work when it is its turn. The error matches ErrBusy when too many
// wait, or the context's cause.
func (h *hasher) do(ctx context.Context, from netip.Addr, work func()) error {
	h.mu.Lock()
	if h.waiting >= maxWaiting || h.of[from] >= maxWaitingOfHost {
		h.mu.Unlock()
		return ErrBusy
	}
	h.waiting++
	h.of[from]++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting--
		if h.of[from]--; h.of[from] == 0 {
			delete(h.of, from)
		}
	}()
	select {
	case h.slot <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-h.slot }()
	work()
	return nil
}
