package encode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// fakeEncoder takes as long as work says, and makes its name, the quality and
// the picture's data of it.
type fakeEncoder struct {
	number  int
	work    func(b *device.Buffer) error
	quality atomic.Int32
	closed  atomic.Bool
}

func (e *fakeEncoder) Name() string { return "fake" }

func (e *fakeEncoder) Size() (width, height int) { return 64, 32 }

func (e *fakeEncoder) Encode(b *device.Buffer) ([]byte, error) {
	if e.closed.Load() {
		return nil, errors.New("closed")
	}
	if err := e.work(b); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s q%d", b.Data, e.quality.Load()), nil
}

func (e *fakeEncoder) SetQuality(q int) error {
	if q > 100 {
		return fmt.Errorf("quality %d", q)
	}
	e.quality.Store(int32(q))
	return nil
}

func (e *fakeEncoder) Close() { e.closed.Store(true) }

// fakes makes encoders, as many as limit says.
type fakes struct {
	made  []*fakeEncoder
	limit int
	work  func(b *device.Buffer) error
}

func (f *fakes) make(context.Context) (device.Encoder, error) {
	if len(f.made) >= f.limit {
		return nil, device.ErrBusy
	}
	e := &fakeEncoder{number: len(f.made), work: f.work}
	e.quality.Store(80)
	f.made = append(f.made, e)
	return e, nil
}

// results collects what is delivered. Deliveries must not overlap.
type results struct {
	busy sync.Mutex
	all  []string
}

func (r *results) deliver(res encode.Result) {
	if !r.busy.TryLock() {
		r.all = append(r.all, "overlap")
		return
	}
	defer r.busy.Unlock()
	text := string(res.JPEG)
	if res.Err != nil {
		text = res.Err.Error()
	}
	r.all = append(r.all, fmt.Sprintf("%d: %s", res.Buffer.DriverSeq, text))
}

func newParallel(tb testing.TB, width int, f *fakes, deliver func(encode.Result)) *encode.Parallel {
	tb.Helper()
	p, err := encode.NewParallel(tb.Context(), width, f.make, deliver)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func numbered(seq int) *device.Buffer {
	return &device.Buffer{Data: []byte("p" + strconv.Itoa(seq)), DriverSeq: uint32(seq)}
}

func submit(tb testing.TB, p *encode.Parallel, b *device.Buffer) {
	tb.Helper()
	if err := p.Submit(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
}

// Whatever the encoders take, and whichever fail, results come in the order of
// the pictures.
func TestParallelDeliversInOrder(t *testing.T) {
	for width := 1; width <= 4; width++ {
		synctest.Test(t, func(t *testing.T) {
			var r results
			f := &fakes{limit: 4, work: func(b *device.Buffer) error {
				<-time.After(time.Duration(b.DriverSeq*7919%23) * time.Millisecond)
				if b.DriverSeq%5 == 3 {
					return errors.New("no good")
				}
				return nil
			}}
			p := newParallel(t, width, f, r.deliver)
			var want []string
			for i := range 100 {
				b := numbered(i)
				submit(t, p, b)
				copy(b.Data, "XXX") // it belongs to the driver again
				text := fmt.Sprintf("%d: p%d q80", i, i)
				if i%5 == 3 {
					text = fmt.Sprintf("%d: no good", i)
				}
				want = append(want, text)
			}
			p.Flush()
			if !slices.Equal(r.all, want) {
				t.Errorf("width %d: got %q", width, r.all)
			}
			p.Close()
			p.Close()
			for _, e := range f.made {
				if !e.closed.Load() {
					t.Errorf("width %d: encoder %d was not closed", width, e.number)
				}
			}
			if err := p.Submit(t.Context(), numbered(1)); !errors.Is(err, device.ErrClosed) {
				t.Errorf("after Close: got %v", err)
			}
			if err := p.Ready(t.Context()); !errors.Is(err, device.ErrClosed) {
				t.Errorf("after Close: got %v", err)
			}
			if err := p.SetWidth(t.Context(), 2); !errors.Is(err, device.ErrClosed) {
				t.Errorf("after Close: got %v", err)
			}
		})
	}
}

// Twice as many encoders do twice the work; the time is that of the bubble.
func TestParallelWorksOnSeveralPicturesAtOnce(t *testing.T) {
	for width := 1; width <= 4; width++ {
		synctest.Test(t, func(t *testing.T) {
			var r results
			f := &fakes{limit: 4, work: func(*device.Buffer) error { <-time.After(40 * time.Millisecond); return nil }}
			p := newParallel(t, width, f, r.deliver)
			began := time.Now()
			for i := range 12 {
				submit(t, p, numbered(i))
			}
			p.Close()
			if got, want := time.Since(began), 12/time.Duration(width)*40*time.Millisecond; got != want {
				t.Errorf("width %d: took %v, want %v", width, got, want)
			}
			if len(r.all) != 12 {
				t.Errorf("width %d: %d results", width, len(r.all))
			}
		})
	}
}

func TestParallelTakesNoMoreThanItsWidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var r results
		p := newParallel(t, 2, &fakes{limit: 2, work: func(b *device.Buffer) error {
			if b.DriverSeq == 0 {
				<-gate
			}
			return nil
		}}, r.deliver)
		for i := range 2 {
			if err := p.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			submit(t, p, numbered(i))
		}
		synctest.Wait() // the second is done and waits for the first
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := p.Ready(ctx); !errors.Is(err, why) {
			t.Errorf("Ready: got %v", err)
		}
		if err := p.Submit(ctx, numbered(2)); !errors.Is(err, why) {
			t.Errorf("Submit: got %v", err)
		}
		if len(r.all) != 0 {
			t.Errorf("delivered %q before the first", r.all)
		}
		close(gate)
		if err := p.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		submit(t, p, numbered(3))
		p.Flush()
		if want := []string{"0: p0 q80", "1: p1 q80", "3: p3 q80"}; !slices.Equal(r.all, want) {
			t.Errorf("got %q", r.all)
		}
	})
}

// What the driver can spare is held and given back once, before delivery;
// anything else is copied. Width 1 does neither.
func TestParallelHoldsPicturesOrCopiesThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		width      int
		spare      bool
		held, lent bool
	}{
		{1, true, false, true}, {2, true, true, true}, {2, false, false, false},
	} {
		data := []byte("picture")
		var holds, releases atomic.Int32
		f := &fakes{limit: 2, work: func(b *device.Buffer) error {
			if lent := &b.Data[0] == &data[0]; lent != tt.lent || !bytes.Equal(b.Data, []byte("picture")) {
				return fmt.Errorf("the driver's memory: %v", lent)
			}
			if releases.Load() != 0 {
				return errors.New("given back too early")
			}
			return nil
		}}
		p := newParallel(t, tt.width, f, func(r encode.Result) {
			if r.Err != nil || (releases.Load() == 1) != tt.held || r.Buffer.DriverSeq != 7 {
				t.Errorf("%+v: %v, %d times given back, number %d", tt, r.Err, releases.Load(), r.Buffer.DriverSeq)
			}
		})
		submit(t, p, &device.Buffer{Data: data, DriverSeq: 7, Hold: func() (func(), bool) {
			holds.Add(1)
			return func() { releases.Add(1) }, tt.spare
		}})
		p.Close()
		if wide := tt.width > 1; (holds.Load() == 1) != wide || (releases.Load() == 1) != tt.held {
			t.Errorf("%+v: held %d times, given back %d times", tt, holds.Load(), releases.Load())
		}
	}
}

func TestParallelSetsTheQualityOfAllEncoders(t *testing.T) {
	t.Parallel()
	var r results
	f := &fakes{limit: 3, work: func(*device.Buffer) error { return nil }}
	p := newParallel(t, 2, f, r.deliver)
	if err := p.SetQuality(101); err == nil {
		t.Error("101 was accepted")
	}
	if err := p.SetQuality(33); err != nil {
		t.Fatal(err)
	}
	if err := p.SetWidth(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		submit(t, p, numbered(i))
	}
	p.Flush()
	if want := []string{"0: p0 q33", "1: p1 q33", "2: p2 q33"}; !slices.Equal(r.all, want) {
		t.Errorf("got %q", r.all)
	}
}

func TestParallelChangesItsWidthWhilePicturesAreInWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r results
		f := &fakes{limit: 10, work: func(b *device.Buffer) error {
			<-time.After(time.Duration(b.DriverSeq%3) * time.Millisecond)
			return nil
		}}
		p := newParallel(t, 1, f, r.deliver)
		seq := 0
		for _, width := range []int{1, 4, 2, 3, 1, 2} {
			if err := p.SetWidth(t.Context(), width); err != nil || p.Width() != width {
				t.Fatalf("got width %d, %v, want %d", p.Width(), err, width)
			}
			for range 7 {
				submit(t, p, numbered(seq))
				seq++
			}
		}
		if w, h := p.Size(); p.Name() != "fake" || w != 64 || h != 32 {
			t.Errorf("got %q, %dx%d", p.Name(), w, h)
		}
		p.Close()
		for i := range seq {
			if want := fmt.Sprintf("%d: p%d q80", i, i); i >= len(r.all) || r.all[i] != want {
				t.Fatalf("got %q, want %s next", r.all[:min(i+1, len(r.all))], want)
			}
		}
		for _, e := range f.made {
			if !e.closed.Load() {
				t.Errorf("encoder %d was not closed", e.number)
			}
		}
	})
}

func TestParallelStaysAsItIsWhenThereIsNoSecondEncoder(t *testing.T) {
	t.Parallel()
	var r results
	f := &fakes{limit: 1, work: func(*device.Buffer) error { return nil }}
	if _, err := encode.NewParallel(t.Context(), 2, f.make, r.deliver); !errors.Is(err, device.ErrBusy) ||
		!strings.HasPrefix(err.Error(), "encode 2 pictures at once: ") {
		t.Errorf("got %v", err)
	}
	if !f.made[0].closed.Load() {
		t.Error("the first encoder was not closed")
	}
	f = &fakes{limit: 1, work: f.work}
	p := newParallel(t, 1, f, r.deliver)
	if err := p.SetWidth(t.Context(), 2); !errors.Is(err, device.ErrBusy) || p.Width() != 1 {
		t.Errorf("got %v, width %d", err, p.Width())
	}
	if err := p.SetWidth(t.Context(), 0); err == nil || p.Width() != 1 {
		t.Errorf("width 0: got %v, width %d", err, p.Width())
	}
	submit(t, p, numbered(0))
	if !slices.Equal(r.all, []string{"0: p0 q80"}) {
		t.Errorf("got %q", r.all)
	}
}

// SetQuality comes from another goroutine than everything else; the race detector
// watches. At the end no goroutine is left.
func TestParallelWithRealEncodersAndChangingQuality(t *testing.T) {
	before := runtime.NumGoroutine()
	f := device.Format{FourCC: device.YUYV, Width: 160, Height: 96}
	data := scene(f)
	makeOne := func(ctx context.Context) (device.Encoder, error) {
		return encode.Makers(encode.Options{})[0].New(ctx, f, 80)
	}
	next := uint32(0)
	p, err := encode.NewParallel(t.Context(), 3, makeOne, func(r encode.Result) {
		if r.Err != nil || r.Buffer.DriverSeq != next || len(r.JPEG) == 0 {
			t.Errorf("picture %d: got %d, %v", next, r.Buffer.DriverSeq, r.Err)
		}
		next++
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		for q := 1; ctx.Err() == nil; q = q%100 + 1 {
			if err := p.SetQuality(q); err != nil {
				t.Error(err)
			}
			_ = p.Name()
			runtime.Gosched()
		}
	})
	for i := range 100 {
		submit(t, p, &device.Buffer{Data: data, Format: f, DriverSeq: uint32(i)})
		if i == 50 {
			if err := p.SetWidth(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.Close()
	stop()
	others.Wait()
	if next != 100 {
		t.Errorf("got %d results", next)
	}
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-deadline.C:
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		default:
			runtime.Gosched()
		}
	}
}

func TestWidth(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		name           string
		now            int
		took, interval time.Duration
		cores, want    int
	}{
		{"one core is enough", 1, 10 * ms, 33 * ms, 4, 1},
		{"just enough", 1, 26 * ms, 33 * ms, 4, 1},
		{"not any more", 1, 27 * ms, 33 * ms, 4, 2},
		{"two are not enough", 1, 60 * ms, 33 * ms, 4, 3},
		{"more than there are cores", 1, 200 * ms, 33 * ms, 4, 3},
		{"two cores", 1, 200 * ms, 33 * ms, 2, 1},
		{"one core", 1, 200 * ms, 33 * ms, 1, 1},
		{"nobody knows the cores", 1, 200 * ms, 33 * ms, 0, 1},
		{"stays though one would just do", 2, 25 * ms, 33 * ms, 4, 2},
		{"goes back", 2, 19 * ms, 33 * ms, 4, 1},
		{"goes back by one", 3, 35 * ms, 33 * ms, 4, 2},
		{"wider though it is wide", 2, 60 * ms, 33 * ms, 4, 3},
		{"no rate known", 2, 60 * ms, 0, 4, 2},
		{"nothing measured", 1, 0, 33 * ms, 4, 1},
		{"too wide for the cores", 5, 0, 33 * ms, 4, 3},
		{"too wide for the cores and busy", 5, 90 * ms, 33 * ms, 4, 3},
		{"nonsense", -1, 10 * ms, 33 * ms, 4, 1},
	} {
		if got := encode.Width(tt.now, tt.took, tt.interval, tt.cores); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A lane that held a picture may have to copy the next one.
func TestParallelGivesEveryPictureBackOnce(t *testing.T) {
	t.Parallel()
	var r results
	p := newParallel(t, 2, &fakes{limit: 2, work: func(*device.Buffer) error { return nil }}, r.deliver)
	var releases [8]atomic.Int32
	for i := range releases {
		b := numbered(i)
		b.Hold = func() (func(), bool) { return func() { releases[i].Add(1) }, i/2%2 == 0 }
		submit(t, p, b)
	}
	p.Close()
	for i := range releases {
		if want := int32(1 - i/2%2); releases[i].Load() != want {
			t.Errorf("picture %d was given back %d times, want %d", i, releases[i].Load(), want)
		}
	}
}
