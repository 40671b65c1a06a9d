package testsrc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// ReplayOptions says how a recording is played.
type ReplayOptions struct {
	// Rate is pictures per second, 0.1 to 1000. Zero means what Start is asked
	// for, or 30.
	Rate device.Rate
	// Loop begins again at the end.
	Loop bool
}

// Replay is a camera that plays recorded JPEG pictures as they are. No picture
// is left out: when the consumer is late, the recording waits for it.
type Replay struct {
	life
	opt           ReplayOptions
	name          string
	width, height int
	pictures      pictures

	// Only the capturing goroutine uses what follows.
	granted device.Format
	pace    *pacer
	seq     uint32
	ended   bool
}

var _ device.Camera = (*Replay)(nil)

// pictures is a recording that can be read again from its beginning.
type pictures interface {
	// next gives a picture, valid until the next call, or io.EOF.
	next(ctx context.Context) (data []byte, width, height int, err error)
	rewind() error
	// Close wakes nothing, but next fails from then on.
	Close() error
}

// OpenReplay opens a recording: a file of JPEG pictures with anything between
// them (.mjpeg, or a saved multipart stream), or a folder of .jpg and .jpeg
// files in natural order. All pictures should have the size of the first.
func OpenReplay(ctx context.Context, path string, opt ReplayOptions) (*Replay, error) {
	r := &Replay{
		life: life{path: path, closed: make(chan struct{})},
		opt:  opt, name: "Recording " + filepath.Base(path),
	}
	if fps := opt.Rate.Float(); fps != 0 && grantRate(opt.Rate, opt.Rate) != opt.Rate {
		return nil, r.fail("open", device.ErrUnsupported, fmt.Errorf("rate %v: must be %v to %v frames per second", opt.Rate, minRate, maxRate))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, r.openError(err)
	}
	switch {
	case info.IsDir():
		r.pictures, err = openFolder(path)
	case info.Mode().IsRegular():
		r.pictures, err = openFile(path)
	default:
		return nil, r.fail("open", device.ErrUnsupported, errors.New("neither a file nor a folder"))
	}
	if err != nil {
		return nil, r.openError(err)
	}
	_, r.width, r.height, err = r.pictures.next(ctx)
	if err != nil {
		_ = r.pictures.Close() // the first error tells more
		return nil, r.openError(err)
	}
	return r, nil
}

func (r *Replay) openError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return r.fail("open", device.ErrUnsupported, errors.New("holds no JPEG pictures"))
	case errors.Is(err, fs.ErrNotExist):
		return r.fail("open", device.ErrNotFound, bare(err))
	case errors.Is(err, fs.ErrPermission):
		return r.fail("open", device.ErrPermission, bare(err))
	}
	return r.fail("open", nil, bare(err))
}

// bare takes operation and path off an error; ours says both already.
func bare(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// Info says what the camera is.
func (r *Replay) Info() device.Info {
	return device.Info{Driver: "testsrc", Name: r.name, Path: r.path, ID: r.path, Synthetic: true}
}

// Modes gives the one mode of the recording.
func (r *Replay) Modes(ctx context.Context) ([]device.Mode, error) {
	if err := r.check(ctx, "enumerate formats", false); err != nil {
		return nil, err
	}
	return []device.Mode{{
		FourCC: device.MJPG, Width: r.width, Height: r.height,
		Rates: []device.Rate{r.rate(device.Rate{})},
	}}, nil
}

func (r *Replay) rate(want device.Rate) device.Rate {
	if r.opt.Rate.Float() != 0 {
		return r.opt.Rate
	}
	return grantRate(want, device.Rate{Num: 30, Den: 1})
}

// Start plays from the beginning. Whatever is asked for, the recording's format
// is granted.
func (r *Replay) Start(ctx context.Context, want device.Format) (device.Format, error) {
	if err := r.check(ctx, "start", false); err != nil {
		return device.Format{}, err
	}
	if err := r.begin("start"); err != nil {
		return device.Format{}, err
	}
	if err := r.pictures.rewind(); err != nil {
		_ = r.Stop() // it did not begin
		return device.Format{}, r.readError("start", err)
	}
	r.granted = device.Format{FourCC: device.MJPG, Width: r.width, Height: r.height, Rate: r.rate(want.Rate)}
	r.pace, r.seq, r.ended = newPacer(r.granted.Rate), 0, false
	return r.granted, nil
}

// Next waits until the next picture is due and lends it.
func (r *Replay) Next(ctx context.Context, use func(*device.Buffer) error) error {
	if err := r.check(ctx, "next", true); err != nil {
		return err
	}
	if r.ended {
		return r.fail("next", device.ErrEnded, nil)
	}
	if err := r.pace.waitAll(ctx, &r.life); err != nil {
		return err
	}
	data, err := r.picture(ctx)
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, io.EOF) {
			r.ended = true
			return r.fail("next", device.ErrEnded, nil)
		}
		return r.readError("next", err)
	}
	now := time.Now()
	seq := r.seq
	r.seq++
	return use(&device.Buffer{Data: data, Format: r.granted, DriverSeq: seq, CapturedAt: now, ReceivedAt: now})
}

// picture reads the next one, going back to the first where that is wanted.
func (r *Replay) picture(ctx context.Context) ([]byte, error) {
	data, _, _, err := r.pictures.next(ctx)
	if !errors.Is(err, io.EOF) || !r.opt.Loop {
		return data, err
	}
	if err := r.pictures.rewind(); err != nil {
		return nil, err
	}
	data, _, _, err = r.pictures.next(ctx) // io.EOF: somebody emptied it
	return data, err
}

// readError is what a failed read means: Close while reading, or trouble.
func (r *Replay) readError(op string, err error) error {
	if r.isClosed() {
		return r.fail(op, device.ErrClosed, nil)
	}
	return r.fail(op, nil, bare(err))
}

// Close ends everything. A picture that is lent stays as it is.
func (r *Replay) Close() error {
	if !r.finish() {
		return nil
	}
	if err := r.pictures.Close(); err != nil {
		return r.fail("close", nil, bare(err))
	}
	return nil
}
