package firstboot

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// fileState is the note of what was applied, in Data.
const fileState = "firstboot.json"

// stateVersion is that of the form of the note.
const stateVersion = 1

// state is the note of what was applied, by file.
type state struct {
	Version int                `json:"version"`
	Files   map[string]applied `json:"files"`
}

// applied knows a file in its two forms. The one with secrets is known by a slow
// digest, so that nobody can try passwords against the note.
type applied struct {
	// Clean is the SHA-256 of the file without secrets, in hexadecimal.
	Clean string `json:"clean"`
	// Secret, Salt and Rounds are of the file as it was applied, while its
	// secrets are not known to be gone: PBKDF2 with SHA-256.
	Secret string `json:"secret,omitempty"`
	Salt   string `json:"salt,omitempty"`
	Rounds int    `json:"rounds,omitempty"`
}

// digestRounds is the work of the slow digest: 29 ms on a shared x86-64 server
// core. A Pi Zero was not measured; were it 40 times slower, it would take a
// second, and only while secrets cannot be removed.
const digestRounds = 100_000

// maxDigestRounds bounds what a damaged note may ask for.
const maxDigestRounds = 10 * digestRounds

const saltSize = 16

func fast(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func slow(data []byte, salt string, rounds int) (string, error) {
	key, err := pbkdf2.Key(sha256.New, string(data), []byte(salt), rounds, sha256.Size)
	return hex.EncodeToString(key), err
}

// knows says whether the file is the one that was applied, and whether it still
// has its secrets.
func (a applied) knows(data []byte) (known, secrets bool) {
	if a.Clean != "" && a.Clean == fast(data) {
		return true, false
	}
	if a.Secret == "" || a.Rounds < 1 || a.Rounds > maxDigestRounds {
		return false, false
	}
	sum, err := slow(data, a.Salt, a.Rounds)
	same := err == nil && subtle.ConstantTimeCompare([]byte(sum), []byte(a.Secret)) == 1
	return same, same
}

// note makes the note of a file, and of what it becomes.
func note(data, clean []byte, rounds int) (applied, error) {
	a := applied{Clean: fast(clean)}
	if string(data) == string(clean) {
		return a, nil
	}
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // it never fails
	a.Salt, a.Rounds = hex.EncodeToString(salt[:]), rounds
	var err error
	a.Secret, err = slow(data, a.Salt, rounds)
	return a, err
}

// loadState reads the note. One that cannot be read counts as none, because
// applying again does no harm; then the error says so.
func (r *run) loadState() (state, error) {
	none := state{Version: stateVersion, Files: map[string]applied{}}
	data, err := r.data.read(fileState, maxSystemFile)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return none, err
	}
	if s.Version != stateVersion || s.Files == nil {
		return none, fmt.Errorf("version %d is not known", s.Version)
	}
	return s, nil
}

func (r *run) saveState(s state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return r.data.write(fileState, append(data, '\n'), access{perm: permSecret})
}
