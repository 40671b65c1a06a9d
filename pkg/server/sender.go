package server

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// This file is the way from a request for the stream to a viewer, and the sender
// of those whose connection is more than a bare socket, such as TLS: one goroutine
// for each, which gives it one write per picture. All others are served by the
// fan. fasthttp's own way to stream costs 75 writes for a picture of 150 KiB.

// Why viewers end, beside errors of the connection.
var (
	// errLeft: it closed its side.
	errLeft = errors.New("viewer left")
	// errTimedOut: it took nothing for Options.ViewerTimeout.
	errTimedOut = errors.New("viewer timed out")
)

// video answers GET with the stream and HEAD with what would come before it.
func (s *Server) video(ctx context.Context, c *fiber.Ctx) error {
	extra := s.crossOrigin(c)
	if c.Method() == fiber.MethodHead {
		for _, f := range append(extra, mjpeg.Fields()...) {
			c.Set(f.Name, f.Value)
		}
		return nil
	}
	wish, err := parseWish(c)
	if err != nil {
		return s.fail(c, fiber.StatusBadRequest, "", err.Error())
	}
	feed := &s.original
	if wish.look != (look{}) {
		r, refusal := s.renditions.use(wish.look)
		if r == nil {
			s.figures.refusedLook.Add(1)
			return unavailable(c, "10", refusal)
		}
		feed = &r.feed
	}
	watching := false
	defer func() {
		if !watching {
			s.releaseFeed(feed)
		}
	}()
	host, from := c.Context().RemoteIP().String(), address(c.Context().RemoteAddr())
	visit := visitOf(c)
	if visit == nil { // the application is not ours
		visit = &visitor{srv: s}
	}
	if client := visit.decision.Client; client.IsValid() && client.String() != host {
		host, from = client.String(), client.String() // there is a proxy in between
	}
	limits := s.limits.Load()
	switch s.viewers.admit(host, limits.MaxViewers, limits.MaxViewersPerAddress) {
	case refusedStopping:
		s.figures.stopping.Add(1)
		return unavailable(c, "5", "the server is shutting down")
	case refusedTotal:
		s.figures.refusedTotal.Add(1)
		return unavailable(c, "10", "too many viewers: "+strconv.Itoa(limits.MaxViewers)+" are watching")
	case refusedHost:
		s.figures.refusedHost.Add(1)
		return unavailable(c, "10", "too many viewers from your address: "+strconv.Itoa(limits.MaxViewersPerAddress)+" are watching")
	case admitted:
	}
	// Nothing of c is valid once the handler has returned: copy it. What
	// middleware put into the response, such as CORS headers, goes out with ours.
	extra = append(extra, ownFields(c, extra)...)
	v := &viewer{
		address:   from,
		userAgent: shorten(strings.Clone(c.Get(fiber.HeaderUserAgent)), 200),
		since:     time.Now(),
		head:      mjpeg.AppendHead(nil, c.Context().Request.Header.IsHTTP11(), extra...),
		host:      host,
		key:       wish.key,
		feed:      feed,
		advance:   wish.advance == unsizedAdvance,
		pace:      pace{interval: wish.interval},
	}
	switch wish.advance {
	case unsizedAdvance:
		v.head = mjpeg.AppendAdvance(v.head)
	case sizedAdvance:
		v.ahead = &mjpeg.Ahead{Filler: &mjpeg.Filler{}}
	case noAdvance:
	}
	watching = true
	if guard := guardOf(c); guard != nil {
		v.who = visit.decision.Principal
		v.watch = guard.Watch(v.who)
	}
	visit.srv.conns.expect(c.Context().Conn(), func() {
		if v.watch != nil {
			v.watch.Release()
		}
		s.releaseFeed(feed)
		s.viewers.release(host)
	})
	c.Context().HijackSetNoResponse(true)
	c.Context().Hijack(func(conn net.Conn) {
		// Below fasthttp's wrapper is the connection itself.
		if w, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
			conn = w.UnsafeConn()
		}
		visit.srv.conns.arrived(conn)
		v.letGo = hold(conn)
		conn = bareConn(conn)
		s.subscribe(ctx, v)
		if s.fan != nil && s.fan.take(v, conn) {
			return // with its memory: fasthttp keeps 12 KiB per request that is being handled
		}
		defer s.viewers.release(host)
		defer s.unsubscribe(v)
		v.conn = conn
		s.serveViewer(ctx, v)
	})
	return nil
}

// subscribe gives v its place at its feed.
func (s *Server) subscribe(ctx context.Context, v *viewer) {
	if r := v.feed.rendition; r != nil {
		r.watch(ctx, v)
		return
	}
	v.sub = v.feed.hub.Subscribe()
}

// unsubscribe undoes subscribe, and gives up the feed.
func (s *Server) unsubscribe(v *viewer) {
	v.sub.Close()
	v.letGo()
	if v.watch != nil {
		v.watch.Release()
	}
	if r := v.feed.rendition; r != nil {
		r.leave(v)
	}
	s.releaseFeed(v.feed)
}

// releaseFeed gives up a feed that was asked for.
func (s *Server) releaseFeed(f *feed) {
	if f.rendition != nil {
		s.renditions.release(f.rendition)
	}
}

// unavailable answers that it may work later, after so many seconds.
func unavailable(c *fiber.Ctx, seconds, text string) error {
	c.Set(fiber.HeaderRetryAfter, seconds)
	return fiber.NewError(fiber.StatusServiceUnavailable, text)
}

// ownFields returns the header fields that middleware set, but for those that
// the stream sets itself.
func ownFields(c *fiber.Ctx, taken []mjpeg.Field) []mjpeg.Field {
	var fields []mjpeg.Field
	taken = append(mjpeg.Fields(), taken...)
	c.Response().Header.VisitAll(func(name, value []byte) {
		f := mjpeg.Field{Name: string(name), Value: string(value)}
		same := func(t mjpeg.Field) bool { return strings.EqualFold(t.Name, f.Name) }
		if !slices.ContainsFunc(taken, same) && !strings.EqualFold(f.Name, fiber.HeaderContentLength) && !strings.EqualFold(f.Name, fiber.HeaderConnection) {
			fields = append(fields, f)
		}
	})
	return fields
}

// serveViewer sends the stream to v until one side ends it.
func (s *Server) serveViewer(ctx context.Context, v *viewer) {
	if !s.viewers.add(v) {
		return
	}
	defer s.viewers.remove(v)
	s.log.Debug("viewer connected", "viewer", v.id, "address", v.address, "user_agent", v.userAgent)

	ctx, cancel := context.WithCancelCause(ctx)
	out := &output{conn: v.conn, timeout: s.limits.Load().ViewerTimeout}
	var watching sync.WaitGroup
	watching.Go(func() { cancel(awaitEnd(v.conn)) })
	watching.Go(func() { awaitBar(ctx, v, out, cancel) })
	err := s.send(ctx, v, out)
	if v.barred() {
		err = errBarred
	}
	_ = v.conn.Close() // wakes awaitEnd; err says more than its error
	cancel(err)        // wakes awaitBar
	watching.Wait()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errTimedOut
	}
	s.logEnd(v, err)
}

// logEnd tells how a viewer ended; err is nil after the final picture.
func (s *Server) logEnd(v *viewer, err error) {
	s.figures.ended(err)
	args := []any{
		"viewer", v.id, "address", v.address, "frames", v.frames.Load(),
		"dropped", v.sub.Dropped(), "duration_seconds", time.Since(v.since).Seconds(),
	}
	if errors.Is(err, errTimedOut) {
		s.log.Info("viewer timed out", append(args, "timeout_seconds", s.limits.Load().ViewerTimeout.Seconds())...)
		return
	}
	s.log.Debug("viewer ended", append(args, "err", err)...)
}

// awaitEnd reads, and forgets, what the viewer sends. It returns when the
// viewer has closed its side: browsers say nothing else before they go.
func awaitEnd(conn net.Conn) error {
	buf := make([]byte, 256)
	for {
		if _, err := conn.Read(buf); err != nil {
			return errLeft
		}
	}
}

// send writes the head and then every picture the viewer has time for. It
// returns nil after the final one.
func (s *Server) send(ctx context.Context, v *viewer, out *output) error {
	head := v.head
	if v.feed.rendition != nil || v.feed.hub.Latest() == nil {
		// The camera may take a while: let the client know that it is right here.
		n, err := out.write(time.Now(), head)
		v.bytes.Add(uint64(n))
		if err != nil {
			return err
		}
		head = nil
	}
	var pieces [][]byte
	for {
		frame, final, err := s.await(ctx, v)
		if v.barred() {
			if head == nil && v.canClose() {
				_, _ = out.write(time.Now(), []byte(closing)) // if it can be sent
			}
			return errBarred
		}
		if err != nil {
			if errors.Is(err, fanout.ErrClosed) {
				return nil
			}
			return err
		}
		pieces = pieces[:0]
		if head != nil {
			pieces = append(pieces, head)
			head = nil
		}
		part := s.encoded(v.feed, frame)
		if v.ahead != nil {
			v.ahead.Take(part, final)
		}
		pieces = v.appendPart(pieces, part, final)
		now := time.Now()
		v.took(frame, now)
		n, err := out.write(now, pieces...)
		v.bytes.Add(uint64(n))
		if err != nil {
			return err
		}
		s.delivered(v, frame, time.Now())
		if final {
			return nil
		}
	}
}

// await waits for a picture that is newer than the last one and not too early.
func (s *Server) await(ctx context.Context, v *viewer) (*device.Frame, bool, error) {
	for {
		changed := v.feed.hub.Changed()
		now := time.Now()
		if !v.pace.ready(now) {
			v.sub.Skip()
		}
		if frame, final, err := v.sub.Take(); frame != nil || err != nil {
			v.want(never)
			v.pace.took(now)
			return frame, final, err
		}
		v.want(v.nextMoment())
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// appendPart appends the part as v wants it.
func (v *viewer) appendPart(pieces [][]byte, e *mjpeg.Encoded, final bool) [][]byte {
	if v.ahead != nil {
		return v.ahead.AppendTo(pieces)
	}
	if v.advance {
		return e.AppendAdvancedTo(pieces, final)
	}
	return e.AppendTo(pieces, final)
}

// delivered counts a picture whose last byte the kernel has taken.
func (s *Server) delivered(v *viewer, frame *device.Frame, now time.Time) {
	// The first picture may be old: nobody sent it before the viewer came.
	if v.frames.Load() > 0 {
		s.figures.handed.Observe(now.Sub(frame.PublishedAt))
		s.figures.whole.Observe(now.Sub(frame.CapturedAt))
	}
	v.frames.Add(1)
	v.rate.count(now)
	v.handed(frame, now)
}

// encoded returns the part of a frame of the feed.
func (s *Server) encoded(f *feed, frame *device.Frame) *mjpeg.Encoded {
	e, isNew := f.encoded(frame)
	if isNew && f.rendition == nil {
		s.figures.published.Observe(frame.PublishedAt.Sub(frame.CapturedAt))
	}
	return e
}

// output writes to one connection.
type output struct {
	conn    net.Conn
	timeout time.Duration
	joined  []byte
	fitted  int // bytes that the kernel's buffer was sized for

	mu   sync.Mutex
	last time.Time // guarded by mu; when all writes have to be over, if not zero
}

// minSendBuffer is the least the kernel may hold for a viewer, in bytes, as for
// the sockets of the fan.
const minSendBuffer = 64 << 10

// fit bounds what the kernel holds for the viewer to a little more than one
// message of size bytes, where there is a socket below. Linux doubles what it is
// asked for (man 7 socket, SO_SNDBUF).
func (o *output) fit(size int) {
	if size <= o.fitted && size > o.fitted/3 {
		return
	}
	o.fitted = size + size/4
	conn := o.conn
	for below := inner(conn); below != nil; below = inner(conn) { // as tls.Conn has it
		conn = below
	}
	if s, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = s.SetWriteBuffer(max(o.fitted, minSendBuffer) / 2) // best effort: the kernel's own size works, with more delay
	}
}

// write sends all pieces with one call; TLS and the like would make a packet of
// every piece. It gives up when that takes longer than the timeout.
func (o *output) write(now time.Time, pieces ...[]byte) (int, error) {
	if err := o.deadline(now.Add(o.timeout)); err != nil {
		return 0, err
	}
	o.joined = o.joined[:0]
	for _, p := range pieces {
		o.joined = append(o.joined, p...)
	}
	o.fit(len(o.joined))
	return o.conn.Write(o.joined)
}

// address names a peer. Those of Unix sockets have no name.
func address(a net.Addr) string {
	if a == nil {
		return ""
	}
	if s := a.String(); s != "" && s != "@" {
		return s
	}
	return a.Network()
}

// shorten cuts s to n bytes and to valid text.
func shorten(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
