//go:build image

package image_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

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
	if c.claims != 1 {
		t.Errorf("the password was set %d times before the first picture, want once", c.claims)
	}
	m.equal("ss -Hlntu | awk '{print $1 \" \" $5}' | sed 's/ .*:/ /' | sort -u | paste -sd ,", "tcp 8000,udp 5353")
	m.refusesSSH()
	m.names("webgear.local.")
	m.found("webgear.local")
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
	if c.claims != 1 {
		t.Error("the password was not kept")
	}
	if again := m.identity(); again != id {
		t.Errorf("identity was\n%s\nand is\n%s", id, again)
	}
	m.equal("cat /var/lib/webgear/kept /usr/share/webgear-test", "kept\nhere")
	// A Pi has no clock; the time goes on where it was.
	if clock, _ := strconv.ParseInt(m.run("date +%s"), 10, 64); clock < before.Add(-2*time.Minute).Unix() {
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

// found waits until webgear find lists the camera, by its own name and with an
// address that works; avahi answers it.
func (m *machine) found(host string) {
	m.t.Helper()
	m.within(2*time.Minute, "webgear find", func() error {
		out, err := m.try("webgear find --json")
		for _, want := range []string{`"host": "` + host + `"`, `"url": "http://10.0.2.15:8000/"`, `"stream": "http://10.0.2.15:8000/video"`} {
			if !strings.Contains(out, want) {
				return errors.Join(err, fmt.Errorf("webgear find says %s", out))
			}
		}
		return err
	})
}

// pictureInside sets the password and waits for a picture without any network:
// who sits at the camera needs none.
func (m *machine) pictureInside() time.Duration {
	m.t.Helper()
	m.run("echo '" + m.card.password + "' | webgear claim")
	m.card.claims++
	return m.within(2*time.Minute, "live picture inside", func() error {
		out, err := m.try("exec 3<>/dev/tcp/127.0.0.1/8000; printf 'GET /snapshot HTTP/1.0\\r\\nAuthorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte("admin:"+m.card.password)) + "\\r\\n\\r\\n' >&3; timeout 20 head -n1 <&3")
		if !strings.Contains(out, " 200 ") {
			return errors.Join(err, fmt.Errorf("got %q", out))
		}
		return nil
	})
}

// The camera runs whatever is missing.
func TestWithoutNetworkCameraAndData(t *testing.T) {
	c := newCard(t)
	// Not everybody wants to set something.
	output(t, "mdel", "-i", c.fat(), "::webgear-setup.yaml")
	m := c.start(options{noNetwork: true})
	m.settled()
	m.healthy()
	m.pictureInside()
	m.off()

	m = c.start(options{noCamera: true})
	m.settled()
	m.healthy()
	m.within(time.Minute, "state without camera", func() error {
		out, err := m.try("systemctl show -P StatusText webgear.service")
		if !strings.HasPrefix(out, "Camera offline") && !strings.Contains(out, ": Test picture") {
			return errors.Join(err, fmt.Errorf("got %q", out))
		}
		return nil
	})
	m.within(time.Minute, "screen without camera", func() error {
		if out, err := m.try("head -n1 /dev/vcs1 | cut -c1-18"); out != "webgear: no camera" {
			return errors.Join(err, fmt.Errorf("got %q", out))
		}
		return nil
	})
	m.off()

	// A data partition that is beyond help: e2fsck finds the copies of a lost
	// superblock wherever they are, so nothing is left of them.
	for _, size := range []int64{dataMiB << 20, cardSize} {
		if err := os.Truncate(c.path, size); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 1<<20)
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

// wait lets the machine run.
func (m *machine) wait(d time.Duration) {
	m.t.Helper()
	select {
	case <-time.After(d):
	case <-m.ended:
		m.t.Fatalf("the machine ended by itself: %v", m.fate)
	}
}

// raspi3b is the model of a Pi 3, without what it lacks: its watchdog ends the
// emulator, and what it has of the graphics processor confuses the drivers. Its
// network is a USB adapter that loses most of what it is to carry, so the
// picture is asked for inside; the adapter only shows that USB works.
func TestStartsOnThePi3Model(t *testing.T) {
	c := newCard(t)
	dtb := c.dir + "/pi3.dtb"
	output(t, "mcopy", "-n", "-i", c.fat(), "::bcm2837-rpi-3-b.dtb", dtb)
	m := c.start(options{
		model: []string{"-M", "raspi3b", "-m", "1G", "-dtb", dtb},
		words: "module_blacklist=bcm2835_wdt,vc4,snd_bcm2835,usbnet",
	})
	t.Logf("Pi 3: settled after %v", m.settled().Round(time.Second))
	t.Logf("Pi 3: picture after %v", m.pictureInside().Round(time.Second))
	m.equal("systemctl --failed --no-legend", "")
	m.equal("cat /run/webgear-image/storage", "ok")
	m.equal("findmnt -rno FSTYPE,SOURCE /data", "ext4 /dev/mmcblk0p4")
	m.equal("cat /proc/device-tree/model | tr -d '\\0'", "Raspberry Pi 3 Model B")
	m.equal("cat /sys/bus/usb/devices/*/idVendor | grep -c 0525", "1")
}
