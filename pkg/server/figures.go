package server

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/pkg/metrics"
	"github.com/webgear-pi/webgear/pkg/status"
)

// figures are what the server counts beside what each viewer knows of itself.
type figures struct {
	// published is from a picture's capture to its publication, noted once per
	// picture that is sent; handed is from there to the moment when the kernel
	// has the last byte for a viewer.
	published, handed metrics.Histogram
	// Ended viewers and refused ones, by cause.
	finished, left, timedOut, failed    atomic.Uint64
	refusedTotal, refusedHost, stopping atomic.Uint64
}

// ended counts the end of a viewer; err is nil after the final picture.
func (f *figures) ended(err error) {
	switch {
	case err == nil:
		f.finished.Add(1)
	case errors.Is(err, errLeft):
		f.left.Add(1)
	case errors.Is(err, errTimedOut):
		f.timedOut.Add(1)
	default:
		f.failed.Add(1)
	}
}

// metrics answers with all figures as Prometheus wants them.
func (s *Server) metrics(c *fiber.Ctx) error {
	var p metrics.Page
	snap := s.opts.Snapshot()
	sums := s.viewers.sums(time.Now())
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
		"timed_out", s.figures.timedOut.Load(), "failed", s.figures.failed.Load())
	count("webgear_viewers_refused_total", "Viewers that were refused.", "limit", s.figures.refusedTotal.Load(),
		"address_limit", s.figures.refusedHost.Load(), "stopping", s.figures.stopping.Load())
	count("webgear_viewer_frames_total", "Pictures sent to viewers.", "", sums.Frames)
	count("webgear_viewer_bytes_total", "Bytes sent to viewers.", "", sums.Bytes)
	count("webgear_viewer_frames_dropped_total", "Pictures that viewers did not get.", "slow", sums.Dropped, "wanted_fewer", sums.Skipped)
	count("webgear_snapshots_total", "Single pictures sent.", "", s.snapshots.Load())
	p.Family("webgear_publish_delay_seconds", "histogram", "From capture to publication, of pictures that were sent.")
	p.Histogram("webgear_publish_delay_seconds", &s.figures.published)
	p.Family("webgear_send_delay_seconds", "histogram", "From publication to the last byte handed to the kernel, per viewer.")
	p.Histogram("webgear_send_delay_seconds", &s.figures.handed)

	c.Set(fiber.HeaderContentType, metrics.ContentType)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(p.Bytes())
}
