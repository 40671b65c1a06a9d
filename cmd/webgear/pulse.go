package main

import (
	"fmt"
	"time"

	"github.com/webgear-pi/webgear/pkg/status"
)

// Times of the pulse. They follow those of package capture: it shows something
// at least every 9 s, and opens a silent camera anew after 12 s, then after twice
// as long each time, up to a minute.
const (
	// maxStill is how long no picture of either kind may be shown.
	maxStill = 15 * time.Second
	// minSilent and maxSilent bound how long a silent camera may stay open.
	minSilent = 12 * time.Second
	maxSilent = time.Minute
	// toReact is what opening and closing a camera may take.
	toReact = 10 * time.Second
)

// pulse tells from what the capture side counts whether it still works. A camera
// that is missing, pulled out or silent is no reason to call it dead: then there
// are placeholders, and attempts to open. A goroutine that hangs in a driver is:
// the camera it was told to open anew stays as it was.
type pulse struct {
	// slack is added to what attempts may take: sources may be told to wait.
	slack time.Duration

	shown, tried     uint64 // counters at the last look
	frames           uint64
	shownAt, triedAt time.Time
	silent           time.Duration
}

// beats looks at the camera at a time and says whether all is well.
func (p *pulse) beats(now time.Time, c status.Camera) bool {
	n := c.Counters
	shown, tried := n.Frames+n.Placeholders, n.Opens+n.Failures+n.Losses
	rests := c.State == status.Asleep || c.Cause != nil && c.Cause.Code == "ended"
	if shown != p.shown || p.shownAt.IsZero() || rests {
		p.shown, p.shownAt = shown, now
	}
	switch {
	case n.Frames != p.frames || p.triedAt.IsZero() || rests || c.Cause != nil && c.Cause.Code == "no-input":
		p.frames, p.tried, p.triedAt, p.silent = n.Frames, tried, now, minSilent
	case tried != p.tried:
		p.tried, p.triedAt, p.silent = tried, now, min(2*p.silent, maxSilent)
	}
	patience := maxSilent
	if c.Cause != nil && (c.Cause.Code == "stalled" || c.Cause.Code == "damaged") {
		patience = p.silent
	}
	return now.Sub(p.shownAt) <= maxStill && (c.State == status.Online || now.Sub(p.triedAt) <= patience+toReact+p.slack)
}

// describe is one line about the camera for systemctl status.
func describe(c status.Camera) string {
	name := c.Source
	if c.Info != nil {
		name = c.Info.Name + " (" + c.Info.Path + ")"
	}
	switch {
	case c.State == status.Online && c.Granted != nil:
		return fmt.Sprintf("Camera online: %s, %s", name, c.Granted)
	case c.State == status.Offline && c.Cause != nil:
		return fmt.Sprintf("Camera offline: %s: %s. %s", name, c.Cause.Title, c.Cause.Remedy)
	case c.State == status.Asleep:
		return "Camera asleep until somebody watches: " + name
	}
	return "Camera starting: " + name
}
