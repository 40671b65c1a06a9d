//go:build lab

// What needs the machine: run setup.sh, then
//
//	go test -tags lab -timeout 30m ./device/lab
//
// LAB_ACCEL=tcg forces emulation, LAB_ARCH=arm64 makes it a machine of that
// kind, LAB_FULL=1 makes every test as long as it can be, LAB_RUN=REGEXP chooses
// among the tests inside, LAB_SEED and LAB_SEQUENCES say which random faults.
package lab_test

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab"
)

// arch is the machine's processor.
func arch() string { return cmp.Or(os.Getenv("LAB_ARCH"), runtime.GOARCH) }

// foreign reports whether the machine's processor is not the host's.
func foreign() bool { return arch() != runtime.GOARCH }

// full reports whether the long versions of tests are wanted.
func full() bool { return os.Getenv("LAB_FULL") == "1" }

// cgoEnv makes the go tool build for the machine with cgo. The C libraries of
// another processor are those that packaging/sysroot.sh unpacked.
func cgoEnv(root string) []string {
	env := []string{"GOOS=linux", "GOARCH=" + arch(), "CGO_ENABLED=1"}
	if !foreign() {
		return env
	}
	sysroot := filepath.Join(cmp.Or(os.Getenv("WEBGEAR_CACHE"), filepath.Join(root, ".cache")), "sysroot-"+arch())
	triplet := map[string]string{"arm64": "aarch64-linux-gnu", "amd64": "x86_64-linux-gnu"}[arch()]
	return append(env, "CC="+triplet+"-gcc",
		"CGO_CFLAGS=-O2 -g --sysroot="+sysroot+" -isystem "+sysroot+"/usr/include/"+triplet,
		"CGO_LDFLAGS=--sysroot="+sysroot+" -L"+sysroot+"/usr/lib/"+triplet)
}

// staticEnv makes the go tool build for the machine without cgo.
func staticEnv() []string { return []string{"GOOS=linux", "GOARCH=" + arch(), "CGO_ENABLED=0"} }

// build runs the go tool in the checkout. Its product is dir/name; the package
// comes last in args.
func build(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	bin := filepath.Join(dir, name)
	last := len(args) - 1
	args = append(append(append([]string{}, args[:last]...), "-o", bin), args[last])
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = top(t), append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return bin
}

// top is the checkout.
func top(t *testing.T) string {
	t.Helper()
	root, err := lab.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	return root
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
	t.Logf("exit code %d after %s on %s", result.ExitCode, time.Since(start).Round(time.Second), arch())
	if result.ExitCode != 0 {
		t.Fail()
	}
}

func TestDriversInMachine(t *testing.T) {
	dir := t.TempDir()
	build(t, staticEnv(), dir, "camsim", "build", "./device/lab/camsim")
	build(t, cgoEnv(top(t)), dir, "v4l2.test", "test", "-c", "-tags", "lab", "./device/v4l2")
	choice := "."
	if !full() {
		choice = "Lab|Layout" // the others need no kernel and run everywhere
	}
	run(t, dir, 10*time.Minute, []string{"CHOICE=" + choice}, driverTests)
}

// driverTests runs the driver's own tests with a USB camera plugged in.
const driverTests = `
./camsim -ctl /run/camsim 2>camsim.log & camsim=$!
for i in $(seq 300); do [ -e /dev/v4l/by-id ] && break; sleep 0.1; done
[ -e /dev/v4l/by-id ] || { echo "the simulated camera did not appear"; cat camsim.log; exit 1; }
./v4l2.test -test.v -test.timeout 9m -test.run "$CHOICE"; code=$?
echo quit >/run/camsim
wait $camsim || { echo "the simulated camera failed"; cat camsim.log; code=1; }
exit $code`

// foreignTests are the end-to-end tests that say something about another
// processor: the kernel's interface, the daemon on it and the encoder. The others
// take minutes there and find the same as here.
const foreignTests = "SurviveUnplugging|SurviveBadPictures|RawFormats"

func TestDaemonInMachine(t *testing.T) {
	dir := t.TempDir()
	choice := cmp.Or(os.Getenv("LAB_RUN"), ".")
	if choice == "." && foreign() && !full() {
		choice = foreignTests
	}
	run(t, dir, 20*time.Minute,
		[]string{
			"WEBGEAR_BIN=" + build(t, cgoEnv(top(t)), dir, "webgear", "build", "./cmd/webgear"),
			"CAMSIM_BIN=" + build(t, staticEnv(), dir, "camsim", "build", "./device/lab/camsim"),
			"LAB_FULL=" + os.Getenv("LAB_FULL"),
		},
		build(t, staticEnv(), dir, "e2e.test", "test", "-c", "-tags", "labguest", "./device/lab/e2e"),
		"-test.v", "-test.timeout", "19m", "-test.run", choice, "-test.skip", "RandomFaults")
}

// TestRandomFaultsInMachine has a machine of its own because the daemon in it
// is another one, built with the race detector.
func TestRandomFaultsInMachine(t *testing.T) {
	dir := t.TempDir()
	limit := 10 * time.Minute
	if full() {
		limit = 100 * time.Minute
	}
	run(t, dir, limit,
		[]string{
			"WEBGEAR_BIN=" + build(t, cgoEnv(top(t)), dir, "webgear", "build", "-race", "./cmd/webgear"),
			"CAMSIM_BIN=" + build(t, staticEnv(), dir, "camsim", "build", "./device/lab/camsim"),
			"GORACE=halt_on_error=1",
			"LAB_FULL=" + os.Getenv("LAB_FULL"),
			"LAB_SEED=" + os.Getenv("LAB_SEED"),
			"LAB_SEQUENCES=" + os.Getenv("LAB_SEQUENCES"),
		},
		build(t, staticEnv(), dir, "e2e.test", "test", "-c", "-tags", "labguest", "./device/lab/e2e"),
		"-test.v", "-test.timeout", (limit - time.Minute).String(), "-test.run", "RandomFaults")
}

// keepLog leaves the kernel log of a job that is meant to fail with the test:
// the place for logs is small.
func keepLog(t *testing.T) {
	t.Helper()
	t.Setenv("LAB_LOG", filepath.Join(t.TempDir(), "console.log"))
}

func TestRunPassesExitCodeOutputAndEnvironment(t *testing.T) {
	keepLog(t)
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
		"too long":    {"sleep 60", 8 * time.Second, lab.ErrTimeout},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keepLog(t)
			result, err := lab.Run(t.Context(), lab.Job{Command: []string{tt.command}, Dir: t.TempDir(), Timeout: tt.timeout})
			if !errors.Is(err, tt.want) {
				t.Errorf("Run = %+v, %v; want %v", result, err, tt.want)
			}
		})
	}
}

func TestLogOfAPanicIsShownKeptAndNamed(t *testing.T) {
	t.Setenv("LAB_LOG", "")
	var trouble strings.Builder
	cmd := exec.CommandContext(t.Context(), "./vm-run.sh", "--", "echo said to the kernel >/dev/kmsg; echo c >/proc/sysrq-trigger; sleep 60")
	cmd.Stderr = &trouble
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 125 {
		t.Fatalf("vm-run.sh: %v, want exit code 125\n%s", err, trouble.String())
	}
	shown, path, ok := strings.Cut(trouble.String(), "kernel log is kept: ")
	if !ok || !strings.Contains(shown, "sysrq triggered crash") {
		t.Fatalf("the crash is not shown, or no log is named:\n%s", trouble.String())
	}
	path = strings.TrimSpace(path)
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(log), "sysrq triggered crash") {
		t.Errorf("the log does not tell of the crash:\n%s", log)
	}
}

func TestMachineThatHangsOnItsWayUpIsReplaced(t *testing.T) {
	keepLog(t)
	t.Setenv("LAB_BOOT", "1") // no machine boots that fast: all three attempts end
	began := time.Now()
	result, err := lab.Run(t.Context(), lab.Job{Command: []string{"true"}, Dir: t.TempDir(), Timeout: time.Minute})
	if !errors.Is(err, lab.ErrDied) || strings.Count(err.Error(), "booting another one") != 2 {
		t.Errorf("Run = %+v, %v; want %v after three attempts", result, err, lab.ErrDied)
	}
	t.Logf("gave up after %s", time.Since(began).Round(time.Millisecond))
}
