//go:build system

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests are those of faults_system_test.go for programs that read sources,
// and for the sources themselves.

// children lists the processes below a process, by their programs' names.
func children(t *testing.T, parent int) map[int]string {
	t.Helper()
	all := map[int]string{}
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	below := map[int]map[int]string{}
	for _, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		at, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
		if err != nil || at < 0 || end < at {
			continue
		}
		fields := strings.Fields(string(data[end+1:]))
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		if up, err := strconv.Atoi(fields[1]); err == nil {
			if below[up] == nil {
				below[up] = map[int]string{}
			}
			below[up][pid] = string(data[at+1 : end])
		}
	}
	for todo := []int{parent}; len(todo) > 0; todo = todo[1:] {
		for pid, name := range below[todo[0]] {
			all[pid] = name
			todo = append(todo, pid)
		}
	}
	return all
}

// child waits for the process of a program.
func (d *daemon) child(t *testing.T, program string, but int) (pid int) {
	t.Helper()
	within(t, 20*time.Second, program+" runs", func() bool {
		for p, name := range children(t, d.cmd.Process.Pid) {
			if name == program && p != but {
				pid = p
				return true
			}
		}
		return false
	})
	return pid
}

// TestSystemFaultChildDiesOrHangs kills and stops the program that reads the source.
func TestSystemFaultChildDiesOrHangs(t *testing.T) {
	d := begin(t, "-a", "ffgear", "-sd", "lavfi", "-s", lavfi+"20", "-op", `{"THREAD_TIMEOUT": 3}`)
	v := d.watch(t, "/video")
	v.next(3)
	pid := 0
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGSTOP} {
		pid = d.child(t, "ffmpeg", pid)
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		p := v.until("a placeholder after "+sig.String(), func(p picture) bool { return !live(p) })
		v.next(3)
		t.Logf("%v: %q, back after %v", sig, p.placeholder, time.Since(begun).Round(time.Millisecond))
	}
	d.child(t, "ffmpeg", pid)
	if code, took := d.end(t, syscall.SIGTERM); code != 0 || took > 3*time.Second {
		t.Errorf("code %d after %v", code, took)
	}
}

// TestSystemFaultChildIgnoresEverything has a program in ffmpeg's place that says
// nothing, does not end, and starts others.
func TestSystemFaultChildIgnoresEverything(t *testing.T) {
	probe, err := exec.LookPath("ffprobe")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\ntrap '' TERM INT HUP PIPE\nsleep 300 &\nwhile :; do sleep 300; done\n"
	if err := os.WriteFile(filepath.Join(bin, "ffmpeg"), []byte(script), 0o700); err != nil { //nolint:gosec // a program has to be one
		t.Fatal(err)
	}
	if err := os.Symlink(probe, filepath.Join(bin, "ffprobe")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	d := begin(t, "-a", "ffgear", "-sd", "lavfi", "-s", lavfi+"20", "-op", `{"THREAD_TIMEOUT": 2}`)
	v := d.watch(t, "/video")
	v.until("a placeholder", func(p picture) bool { return !live(p) })
	if a := d.get(t, "/snapshot"); a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		t.Errorf("snapshot: %d", a.status)
	}
	d.child(t, "ffmpeg", 0)
	left := children(t, d.cmd.Process.Pid)
	if len(left) > 6 {
		t.Errorf("programs pile up: %v", left)
	}
	if code, took := d.end(t, syscall.SIGTERM); code != 0 || took > 3*time.Second {
		t.Errorf("code %d after %v:\n%s", code, took, d.log)
	}
	within(t, 2*time.Second, "none is left behind", func() bool {
		for pid := range left {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(state, []byte(") Z ")) {
				return false
			}
		}
		return true
	})
}

// garbage serves bytes that are no camera's.
func garbage(t *testing.T, header string, body func(w io.Writer) error) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := c.Read(make([]byte, 4096)); err != nil {
					return
				}
				if _, err := io.WriteString(c, header); err != nil {
					return
				}
				for body(c) == nil { // until the other side has enough
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return "http://" + ln.Addr().String() + "/video"
}

// TestSystemFaultSourceSendsGarbage holds that a source can neither end the program
// nor fill its memory, and that viewers are told.
func TestSystemFaultSourceSendsGarbage(t *testing.T) {
	t.Parallel()
	const multipart = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
	noise := bytes.Repeat([]byte("\xff\xd8\x00garbage\xff\xff\xe1\x00\x02"), 4096)
	write := func(parts ...[]byte) func(io.Writer) error {
		return func(w io.Writer) error {
			for _, p := range parts {
				if _, err := w.Write(p); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, source := range map[string]string{
		"noise":            garbage(t, "", write(noise)),
		"endless header":   garbage(t, "HTTP/1.1 200 OK\r\n", write([]byte("X-A: "), noise[:1000], []byte("\r\n"))),
		"no boundary":      garbage(t, multipart, write(noise)),
		"endless part":     garbage(t, multipart+"--b\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8", write(noise)),
		"a part too large": garbage(t, multipart+"--b\r\nContent-Length: 99999999999\r\n\r\n\xff\xd8", write(noise)),
		"empty parts":      garbage(t, multipart, write([]byte("--b\r\nContent-Length: 0\r\n\r\n\r\n"))),
		"parts of noise":   garbage(t, multipart, write([]byte("--b\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8"), noise, []byte("\xff\xd9\r\n"))),
		"a redirect":       garbage(t, "HTTP/1.1 302 Found\r\nLocation: /video\r\nContent-Length: 0\r\n\r\n", func(io.Writer) error { return io.EOF }),
		"nothing":          garbage(t, "", func(io.Writer) error { return io.EOF }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := begin(t, "-s", source)
			v := d.watch(t, "/video")
			deadline := time.Now().Add(6 * time.Second)
			p := v.until("placeholders for six seconds", func(p picture) bool {
				if live(p) {
					t.Fatalf("a live picture of %d bytes", len(p.data))
				}
				return time.Now().After(deadline)
			})
			a := d.get(t, "/snapshot")
			rss := d.proc(t, "status", "VmRSS")
			t.Logf("%q, snapshot %d, %d MiB", p.placeholder, a.status, rss>>10)
			// The largest part that is read, 64 MiB, and the 80 MiB that it is copied
			// to as it grows, twice, as the collector lets it, and the program.
			if rss > 340<<10 {
				t.Errorf("%d MiB in memory", rss>>10)
			}
			if lines := strings.Count(d.log.String(), "\n"); lines > 60 {
				t.Errorf("%d lines in the log:\n%.2000s", lines, d.log)
			}
			d.runs(t)
			if code, took := d.end(t, syscall.SIGTERM); code != 0 || took > 3*time.Second {
				t.Errorf("code %d after %v", code, took)
			}
		})
	}
}
