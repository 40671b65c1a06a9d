//go:build lab

package lab_test

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab"
)

// TestEncodersInMachine runs the tests of the hardware encoders with labjpeg,
// which is built for the host's own architecture only, and with a camera whose
// pictures it imports.
func TestEncodersInMachine(t *testing.T) {
	if foreign() {
		t.Logf("no labjpeg on %s: nothing to do", arch())
		return
	}
	dir := t.TempDir()
	build(t, cgoEnv(top(t)), dir, "m2m.test", "test", "-c", "-tags", "labguest", "./device/m2m")
	result, err := lab.Run(t.Context(), lab.Job{
		Command: []string{"./m2m.test", "-test.v", "-test.timeout", "9m", "-test.run", cmp.Or(os.Getenv("LAB_RUN"), "Lab")},
		Dir:     dir,
		Modules: []string{"labjpeg", "vivid n_devs=1 node_types=1 num_inputs=1 input_types=0"},
		Timeout: 10 * time.Minute,
		Output:  t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 0 {
		t.Errorf("exit code %d", result.ExitCode)
	}
}
