package server

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/gate"
	"github.com/webgear-pi/webgear/pkg/metrics"
	"github.com/webgear-pi/webgear/pkg/status"
)

// figures are what the server counts beside what each viewer knows of itself.
type figures struct {
	// published is from a picture's capture to its publication, noted once per
	// picture that is sent; handed is from there to the moment when the kernel
	// has the last byte for a viewer; whole is both.
	published, handed, whole metrics.Histogram
	// Ended viewers and refused ones, by cause.
	finished, left, reset, timedOut, barred, failed  atomic.Uint64
	refusedTotal, refusedHost, refusedLook, stopping atomic.Uint64
}

// ended counts the end of a viewer; err is nil after the final picture.
func (f *figures) ended(err error) {
	switch {
	case err == nil:
		f.finished.Add(1)
	case errors.Is(err, errBarred):
		f.barred.Add(1)
	case errors.Is(err, errLeft):
		f.left.Add(1)
	case errors.Is(err, errTimedOut), isTimeout(err):
		f.timedOut.Add(1)
	case isReset(err):
		f.reset.Add(1)
	default:
		f.failed.Add(1)
	}
}

// isTimeout reports whether the kernel gave the connection up.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// isReset reports whether the peer ended the connection while there was something
// left to send: a browser that closes a tab does. Error numbers belong to device;
// their texts are package syscall's own, and the same on all systems it runs on.
func isReset(err error) bool {
	var call *os.SyscallError
	if !errors.As(err, &call) {
		return false
	}
	switch call.Err.Error() {
	case "connection reset by peer", "broken pipe":
		return true
	}
	return false
}

// gates is a listener that bounds connections, such as gate.Listener.
type gates interface {
	Open() (all, halfOpen int)
	Refused() gate.Refused
}

// metrics answers with all figures as Prometheus wants them.
func (s *Server) metrics(c *fiber.Ctx) error {
	var p metrics.Page
	snap := s.opts.Snapshot()
	sums := s.viewers.sums()
	count := func(name, help string, causes ...any) {
		p.Family(name, "counter", help)
		for i := 0; i < len(causes); i += 2 {
			cause, _ := causes[i].(string)
			value, _ := causes[i+1].(uint64)
			if cause == "" {
				p.Value(name, float64(value))
				continue
			}
			p.Value(name, float64(value), metrics.Label{Name: "cause", Value: cause})
		}
	}
	gauge := func(name, help string, value float64) {
		p.Family(name, "gauge", help)
		p.Value(name, value)
	}

	up := 0.0
	if snap.Camera.State == status.Online {
		up = 1
	}
	gauge("webgear_camera_up", "Whether live pictures flow.", up)
	gauge("webgear_camera_fps", "Live pictures per second.", snap.Camera.FPS)
	k := snap.Camera.Counters
	count("webgear_frames_total", "Pictures published.", "live", k.Frames, "placeholder", k.Placeholders)
	count("webgear_frames_lost_total", "Pictures of the camera that were not published.",
		"driver", k.DroppedByDriver, "stale", k.DroppedStale, "flagged", k.InvalidFlagged, "empty", k.InvalidEmpty,
		"truncated", k.InvalidTruncated, "garbage", k.InvalidGarbage, "encode", k.InvalidEncode)
	count("webgear_camera_failures_total", "What went wrong with the camera.", "open", k.Failures, "stall", k.Stalls, "loss", k.Losses)

	gauge("webgear_viewers", "Viewers at the moment.", float64(sums.now))
	count("webgear_viewers_total", "Viewers ever.", "", sums.total)
	count("webgear_viewers_ended_total", "Viewers that ended.", "finished", s.figures.finished.Load(), "left", s.figures.left.Load(),
		"reset", s.figures.reset.Load(), "timed_out", s.figures.timedOut.Load(), "access_ended", s.figures.barred.Load(), "failed", s.figures.failed.Load())
	count("webgear_viewers_refused_total", "Viewers that were refused.", "limit", s.figures.refusedTotal.Load(),
		"address_limit", s.figures.refusedHost.Load(), "rendition_limit", s.figures.refusedLook.Load(), "stopping", s.figures.stopping.Load())
	count("webgear_viewer_frames_total", "Pictures sent to viewers.", "", sums.Frames)
	count("webgear_viewer_bytes_total", "Bytes sent to viewers.", "", sums.Bytes)
	unread := uint64(0) // of the dropped ones
	if s.fan != nil {
		unread = min(s.fan.unread.Load(), sums.Dropped)
	}
	count("webgear_viewer_frames_dropped_total", "Pictures that viewers did not get.", "slow", sums.Dropped-unread,
		"peer_not_reading", unread, "wanted_fewer", sums.Skipped)
	if s.gates != nil {
		all, halfOpen := s.gates.Open()
		gauge("webgear_connections", "Connections at the moment.", float64(all))
		gauge("webgear_connections_without_worth", "Those of them that make room for others: nobody has signed in there.", float64(halfOpen))
		r := s.gates.Refused()
		count("webgear_connections_refused_total", "Connections that were turned away.", "limit", r.Total, "address_limit", r.Address,
			"displaced", r.Displaced, "descriptors", r.Descriptors, "accept", r.Failures)
	}
	count("webgear_snapshots_total", "Single pictures sent.", "", s.snapshots.Load())
	p.Family("webgear_publish_delay_seconds", "histogram", "From capture to publication, of pictures that were sent.")
	p.Histogram("webgear_publish_delay_seconds", &s.figures.published)
	p.Family("webgear_send_delay_seconds", "histogram", "From publication to the last byte handed to the kernel, per viewer.")
	p.Histogram("webgear_send_delay_seconds", &s.figures.handed)
	p.Family("webgear_total_delay_seconds", "histogram", "From capture to the last byte handed to the kernel, per viewer.")
	p.Histogram("webgear_total_delay_seconds", &s.figures.whole)
	renditions := s.renditions.list()
	gauge("webgear_renditions", "Versions of the picture in other sizes or qualities.", float64(len(renditions)))
	p.Family("webgear_rendition_seconds", "histogram", "How long it takes to make a picture of another size or quality.")
	p.Histogram("webgear_rendition_seconds", &s.renditions.took)

	c.Set(fiber.HeaderContentType, metrics.ContentType)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(p.Bytes())
}
