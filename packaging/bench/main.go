// Command bench measures what it costs to pass one picture to many viewers, next
// to the least that it can cost: two small C programs that do nothing else.
//
//	go run ./packaging/bench
//	go run ./packaging/bench -loads 1000x30000@10 -span 60 -rounds 1   a large crowd for a minute
//	go run ./packaging/bench -stalled 50 -loads 100x100000@30          viewers that read nothing, beside others
//	go run ./packaging/bench -idle 60s                                 the whole program while its camera is asleep
//
// Every server is started afresh for each run, the runs of all servers take
// turns, and the median counts. Everything happens on the loopback interface, with
// the viewers on the same processors, so only the ratios mean something.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/server"
)

// Those who are compared; rivals.go has more. The names of our own are those of
// their programs.
const (
	nameFloor   = "writev"
	nameOurs    = "webgear"
	nameStalled = "stalled"
)

const tableHead = "| viewers × picture | server | CPU µs per picture | ratio | delay p50 ms | p99 ms | ratio | first picture p50 ms | max ms | resident MB | lost |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|\n"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 4 && args[0] == "serve" {
		return serve(ctx, args[1], args[2], args[3])
	}
	if len(args) == 3 && args[0] == "relay" {
		return relay(ctx, args[1], args[2])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 3, "how often each server runs")
	warm := flags.Float64("warm", 1.5, "seconds before the measurement")
	span := flags.Float64("span", 4, "seconds of the measurement")
	stalled := flags.Int("stalled", 0, "compare webgear with itself while so many viewers more read nothing")
	idleSpan := flags.Duration("idle", 0, "measure only what the program costs for so long while nobody watches")
	var rivals rivals
	flags.StringVar(&rivals.mjpgStreamer, "mjpg-streamer", "", "compare with this program; its plugins stand beside it")
	flags.StringVar(&rivals.go2rtc, "go2rtc", "", "compare with this program")
	flags.StringVar(&rivals.ustreamer, "ustreamer", "", "compare with this program, which gets a camera made of camera.c")
	loads := flags.String("loads", "32x56000@30,100x100000@30", "viewers x bytes @ pictures per second")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *idleSpan > 0 {
		return idle(ctx, out, *idleSpan)
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder of ours
	if err := compile(ctx, dir); err != nil {
		return err
	}
	if _, err := io.WriteString(out, tableHead); err != nil {
		return err
	}
	for l := range strings.SplitSeq(*loads, ",") {
		var load load
		if _, err := fmt.Sscanf(l, "%dx%d@%d", &load.viewers, &load.size, &load.fps); err != nil {
			return fmt.Errorf("load %q: write it as 32x56000@30", l)
		}
		load.warm, load.span, load.stalled, load.rivals = *warm, *span, *stalled, rivals
		if err := compare(ctx, out, dir, load, *rounds); err != nil {
			return err
		}
	}
	return nil
}

// compile makes all programs.
func compile(ctx context.Context, dir string) error {
	for _, args := range [][]string{
		{"gcc", "-O2", "-Wall", "-o", filepath.Join(dir, "writev"), "packaging/bench/c/floor.c"},
		{"gcc", "-O2", "-Wall", "-DSHARED", "-o", filepath.Join(dir, "sendfile"), "packaging/bench/c/floor.c"},
		{"gcc", "-O2", "-Wall", "-DBOUNDARY=" + mjpgBoundary, "-o", filepath.Join(dir, "feeder"), "packaging/bench/c/floor.c"},
		{"gcc", "-O2", "-Wall", "-o", filepath.Join(dir, "load"), "packaging/bench/c/load.c"},
		{"gcc", "-O2", "-Wall", "-fPIC", "-shared", "-o", filepath.Join(dir, "camera.so"), "packaging/bench/c/camera.c", "-ldl", "-lpthread"},
		{"go", "build", "-o", filepath.Join(dir, "webgear"), "./packaging/bench"},
	} {
		if b, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // constant commands
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, b)
		}
	}
	return nil
}

// load is what is asked of a server.
type load struct {
	viewers, size, fps int
	stalled            int // viewers more who read nothing; 0 compares with the C programs
	rivals             rivals
	warm, span         float64
}

// errDisturbed says that a run is worth nothing, maybe because the computer was busy.
var errDisturbed = errors.New("less than half was delivered")

// result is one run.
type result struct {
	cpu      float64 // microseconds per delivered picture
	rss      float64 // MB
	p50, p99 float64 // ms
	first50  float64 // ms
	firstMax float64 // ms
	lost     float64
}

// compare runs all servers in turns and prints their medians.
func compare(ctx context.Context, out io.Writer, dir string, l load, rounds int) error {
	servers := []string{nameFloor, "sendfile", nameOurs}
	if l.stalled > 0 {
		servers = []string{nameOurs, nameStalled}
	} else if len(l.rivals.names()) > 0 {
		servers = l.rivals.servers()
	}
	results := map[string][]result{}
	for range rounds {
		for _, s := range servers {
			r, err := measure(ctx, dir, s, l)
			for again := 0; errors.Is(err, errDisturbed) && again < 2; again++ {
				r, err = measure(ctx, dir, s, l)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			results[s] = append(results[s], r)
		}
	}
	floor := middle(results[servers[0]])
	names := map[string]string{
		nameFloor: "C, epoll and writev", "sendfile": "C, epoll and sendfile", nameOurs: "webgear",
		nameStalled: fmt.Sprintf("webgear, %d stalled viewers more", l.stalled),
		nameRelay:   "webgear, passing on", nameMJPG: "mjpg-streamer, passing on", nameGo2rtc: "go2rtc, passing on",
		nameUstreamer: "ustreamer",
	}
	for _, s := range servers {
		m := middle(results[s])
		if _, err := fmt.Fprintf(out, "| %d × %d KB | %s | %.1f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f | %.1f | %.0f |\n",
			l.viewers, l.size/1000, names[s], m.cpu, m.cpu/floor.cpu, m.p50, m.p99, m.p99/floor.p99, m.first50, m.firstMax, m.rss, m.lost); err != nil {
			return err
		}
	}
	return nil
}

// middle is the median of each figure by itself.
func middle(rs []result) result {
	by := func(get func(result) float64) float64 {
		var all []float64
		for _, r := range rs {
			all = append(all, get(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return result{
		cpu: by(func(r result) float64 { return r.cpu }), rss: by(func(r result) float64 { return r.rss }),
		p50: by(func(r result) float64 { return r.p50 }), p99: by(func(r result) float64 { return r.p99 }),
		first50: by(func(r result) float64 { return r.first50 }), firstMax: by(func(r result) float64 { return r.firstMax }),
		lost: by(func(r result) float64 { return r.lost }),
	}
}

// measure runs one server with one load.
func measure(ctx context.Context, dir, name string, l load) (res result, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration((l.warm+l.span+15)*float64(time.Second)))
	defer cancel()
	port, err := freePort(ctx)
	if err != nil {
		return res, err
	}
	args := []string{port, strconv.Itoa(l.size), strconv.Itoa(l.fps)}
	stalled := 0
	if name == nameStalled {
		name, stalled = nameOurs, l.stalled
	}
	if name == nameOurs {
		args = append([]string{"serve"}, args...)
	}
	srv := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
	path, ready := "/video", listening
	if relays(name) || name == nameUstreamer {
		source := ""
		if relays(name) {
			feeder, err := startFeeder(ctx, dir, l)
			if err != nil {
				return res, err
			}
			defer feeder.stop()
			source = feeder.port
		}
		ready = func(ctx context.Context, port string) error { return answering(ctx, "http://127.0.0.1:"+port+path) }
		if srv, path, err = l.rivals.command(ctx, dir, name, port, source, l); err != nil {
			return res, err
		}
	}
	srv.Stderr = os.Stderr
	if l.rivals.talks(name) {
		srv.Stderr = nil
	}
	if err := srv.Start(); err != nil {
		return res, err
	}
	defer func() {
		_ = srv.Process.Kill() // it has nothing to lose
		_ = srv.Wait()         // it was killed
	}()
	if err := ready(ctx, port); err != nil {
		return res, err
	}
	gen := exec.CommandContext(ctx, filepath.Join(dir, "load"), port, strconv.Itoa(l.viewers), fmt.Sprint(l.warm), fmt.Sprint(l.span), strconv.Itoa(stalled), path)
	gen.Stderr = os.Stderr
	lines, err := gen.StdoutPipe()
	if err != nil {
		return res, err
	}
	if err := gen.Start(); err != nil {
		return res, err
	}
	var before, after, frames, ended float64
	for sc := bufio.NewScanner(lines); sc.Scan(); {
		switch line := sc.Text(); line {
		case "begin":
			before, err = cpuTime(srv.Process.Pid)
		case "end":
			if after, err = cpuTime(srv.Process.Pid); err == nil {
				res.rss, err = resident(srv.Process.Pid)
			}
		default:
			_, err = fmt.Sscanf(line, "frames %f lost %f p50 %f p99 %f first50 %f firstmax %f ended %f",
				&frames, &res.lost, &res.p50, &res.p99, &res.first50, &res.firstMax, &ended)
		}
		if err != nil {
			return res, err
		}
	}
	if err := gen.Wait(); err != nil {
		return res, fmt.Errorf("load: %w", err)
	}
	if want := float64(l.viewers*l.fps) * l.span; frames < want/2 || ended > 0 {
		return res, fmt.Errorf("%w: %.0f of %.0f pictures arrived, %.0f viewers were cut", errDisturbed, frames, want, ended)
	}
	res.cpu = (after - before) / frames
	for _, ms := range []*float64{&res.p50, &res.p99, &res.first50, &res.firstMax} {
		*ms /= 1000
	}
	return res, nil
}

// freePort returns a port that nobody uses at the moment.
func freePort(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, errors.Join(err, ln.Close())
}

// listening waits until the port answers.
func listening(ctx context.Context, port string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", "127.0.0.1:"+port)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return cmp.Or(context.Cause(ctx), err)
		}
	}
}

// cpuTime is how long all threads of a process ran, in microseconds.
func cpuTime(pid int) (float64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		var ns float64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		sum += ns / 1000
	}
	return sum, nil
}

// resident is the memory of a process in MB.
func resident(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	var kb float64
	_, err = fmt.Sscan(after, &kb)
	return kb / 1024, err
}

// serve is our server, fed with one picture again and again, as the C programs are.
func serve(ctx context.Context, port, size, fps string) error {
	bytes, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	rate, err := strconv.ParseFloat(fps, 64)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	hub := fanout.New()
	// Those who are stalled stay to the end, however long it takes.
	srv, err := server.New(server.Options{Hub: hub, Limits: server.Limits{ViewerTimeout: time.Hour}})
	if err != nil {
		return err
	}
	ticks, err := newClock(time.Duration(float64(time.Second) / rate))
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		done <- srv.Run(ctx, ln)
		ticks.stop()
	}()
	sample := []byte("\xff\xd8" + strings.Repeat("x", bytes-4) + "\xff\xd9")
	for {
		now := time.Now()
		// A copy, as a camera makes one: memory is part of the price.
		hub.Publish(&device.Frame{Data: slices.Clone(sample), CapturedAt: now, PublishedAt: now})
		if err := ticks.wait(); err != nil {
			return errors.Join(<-done, context.Cause(ctx))
		}
	}
}
