package auth

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// liveRig runs a guard on the bubble's clock.
func liveRig(t *testing.T) (*rig, func()) {
	t.Helper()
	r := claimedRig(t, Options{})
	begun := time.Now()
	r.store.sys.SinceBoot = func() time.Duration { return time.Since(begun) + time.Hour }
	r.store.sys.Now = time.Now
	r.slow.sinceBoot = r.store.sys.SinceBoot
	r.store.mu.Lock()
	r.store.looked = r.store.sys.SinceBoot()
	r.store.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return r, func() { cancel(); <-done }
}

func TestWhatRunsEndsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stop := liveRig(t)
		defer stop()
		other := func() *Store { // another program
			s, err := OpenStore(StoreOptions{Path: r.path, System: r.store.sys})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		info, token, err := r.store.CreateToken(t.Context(), "wall", Viewer)
		if err != nil {
			t.Fatal(err)
		}
		link, _, err := r.store.SignLink("/video", 10*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		eve, admin := r.signIn(t, "eve", viewerPassword), r.signIn(t, "admin", adminPassword)
		byLink := func(q *Request) { q.Query = link }
		for _, tt := range []struct {
			name string
			who  func(*Request)
			end  func() error
		}{
			{"link that ends", byLink, func() error { time.Sleep(10*time.Minute - 2*time.Second); return nil }},
			{"token revoked", bearer(token), func() error { return r.store.RevokeToken(t.Context(), info.ID) }},
			{"sessions ended by another program", with(eve), func() error { return other().EndSessions(t.Context(), "eve") }},
			{"password changed by another program", basic("eve", viewerPassword), func() error { return other().SetHash(t.Context(), "eve", Nobody, cheap("new")) }},
			{"account removed", basic("eve", "new"), func() error { return r.store.RemoveAccount(t.Context(), "eve") }},
			{"session that gets old", with(admin), func() error { time.Sleep(10*time.Minute - 2*time.Second); return nil }},
		} {
			d := r.check(t, get(tt.who))
			if !d.Allowed() {
				t.Fatalf("%s: %+v", tt.name, d)
			}
			if d.Principal.Kind == KindSession {
				d.Principal.until = time.Now().Add(10 * time.Minute) // 30 days have too many ticks
			}
			w, told := r.Watch(d.Principal), r.Ended()
			time.Sleep(2 * time.Second)
			if w.Ended() {
				t.Errorf("%s: ended too early", tt.name)
			}
			if err := tt.end(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			select {
			case <-w.Done():
				if took := time.Since(begun); took > time.Second || !w.Ended() {
					t.Errorf("%s: took %s", tt.name, took)
				}
			case <-time.After(time.Minute):
				t.Errorf("%s: goes on", tt.name)
			}
			synctest.Wait()
			select {
			case <-told:
			default:
				t.Errorf("%s: those who watch many were not told", tt.name)
			}
			w.Release()
			if late := r.Watch(d.Principal); !late.Ended() {
				t.Errorf("%s: can begin afterwards", tt.name)
			}
		}
		if n := len(r.watches); n != 0 {
			t.Errorf("%d watches are left", n)
		}
	})
}

func TestOpenNeverEnds(t *testing.T) {
	r := claimedRig(t, Options{})
	w := r.Watch(r.check(t, get(local)).Principal)
	if err := r.store.SetHash(t.Context(), "admin", Admin, cheap("new")); err != nil {
		t.Fatal(err)
	}
	r.sweep()
	if w.Ended() {
		t.Error("ended")
	}
	w.Release()
	w.Release()
	if nobody := r.Watch(Principal{}); !nobody.Ended() {
		t.Error("nobody may watch")
	}
}

func TestUseOfTokensIsStoredByTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stop := liveRig(t)
		defer stop()
		_, token, err := r.store.CreateToken(t.Context(), "wall", Viewer)
		if err != nil {
			t.Fatal(err)
		}
		writes := 0
		r.store.hook = func(step string) error {
			if step == stepRename {
				writes++
			}
			return nil
		}
		for range 49 { // two days
			wants(t, "token", r.check(t, get(bearer(token))), 0, "")
			synctest.Wait()
			time.Sleep(time.Hour)
		}
		if writes != 3 || !strings.Contains(r.file(t), `"used_at"`) {
			t.Errorf("%d writes", writes)
		}
	})
}
