package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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
	for _, f := range s.crossOrigin(c) {
		c.Set(f.Name, f.Value)
	}
	now := time.Now()
	oldest, err := oldestWanted(c, now)
	if err != nil {
		return s.fail(c, fiber.StatusBadRequest, "", err.Error())
	}
	wanted, err := parseLook(c)
	if err != nil {
		return s.fail(c, fiber.StatusBadRequest, "", err.Error())
	}
	frame := s.opts.Hub.Latest()
	if oldest.IsZero() && s.opts.Snapshot().Camera.State == status.Asleep {
		oldest = now // the newest may be hours old
	}
	fresh := frame != nil && !frame.CapturedAt.Before(oldest)
	if !fresh && c.Method() != fiber.MethodHead {
		frame = s.freshFrame(ctx, oldest)
		fresh = frame != nil
	}
	if !fresh {
		return unavailable(c, "1", "no picture yet")
	}
	seq := frame.Seq
	tag := fmt.Sprintf("\"%x-%d\"", s.startedAt.UnixNano(), seq)
	if wanted != (look{}) {
		tag = fmt.Sprintf("\"%x-%d-%d-%d\"", s.startedAt.UnixNano(), seq, wanted.quality, wanted.width)
	}
	c.Set(fiber.HeaderETag, tag)
	if match := c.Get(fiber.HeaderIfNoneMatch); match != "" && strings.Contains(match, tag) {
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Response().Header.SetNoDefaultContentType(true)
		c.Status(fiber.StatusNotModified)
		return nil
	}
	if wanted != (look{}) && c.Method() != fiber.MethodHead {
		made, refusal, err := s.renditions.picture(ctx, wanted, frame)
		switch {
		case refusal != "":
			s.figures.refusedLook.Add(1)
			c.Response().Header.Del(fiber.HeaderETag)
			return unavailable(c, "10", refusal)
		case err != nil:
			c.Response().Header.Del(fiber.HeaderETag)
			return unavailable(c, "1", "the picture cannot be made smaller")
		}
		frame = made
	}
	s.snapshots.Add(1)
	c.Set(fiber.HeaderContentType, "image/jpeg")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Timestamp", mjpeg.Timestamp(frame))
	c.Set("X-Sequence", strconv.FormatUint(seq, 10))
	for _, f := range mjpeg.PlaceholderFields(frame) {
		c.Set(f.Name, f.Value)
	}
	// Set by reference: the picture is not copied, and nobody writes to it.
	c.Response().SetBodyRaw(frame.Data)
	return nil
}

// oldestWanted reads ?max_delay=, in milliseconds: pictures taken earlier than
// that are not wanted. 0, and ?fresh=1, ask for one that is taken after the
// request. Without either the newest there is will do.
func oldestWanted(c *fiber.Ctx, now time.Time) (time.Time, error) {
	switch c.Query("fresh") {
	case "1", "true", "yes":
		return now, nil
	}
	text := c.Query("max_delay")
	if text == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.Atoi(text)
	if err != nil || ms < 0 || ms > 3_600_000 {
		return time.Time{}, fmt.Errorf("max_delay=%s: use 0 to 3600000 milliseconds", shorten(strings.Clone(text), 20))
	}
	return now.Add(-time.Duration(ms) * time.Millisecond), nil
}

// freshFrame waits for a frame that is not older than wanted, and counts as
// somebody who watches meanwhile.
func (s *Server) freshFrame(ctx context.Context, oldest time.Time) *device.Frame {
	ctx, cancel := context.WithTimeout(ctx, firstPictureTime)
	defer cancel()
	sub := s.opts.Hub.Subscribe()
	defer sub.Close()
	for {
		frame, _, err := sub.Next(ctx)
		if err != nil {
			return nil // too late, or the stream is over: there is no picture
		}
		if !frame.CapturedAt.Before(oldest) {
			return frame
		}
	}
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
