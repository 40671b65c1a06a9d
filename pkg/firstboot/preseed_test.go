package firstboot

import (
	"slices"
	"strings"
	"testing"
)

// wizardFile is what Raspberry Pi Imager 2.0 writes with everything filled in.
const wizardFile = `config_version = "1.0"

[system]
hostname = "nestbox"

[user]
name = "alice"
password = "$y$j9T$abcdefghijklmnop$abcdefghijklmnopqrstuvwxyz"
password_encrypted = true
groups = ["sudo"]
passwordless_sudo = true

[ssh]
enabled = true
password_authentication = false
authorized_keys = [
  "` + sshKey + `",
]

[wlan]
ssid = "Grüße"
password = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
password_encrypted = true
hidden = false
country = "GB"

[locale]
keymap = "gb"
timezone = "Europe/London"

[connect]
enabled = true
mode = "token"
token = "rpuak_secrettoken"

[interfaces]
i2c = true
serial = "console"
`

func TestWizardIsHonouredAndTheRestIsNamed(t *testing.T) {
	r := newRig(t)
	r.put("boot/"+PreseedFile, wizardFile)
	report := r.run()
	f := outcome(t, report, PreseedFile)
	if f.Outcome != Applied || !slices.Equal(f.Set, []Change{HostName, TimeZone, Country, WiFi, SSH}) || r.get("boot/"+ErrorsFile) != "" {
		t.Fatalf("got %+v", report)
	}
	for file, want := range map[string]string{
		"root/etc/hostname":              "nestbox\n",
		"root/etc/timezone":              "Europe/London\n",
		"root/" + RegulatoryFile:         "regdom=GB\n",
		"root/" + fileWiFi:               "ssid=71;114;195;188;195;159;101;\nhidden=false\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
		"root/root/.ssh/authorized_keys": sshKey,
	} {
		if got := r.get(file); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	notes := strings.Join(f.Notes, "\n")
	for _, name := range []string{"user.name", "user.password", "user.passwordless_sudo", "ssh.password_authentication", "locale.keymap", "connect.enabled", "connect.mode", "connect.token", "interfaces.i2c", "interfaces.serial"} {
		if strings.Count(notes, "not applied: "+name+": ") != 1 || !strings.Contains(r.get("boot/"+PreseedFile), "#   not applied: "+name+": ") {
			t.Errorf("%s is not named once in %s", name, notes)
		}
	}
	for _, secret := range []string{"0123456789abcdef", "$y$", "rpuak"} {
		for file, text := range r.tree("boot", "data") {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q: %s", file, secret, text)
			}
		}
	}
	if f = outcome(t, r.run(), PreseedFile); f.Outcome != Unchanged {
		t.Errorf("the second run: %+v", f)
	}
	// What is left is changed by hand, a month later: the network keeps its password.
	before := r.get("root/" + fileWiFi)
	r.put("boot/"+PreseedFile, strings.Replace(r.get("boot/"+PreseedFile), `"nestbox"`, `"attic"`, 1))
	if f = outcome(t, r.run(), PreseedFile); f.Outcome != Applied || r.get("root/etc/hostname") != "attic\n" || r.get("root/"+fileWiFi) != before {
		t.Errorf("changed: %+v\n%s\n%s", f, r.get("boot/"+PreseedFile), r.get("root/"+fileWiFi))
	}
	if n := strings.Count(r.get("boot/"+PreseedFile), preseedHead); n != 1 {
		t.Errorf("%d heads", n)
	}
}

func TestWizardValuesThatCannotBeAppliedDoNotStopTheOthers(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"zone", "[locale]\ntimezone = \"US/Nowhere\"\n", `not applied: timezone: the time zone "US/Nowhere" is not known`},
		{"zone form", "[locale]\ntimezone = \"../x\"\n", "not applied: locale.timezone: "},
		{"country", "[wlan]\ncountry = \"Germany\"\n", "not applied: wlan.country: "},
		{"type", "[wlan]\nssid = 5\n", "not applied: wlan.ssid: the value must be a string"},
		{"no hexadecimal", "[wlan]\nssid_hex = \"zz\"\n", "not applied: wlan.ssid_hex: "},
		{"key that is none", "[wlan]\nssid = \"a\"\npassword = \"long enough\"\npassword_encrypted = true\n", "not applied: wlan: password_encrypted says"},
		{"line end", "[wlan]\nssid = \"a\"\npassword = \"long\\npsk=enough\"\n", "not applied: wlan: the Wi-Fi password holds a sign"},
		{"short", "[wlan]\nssid = \"a\"\npassword = \"short\"\n", "not applied: wlan: the Wi-Fi password has 5 bytes"},
		{"open with password", "[wlan]\nssid = \"a\"\nkey_mgmt = \"none\"\npassword = \"long enough\"\n", "not applied: wlan: an open network"},
		{"sae with key", "[wlan]\nssid = \"a\"\nkey_mgmt = \"sae\"\npassword = \"" + strings.Repeat("ab", 32) + "\"\n", "not applied: wlan: WPA3 needs the password"},
		{"enterprise", "[wlan]\nssid = \"a\"\nkey_mgmt = \"wpa-eap\"\n", `not applied: wlan: key_mgmt "wpa-eap" is not known`},
		{"password gone", "[wlan]\nssid = \"a\"\nkey_mgmt = \"wpa-psk\"\n", `not applied: wlan.password: the password of the network "a" is missing`},
		{"ssh without key", "[ssh]\nenabled = true\npassword_authentication = true\n", "not applied: ssh.enabled: ssh stays off without a key"},
		{"ssh off with key", "[ssh]\nenabled = false\nauthorized_keys = [\"x\"]\n", "not applied: ssh.authorized_keys: ssh.enabled is false"},
		{"bad key", "[ssh]\nenabled = true\nauthorized_keys = [\"x\"]\n", "not applied: ssh.authorized_keys number 1: this is no public ssh key"},
		{"runcmd", "[runcmd]\nearly = [\"rm -rf /\"]\n", "not applied: runcmd.early: commands of a file on the card are not run"},
		{"unknown", "[garden]\ngnome = true\n", "not applied: garden.gnome: there is no such setting here"},
		{"wrong host name", "[wlan]\ncountry = \"DE\"\n[ssh]\nenabled = 1\n", "not applied: ssh.enabled: the value must be a bool"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.put("boot/"+PreseedFile, "config_version = \"1.1\"\nsystem.hostname = \"attic\"\n"+tt.text)
			f := outcome(t, r.run(), PreseedFile)
			if f.Outcome != Applied || r.get("root/etc/hostname") != "attic\n" || !strings.Contains(strings.Join(f.Notes, "\n"), tt.want) {
				t.Errorf("got %+v\nwant %q", f, tt.want)
			}
			if f = outcome(t, r.run(), PreseedFile); f.Outcome != Unchanged {
				t.Errorf("the second run: %+v", f)
			}
		})
	}
}

func TestWizardNetworks(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"open", "ssid = \"cafe\"", "ssid=cafe\nhidden=false\n\n[ipv4]"},
		{"enhanced open", "ssid = \"cafe\"\nkey_mgmt = \"owe\"", "[wifi-security]\nkey-mgmt=owe\n\n"},
		{"WPA3", "ssid = \"cafe\"\nkey_mgmt = \"sae\"\npassword = \" a\\\\b\\\"c d \"\nhidden = true", "hidden=true\n\n[wifi-security]\nkey-mgmt=sae\npsk=\\sa\\\\b\"c d\\s\n"},
		{"bytes", "ssid = \"other\"\nssid_hex = \"ff00\"", "ssid=255;0;\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.put("boot/"+PreseedFile, "config_version = \"1.0\"\n[wlan]\n"+tt.text+"\n")
			r.run()
			if got := r.get("root/" + fileWiFi); !strings.Contains(got, tt.want) {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestUnreadableWizardFileIsTold(t *testing.T) {
	r := newRig(t)
	r.put("boot/"+PreseedFile, "config_version = \"1.0\"\n[wlan]\npassword = secretword\n")
	f := outcome(t, r.run(), PreseedFile)
	told := r.get("boot/" + ErrorsFile)
	if f.Outcome != Wrong || !strings.Contains(told, PreseedFile+" line 3: this is no TOML (") || strings.Contains(told, "secretword") {
		t.Errorf("got %+v, %s", f, told)
	}
}

func TestUnknownFormatVersionIsTriedAndTold(t *testing.T) {
	for text, want := range map[string]bool{"config_version = \"2.0\"\n": true, "": true, "config_version = \"1.7\"\n": false} {
		d := readPreseed(text + "system.hostname = \"attic\"\n")
		if d.hostName != "attic" || (len(d.notes) == 1) != want {
			t.Errorf("%q: got %+v", text, d)
		}
	}
}

func TestSetupFileHasTheLastWordOverTheWizard(t *testing.T) {
	r := newRig(t)
	r.put("boot/"+PreseedFile, wizardFile)
	r.setup("hostname: attic\n")
	r.want(r.run(), Applied)
	if r.get("root/etc/hostname") != "attic\n" || r.get("root/etc/timezone") != "Europe/London\n" {
		t.Error(r.get("root/etc/hostname"))
	}
}

func TestSecretsOfAStrangeWizardFileGoWithTheWholeFile(t *testing.T) {
	for _, text := range []string{
		"wlan = {ssid = \"a\", password = \"long enough\"}\n",
		"wlan.ssid = \"a\"\nwlan.password = \"long enough\"\n",
		"[user]\nname = \"a\"\npassword = \"\"\"long\n# enough\"\"\"\n",
	} {
		d := readPreseed(text)
		if got := wipePreseed(text, d); len(d.secrets) != 1 || strings.Contains(got, "enough") || !strings.Contains(got, "Its content was removed") {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzReadPreseed(f *testing.F) {
	f.Add([]byte(wizardFile))
	f.Add([]byte("[wlan]\npassword = \"\"\"\nlong\nenough\"\"\"\nssid = 'a'\n"))
	f.Add([]byte("wlan = {ssid = \"a\", password = \"long enough\"}\n"))
	f.Add([]byte(bomUTF8 + bomUTF8))
	f.Add([]byte("wlan.password = \"long enough\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, _, err := decode(data)
		if err != nil {
			return
		}
		d := readPreseed(text)
		if len(d.problems) == 0 {
			checkWiped(t, d, readPreseed(wipePreseed(text, d)), wipePreseed(text, d))
		}
	})
}

// checkWiped wants no secret left, and nothing new.
func checkWiped(t *testing.T, before, after *draft, text string) {
	t.Helper()
	if len(after.problems) > 0 || len(after.secrets) > 0 {
		t.Errorf("wiped: %v %v\n%s", after.problems, after.secrets, text)
	}
	if !after.empty() && !sameButSecrets(before, after) {
		t.Errorf("%+v became %+v", before.setup, after.setup)
	}
}
