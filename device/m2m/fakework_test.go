package m2m

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/webgear-pi/webgear/device"
)

func writeFile(tb testing.TB, path string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// buffer answers QUERYBUF, QBUF and DQBUF.
func (n *fakeNode) buffer(req uintptr, b *rawBuffer) error {
	q := n.queue(b.Type)
	if q == nil || b.Memory != q.memory {
		return unix.EINVAL
	}
	var plane *rawPlane
	if n.multi() {
		if b.Length != 1 || b.M == 0 {
			return unix.EINVAL
		}
		plane = *(**rawPlane)(unsafe.Pointer(&b.M))
	}
	offset, ok := q.buffers[b.Index]
	if !ok {
		return unix.EINVAL
	}
	switch req {
	case vidiocQueryBuf:
		if plane != nil {
			plane.M, plane.Length = uintptr(offset), uint32(len(n.memory[offset]))
		} else {
			b.M, b.Length = uintptr(offset), uint32(len(n.memory[offset]))
		}
		return nil
	case vidiocQBuf:
		used, room, memory := b.BytesUsed, b.Length, b.M
		if plane != nil {
			used, room, memory = plane.BytesUsed, plane.Length, plane.M
		}
		var picture []byte
		if q.memory == memoryDMABUF {
			picture = n.shared[int(memory)]
			switch {
			case picture == nil:
				return unix.EBADF
			case n.imports == "refused":
				return unix.EFAULT
			case room < q.format.Planes[0].SizeImage:
				return unix.EINVAL
			case int(room) > len(picture):
				return unix.EFAULT
			}
		}
		if slices.ContainsFunc(q.queued, func(o fakeBuffer) bool { return o.index == b.Index }) {
			return unix.EINVAL // twice
		}
		if q == &n.queues[0] && used < q.format.Planes[0].SizeImage {
			return unix.EINVAL // half a picture
		}
		q.queued = append(q.queued, fakeBuffer{index: b.Index, used: used, sec: b.Sec, usec: b.Usec, picture: picture})
		n.work()
		return nil
	}
	if len(q.done) == 0 || q.done[0].ready.After(time.Now()) {
		if q.ended {
			return unix.EPIPE
		}
		return unix.EAGAIN
	}
	d := q.done[0]
	q.done = slices.Delete(q.done, 0, 1)
	b.Index, b.Flags, b.Sec, b.Usec, b.BytesUsed = d.index, d.flags, d.sec, d.usec, d.used
	if plane != nil {
		plane.BytesUsed, plane.DataOffset, b.BytesUsed = d.used, d.offset, 0
	}
	q.ended = q.ended || d.flags&bufFlagLast != 0
	return nil
}

func (n *fakeNode) poll(d time.Duration) (int16, error) {
	if err := n.call("poll"); err != nil {
		return 0, err
	}
	deadline := time.Now().Add(d)
	for {
		n.mu.Lock()
		events, wake := n.events, deadline
		if n.spurious > 0 {
			n.spurious--
			events |= unix.POLLIN
		}
		for i, bit := range []int16{unix.POLLOUT, unix.POLLIN} {
			if done := n.queues[i].done; len(done) > 0 {
				if !done[0].ready.After(time.Now()) {
					events |= bit
				} else if done[0].ready.Before(wake) {
					wake = done[0].ready
				}
			}
		}
		n.mu.Unlock()
		if events != 0 || !time.Now().Before(deadline) {
			return events, nil
		}
		timer := time.NewTimer(time.Until(wake))
		<-timer.C
	}
}

// work encodes as long as there is a picture and room for its result.
func (n *fakeNode) work() {
	in, out := &n.queues[0], &n.queues[1]
	for in.on && out.on && len(in.queued) > 0 && len(out.queued) > 0 {
		if n.stray != nil && n.strayN == 0 {
			n.strayN++
			r := out.queued[0]
			out.queued = slices.Delete(out.queued, 0, 1)
			r.used = uint32(copy(n.memory[out.buffers[r.index]], n.stray))
			out.done = append(out.done, r)
			continue
		}
		p, r := in.queued[0], out.queued[0]
		in.queued, out.queued = slices.Delete(in.queued, 0, 1), slices.Delete(out.queued, 0, 1)
		fate := ""
		if len(n.fate) > 0 {
			fate, n.fate = n.fate[0], n.fate[1:]
		}
		n.finish(p, r, fate)
	}
}

func (n *fakeNode) finish(p, r fakeBuffer, fate string) {
	in, out := &n.queues[0], &n.queues[1]
	picture := n.memory[in.buffers[p.index]]
	if p.picture != nil {
		picture = p.picture
		switch n.imports {
		case "garbled":
			picture = make([]byte, len(picture))
		case "lost":
			out.queued = append(out.queued, r)
			return
		}
	}
	if n.keep {
		n.fed = append(n.fed, bytes.Clone(picture))
	}
	p.ready = time.Now().Add(n.delay)
	r.ready, r.sec, r.usec, r.offset = p.ready, p.sec, p.usec, n.offset
	result := n.canned
	if result == nil {
		result = n.encode(in, picture)
	}
	switch fate {
	case "lost":
		out.queued = append(out.queued, r)
		return
	case "half lost":
		in.done = append(in.done, p)
		return
	case "gone":
		n.gone = true
		return
	case "hangup":
		n.events = unix.POLLERR | unix.POLLHUP
		return
	case "failed queue":
		n.events = unix.POLLERR
		return
	case "error":
		p.flags, r.flags, result = bufFlagError, bufFlagError, nil
	case "error of the result":
		r.flags = bufFlagError
	case "empty":
		result = nil
	case "last":
		r.flags, result = bufFlagLast, nil
	case "stray last":
		r.flags, result, r.sec, r.usec = bufFlagLast, nil, 0, 0
	case "wrong time":
		r.sec += 100
	case "cut":
		result = result[:len(result)*2/3]
	case "text":
		result = []byte("this is no picture")
	case "padded":
		result = append(bytes.Clone(result), make([]byte, 100)...)
	case "too long":
		r.index += 7
	}
	in.done = append(in.done, p)
	if n.offset > 0 {
		result = append(make([]byte, n.offset), result...)
	}
	if offset, ok := out.buffers[r.index]; ok {
		r.used = uint32(copy(n.memory[offset], result))
	}
	out.done = append(out.done, r)
}

// quality maps whatever control there is to that of image/jpeg.
func (n *fakeNode) quality() int {
	for id, l := range n.controls {
		v, ok := n.set[id]
		if !ok {
			v = l[2]
		}
		if id == cidVideoBitrate {
			f := n.queues[0].format
			perPixel := float64(v) * float64(n.rate[1]) / float64(n.rate[0]) / float64(f.Width*f.Height)
			v = int32(25 * math.Log2(perPixel/0.1)) // bitRate, turned around
		}
		return int(min(max(v, 1), 100))
	}
	return 75
}

// encode reads a picture as the hardware does: planes at the offsets that the
// granted format implies.
func (n *fakeNode) encode(q *fakeQueue, data []byte) []byte {
	n.encoded++
	f := q.format
	w, h, stride := int(f.Width), int(f.Height), int(f.Planes[0].BytesPerLine)
	if n.visible {
		w, h = int(q.want[0]), int(q.want[1])
	}
	lines := int(f.Height)
	var img image.Image
	switch fourcc := device.FourCC(f.PixelFormat); fourcc {
	case device.YU12:
		c := stride / 2 * (lines / 2)
		y := image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420)
		*y = image.YCbCr{
			Y: data, Cb: data[stride*lines:], Cr: data[stride*lines+c:], YStride: stride, CStride: stride / 2,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, w, h),
		}
		img = y
	case device.GREY:
		img = &image.Gray{Pix: data, Stride: stride, Rect: image.Rect(0, 0, w, h)}
	case device.RGB24:
		rgb := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				p := data[y*stride+3*x:]
				rgb.SetRGBA(x, y, color.RGBA{p[0], p[1], p[2], 255})
			}
		}
		img = rgb
	default:
		img = unpack(fourcc, data, w, h, stride, lines)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: n.quality()}); err != nil {
		return []byte(err.Error())
	}
	return b.Bytes()
}

// unpack is for pictures with interleaved chroma; that of every second row is
// left out.
func unpack(fourcc device.FourCC, data []byte, w, h, stride, lines int) image.Image {
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for y := range h {
		for x := range w {
			yi, ci := img.YOffset(x, y), img.COffset(x, y)
			if fourcc == device.NV12 {
				img.Y[yi] = data[y*stride+x]
				uv := data[lines*stride+y/2*stride+x&^1:]
				img.Cb[ci], img.Cr[ci] = uv[0], uv[1]
				continue
			}
			l, c := 0, 1
			if fourcc == device.UYVY {
				l, c = 1, 0
			}
			pair := data[y*stride+x/2*4:]
			img.Y[yi] = pair[2*(x%2)+l]
			img.Cb[ci], img.Cr[ci] = pair[c], pair[2+c]
		}
	}
	return img
}
