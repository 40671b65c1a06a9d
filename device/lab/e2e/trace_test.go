//go:build labguest

package e2e

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tracing is where the kernel tells what its drivers do, in
// Documentation/trace/ftrace.rst.
const tracing = "/sys/kernel/tracing"

// delivery is a picture that a driver gave to the program that reads the device.
type delivery struct {
	sequence uint32
	taken    time.Duration // when its first packet came, by the kernel's monotonic clock
}

// trace is the kernel's record of what video drivers deliver (event v4l2_dqbuf).
type trace struct{}

// newTrace prepares a record. It does so before any camera is in use: the
// kernel rewrites its own code where an event is switched, and an emulated
// processor that just runs there may stumble (seen: "Oops: int3").
func newTrace(t *testing.T) trace {
	t.Helper()
	if err := unix.Mount("tracefs", tracing, "tracefs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatalf("mount %s: %v", tracing, err)
	}
	var r trace
	r.write(t, "tracing_on", "0")
	r.write(t, "options/record-cmd", "0") // it would hook into the scheduler, to know the names of processes
	r.write(t, "buffer_size_kb", "4096")  // per processor; a minute of 30 pictures per second takes 800
	const event = "events/v4l2/v4l2_dqbuf/enable"
	r.write(t, event, "1")
	t.Cleanup(func() { r.write(t, event, "0") })
	return r
}

func (trace) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(tracing, name), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// record writes down what is delivered from now until stop is called, in the
// order of the driver's numbers. Only one device may be in use meanwhile.
func (r trace) record(t *testing.T) (stop func() []delivery) {
	t.Helper()
	r.write(t, "trace", "")
	r.write(t, "tracing_on", "1")
	return func() []delivery {
		r.write(t, "tracing_on", "0")
		text, err := os.ReadFile(filepath.Join(tracing, "trace"))
		if err != nil {
			t.Fatal(err)
		}
		return parseTrace(t, string(text))
	}
}

// parseTrace reads lines such as
//
//	<...>-226 [000] ..... 13.005480: v4l2_dqbuf: minor = 0, ..., timestamp = 13004511000, ..., sequence = 1
func parseTrace(t *testing.T, text string) []delivery {
	t.Helper()
	var all []delivery
	for line := range strings.Lines(text) {
		_, event, ok := strings.Cut(strings.TrimSpace(line), ": v4l2_dqbuf: ")
		if !ok {
			continue
		}
		fields := map[string]string{}
		for f := range strings.SplitSeq(event, ", ") {
			key, value, _ := strings.Cut(f, " = ")
			fields[key] = value
		}
		taken, err := strconv.ParseInt(fields["timestamp"], 10, 64)
		sequence, err2 := strconv.ParseUint(fields["sequence"], 10, 32)
		if err := errors.Join(err, err2); err != nil {
			t.Fatalf("trace: %q: %v", line, err)
		}
		all = append(all, delivery{sequence: uint32(sequence), taken: time.Duration(taken)})
	}
	slices.SortFunc(all, func(a, b delivery) int { return cmp.Compare(a.sequence, b.sequence) })
	return all
}

// wallClock is how far the wall clock is ahead of the monotonic one.
func wallClock(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(time.Now().UnixNano() - ts.Nano())
}
