package devicetest

import "sync"

// lendHold gives the loan a Hold, where the options ask for it. giveBack is what
// happens when it is released; kept says whether that is up to who holds it.
func (f *Fake) lendHold(l *loan, giveBack func()) (kept func() bool) {
	if f.opt.Holds <= 0 {
		return func() bool { return false }
	}
	held, over := false, false // guarded by mu
	l.buf.Hold = func() (release func(), ok bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if held || over || f.held >= f.opt.Holds {
			return nil, false
		}
		held = true
		f.held++
		return sync.OnceFunc(func() {
			giveBack()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.held--
			f.changeLocked()
		}), true
	}
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		over = true
		return held
	}
}

// awaitHolds waits until no picture is held.
func (f *Fake) awaitHolds() {
	for {
		f.mu.Lock()
		held, changed := f.held, f.changed
		f.mu.Unlock()
		if held == 0 {
			return
		}
		<-changed
	}
}

// Held is how many pictures are held now.
func (f *Fake) Held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}
