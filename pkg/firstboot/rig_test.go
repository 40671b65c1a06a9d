package firstboot

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// settingsText is a settings file as the package ships it, shortened.
const settingsText = `# Settings of the webgear service.

camera:
  # Where pictures come from.
  #source: auto

  #resolution: ""
  framerate: 10 # mine
  #controls: {}

http:
  #listen: :8000
`

const (
	sshKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexampleexampleexampleexample alice@laptop"
	ownHash = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$UmFuZG9tVmFsdWVUaGF0SXNOb0hhc2hBdEFsbDEyMw"
)

// rightSetup names everything.
const rightSetup = `# my camera
hostname: Nest-Box
timezone: Europe/Berlin
wifi:
  country: de
  ssid: Home 5G
  password: correct horse
  hidden: true
password: 'it''s mine # really'   # for me
viewer_password: letmewatch
ssh:
  keys:
    - ` + sshKey + `
camera:
  source: rtsp://me:hunter2secret@10.0.0.5/live
  resolution: 640x480
  framerate: 15
  controls: {brightness: 140, auto_exposure: Manual Mode}
`

// hashOf stands for argon2id; the same password has the same hash.
func hashOf(password string) (string, error) {
	sum := sha256.Sum256([]byte(password))
	return "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + base64.RawStdEncoding.EncodeToString(sum[:]), nil
}

// rig is a card and a system in a directory.
type rig struct {
	t    *testing.T
	dir  string
	hook func(step, name string) error
	did  []Change
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	for name, text := range map[string]string{
		"boot/cmdline.txt":                       "root=x\n",
		"data/keep":                              "",
		"root/etc/hostname":                      "webgear\n",
		"root/etc/hosts":                         "127.0.0.1\tlocalhost\n127.0.1.1\twebgear\n10.0.0.1\tnas\n",
		"root/etc/timezone":                      "Etc/UTC\n",
		"root/etc/webgear/webgear.yaml":          settingsText,
		"root/usr/share/zoneinfo/Europe/Berlin":  "TZif",
		"root/usr/share/zoneinfo/Europe/London":  "TZif",
		"root/usr/share/zoneinfo/right/Etc/NoDe": "TZif",
	} {
		r.put(name, text)
	}
	if err := os.Chmod(filepath.Join(r.dir, "root/etc/webgear/webgear.yaml"), 0o640); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) put(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// setup puts the setup file onto the card.
func (r *rig) setup(text string) { r.t.Helper(); r.put("boot/"+SetupFile, text) }

// get reads a file; "" when there is none.
func (r *rig) get(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(data)
}

// step leaves out the wait for the disk, after asking the hook.
func (r *rig) step(step, name string) error {
	if r.hook != nil {
		if err := r.hook(step, name); err != nil {
			return err
		}
	}
	if step == stepSync || step == stepSyncDir {
		return errNoSync
	}
	return nil
}

func (r *rig) options() Options {
	return Options{
		Boot: filepath.Join(r.dir, "boot"), Root: filepath.Join(r.dir, "root"), Data: filepath.Join(r.dir, "data"),
		Hash:     hashOf,
		Activate: func(_ context.Context, c Change) error { r.did = append(r.did, c); return nil },
		hook:     r.step,
		rounds:   2, // tests need no slow digest
	}
}

// run runs, and wants no error.
func (r *rig) run() Report {
	r.t.Helper()
	r.did = nil
	report, err := Run(r.t.Context(), r.options())
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// outcome is what became of a file.
func outcome(t *testing.T, report Report, name string) FileReport {
	t.Helper()
	for _, f := range report.Files {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("%s is not in %+v", name, report)
	return FileReport{}
}

// want checks the outcome of the setup file, and that the errors file agrees.
func (r *rig) want(report Report, o Outcome) FileReport {
	r.t.Helper()
	f := outcome(r.t, report, SetupFile)
	if f.Outcome != o {
		r.t.Fatalf("outcome %s, want %s: %+v", f.Outcome, o, report)
	}
	told := r.get("boot/" + ErrorsFile)
	if (told != "") != (len(report.Problems()) > 0) {
		r.t.Errorf("problems %v, but the errors file has %q", report.Problems(), told)
	}
	return f
}

// tree is all files of the system and the card with permissions and content.
func (r *rig) tree(under ...string) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for _, dir := range under {
		err := filepath.WalkDir(filepath.Join(r.dir, dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, _ := filepath.Rel(r.dir, path)
			if e.Type() == fs.ModeSymlink {
				all[name], err = os.Readlink(path)
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			all[name] = info.Mode().String() + " " + string(data)
			return err
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

// differ names the first difference of two trees.
func differ(a, b map[string]string) string {
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if a[name] != b[name] {
			return name + ":\n" + a[name] + "\n-- and --\n" + b[name]
		}
	}
	return ""
}

// latin1 writes as an old editor does.
func latin1(s string) string {
	var b strings.Builder
	for _, c := range s {
		b.WriteByte(byte(c))
	}
	return b.String()
}

// utf16le writes as Windows does what it calls Unicode.
func utf16le(s string) string {
	b := []byte(bomUTF16)
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}
