package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/auth"
)

// person uses the program in a home of his own.
type person struct{ home, root string }

func newPerson(t *testing.T) person {
	t.Helper()
	return person{t.TempDir(), emptyRoot(t)}
}

// does runs a command with something piped into it.
func (p person) does(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, errs := newLockedBuffer(), newLockedBuffer()
	code = run(ctx, args, world{root: p.root, home: p.home, stdin: strings.NewReader(input), stdout: out, stderr: errs})
	return code, out.String(), errs.String()
}

// store opens the person's access file.
func (p person) store(t *testing.T) *auth.Store {
	t.Helper()
	s, err := auth.OpenStore(auth.StoreOptions{Path: filepath.Join(p.home, ".webgear", accessFile), System: accessSystem()})
	if err != nil || s.Err() != nil {
		t.Fatal(err, s.Err())
	}
	return s
}

func TestClaimSetsTheFirstPasswordOnce(t *testing.T) {
	p := newPerson(t)
	if code, _, stderr := p.does(t, "12345678\n", "claim"); code != exitFailed || !strings.Contains(stderr, "tried first") {
		t.Errorf("weak password: code %d: %s", code, stderr)
	}
	code, stdout, stderr := p.does(t, "correct horse\n", "claim")
	if code != 0 || stdout != "The password of admin is set.\n" || stderr != "" {
		t.Fatalf("code %d: %s%s", code, stdout, stderr)
	}
	info, err := os.Stat(filepath.Join(p.home, ".webgear", accessFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if code, _, stderr := p.does(t, "another horse\n", "claim", "eve"); code != exitFailed || !strings.Contains(stderr, "webgear passwd changes it") {
		t.Errorf("second claim: code %d: %s", code, stderr)
	}
}

func TestPasswdMakesChangesAndRefuses(t *testing.T) {
	p := newPerson(t)
	if code, _, stderr := p.does(t, "correct horse\n", "passwd"); code != exitFailed || !strings.Contains(stderr, "webgear claim sets the first one") {
		t.Errorf("before the claim: code %d: %s", code, stderr)
	}
	p.does(t, "correct horse\n", "claim")
	for _, tt := range []struct {
		input, args string
		code        int
		want        string
	}{
		{"battery staple\n", "passwd eve", exitFailed, "with --role viewer or --role admin"},
		{"battery staple\n", "passwd eve --role owner", exitUsage, "--role owner: a role is viewer or admin"},
		{"battery staple\n", "passwd eve --role viewer", 0, "The password of eve is changed"},
		{"battery staple\n", "passwd --role viewer bob", 0, "The password of bob is changed"},
		{"battery stable\n", "passwd EVE", 0, "The password of eve is changed"},
		{"short\n", "passwd eve", exitFailed, "at least 8 characters"},
		{"", "passwd eve", exitFailed, "no password was given"},
		{"battery staple\n", "passwd admin --role viewer", exitFailed, "the last administrator has to stay: make another one first"},
		{"battery staple\n", "passwd Eve!", exitFailed, "an account's name is"},
		{"", "passwd eve bob", exitUsage, `unexpected argument "bob": webgear passwd --help`},
		{"", "accounts", 0, "admin  admin"},
		{"", "accounts remove admin", exitFailed, "the last administrator has to stay"},
		{"", "accounts remove bob", 0, "The account bob is removed"},
		{"", "accounts remove bob", exitFailed, "not found"},
		{"", "accounts delete bob", exitUsage, "use webgear accounts list"},
		{"", "accounts list --json", 0, `"name": "eve"`},
	} {
		code, stdout, stderr := p.does(t, tt.input, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) || code != 0 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d: %s%s", tt.args, code, stdout, stderr)
		}
	}
	all, err := p.store(t).Accounts()
	if err != nil || len(all) != 2 || all[1].Name != "eve" || all[1].Role != auth.Viewer {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestTokensAreShownOnceAndRevoked(t *testing.T) {
	p := newPerson(t)
	p.does(t, "correct horse\n", "claim")
	code, text, stderr := p.does(t, "", "token", "create", "my printer", "--role", "admin")
	if code != 0 || !regexp.MustCompile(`^webgear_[\w-]{43}\n$`).MatchString(text) || !strings.Contains(stderr, "shown once") {
		t.Fatalf("code %d: %s%s", code, text, stderr)
	}
	var list []auth.TokenInfo
	code, stdout, _ := p.does(t, "", "token", "list", "--json")
	if err := json.Unmarshal([]byte(stdout), &list); code != 0 || err != nil || len(list) != 1 || list[0].Name != "my printer" || list[0].Role != auth.Admin {
		t.Fatalf("code %d, %v: %s", code, err, stdout)
	}
	code, stdout, _ = p.does(t, "", "token", "list")
	if code != 0 || !strings.Contains(stdout, list[0].ID) || strings.Contains(stdout, strings.TrimSpace(text)) {
		t.Errorf("code %d: %s", code, stdout)
	}
	if code, _, stderr := p.does(t, "", "token", "revoke", list[0].ID); code != 0 {
		t.Errorf("revoke: %s", stderr)
	}
	if code, _, stderr := p.does(t, "", "token", "revoke", list[0].ID); code != exitFailed || !strings.Contains(stderr, "not found") {
		t.Errorf("again: code %d: %s", code, stderr)
	}
	for _, args := range []string{"token", "token create", "token make x", "token create a b", "token create a --role boss"} {
		if code, _, stderr := p.does(t, "", strings.Fields(args)...); code != exitUsage || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d: %s", args, code, stderr)
		}
	}
}

func TestLinksAreSignedWithAKeyThatStays(t *testing.T) {
	p := newPerson(t)
	code, first, stderr := p.does(t, "", "link", "/snapshot", "--life", "30d", "--url", "http://camera.local:8000/")
	if code != 0 || !regexp.MustCompile(`^http://camera\.local:8000/snapshot\?exp=\d+&sig=[\w-]{43}\n$`).MatchString(first) || !strings.Contains(stderr, "valid until") {
		t.Fatalf("code %d: %s%s", code, first, stderr)
	}
	if _, err := os.Stat(filepath.Join(p.home, ".webgear", accessFile)); err != nil {
		t.Error("the key was not kept")
	}
	if code, stdout, _ := p.does(t, "", "link", "--revoke-all"); code != 0 || !strings.Contains(stdout, "ended") {
		t.Errorf("code %d: %s", code, stdout)
	}
	for args, want := range map[string]string{
		"link": "webgear link PATH", "link snapshot": "write a path", "link /x --life soon": "--life soon: write it as", "link /x --life 400d": "366 days",
		"link /x --life -1h": "a second to 366 days", "link /x --revoke-all": "webgear link --revoke-all", "link /x?y=1": "write a path",
	} {
		if code, _, stderr := p.does(t, "", strings.Fields(args)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d: %s", args, code, stderr)
		}
	}
}

func TestHashPasswordPrintsWhatTheSettingsTake(t *testing.T) {
	code, stdout, stderr := newPerson(t).does(t, "correct horse\r\n", "hash-password")
	if code != 0 || auth.CheckHash(strings.TrimSuffix(stdout, "\n")) != nil || stderr != "" {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
}

func TestAccountsOfTheSettingsAreChangedThere(t *testing.T) {
	p := newPerson(t)
	_, hash, _ := p.does(t, "correct horse\n", "hash-password")
	file := write(t, "webgear.yaml", "access: {accounts: [{name: admin, role: admin, hash: '"+strings.TrimSpace(hash)+"'}]}\n")
	for args, want := range map[string]string{
		"passwd": "change it in the settings file", "claim": "a password is set already", "accounts remove admin": "change it in the settings file",
	} {
		if code, _, stderr := p.does(t, "battery staple\n", append(strings.Fields(args), "--config", file)...); code != exitFailed || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d: %s", args, code, stderr)
		}
	}
	if _, stdout, _ := p.does(t, "", "accounts", "--config", file); !strings.Contains(stdout, "in the settings") {
		t.Errorf("list: %s", stdout)
	}
	bad := write(t, "bad.yaml", "access:\n  accounts:\n    - {name: admin, role: admin, hash: hush-hush}\n")
	if code, _, stderr := p.does(t, "x\n", "claim", "--config", bad); code != exitConfig || !strings.Contains(stderr, "line 3: access.accounts[0].hash: is no argon2id hash") || strings.Contains(stderr, "hush") {
		t.Errorf("bad settings: code %d: %s", code, stderr)
	}
}

func TestRootMeansThePasswordsOfTheServiceAndKeepsTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: the owner cannot be looked at")
		return
	}
	p := newPerson(t)
	state := filepath.Join(p.root, serviceState)
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.does(t, "correct horse\n", "claim"); code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	info, err := os.Stat(filepath.Join(state, accessFile))
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 23456 || info.Mode().Perm() != 0o600 {
		t.Errorf("belongs to %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	// Another folder is another computer's business.
	if code, _, stderr := p.does(t, "correct horse\n", "claim", "--data-dir", t.TempDir()); code != 0 {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestAccessFileThatCannotBeReadIsNotOverwritten(t *testing.T) {
	p := newPerson(t)
	p.does(t, "correct horse\n", "claim")
	path := filepath.Join(p.home, ".webgear", accessFile)
	if err := os.WriteFile(path, []byte("{hush-hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"claim", "passwd", "accounts", "token list", "link /snapshot"} {
		if code, _, stderr := p.does(t, "battery staple\n", strings.Fields(args)...); code != exitFailed || !strings.Contains(stderr, path) || strings.Contains(stderr, "hush") {
			t.Errorf("%s: code %d: %s", args, code, stderr)
		}
	}
	if read(t, path) != "{hush-hush" {
		t.Error("the file was changed")
	}
}
