package firstboot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestReplacedFileIsAppliedAgain(t *testing.T) {
	r := newRig(t)
	r.setup(rightSetup)
	r.want(r.run(), Applied)
	r.want(r.run(), Unchanged)
	wifi := r.get("root/" + fileWiFi)

	// A month later the person changes one line of the file on the card; the
	// passwords are kept.
	r.setup(strings.Replace(r.get("boot/"+SetupFile), "Nest-Box", "attic", 1))
	f := r.want(r.run(), Applied)
	if r.get("root/etc/hostname") != "attic\n" || r.get("root/"+fileWiFi) != wifi || slices.Contains(f.Set, Password) {
		t.Errorf("set %v\n%s", f.Set, r.get("root/"+fileWiFi))
	}
	r.want(r.run(), Unchanged)

	// The same file as the first time counts as new: its passwords are wanted again.
	r.put("data/"+Preset, "{}")
	r.setup(rightSetup)
	if f = r.want(r.run(), Applied); !slices.Contains(f.Set, Password) || !strings.Contains(r.get("data/"+Preset), "admin") {
		t.Errorf("set %v, preset %s", f.Set, r.get("data/"+Preset))
	}

	// Another network without a password is not known here.
	r.setup("wifi: {ssid: other, country: DE}\n")
	r.want(r.run(), Wrong)
	r.setup("wifi: {ssid: other, country: DE, open: true}\nssh: {keys: []}\n")
	r.want(r.run(), Applied)
	if got := r.get("root/" + fileWiFi); strings.Contains(got, "psk") || !strings.Contains(got, "ssid=other\n") {
		t.Errorf("got %s", got)
	}
	if r.get("root/root/.ssh/authorized_keys") != "" {
		t.Error("keys are left")
	}
	if _, err := os.Lstat(filepath.Join(r.dir, "root", SSHLink)); !os.IsNotExist(err) {
		t.Errorf("ssh is on: %v", err)
	}
}

func TestReadOnlyCardReplacedByOneThatDiffersOnlyInItsPassword(t *testing.T) {
	r := newRig(t)
	r.hook = readOnly
	r.setup("password: first one\n")
	r.want(r.run(), Applied)
	r.setup("password: second one\n")
	r.want(r.run(), Applied)
	r.want(r.run(), Unchanged)
	if hash, _ := hashOf("second one"); !strings.Contains(r.get("data/"+Preset), hash) {
		t.Error(r.get("data/" + Preset))
	}
}

func TestKeysOfOthersStay(t *testing.T) {
	r := newRig(t)
	r.put("root/root/.ssh/authorized_keys", "ssh-rsa mine\n")
	r.setup("ssh:\n  keys: [" + sshKey + "]\n")
	r.want(r.run(), Applied)
	r.setup("ssh: {keys: []}\n")
	r.want(r.run(), Applied)
	if got := r.get("root/root/.ssh/authorized_keys"); got != "ssh-rsa mine\n" {
		t.Errorf("got %q", got)
	}
}

func TestDamagedNoteAppliesAgain(t *testing.T) {
	r := newRig(t)
	r.setup("hostname: attic\n")
	r.want(r.run(), Applied)
	for _, text := range []string{"{", "null", `{"version":2,"files":{}}`, `{"version":1,"files":{"webgear-setup.yaml":{"clean":"","secret":"x","rounds":2000000000}}}`} {
		r.put("data/"+fileState, text)
		if report := r.run(); outcome(t, report, SetupFile).Outcome != Applied {
			t.Errorf("%s: got %+v", text, report)
		}
		r.want(r.run(), Unchanged)
	}
}

func TestBrokenSettingsFileKeepsAllFromBeingApplied(t *testing.T) {
	r := newRig(t)
	r.put("root/etc/webgear/webgear.yaml", "camera: {sorce: 1}\n")
	r.setup("hostname: attic\ncamera:\n  framerate: 5\n")
	f := r.want(r.run(), Wrong)
	if r.get("root/etc/hostname") != "webgear\n" || !strings.Contains(f.Problems[0].Text, "/etc/webgear/webgear.yaml cannot take it (line 1: unknown key") {
		t.Errorf("got %+v", f)
	}
}

func TestFailureIsAnErrorAndTheNextRunDoesAll(t *testing.T) {
	r := newRig(t)
	r.setup(rightSetup)
	r.hook = func(_, name string) error {
		if name == fileLocalTime {
			return syscall.ENOSPC
		}
		return nil
	}
	report, err := Run(t.Context(), r.options())
	if f := outcome(t, report, SetupFile); !errors.Is(err, syscall.ENOSPC) || f.Outcome != Failed || r.get("boot/"+SetupFile) != rightSetup {
		t.Errorf("got %+v, %v", report, err)
	}
	r.hook = nil
	r.want(r.run(), Applied)
}

func TestHashFailureAndActivationFailure(t *testing.T) {
	r := newRig(t)
	r.setup("password: long enough\nhostname: attic\n")
	o := r.options()
	o.Hash = func(string) (string, error) { return "", errors.New("no memory") }
	if _, err := Run(t.Context(), o); err == nil || err.Error() != "setup webgear-setup.yaml: apply password: hash the password of admin: no memory" {
		t.Errorf("got %v", err)
	}
	o.Hash = hashOf
	o.Activate = func(context.Context, Change) error { return errors.New("no bus") }
	report, err := Run(t.Context(), o)
	if err != nil || len(report.Warnings) != 2 || report.Warnings[0] != "host name: is set, but not in force before the next start: no bus" {
		t.Errorf("got %+v, %v", report, err)
	}
	o.Hash = nil
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("no way to hash is no error")
	}
}

func TestCancelledRunAppliesNothingFurther(t *testing.T) {
	r := newRig(t)
	r.setup(rightSetup)
	ctx, cancel := context.WithCancel(t.Context())
	o := r.options()
	o.Activate = func(context.Context, Change) error { cancel(); return nil }
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) || r.get("root/"+fileWiFi) != "" || r.get("root/etc/hostname") != "nest-box\n" {
		t.Errorf("got %v", err)
	}
	r.want(r.run(), Applied)
}

func TestEachFileIsWholeOnTheDiskBeforeItTakesItsName(t *testing.T) {
	r := newRig(t)
	r.setup("hostname: attic\npassword: long enough\n")
	var steps []string
	o := r.options()
	o.hook = func(step, name string) error { // and this once, the disk is waited for
		steps = append(steps, step+" "+strings.TrimSuffix(name, tempSuffix))
		return nil
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{fileHosts, HostNameFile, Preset, fileState, SetupFile, fileState, fileReport} {
		want = append(want, "create "+name, "write "+name, "sync "+name, "rename "+name, "sync directory "+filepath.Dir(name))
	}
	if !slices.Equal(steps, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
}

func TestLastReportBeforeTheFirstRunIsEmpty(t *testing.T) {
	if report, err := LastReport(t.TempDir()); err != nil || len(report.Files) > 0 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestServiceMayReadWhatItNeeds(t *testing.T) {
	gid := os.Getgid()
	if os.Geteuid() == 0 {
		gid = 4242
	}
	r := newRig(t)
	r.setup("password: long enough\ncamera: {framerate: 5}\n")
	o := r.options()
	o.ServiceGID = gid
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"root/" + DefaultSettings: 0o640, "data/" + Preset: 0o640, "data/" + fileReport: 0o640} {
		info, err := os.Stat(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Gid) != gid || info.Mode() != want {
			t.Errorf("%s: %v, %+v", name, info.Mode(), s)
		}
	}
}

func TestConsoleTellsWhatHappened(t *testing.T) {
	r := newRig(t)
	r.put("boot/"+PreseedFile, "config_version = \"1.0\"\nsystem.hostname = \"attic\"\ndebug = true\n")
	r.setup("hostname: a b\n")
	var console strings.Builder
	if _, err := r.run().WriteTo(&console); err != nil {
		t.Fatal(err)
	}
	want := `rpi-preseed.toml: applied (host name)
  rpi-preseed.toml: not applied: debug: the journal has it all
webgear-setup.yaml: NOTHING of it was applied, it has mistakes:
  webgear-setup.yaml line 1: hostname: "a b" is no host name: use 1 to 63 letters a-z, digits and hyphens, with a letter or digit at both ends
`
	if console.String() != want {
		t.Errorf("got\n%s", &console)
	}
	r.setup("")
	console.Reset()
	if _, err := r.run().WriteTo(&console); err != nil || console.Len() > 0 {
		t.Errorf("nothing happened, but it says %s, %v", &console, err)
	}
}
