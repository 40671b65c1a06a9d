package libcamera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/device/feed"
	"github.com/webgear-pi/webgear/device/jpegscan"
)

const (
	// maxJPEG bounds a picture, in bytes. Chosen: 64 megapixels at quality 100
	// stay below.
	maxJPEG = 64 << 20
	// jpegChunk is read at once, in bytes. Chosen: a usual picture.
	jpegChunk = 256 << 10
	// quietTime is the pause that tells the end of the first raw picture, when
	// its size has to be measured. Chosen: far longer than a program that can
	// write pauses in a picture, and shorter than the pause between two.
	quietTime = 10 * time.Millisecond
)

var errStride = errors.New("pictures have an unknown number of bytes per row")

// pipe is what pictures are read from.
type pipe interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// rawPictures reads pictures of one size until that fails, and gives how many
// there were. What is short at the end is no picture.
func (s *stream) rawPictures() (count uint32, err error) {
	// The size was said before the first byte comes.
	var first [1]byte
	if _, err := io.ReadFull(s.child, first[:]); err != nil {
		return 0, err
	}
	p := s.ses.feed.Blank()
	f, used := s.plan.format, 1
	f.Width, f.Height = s.grantedSize(f.Width, f.Height)
	strides := s.plan.strides(f.Width)
	if len(strides) > 1 {
		p.Buffer.Data, f.Stride, used, err = measure(s.child, first[0], f.Height, strides, quiet(f.Rate))
	} else {
		f.Stride = strides[0]
		data := p.Grow(rawBytes(f.Stride, f.Height))
		data[0] = first[0]
		_, err = io.ReadFull(s.child, data[1:])
	}
	if err != nil {
		s.ses.feed.Drop(p)
		return 0, err
	}
	size := rawBytes(f.Stride, f.Height)
	for range used - 1 {
		count++
		s.facts.skipped()
	}
	s.grantAndPublish(f, p, count)
	for {
		count++
		p := s.ses.feed.Blank()
		if _, err := io.ReadFull(s.child, p.Grow(size)); err != nil {
			s.ses.feed.Drop(p)
			return count, err
		}
		s.publish(p, count, time.Now())
	}
}

// grantAndPublish makes the format known together with the first picture.
func (s *stream) grantAndPublish(f device.Format, p *feed.Picture, seq uint32) {
	s.format = f
	s.publish(p, seq, time.Now())
	close(s.opened)
}

// grantedSize gives the size that libcamera said it makes; versions that do not
// say have not changed it.
func (s *stream) grantedSize(width, height int) (int, int) {
	timer := time.NewTimer(sizeWait)
	defer timer.Stop()
	select {
	case <-s.voice.sized:
		return s.voice.size()
	case <-timer.C:
	case <-s.quit:
	}
	return width, height
}

// quiet is the pause that tells the end of a picture at this rate.
func quiet(rate device.Rate) time.Duration {
	interval := time.Duration(float64(time.Second) / max(1, rate.Float()))
	return min(quietTime, interval/3)
}

// measure reads whole raw pictures, of which first is the first byte, up to a
// pause, and tells by their size which of the strides they have. It gives the
// last picture and how many there were.
func measure(in pipe, first byte, height int, strides []int, pause time.Duration) (last []byte, stride, count int, err error) {
	most := 2 * rawBytes(slices.Max(strides), height)
	data := append(make([]byte, 0, most+1), first)
	for len(data) <= most {
		if err := in.SetReadDeadline(time.Now().Add(pause)); err != nil {
			return nil, 0, 0, err
		}
		n, err := in.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			for _, stride := range strides {
				if size := rawBytes(stride, height); len(data)%size == 0 {
					return data[len(data)-size:], stride, len(data) / size, in.SetReadDeadline(time.Time{})
				}
			}
			if len(data) < rawBytes(slices.Min(strides), height) {
				pause = quietTime // it is slow
			}
		case err != nil:
			return nil, 0, 0, err
		}
	}
	return nil, 0, 0, fmt.Errorf("%w: none of %v fits", errStride, strides)
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// jpegFrames takes a stream of JPEG pictures apart.
type jpegFrames struct {
	in     *counted
	window *jpegscan.Window
	split  *jpegscan.Splitter
	used   int64 // bytes up to the end of the last picture
}

func newJPEGFrames(r io.Reader) *jpegFrames {
	in := &counted{r: r}
	w := jpegscan.NewWindow(in, jpegChunk)
	return &jpegFrames{in: in, window: w, split: jpegscan.NewSplitter(w, maxJPEG)}
}

// next gives the next picture and its size. skipped is set when there was
// something else before it. data is valid until the next call.
func (j *jpegFrames) next(ctx context.Context) (data []byte, width, height int, skipped bool, err error) {
	data, width, height, err = j.split.Next(ctx)
	if err != nil {
		return nil, 0, 0, false, err
	}
	end := j.in.n - int64(len(j.window.Bytes()))
	skipped = end-j.used != int64(len(data))
	j.used = end
	return data, width, height, skipped, nil
}

// jpegPictures reads JPEG pictures until that fails, and gives how many there
// were. A picture is complete with its last byte; nothing is read to know that.
func (s *stream) jpegPictures(ctx context.Context) (count uint32, err error) {
	frames := newJPEGFrames(s.child)
	for {
		data, width, height, skipped, err := frames.next(ctx)
		if err != nil {
			return count, err
		}
		if skipped {
			s.facts.skipped()
			if count > 0 {
				count++ // at least one was lost
			}
		}
		if count > 0 && (width != s.format.Width || height != s.format.Height) {
			s.facts.skipped()
			count++
			continue
		}
		p := s.ses.feed.Blank()
		copy(p.Grow(len(data)), data)
		if count == 0 {
			f := s.plan.format
			f.Width, f.Height = width, height
			s.grantAndPublish(f, p, 0)
			count++
			continue
		}
		s.publish(p, count, time.Now())
		count++
	}
}
