package server

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// This file is the whole way from a request for the stream to its end: one
// goroutine per viewer, which takes the connection from fasthttp and gives it
// one vectored write per picture. fasthttp's own way to stream costs 75 writes
// for a picture of 150 KiB.

// minSendBuffer is the least the kernel may hold for a viewer, in bytes. Chosen:
// a Wi-Fi link of 50 Mbit/s with 10 ms of delay has that much under way.
const minSendBuffer = 64 << 10

// errLeft is why a viewer ends that closed its connection.
var errLeft = errors.New("viewer left")

// video answers GET with the stream and HEAD with what would come before it.
func (s *Server) video(ctx context.Context, c *fiber.Ctx) error {
	var extra []mjpeg.Field
	if s.opts.AllowOrigin != "" && c.GetRespHeader(fiber.HeaderAccessControlAllowOrigin) == "" {
		extra = []mjpeg.Field{{Name: fiber.HeaderAccessControlAllowOrigin, Value: s.opts.AllowOrigin}}
	}
	if c.Method() == fiber.MethodHead {
		for _, f := range append(extra, mjpeg.Fields()...) {
			c.Set(f.Name, f.Value)
		}
		return nil
	}
	if !s.viewers.admit() {
		c.Set(fiber.HeaderRetryAfter, "5")
		return fiber.NewError(fiber.StatusServiceUnavailable, "the server is shutting down")
	}
	// Nothing of c is valid once the handler has returned: copy it. What
	// middleware put into the response, such as CORS headers, goes out with ours.
	extra = append(extra, ownFields(c, extra)...)
	head := mjpeg.AppendHead(nil, c.Context().Request.Header.IsHTTP11(), extra...)
	v := &viewer{
		address:   address(c.Context().RemoteAddr()),
		userAgent: shorten(strings.Clone(c.Get(fiber.HeaderUserAgent)), 200),
		since:     time.Now(),
	}
	c.Context().HijackSetNoResponse(true)
	c.Context().Hijack(func(conn net.Conn) {
		defer s.viewers.release()
		// Below fasthttp's wrapper is the connection that can write vectors.
		if w, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
			conn = w.UnsafeConn()
		}
		v.conn = conn
		s.serveViewer(ctx, v, head)
	})
	return nil
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
func (s *Server) serveViewer(ctx context.Context, v *viewer, head []byte) {
	v.sub = s.opts.Hub.Subscribe()
	defer v.sub.Close()
	if !s.viewers.add(v) {
		return
	}
	defer s.viewers.remove(v)
	s.log.Debug("viewer connected", "viewer", v.id, "address", v.address, "user_agent", v.userAgent)

	ctx, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		cancel(awaitEnd(v.conn))
	}()
	err := s.send(ctx, v, head)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What is still in the kernel will never be read: have it thrown away
		// with the connection instead of being sent again for minutes.
		if tcp, ok := v.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort
		}
	}
	_ = v.conn.Close() // wakes awaitEnd; err says more than its error
	<-watching

	args := []any{
		"viewer", v.id, "address", v.address, "frames", v.frames.Load(),
		"dropped", v.sub.Dropped(), "duration_seconds", time.Since(v.since).Seconds(),
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.log.Info("viewer timed out", append(args, "timeout_seconds", s.opts.ViewerTimeout.Seconds())...)
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

// send writes head and then every picture the viewer has time for. It returns
// nil after the final one.
func (s *Server) send(ctx context.Context, v *viewer, head []byte) error {
	out := &output{conn: v.conn, timeout: s.opts.ViewerTimeout}
	switch v.conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		out.vectored = true
	}
	if s.opts.Hub.Latest() == nil {
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
		frame, final, err := v.sub.Next(ctx)
		if err != nil {
			if errors.Is(err, fanout.ErrClosed) {
				return nil
			}
			return err
		}
		out.fit(len(frame.Data))
		pieces = pieces[:0]
		if head != nil {
			pieces = append(pieces, head)
			head = nil
		}
		pieces = s.encoded(frame).AppendTo(pieces, final)
		now := time.Now()
		n, err := out.write(now, pieces...)
		v.bytes.Add(uint64(n))
		if err != nil {
			return err
		}
		v.frames.Add(1)
		v.rate.count(now)
		if final {
			return nil
		}
	}
}

// encoded returns the part of frame, which is made once for all viewers. When
// two of them ask first, one result wins and both are right.
func (s *Server) encoded(frame *device.Frame) *mjpeg.Encoded {
	if e := s.part.Load(); e != nil && e.Frame == frame {
		return e
	}
	e := mjpeg.Encode(frame)
	s.part.Store(e)
	return e
}

// output writes to one connection.
type output struct {
	conn     net.Conn
	timeout  time.Duration
	vectored bool // conn turns net.Buffers into one writev

	array   [4][]byte // memory of vector
	vector  net.Buffers
	joined  []byte // what is written when conn is not vectored
	fitting int    // bytes of the picture that the send buffer was made for
}

// write sends all pieces with one system call, unless the socket is full. It
// gives up when that takes longer than the timeout.
func (o *output) write(now time.Time, pieces ...[]byte) (int, error) {
	if err := o.conn.SetWriteDeadline(now.Add(o.timeout)); err != nil {
		return 0, err
	}
	if o.vectored {
		o.vector = append(o.array[:0], pieces...)
		n, err := o.vector.WriteTo(o.conn)
		return int(n), err
	}
	// Any other connection, such as TLS, would make a packet of every piece.
	o.joined = o.joined[:0]
	for _, p := range pieces {
		o.joined = append(o.joined, p...)
	}
	return o.conn.Write(o.joined)
}

// fit sizes the socket's send buffer for pictures of size bytes, so that a slow
// viewer finds about two of them there and not the whole past: Linux would
// let it grow to 4 MiB.
//
// Linux doubles the number it is given, to make room for its own bookkeeping
// (man 7 socket, SO_SNDBUF), and with pictures that bookkeeping is small: asking
// for the size of one makes room for two. More than net.core.wmem_max (208 KiB
// by default) is not granted; larger pictures just find room for less.
func (o *output) fit(size int) {
	size = max(size, minSendBuffer/2)
	if size <= o.fitting && size > o.fitting/3 {
		return
	}
	size += size / 4 // pictures differ: leave room, to come here rarely
	o.fitting = size
	if c, ok := o.conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(size) // best effort: the kernel's default works, with more delay
	}
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
