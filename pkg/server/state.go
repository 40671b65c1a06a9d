package server

import (
	"time"

	"github.com/webgear-pi/webgear/pkg/status"
)

// stateOf is what /state answers: what is known about the camera, and more about
// the viewers than others need. Its Stream hides that of the Snapshot.
type stateOf struct {
	status.Snapshot
	Stream streamState `json:"stream"`
}

// streamState describes the viewers and what is made for them.
type streamState struct {
	Viewers      []viewerState    `json:"viewers"`
	ViewersTotal uint64           `json:"viewers_total"`
	Snapshots    uint64           `json:"snapshots_total"`
	Renditions   []renditionState `json:"renditions,omitempty"`
}

// viewerState describes one viewer.
type viewerState struct {
	status.Viewer
	// Rendition is what it asked for, as a query; empty for the pictures as they
	// come.
	Rendition string `json:"rendition,omitempty"`
	// LagMS is from publication to the last byte handed to the kernel, in
	// milliseconds: of the last picture, or of the one that is under way when that
	// takes longer already. FramesBehind counts what came since, while one is.
	LagMS        float64 `json:"lag_ms"`
	FramesBehind uint64  `json:"frames_behind"`
}

// stream describes the viewers.
func (s *Server) stream() streamState {
	viewers, total := s.viewers.list(time.Now())
	return streamState{viewers, total, s.snapshots.Load(), s.renditions.list()}
}

// state describes v.
func (v *viewer) state(now time.Time) viewerState {
	delay, frames := v.behind(now)
	state := viewerState{Viewer: v.status(now), LagMS: float64(delay.Microseconds()) / 1000, FramesBehind: frames}
	if r := v.feed.rendition; r != nil {
		state.Rendition = r.String()
	}
	return state
}
