package source

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/v4l2"
)

// opener opens a camera.
type opener = func(ctx context.Context) (device.Camera, error)

// patience is how long auto waits for the camera that it had before it takes
// another one. Chosen: a hub that resets brings a camera back within two seconds,
// and a hand that pulled a plug takes little more to put it back.
const patience = 5 * time.Second

var errOther = errors.New("there is another camera now")

// numbered are names that are somebody else's tomorrow.
var numbered = regexp.MustCompile(`^/dev/video[0-9]+$`)

// memory is which camera a source had last.
type memory struct {
	mu     sync.Mutex
	known  bool
	was    device.Info
	missed time.Time // since when it is not there; zero when it was there last
}

func (m *memory) get() (was device.Info, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.was, m.known
}

// keep remembers a camera of V4L2. Others are found by what they are.
func (m *memory) keep(cam device.Camera) {
	_, ok := cam.(*v4l2.Camera)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.was, m.known, m.missed = cam.Info(), ok, time.Time{}
}

// miss says for how long the camera has been away.
func (m *memory) miss() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.missed.IsZero() {
		m.missed = now
	}
	return now.Sub(m.missed)
}

// stick makes an opener open nothing but the camera that it opened first,
// wherever that is plugged in by now.
func (p *parser) stick(open opener) opener {
	var m memory
	return func(ctx context.Context) (device.Camera, error) {
		how := open
		if was, known := m.get(); known {
			how = func(ctx context.Context) (device.Camera, error) { return p.openSame(ctx, was) }
		}
		cam, err := how(ctx)
		if err == nil {
			m.keep(cam)
		}
		return cam, err
	}
}

// prefer makes an opener open the camera that it opened before, if that comes
// back within some seconds. open may give nothing.
func (p *parser) prefer(open opener) opener {
	var m memory
	return func(ctx context.Context) (device.Camera, error) {
		was, known := m.get()
		if known {
			cam, err := p.openSame(ctx, was)
			switch {
			case err == nil:
				m.keep(cam)
				return cam, nil
			case m.miss() < patience:
				return nil, err
			}
		}
		cam, err := open(ctx)
		if err != nil || cam == nil {
			return cam, err
		}
		m.keep(cam)
		if now := cam.Info(); known && now.ID != was.ID {
			p.log.Info("another camera is used", "before", was.ID, "path", now.Path, "id", now.ID)
		}
		return cam, nil
	}
}

// openPath opens the camera at a path, or with an ID of any kind.
func (p *parser) openPath(ctx context.Context, path string) (device.Camera, error) {
	return opened(p.drv.OpenAlone(ctx, path))
}

// byID opens the camera with an ID. Its Info has the node as Path.
func (p *parser) byID(ctx context.Context, id string) (device.Camera, error) {
	node, err := p.drv.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	return p.openPath(ctx, node)
}

// openSame opens the camera that was, or fails with ErrNotFound.
func (p *parser) openSame(ctx context.Context, was device.Info) (device.Camera, error) {
	cam, err := p.byID(ctx, was.ID)
	if err == nil {
		if now := cam.Info(); same(was, now) {
			return cam, nil
		}
		err = &device.OpError{Op: "open", Path: was.ID, Kind: device.ErrNotFound, Err: errOther}
		if cerr := cam.Close(); cerr != nil {
			p.log.Debug("camera not closed cleanly", "path", cam.Info().Path, "err", cerr)
		}
	}
	if !errors.Is(err, device.ErrNotFound) {
		return nil, err
	}
	// Its name may have gone to a camera like it, or never was its own: then the
	// port tells, if that leaves no doubt.
	all, lerr := usable(ctx, p.drv)
	if lerr != nil {
		return nil, err
	}
	var node string
	for _, f := range all {
		if f.Info.Driver != was.Driver || f.Info.Name != was.Name || f.Info.Bus != was.Bus {
			continue
		}
		if node != "" {
			return nil, err
		}
		node = f.Info.Path
	}
	if node == "" {
		return nil, err
	}
	return p.openPath(ctx, node)
}

// same says whether what was opened now is the camera that was. One that has no
// serial number loses its name in /dev/v4l/by-id when another of its kind is
// plugged in; the port is what tells them apart then.
func same(was, now device.Info) bool {
	return was.Driver == now.Driver && was.Name == now.Name && (was.ID == now.ID || was.Bus == now.Bus)
}

// device is a source of one path below /dev. A number sticks to its camera; a
// link has been made to say which camera is meant, and is followed each time.
func (p *parser) device(path string) *Source {
	open := func(ctx context.Context) (device.Camera, error) { return p.openPath(ctx, path) }
	if numbered.MatchString(filepath.Clean(path)) {
		open = p.stick(open)
	}
	return p.camera(open)
}
