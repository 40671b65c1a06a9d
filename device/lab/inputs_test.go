//go:build lab

package lab_test

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device/lab"
)

// TestInputsInMachine runs the driver's tests that need vivid with all of its
// inputs: 0 webcam, 1 TV, 2 S-Video, 3 HDMI. LAB_DRIVER=REGEXP chooses others.
func TestInputsInMachine(t *testing.T) {
	dir := t.TempDir()
	build(t, staticEnv(), dir, "camsim", "build", "./device/lab/camsim")
	build(t, cgoEnv(top(t)), dir, "v4l2.test", "test", "-c", "-tags", "lab", "./device/v4l2")
	result, err := lab.Run(t.Context(), lab.Job{
		Command: []string{inputTests},
		Dir:     dir,
		Modules: []string{"vivid n_devs=1 node_types=1 num_inputs=4 input_types=0xe4", "uvcvideo", "vhci-hcd"},
		Env:     []string{"LAB_DRIVER=" + cmp.Or(os.Getenv("LAB_DRIVER"), "Inputs")},
		Udev:    true,
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

// inputTests plugs a USB camera in, as driverTests does.
const inputTests = `
./camsim -ctl /run/camsim 2>camsim.log & camsim=$!
for i in $(seq 300); do [ -e /dev/v4l/by-id ] && break; sleep 0.1; done
[ -e /dev/v4l/by-id ] || { echo "the simulated camera did not appear"; cat camsim.log; exit 1; }
./v4l2.test -test.v -test.timeout 9m -test.run "$LAB_DRIVER"; code=$?
echo quit >/run/camsim
wait $camsim
exit $code`
