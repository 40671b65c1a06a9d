//go:build image

// Package image_test boots the image of the card, as it is published, in an
// emulated computer, and looks at it from outside: make test-image. It needs
// what build.sh needs, and qemu-system-arm.
//
// What it needs to look inside comes from outside, too: the emulator starts the
// image's own kernel with two words more, a virtual camera and a shell on a
// serial port. One machine runs at a time.
package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The card that the tests use, in bytes, and where its partitions begin, in
// mebibytes as in build.sh.
const (
	cardSize  = 8 << 30
	bootMiB   = 8
	rootMiB   = bootMiB + 512
	dataMiB   = rootMiB + 2*1024
	bootLimit = 8 * time.Minute // for a first start on a machine with much else to do; chosen
)

// imageFolder is where one is built. It is not that of make image, so that
// nothing of what may be published is replaced.
const imageFolder = "../../bin/image-test"

// image is the image under test: IMAGE, or one that is built.
func image(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("IMAGE"); path != "" {
		return path
	}
	built.Do(func() {
		if err := os.RemoveAll(imageFolder); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "./build.sh", imageFolder)
		cmd.Env = append(os.Environ(), "IMAGE_KEEP_RAW=1")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("building the image: %v", err)
		}
	})
	all, err := filepath.Glob(imageFolder + "/*.img")
	if err != nil || len(all) != 1 {
		t.Fatalf("want one image in %s, got %v (%v)", imageFolder, all, err)
	}
	return all[0]
}

var built sync.Once // The image is built once for all tests.

// output runs a program.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// password is the one that tests set, if they set none by the setup file.
const password = "a picture of the garden"

// card is a card that the image was written to.
type card struct {
	t    *testing.T
	dir  string
	path string
	// password is what the pages take; claims is how often it had to be set.
	password string
	claims   int
}

func newCard(t *testing.T) *card {
	t.Helper()
	c := &card{t: t, dir: t.TempDir(), password: password}
	c.path = filepath.Join(c.dir, "card")
	output(t, "cp", "--sparse=always", image(t), c.path)
	if err := os.Truncate(c.path, cardSize); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *card) fat() string { return fmt.Sprintf("%s@@%dM", c.path, bootMiB) }

// put writes a file to the boot partition, as a person with a computer does.
func (c *card) put(name, text string) {
	c.t.Helper()
	file := filepath.Join(c.dir, "put")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	output(c.t, "mcopy", "-o", "-i", c.fat(), file, "::"+name)
}

// get reads a file of the boot partition; empty when there is none.
func (c *card) get(name string) string {
	c.t.Helper()
	file := filepath.Join(c.dir, "get")
	_ = os.Remove(file) // of an earlier call
	cmd := exec.CommandContext(c.t.Context(), "mcopy", "-n", "-i", c.fat(), "::"+name, file)
	if cmd.Run() != nil {
		return ""
	}
	data, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// kernel takes kernel, RAM disk and command line out of the boot partition as
// config.txt names them.
func (c *card) kernel() (kernel, initrd, line string) {
	c.t.Helper()
	config := c.get("config.txt")
	find := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(config)
		if m == nil {
			c.t.Fatalf("config.txt does not match %s:\n%s", pattern, config)
		}
		file := filepath.Join(c.dir, m[1])
		output(c.t, "mcopy", "-n", "-o", "-i", c.fat(), "::"+m[1], file)
		return file
	}
	return find(`(?m)^kernel=(\S+)`), find(`(?m)^initramfs (\S+)`), strings.TrimSpace(c.get("cmdline.txt"))
}

// options are how a computer differs from the usual one.
type options struct {
	noCamera, noNetwork bool
	// clock is what the computer's own clock says, if anything.
	clock string
	// words are more words for the kernel.
	words string
	// model is another machine of QEMU.
	model []string
}

// machine is a running computer.
type machine struct {
	t       *testing.T
	card    *card
	cmd     *exec.Cmd
	ended   chan struct{}
	fate    error // how the emulator ended; set when ended is closed
	console string
	http    string
	ssh     string
	shell   net.Conn
	began   time.Time
}

// freePort finds a port for one of the machine's.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // somebody else may take it in between, which the emulator says
	return l.Addr().String()
}

// start powers the computer on.
func (c *card) start(o options) *machine {
	t := c.t
	t.Helper()
	kernel, initrd, line := c.kernel()
	m := &machine{
		t: t, card: c, ended: make(chan struct{}), console: filepath.Join(c.dir, "console"),
		http: freePort(t), ssh: freePort(t),
	}
	// The image's own words, but for the serial port of this computer.
	tty := "ttyS0"
	if o.model != nil {
		tty = "ttyS1" // the Pi's second port
	}
	line = regexp.MustCompile(`console=\S+`).ReplaceAllString(line, "") + " console=ttyAMA0 systemd.debug_shell=" + tty + " " + o.words
	if !o.noCamera {
		line += " modules_load=vivid vivid.n_devs=1"
	}
	socket := filepath.Join(c.dir, "shell")
	_ = os.Remove(socket) // of an earlier start
	args := []string{
		"-nodefaults", "-nographic", "-no-reboot", "-accel", "tcg,thread=multi,tb-size=512", "-kernel", kernel, "-initrd", initrd, "-append", line,
		"-serial", "file:" + m.console, "-chardev", "socket,id=s,path=" + socket + ",server=on,wait=off",
	}
	if o.clock != "" {
		args = append(args, "-rtc", "base="+o.clock)
	}
	if o.model != nil {
		args = append(args, o.model...)
		args = append(args, "-serial", "chardev:s", "-drive", "file="+c.path+",if=sd,format=raw,cache=unsafe",
			"-device", "usb-net,netdev=n", "-netdev", m.forward())
	} else {
		args = append(args, "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-device", "virtio-rng-pci",
			"-drive", "file="+c.path+",if=none,id=d,format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=d,romfile=",
			"-device", "pci-serial,chardev=s")
		if !o.noNetwork {
			args = append(args, "-netdev", m.forward(), "-device", "virtio-net-pci,netdev=n,romfile=")
		}
	}
	m.cmd = exec.CommandContext(t.Context(), "qemu-system-aarch64", args...)
	var said bytes.Buffer
	m.cmd.Stdout, m.cmd.Stderr = &said, &said
	m.began = time.Now()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		m.fate = m.cmd.Wait()
		close(m.ended)
	}()
	t.Cleanup(func() {
		m.cut()
		if t.Failed() {
			data, _ := os.ReadFile(m.console)
			t.Logf("console:\n%s\nemulator: %s", tail(string(data), 60), said.String())
		}
	})
	m.until("the emulator", func() error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
		m.shell = conn
		return err
	})
	return m
}

// forward is the network: two ports get in, and nothing out.
func (m *machine) forward() string {
	return fmt.Sprintf("user,id=n,restrict=on,hostfwd=tcp:%s-:8000,hostfwd=tcp:%s-:22", m.http, m.ssh)
}

func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// cut takes the power away.
func (m *machine) cut() {
	if m.cmd.Process != nil {
		_ = m.cmd.Process.Kill() // it may have ended by itself
	}
	<-m.ended
	if m.shell != nil {
		_ = m.shell.Close()
	}
}

// until tries something until it works, as long as a start may take.
func (m *machine) until(what string, try func() error) time.Duration {
	m.t.Helper()
	return m.within(bootLimit, what, try)
}

// within tries something until it works, and says when that was since power on.
func (m *machine) within(limit time.Duration, what string, try func() error) time.Duration {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return time.Since(m.began)
		}
		select {
		case <-tick.C:
		case <-m.ended:
			m.t.Fatalf("%s: the machine ended (%v): %v", what, m.fate, err)
		case <-ctx.Done():
			m.t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
	}
}

// picture waits for a live one and says how long it took since power on.
func (m *machine) picture() time.Duration {
	m.t.Helper()
	return m.until("picture", m.snapshot)
}

// errUnclaimed is what the camera answers before there is a password.
var errUnclaimed = errors.New("the camera has no password yet")

// snapshot asks for a picture, and sets the password if there is none.
func (m *machine) snapshot() error {
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://"+m.http+"/snapshot", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", m.card.password)
	data, err := send(req)
	if errors.Is(err, errUnclaimed) {
		return errors.Join(err, m.claim())
	}
	if err == nil && !bytes.HasPrefix(data, []byte{0xFF, 0xD8, 0xFF}) {
		err = fmt.Errorf("%d bytes that are no picture", len(data))
	}
	return err
}

// claim sets the first password, as the page does.
func (m *machine) claim() error {
	form := url.Values{"password": {m.card.password}}.Encode()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, "http://"+m.http+"/claim", strings.NewReader(form))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err = send(req); err == nil {
		m.card.claims++
	}
	return err
}

// send sends a request and gives the body of the answer, which has to be a good
// one; a redirect counts as one.
func send(req *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(req.Context(), 10*time.Second)
	defer cancel()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusForbidden && bytes.Contains(data, []byte("no password yet")):
		return nil, errUnclaimed
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, fmt.Errorf("%s: status %s: %.200s", req.URL.Path, resp.Status, data)
	}
	return data, nil
}

var finished = regexp.MustCompile(`(?s)@@begin@@\n(.*)@@(\d+)@@`)

// try runs a line of bash in the machine.
func (m *machine) try(line string) (string, error) {
	_ = m.shell.SetDeadline(time.Now().Add(2 * time.Minute)) // reading says so
	// The quotes keep the marks out of what the terminal echoes.
	if _, err := fmt.Fprintf(m.shell, "\nstty -echo cols 1000; TERM=dumb; echo; echo '@@'begin@@; %s; echo \"@@\"$?@@\n", line); err != nil {
		return "", err
	}
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := m.shell.Read(buf)
		all = append(all, buf[:n]...)
		text := strings.ReplaceAll(string(all), "\r", "")
		if found := finished.FindStringSubmatch(text); found != nil {
			if found[2] != "0" {
				err = fmt.Errorf("exit code %s", found[2])
			}
			return strings.TrimSpace(found[1]), err
		}
		if err != nil {
			return text, err
		}
	}
}

// run runs a line of bash that has to succeed.
func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// settled waits until everything is started, and says when that was since power
// on.
func (m *machine) settled() time.Duration {
	m.t.Helper()
	return m.until("shell", func() error {
		out, err := m.try("systemctl is-system-running --wait")
		if out == "running" || out == "degraded" {
			return nil
		}
		return errors.Join(err, fmt.Errorf("state %q", out))
	})
}

// reached is when the kernel had a unit started, by its own clock.
func (m *machine) reached(unit string) time.Duration {
	m.t.Helper()
	us, err := strconv.ParseInt(m.run("systemctl show -P ActiveEnterTimestampMonotonic "+unit), 10, 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}

// off ends the system in order.
func (m *machine) off() {
	m.t.Helper()
	_, _ = m.try("systemctl poweroff --no-block")
	select {
	case <-m.ended:
	case <-time.After(3 * time.Minute):
		m.t.Error("the machine did not switch itself off")
	}
	m.cut()
}
