package server

import (
	"context"

	"github.com/gofiber/fiber/v2"
)

// Attach returns the stream as a handler for the application of another Server,
// in place of Run. end is called once ctx has ended, and lets the viewers go as
// Run does.
func (s *Server) Attach(ctx context.Context) (stream fiber.Handler, end func() error) {
	viewersCtx, cutViewers := context.WithCancel(context.WithoutCancel(ctx))
	stream = func(c *fiber.Ctx) error { return s.video(viewersCtx, c) }
	return stream, func() error {
		defer s.renditions.end()
		defer cutViewers()
		return s.shutdown(ctx, cutViewers)
	}
}
