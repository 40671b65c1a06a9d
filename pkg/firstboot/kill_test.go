package firstboot

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

var errKilled = errors.New("killed")

// killer lets n steps happen, and then none any more: as after a power cut,
// what the program does to tidy up does not happen either.
type killer struct {
	left, seen int
	dead       bool
}

func (k *killer) step(step, _ string) error {
	k.seen++
	if k.dead || k.left == 0 {
		k.dead = true
		return errKilled
	}
	k.left--
	if step == stepSync || step == stepSyncDir {
		return errNoSync
	}
	return nil
}

// runUntil runs with a power cut behind n steps; with n < 0 to the end.
func (r *rig) runUntil(n int) *killer {
	r.t.Helper()
	k := &killer{left: n}
	o := r.options()
	o.hook = k.step
	o.Hash = func(s string) (string, error) {
		if err := k.step("hash", ""); err != nil {
			return "", err
		}
		return hashOf(s)
	}
	o.Activate = func(context.Context, Change) error { return k.step("activate", "") }
	if _, err := Run(r.t.Context(), o); err != nil && !k.dead {
		r.t.Fatal(err)
	}
	return k
}

// lasting is all that has to be the same in the end. Notes have salts.
func (r *rig) lasting() map[string]string {
	all := r.tree("boot", "root", "data")
	delete(all, "data/"+fileReport)
	if !strings.Contains(all["data/"+fileState], `"secret"`) {
		return all
	}
	delete(all, "data/"+fileState)
	return all
}

// scenarios are what a killed run can be at.
func scenarios() map[string]func(r *rig) {
	preseed := func(r *rig) { r.put("boot/"+PreseedFile, wizardFile) }
	return map[string]func(r *rig){
		"first boot": func(r *rig) { r.setup(rightSetup) },
		"wizard":     preseed,
		"both files": func(r *rig) {
			preseed(r)
			r.setup("hostname: attic\nwifi:\n  country: DE\n  ssid: Home\n  password: correct horse\n")
		},
		"changed later": func(r *rig) {
			r.setup(rightSetup)
			r.run()
			r.setup("hostname: attic\nviewer_password: another one\nssh:\n  keys: []\nwifi: {country: DE, ssid: Home 5G}\n")
		},
		"mistake": func(r *rig) { r.setup("hostname: a b\npassword: long enough\n") },
		"mistake corrected": func(r *rig) {
			r.setup("x: 1\n")
			r.run()
			r.setup("hostname: attic\npassword: long enough\n")
		},
	}
}

func TestKilledAtAnyStepIsAppliedCompletelyByTheNextRun(t *testing.T) {
	for name, prepare := range scenarios() {
		t.Run(name, func(t *testing.T) {
			whole := newRig(t)
			prepare(whole)
			before := whole.tree("boot", "root", "data")
			middle := before
			if name == "both files" { // one after the other
				first := newRig(t)
				scenarios()["wizard"](first)
				first.run()
				middle = first.tree("root")
			}
			steps := whole.runUntil(-1).seen
			whole.runUntil(-1)
			after := whole.lasting()
			if _, ok := after["data/"+fileState]; !ok && name != "mistake" {
				t.Fatalf("secrets are left: %s", whole.get("data/"+fileState))
			}
			check := func(kills ...int) {
				t.Helper()
				r := newRig(t)
				prepare(r)
				for _, n := range kills {
					r.runUntil(n)
					for file, text := range r.tree("boot", "root", "data") {
						// The note has a salt, the report says what went wrong; both are read back below.
						if file == "data/"+fileState || file == "data/"+fileReport || strings.HasSuffix(file, tempSuffix) {
							continue
						}
						if text != before[file] && text != middle[file] && text != after[file] {
							t.Fatalf("killed after %v steps: %s has %q", kills, file, text)
						}
					}
				}
				r.runUntil(-1)
				r.runUntil(-1)
				if d := differ(after, r.lasting()); d != "" {
					t.Fatalf("killed after %v steps: %s", kills, d)
				}
			}
			for n := range steps {
				check(n)
			}
			rng := rand.New(rand.NewPCG(7, uint64(len(name))))
			for range 30 { // several in a row, at any step
				check(rng.IntN(steps), rng.IntN(steps), rng.IntN(steps))
			}
			t.Logf("%d steps", steps)
		})
	}
}
