package config

import (
	"reflect"
	"testing"
)

func TestChangesNameEachSettingAndWhatItTakes(t *testing.T) {
	a, b := Default(), Default()
	if got := Changes(a, b); len(got) != 0 {
		t.Errorf("equal ones differ: %v", got)
	}
	a.Options, a.Camera.Controls = map[string]any{"gone": 1, "same": []any{1}}, map[string]any{"gain": uint64(1)}
	b.Options, b.Camera.Controls = map[string]any{"same": []any{1}, "new": 2}, map[string]any{"gain": uint64(2)}
	b.Camera.Framerate, b.HTTP.Listen, b.Log.Level = 5, ":1", "warn"
	want := []Change{
		{"camera.framerate", Reopen},
		{"camera.controls.gain", Live},
		{"http.listen", Restart},
		{"log.level", Live},
		{"options.gone", Reopen},
		{"options.new", Reopen},
	}
	if got := Changes(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestTakeCopiesOneSettingAndLeavesMapsOfOthersAlone(t *testing.T) {
	a, b := Default(), Default()
	a.Options = map[string]any{"kept": 1, "gone": 1}
	b.Options, b.Camera.Framerate, b.HTTP.MaxViewers, b.Log.Level = map[string]any{"new": 2}, 5, 7, "warn"
	c := a
	for _, ch := range Changes(a, b) {
		if ch.Key != "options.kept" {
			c.Take(ch.Key, b)
		}
	}
	want := b
	want.Options = map[string]any{"kept": 1, "new": 2}
	if !reflect.DeepEqual(c, want) || !reflect.DeepEqual(a.Options, map[string]any{"kept": 1, "gone": 1}) {
		t.Errorf("got %+v, the source has %v", c, a.Options)
	}
}
