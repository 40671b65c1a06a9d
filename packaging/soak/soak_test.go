package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestJudgeFindsWhatGrew(t *testing.T) {
	base := figures{rss: 30000, pss: 29000, files: 17, threads: 10, goroutines: 20}
	for name, tt := range map[string]struct {
		change func(*figures)
		want   string
	}{
		"nothing":        {func(*figures) {}, ""},
		"less":           {func(f *figures) { *f = figures{rss: 1} }, ""},
		"a little":       {func(f *figures) { f.rss = 30000*105/100 + 1024; f.files++; f.goroutines += 2 }, ""},
		"memory":         {func(f *figures) { f.rss = 30000*105/100 + 1025 }, "resident kB"},
		"descriptors":    {func(f *figures) { f.files += 2 }, "descriptors: 17 after the first minute, 19 at the end, 18 at most"},
		"goroutines":     {func(f *figures) { f.goroutines += 3 }, "goroutines"},
		"threads":        {func(f *figures) { f.threads += 5 }, "threads"},
		"shared is none": {func(f *figures) { f.pss *= 2 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			end := base
			tt.change(&end)
			err := judge(base, end)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAlarmsAreTheProgramsOwnFaults(t *testing.T) {
	b := newLogBuffer()
	for _, piece := range []string{
		"time=x level=INFO msg=serving\ntime=x level=ERR", "OR msg=\"request failed\" stack=...\n", "time=x level=ERROR msg=\"settings not reloaded, the old ones stay\" err=y\n",
		"level=WARN msg=\"camera offline\"\npanic: runtime error\n", "goroutine 7 [running]:\n", "unfinished level=ERROR",
	} {
		if n, err := b.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := strings.Join(b.alarms, "|"); got != `time=x level=ERROR msg="request failed" stack=...|panic: runtime error|goroutine 7 [running]:` {
		t.Errorf("got %s", got)
	}
	if _, err := b.Write(bytes.Repeat([]byte("x\n"), maxLog)); err != nil || len(b.String()) > 4*maxLog {
		t.Errorf("%d bytes are kept, %v", len(b.String()), err)
	}
}

func TestRunsThatAreTooShortAreRefused(t *testing.T) {
	err := run(t.Context(), []string{"-time", "90s"}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "take 2m0s or more") {
		t.Errorf("got %v", err)
	}
}

func TestSameSeedSameChoices(t *testing.T) {
	choices := func(seed uint64) (all []string) {
		c := newClient(&world{seed: seed, d: &daemon{addr: "127.0.0.1:1"}}, 3)
		for range 50 {
			all = append(all, c.stream())
		}
		return all
	}
	if a, b := strings.Join(choices(7), " "), strings.Join(choices(7), " "); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if a, b := strings.Join(choices(7), " "), strings.Join(choices(8), " "); a == b {
		t.Error("another seed does the same")
	}
}
