package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// How wrong passwords slow down. From one address a few are free, then every one
// doubles the wait. An account that many addresses guess at is slowed down less,
// so that nobody can lock its owner out, and not at all for addresses that have
// signed in before. All are chosen: 10 guesses a day and address, and under
// 3000 a day and account, against passwords of 8 characters.
const (
	freeOfAddress    = 5
	freeOfAccount    = 20
	firstWait        = time.Second
	longestOfAddress = 5 * time.Minute
	longestOfAccount = 30 * time.Second
	// forgetAfter is how long after the last wrong password all is forgotten.
	forgetAfter = time.Hour
	// What is remembered is bounded; the oldest is forgotten.
	maxAddresses = 1024
	maxGuessed   = 256
	maxKnown     = 256
)

// tries are wrong passwords, and those that are being checked.
type tries struct {
	count int
	last  time.Duration // since boot
}

// slowdown counts wrong passwords.
type slowdown struct {
	sinceBoot func() time.Duration

	mu        sync.Mutex
	ofAddress *recent[netip.Prefix, tries]    // guarded by mu
	ofAccount *recent[digest, tries]          // guarded by mu
	known     *recent[knownAddress, struct{}] // guarded by mu; who has signed in
}

// knownAddress has signed in to an account.
type knownAddress struct {
	address netip.Prefix
	account digest
}

// digest is a name of any length and content in little memory.
type digest [sha256.Size]byte

func newSlowdown(sinceBoot func() time.Duration) *slowdown {
	return &slowdown{
		sinceBoot: sinceBoot,
		ofAddress: newRecent[netip.Prefix, tries](maxAddresses),
		ofAccount: newRecent[digest, tries](maxGuessed),
		known:     newRecent[knownAddress, struct{}](maxKnown),
	}
}

// neighbourhood is what one person can take addresses from: an IPv4 address, or
// an IPv6 network of 64 bits.
func neighbourhood(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// begin asks whether a password may be checked now, and counts it as wrong until
// forgive says otherwise: who tries many at once gains nothing by it. A wait that
// is not 0 is how long it takes until it may.
func (s *slowdown) begin(from netip.Addr, account string) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.sinceBoot()
	near, name := neighbourhood(from), digest(sha256.Sum256([]byte(account)))
	byAddress, _ := s.ofAddress.get(near)
	byAccount, _ := s.ofAccount.get(name)
	wait = byAddress.wait(now, freeOfAddress, longestOfAddress)
	if _, known := s.known.get(knownAddress{near, name}); !known {
		wait = max(wait, byAccount.wait(now, freeOfAccount, longestOfAccount))
	}
	if wait > 0 {
		return wait
	}
	s.ofAddress.put(near, byAddress.more(now))
	s.ofAccount.put(name, byAccount.more(now))
	return 0
}

// forgive takes back what begin counted; right says that the password was right
// and not only unchecked.
func (s *slowdown) forgive(from netip.Addr, account string, right bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	near, name := neighbourhood(from), digest(sha256.Sum256([]byte(account)))
	if t, ok := s.ofAccount.get(name); ok && t.count > 0 {
		t.count--
		s.ofAccount.put(name, t)
	}
	if right {
		s.ofAddress.drop(near)
		s.known.put(knownAddress{near, name}, struct{}{})
	} else if t, ok := s.ofAddress.get(near); ok && t.count > 0 {
		t.count--
		s.ofAddress.put(near, t)
	}
}

// more counts one.
func (t tries) more(now time.Duration) tries {
	if now-t.last >= forgetAfter {
		t.count = 0
	}
	return tries{t.count + 1, now}
}

// wait is how long it takes until the next one may be tried.
func (t tries) wait(now time.Duration, free int, longest time.Duration) time.Duration {
	over := t.count - free
	if over < 0 || now-t.last >= forgetAfter {
		return 0
	}
	w := longest
	if over < 20 { // else the shift would overflow
		w = min(longest, firstWait<<over)
	}
	return max(0, t.last+w-now)
}

// Answers about passwords that were checked are remembered, so that programs
// that send them with every request cost one check, and those that keep sending
// a wrong one are no guessers.
const (
	rightFor    = 10 * time.Minute
	wrongFor    = time.Minute
	maxVerdicts = 256
)

// verdict is what came out of a check.
type verdict struct {
	right bool
	mark  mark // of the account; zero for none
	until time.Duration
}

// verdicts remembers them by a keyed digest of name and password.
type verdicts struct {
	key secret

	mu   sync.Mutex
	of   *recent[digest, verdict] // guarded by mu
	busy map[digest]chan struct{} // guarded by mu; being checked, closed then
}

func newVerdicts() *verdicts {
	return &verdicts{key: newKey(), of: newRecent[digest, verdict](maxVerdicts), busy: map[digest]chan struct{}{}}
}

// digestOf is under a key that nobody knows, and that ends with the program.
func (v *verdicts) digestOf(name, password string) (d digest) {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(name))
	mac.Write([]byte{0}) // names have none
	mac.Write([]byte(password))
	mac.Sum(d[:0])
	return d
}

// look finds a verdict on the account as it is now. Without one it says whose
// turn it is to check: the caller's, who has to call done, or, when wait is not
// nil, somebody else's, until it is closed.
func (v *verdicts) look(d digest, now time.Duration, m mark) (right, known bool, wait <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if found, ok := v.of.get(d); ok {
		if found.mark == m && now < found.until {
			return found.right, true, nil
		}
		v.of.drop(d)
	}
	if c := v.busy[d]; c != nil {
		return false, false, c
	}
	v.busy[d] = make(chan struct{})
	return false, false, nil
}

// done ends the caller's turn; found is nil when nothing came out.
func (v *verdicts) done(d digest, found *verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if found != nil {
		v.of.put(d, *found)
	}
	close(v.busy[d])
	delete(v.busy, d)
}
