package v4l2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device/devicetest"
)

// TestEveryBoardListsItsCamerasAndRefusesTheRest goes through the node tables of
// the Raspberry Pi models, with sysfs and, as in some containers, without.
func TestEveryBoardListsItsCamerasAndRefusesTheRest(t *testing.T) {
	for _, b := range devicetest.Boards() {
		for _, sysfs := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, sysfs %v", b.Name, sysfs), func(t *testing.T) {
				devices := map[string]*fakeDevice{}
				want := map[string]devicetest.VideoNode{}
				for _, n := range b.Nodes {
					d := webcam()
					d.cap = capability{driver: n.Driver, card: n.Card, bus: n.Bus, caps: n.DeviceCaps}
					d.formats = nil
					for _, f := range n.Formats {
						d.formats = append(d.formats, formatDesc{fourcc: f})
					}
					devices[strings.TrimPrefix(n.Path, "/dev/")] = d
					want[n.Path] = n
				}
				driver := newFake(t, devices)
				for _, n := range b.Nodes {
					if sysfs {
						writeFile(t, driver.root, "sys/class/video4linux/"+strings.TrimPrefix(n.Path, "/dev/")+"/name", n.Name+"\n")
					}
				}
				found, err := driver.List(t.Context())
				if err != nil || len(found) != len(b.Nodes) {
					t.Fatalf("List: %d nodes, %v, want %d", len(found), err, len(b.Nodes))
				}
				for _, f := range found {
					n := want[f.Info.Path]
					if f.Usable != n.Camera || f.Err != nil {
						t.Errorf("%s of %s: usable %v (%s), %v, want %v", f.Info.Path, n.Card, f.Usable, f.Reason, f.Err, n.Camera)
					}
					if f.Usable != (f.Reason == "camera") || len(strings.Fields(f.Reason)) < 1 {
						t.Errorf("%s of %s: no reason: %q", f.Info.Path, n.Card, f.Reason)
					}
					if f.Info.Driver != n.Driver {
						t.Errorf("%s: driver %q, want %q", f.Info.Path, f.Info.Driver, n.Driver)
					}
				}
			})
		}
	}
}
