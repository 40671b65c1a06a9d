package capture

import (
	"context"
	"errors"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// worker turns the buffers of one session into frames. Its methods belong to the
// capture goroutine, except deliver.
type worker struct {
	s       *Supervisor
	granted device.Format
	rework  Rework // of the camera's own JPEG, nil when that is passed through
	finish  Rework // of every picture, or nil

	// Of raw pictures only.
	choice *chosen
	lanes  *encode.Parallel // nil when the camera makes JPEG
	raw    rawLayout
	pace   pace

	// These belong to whoever publishes: the capture goroutine, or deliver.
	delivered bool
	sampling  string // the colour resolution of the pictures; empty before the first
}

// newWorker prepares the work on pictures of a format.
func (s *Supervisor) newWorker(ctx context.Context, granted device.Format) (w *worker, err error) {
	w = &worker{s: s, granted: granted, pace: pace{format: granted, cores: s.config().Cores}}
	if granted.FourCC.Compressed() {
		if s.config().NewRework != nil {
			w.rework = s.config().NewRework()
		}
	} else {
		if w.raw, err = newRawLayout(granted); err != nil {
			return nil, err
		}
		s.mu.Lock()
		encoders := s.encoders
		s.mu.Unlock()
		if w.choice, err = encoders.choose(ctx, granted, w.raw, w.encoderChanged); err != nil {
			return nil, err
		}
		w.lanes, err = encode.NewParallel(ctx, 1, w.newEncoder, w.deliver)
		if err != nil {
			w.choice.Close()
			return nil, err
		}
	}
	if s.config().NewFinish != nil {
		w.finish = s.config().NewFinish()
	}
	return w, nil
}

// newEncoder gives the lanes the chosen encoder first, and then more of its kind.
func (w *worker) newEncoder(ctx context.Context) (device.Encoder, error) {
	if w.lanes == nil {
		return w.choice, nil
	}
	return w.choice.another(ctx)
}

// close waits for the pictures in work and frees everything.
func (w *worker) close() {
	if w.lanes != nil {
		w.lanes.Close()
	}
	if w.rework != nil {
		w.rework.Close()
	}
	if w.finish != nil {
		w.finish.Close()
	}
}

// encoderName says who makes the JPEG, and whether that is hardware.
func (w *worker) encoderName() (name string, hardware bool) {
	switch {
	case w.choice != nil:
		return w.choice.which()
	case w.rework != nil && w.rework.Name() != "":
		return "camera, changed by " + w.rework.Name(), false
	}
	return "camera", false
}

// encoderChanged notes that another encoder took over.
func (w *worker) encoderChanged(name string, hardware bool) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.st.Encoder, w.s.st.EncoderHardware = name, hardware
	w.pace.reset()
}

// ready waits until the next picture can be worked on at once, so that it is the
// newest one. That is also when the number of lanes is reconsidered.
func (w *worker) ready(ctx context.Context) error {
	if w.lanes == nil {
		return nil
	}
	if want := w.pace.width(w.lanes.Width()); want != w.lanes.Width() {
		if _, hardware := w.choice.which(); hardware && want > 1 {
			w.pace.fixed()
		} else if err := w.lanes.SetWidth(ctx, want); err != nil {
			w.pace.fixed()
			w.s.config().Logger.Debug("pictures are not encoded in parallel", "width", want, "err", err)
		} else {
			w.s.widthChanged(want)
		}
	}
	return w.lanes.Ready(ctx)
}

// take takes pictures from the camera until that fails, or ctx or next ends: the
// context for the calls of Next.
func (w *worker) take(ctx, next context.Context, cam device.Camera) error {
	use := func(b *device.Buffer) error { w.use(ctx, b); return nil }
	for {
		if err := w.ready(ctx); err != nil {
			return err
		}
		if err := cam.Next(next, use); err != nil {
			return err
		}
	}
}

// use takes one lent buffer. A bad picture is counted, never an error: the
// camera may recover with the next one.
func (w *worker) use(ctx context.Context, b *device.Buffer) {
	w.s.arrived(b)
	switch {
	case len(b.Data) == 0:
		w.s.bad(jpeg.ErrEmpty)
	case b.Corrupt:
		w.s.bad(errFlagged)
	case w.lanes == nil:
		w.passThrough(b)
	case !w.raw.holds(b):
		w.s.bad(jpeg.ErrTruncated)
	default:
		w.pace.picture(b)
		if err := w.lanes.Submit(ctx, b); err != nil {
			w.s.left() // the session ends, and this picture with it
		}
	}
}

// Reasons for which a picture is not shown, beside those of pkg/jpeg.
var (
	errFlagged = errors.New("flagged as damaged by the driver")
	errEncode  = errors.New("cannot be encoded")
)

// passThrough makes the one copy of a JPEG picture that all viewers share.
func (w *worker) passThrough(b *device.Buffer) {
	p, err := jpeg.Clean(b.Data)
	if err != nil {
		w.s.bad(err)
		return
	}
	f := newFrame(b, p.Data, p.Width, p.Height)
	if w.rework != nil {
		if f.Data, f.Width, f.Height, err = w.rework.Rework(p.Data, p.Width, p.Height); err != nil {
			w.s.bad(errors.Join(errEncode, err))
			return
		}
	}
	w.publish(f, len(p.Data) != len(b.Data))
}

// deliver takes what the encoders made. It is called for one picture at a time,
// in their order.
func (w *worker) deliver(r encode.Result) {
	if r.Err != nil {
		w.s.bad(errors.Join(errEncode, r.Err))
		return
	}
	w.pace.encoded(r.Took)
	width, height := w.choice.Size()
	w.publish(newFrame(r.Buffer, r.JPEG, width, height), false)
}

func newFrame(b *device.Buffer, data []byte, width, height int) *device.Frame {
	return &device.Frame{Data: data, Width: width, Height: height, DriverSeq: b.DriverSeq, CapturedAt: b.CapturedAt}
}

// publish shows a live frame after the last change to it.
func (w *worker) publish(f *device.Frame, repaired bool) {
	if w.finish != nil {
		var err error
		if f.Data, f.Width, f.Height, err = w.finish.Rework(f.Data, f.Width, f.Height); err != nil {
			w.s.bad(errors.Join(errEncode, err))
			return
		}
	}
	if !w.delivered {
		w.delivered = true
		if info, err := jpeg.Header(f.Data); err == nil {
			w.sampling = info.Sampling
		}
	}
	w.s.good(f, repaired, w.sampling)
}
