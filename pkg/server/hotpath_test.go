//go:build system

// These tests look at the system calls and the packets of a running server. They
// need strace and tshark, and to be root.

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// hotPathViewers is how many watch the child of
// TestPublishingMakesOneCallPerViewerAndNothingElse: "4x56000+5" is 4 viewers,
// pictures of 56,000 bytes and 5 more viewers who read nothing.
const hotPathViewers = "WEBGEAR_TEST_HOT_PATH"

// TestPublishingMakesOneCallPerViewerAndNothingElse runs a server below strace and
// looks at what the thread that publishes does between two marks. All that is
// needed to send a picture happens there, as nobody is woken for it. At every second
// picture, two calls more ask what the viewers, who are on this computer, have read;
// more often when a picture does not fit into their sockets, and always, with two calls
// more for each, about those who read nothing and have room.
func TestPublishingMakesOneCallPerViewerAndNothingElse(t *testing.T) {
	if load := os.Getenv(hotPathViewers); load != "" {
		publishBetweenMarks(t, load)
		return
	}
	for load, want := range map[string]map[string]int{
		"4x56000+0":  {"writev": 4},
		"4x56000+5":  {"writev": 4},
		"4x300000+0": {"fallocate": 1, "pwritev": 1, "sendfile": 4},
	} {
		wantAsked := maps.Clone(want)
		wantAsked["write"], wantAsked["recvmmsg"] = 1, 1
		t.Run(load, func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "strace", "-f", "-o", trace, "-e", "signal=none", os.Args[0], "-test.run=^"+t.Name()[:strings.Index(t.Name(), "/")]+"$")
			cmd.Env = append(os.Environ(), hotPathViewers+"="+load)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			log, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			rounds := callsBetweenMarks(string(log))
			if len(rounds) < 10 {
				t.Fatalf("only %d rounds in the trace", len(rounds))
			}
			stalled := 0
			if strings.HasSuffix(load, "+5") {
				stalled = 5
			}
			viewers := want["writev"] + want["sendfile"]
			exact, asked, other := 0, 0, 0
			for _, calls := range rounds {
				if calls["ioctl"] > 2*stalled {
					t.Errorf("%d calls about %d viewers who read nothing, want two for each", calls["ioctl"], stalled)
				}
				delete(calls, "ioctl")
				switch n := calls["writev"] + calls["sendfile"]; {
				case maps.Equal(calls, want):
					exact++
				case maps.Equal(calls, wantAsked):
					asked++
				case n > viewers:
					t.Errorf("%d calls that send, want one per viewer: %v", n, calls)
				case n == viewers:
					other++
				} // Fewer: strace is slow, and the publisher's time is limited.
			}
			// The first round makes the places of the memory; and Go's own threads may
			// have to be told something now and then.
			if exact+asked < 5 || other > (exact+asked)/4 {
				t.Errorf("only %d of %d rounds did exactly what is needed, %v or %v: %v", exact+asked, len(rounds), want, wantAsked, rounds)
			}
			if want["writev"] > 0 && stalled == 0 && asked > len(rounds)/2 {
				t.Errorf("viewers were asked at %d of %d pictures, want every second one", asked, len(rounds))
			}
			t.Logf("of %d rounds %d: %v, and %d: %v", len(rounds), exact, want, asked, wantAsked)
		})
	}
}

// callsBetweenMarks counts the calls of a thread between two calls of getppid.
func callsBetweenMarks(log string) []map[string]int {
	var rounds []map[string]int
	call := regexp.MustCompile(`^(\d+) +(\w+)\(`)
	marking := "" // the thread
	for line := range strings.Lines(log) {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue // the rest of a call that took a while
		}
		switch thread, name := m[1], m[2]; {
		case name == "getppid" && marking == "":
			marking = thread
			rounds = append(rounds, map[string]int{})
		case name == "getppid":
			marking = ""
		case thread == marking:
			rounds[len(rounds)-1][name]++
		}
	}
	return rounds
}

// publishBetweenMarks is the child.
func publishBetweenMarks(t *testing.T, load string) {
	t.Helper()
	debug.SetGCPercent(-1)
	var viewers, size, stalled int
	if _, err := fmt.Sscanf(load, "%dx%d+%d", &viewers, &size, &stalled); err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{})
	skip(r)
	data := []byte(strings.Repeat("x", size))
	c := gather(t, r, viewers, &device.Frame{Data: data})
	defer c.leave()
	c.send(r, &device.Frame{Data: data}) // sizes buffers
	for range stalled {
		watch(t, r.addr, getVideo)
	}
	r.viewing(t, viewers+stalled)
	stuck := func() bool {
		n := 0
		for _, v := range r.Stream().Viewers {
			if v.FramesBehind > 2 {
				n++
			}
		}
		return n == stalled
	}
	eventually(t, "some are stuck", func() bool {
		c.send(r, &device.Frame{Data: data})
		return stuck()
	})
	runtime.LockOSThread()
	for range 20 {
		next := &device.Frame{Data: data}
		c.got.Add(viewers)
		_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		r.hub.Publish(next)
		_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		c.got.Wait()
	}
}

// TestPictureIsOneTrainOfSegments looks at the packets on the loopback interface: a
// picture is full segments and a rest that is pushed, and nothing in between.
func TestPictureIsOneTrainOfSegments(t *testing.T) {
	// The loopback interface carries segments of 65,483 bytes.
	const full = 65_483
	for name, tt := range map[string]struct{ viewers, size int }{
		"copied": {1, 150_000}, "copied, small": {1, 56_000}, "shared": {12, 100_000}, "shared, small": {20, 56_000},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{})
			data := strings.Repeat("x", tt.size)
			skip(r) // all parts have the same length
			packets := sniff(t, r.addr)
			var watching []*client
			for range tt.viewers {
				v := watch(t, r.addr, getVideo)
				v.next(t)
				watching = append(watching, v)
			}
			const pictures = 20
			last := ""
			for range pictures {
				f := picture(data)
				r.hub.Publish(f)
				for _, v := range watching {
					p := v.next(t)
					last = p.Header.Get("X-Sequence")
				}
			}
			f := picture(data)
			f.Seq = manyDigits
			part := 0
			for _, p := range mjpeg.Encode(f).AppendTo(nil, false) {
				part += len(p)
			}
			_, port, _ := net.SplitHostPort(watching[0].conn.LocalAddr().String())
			go r.hub.Close(nil)
			trains, err := packets(port, part)
			if err != nil {
				t.Fatal(err)
			}
			if len(trains) != pictures {
				t.Fatalf("%d pictures in the packets, want %d (the last was %s)", len(trains), pictures, last)
			}
			want := (part + full - 1) / full
			for i, train := range trains {
				if len(train) > want+1 || !train[len(train)-1].pushed {
					t.Errorf("picture %d is %v, want at most %d segments, the last one pushed", i, train, want+1)
				}
				for _, s := range train[:len(train)-1] {
					if s.size < 16<<10 {
						t.Errorf("picture %d: a tiny segment among %v", i, train)
					}
				}
			}
			t.Logf("%d bytes: %v", part, trains[len(trains)-1])
		})
	}
}

// segment is one packet.
type segment struct {
	size   int
	pushed bool
}

// sniff captures what a server sends. What it returns waits for the end of the
// connection to port and cuts that into pictures of so many bytes, of which it
// returns all but the first ones that are smaller.
func sniff(t *testing.T, addr string) func(port string, size int) ([][]segment, error) {
	t.Helper()
	_, server, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "tshark", "-l", "-n", "-i", "lo", "-s", "128", "-B", "32", "-f", "tcp src port "+server, "-T", "fields", "-E", "separator=,",
		"-e", "tcp.dstport", "-e", "tcp.len", "-e", "tcp.flags.push", "-e", "tcp.flags.fin")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it has a child
	cmd.WaitDelay = 5 * time.Second
	stderr := &logBuffer{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	eventually(t, "tshark captures", func() bool { return len(stderr.lines("Capturing on")) > 0 })
	// It says so a little too early: send something until it is seen.
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		lines.Scan()
	}()
	eventually(t, "tshark sees packets", func() bool {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
		}
		select {
		case <-seen:
			return true
		default:
			return false
		}
	})
	return func(port string, size int) ([][]segment, error) {
		var all []segment
		for lines.Scan() {
			f := strings.Split(lines.Text(), ",")
			if len(f) != 4 || f[0] != port {
				continue
			}
			var n int
			if _, err := fmt.Sscan(f[1], &n); err != nil {
				return nil, err
			}
			if n > 0 {
				all = append(all, segment{n, f[2] == "1" || f[2] == "True"})
			}
			if f[3] == "1" || f[3] == "True" {
				return trains(all, size), nil
			}
		}
		return nil, errors.Join(fmt.Errorf("tshark ended early: %q", stderr.lines("")), lines.Err())
	}
}

// trains cuts segments into pictures of so many bytes; what comes before the first
// one that fits, and after the last one, is left out.
func trains(all []segment, size int) [][]segment {
	var cut [][]segment
	for i := 0; i < len(all); {
		sum, j := 0, i
		for j < len(all) && sum < size {
			sum += all[j].size
			j++
		}
		if sum != size {
			i++
			continue
		}
		cut = append(cut, all[i:j])
		i = j
	}
	return cut
}
