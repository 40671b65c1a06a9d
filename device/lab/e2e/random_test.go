//go:build labguest

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is one thing that goes wrong, and what follows it.
type step struct {
	what  string
	pause time.Duration // until the next one
}

func (s step) String() string { return fmt.Sprintf("%s (%s)", s.what, s.pause) }

// victim is a camera that can be made to fail.
type victim struct {
	source string
	args   []string
	// faults are what can go wrong. An N is replaced by a number of pictures, and
	// often enough by -1, which is for ever.
	faults []string
	do     func(t *testing.T, fault string)
	heal   func(t *testing.T)
	// stamped is set when pictures tell whether they are whole.
	stamped bool
}

// Steps that concern the daemon's clients, whatever the camera.
const (
	stepSnapshot = "ask for a snapshot"
	stepViewer   = "a viewer comes and goes"
	stepState    = "ask for the state"
)

// drawSteps makes the sequence that belongs to a seed.
func drawSteps(seed uint64, faults []string) []step {
	rng := rand.New(rand.NewPCG(seed, 0))
	var steps []step
	for range 2 + rng.IntN(5) {
		what := faults[rng.IntN(len(faults))]
		if rng.IntN(6) == 0 {
			what = []string{stepSnapshot, stepViewer, stepState}[rng.IntN(3)]
		}
		n := 1 + rng.IntN(20)
		if rng.IntN(3) == 0 {
			n = -1
		}
		what = strings.Replace(what, " N", " "+strconv.Itoa(n), 1)
		// Chosen: from nothing, so that faults meet each other on their way, to
		// longer than it takes to notice that nothing comes.
		ms := []int{0, 50, 300, 1000, 3000}[rng.IntN(5)]
		if ms > 0 {
			ms += rng.IntN(ms)
		}
		steps = append(steps, step{what, time.Duration(ms) * time.Millisecond})
	}
	return steps
}

// setting reads a number from the environment.
func setting(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: want a whole number", variable, text)
	}
	return n
}

// TestViewersEndOnLivePicturesAfterRandomFaults runs LAB_SEQUENCES sequences of
// faults, drawn from the seeds LAB_SEED, LAB_SEED+1 and so on: the even ones on
// the USB camera, the odd ones on vivid. A sequence that failed is run alone by
// its own seed and LAB_SEQUENCES=1. One daemon per camera lives through all of
// them; it is built with the race detector.
func TestViewersEndOnLivePicturesAfterRandomFaults(t *testing.T) {
	count := uint64(6)
	if full() {
		count = 200
	}
	count = setting(t, "LAB_SEQUENCES", count)
	first := setting(t, "LAB_SEED", uint64(time.Now().UnixNano())%1_000_000_000)
	t.Logf("LAB_SEED=%d LAB_SEQUENCES=%d", first, count)
	seeds := map[uint64][]uint64{}
	for seed := first; seed < first+count; seed++ {
		seeds[seed%2] = append(seeds[seed%2], seed)
	}
	t.Run("uvcvideo", func(t *testing.T) { torture(t, usbVictim, seeds[0]) })
	t.Run("vivid", func(t *testing.T) { torture(t, vividVictim, seeds[1]) })
}

func usbVictim(t *testing.T) victim {
	t.Helper()
	c := plugIn(t)
	return victim{
		source: c.id, args: []string{"--resolution", "640x480", "--framerate", "15"},
		faults: []string{
			"unplug", "unplug", "plug", "stall", "go", "truncate N", "garbage N", "empty N", "nodht N", "pad N",
			"fps 1", "fps 60", "fps 0",
		},
		do: func(t *testing.T, fault string) {
			t.Helper()
			c.tell(t, fault)
		},
		heal: func(t *testing.T) {
			t.Helper()
			for _, command := range []string{"fps 0", "go", "plug"} {
				c.tell(t, command)
			}
		},
		stamped: true,
	}
}

// vividVictim fails by vivid's own controls, see "Error Injection" in the
// kernel's Documentation/admin-guide/media/vivid.rst. After "disconnect" the node
// answers ENODEV until the last one who has it open lets go.
func vividVictim(t *testing.T) victim {
	t.Helper()
	path := node("vivid")
	if path == "" {
		t.Fatal("vivid is not loaded")
	}
	set := func(assignment string) ([]byte, error) {
		return exec.Command("v4l2-ctl", "-d", path, "-c", assignment).CombinedOutput()
	}
	healthy := []string{"percentage_of_dropped_buffers=0", "wrap_sequence_number=0", "wrap_timestamp=0"}
	v := victim{
		source: path, args: []string{"--resolution", "640x480", "--framerate", "15"},
		faults: []string{
			"disconnect=1", "disconnect=1", "inject_v4l2_buf_flag_error=1", "inject_vidioc_reqbufs_error=1",
			"inject_vidioc_qbuf_error=1", "inject_vidioc_streamon_error=1", "inject_fatal_streaming_error=1",
			"inject_fatal_streaming_error=1", "percentage_of_dropped_buffers=50", "percentage_of_dropped_buffers=100",
			"wrap_sequence_number=1", "wrap_timestamp=1", "wrap_timestamp=2",
		},
		do: func(t *testing.T, fault string) {
			t.Helper()
			if out, err := set(fault); err != nil { // the node may be gone by an earlier step
				t.Logf("%s: %v: %s", fault, err, out)
			}
		},
	}
	v.heal = func(t *testing.T) {
		t.Helper()
		for _, assignment := range healthy {
			eventually(t, limit(10*time.Second), assignment, func() bool {
				_, err := set(assignment)
				return err == nil
			})
		}
	}
	known, err := exec.Command("v4l2-ctl", "-d", path, "-L").CombinedOutput()
	if err != nil {
		t.Fatalf("v4l2-ctl: %v: %s", err, known)
	}
	for _, assignment := range slices.Concat(v.faults, healthy) {
		name, _, _ := strings.Cut(assignment, "=")
		if !strings.Contains(string(known), " "+name+" 0x") {
			t.Fatalf("vivid has no control %s", name)
		}
	}
	return v
}

// torture runs the sequences of the seeds on one daemon.
func torture(t *testing.T, prepare func(*testing.T) victim, seeds []uint64) {
	t.Helper()
	if len(seeds) == 0 {
		return
	}
	v := prepare(t)
	d := serve(t, v.source, v.args...)
	vs := []*viewer{watch(t, d, readRaw), watch(t, d, readMIME)}
	for _, w := range vs {
		awaitLive(t, w, time.Now(), limit(15*time.Second))
	}
	// What is made once is made by the first tenth, one sequence at least.
	settled := max(1, len(seeds)/10)
	var before resources
	var slowest time.Duration
	checked := 0
	for i, seed := range seeds {
		if i == settled {
			before = d.resources(t)
			t.Logf("after %d sequences: %+v", i, before)
		}
		steps := drawSteps(seed, v.faults)
		t.Logf("LAB_SEED=%d: %v", seed, steps)
		for _, s := range steps {
			suffer(t, d, v, s)
		}
		v.heal(t)
		healed := time.Now()
		for k, w := range vs {
			took := awaitLive(t, w, healed, limit(10*time.Second))
			slowest = max(slowest, took)
			if k == 0 {
				t.Logf("live %s after healing", took.Round(time.Millisecond))
			}
		}
		stillWatching(t, vs)
		if v.stamped {
			checked = checkWhole(t, vs[0], checked)
		}
		if t.Failed() {
			t.Fatalf("LAB_SEED=%d failed", seed)
		}
	}
	t.Logf("%d sequences, live %s after healing at the latest", len(seeds), slowest.Round(time.Millisecond))
	if len(seeds) > settled {
		checkLeaks(t, d, before, len(seeds)-settled)
	}
	checkCounters(t, d)

	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := d.exitCode(t, limit(5*time.Second)); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if said := d.stderr.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") {
		t.Errorf("the daemon said:\n%s", tail(said, 100))
	}
}

// suffer does one step and waits for its pause.
func suffer(t *testing.T, d *daemon, v victim, s step) {
	t.Helper()
	switch s.what {
	case stepSnapshot:
		d.get(t, "/snapshot") // any answer is right as long as there is one
	case stepViewer:
		watch(t, d, readRaw).leave()
	case stepState:
		d.get(t, "/state")
	default:
		v.do(t, s.what)
	}
	if d.ended(s.pause) {
		t.Fatalf("the daemon ended after %v: %v", s, d.err)
	}
}

// awaitLive waits for five live pictures in a row and returns how long the
// first of them took.
func awaitLive(t *testing.T, w *viewer, since time.Time, within time.Duration) time.Duration {
	t.Helper()
	row := 0
	var began time.Time
	w.await(t, since, within, "five live pictures in a row", func(p part) bool {
		if !p.live() {
			row = 0
			return false
		}
		if row++; row == 1 {
			began = p.at
		}
		return row == 5
	})
	return began.Sub(since)
}

// checkWhole fails the test if a live picture was spoilt, from part number
// from on. It returns where to go on.
func checkWhole(t *testing.T, w *viewer, from int) int {
	t.Helper()
	seen := w.seen()
	for i, p := range seen[from:] {
		if p.live() && p.err != nil {
			t.Errorf("part %d was shown although it is spoilt: %v", from+i, p.err)
		}
	}
	return len(seen)
}

// checkLeaks compares what the daemon holds with what it held n sequences ago.
func checkLeaks(t *testing.T, d *daemon, before resources, n int) {
	t.Helper()
	var after resources
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	// Chosen: a few threads and goroutines come and go with the HTTP server's
	// pool; memory moves with the garbage collector's pace, which the race
	// detector's own doubles. A picture kept per sequence would show.
	eventually(t, limit(10*time.Second), "the daemon is as small as before", func() bool {
		after = d.resources(t)
		return after.files <= before.files && after.goroutines < before.goroutines+max(4, n/4) &&
			after.threads < before.threads+max(6, n/4) && after.memory <= before.memory+before.memory/4+32<<20
	})
}

// checkCounters fails the test if a counter says what cannot be: a sequence
// number that wraps is no loss of four thousand million pictures.
func checkCounters(t *testing.T, d *daemon) {
	t.Helper()
	counters := d.counters(t)
	t.Logf("counters: %v", counters)
	for name, n := range counters {
		if n > 10_000_000 { // more than any camera delivers in a day
			t.Errorf("counter %s says %d", name, n)
		}
	}
}
