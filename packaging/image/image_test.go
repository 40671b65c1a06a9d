//go:build image

package image_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// key is a public key that nobody has the other half of.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVK2rP1qTdGoxTgq2y1vCJ8kUnhpUKRbVzmXfKrQ0aE test"

// equal compares what a line prints in the machine.
func (m *machine) equal(line, want string) {
	m.t.Helper()
	if got, err := m.try(line); got != want {
		m.t.Errorf("%s: got %q, want %q (%v)", line, got, want, err)
	}
}

// identity is what has to stay the same for ever.
func (m *machine) identity() string {
	m.t.Helper()
	return m.run("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")
}

// healthy asserts what holds on every start.
func (m *machine) healthy() {
	t := m.t
	t.Helper()
	m.equal("systemctl is-system-running", "running")
	m.equal("systemctl --failed --no-legend", "")
	m.equal("journalctl -b -q --no-pager | grep -c 'ordering cycle' || true", "0")
	m.equal("cat /run/webgear-image/storage", "ok")
	m.equal("journalctl -b -q --no-pager -u avahi-daemon | grep 'Host name conflict' || true", "")
	for path, want := range map[string]string{
		"/": "ext4 ro", "/boot/firmware": "vfat ro", "/data": "ext4 rw", "/etc": "overlay rw", "/root": "ext4 rw", "/var/log": "ext4 rw",
		"/var/lib/webgear": "ext4 rw", "/var/lib/systemd": "ext4 rw", "/var/lib/NetworkManager": "ext4 rw", "/var/tmp": "tmpfs rw", "/tmp": "tmpfs rw",
	} {
		m.equal("findmnt -rno FSTYPE,OPTIONS "+path+" | cut -d, -f1", want)
	}
	for _, path := range []string{"/x", "/usr/x", "/var/x", "/var/lib/dpkg/x", "/home/x", "/opt/x", "/boot/x", "/boot/firmware/x", "/srv/x"} {
		m.equal("touch "+path+" 2>/dev/null || echo refused", "refused")
	}
	if n, _ := strconv.ParseInt(m.run("df --output=size -B1 /data | tail -n1 | tr -d ' '"), 10, 64); n < (cardSize-dataMiB<<20)*9/10 {
		t.Errorf("/data has %d bytes on a card of %d", n, int64(cardSize))
	}
	m.equal("cat /proc/swaps | wc -l", "1")
	m.equal("systemctl show -P RuntimeWatchdogUSec", "15s")
	m.equal("ls -d /var/log/journal 2>/dev/null || true", "")
	m.equal("systemctl show -P User webgear.service", "webgear")
}

func TestFirstStartAndWhatIsKept(t *testing.T) {
	c := newCard(t)
	c.putPackage()
	m := c.start(options{})
	t.Logf("first start: picture after %v", m.picture().Round(time.Second))
	t.Logf("first start: settled after %v", m.settled().Round(time.Second))
	m.healthy()
	m.equal("ss -Hlntu | awk '{print $1 \" \" $5}' | sed 's/ .*:/ /' | sort -u | paste -sd ,", "tcp 8000,udp 5353")
	m.refusesSSH()
	m.names("webgear.local.")
	m.equal("systemctl is-active ssh.service", "inactive")
	m.equal("passwd -S root | cut -d' ' -f2", "L")
	m.equal("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow", "")
	m.equal("stat -c '%U:%G %a' /var/lib/webgear", "webgear:webgear 750")
	id := m.identity()
	m.run("systemctl start webgear-log.service; echo something odd | systemd-cat -p warning; systemctl start webgear-log.service")
	m.equal("grep -c 'something odd' /var/log/webgear/warnings.log", "1")
	// A package is installed: for that the root is written, and then it is read-only again.
	m.run("apt-get install -y /boot/firmware/test.deb")
	m.equal("dpkg-query -W -f '${db:Status-Status}' webgear-test; cat /usr/share/webgear-test", "installedhere")
	m.within(bootLimit, "read-only again", func() error {
		if out, err := m.try("for p in / /boot/firmware; do findmnt -rno OPTIONS $p | cut -d, -f1; done | paste -sd' '"); out != "ro ro" {
			return errors.Join(err, fmt.Errorf("mounted %q", out))
		}
		return nil
	})
	m.run("echo kept >/var/lib/webgear/kept; sync; echo not kept >/tmp/kept")
	m.off()

	before := time.Now()
	m = c.start(options{clock: "2001-01-01"})
	t.Logf("second start: picture after %v", m.picture().Round(time.Second))
	t.Logf("second start: settled after %v", m.settled().Round(time.Second))
	m.healthy()
	if again := m.identity(); again != id {
		t.Errorf("identity was\n%s\nand is\n%s", id, again)
	}
	m.equal("cat /var/lib/webgear/kept /usr/share/webgear-test", "kept\nhere")
	// A Pi has no clock; the time goes on where it was.
	if clock, _ := strconv.ParseInt(m.run("date +%s"), 10, 64); clock < before.Add(-time.Hour).Unix() {
		t.Errorf("the clock says %v, and %v was before", time.Unix(clock, 0), before)
	}
	m.equal("tail -n1 /var/log/webgear/warnings.log | grep -c 'ordering' || true", "0")
	m.equal("systemctl show -P ConditionResult webgear-hostkey.service", "no")
	m.off()

	// Two cards are two machines.
	other := newCard(t).start(options{})
	other.picture()
	other.settled()
	if same := other.identity(); same == id {
		t.Errorf("two cards have the identity\n%s", same)
	}
}

// putPackage puts a Debian package with one file on the boot partition.
func (c *card) putPackage() {
	c.t.Helper()
	tree := filepath.Join(c.dir, "package")
	for name, text := range map[string]string{
		"DEBIAN/control":         "Package: webgear-test\nVersion: 1\nArchitecture: all\nMaintainer: test <test@example.org>\nDescription: test\n",
		"usr/share/webgear-test": "here",
	} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // dpkg wants it
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // to be read by everybody
			c.t.Fatal(err)
		}
	}
	deb := filepath.Join(c.dir, "test.deb")
	output(c.t, "dpkg-deb", "--root-owner-group", "-b", tree, deb)
	output(c.t, "mcopy", "-o", "-i", c.fat(), deb, "::test.deb")
}

// refusesSSH asserts that nobody answers at port 22.
func (m *machine) refusesSSH() {
	m.t.Helper()
	conn, err := net.DialTimeout("tcp", m.ssh, 5*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // reading says so
	if n, _ := conn.Read(make([]byte, 1)); n > 0 {
		m.t.Error("somebody answers at port 22")
	}
}

// answersSSH waits for the greeting of sshd.
func (m *machine) answersSSH() {
	m.t.Helper()
	m.within(time.Minute, "ssh", func() error {
		conn, err := net.DialTimeout("tcp", m.ssh, 5*time.Second)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // reading says so
		buf := make([]byte, 4)
		if _, err := conn.Read(buf); err != nil || string(buf) != "SSH-" {
			return fmt.Errorf("got %q, %w", buf, err)
		}
		return nil
	})
}

// names waits until a multicast DNS question for a name, from a port other than
// that of multicast DNS, is answered (RFC 6762, section 6.7). The emulated
// network carries no multicast, so it is asked at the machine's own interface.
func (m *machine) names(name string) {
	m.t.Helper()
	question := []byte{0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		question = append(append(question, byte(len(label))), label...)
	}
	question = append(question, 0, 0, 1, 0, 1) // A, IN
	// 32 is IP_MULTICAST_IF.
	ask := fmt.Sprintf(`perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 17); setsockopt(S, 0, 32, inet_aton("10.0.2.15")); `+
		`send(S, pack("H*", "%x"), 0, sockaddr_in(5353, inet_aton("224.0.0.251"))); alarm 5; recv(S, $b, 1500, 0); print unpack("H*", $b)'`, question)
	m.within(time.Minute, "multicast DNS", func() error {
		out, err := m.try(ask)
		if err == nil && !strings.HasSuffix(out, "00040a00020f") { // 4 bytes, 10.0.2.15
			err = fmt.Errorf("answer %s", out)
		}
		return err
	})
}

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
	m.names("garten.local.")
	m.answersSSH()
	id := m.identity()
	m.off()
	if text := c.get("webgear-setup.yaml"); strings.Contains(text, "geheim") || strings.Contains(text, "größer") || !strings.Contains(text, "hostname: garten") {
		t.Errorf("the setup file is now\n%s", text)
	}

	// A month later, with a mistake: nothing of it counts, and it is told.
	c.put("webgear-setup.yaml", "hostname: teich\ncolour: blue\n")
	m = c.start(options{})
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

// The camera runs whatever is missing.
func TestWithoutNetworkCameraAndData(t *testing.T) {
	c := newCard(t)
	m := c.start(options{noNetwork: true})
	m.settled()
	m.healthy()
	m.within(time.Minute, "live picture inside", func() error {
		out, err := m.try("exec 3<>/dev/tcp/127.0.0.1/8000; printf 'GET /snapshot HTTP/1.0\\r\\n\\r\\n' >&3; timeout 20 head -n1 <&3")
		if !strings.Contains(out, " 200 ") {
			return errors.Join(err, fmt.Errorf("got %q", out))
		}
		return nil
	})
	m.off()

	m = c.start(options{noCamera: true})
	m.settled()
	m.healthy()
	m.within(time.Minute, "state without camera", func() error {
		if out, err := m.try("systemctl show -P StatusText webgear.service"); !strings.HasPrefix(out, "Camera offline") {
			return errors.Join(err, fmt.Errorf("got %q", out))
		}
		return nil
	})
	m.equal("head -n1 /dev/vcs1 | cut -c1-18", "webgear: no camera")
	m.off()

	// A data partition that is beyond help.
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 256<<20)
	for i := 0; i < len(noise); i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], rand.Uint64()) //nolint:gosec // noise
	}
	if _, err := f.WriteAt(noise, dataMiB<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m = c.start(options{})
	m.picture()
	m.settled()
	m.equal("findmnt -rno FSTYPE /data", "tmpfs")
	m.equal("grep -c 'cannot be mounted' /run/webgear-image/storage", "1")
	m.equal("touch /usr/x 2>/dev/null || echo refused", "refused")
}

// powerCuts is how often the power goes in the short run, and in the one with
// IMAGE_FULL=1.
const (
	powerCuts     = 3
	powerCutsFull = 20
)

func TestPowerCuts(t *testing.T) {
	n := powerCuts
	if os.Getenv("IMAGE_FULL") != "" {
		n = powerCutsFull
	}
	c := newCard(t)
	// The range of moments: until well after everything has started.
	limit := 90 * time.Second
	var id string
	wanted := "webgear"
	for i := range n {
		// Another name now and then, so that the setup is cut off, too.
		change := i%3 == 1
		if change {
			wanted = fmt.Sprintf("camera-%d", i)
			c.put("webgear-setup.yaml", "hostname: "+wanted+"\nviewer_password: 'secret number "+strconv.Itoa(i)+"'\n")
		}
		m := c.start(options{})
		after := rand.N(limit) //nolint:gosec // any moment will do
		m.wait(after)
		_, _ = m.shell.Write([]byte("\nwhile :; do date >/var/lib/webgear/busy.new; sync; mv /var/lib/webgear/busy.new /var/lib/webgear/busy; done &\n"))
		m.wait(2 * time.Second)
		m.cut()

		m = c.start(options{})
		took := m.picture()
		m.settled()
		m.healthy()
		m.equal("hostname", wanted)
		now := m.identity()
		if key := m.run("wc -c </etc/ssh/ssh_host_ed25519_key"); key < "3" {
			t.Errorf("host key of %s bytes", key)
		}
		machine, _, _ := strings.Cut(now, "\n")
		if id != "" && machine != id {
			t.Errorf("machine was %s and is %s", id, machine)
		}
		id = machine
		t.Logf("cut %d of %d after %v (setup changed: %t): picture again after %v; %s", i+1, n, after.Round(time.Millisecond), change, took.Round(time.Second),
			m.run("tail -n1 /run/webgear-image/fsck"))
		// Half of the times the next one begins with a cut, too.
		if i%2 == 0 {
			m.cut()
		} else {
			m.off()
		}
	}
}

// wait lets the machine run.
func (m *machine) wait(d time.Duration) {
	m.t.Helper()
	select {
	case <-time.After(d):
	case <-m.ended:
		m.t.Fatal("the machine ended by itself")
	}
}

// raspi3b is the model of a Pi 3, without what it lacks: its watchdog ends the
// emulator.
func TestStartsOnThePi3Model(t *testing.T) {
	c := newCard(t)
	dtb := c.dir + "/pi3.dtb"
	output(t, "mcopy", "-n", "-i", c.fat(), "::bcm2837-rpi-3-b.dtb", dtb)
	m := c.start(options{model: []string{"-M", "raspi3b", "-m", "1G", "-dtb", dtb}, words: "module_blacklist=bcm2835_wdt,vc4,snd_bcm2835"})
	t.Logf("Pi 3: picture after %v", m.picture().Round(time.Second))
}

func TestImageHoldsNothingItShouldNot(t *testing.T) {
	path := image(t)
	tools := strings.TrimSpace(output(t, "./tools.sh"))
	at := fmt.Sprintf("%s?offset=%d", path, rootMiB<<20)
	inside := func(request string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), tools+"/debugfs", "-R", request, at).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	list := func(dir string) (names []string) {
		for line := range strings.Lines(inside("ls -p " + dir)) {
			if f := strings.Split(line, "/"); len(f) > 5 && f[5] != "." && f[5] != ".." {
				names = append(names, f[5])
			}
		}
		return names
	}
	for _, dir := range []string{
		"/var/lib/apt/lists", "/var/log", "/tmp", "/var/tmp", "/run", "/root", "/home", "/dev", "/boot/firmware", "/var/cache/ldconfig",
		"/etc/NetworkManager/system-connections", "/var/lib/NetworkManager", "/var/backups", "/data",
	} {
		if names := list(dir); len(names) > 0 {
			t.Errorf("%s holds %v", dir, names)
		}
	}
	for _, name := range slices.Concat(list("/etc/ssh"), list("/var/lib/systemd")) {
		if strings.HasPrefix(name, "ssh_host_") || name == "random-seed" || name == "credential.secret" {
			t.Errorf("the image holds %s", name)
		}
	}
	if id := inside("cat /etc/machine-id"); strings.TrimSpace(id) != "uninitialized" {
		t.Errorf("machine-id %q", id)
	}
	if text := inside("cat /etc/dpkg/dpkg.cfg.d/webgear-image"); strings.Contains(text, "unsafe") {
		t.Errorf("dpkg's settings are those of the build:\n%s", text)
	}
	if slices.Contains(list("/usr/bin"), "qemu-aarch64-static") || slices.Contains(list("/"), "webgear.deb") {
		t.Error("something of the build was left")
	}
	for line := range strings.Lines(inside("cat /etc/shadow")) {
		if f := strings.Split(line, ":"); len(f) > 1 && !strings.HasPrefix(f[1], "!") && !strings.HasPrefix(f[1], "*") {
			t.Errorf("%s has a password", f[0])
		}
	}
	var sizes []string
	for line := range strings.Lines(output(t, "sfdisk", "-l", "-o", "Size,Id", path)) {
		if f := strings.Fields(line); len(f) == 2 && (f[1] == "83" || f[1] == "c") {
			sizes = append(sizes, f[0])
		}
	}
	if len(sizes) != 4 || sizes[1] != sizes[2] {
		t.Errorf("partitions %v: want a second root as large as the first", sizes)
	}
}

// A card that held something else, and was written with the help of the block
// map, has file systems without a mistake.
func TestBlockMapNamesAllThatCounts(t *testing.T) {
	path := image(t)
	text, err := os.ReadFile(path + ".bmap")
	if err != nil {
		t.Fatal(err)
	}
	img, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = img.Close() }() // only read
	info, err := img.Stat()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "card")
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the checks below read what was written
	noise := bytes.Repeat([]byte("not zero"), 1<<17)
	for n := int64(0); n < info.Size(); n += int64(len(noise)) {
		if _, err := out.WriteAt(noise[:min(int64(len(noise)), info.Size()-n)], n); err != nil {
			t.Fatal(err)
		}
	}
	ranges := regexp.MustCompile(`chksum="([0-9a-f]+)"> (\d+)(?:-(\d+))? <`).FindAllSubmatch(text, -1)
	for _, m := range ranges {
		from, _ := strconv.ParseInt(string(m[2]), 10, 64)
		last, err := strconv.ParseInt(string(m[3]), 10, 64)
		if err != nil {
			last = from
		}
		h := sha256.New()
		part := io.NewSectionReader(img, from*4096, (last+1-from)*4096)
		if _, err := io.Copy(io.MultiWriter(h, io.NewOffsetWriter(out, from*4096)), part); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != string(m[1]) {
			t.Errorf("blocks %s to %s have the sum %s, not %s", m[2], m[3], got, m[1])
		}
	}
	tools := strings.TrimSpace(output(t, "./tools.sh"))
	for _, at := range []int{rootMiB, dataMiB} {
		output(t, tools+"/e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", to, at<<20))
	}
	fat := filepath.Join(t.TempDir(), "fat")
	output(t, "dd", "if="+to, "of="+fat, "bs=1M", fmt.Sprintf("skip=%d", bootMiB), fmt.Sprintf("count=%d", rootMiB-bootMiB), "status=none")
	output(t, "fsck.vfat", "-n", fat)
	if got := output(t, "mtype", "-i", fat, "::cmdline.txt"); !strings.Contains(got, "root=PARTUUID=") {
		t.Errorf("cmdline.txt is %q", got)
	}
}
