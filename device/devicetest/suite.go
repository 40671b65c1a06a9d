package devicetest

import (
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// Options tunes [TestCameraWith]. Only Open is needed.
type Options struct {
	// Open gives a new camera that was not started. It is called several times,
	// each time after the camera before was closed. It ends the test itself when
	// it cannot open one.
	Open func(t *testing.T) device.Camera
	// Frames is how many pictures in a row are looked at. 0 means 10.
	Frames int
	// Timeout bounds every single call; the first picture of an emulated camera
	// may take seconds. 0 means 20 s.
	Timeout time.Duration
	// Finite says that the camera is a recording that ends: the suite then
	// wants ErrEnded, and plays it again where it needs more pictures.
	Finite bool
	// Stall makes a started camera deliver nothing, where the test can do that.
	// It lets the suite prove that a blocked Next can be woken without waiting
	// for the right moment between two pictures.
	Stall func(t *testing.T, cam device.Camera)
}

// TestCamera checks every rule in the documentation of [device.Camera] against
// cameras that open gives. Do not run it in parallel with other tests: it
// counts goroutines and file descriptors.
func TestCamera(t *testing.T, open func(t *testing.T) device.Camera) {
	t.Helper()
	TestCameraWith(t, Options{Open: open})
}

// TestCameraWith is [TestCamera] with options.
func TestCameraWith(t *testing.T, opt Options) {
	t.Helper()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			s := newSuite(opt)
			s.open = func(tb) device.Camera {
				cam := opt.Open(t)
				if cam == nil {
					t.Fatal("open gave no camera")
				}
				return cam
			}
			if opt.Stall != nil {
				s.stall = func(cam device.Camera) { opt.Stall(t, cam) }
			}
			r.check(t, s)
		})
	}
}

// tb is the part of testing.TB that the rules use, so that tests of the suite
// can see it fail. Fatalf ends the calling goroutine.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// rule is one rule of the contract.
type rule struct {
	name  string
	check func(t tb, s *suite)
}

func rules() []rule {
	return []rule{
		{"InfoNeverChanges", infoNeverChanges},
		{"ModesAreSaneBeforeStartAndAfterStop", modesAreSane},
		{"StartGrantsUsableFormat", startGrantsUsableFormat},
		{"NextLendsRisingPictures", nextLendsRisingPictures},
		{"NextSkipsToTheNewestPicture", nextSkipsToTheNewestPicture},
		{"NextReturnsErrorOfUse", nextReturnsErrorOfUse},
		{"NextBeforeStartAndAfterStopFails", nextWithoutStartFails},
		{"NextReturnsCauseOfEndedContext", nextReturnsCauseOfEndedContext},
		{"ContextWakesBlockedNext", contextWakesBlockedNext},
		{"CloseWakesBlockedNext", closeWakesBlockedNext},
		{"CloseLeavesLentPictureAlone", closeLeavesLentPictureAlone},
		{"HeldPicturesStayUntilReleased", heldPicturesStay},
		{"StopAndCloseWaitForHeldPictures", stopAndCloseWaitForHolds},
		{"CloseMayBeRepeated", closeMayBeRepeated},
		{"CallsAfterCloseReturnErrClosed", callsAfterCloseReturnErrClosed},
		{"StopThenStartWorks", stopThenStartWorks},
		{"RecordingEnds", recordingEnds},
		{"CloseLeavesNothingBehind", closeLeavesNothingBehind},
	}
}

// suite is what a rule works with.
type suite struct {
	open    func(t tb) device.Camera
	stall   func(cam device.Camera) // nil when the camera cannot be silenced
	frames  int
	timeout time.Duration
	finite  bool
}

func newSuite(opt Options) *suite {
	s := &suite{frames: opt.Frames, timeout: opt.Timeout, finite: opt.Finite}
	if s.frames == 0 {
		s.frames = 10
	}
	if s.timeout == 0 {
		s.timeout = 20 * time.Second
	}
	return s
}
