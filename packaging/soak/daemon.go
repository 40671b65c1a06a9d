package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Who may do everything.
const (
	account  = "admin"
	password = "a long way to the sea"
)

// daemon is the program under test.
type daemon struct {
	cmd      *exec.Cmd
	log      *logBuffer
	done     chan struct{} // closed when it has ended
	addr     string        // HOST:PORT
	settings string        // the file
	good     []string      // what may stand in it
	token    string        // lets in; empty where nobody is kept out
	quiet    *http.Client  // for the figures
}

// startDaemon starts it on all interfaces, so that it asks for passwords; whoever
// talks to it does so through the loopback one.
func startDaemon(ctx context.Context, binary, dir, source string) (*daemon, error) {
	hashing := exec.CommandContext(ctx, binary, "hash-password")
	hashing.Stdin = strings.NewReader(password + "\n")
	hash, err := hashing.Output()
	if err != nil {
		return nil, fmt.Errorf("hash-password: %w", err)
	}
	for _, folder := range []string{"pages", "data"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			return nil, err
		}
	}
	d := &daemon{log: newLogBuffer(), done: make(chan struct{}), settings: filepath.Join(dir, "webgear.yaml")}
	d.quiet = &http.Client{Timeout: 10 * time.Second}
	always := fmt.Sprintf("access: {accounts: [{name: %s, role: admin, hash: '%s'}]}\n", account, bytes.TrimSpace(hash))
	where := "custom_data_location: " + filepath.Join(dir, "pages")
	for _, s := range []string{
		"camera: {source: '" + firstSource + "', linger: 1s}\nhttp: {viewer_timeout: 2s}\noptions: {%s}\n",
		"camera: {source: '" + source + "', linger: 2s}\nhttp: {viewer_timeout: 2s}\noptions: {%s}\n",
		"camera: {source: '" + source + "'}\nhttp: {viewer_timeout: 3s, max_viewers: 4}\noptions: {%s, frame_size_reduction: 20}\n",
		"camera: {source: 'test:640x480@10', transform: 180}\nhttp: {viewer_timeout: 2s, max_viewers_per_address: 1}\noptions: {%s, jpeg_compression_quality: 40}\n",
	} {
		d.good = append(d.good, always+fmt.Sprintf(s, where))
	}
	if err := d.configure(d.good[0]); err != nil {
		return nil, err
	}
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, "run", "--service", "--config", d.settings, "--listen", ":0", "--data-dir", filepath.Join(dir, "data"))
	env, err := serviceEnvironment()
	if err != nil {
		return nil, err
	}
	d.cmd.Env = append(env, "HOME="+dir, "PATH="+os.Getenv("PATH"))
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait() // its state says it
	}()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	serving := regexp.MustCompile(`msg=serving url=http://[^ ]*:(\d+)/`)
	for {
		if m := serving.FindStringSubmatch(d.log.String()); m != nil {
			d.addr = "127.0.0.1:" + m[1]
			return d, nil
		}
		select {
		case <-d.log.more:
		case <-d.done:
			return nil, fmt.Errorf("the program does not start:\n%s", d.log)
		case <-limit.C:
			return nil, errors.Join(fmt.Errorf("the program does not serve:\n%s", d.log), d.end())
		}
	}
}

// restore puts the first settings in force, and waits until they are.
func (d *daemon) restore(ctx context.Context) error {
	if err := d.configure(d.good[0]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		source, _, _, err := d.state(ctx)
		if err == nil && source == firstSource {
			return nil
		}
		select {
		case <-again.C:
		case <-d.done:
			return fmt.Errorf("the program ended:\n%s", d.log.last())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the settings were not put in force, the source is %q:\n%s", source, d.log.last()), err)
		}
	}
}

// unit is the service, whose environment the program gets here too.
const unit = "rootfs-overlay/usr/lib/systemd/system/webgear.service"

// serviceEnvironment reads what the service sets, such as how the C library keeps
// memory.
func serviceEnvironment() ([]string, error) {
	b, err := os.ReadFile(unit)
	if err != nil {
		return nil, fmt.Errorf("service unit, run this in the top folder of the tree: %w", err)
	}
	var set []string
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment="); ok {
			set = append(set, strings.Fields(rest)...)
		}
	}
	return set, nil
}

// firstSource is the source of the first settings.
const firstSource = "test:320x240@20"

// configure writes the settings file and asks the program to read it.
func (d *daemon) configure(text string) error {
	if err := os.WriteFile(d.settings, []byte(text), 0o600); err != nil {
		return err
	}
	if d.cmd == nil {
		return nil // it is not there yet
	}
	return d.cmd.Process.Signal(syscall.SIGHUP)
}

// end stops the program, which has to take its leave properly.
func (d *daemon) end() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-d.done:
	case <-limit.C:
		_ = d.cmd.Process.Kill()
		<-d.done
		return errors.New("the program had to be killed")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the program ended with code %d:\n%s", code, d.log.last())
	}
	return nil
}

// figures are what must not grow.
type figures struct{ rss, anonymous, pss, files, threads, goroutines int }

// settle takes the figures while nobody else asks for anything: the least of each,
// as what is being cleaned up does not count. The program collects its garbage when
// a crowd has gone. It waits until nobody watches.
func (d *daemon) settle(ctx context.Context, span time.Duration) (least figures, err error) {
	ctx, cancel := context.WithTimeout(ctx, span+30*time.Second)
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for until := time.Now().Add(span); ; {
		viewers, f, err := d.figures(ctx)
		if err != nil {
			return least, err
		}
		if least == (figures{}) {
			least = f
		}
		least = figures{
			min(least.rss, f.rss), min(least.anonymous, f.anonymous), min(least.pss, f.pss),
			min(least.files, f.files), min(least.threads, f.threads), min(least.goroutines, f.goroutines),
		}
		if viewers == 0 && time.Now().After(until) {
			return least, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return least, fmt.Errorf("%d viewers are still there though all have left", viewers)
		}
	}
}

// state asks the program what it knows of itself.
func (d *daemon) state(ctx context.Context) (source string, viewers, goroutines int, err error) {
	var state struct {
		Goroutines int `json:"goroutines"`
		Camera     struct {
			Source string `json:"source"`
		} `json:"camera"`
		Stream struct {
			Viewers []struct{} `json:"viewers"`
		} `json:"stream"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr+"/state", http.NoBody)
	if err != nil {
		return "", 0, 0, err
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := d.quiet.Do(req)
	if err != nil {
		return "", 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return "", 0, 0, fmt.Errorf("/state: %s", resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	return state.Camera.Source, len(state.Stream.Viewers), state.Goroutines, err
}

// figures takes them once.
func (d *daemon) figures(ctx context.Context) (viewers int, f figures, err error) {
	if _, viewers, f.goroutines, err = d.state(ctx); err != nil {
		return 0, f, err
	}
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	for _, x := range []struct {
		file, key string
		to        *int
	}{{"smaps_rollup", "Rss", &f.rss}, {"smaps_rollup", "Anonymous", &f.anonymous}, {"smaps_rollup", "Pss", &f.pss}, {"status", "Threads", &f.threads}} {
		if *x.to, err = field(proc+x.file, x.key); err != nil {
			return 0, f, err
		}
	}
	files, err := os.ReadDir(proc + "fd")
	f.files = len(files)
	return viewers, f, err
}

// field reads a number of a file of lines "Key:  number".
func field(path, key string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				return strconv.Atoi(words[0])
			}
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}

// logBuffer keeps the end of the program's log, and all that is alarming in it.
type logBuffer struct {
	more chan struct{} // room for one

	mu     sync.Mutex
	text   bytes.Buffer // guarded by mu
	rest   string       // guarded by mu; of a line that is not whole
	alarms []string     // guarded by mu; lines that should not be
}

func newLogBuffer() *logBuffer { return &logBuffer{more: make(chan struct{}, 1)} }

// maxLog bounds what is kept.
const maxLog = 256 << 10

// Write takes what the program says.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text.Len() > maxLog {
		kept := bytes.Clone(b.text.Bytes()[maxLog/2:])
		b.text.Reset()
		b.text.Write(kept)
	}
	b.text.Write(p)
	b.rest += string(p)
	for {
		line, rest, whole := strings.Cut(b.rest, "\n")
		if !whole {
			break
		}
		b.rest = rest
		if isAlarm(line) && len(b.alarms) < 20 {
			b.alarms = append(b.alarms, line)
		}
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// isAlarm knows lines that must not be, whatever clients do. What settings and
// sources of ours cause is no alarm.
func isAlarm(line string) bool {
	switch {
	case strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "fatal error:"), strings.Contains(line, "goroutine "), strings.Contains(line, "DATA RACE"):
		return true
	case strings.Contains(line, `msg="settings not reloaded`):
		return false
	}
	return strings.Contains(line, "level=ERROR")
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// last gives the last 20 lines.
func (b *logBuffer) last() string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }

// discard reads up to n bytes.
func discard(r io.Reader, n int64) { _, _ = io.CopyN(io.Discard, r, n) } // whatever there is
