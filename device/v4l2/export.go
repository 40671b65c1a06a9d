package v4l2

import (
	"sync"

	"golang.org/x/sys/unix"
)

// export is the memory of one buffer as a file descriptor, for other hardware.
// It is made when it is asked for first, once per buffer and start, and closed
// when the buffers are given back. Whoever imported it keeps the memory alive
// beyond that, but not the picture.
type export struct {
	get func() (fd int, ok bool) // made once: there is a loan per picture

	mu    sync.Mutex
	node  node
	index uint32
	asked bool // there is no sense in asking a second time
	fd    int  // -1 without
}

func newExport(n node, index uint32) *export {
	e := &export{node: n, index: index, fd: -1}
	e.get = e.open
	return e
}

// open is what Buffer.DMABUF calls.
func (e *export) open() (fd int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.asked {
		e.asked = true
		// To be read only: nobody but the camera may change its pictures.
		x := rawExport{Type: bufTypeVideoCapture, Index: e.index, Flags: unix.O_RDONLY | unix.O_CLOEXEC}
		if err := e.node.exportBuffer(&x); err == nil {
			e.fd = int(x.FD)
		}
	}
	return e.fd, e.fd >= 0
}

// close ends it for good.
func (e *export) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	fd := e.fd
	e.asked, e.fd = true, -1
	if fd < 0 {
		return nil
	}
	return e.node.closeExport(fd)
}
