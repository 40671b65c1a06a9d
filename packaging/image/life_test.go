//go:build image

package image_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// powerCuts is how often the power goes in the usual run, and in the one with
// IMAGE_FULL=1. IMAGE_CUTS is another number.
const (
	powerCuts     = 3
	powerCutsFull = 20
)

func TestPowerCuts(t *testing.T) {
	n := powerCuts
	if os.Getenv("IMAGE_FULL") != "" {
		n = powerCutsFull
	}
	if text := os.Getenv("IMAGE_CUTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("IMAGE_CUTS=%s is no number of power cuts", text)
		}
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
		if c.claims != 1 {
			t.Errorf("the password was set %d times, want once: it has to last as soon as it is answered", c.claims)
		}
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

// slower is what a picture may take on the second start, as a multiple of what
// the same Debian without any of our work takes until all its programs run.
const slower = 1.15

// bareImage is the image without webgear and what makes an appliance:
// IMAGE_BARE_FILE, or one that is built.
func bareImage(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("IMAGE_BARE_FILE"); path != "" {
		return path
	}
	cmd := exec.CommandContext(t.Context(), "./build.sh", "../../bin/image-bare")
	cmd.Env = append(os.Environ(), "IMAGE_BARE=1", "IMAGE_COMPRESS=no")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("building the bare image: %v", err)
	}
	return "../../bin/image-bare/bare-debian.img"
}

func TestPictureIsThereAsSoonAsTheBareSystemWouldBe(t *testing.T) {
	ours, bare := newCard(t), newCard(t)
	output(t, "cp", "--sparse=always", bareImage(t), bare.path)
	m := bare.start(options{})
	m.settled()
	m.off()
	m = ours.start(options{})
	m.picture()
	m.settled()
	m.off()
	const rounds = 3
	var pictures, targets time.Duration
	for range rounds {
		m = bare.start(options{})
		m.settled()
		target := m.reached("multi-user.target")
		m.off()
		m = ours.start(options{})
		wall := m.picture()
		m.settled()
		picture := m.reached("webgear.service") // it is ready with the first picture
		t.Logf("bare system %.1f s, picture %.1f s (from outside %.1f s)", target.Seconds(), picture.Seconds(), wall.Seconds())
		m.off()
		pictures, targets = pictures+picture, targets+target
	}
	if ratio := pictures.Seconds() / targets.Seconds(); ratio > slower {
		t.Errorf("the picture takes %.2f of the time of the bare system, want at most %.2f", ratio, slower)
	} else {
		t.Logf("the picture takes %.2f of the time of the bare system", ratio)
	}
}
