package server

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
	"github.com/webgear-pi/webgear/pkg/status"
)

// firstPictureTime is how long a snapshot waits for the first picture. Chosen:
// a USB camera needs one to two seconds from opening, and OctoPrint gives up
// after five.
const firstPictureTime = 3 * time.Second

// snapshot answers with the newest picture.
func (s *Server) snapshot(ctx context.Context, c *fiber.Ctx) error {
	if s.opts.AllowOrigin != "" && c.GetRespHeader(fiber.HeaderAccessControlAllowOrigin) == "" {
		c.Set(fiber.HeaderAccessControlAllowOrigin, s.opts.AllowOrigin)
	}
	frame := s.opts.Hub.Latest()
	if frame == nil && c.Method() != fiber.MethodHead {
		frame = s.firstFrame(ctx)
	}
	if frame == nil {
		c.Set(fiber.HeaderRetryAfter, "1")
		return fiber.NewError(fiber.StatusServiceUnavailable, "no picture yet")
	}
	s.snapshots.Add(1)
	c.Set(fiber.HeaderContentType, "image/jpeg")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Timestamp", mjpeg.Timestamp(frame))
	c.Set("X-Sequence", strconv.FormatUint(frame.Seq, 10))
	if frame.Placeholder != "" {
		c.Set("X-Placeholder", frame.Placeholder)
	}
	// Set by reference: the picture is not copied, and nobody writes to it.
	c.Response().SetBodyRaw(frame.Data)
	return nil
}

// firstFrame waits for a frame, and counts as somebody who watches meanwhile.
func (s *Server) firstFrame(ctx context.Context) *device.Frame {
	ctx, cancel := context.WithTimeout(ctx, firstPictureTime)
	defer cancel()
	sub := s.opts.Hub.Subscribe()
	defer sub.Close()
	frame, _, err := sub.Next(ctx)
	if err != nil {
		return nil // too late, or the stream is over: there is no picture
	}
	return frame
}

// state answers with all that is known.
func (s *Server) state(c *fiber.Ctx) error {
	snap := s.opts.Snapshot()
	snap.Stream = s.Stream()
	if snap.Version == "" {
		snap.Version = s.opts.Version
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(snap); err != nil {
		return err
	}
	return sendJSON(c, b.Bytes())
}

// health answers that the server is alive. A camera that is away is no reason
// to restart it.
func (s *Server) health(c *fiber.Ctx) error {
	b, err := json.Marshal(struct {
		Status string       `json:"status"`
		Camera status.State `json:"camera"`
	}{"ok", s.opts.Snapshot().Camera.State})
	if err != nil {
		return err
	}
	return sendJSON(c, append(b, '\n'))
}

func sendJSON(c *fiber.Ctx, body []byte) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Send(body)
}
