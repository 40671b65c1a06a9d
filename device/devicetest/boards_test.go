package devicetest

import (
	"testing"

	"github.com/webgear-pi/webgear/device"
)

func TestBoardsAreSane(t *testing.T) {
	for _, b := range Boards() {
		paths := map[string]bool{}
		for _, n := range b.Nodes {
			if paths[n.Path] {
				t.Errorf("%s: %s is there twice", b.Name, n.Path)
			}
			paths[n.Path] = true
			if n.Driver == "" || n.Card == "" || n.Bus == "" || n.Name == "" || len(n.Card) > 31 || len(n.Driver) > 15 || len(n.Bus) > 31 {
				t.Errorf("%s: %s: %+v does not fit QUERYCAP", b.Name, n.Path, n)
			}
			if n.DeviceCaps&^n.Capabilities != 0 || n.DeviceCaps&capDeviceCaps != 0 || n.Capabilities&capDeviceCaps == 0 {
				t.Errorf("%s: %s: device capabilities %#x of %#x", b.Name, n.Path, n.DeviceCaps, n.Capabilities)
			}
			usable := false
			for _, f := range n.Formats {
				if _, ok := f.Rank(); ok {
					usable = true
				}
			}
			if n.Camera && !usable {
				t.Errorf("%s: %s is a camera without a usable format: %v", b.Name, n.Path, n.Formats)
			}
		}
	}
	if got := fourCCs("MJPG YU12"); len(got) != 2 || got[0] != device.MJPG || got[1] != device.YU12 {
		t.Errorf("codes %v", got)
	}
}
