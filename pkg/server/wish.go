package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// wish is what a viewer asks for in its query.
type wish struct {
	interval time.Duration // between pictures; 0 takes all
	key      string
	advance  advance
	look     look
}

// advance says whether part headers are sent before their picture is there.
type advance int

// Ways.
const (
	noAdvance      advance = iota
	unsizedAdvance         // without Content-Length, as ustreamer does
	sizedAdvance           // with one that leaves room, see mjpeg.Ahead
)

// parseWish reads ?fps=, ?key=, ?quality=, ?width= and ?advance_headers=. Other
// arguments are for other servers, or against caches, and mean nothing.
func parseWish(c *fiber.Ctx) (w wish, err error) {
	w.key = shorten(strings.Clone(c.Query("key")), 64)
	switch c.Query("advance_headers") {
	case "1", "true", "yes":
		w.advance = unsizedAdvance
	case "sized":
		w.advance = sizedAdvance
	case "":
		if isBlinkImage(c) {
			w.advance = unsizedAdvance
		}
	}
	if text := c.Query("fps"); text != "" {
		fps, err := strconv.ParseFloat(text, 64)
		if err != nil || !(fps == 0 || fps >= 0.1 && fps <= 1000) {
			return w, fmt.Errorf("fps=%s: use 0.1 to 1000 pictures per second, or 0 for all", shorten(strings.Clone(text), 20))
		}
		if fps > 0 {
			w.interval = time.Duration(float64(time.Second) / fps)
		}
	}
	w.look, err = parseLook(c)
	return w, err
}

// isBlinkImage reports whether an <img> of Chrome or its relatives asks. It shows
// a picture when it has the header of the next one, and ignores lengths. A script
// that takes the stream apart itself sends "*/*", and proxies say who they are.
func isBlinkImage(c *fiber.Ctx) bool {
	return strings.Contains(c.Get(fiber.HeaderUserAgent), "Chrome/") && strings.HasPrefix(c.Get(fiber.HeaderAccept), "image/")
}
