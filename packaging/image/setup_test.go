//go:build image

package image_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// key is a public key that nobody has the other half of.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVK2rP1qTdGoxTgq2y1vCJ8kUnhpUKRbVzmXfKrQ0aE test"

const setup = `hostname: garten
timezone: Europe/Berlin
wifi:
  country: DE
  ssid: 'Käsestübchen'
  password: 'größer & schöner'
password: 'geheim genug 1'
ssh:
  keys:
    - ` + key + `
`

func TestSetupFile(t *testing.T) {
	c := newCard(t)
	c.password = "geheim genug 1"
	// As Notepad writes it.
	c.put("webgear-setup.yaml", "\ufeff"+strings.ReplaceAll(setup, "\n", "\r\n"))
	m := c.start(options{})
	m.picture()
	m.settled()
	m.healthy()
	applied := func() {
		t.Helper()
		m.equal("hostname", "garten")
		m.equal("readlink /etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
		m.equal("stat -c '%U %a' /etc/NetworkManager/system-connections/webgear-setup.nmconnection", "root 600")
		m.equal("grep -c 'psk=größer & schöner' /etc/NetworkManager/system-connections/webgear-setup.nmconnection", "1")
		m.equal("grep -c '"+key+"' /root/.ssh/authorized_keys", "1")
		m.equal("grep -c 'argon2id' /var/lib/webgear/access-preset.json", "1")
	}
	applied()
	if c.claims != 0 {
		t.Error("the camera had no password, although the setup file sets one")
	}
	m.names("garten.local.")
	m.found("garten.local")
	m.answersSSH()
	id := m.identity()
	m.off()
	if text := c.get("webgear-setup.yaml"); strings.Contains(text, "geheim") || strings.Contains(text, "größer") || !strings.Contains(text, "hostname: garten") {
		t.Errorf("the setup file is now\n%s", text)
	}

	// A month later, with a mistake: nothing of it counts, and it is told.
	c.put("webgear-setup.yaml", "hostname: teich\ncolour: blue\n")
	m = c.start(options{clock: time.Now().AddDate(0, 1, 0).UTC().Format("2006-01-02T15:04:05")})
	m.picture()
	m.settled()
	m.healthy()
	applied()
	m.off()
	if text := c.get("webgear-setup-errors.txt"); !strings.Contains(text, "line 2: colour") {
		t.Errorf("the mistakes are told as %q", text)
	}

	// Corrected, and the wizard's file beside it.
	c.put("webgear-setup.yaml", "hostname: teich\n")
	c.put("rpi-preseed.toml", "config_version = \"1.0\"\n[system]\nhostname = \"wizard\"\n[locale]\ntimezone = \"Asia/Tokyo\"\n")
	m = c.start(options{})
	m.picture()
	m.settled()
	m.healthy()
	m.equal("hostname", "teich")
	m.equal("readlink /etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo")
	m.names("teich.local.")
	m.answersSSH()
	if again := m.identity(); !strings.HasPrefix(again, id[:strings.Index(id, "ssh-")+30]) {
		t.Errorf("identity was\n%s\nand is\n%s", id, again)
	}
	m.off()
	if text := c.get("webgear-setup-errors.txt"); text != "" {
		t.Errorf("mistakes are still told: %s", text)
	}
}

// hashed is the argon2id hash of "not a secret", with the salt "not random salt.".
const hashed = "$argon2id$v=19$m=12288,t=3,p=1$bm90IHJhbmRvbSBzYWx0Lg$6KCEcjnE1S+ndStajNVYDHuEeQRmk1O2QrWZeGPRP3Y"

// A file can be taken over while the camera runs, also from a boot partition that
// takes nothing.
func TestSetupWithoutARestartAndOnAReadOnlyBootPartition(t *testing.T) {
	c := newCard(t)
	c.put("webgear-setup.yaml", "")
	m := c.start(options{})
	m.picture()
	m.settled()
	m.healthy()
	m.equal("hostname", "webgear")
	const again = "systemctl restart webgear-firstboot.service; systemctl is-active webgear-firstboot.service"
	write := func(text string) {
		t.Helper()
		m.run("mount -o remount,rw /boot/firmware; echo " + base64.StdEncoding.EncodeToString([]byte(text)) +
			" | base64 -d >/boot/firmware/webgear-setup.yaml; mount -o remount,ro /boot/firmware")
	}
	write("hostname: teich\npassword: '" + hashed + "'\nviewer_password: 'nothing for others'\n")
	m.run("blockdev --setro $(findmnt -no SOURCE /boot/firmware)")
	m.equal(again, "active")
	m.equal("cat /etc/hostname; hostname", "teich\nteich")
	m.equal("grep -c 'PASSWORDS STILL STAND' /run/webgear-image/setup", "1")
	m.equal("grep -c 'nothing for others' /boot/firmware/webgear-setup.yaml", "1")
	c.password = "not a secret"
	m.picture()
	m.names("teich.local.")
	m.found("teich.local")
	m.run("blockdev --setrw $(findmnt -no SOURCE /boot/firmware)")
	m.equal(again, "active")
	m.equal("grep -c 'nothing for others' /boot/firmware/webgear-setup.yaml || true", "0")
	m.equal("grep -c 'hostname: teich' /boot/firmware/webgear-setup.yaml", "1")
	// What is no YAML at all is a mistake like others, and over when the file is gone.
	write("hostname: fluss\nwifi: {ssid: b\n")
	m.equal(again, "active")
	m.equal("grep -o 'line 2: this is no YAML' /boot/firmware/webgear-setup-errors.txt", "line 2: this is no YAML")
	m.run("mount -o remount,rw /boot/firmware; rm /boot/firmware/webgear-setup.yaml; mount -o remount,ro /boot/firmware")
	m.equal(again, "active")
	m.equal("cat /boot/firmware/webgear-setup-errors.txt 2>/dev/null || echo none", "none")
	// A mistake is told where people look.
	write("hostname: fluss\nwifi: {ssid: a, password: short}\n")
	m.equal(again, "active")
	m.equal("hostname", "teich")
	m.within(time.Minute, "mistake on the screen", func() error {
		out, err := m.try("cat /dev/vcs1 | tr -s ' ' | grep -o 'line 2: wifi.password' | head -n1")
		if out != "line 2: wifi.password" {
			return errors.Join(err, fmt.Errorf("the screen says %q", out))
		}
		return nil
	})
	m.healthy()
	m.off()
}
