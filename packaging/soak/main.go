// Command soak lets many kinds of clients and faults loose on the program at once,
// at random, and looks whether anything grows that should not:
//
//	go run ./packaging/soak -time 2m -seed 7
//
// The program is built from the tree and runs as the system service does. Its
// sources are the test picture and a camera on the loopback interface that fails
// at random. Viewers come, read, stall and go; others ask for single pictures and
// pages, sign in, make tokens, send half requests; the settings are reloaded,
// rightly and wrongly. After the first minute and at the end everybody rests, and
// memory, descriptors, threads and goroutines are compared.
//
// Everything random comes from the seed, so a run can be repeated as far as
// timing allows. It is one process with a goroutine for each client; run waits for
// all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// Times of a run.
const (
	// first is when the figures are taken that all later ones are compared with:
	// by then everything that is kept was needed once.
	first = time.Minute
	// rest is how long everybody is quiet for figures. Chosen: the HTTP library
	// keeps idle goroutines for 10 s, and looks for them every 10 s; memory goes
	// back 5 to 10 s after the last viewer was found to be gone.
	rest = 30 * time.Second
)

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	span := flags.Duration("time", 2*time.Minute, "how long, beside the rests")
	seed := flags.Uint64("seed", 0, "what happens; 0 takes one at random")
	workers := flags.Int("workers", 12, "how many clients at once")
	every := flags.Duration("every", first, "how long between figures, after the first minute")
	binary := flags.String("binary", "", "program to try; empty builds it from the tree")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *span < 2*first {
		return fmt.Errorf("-time %v: the first minute is compared with the end, take %v or more", *span, 2*first)
	}
	if *every < first {
		return fmt.Errorf("-every %v: take %v or more", *every, first)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder of ours
	if *binary == "" {
		*binary = filepath.Join(dir, "webgear")
		if text, err := exec.CommandContext(ctx, "go", "build", "-o", *binary, "./cmd/webgear").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, text)
		}
	}
	r := &report{out: out}
	r.say("seed %d, %v, %d clients\n", *seed, *span, *workers)
	cam, err := newCamera(*seed)
	if err != nil {
		return err
	}
	defer cam.end()
	d, err := startDaemon(ctx, *binary, dir, cam.url)
	if err != nil {
		return err
	}
	w := &world{d: d, cam: cam, seed: *seed, tally: map[string]int{}}
	if err := w.enter(ctx); err != nil {
		return errors.Join(err, d.end())
	}
	err = soak(ctx, w, r, *span, *every, *workers)
	r.tally(w)
	return errors.Join(err, w.wrong(), d.end())
}

// soak lets the clients loose for span and takes figures after the first minute, and
// then after every part of it.
func soak(ctx context.Context, w *world, r *report, span, every time.Duration, workers int) error {
	if err := warm(ctx, w, workers); err != nil {
		return err
	}
	r.head()
	var base figures
	for done := time.Duration(0); done < span; {
		part := min(every, span-done)
		if done == 0 {
			part = first
		}
		if err := round(ctx, w, part, workers); err != nil {
			return err
		}
		done += part
		f, err := w.d.settle(ctx, rest)
		if err != nil {
			return err
		}
		r.row(done, f)
		if base == (figures{}) {
			base = f
			continue
		}
		if done < span {
			continue
		}
		if err := judge(base, f); err != nil {
			return err
		}
	}
	return nil
}

// warm has all clients do everything once with all settings, so that what is made
// when it is needed first, and kept, is there before anything is measured: pages of
// the program's own code, idle threads and the C library's memory for each.
func warm(ctx context.Context, w *world, workers int) error {
	for _, settings := range w.d.good {
		if err := w.d.configure(settings); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() { newClient(w, i).everything(ctx) })
		}
		wg.Wait()
	}
	return w.d.restore(ctx)
}

// round has all clients at work for a time.
func round(parent context.Context, w *world, span time.Duration, workers int) error {
	ctx, cancel := context.WithTimeout(parent, span)
	defer cancel()
	w.rounds++
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { newClient(w, i).work(ctx) })
	}
	wg.Go(func() { newClient(w, workers).reload(ctx) })
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	select {
	case <-over:
	case <-w.d.done:
		cancel()
		<-over
		return fmt.Errorf("the program ended: %v\n%s", w.d.cmd.ProcessState, w.d.log.last())
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted")
	}
	return w.d.restore(parent)
}

// judge compares the end with the first minute.
func judge(base, end figures) error {
	var grew []string
	check := func(name string, was, is, most int) {
		if is > most {
			grew = append(grew, fmt.Sprintf("%s: %d after the first minute, %d at the end, %d at most", name, was, is, most))
		}
	}
	check("resident kB", base.rss, end.rss, base.rss*105/100+1024)
	check("descriptors", base.files, end.files, base.files+1)
	check("goroutines", base.goroutines, end.goroutines, base.goroutines+2)
	// The Go runtime never ends a thread; each new crowd may need one more.
	check("threads", base.threads, end.threads, base.threads+4)
	if len(grew) > 0 {
		return errors.New("grew: " + strings.Join(grew, "; "))
	}
	return nil
}

// report prints what was found.
type report struct{ out io.Writer }

func (r *report) say(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

func (r *report) head() {
	r.say("| after | resident kB | anonymous kB | proportional kB | descriptors | threads | goroutines |\n|---|---|---|---|---|---|---|\n")
}

func (r *report) row(after time.Duration, f figures) {
	r.say("| %v | %d | %d | %d | %d | %d | %d |\n", after, f.rss, f.anonymous, f.pss, f.files, f.threads, f.goroutines)
}

func (r *report) tally(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.say("\n| what | how often |\n|---|---|\n")
	for _, name := range sorted(w.tally) {
		r.say("| %s | %d |\n", name, w.tally[name])
	}
	for _, name := range sorted(w.cam.count()) {
		r.say("| source: %s | %d |\n", name, w.cam.count()[name])
	}
}
