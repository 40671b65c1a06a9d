package devicetest

import (
	"context"
	"sync"
	"syscall"

	"github.com/webgear-pi/webgear/device"
)

// camerasKept is how many opened cameras wait for a test that listens to
// FakeSource.Cameras. Chosen: more than any test reopens.
const camerasKept = 64

// FakeSource opens cameras as a test says. Open has the shape that a supervisor
// wants; the other methods are the test's side.
type FakeSource struct {
	cameras chan *Fake
	changes chan struct{}

	mu      sync.Mutex
	opt     FakeOptions
	script  []error // results of the next calls of Open, nil for a camera
	down    error
	hold    chan struct{}
	current *Fake
	counts  SourceCounts
}

// SourceCounts says how often a [FakeSource] was used.
type SourceCounts struct {
	// Tries are calls of Open, Opened those that gave a camera, Closed the
	// cameras that were closed again.
	Tries, Opened, Closed int
}

// NewFakeSource makes a source whose cameras have these options.
func NewFakeSource(opt FakeOptions) *FakeSource {
	return &FakeSource{opt: opt, cameras: make(chan *Fake, camerasKept), changes: make(chan struct{}, 1)}
}

// Open gives a new camera, or the error that was scripted.
func (s *FakeSource) Open(ctx context.Context) (device.Camera, error) {
	s.mu.Lock()
	s.counts.Tries++
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-ctx.Done():
		case <-hold:
		}
	}
	if ctx.Err() != nil {
		return nil, &device.OpError{Op: "fake open", Path: s.path(), Err: context.Cause(ctx)}
	}
	cam, err := s.open()
	if err != nil {
		return nil, err
	}
	select {
	case s.cameras <- cam:
	default: // nobody listens
	}
	return cam, nil
}

func (s *FakeSource) open() (*Fake, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) > 0 {
		err := s.script[0]
		s.script = s.script[1:]
		if err != nil {
			return nil, err
		}
	} else if s.down != nil {
		return nil, s.down
	}
	opt := s.opt
	onClose := opt.OnClose
	opt.OnClose = func() {
		s.mu.Lock()
		s.counts.Closed++
		s.mu.Unlock()
		if onClose != nil {
			onClose()
		}
	}
	s.current = NewFake(opt)
	s.counts.Opened++
	return s.current, nil
}

// Script sets the results of the next calls of Open, in order; nil stands for a
// camera. It goes before SetDown.
func (s *FakeSource) Script(results ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, results...)
}

// SetDown makes every Open fail with err until it is set to nil again.
func (s *FakeSource) SetDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// SetOptions changes what the following cameras are.
func (s *FakeSource) SetOptions(opt FakeOptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opt = opt
}

// Unplug takes the current camera away, lets Open fail with ErrNotFound and
// tells of the change.
func (s *FakeSource) Unplug() {
	s.SetDown(NotFound(s.path()))
	if cam := s.Current(); cam != nil {
		cam.Unplug()
	}
	s.Change()
}

// Plug lets Open work again and tells of the change.
func (s *FakeSource) Plug() {
	s.SetDown(nil)
	s.Change()
}

// Hold makes Open wait until release is called or its context ends.
func (s *FakeSource) Hold() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.hold == hold {
			s.hold = nil
		}
		close(hold)
	})
}

// Change tells of a change of the devices; several in a row count as one.
func (s *FakeSource) Change() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// Changes tells when devices came or went, as a watcher of /dev would.
func (s *FakeSource) Changes() <-chan struct{} { return s.changes }

// Cameras gives every camera that was opened, in order.
func (s *FakeSource) Cameras() <-chan *Fake { return s.cameras }

// Current is the camera that was opened last, or nil.
func (s *FakeSource) Current() *Fake {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Counts says how often the source was used.
func (s *FakeSource) Counts() SourceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

func (s *FakeSource) path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return NewFake(s.opt).Info().Path
}

// Busy is what opening a camera gives while another program has it.
func Busy(path string) error {
	return &device.OpError{Op: "open", Path: path, Kind: device.ErrBusy, Err: syscall.EBUSY}
}

// Permission is what opening a camera gives to a user without the right.
func Permission(path string) error {
	return &device.OpError{Op: "open", Path: path, Kind: device.ErrPermission, Err: syscall.EACCES}
}

// NotFound is what opening a camera gives when it is not there.
func NotFound(path string) error {
	return &device.OpError{Op: "open", Path: path, Kind: device.ErrNotFound, Err: syscall.ENOENT}
}
