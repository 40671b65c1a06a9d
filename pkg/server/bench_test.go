package server

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/fanout"
	"github.com/webgear-pi/webgear/pkg/mjpeg"
)

// newHubWith returns a hub that has a frame.
func newHubWith(f *device.Frame) *fanout.Hub {
	h := fanout.New()
	h.Publish(f)
	return h
}

// crowd is n viewers that read parts of a known length and say so.
type crowd struct {
	conns []net.Conn
	got   sync.WaitGroup // per frame
	ended sync.WaitGroup
}

// gather connects n viewers and lets them read the head and the first frame.
func gather(tb testing.TB, r *rig, n int, sample *device.Frame) *crowd {
	tb.Helper()
	size := 0
	sample.Seq = manyDigits
	for _, p := range mjpeg.Encode(sample).AppendTo(nil, false) {
		size += len(p)
	}
	c := &crowd{}
	for range n {
		conn := dial(tb, r.addr)
		if _, err := io.WriteString(conn, getVideo); err != nil {
			tb.Fatal(err)
		}
		// Head and first frame; after its trailer only whole frames follow.
		var b []byte
		for one := make([]byte, 1); strings.Count(string(b), "--frame\r\n") < 2; b = append(b, one...) {
			if _, err := conn.Read(one); err != nil {
				tb.Fatal(err)
			}
		}
		if err := conn.SetDeadline(time.Time{}); err != nil {
			tb.Fatal(err)
		}
		c.conns = append(c.conns, conn)
	}
	r.viewing(tb, n)
	for _, conn := range c.conns {
		c.ended.Go(func() {
			buf := make([]byte, size)
			for {
				if _, err := io.ReadFull(conn, buf); err != nil {
					return
				}
				c.got.Done()
			}
		})
	}
	return c
}

// send publishes f and waits until everybody has it.
func (c *crowd) send(r *rig, f *device.Frame) {
	c.got.Add(len(c.conns))
	r.hub.Publish(f)
	c.got.Wait()
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.ended.Wait()
}

// manyDigits is a sequence number that does not get longer during a test, so
// that all parts have the same length.
const manyDigits = 100_000

// skip publishes short frames up to it.
func skip(r *rig) {
	for range manyDigits {
		r.hub.Publish(picture("x"))
	}
}

// TestSendingDoesNotAllocatePerViewer holds the cost of a picture: what is
// allocated per frame must not grow with the viewers.
func TestSendingDoesNotAllocatePerViewer(t *testing.T) {
	data := []byte(strings.Repeat("x", 20_000))
	perFrame := map[int]float64{}
	for _, viewers := range []int{1, 17} {
		t.Run(fmt.Sprintf("viewers=%d", viewers), func(t *testing.T) {
			r := start(t, Options{})
			skip(r)
			c := gather(t, r, viewers, &device.Frame{Data: data})
			defer c.leave()
			c.send(r, &device.Frame{Data: data}) // sizes buffers
			const n = 200
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range n {
				c.send(r, &device.Frame{Data: data})
			}
			runtime.ReadMemStats(&after)
			perFrame[viewers] = float64(after.Mallocs-before.Mallocs) / n
		})
	}
	t.Logf("allocations per frame, by viewers: %v", perFrame)
	if perViewer := (perFrame[17] - perFrame[1]) / 16; perViewer > 0.5 {
		t.Errorf("%.2f allocations per viewer and frame", perViewer)
	}
}

// BenchmarkPublishToViewers gives the cost of one picture for all its viewers,
// readers included:
// go test -run xxx -bench PublishToViewers -benchmem ./pkg/server.
func BenchmarkPublishToViewers(b *testing.B) {
	data := []byte(strings.Repeat("x", 56_000))
	for _, viewers := range []int{1, 8, 32, 100} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			r := start(b, Options{})
			skip(r)
			c := gather(b, r, viewers, &device.Frame{Data: data})
			defer c.leave()
			b.SetBytes(int64(len(data) * viewers))
			b.ReportAllocs()
			for b.Loop() {
				c.send(r, &device.Frame{Data: data})
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*viewers), "µs/frame·viewer")
		})
	}
}
