//go:build system

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests take from the whole program what it needs, and look whether it goes
// on. What cannot be taken away here is taken away elsewhere:
//
//	what goes wrong                          where it is tried
//	descriptors, memory, disk, half-open     here
//	connections, a program that is stopped
//	child processes, sources                 faults_sources_system_test.go
//	a disk that is full or read-only at      data_system_test.go
//	the start, kill -9 while provisioning
//	the module of a camera is taken away,    device/lab: TestDaemonInMachine,
//	a camera is unplugged                    TestDriversInMachine; device/v4l2: TestLabReplugIsToldAndFound
//	ENOMEM, EIO, ENODEV from ioctls          device/lab: TestRandomFaultsInMachine; device/v4l2: TestLabVividFailsOnRequest
//	                                         and, with a kernel that answers anything, FuzzKernelAnswers
//	an encoder that fails or hangs           device/m2m: TestLabEncoderThatLosesPicturesIsResetAndGoesOn and its neighbours
//	power, while files are written           packaging/machine: TestNoEditIsLostWhenPowerFails
//	descriptors of a listener                pkg/gate, with a listener that fails

// proc gives a figure in kB of /proc/PID/smaps_rollup or status.
func (d *daemon) proc(t *testing.T, file, key string) int {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", file, key)
	return 0
}

// files counts the descriptors that are open.
func (d *daemon) files(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// limit changes a limit of the running program.
func (d *daemon) limit(t *testing.T, resource int, n uint64) {
	t.Helper()
	if err := unix.Prlimit(d.cmd.Process.Pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
		t.Fatal(err)
	}
}

// runs fails the test when the program has ended.
func (d *daemon) runs(t *testing.T) {
	t.Helper()
	select {
	case <-d.done:
		t.Fatalf("webgear ended with code %d:\n%s", d.cmd.ProcessState.ExitCode(), d.log)
	default:
	}
}

// goroutines gives how many there are.
func (d *daemon) goroutines(t *testing.T) int {
	t.Helper()
	var state struct {
		Goroutines int `json:"goroutines"`
	}
	if err := json.Unmarshal(d.get(t, "/state").body, &state); err != nil {
		t.Fatal(err)
	}
	return state.Goroutines
}

// within asks again and again.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// next waits for n more live pictures.
func (v *viewer) next(n int) {
	v.t.Helper()
	for range n {
		v.until("a live picture", live)
	}
}

// connect opens connections that say something, as many as the computer gives.
func (d *daemon) connect(t *testing.T, n int, say string) (conns []net.Conn, cut func()) {
	t.Helper()
	cut = sync.OnceFunc(func() {
		for _, c := range conns {
			_ = c.Close()
		}
	})
	t.Cleanup(cut)
	for range n {
		c, err := net.DialTimeout("tcp", d.addr, 2*time.Second)
		if err != nil {
			continue // that is what the test is about
		}
		_, _ = io.WriteString(c, say) // it may be refused
		conns = append(conns, c)
	}
	return conns, cut
}

func TestSystemFaultDescriptorsRunOut(t *testing.T) {
	d := begin(t, "-s", "test:320x240@20")
	viewers := []*viewer{d.watch(t, "/video"), d.watch(t, "/video")}
	for _, v := range viewers {
		v.next(1)
	}
	d.get(t, "/")
	before := d.log.String()
	d.limit(t, unix.RLIMIT_NOFILE, uint64(d.files(t)+6))
	for range 2 { // it runs out twice
		_, cut := d.connect(t, 60, "GET /video HTTP/1.1\r\nHost: localhost\r\n\r\n")
		for _, v := range viewers {
			v.next(40)
		}
		d.runs(t)
		cut()
		within(t, 10*time.Second, "served again", func() bool {
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}).Get(d.url + "/healthz")
			if err != nil {
				return false
			}
			defer func() { _ = resp.Body.Close() }()
			return resp.StatusCode == http.StatusOK
		})
		d.watch(t, "/video").next(2)
	}
	said := strings.TrimPrefix(d.log.String(), before)
	if n := strings.Count(said, "level=WARN") + strings.Count(said, "level=ERROR"); n < 1 || n > 8 {
		t.Errorf("%d lines about it, want one or two each time:\n%s", n, said)
	}
}

func TestSystemFaultDataFolderFillsUpOrVanishesWhileItRuns(t *testing.T) {
	home := tmpfs(t, "size=256k")
	d := beginAt(t, place{home: home}, "-s", "test:320x240@20")
	v := d.watch(t, "/video")
	v.next(1)
	pages := func(when string) {
		t.Helper()
		for _, path := range []string{"/", "/static/css/custom.css", "/state", "/snapshot", "/nothing"} {
			if a := d.get(t, path); a.status >= 500 || len(a.body) == 0 {
				t.Errorf("%s: %s answers %d, %d bytes", when, path, a.status, len(a.body))
			}
		}
		v.next(5)
	}
	pages("at first")
	if err := os.WriteFile(filepath.Join(home, "big"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	pages("full")
	index := filepath.Join(home, treeOf, "templates/index.html")
	if err := os.Truncate(index, 0); err != nil { // what an editor leaves that had no room
		t.Fatal(err)
	}
	if a := d.get(t, "/"); a.status != http.StatusOK {
		t.Errorf("an empty template: %d", a.status)
	}
	remove(t, filepath.Join(home, "big"))
	edit(t, index, defaults(t)["templates/index.html"])
	remount(t, home, syscall.MS_RDONLY)
	pages("read-only")
	if err := syscall.Mount("tmpfs", filepath.Join(home, ".webgear"), "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	pages("another disk in its place") // and empty
	if err := syscall.Unmount(filepath.Join(home, ".webgear"), 0); err != nil {
		t.Errorf("the program holds on to a disk: %v", err)
	}
	pages("back")
	d.runs(t)
	d.end(t, syscall.SIGTERM)
	remount(t, home, 0)
}

func TestSystemFaultLittleMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "16MiB")
	d := begin(t, "-s", "test:640x480@20")
	var all []*viewer
	watch := func(n int) {
		t.Helper()
		for i := range n {
			all = append(all, d.watch(t, []string{"/video", "/video?quality=30", "/video?width=320", "/video?fps=2"}[i%4]))
		}
		for _, v := range all {
			v.next(1)
		}
	}
	watch(20)
	// Nothing that costs address space may take 256 MiB more from here on: the room
	// of some threads, whose stacks are of 8 MiB, and of an arena of 64 MiB.
	d.limit(t, unix.RLIMIT_AS, uint64(d.proc(t, "status", "VmSize"))<<10+256<<20)
	watch(60)
	for range 20 {
		if a := d.get(t, "/snapshot?width=160"); a.status != http.StatusOK {
			t.Errorf("snapshot: %d", a.status)
		}
	}
	for _, v := range all {
		v.next(3)
	}
	d.runs(t)
	t.Logf("%d viewers: %d kB in memory", len(all), d.proc(t, "status", "VmRSS"))
}

// TestSystemFaultTenThousandHalfOpenConnections: whoever watches goes on, others
// are served meanwhile or at least afterwards, and nothing of it stays.
func TestSystemFaultTenThousandHalfOpenConnections(t *testing.T) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	const many = 10000
	if own.Cur < many+200 {
		own.Cur, own.Max = many+2000, max(own.Max, many+2000)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
			t.Fatalf("this test needs %d descriptors: %v", own.Cur, err)
		}
	}
	d := begin(t, "-s", "test:320x240@20")
	v := d.watch(t, "/video")
	v.next(5)
	goroutines, files, rss := d.goroutines(t), d.files(t), d.proc(t, "status", "VmRSS")
	begun := time.Now()
	conns, cut := d.connect(t, many, "GET /video HTTP/1.1\r\nHost: a")
	took := time.Since(begun)
	v.next(20)
	during := d.proc(t, "status", "VmRSS")
	t.Logf("%d connections in %v: %d files, %d kB, before %d kB", len(conns), took.Round(time.Millisecond), d.files(t), during, rss)
	if len(conns) < many*9/10 {
		t.Errorf("only %d connections could be made", len(conns))
	}
	if each := (during - rss) * 1024 / many; each > 24<<10 {
		t.Errorf("a half request costs %d bytes", each)
	}
	d.runs(t)
	v.next(20)
	cut()
	// The HTTP library keeps idle goroutines for ten seconds.
	within(t, 40*time.Second, "all are forgotten", func() bool {
		return d.goroutines(t) <= goroutines+8 && d.files(t) <= files+8
	})
	d.watch(t, "/video").next(2)
	v.next(2)
}

// TestSystemFaultStoppedProgramGoesOn: what a debugger does, or a computer that
// sleeps.
func TestSystemFaultStoppedProgramGoesOn(t *testing.T) {
	d := begin(t, "-s", "test:320x240@20")
	viewers := []*viewer{d.watch(t, "/video"), d.watch(t, "/video?width=160"), d.watch(t, "/video?fps=5")}
	for _, v := range viewers {
		v.next(3)
	}
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pause := time.NewTimer(5 * time.Second)
	defer pause.Stop()
	<-pause.C
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	woken := time.Now()
	for _, v := range viewers {
		p := v.until("a new picture", func(p picture) bool { return live(p) && p.at.After(woken) })
		if late := p.got.Sub(woken); late > 3*time.Second {
			t.Errorf("a new picture after %v", late)
		}
	}
	d.runs(t)
}
