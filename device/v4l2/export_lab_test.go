//go:build lab

package v4l2

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

// TestLabExportedMemoryIsThePicture maps what real drivers export.
func TestLabExportedMemoryIsThePicture(t *testing.T) {
	for _, driver := range labDrivers() {
		t.Run(driver, func(t *testing.T) {
			d, f := labCamera(t, driver)
			cam := labOpen(t, d, f.Info.Path)
			before := openFiles(t)
			if _, err := cam.Start(t.Context(), device.Format{Width: 640, Height: 480}); err != nil {
				t.Fatal(err)
			}
			fds := map[int]bool{}
			for range 3 * wantBuffers {
				err := cam.Next(t.Context(), func(b *device.Buffer) error {
					fd, ok := b.DMABUF()
					if !ok {
						t.Error("not exported")
						return nil
					}
					fds[fd] = true
					seen, err := unix.Mmap(fd, 0, len(b.Data), unix.PROT_READ, unix.MAP_SHARED)
					if err != nil {
						return err
					}
					if !bytes.Equal(seen, b.Data) {
						t.Errorf("picture %d is something else in the exported memory", b.DriverSeq)
					}
					return unix.Munmap(seen)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if len(fds) == 0 || len(fds) > len(cam.stream.maps) {
				t.Errorf("%d descriptors of %d buffers", len(fds), len(cam.stream.maps))
			}
			if err := cam.Stop(); err != nil {
				t.Error(err)
			}
			if after := openFiles(t); after != before {
				t.Errorf("%d files are open after Stop, %d before Start", after, before)
			}
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
