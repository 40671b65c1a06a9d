// Package status holds the one description of what the program is doing. The
// JSON of /state, the pages, the log and the placeholder pictures all read it,
// so they cannot tell different stories.
//
// It holds values only; who measures them fills them in. Values are copies and
// safe to keep.
package status

import (
	"time"

	"github.com/webgear-pi/webgear/device"
)

// State says whether live pictures flow.
type State string

// States of the camera.
//
//	starting ──► online ◄──► offline
//	    └───────────│──────────▲
//	                ▼          │
//	              asleep ──────┘
//
// A camera that is asleep becomes online again when it was woken.
const (
	// Starting: no picture yet and no failure either.
	Starting State = "starting"
	// Online: the camera delivers live pictures.
	Online State = "online"
	// Offline: viewers see a placeholder that names the cause.
	Offline State = "offline"
	// Asleep: nobody watches, so the camera was closed; or somebody came and it is
	// just being opened again. That is as healthy as Online.
	Asleep State = "asleep"
)

// Snapshot is everything there is to know at one moment; /state serves it.
type Snapshot struct {
	Version       string    `json:"version"`
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Goroutines    int       `json:"goroutines"`
	Camera        Camera    `json:"camera"`
	Stream        Stream    `json:"stream"`
}

// Camera describes the capture side.
type Camera struct {
	// Source is what was asked for: "auto", "/dev/video0", "test".
	Source string `json:"source"`
	State  State  `json:"state"`
	// Since is when State or Cause changed last.
	Since time.Time `json:"since"`
	// Cause is set while offline.
	Cause *Cause `json:"cause,omitempty"`
	// Error is the error behind Cause, for people who know the system.
	Error string `json:"error,omitempty"`
	// Info is the camera in use or used last.
	Info *device.Info `json:"info,omitempty"`
	// Asked and Granted are what was wanted and what the driver gave.
	Asked   device.Format  `json:"asked"`
	Granted *device.Format `json:"granted,omitempty"`
	// Encoder says who makes the JPEG: "camera" when frames are passed through.
	Encoder string `json:"encoder,omitempty"`
	// EncoderHardware is set when the processor does not do that work.
	EncoderHardware bool `json:"encoder_hardware"`
	// EncoderWidth is how many pictures are encoded at once, when more than one.
	EncoderWidth int `json:"encoder_width,omitempty"`
	// EncoderCandidates are all that could encode, in the order of preference.
	EncoderCandidates []EncoderCandidate `json:"encoder_candidates,omitempty"`
	// Controls are those of the camera in use or used last, with their values as
	// they were last seen.
	Controls []device.Control `json:"controls,omitempty"`
	// FPS is the measured rate of live pictures over the last seconds.
	FPS float64 `json:"fps"`
	// OnDemand is set when the camera sleeps while nobody watches.
	OnDemand bool     `json:"on_demand"`
	Wake     Wake     `json:"wake_ms"`
	Counters Counters `json:"counters"`
}

// Wake says how long viewers waited for the first fresh picture of a camera that
// was asleep, in milliseconds.
type Wake struct {
	Last  int64  `json:"last"`
	Max   int64  `json:"max"`
	Count uint64 `json:"count"`
}

// EncoderState says what became of one way to encode.
type EncoderState string

// States of encoders.
const (
	// EncoderNotTried: a better one is in use, or nothing had to be encoded.
	EncoderNotTried EncoderState = "not tried"
	// EncoderInUse: it is proven and makes the pictures.
	EncoderInUse EncoderState = "in use"
	// EncoderRefused: it cannot be used with this format or at this time.
	EncoderRefused EncoderState = "refused"
	// EncoderDemoted: it made wrong pictures or failed at work, and is not trusted
	// again before the program starts anew.
	EncoderDemoted EncoderState = "demoted"
)

// EncoderCandidate is one way to encode.
type EncoderCandidate struct {
	Name     string       `json:"name"`
	Hardware bool         `json:"hardware"`
	State    EncoderState `json:"state"`
	// Reason says why it was refused or demoted.
	Reason string `json:"reason,omitempty"`
}

// Counters count since the start of the program; each picture that did not
// reach the viewers is counted once, by cause.
type Counters struct {
	// Live frames and placeholders published.
	Frames       uint64 `json:"frames"`
	Placeholders uint64 `json:"placeholders"`
	// DroppedByDriver: gaps in the driver's numbering.
	DroppedByDriver uint64 `json:"dropped_by_driver"`
	// DroppedStale: skipped because a newer picture was ready.
	DroppedStale uint64 `json:"dropped_stale"`
	// Invalid pictures: flagged by the driver, empty, cut short, not JPEG, or
	// not encodable.
	InvalidFlagged   uint64 `json:"invalid_flagged"`
	InvalidEmpty     uint64 `json:"invalid_empty"`
	InvalidTruncated uint64 `json:"invalid_truncated"`
	InvalidGarbage   uint64 `json:"invalid_garbage"`
	InvalidEncode    uint64 `json:"invalid_encode"`
	// DroppedSame: the same bytes as the picture before, see the option DropSame.
	DroppedSame uint64 `json:"dropped_same"`
	// Repeated: live frames shown again because no newer one came for a second.
	Repeated uint64 `json:"repeated"`
	// Repaired pictures were shown after hygiene changed their bytes.
	Repaired uint64 `json:"repaired"`
	// Opens, Failures to open, Stalls, Losses (unplugged or failed in use), and how
	// often the camera was put to sleep.
	Opens    uint64 `json:"opens"`
	Failures uint64 `json:"open_failures"`
	Stalls   uint64 `json:"stalls"`
	Losses   uint64 `json:"losses"`
	Sleeps   uint64 `json:"sleeps"`
}

// Stream describes the viewers' side.
type Stream struct {
	Viewers      []Viewer `json:"viewers"`
	ViewersTotal uint64   `json:"viewers_total"`
	Snapshots    uint64   `json:"snapshots_total"`
	// Renditions are the other sizes and qualities that are made now.
	Renditions []Rendition `json:"renditions,omitempty"`
}

// Rendition is the picture in another size or quality, made for those who ask.
type Rendition struct {
	// Quality is 10 to 90, Width in pixels; 0 is as the picture comes.
	Quality int `json:"quality,omitempty"`
	Width   int `json:"width,omitempty"`
	Viewers int `json:"viewers"`
	// Frames were made, Failed ones could not be.
	Frames uint64 `json:"frames"`
	Failed uint64 `json:"failed"`
}

// Viewer is one connection that watches the stream.
type Viewer struct {
	ID      uint64 `json:"id"`
	Address string `json:"address"`
	// Key is what the viewer calls itself, by ?key=.
	Key       string `json:"key,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	// User is the account or token by which it was let in, UserKind how it proved
	// that: open, session, basic, token or link.
	User     string `json:"user,omitempty"`
	UserKind string `json:"user_kind,omitempty"`

	Since  time.Time `json:"since"`
	Frames uint64    `json:"frames"`
	// Dropped frames were superseded before the viewer had room for them;
	// Skipped ones it did not want, by ?fps=.
	Dropped uint64  `json:"dropped"`
	Skipped uint64  `json:"skipped"`
	Bytes   uint64  `json:"bytes"`
	FPS     float64 `json:"fps"`
	// Rendition is what it asked for, as a query; empty for the pictures as they
	// come.
	Rendition string `json:"rendition,omitempty"`
	// LagMS is from publication to the last byte handed to the kernel, in
	// milliseconds: of the last picture, or of the one that is under way when that
	// takes longer already. FramesBehind counts what came since, while one is.
	LagMS        float64 `json:"lag_ms"`
	FramesBehind uint64  `json:"frames_behind"`
}
