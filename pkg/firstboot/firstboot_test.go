package firstboot

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAbsentFileChangesNothing(t *testing.T) {
	r := newRig(t)
	before := r.tree("boot", "root")
	r.want(r.run(), Absent)
	if d := differ(before, r.tree("boot", "root")); d != "" {
		t.Error(d)
	}
}

func TestEmptyFileChangesNothing(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "blank": " \n\n", "comments": "# hi\n", "template": Template(), "mark": bomUTF8, "sections": "wifi:\ncamera:\nssh:\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.setup(text)
			before := r.tree("boot", "root")
			r.want(r.run(), Empty)
			if d := differ(before, r.tree("boot", "root")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMissingBootPartitionIsAWarning(t *testing.T) {
	r := newRig(t)
	o := r.options()
	o.Boot = filepath.Join(r.dir, "nowhere")
	report, err := Run(t.Context(), o)
	if err != nil || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "boot partition") {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestRightFileIsAppliedAndSecretsLeaveIt(t *testing.T) {
	r := newRig(t)
	r.setup(rightSetup)
	f := r.want(r.run(), Applied)
	all := []Change{HostName, TimeZone, Country, WiFi, SSH, Camera, Password}
	if !slices.Equal(f.Set, all) || !slices.Equal(r.did, all) || f.SecretsRemain {
		t.Errorf("set %v, activated %v, secrets remain %t", f.Set, r.did, f.SecretsRemain)
	}
	own, _ := hashOf("it's mine # really")
	viewer, _ := hashOf("letmewatch")
	want := map[string]string{
		"root/etc/hostname":                      "-rw-r--r-- nest-box\n",
		"root/etc/hosts":                         "-rw-r--r-- 127.0.0.1\tlocalhost\n10.0.0.1\tnas\n127.0.1.1\tnest-box\n",
		"root/etc/localtime":                     "/usr/share/zoneinfo/Europe/Berlin",
		"root/etc/timezone":                      "-rw-r--r-- Europe/Berlin\n",
		"root/etc/modprobe.d/webgear-wifi.conf":  "-rw-r--r-- # Written by webgear from the setup file: where Wi-Fi may send on which channels.\noptions cfg80211 ieee80211_regdom=DE\n",
		"root/" + fileWiFi:                       "-rw------- # Written by webgear from the setup file.\n[connection]\nid=webgear-setup\ntype=wifi\nautoconnect-retries=0\n\n[wifi]\nmode=infrastructure\nssid=72;111;109;101;32;53;71;\nhidden=true\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=correct horse\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n",
		"root/root/.ssh/authorized_keys":         "-rw------- " + keysBegin + "\n" + sshKey + "\n" + keysEnd + "\n",
		"root/" + SSHLink:                        unitSSH,
		"root/etc/webgear/webgear.yaml":          "-rw-r----- " + strings.NewReplacer("#source: auto", `source: "rtsp://me:hunter2secret@10.0.0.5/live"`, `#resolution: ""`, `resolution: "640x480"`, "framerate: 10 # mine", "framerate: 15", "#controls: {}", `controls: {"brightness": 140, "auto_exposure": "Manual Mode"}`).Replace(settingsText),
		"data/" + Preset:                         "-rw-r----- {\n  \"admin\": \"" + own + "\",\n  \"viewer\": \"" + viewer + "\"\n}\n",
		"boot/" + SetupFile:                      "-rw-r--r-- " + regexp.MustCompile(`(?m)^( *)(password|viewer_password|source):.*$`).ReplaceAllString(rightSetup, "$1# $2: "+removedMark),
		"root/usr/share/zoneinfo/Europe/London":  "-rw-r--r-- TZif",
		"root/usr/share/zoneinfo/Europe/Berlin":  "-rw-r--r-- TZif",
		"root/usr/share/zoneinfo/right/Etc/NoDe": "-rw-r--r-- TZif",
		"boot/cmdline.txt":                       "-rw-r--r-- root=x\n",
	}
	got := r.tree("boot", "root", "data")
	for _, name := range []string{fileState, fileReport, "keep"} {
		delete(got, "data/"+name)
	}
	if d := differ(want, got); d != "" {
		t.Error(d)
	}
	for _, secret := range []string{"correct horse", "hunter2secret", "letmewatch", "it's mine"} {
		for _, name := range []string{fileState, fileReport} {
			if strings.Contains(r.get("data/"+name), secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	before := r.tree("boot", "root", "data")
	f = r.want(r.run(), Unchanged)
	delete(before, "data/"+fileReport)
	after := r.tree("boot", "root", "data")
	delete(after, "data/"+fileReport)
	if d := differ(before, after); d != "" || len(r.did) > 0 || f.SecretsRemain {
		t.Errorf("the second run did %v and changed %s", r.did, d)
	}
}

func TestUncommentedTemplateIsRight(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#( *(?:- |[a-z_]+:))`).ReplaceAllString(Template(), "$1")
	text = strings.Replace(text, "ssh-ed25519 AAAA... you@laptop", sshKey, 1)
	d := readSetup(text)
	if len(d.problems) > 0 || len(d.notes) > 0 {
		t.Fatalf("%+v %v\n%s", d.problems, d.notes, text)
	}
	if d.hostName != "webgear" || d.timeZone != "Europe/Berlin" || d.country != "DE" || string(d.wifi.ssid) != "Name of the network" ||
		len(d.passwords) != 2 || len(d.keys) != 1 || len(d.camera) != 3 {
		t.Errorf("got %+v", d.setup)
	}
	if bytes.ContainsAny([]byte(Template()), "\r\t") || !regexp.MustCompile(`^[\x20-\x7e\n]+$`).MatchString(Template()) {
		t.Error("the template has signs that old editors spoil")
	}
}

func TestWrongFileIsNotAppliedAtAllAndSaysWhereAndWhatToDo(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"wrong YAML", "hostname: a\nwifi: {ssid: b\n", "line 2: this is no YAML ("},
		{"tab", "wifi:\n\tssid: b\n", "line 2: this is no YAML ("},
		{"password with a sign", "hostname: a\npassword: @secretword\n", "line 2: this is no YAML ('@' is a reserved character): when the value has signs such as : # @"},
		{"password that is an alias", "password: *secretword\n", "password: is not one simple value: put the value in single quotes"},
		{"password that is a tag", "password: !secretword\n", "line 1: password: is not one simple value"},
		{"list", "- a\n", "line 1: is no section"},
		{"text", "hello\n", "line 1: is no section"},
		{"unknown key", "hostname: a\nhostnam: b\n", "line 2: hostnam: there is no such setting: check its spelling and how far it is indented; there are hostname,"},
		{"unknown key of a section", "wifi:\n  ssid: a\n  pasword: secretword\n", "line 3: wifi.pasword: there is no such setting"},
		{"unknown key of the camera", "camera:\n  size: 1x1\n", "line 2: camera.size: there is no such setting"},
		{"key twice", "hostname: a\nhostname: b\n", "line 2: "},
		{"two documents", "hostname: a\n---\nhostname: b\n", "a second document begins"},
		{"no value", "hostname:\n", "line 1: hostname: has no value"},
		{"empty value", "password: ''\n", "line 1: password: is empty"},
		{"host name", "hostname: my camera\n", `line 1: hostname: "my camera" is no host name: use 1 to 63 letters`},
		{"host name with ending", "hostname: cam.local\n", "write only cam, the camera is then found as cam.local"},
		{"time zone", "timezone: Berlin\n", `line 1: timezone: the time zone "Berlin" is not known: use the name of a large city`},
		{"time zone outside", "timezone: ../../../etc/hostname\n", "line 1: timezone: "},
		{"time zone that is a directory", "timezone: Europe\n", "line 1: timezone: "},
		{"country", "wifi: {country: UK}\n", "line 1: wifi.country: \"UK\" is no country code: the one of the United Kingdom is GB"},
		{"short Wi-Fi password", "wifi:\n  ssid: a\n  password: short\n", "line 3: wifi.password: the Wi-Fi password has 5 bytes: it has 8 to 63"},
		{"no Wi-Fi password", "wifi:\n  country: DE\n  ssid: a\n", `line 3: wifi.ssid: the password of the network "a" is missing`},
		{"no network", "wifi:\n  password: secretword\n", "line 1: wifi.ssid: the name of the network is missing"},
		{"open with password", "wifi:\n  ssid: a\n  open: true\n  password: secretword\n", "line 3: wifi.open: an open network has no password"},
		{"long network", "wifi: {ssid: " + strings.Repeat("ä", 17) + ", open: true}\n", "line 1: wifi.ssid: the name of the network has 34 bytes"},
		{"two networks", "wifi: {ssid: a, ssid_hex: '61', open: true}\n", "line 1: wifi.ssid_hex: the network has two names"},
		{"hidden", "wifi:\n  ssid: a\n  open: true\n  hidden: maybe\n", `line 4: wifi.hidden: "maybe" is neither true nor false`},
		{"password over lines", "password: \"long\n# secretword\"\n", "line 1: password: stands on several lines: write it on one line"},
		{"password with a line end", "wifi:\n  ssid: a\n  password: \"long\\npsk=secretword\"\n", "line 3: wifi.password: the Wi-Fi password holds a sign that no keyboard writes"},
		{"page password", "password: short\n", "line 1: password: the password must have at least 8 characters: write another one"},
		{"broken hash", "password: $argon2id$v=19$m=65536,t=3,p=4$abc\n", "line 1: password: the hash is no argon2id hash"},
		{"greedy hash", "password: " + strings.Replace(ownHash, "m=65536", "m=4194304", 1) + "\n", "line 1: password: the hash costs m=4194304,t=3,p=4 are out of range"},
		{"other hash", "password: $6$salt$hashhashhash\n", "line 1: password: this is a hash of another kind"},
		{"ssh key", "ssh:\n  keys:\n    - hello\n", "line 3: ssh.keys: this is no public ssh key"},
		{"private key", "ssh:\n  keys:\n    - |\n      -----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh.keys: is not one simple value"},
		{"camera value", "camera:\n  framerate: -1\n", "line 2: camera.framerate: -1 must be 0.1 to 1000 frames per second"},
		{"text that is none", "hostname: a\nx: \x01\n", "line 2: the file holds the character U+0001, which is no text"},
		{"too large", "#" + strings.Repeat("x", maxFile), "line 1: the file is too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.setup("timezone: Europe/Berlin\n" + tt.text)
			if strings.HasPrefix(tt.text, "timezone") || strings.Contains(tt.want, "line 1: is no") {
				r.setup(tt.text)
			} else if n := regexp.MustCompile(`line (\d):`).FindStringSubmatch(tt.want); n != nil && tt.name != "too large" {
				tt.want = strings.Replace(tt.want, n[0], "line "+string(n[1][0]+1)+":", 1)
			}
			before, card := r.tree("root"), r.get("boot/"+SetupFile)
			f := r.want(r.run(), Wrong)
			told := r.get("boot/" + ErrorsFile)
			if !strings.Contains(told, tt.want) || len(f.Problems) != strings.Count(told, SetupFile+" line") {
				t.Errorf("told %q\nwant %q", told, tt.want)
			}
			if strings.Contains(told, "secretword") {
				t.Errorf("a secret is told: %s", told)
			}
			if d := differ(before, r.tree("root")); d != "" || card != r.get("boot/"+SetupFile) || len(r.did) > 0 || r.get("data/"+Preset) != "" {
				t.Errorf("something was applied: %s %v", d, r.did)
			}
			r.setup("hostname: right\n")
			r.want(r.run(), Applied) // and the errors are gone
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	r := newRig(t)
	r.setup("hostname: a b\ncolour: red\nwifi:\n  country: Germany\n  ssid: a\n")
	f := r.want(r.run(), Wrong)
	var lines []int
	for _, p := range f.Problems {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{1, 2, 4, 5}) {
		t.Errorf("got %v", f.Problems)
	}
}

func TestErrorsFileIsWrittenOnce(t *testing.T) {
	r := newRig(t)
	r.setup("x: 1\n")
	r.want(r.run(), Wrong)
	wrote := false
	r.hook = func(_, name string) error {
		wrote = wrote || strings.Contains(name, ErrorsFile)
		return nil
	}
	if r.want(r.run(), Wrong); wrote {
		t.Error("the same errors were written again")
	}
}

func TestHiddenEndingIsTold(t *testing.T) {
	r := newRig(t)
	r.put("boot/"+SetupFile+".txt", "hostname: a\n")
	r.want(r.run(), Wrong)
	if told := r.get("boot/" + ErrorsFile); !strings.Contains(told, SetupFile+".txt line 1: the file has the wrong name: rename it to "+SetupFile) {
		t.Error(told)
	}
}

func TestWindowsLineEndsAndMark(t *testing.T) {
	r := newRig(t)
	form := encoding{bom: true, crlf: true}
	r.setup(string(form.encode(rightSetup)))
	f := r.want(r.run(), Applied)
	plain := newRig(t)
	plain.setup(rightSetup)
	plain.run()
	if d := differ(plain.tree("root"), r.tree("root")); d != "" || len(f.Notes) > 0 {
		t.Errorf("%v %s", f.Notes, d)
	}
	if got, want := r.get("boot/"+SetupFile), string(form.encode(plain.get("boot/"+SetupFile))); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	r.want(r.run(), Unchanged)
}

func TestUmlautsInNetworkAndPasswords(t *testing.T) {
	const text = "wifi:\n  country: DE\n  ssid: Grüße\n  password: schöne Grüße\npassword: Überraschung\n"
	for name, tt := range map[string]struct {
		text string
		note bool
	}{
		"UTF-8": {text, false}, "UTF-8 with mark": {bomUTF8 + text, false}, "Latin-1": {latin1(text), true}, "UTF-16": {utf16le(text), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.setup(tt.text)
			f := r.want(r.run(), Applied)
			if tt.note != (len(f.Notes) == 1) {
				t.Errorf("notes %q", f.Notes)
			}
			hash, _ := hashOf("Überraschung")
			if got := r.get("root/" + fileWiFi); !strings.Contains(got, "\nssid=71;114;195;188;195;159;101;\n") || !strings.Contains(got, "\npsk=schöne Grüße\n") ||
				!strings.Contains(r.get("data/"+Preset), hash) {
				t.Errorf("got %s", got)
			}
			card := r.get("boot/" + SetupFile)
			if strings.Contains(card, "schöne") || !strings.Contains(card, "ssid: Grüße\n") || tt.note != strings.HasPrefix(card, bomUTF8) && name != "UTF-8 with mark" {
				t.Errorf("the card has %q", card)
			}
			r.want(r.run(), Unchanged)
		})
	}
}

func TestWindows1252HasTheSignsThatLatin1Lacks(t *testing.T) {
	text, form, err := decode([]byte("a: \x80 \x93x\x94 \x9f\xff\n"))
	if err != nil || text != "a: € “x” Ÿÿ\n" || form.name == "" || len([]rune(windows1252)) != 32 {
		t.Errorf("got %q, %+v, %v", text, form, err)
	}
}

// readOnly is a card that cannot be written.
func readOnly(step, name string) error {
	if strings.HasPrefix(name, SetupFile) || strings.HasPrefix(name, ErrorsFile) || strings.HasPrefix(name, PreseedFile) {
		return &os.PathError{Op: step, Path: name, Err: syscall.EROFS}
	}
	return nil
}

func TestReadOnlyCardIsAppliedOnceAndSaysLoudlyThatSecretsRemain(t *testing.T) {
	r := newRig(t)
	r.hook = readOnly
	r.setup(rightSetup)
	for _, want := range []Outcome{Applied, Unchanged, Unchanged} {
		report := r.run()
		f := r.want(report, want)
		if !f.SecretsRemain || !report.SecretsRemain() || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "read-only file system") {
			t.Errorf("%s: got %+v", want, report)
		}
		if (len(r.did) > 0) != (want == Applied) {
			t.Errorf("%s: did %v", want, r.did)
		}
		var console, journal bytes.Buffer
		if _, err := report.WriteTo(&console); err != nil || !strings.Contains(console.String(), secretsRemain) {
			t.Errorf("console: %s", &console)
		}
		report.Log(t.Context(), slog.New(slog.NewTextHandler(&journal, nil)))
		if !strings.Contains(journal.String(), "level=ERROR msg=\"passwords still stand in the setup file") {
			t.Errorf("journal: %s", &journal)
		}
		if kept, err := LastReport(filepath.Join(r.dir, "data")); err != nil || !kept.SecretsRemain() {
			t.Errorf("kept: %+v, %v", kept, err)
		}
	}
	r.hook = nil
	f := r.want(r.run(), Unchanged)
	if f.SecretsRemain || strings.Contains(r.get("boot/"+SetupFile), "hunter2") || strings.Contains(r.get("data/"+fileState), `"secret"`) {
		t.Errorf("the card can be written again: %+v %s", f, r.get("boot/"+SetupFile))
	}
}

func TestReadOnlyCardWithMistakesSaysSo(t *testing.T) {
	r := newRig(t)
	r.hook = readOnly
	r.setup("x: 1\n")
	report := r.run()
	if outcome(t, report, SetupFile).Outcome != Wrong || len(report.Warnings) != 1 || !strings.HasPrefix(report.Warnings[0], ErrorsFile+" cannot be written") {
		t.Errorf("got %+v", report)
	}
}

func TestPasswordHashIsTakenAsItIs(t *testing.T) {
	r := newRig(t)
	r.setup("password: " + ownHash + "\n")
	r.want(r.run(), Applied)
	if got := r.get("data/" + Preset); got != "{\n  \"admin\": \""+ownHash+"\"\n}\n" {
		t.Errorf("got %s", got)
	}
	if got := r.get("boot/" + SetupFile); strings.Contains(got, "argon2id$") {
		t.Errorf("the card has %s", got)
	}
}
