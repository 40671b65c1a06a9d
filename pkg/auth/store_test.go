package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// failAt fails one step as a full disk does.
func failAt(step, at string) error {
	if step == at {
		return syscall.ENOSPC
	}
	return nil
}

func TestDiskFailuresLoseNothing(t *testing.T) {
	for _, step := range []string{stepLock, stepCreate, stepOwn, stepWrite, stepSync, stepRename, stepSyncDir} {
		r := claimedRig(t, Options{})
		before := r.file(t)
		r.store.hook = func(s string) error { return failAt(s, step) }
		if err := r.store.SetHash(t.Context(), "eve", Nobody, cheap("another one")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", step, err)
		}
		d := r.signIn(t, "admin", adminPassword) // signing in takes no disk
		want := CodeStore
		if got := r.ChangePassword(t.Context(), post(with(d)), adminPassword, "a new password"); got.Code != want || got.Status != 507 {
			t.Errorf("%s: %+v", step, got)
		}
		after := r.file(t)
		if step != stepSyncDir && after != before { // then the new file is in its place
			t.Errorf("%s: the file was changed", step)
		}
		if _, err := decode([]byte(after)); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		entries, err := os.ReadDir(filepath.Dir(r.path))
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: left behind %v, %v", step, entries, err)
		}
		r.store.hook = nil
		if err := r.store.SetHash(t.Context(), "eve", Nobody, cheap("another one")); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
	}
}

func TestClaimThatCannotBeStoredIsNone(t *testing.T) {
	r := newRig(t, Options{})
	r.store.hook = func(s string) error { return failAt(s, stepSync) }
	wants(t, "claim", r.Claim(t.Context(), post(public), "", "a good password"), 507, CodeStore)
	if r.store.Claimed() {
		t.Error("is claimed")
	}
}

func TestWhatPowerCutsLeaveBehindIsRemoved(t *testing.T) {
	r := claimedRig(t, Options{})
	left, foreign := filepath.Join(filepath.Dir(r.path), ".access.json-0123456789abcdef.tmp"), filepath.Join(filepath.Dir(r.path), "access.json.old")
	for _, p := range []string{left, foreign} {
		if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.RevokeLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Error("still there:", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

func TestFileIsPrivateAndOwnedAsItsFolder(t *testing.T) {
	c, path := newClocks(), filepath.Join(t.TempDir(), "new", "access.json")
	owned, locked := 0, 0
	s, err := OpenStore(StoreOptions{Path: path, System: System{
		SinceBoot: c.sinceBoot,
		Own: func(f *os.File, folder fs.FileInfo) error {
			owned++
			if info, err := f.Stat(); err != nil || info.Size() != 0 || !folder.IsDir() {
				t.Error(info, folder, err)
			}
			return nil
		},
		Lock: func(ctx context.Context, f *os.File) error { locked++; return flock(ctx, f) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetHash(t.Context(), "admin", Admin, cheap(adminPassword)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || owned != 1 || locked != 1 {
		t.Error(info.Mode(), owned, locked, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
}

func TestTwoProgramsLoseNoChange(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "access.json"), newClocks()
	var wg sync.WaitGroup
	const each = 15
	for p := range 3 {
		s, err := OpenStore(StoreOptions{Path: path, System: System{SinceBoot: c.sinceBoot, Lock: flock}})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range each {
				if _, _, err := s.CreateToken(t.Context(), fmt.Sprintf("%d of %d", i, p), Viewer); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, path, c, &lockedBuffer{})
	if all, err := s.Tokens(); err != nil || len(all) != 3*each {
		t.Errorf("%d tokens, %v", len(all), err)
	}
}

func TestDamagedFilesLetNobodyInAndAreKept(t *testing.T) {
	whole := claimedRig(t, Options{})
	good := whole.file(t)
	for text, want := range map[string]string{
		"":               "the file ends too early",
		good[:50]:        "the file ends too early",
		"{\n\n x}":       "line 3: ",
		good + "x":       "something stands after the end",
		`{"version": 2}`: "version: 2 is not known, only 1",
		strings.Replace(good, `"version": 1`, `"version": "abc"`, 1):                                            "key version: a string cannot stand here",
		strings.Replace(good, `"version"`, `"vers"`, 1):                                                         `unknown field "vers"`,
		strings.Replace(good, `"role": "admin"`, `"role": "king"`, 1):                                           "a value has the wrong form",
		strings.Replace(good, `"name": "eve"`, `"name": "admin"`, 1):                                            "accounts[1].name: is there twice",
		strings.Replace(good, `"name": "eve"`, `"name": "Eve !"`, 1):                                            "accounts[1].name: an account's name is",
		strings.Replace(good, `$argon2id`, `$argon2i`, 1):                                                       "accounts[0].hash: is no argon2id hash",
		strings.Replace(good, "m=4096", "m=99999999", 1):                                                        "accounts[0].hash: costs",
		`{"version": 1, "session_key": "", "link_key": "", "accounts": [], "tokens": [], "ended_sessions": []}`: "session_key: must have 32 bytes",
		strings.Repeat(" ", maxFileSize+1):                                                                      "has more than",
	} {
		r := newRig(t, Options{})
		if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.clocks.pass(lookInterval)
		if err := r.store.Err(); err != nil {
			t.Errorf("%.60q: what was in force before was dropped: %v", text, err)
		}
		s := open(t, r.path, r.clocks, r.log)
		g, err := New(Options{Store: s, Hostname: "attic"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), r.path) {
			t.Errorf("%.60q: got %v, want %s", text, err, want)
		}
		if !s.Claimed() {
			t.Errorf("%.60q: counts as unclaimed", text)
		}
		wants(t, "stream", g.Check(t.Context(), get()), 503, CodeStore)
		wants(t, "claim", g.Claim(t.Context(), post(public), "", "a good password"), 409, CodeClaimed)
		wants(t, "local user", g.Check(t.Context(), get(local)), 0, "")
		if err := s.SetHash(t.Context(), "admin", Admin, cheap("x")); err == nil {
			t.Errorf("%.60q: was overwritten", text)
		}
		if got := r.file(t); got != text {
			t.Errorf("%.60q: became %.60q", text, got)
		}
		if strings.Count(r.log.String(), "cannot be read") != 2 { // once for each store
			t.Errorf("%.60q: logged %s", text, r.log)
		}
		if err := os.WriteFile(r.path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		r.clocks.pass(lookInterval)
		wants(t, "after the repair", g.Check(t.Context(), get(basic("admin", adminPassword))), 0, "")
	}
}

func TestFileThatVanishesStaysInForce(t *testing.T) {
	r := claimedRig(t, Options{})
	if err := os.Rename(r.path, r.path+".away"); err != nil {
		t.Fatal(err)
	}
	r.clocks.pass(lookInterval)
	wants(t, "stream", r.check(t, get()), 401, CodeSignIn)
	wants(t, "claim", r.Claim(t.Context(), post(public), "", "a good password"), 409, CodeClaimed)
	if err := os.Rename(r.path+".away", r.path); err != nil {
		t.Fatal(err)
	}
	r.clocks.pass(lookInterval)
	if err := r.store.RevokeLinks(t.Context()); err != nil {
		t.Error("after it came back:", err)
	}
}

func TestChangesOfOtherProgramsAreNoticed(t *testing.T) {
	r := claimedRig(t, Options{})
	d := r.signIn(t, "eve", viewerPassword)
	other := open(t, r.path, r.clocks, r.log)
	if err := other.SetHash(t.Context(), "eve", Nobody, cheap("another one")); err != nil {
		t.Fatal(err)
	}
	r.clocks.pass(lookInterval)
	wants(t, "session", r.check(t, get(with(d))), 401, CodeSignIn)
	wants(t, "new password", r.check(t, get(basic("eve", "another one"))), 0, "")
}

func TestSymbolicLinksLeadNowhere(t *testing.T) {
	r := newRig(t, Options{})
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, r.path); err != nil {
		t.Fatal(err)
	}
	s := open(t, r.path, r.clocks, r.log)
	if err := s.SetHash(t.Context(), "admin", Admin, cheap("x")); err == nil {
		t.Error("was written")
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Error(string(data), err)
	}
}

func TestLastAdministratorStays(t *testing.T) {
	r := claimedRig(t, Options{})
	for name, err := range map[string]error{
		"remove":  r.store.RemoveAccount(t.Context(), "admin"),
		"degrade": r.store.SetHash(t.Context(), "admin", Viewer, cheap("x")),
	} {
		if !errors.Is(err, ErrLastAdmin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.store.RemoveAccount(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	d := r.signIn(t, "eve", viewerPassword)
	if err := r.store.RemoveAccount(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	wants(t, "removed account", r.check(t, get(with(d))), 401, CodeSignIn)
}

func TestEndedSessionsNeverComeBack(t *testing.T) {
	r := claimedRig(t, Options{})
	d := r.signIn(t, "eve", viewerPassword)
	id := r.check(t, get(with(d))).Principal.id
	if err := r.store.endSession(t.Context(), id, day.Add(sessionFor)); err != nil {
		t.Fatal(err)
	}
	if err := r.store.update(t.Context(), func(c *contents) error {
		for i := len(c.Ended); i < maxEnded; i++ {
			c.Ended = append(c.Ended, ended{fmt.Sprintf("%032x", i), day.Add(sessionFor)})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wants(t, "ended, the list is full", r.check(t, get(with(d))), 401, CodeSignIn)
	if err := r.store.endSession(t.Context(), "one more", day.Add(sessionFor)); err != nil {
		t.Fatal(err)
	}
	wants(t, "ended", r.check(t, get(with(d))), 401, CodeSignIn)
	if n := strings.Count(r.file(t), `"until"`); n > maxEnded {
		t.Errorf("%d are kept", n)
	}
}

func TestEndSessionsOfAnAccount(t *testing.T) {
	r := claimedRig(t, Options{})
	d, other := r.signIn(t, "eve", viewerPassword), r.signIn(t, "admin", adminPassword)
	if err := r.store.EndSessions(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	wants(t, "eve", r.check(t, get(with(d))), 401, CodeSignIn)
	wants(t, "admin", r.check(t, get(with(other))), 0, "")
	all, err := r.store.Accounts()
	if err != nil || !slices.ContainsFunc(all, func(a AccountInfo) bool { return a.Name == "eve" && a.Role == Viewer && a.ChangedAt.Equal(day) }) {
		t.Error(all, err)
	}
}

func TestLinksAndTokensAreChecked(t *testing.T) {
	r := claimedRig(t, Options{})
	for path, life := range map[string]time.Duration{
		"video": time.Hour, "//evil": time.Hour, "/a b": time.Hour, "/a?b": time.Hour, "/video": 0, "/snapshot": 400 * 24 * time.Hour,
	} {
		if q, _, err := r.store.SignLink(path, life); err == nil {
			t.Errorf("%q for %s: %s", path, life, q)
		}
	}
	for name, role := range map[string]Role{"": Viewer, " x": Viewer, "a\nb": Viewer, strings.Repeat("x", 65): Viewer, "fine": Nobody} {
		if _, _, err := r.store.CreateToken(t.Context(), name, role); err == nil {
			t.Errorf("token %q %s was made", name, role)
		}
	}
	q, until, err := r.store.SignLink("/snapshot", time.Hour)
	if err != nil || !until.Equal(day.Add(time.Hour)) {
		t.Fatal(q, until, err)
	}
	if err := r.store.RevokeLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, "revoked link", r.check(t, get(func(x *Request) { x.Path, x.Query = "/snapshot", q })), 401, CodeSignIn)
}

// flock is what a program gives as System.Lock.
func flock(_ context.Context, f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
