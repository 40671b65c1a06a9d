//go:build labguest

package e2e

import (
	"slices"
	"testing"
	"time"
)

func TestViewersSurviveUnplugging(t *testing.T) {
	c := plugIn(t)
	d := serve(t, c.node(), "--resolution", "1280x720")
	vs := audience(t, d, 4)
	for _, v := range vs {
		v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
	}

	out := c.tell(t, "unplug")
	for i, v := range vs {
		p := v.await(t, out, limit(500*time.Millisecond), "the placeholder", func(p part) bool { return !p.live() })
		t.Logf("viewer %d: placeholder %q %s after unplug", i, p.placeholder, p.at.Sub(out).Round(time.Millisecond))
		v.await(t, out, limit(500*time.Millisecond), "the placeholder \"unplugged\"", func(p part) bool { return p.placeholder == "unplugged" })
	}
	eventually(t, limit(5*time.Second), "the node is gone", func() bool { return c.node() == "" })

	told, there := c.replug(t)
	for i, v := range vs {
		p := v.await(t, told, there.Sub(told)+limit(time.Second), "a live picture again", part.live)
		if p.err != nil {
			t.Errorf("viewer %d: the first picture after the return: %v", i, p.err)
		}
		t.Logf("viewer %d: live %s after the node was there, %s after plug", i,
			p.at.Sub(there).Round(time.Millisecond), p.at.Sub(told).Round(time.Millisecond))
	}
	stillWatching(t, vs)
}

func TestViewersSurviveBadPictures(t *testing.T) {
	tests := []struct {
		command string
		codes   []string
		within  time.Duration // chosen: a few bad pictures are no reason for a placeholder
	}{
		{"truncate -1", []string{"damaged"}, 5 * time.Second},
		{"garbage -1", []string{"damaged"}, 5 * time.Second},
		{"empty -1", []string{"stalled", "damaged"}, 10 * time.Second},
		{"stall", []string{"stalled"}, 10 * time.Second},
	}
	c := plugIn(t)
	d := serve(t, c.node(), "--resolution", "1280x720")
	vs := audience(t, d, 4)
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			for _, v := range vs {
				v.await(t, time.Now(), limit(10*time.Second), "a live picture", part.live)
			}
			told := c.tell(t, tt.command)
			for i, v := range vs {
				p := v.await(t, told, limit(tt.within), "a placeholder", func(p part) bool { return !p.live() })
				if !slices.Contains(tt.codes, p.placeholder) {
					t.Errorf("viewer %d: placeholder %q, want one of %q", i, p.placeholder, tt.codes)
				}
				t.Logf("viewer %d: placeholder %q after %s", i, p.placeholder, p.at.Sub(told).Round(time.Millisecond))
			}
			// What a viewer sees meanwhile is whole, whatever the camera sends.
			for i, v := range vs {
				for _, p := range v.seen() {
					if p.live() && p.err != nil {
						t.Fatalf("viewer %d was shown a spoilt picture: %v", i, p.err)
					}
				}
			}
			told = c.tell(t, "go")
			for i, v := range vs {
				p := v.await(t, told, limit(time.Second), "a live picture again", part.live)
				t.Logf("viewer %d: live %s after go", i, p.at.Sub(told).Round(time.Millisecond))
			}
		})
	}
	stillWatching(t, vs)
}

func TestUnpluggingLeaksNothing(t *testing.T) {
	cycles := 10
	if full() {
		cycles = 50
	}
	c := plugIn(t)
	d := serve(t, c.id, "--resolution", "640x480") // by its lasting name
	v := watch(t, d, readRaw)
	cycle := func() {
		v.await(t, time.Now(), limit(5*time.Second), "a live picture", part.live)
		told := c.tell(t, "unplug")
		v.await(t, told, limit(2*time.Second), "the placeholder", func(p part) bool { return p.placeholder == "unplugged" })
		eventually(t, limit(5*time.Second), "the node is gone", func() bool { return c.node() == "" })
		c.replug(t)
	}
	cycle() // what is made once is made now
	v.await(t, time.Now(), limit(5*time.Second), "a live picture", part.live)
	before := d.resources(t)
	began := time.Now()
	for range cycles {
		cycle()
	}
	v.await(t, time.Now(), limit(5*time.Second), "a live picture", part.live)
	t.Logf("%d cycles of %s", cycles, (time.Since(began) / time.Duration(cycles)).Round(time.Millisecond))
	// Threads come and go with the runtime's needs and goroutines with the HTTP server's
	// pool: a few are allowed, one per cycle is not.
	var after resources
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	eventually(t, limit(5*time.Second), "the daemon is as small as before", func() bool {
		after = d.resources(t)
		return after.files <= before.files && after.goroutines < before.goroutines+cycles/2 && after.threads < before.threads+cycles/2
	})
	stillWatching(t, []*viewer{v})
}

// stillWatching fails the test if a viewer was disconnected.
func stillWatching(t *testing.T, vs []*viewer) {
	t.Helper()
	for i, v := range vs {
		select {
		case <-v.done:
			t.Errorf("viewer %d was disconnected: %v", i, v.err)
		default:
		}
	}
}
