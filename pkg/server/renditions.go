package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/metrics"
	"github.com/webgear-pi/webgear/pkg/status"
)

// The grid of renditions: clients that ask for about the same share it.
const (
	qualityStep = 10
	maxQuality  = 90 // more costs many bytes, and the picture was JPEG before
	widthStep   = 160
)

// defaultRenditions is how many looks there may be at a time. Chosen: a page with a
// large and a small picture, and two programs with a wish of their own.
const defaultRenditions = 4

// keepUnused is how long a rendition is kept that nobody uses, for programs that
// fetch one snapshot after the other.
const keepUnused = 10 * time.Second

// renditions are all looks in use.
type renditions struct {
	source   *fanout.Hub
	newCoder func(quality, width int) (Rendition, error)
	log      *slog.Logger
	limit    int
	slots    chan struct{}  // room for as many pictures as are made at a time
	working  sync.WaitGroup // the goroutines of all
	took     metrics.Histogram
	tell     func(*feed) // what has a new picture

	mu     sync.Mutex
	byLook map[look]*rendition // guarded by mu
	expiry *time.Timer         // guarded by mu; nil while nothing is unused
	over   bool                // guarded by mu
}

func newRenditions(o Options, tell func(*feed)) *renditions {
	rs := &renditions{
		source: o.Hub, newCoder: o.Rendition, log: o.Logger, limit: o.MaxRenditions, tell: tell,
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), byLook: map[look]*rendition{},
	}
	if rs.limit == 0 {
		rs.limit = defaultRenditions
	}
	if rs.newCoder == nil {
		rs.newCoder = func(quality, width int) (Rendition, error) {
			return encode.NewTranscoder(encode.Options{Quality: quality, Width: width})
		}
	}
	return rs
}

// parseLook reads ?quality= and ?width=, and puts them on the grid.
func parseLook(c *fiber.Ctx) (look, error) {
	number := func(name string, low, high int) (int, error) {
		text := c.Query(name)
		if text == "" || text == "0" {
			return 0, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("%s=%s: use %d to %d, or 0 for the picture as it comes", name, shorten(strings.Clone(text), 20), low, high)
		}
		return n, nil
	}
	quality, err := number("quality", 1, 100)
	if err != nil {
		return look{}, err
	}
	width, err := number("width", 16, device.MaxSide)
	if err != nil {
		return look{}, err
	}
	return look{grid(quality, qualityStep, maxQuality), grid(width, widthStep, device.MaxSide/widthStep*widthStep)}, nil
}

// grid returns the nearest multiple of step from step to high; 0 stays.
func grid(n, step, high int) int {
	if n == 0 {
		return 0
	}
	return min(max((n+step/2)/step*step, step), high)
}

// use returns the rendition with the look; release must follow. It is nil, with a
// sentence for the client, when there are too many.
func (rs *renditions) use(l look) (r *rendition, refusal string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r = rs.byLook[l]
	if r == nil {
		if rs.over {
			return nil, "the server is shutting down"
		}
		if len(rs.byLook) >= rs.limit {
			rs.expireLocked(time.Now(), len(rs.byLook)-rs.limit+1)
		}
		if len(rs.byLook) >= rs.limit {
			var looks []string
			for l := range rs.byLook {
				looks = append(looks, l.String())
			}
			slices.Sort(looks)
			return nil, "too many versions of the picture: use one of those that others watch, " + strings.Join(looks, ", ")
		}
		r = &rendition{
			feed: feed{hub: fanout.New()}, look: l, all: rs, source: rs.source,
			poked: make(chan struct{}, 1), turn: make(chan struct{}, 1), viewers: map[*viewer]struct{}{},
		}
		r.rendition = r
		rs.byLook[l] = r
	}
	r.users++
	return r, ""
}

// release undoes use.
func (rs *renditions) release(r *rendition) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	r.unused = time.Now()
	if rs.over {
		rs.expireLocked(r.unused, len(rs.byLook))
	} else if rs.expiry == nil {
		rs.expiry = time.AfterFunc(keepUnused, rs.expire)
	}
}

// expire drops what was not used for a while.
func (rs *renditions) expire() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.expiry = nil
	if rs.over {
		return
	}
	rs.expireLocked(time.Now(), 0)
	for _, r := range rs.byLook {
		if r.users == 0 {
			rs.expiry = time.AfterFunc(keepUnused, rs.expire)
			return
		}
	}
}

// expireLocked drops what is unused for long enough, and at least so many others
// that are unused, if there are, with mu held.
func (rs *renditions) expireLocked(now time.Time, atLeast int) {
	var unused []*rendition
	for _, r := range rs.byLook {
		if r.users == 0 {
			unused = append(unused, r)
		}
	}
	slices.SortFunc(unused, func(a, b *rendition) int { return a.unused.Compare(b.unused) })
	for i, r := range unused {
		if i >= atLeast && now.Sub(r.unused) < keepUnused {
			return
		}
		delete(rs.byLook, r.look)
		// Its goroutine may be in the middle of a last picture.
		rs.working.Go(func() {
			r.turn <- struct{}{}
			if r.coder != nil {
				r.coder.Close()
				r.coder = nil
			}
			<-r.turn
		})
	}
}

// end drops all, which must not have viewers, and waits for what is being made.
func (rs *renditions) end() {
	rs.mu.Lock()
	rs.over = true
	if rs.expiry != nil {
		rs.expiry.Stop()
		rs.expiry = nil
	}
	rs.expireLocked(time.Now(), len(rs.byLook))
	rs.mu.Unlock()
	rs.working.Wait()
}

// list describes all, in the order of their looks.
func (rs *renditions) list() []status.Rendition {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var all []status.Rendition
	for _, r := range rs.byLook {
		r.mu.Lock()
		all = append(all, status.Rendition{
			Quality: r.quality, Width: r.width, Viewers: len(r.viewers), Frames: r.frames.Load(), Failed: r.failed.Load(),
		})
		r.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b status.Rendition) int { return (a.Width-b.Width)*1000 + a.Quality - b.Quality })
	return all
}

// picture returns the frame with the look, for a snapshot.
func (rs *renditions) picture(ctx context.Context, l look, frame *device.Frame) (made *device.Frame, refusal string, err error) {
	r, refusal := rs.use(l)
	if r == nil {
		return nil, refusal, nil
	}
	defer rs.release(r)
	made, err = r.make(ctx, frame)
	return made, "", err
}
