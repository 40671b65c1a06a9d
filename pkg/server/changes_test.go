package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/webgear-pi/webgear/pkg/auth"
)

func TestErrorsOfTheStoreBecomeTheAnswerThatHelps(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]struct {
		err    error
		status int
		again  bool // says when to come again
	}{
		"too many passwords at once": {fmt.Errorf("set password: %w", auth.ErrBusy), 503, true},
		"it took too long":           {context.DeadlineExceeded, 503, true},
		"not there":                  {fmt.Errorf("token x: %w", auth.ErrNotFound), 404, false},
		"last administrator":         {auth.ErrLastAdmin, 409, false},
		"account of the settings":    {auth.ErrPreset, 409, false},
		"short password":             {&auth.PasswordError{Problem: "is short"}, 422, false},
		"full disk":                  {errors.New("no space left"), 507, false},
	} {
		d := s.because(c.err)
		if d == nil || d.Status != c.status || (d.RetryAfter > 0) != c.again {
			t.Errorf("%s: got %+v, want status %d", name, d, c.status)
		}
	}
	if d := s.because(nil); d != nil {
		t.Errorf("nothing wrong: got %+v", d)
	}
}
