package webgear

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// phase is where a Gear is in its life.
//
//	fresh ──Run──► running
//	   └──Mount───► mounted
type phase uint8

const (
	fresh phase = iota
	running
	mounted
)

// Errors of a Gear that is used twice.
var (
	errRunning = errors.New("a Gear runs once, make another one with New")
	errMounted = errors.New("this Gear is mounted in another one, which runs it")
)

// openWait bounds how long the server waits for the camera before it answers
// anyway. A camera that can be opened has done so by then.
const openWait = 3 * time.Second

// stopWait is how long the parts may take to end, all together: below the two
// seconds that a person waits for Ctrl-C.
const stopWait = 1800 * time.Millisecond

// Ready is closed when requests are answered.
func (g *Gear) Ready() <-chan struct{} { return g.ready }

// Run listens on Options.Address and serves until ctx ends.
func (g *Gear) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // asked to stop before it began
	}
	address := cmp.Or(g.opt.Address, "localhost:8000")
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("webgear: %w", err)
	}
	return g.Serve(ctx, ln)
}

// Serve serves ln until ctx ends, and closes it. Viewers get a picture that says
// farewell and a clean end; that takes less than two seconds. It returns nil
// then, or what went wrong: an error of the source only when it came at the first
// attempt and Options.Fatal names its kind, or when the source can never work.
func (g *Gear) Serve(ctx context.Context, ln net.Listener) error {
	if ln == nil {
		return errors.New("webgear: no listener to serve")
	}
	defer func() { _ = ln.Close() }() // closed by the server already, unless we fail before
	if g.opt.DebugErrors && !loopback(ln.Addr()) {
		return fmt.Errorf("webgear: tracebacks may be shown on a loopback address only, not on %s", ln.Addr())
	}
	if err := g.begin(); err != nil {
		return fmt.Errorf("webgear: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	gears := []*Gear{g}
	for _, m := range g.mounts {
		gears = append(gears, m.gear)
	}
	var wg sync.WaitGroup
	captured, served := make(chan error, len(gears)), make(chan error, len(gears))
	for _, x := range gears {
		wg.Go(func() { captured <- x.sup.Run(ctx) })
	}
	over, err := awaitOpen(gears, captured)
	if !over {
		g.provision(ctx)
		for _, m := range g.mounts {
			stream, end := m.gear.srv.Attach(serving)
			g.srv.AddStream(m.path, stream)
			wg.Go(func() { <-serving.Done(); served <- end() })
		}
		wg.Go(func() { served <- g.srv.Run(serving, ln) })
		for _, x := range gears {
			close(x.ready)
		}
		select {
		case <-ctx.Done():
		case err = <-served: // the server failed
		case err = <-captured:
		}
	}
	cancel(err)
	return errors.Join(err, stop(gears, &wg, served, stopServing))
}

// awaitOpen waits until all sources were tried once, for a while. over is set
// when there is nothing to serve: a source cannot be used, or Run is to end.
func awaitOpen(gears []*Gear, captured <-chan error) (over bool, err error) {
	t := time.NewTimer(openWait)
	defer t.Stop()
	for _, x := range gears {
		select {
		case <-x.sup.Opened():
		case <-t.C:
			return false, nil
		case err := <-captured:
			return true, err
		}
	}
	return false, nil
}

// stop waits for everything to end. Capture ends first and says farewell; then
// the server lets viewers go.
func stop(gears []*Gear, wg *sync.WaitGroup, served <-chan error, stopServing func()) error {
	t := time.NewTimer(stopWait)
	defer t.Stop()
	late := errors.New("webgear: the camera did not let go in time")
	for _, x := range gears {
		select {
		case <-x.sup.Farewell():
		case <-t.C:
			return late
		}
	}
	stopServing()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-t.C:
		// A driver may be stuck in the kernel; that must not keep us alive.
		return late
	}
	var err error
	for range len(served) {
		err = errors.Join(err, <-served)
	}
	return err
}

// begin makes sure that g runs once and only with handlers that exist.
func (g *Gear) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.phase {
	case running:
		return errRunning
	case mounted:
		return errMounted
	case fresh:
	}
	for _, stack := range g.srv.App().Stack() {
		for _, route := range stack {
			for _, h := range route.Handlers {
				if h == nil {
					return fmt.Errorf("route %s %s: the handler is nil", route.Method, route.Path)
				}
			}
		}
	}
	g.phase = running
	return nil
}

// mount is another Gear whose stream this one serves.
type mount struct {
	path string
	gear *Gear
}

// Mount has the stream of another Gear served at path, such as "/video2", beside
// this one's; a page can show both. Run runs the other Gear as well, which must
// not be run by itself: of its options all count that are about the source and
// the pictures. Mount comes before Run.
func (g *Gear) Mount(path string, other *Gear) error {
	fail := func(reason string) error { return fmt.Errorf("webgear: mount %s: %s", path, reason) }
	var endpoint string
	if len(path) < 2 || path[0] != '/' || parseEndpoint(path[1:], &endpoint) != "" || endpoint != path[1:] {
		return fail("the path must be a slash with letters and digits, and no page of the server")
	}
	switch {
	case other == nil:
		return fail("there is no Gear")
	case other == g:
		return fail("a Gear cannot be mounted in itself")
	case endpoint == g.opt.VideoEndpoint:
		return fail("that is where the stream of this Gear is")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != fresh {
		return fail("comes too late, this Gear was run or mounted")
	}
	for _, m := range g.mounts {
		if m.path == path {
			return fail("the path is taken")
		}
	}
	if err := other.setMounted(); err != nil {
		return fail(err.Error())
	}
	g.mounts = append(g.mounts, mount{path, other})
	return nil
}

// setMounted notes that another Gear runs g. That one is locked meanwhile, so two
// that are mounted in one another at the same moment must not wait here.
func (g *Gear) setMounted() error {
	if !g.mu.TryLock() {
		return errors.New("that Gear is in use")
	}
	defer g.mu.Unlock()
	switch {
	case g.phase == running:
		return errRunning
	case g.phase == mounted:
		return errMounted
	case len(g.mounts) > 0:
		return errors.New("that Gear has mounts of its own")
	}
	g.phase = mounted
	return nil
}

// loopback says whether only this computer can reach the address.
func loopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
