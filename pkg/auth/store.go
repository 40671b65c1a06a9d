package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// lookInterval is how often the access file is looked at, at most. Chosen: a
// revoked viewer has to be gone within a second.
const lookInterval = 500 * time.Millisecond

// System is what the store needs of the operating system that package os lacks.
type System struct {
	// Lock waits for the exclusive right to change the file's folder, as flock(2)
	// gives it for f; closing f gives it back. Nil: no other program changes the
	// access file.
	Lock func(ctx context.Context, f *os.File) error
	// Own gives a new file to whom the folder belongs, for programs that root
	// runs. Nil: it belongs to this user.
	Own func(f *os.File, folder fs.FileInfo) error
	// SinceBoot is the time since the computer was switched on, sleep included
	// (CLOCK_BOOTTIME). Restarts of the program do not restart it, and nobody can
	// set it. Needed.
	SinceBoot func() time.Duration
	// Now is the time of day; nil means time.Now.
	Now func() time.Time
}

// Store is the access file, with mode 0600: accounts, tokens and keys. It is
// changed by writing a new file beside it, which takes its place when all of it
// is on the disk; a failure on the way changes nothing.
//
// A file that cannot be understood is never overwritten, and lets nobody in
// until it is repaired; one that becomes so, or vanishes, while it is in use
// stays in force as it was.
type Store struct {
	path   string
	sys    System
	log    *slog.Logger
	preset []*Account
	hook   func(step string) error // of tests; makes a step fail

	hasher   *hasher
	updating chan struct{} // holds the token of who changes the file

	mu       sync.Mutex
	now      *contents     // guarded by mu; presets included; nil as long as it cannot be read
	stored   *contents     // guarded by mu; as in the file; nil as long as it cannot be read
	seen     fs.FileInfo   // guarded by mu; the file as it was read; nil for none
	sum      digest        // guarded by mu; of the file as it was read
	settled  bool          // guarded by mu; a change of the file would show in its description
	looked   time.Duration // guarded by mu; since boot
	broken   error         // guarded by mu; why the file cannot be read
	reported string        // guarded by mu; the trouble that was logged
	changed  chan struct{} // guarded by mu; closed when now changes
}

// StoreOptions say where the store is.
type StoreOptions struct {
	// Path is the access file, such as /var/lib/webgear/access.json. Empty keeps
	// everything in memory.
	Path string
	// Preset are accounts from the settings. They cannot be changed here, and
	// hide those of the same name in the file.
	Preset []Account
	System System
	// Logger receives events; nil discards them.
	Logger *slog.Logger
}

// OpenStore reads the access file. A file that cannot be read is not an error:
// [Store.Err] tells, and nobody is let in until it can. Options that make no
// sense are.
func OpenStore(o StoreOptions) (*Store, error) {
	if o.System.SinceBoot == nil {
		return nil, errors.New("access store: the clock since boot is missing")
	}
	if o.System.Now == nil {
		o.System.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{path: o.Path, sys: o.System, log: o.Logger, hasher: newHasher(), updating: make(chan struct{}, 1), changed: make(chan struct{})}
	for _, a := range o.Preset {
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("preset account %.32q: %w", a.Name, err)
		}
		if slices.ContainsFunc(s.preset, func(b *Account) bool { return b.Name == a.Name }) {
			return nil, fmt.Errorf("preset account %q: is there twice", a.Name)
		}
		a.preset = true
		s.preset = append(s.preset, &a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked()
	return s, nil
}

// Err says why nobody can be let in, or nil.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	return s.brokenLocked()
}

func (s *Store) brokenLocked() error {
	if s.now == nil {
		return s.broken
	}
	return nil
}

// Claimed reports whether there is an account that may change things. It is
// also true when that cannot be known.
func (s *Store) Claimed() bool {
	c, err := s.current()
	return err != nil || c.claimed()
}

// current gives what is in force. It must not be changed.
func (s *Store) current() (*contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	return s.now, s.brokenLocked()
}

// watch gives what is in force, and a channel that is closed when that changes.
func (s *Store) watch() (*contents, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	return s.now, s.changed
}

// refreshLocked looks at the file if that was not just done.
func (s *Store) refreshLocked() {
	if s.path != "" && s.sys.SinceBoot()-s.looked >= lookInterval {
		s.lookLocked()
	}
}

// lookLocked reads the file if it changed.
func (s *Store) lookLocked() {
	s.looked = s.sys.SinceBoot()
	if s.path == "" {
		if s.now == nil {
			s.publishLocked(freshContents(), nil)
		}
		return
	}
	info, err := os.Stat(s.path)
	switch {
	case err == nil && s.seen != nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size():
		if s.broken == nil && s.settled {
			return
		}
	case errors.Is(err, fs.ErrNotExist) && s.seen == nil:
		if s.now == nil || s.broken != nil {
			s.publishLocked(freshContents(), nil)
		}
		return
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("access file %s is gone: what it said is in force until the program restarts", s.path)
	}
	var c *contents
	var sum digest
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("access file %s: is no regular file", s.path) // to open a pipe would wait
	}
	if err == nil {
		c, info, sum, err = s.read()
	}
	if err != nil {
		s.broken = err
		if s.reported != err.Error() {
			s.reported = err.Error()
			s.log.Error("access file cannot be read", "path", s.path, "err", err)
		}
		return
	}
	if s.broken == nil && s.seen != nil && sum == s.sum {
		s.seenLocked(info, sum)
		return
	}
	s.publishLocked(c, info)
	s.seenLocked(info, sum)
}

// settleTime is how long after a change of a file the next one is sure to have
// another time. Chosen: file systems count in steps of 10 ms, or 2 s on FAT, and
// a file that was replaced twice may have the number of the first again.
const settleTime = 3 * time.Second

// seenLocked remembers what the file looked like.
func (s *Store) seenLocked(info fs.FileInfo, sum digest) {
	s.seen, s.sum = info, sum
	// A clock that was set back makes files seem young for long; then they are
	// only read more often.
	s.settled = s.sys.Now().Sub(info.ModTime()) >= settleTime
}

// publishLocked puts new contents into force.
func (s *Store) publishLocked(c *contents, info fs.FileInfo) {
	effective := c
	if len(s.preset) > 0 {
		effective = c.clone()
		effective.Accounts = slices.DeleteFunc(effective.Accounts, func(a *Account) bool {
			return slices.ContainsFunc(s.preset, func(p *Account) bool { return p.Name == a.Name })
		})
		effective.Accounts = append(effective.Accounts, s.preset...)
	}
	if s.reported != "" {
		s.reported = ""
		s.log.Info("access file can be read again", "path", s.path)
	}
	s.now, s.stored, s.seen, s.broken = effective, c, info, nil
	close(s.changed)
	s.changed = make(chan struct{})
}

// read reads the file.
func (s *Store) read() (c *contents, info fs.FileInfo, sum digest, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, nil, sum, fmt.Errorf("access file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err = f.Stat()
	if err != nil {
		return nil, nil, sum, fmt.Errorf("access file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, nil, sum, fmt.Errorf("access file: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, nil, sum, fmt.Errorf("access file %s: has more than %d bytes", s.path, maxFileSize)
	}
	c, err = decode(data)
	if err != nil {
		return nil, nil, sum, fmt.Errorf("access file %s: %w", s.path, err)
	}
	return c, info, sha256.Sum256(data), nil
}

// update changes the file: change gets a copy of what is stored now, whoever
// stored it. When it, or the disk, fails, nothing is changed.
func (s *Store) update(ctx context.Context, change func(*contents) error) error {
	select {
	case s.updating <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.updating }()
	if s.path == "" {
		s.mu.Lock()
		c := s.stored.clone()
		s.mu.Unlock()
		if err := errors.Join(change(c), c.check()); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.publishLocked(c, nil)
		return nil
	}
	d, err := openFolder(ctx, filepath.Dir(s.path), &s.sys, s.hook)
	if err != nil {
		return fmt.Errorf("access file %s: %w", s.path, err)
	}
	defer d.close()

	s.mu.Lock()
	s.lookLocked()
	stored, broken := s.stored, s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	c := stored.clone()
	if err := change(c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("access file %s: %w", s.path, err)
	}
	data, err := c.encode()
	if err != nil {
		return fmt.Errorf("access file %s: %w", s.path, err)
	}
	d.tidy(filepath.Base(s.path))
	info, err := d.replace(filepath.Base(s.path), data)
	if info != nil { // it is in its place, whatever happened then
		s.mu.Lock()
		defer s.mu.Unlock()
		s.publishLocked(c, info)
		s.seenLocked(info, sha256.Sum256(data))
	}
	if err != nil {
		return fmt.Errorf("access file %s: %w", s.path, err)
	}
	return nil
}
