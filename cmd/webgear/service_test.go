package main

import (
	"testing"
	"time"

	"github.com/webgear-pi/webgear/pkg/config"
)

func TestWatchdogIsFedWhileAliveAndTriggeredOnce(t *testing.T) {
	const period = 20 * time.Second
	for name, tt := range map[string]struct {
		period     time.Duration
		alive      func(at time.Duration) bool
		fed, helps int // in a minute
		longest    time.Duration
	}{
		"alive": {period, func(time.Duration) bool { return true }, 12, 0, period / 3},
		"hangs": {period, func(at time.Duration) bool { return at < 30*time.Second }, 6, 1, period / 3},
		"hangs twice": {
			period, func(at time.Duration) bool { return at < 10*time.Second || at > 20*time.Second && at < 30*time.Second },
			4, 2, period,
		},
		"nobody wants to know": {0, func(at time.Duration) bool { return at < 30*time.Second }, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := watchdog{period: tt.period}
			began := time.Now()
			fed, helps := 0, 0
			var latest, longest time.Duration
			for at := time.Duration(0); at < time.Minute; at += lookEvery {
				switch d.look(began.Add(at), tt.alive(at)) {
				case signNone:
				case signAlive:
					fed++
					longest = max(longest, at-latest)
					latest = at
				case signHelp:
					helps++
				}
			}
			if fed != tt.fed || helps != tt.helps {
				t.Errorf("fed %d times and triggered %d times, want %d and %d", fed, helps, tt.fed, tt.helps)
			}
			if longest > tt.longest {
				t.Errorf("fed after %v, of %v", longest, tt.period)
			}
		})
	}
}

func TestPatienceFollowsTheSettings(t *testing.T) {
	var now time.Duration
	began := time.Now()
	p := patience{slack: 5 * time.Second}
	settings, known := 5*time.Second, true
	check := func(when string, want time.Duration) {
		t.Helper()
		if got := p.at(began.Add(now), func() (time.Duration, bool) { return settings, known }); got != want {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	check("at the beginning", 5*time.Second)
	settings = time.Minute
	known = false
	check("during a reload", 5*time.Second)
	known = true
	check("after it", time.Minute)
	settings = 0
	check("less", time.Minute)
	now += time.Minute + openingTime
	check("while the camera may still be opened with the old settings", time.Minute)
	settings = 30 * time.Second
	now += time.Second
	check("after that", 30*time.Second)
	settings = 0
	check("less again", 30*time.Second)
	now += time.Hour
	settings = 40 * time.Second
	check("and more before that counted", 40*time.Second)
	settings = 0
	check("less, from now on", 40*time.Second)
}

func TestPatienceIsThatOfTheSettingsInForce(t *testing.T) {
	r := &reloader{}
	r.running.Camera.TimeDelay = 2.5
	r.running.Options = map[string]any{"THREAD_TIMEOUT": uint64(3)}
	if d, known := r.slack(); d != 5500*time.Millisecond || !known {
		t.Errorf("got %v, %v; want 5.5 s", d, known)
	}
	r.running = config.Config{}
	if d, known := r.slack(); d != 0 || !known {
		t.Errorf("got %v, %v; want nothing after a reload", d, known)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.slack(); known {
		t.Error("did not leave a reload alone")
	}
}
