package main

import (
	"testing"

	"github.com/webgear-pi/webgear/pkg/status"
)

func TestMemoryIsGivenBackOnceAfterACrowdHasGone(t *testing.T) {
	var c calm
	for i, look := range []struct {
		viewers          int
		total, snapshots uint64
		want             bool
	}{
		{0, 0, 0, false},
		{0, 0, 0, false}, // nobody ever came
		{2, 2, 0, false},
		{0, 2, 0, false}, // they may come back at once
		{0, 2, 0, true},
		{0, 2, 0, false},
		{0, 2, 0, false}, // once
		{1, 3, 0, false},
		{1, 3, 0, false}, // somebody watches
		{0, 4, 0, false},
		{1, 5, 0, false},
		{0, 5, 0, false},
		{0, 5, 0, true},
		{0, 5, 1, true},
		{0, 5, 1, false}, // pictures one by one count, too
	} {
		if got := c.look(&status.Stream{Viewers: make([]status.Viewer, look.viewers), ViewersTotal: look.total, Snapshots: look.snapshots}); got != look.want {
			t.Errorf("look %d: got %t, want %t", i, got, look.want)
		}
	}
}
