package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// camera is a network camera that fails at random.
type camera struct {
	url      string
	srv      *http.Server
	wg       sync.WaitGroup
	pictures [][]byte

	mu     sync.Mutex
	rnd    *rand.Rand     // guarded by mu
	counts map[string]int // guarded by mu
}

func newCamera(seed uint64) (*camera, error) {
	c := &camera{rnd: rand.New(rand.NewPCG(seed, 1)), counts: map[string]int{}} //nolint:gosec // chance that can be repeated
	for i := range 8 {
		img := image.NewRGBA(image.Rect(0, 0, 320, 240))
		for y := range 240 {
			for x := range 320 {
				img.SetRGBA(x, y, color.RGBA{byte(x + 30*i), byte(y), byte(x*y/64 + i), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, nil); err != nil {
			return nil, err
		}
		c.pictures = append(c.pictures, b.Bytes())
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.url = "http://" + ln.Addr().String() + "/video"
	c.srv = &http.Server{Handler: http.HandlerFunc(c.serve), ReadHeaderTimeout: 10 * time.Second}
	c.wg.Go(func() { _ = c.srv.Serve(ln) }) // it ends by end
	return c, nil
}

func (c *camera) end() {
	_ = c.srv.Close() // whoever is there is cut off
	c.wg.Wait()
}

// chance draws a number below n, and counts a fault by its name.
func (c *camera) chance(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

func (c *camera) note(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[fault]++
}

func (c *camera) count() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// serve is one connection, which goes well for a while.
func (c *camera) serve(w http.ResponseWriter, r *http.Request) {
	if c.chance(8) == 0 {
		c.note("refused")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	c.note("connected")
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(50 * time.Millisecond) // 20 pictures per second
	defer tick.Stop()
	for i := 0; ; i++ {
		picture := c.pictures[i%len(c.pictures)]
		size := len(picture)
		switch c.chance(150) {
		case 0:
			c.note("ended inside a picture")
			_, _ = fmt.Fprintf(w, "--frame\r\nContent-Length: %d\r\n\r\n%s", size, picture[:size/2])
			return
		case 1:
			c.note("garbage")
			picture = bytes.Repeat([]byte("\xff\x00\xd8garbage"), 1+c.chance(5000))
			size = len(picture)
		case 2:
			c.note("silence")
			pause := time.NewTimer(time.Duration(c.chance(4000)) * time.Millisecond)
			select {
			case <-pause.C:
			case <-r.Context().Done():
			}
			pause.Stop()
		case 3:
			c.note("wrong length")
			size += c.chance(2000) - 1000
		case 4:
			c.note("cut off")
			picture = picture[:c.chance(size)]
			size = len(picture)
		case 5:
			c.note("ended")
			return
		}
		if _, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", size, picture); err != nil {
			return
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
