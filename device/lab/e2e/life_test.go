//go:build labguest

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSignalsEndTheDaemonAndEveryStreamCleanly(t *testing.T) {
	c := plugIn(t)
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, c.node(), "--resolution", "640x480")
			if status, body := d.get(t, "/healthz"); status != http.StatusOK {
				t.Errorf("/healthz: status %d: %s", status, body)
			}
			vs := audience(t, d, 20)
			for _, v := range vs {
				v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
			}
			sent := time.Now()
			if err := d.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			code := d.exitCode(t, limit(2*time.Second))
			t.Logf("exit code %d after %s", code, time.Since(sent).Round(time.Millisecond))
			if code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			for i, v := range vs {
				<-v.done // the process is gone and with it the connection
				if v.err != nil {
					t.Errorf("viewer %d: %v", i, v.err)
				}
			}
		})
	}
}

func TestBusyCameraIsOneLineAndExitCode2(t *testing.T) {
	c := plugIn(t)
	path := c.node()
	d := serve(t, path, "--resolution", "640x480")
	v := watch(t, d, readRaw) // so that the camera is in use
	v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)

	second := start(t, nil, program(t, "WEBGEAR_BIN"), "run", "--source", path, "--listen", freeAddress(t))
	code := second.exitCode(t, limit(10*time.Second))
	lines := strings.Split(strings.TrimSpace(second.stderr.String()), "\n")
	last := lines[len(lines)-1]
	t.Logf("said: %s", last)
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if len(lines) != 1 {
		t.Errorf("%d lines on standard error, want 1:\n%s", len(lines), second.stderr.String())
	}
	if !strings.Contains(last, path) || !strings.Contains(last, "other program") {
		t.Errorf("the message does not name %s and what to do: %q", path, last)
	}
	stillWatching(t, []*viewer{v})
}
