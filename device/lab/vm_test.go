//go:build lab

// What needs the machine: run setup.sh, then
//
//	go test -tags lab -timeout 30m ./device/lab
//
// LAB_ACCEL=tcg forces emulation, LAB_FULL=1 makes every test as long as it can
// be, LAB_RUN=REGEXP chooses among the tests inside.
package lab_test

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab"
)

// build runs the go tool in the checkout.
func build(t *testing.T, root string, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// run boots a machine with every kind of camera and fails the test unless the
// command succeeds in it.
func run(t *testing.T, dir string, timeout time.Duration, env []string, command ...string) {
	t.Helper()
	start := time.Now()
	result, err := lab.Run(t.Context(), lab.Job{
		Command: command,
		Dir:     dir,
		Modules: []string{"vivid n_devs=1 node_types=1 num_inputs=1 input_types=0", "uvcvideo", "vhci-hcd"},
		Env:     env,
		Udev:    true,
		Timeout: timeout,
		Output:  t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exit code %d after %s", result.ExitCode, time.Since(start).Round(time.Second))
	if result.ExitCode != 0 {
		t.Fail()
	}
}

func TestDriversInMachine(t *testing.T) {
	root, err := lab.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build(t, root, []string{"CGO_ENABLED=0"}, "build", "-o", filepath.Join(dir, "camsim"), "./device/lab/camsim")
	build(t, root, nil, "test", "-c", "-tags", "lab", "-o", filepath.Join(dir, "v4l2.test"), "./device/v4l2")
	run(t, dir, 10*time.Minute, nil, driverTests)
}

// driverTests runs the driver's own tests with a USB camera plugged in.
const driverTests = `
./camsim -ctl /run/camsim 2>camsim.log & camsim=$!
for i in $(seq 300); do [ -e /dev/v4l/by-id ] && break; sleep 0.1; done
[ -e /dev/v4l/by-id ] || { echo "the simulated camera did not appear"; cat camsim.log; exit 1; }
./v4l2.test -test.v -test.timeout 9m; code=$?
echo quit >/run/camsim
wait $camsim || { echo "the simulated camera failed"; cat camsim.log; code=1; }
exit $code`

func TestDaemonInMachine(t *testing.T) {
	root, err := lab.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build(t, root, nil, "build", "-o", filepath.Join(dir, "webgear"), "./cmd/webgear")
	build(t, root, []string{"CGO_ENABLED=0"}, "build", "-o", filepath.Join(dir, "camsim"), "./device/lab/camsim")
	build(t, root, []string{"CGO_ENABLED=0"}, "test", "-c", "-tags", "labguest", "-o", filepath.Join(dir, "e2e.test"), "./device/lab/e2e")
	run(t, dir, 20*time.Minute,
		[]string{
			"WEBGEAR_BIN=" + filepath.Join(dir, "webgear"), "CAMSIM_BIN=" + filepath.Join(dir, "camsim"),
			"LAB_FULL=" + os.Getenv("LAB_FULL"),
		},
		"./e2e.test", "-test.v", "-test.timeout", "19m", "-test.run", cmp.Or(os.Getenv("LAB_RUN"), "."))
}

func TestRunPassesExitCodeOutputAndEnvironment(t *testing.T) {
	result, err := lab.Run(t.Context(), lab.Job{
		Command: []string{`echo "$GREETING"; echo oops >&2; exit 42`},
		Dir:     t.TempDir(),
		Env:     []string{`GREETING=hello, "world"`},
		Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "hello, \"world\"\noops\n"; result.ExitCode != 42 || string(result.Output) != want {
		t.Errorf("Run = %d, %q; want 42, %q", result.ExitCode, result.Output, want)
	}
}

func TestRunTellsADeadMachineFromAFailingProgram(t *testing.T) {
	tests := map[string]struct {
		command string
		timeout time.Duration
		want    error
	}{
		"powered off": {"echo o >/proc/sysrq-trigger; sleep 60", time.Minute, lab.ErrDied},
		"too long":    {"sleep 60", 12 * time.Second, lab.ErrTimeout},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := lab.Run(t.Context(), lab.Job{Command: []string{tt.command}, Dir: t.TempDir(), Timeout: tt.timeout})
			if !errors.Is(err, tt.want) {
				t.Errorf("Run = %+v, %v; want %v", result, err, tt.want)
			}
		})
	}
}
