package devicetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/webgear-pi/webgear/device"
)

// TestEncoder checks every rule in the documentation of [device.Encoder] and
// [device.EncoderMaker] against what maker makes: it encodes pictures of the
// given formats, decodes the results with image/jpeg and compares. All formats
// have to be accepted. Without any, all raw formats that are accepted at 640x480
// are taken, and the first of them at 1920x1080; there must be one.
//
// Do not run it in parallel with other tests: it counts goroutines and file
// descriptors.
func TestEncoder(t *testing.T, maker device.EncoderMaker, formats ...device.Format) {
	t.Helper()
	s := newEncoderSuite(maker, formats)
	if len(s.formats) == 0 {
		t.Fatalf("%s accepts none of the usual formats", maker.Name)
	}
	for _, r := range encoderRules() {
		t.Run(r.name, func(t *testing.T) { r.check(t, s) })
	}
}

// encoderRule is one rule of the contract.
type encoderRule struct {
	name  string
	check func(t tb, s *encoderSuite)
}

func encoderRules() []encoderRule {
	return []encoderRule{
		{"ResultShowsThePicture", resultShowsThePicture},
		{"RowsMayBePadded", rowsMayBePadded},
		{"LimitedRangeIsConverted", limitedRangeIsConverted},
		{"ResultIsNotTouchedAgain", resultIsNotTouchedAgain},
		{"QualityChangesTheSize", qualityChangesTheSize},
		{"QualityOutOfRangeIsRefused", qualityOutOfRangeIsRefused},
		{"QualityMayBeSetFromAnyGoroutine", qualityMayBeSetFromAnyGoroutine},
		{"WrongPicturesAreRefused", wrongPicturesAreRefused},
		{"CallsAfterCloseFail", callsAfterCloseFail},
		{"UnknownFormatsAreNotAccepted", unknownFormatsAreNotAccepted},
		{"EncoderLeavesNothingBehind", encoderLeavesNothingBehind},
	}
}

// encoderSuite is what a rule works with.
type encoderSuite struct {
	maker   device.EncoderMaker
	formats []device.Format
	timeout time.Duration // of a single call
}

func newEncoderSuite(maker device.EncoderMaker, formats []device.Format) *encoderSuite {
	s := &encoderSuite{maker: maker, formats: formats, timeout: time.Minute}
	if len(formats) > 0 {
		return s
	}
	for _, fourcc := range []device.FourCC{device.YU12, device.NV12, device.YUYV, device.UYVY, device.RGB24, device.GREY} {
		f := device.Format{FourCC: fourcc, Width: 640, Height: 480, Rate: device.FPS(30)}
		if maker.Accepts(f) {
			s.formats = append(s.formats, f)
		}
	}
	if len(s.formats) > 0 {
		f := s.formats[0]
		f.Width, f.Height = 1920, 1080
		s.formats = append(s.formats, f)
	}
	return s
}

// kinds are the formats with the smallest picture of each pixel format.
func (s *encoderSuite) kinds() []device.Format {
	var list []device.Format
	for _, f := range s.formats {
		i := slices.IndexFunc(list, func(o device.Format) bool { return o.FourCC == f.FourCC })
		switch {
		case i < 0:
			list = append(list, f)
		case f.Width*f.Height < list[i].Width*list[i].Height:
			list[i] = f
		}
	}
	return list
}

// make prepares an encoder or ends the test.
func (s *encoderSuite) make(t tb, f device.Format, quality int) device.Encoder {
	t.Helper()
	var enc device.Encoder
	err := within(t, s.timeout, "New", func() (err error) {
		enc, err = s.maker.New(context.Background(), f, quality)
		return err
	})
	if err != nil {
		t.Fatalf("New %v: %v", f, err)
	}
	if enc == nil {
		t.Fatalf("New %v gave neither an encoder nor an error", f)
	}
	return enc
}

// encode makes a JPEG or ends the test.
func (s *encoderSuite) encode(t tb, enc device.Encoder, b *device.Buffer) []byte {
	t.Helper()
	data, err := s.try(t, enc, b)
	if err != nil {
		t.Fatalf("Encode %v: %v", b.Format, err)
	}
	return data
}

func (s *encoderSuite) try(t tb, enc device.Encoder, b *device.Buffer) (data []byte, err error) {
	t.Helper()
	err = within(t, s.timeout, "Encode", func() (err error) {
		data, err = enc.Encode(b)
		return err
	})
	return data, err
}

// show encodes a picture and compares.
func (s *encoderSuite) show(t tb, enc device.Encoder, f device.Format, picture painting) {
	t.Helper()
	for _, p := range compare(s.encode(t, enc, paint(f, picture)), f, picture) {
		t.Errorf("%v, stride %d: %s", f, f.Stride, p)
	}
}

// within ends the test when call takes longer than d.
func within(t tb, d time.Duration, what string, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		t.Fatalf("%s did not return within %v", what, d)
		return nil
	}
}

func resultShowsThePicture(t tb, s *encoderSuite) {
	t.Helper()
	for _, f := range s.formats {
		if !s.maker.Accepts(f) {
			t.Errorf("%v is not accepted", f)
			continue
		}
		enc := s.make(t, f, 90)
		if w, h := enc.Size(); w != f.Width || h != f.Height {
			t.Errorf("%v: Size is %dx%d", f, w, h)
		}
		if enc.Name() == "" || s.maker.Name == "" {
			t.Errorf("encoder is named %q by its maker, %q by itself", s.maker.Name, enc.Name())
		}
		for number := range 2 { // each result has to be that of its picture, not of the one before
			s.show(t, enc, f, tiles(number))
		}
		enc.Close()
	}
}

func rowsMayBePadded(t tb, s *encoderSuite) {
	t.Helper()
	for _, f := range s.kinds() {
		for _, pad := range []int{2, 64, 4*tileSide + 10} {
			padded := f
			padded.Stride = minStride(f) + pad
			if !s.maker.Accepts(padded) {
				t.Errorf("%v with a stride of %d bytes is not accepted", f, padded.Stride)
				continue
			}
			enc := s.make(t, padded, 90)
			s.show(t, enc, padded, tiles(pad))
			enc.Close()
		}
	}
}

func limitedRangeIsConverted(t tb, s *encoderSuite) {
	t.Helper()
	for _, f := range s.kinds() {
		f.Quantization = device.LimitedRange
		if f.FourCC == device.RGB24 || !s.maker.Accepts(f) {
			continue
		}
		enc := s.make(t, f, 90)
		s.show(t, enc, f, tiles(7))
		enc.Close()
	}
}

func resultIsNotTouchedAgain(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	enc := s.make(t, f, 90)
	first := s.encode(t, enc, paint(f, tiles(1)))
	kept := bytes.Clone(first)
	for number := range 3 {
		if data := s.encode(t, enc, paint(f, tiles(number+2))); len(data) > 0 && &data[0] == &first[0] {
			t.Errorf("Encode returned the same memory again")
		}
	}
	enc.Close()
	if !bytes.Equal(first, kept) {
		t.Errorf("a result changed while later pictures were encoded")
	}
}

func qualityChangesTheSize(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	picture := paint(f, noise)
	enc := s.make(t, f, 20)
	low := len(s.encode(t, enc, picture))
	if err := enc.SetQuality(95); err != nil {
		t.Errorf("SetQuality: %v", err)
	}
	high := 0
	for range 5 { // hardware may have begun before it was told
		high = len(s.encode(t, enc, picture))
	}
	enc.Close()
	if high < low*5/4 {
		t.Errorf("%v: %d bytes at quality 20, %d after SetQuality(95), want a quarter more", f, low, high)
	}
	enc = s.make(t, f, 95)
	if again := len(s.encode(t, enc, picture)); again < low*5/4 {
		t.Errorf("%v: %d bytes at quality 20, %d with New at 95, want a quarter more", f, low, again)
	}
	enc.Close()
}

func qualityOutOfRangeIsRefused(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	enc := s.make(t, f, 80)
	for _, q := range []int{-1, 0, 101, 1 << 20} {
		if err := enc.SetQuality(q); err == nil {
			t.Errorf("SetQuality(%d) succeeded", q)
		}
	}
	for _, q := range []int{1, 100} {
		if err := enc.SetQuality(q); err != nil {
			t.Errorf("SetQuality(%d): %v", q, err)
		}
		s.encode(t, enc, paint(f, tiles(q)))
	}
	enc.Close()
}

func qualityMayBeSetFromAnyGoroutine(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	enc := s.make(t, f, 80)
	stop := make(chan struct{})
	var setters sync.WaitGroup
	for i := range 2 {
		setters.Go(func() {
			for q := 1 + i; ; q = q%100 + 1 {
				select {
				case <-stop:
					return
				default:
					if err := enc.SetQuality(q); err != nil {
						t.Errorf("SetQuality(%d): %v", q, err)
						return
					}
					runtime.Gosched()
				}
			}
		})
	}
	picture := paint(f, tiles(1))
	for range 5 {
		s.encode(t, enc, picture)
	}
	close(stop)
	setters.Wait()
	enc.Close()
}

func wrongPicturesAreRefused(t tb, s *encoderSuite) {
	t.Helper()
	for _, f := range s.kinds() {
		enc := s.make(t, f, 90)
		good := paint(f, tiles(3))
		for what, edit := range map[string]func(b *device.Buffer){
			"no data":             func(b *device.Buffer) { b.Data = nil },
			"too little data":     func(b *device.Buffer) { b.Data = b.Data[:len(b.Data)/2] },
			"another width":       func(b *device.Buffer) { b.Format.Width += 16 },
			"another height":      func(b *device.Buffer) { b.Format.Height -= 16 },
			"another format":      func(b *device.Buffer) { b.Format.FourCC = device.MJPG },
			"rows that are short": func(b *device.Buffer) { b.Format.Stride = minStride(f) / 2 },
		} {
			b := *good
			edit(&b)
			if _, err := s.try(t, enc, &b); err == nil {
				t.Errorf("%v: a picture with %s was encoded", f, what)
			}
		}
		s.show(t, enc, f, tiles(4)) // and goes on
		enc.Close()
	}
}

func callsAfterCloseFail(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	for _, used := range []bool{false, true} {
		enc := s.make(t, f, 90)
		if used {
			s.encode(t, enc, paint(f, tiles(1)))
		}
		enc.Close()
		if _, err := s.try(t, enc, paint(f, tiles(2))); err == nil {
			t.Errorf("Encode after Close succeeded")
		}
		enc.Close()
		if name := enc.Name(); name == "" {
			t.Errorf("encoder has no name after Close")
		}
	}
}

func unknownFormatsAreNotAccepted(t tb, s *encoderSuite) {
	t.Helper()
	good := s.formats[0]
	for what, edit := range map[string]func(f *device.Format){
		"JPEG":          func(f *device.Format) { f.FourCC = device.JPEG },
		"no format":     func(f *device.Format) { f.FourCC = 0 },
		"no width":      func(f *device.Format) { f.Width = 0 },
		"negative size": func(f *device.Format) { f.Width, f.Height = -f.Width, -f.Height },
		"endless width": func(f *device.Format) { f.Width = 1 << 20 },
	} {
		f := good
		edit(&f)
		if s.maker.Accepts(f) {
			t.Errorf("%s is accepted: %v", what, f)
		}
		var enc device.Encoder
		err := within(t, s.timeout, "New", func() (err error) {
			enc, err = s.maker.New(context.Background(), f, 80)
			return err
		})
		if err == nil {
			t.Errorf("New made an encoder for %s: %v", what, f)
			enc.Close()
		}
	}
	for _, q := range []int{-1, 101} {
		if enc, err := s.maker.New(context.Background(), good, q); err == nil {
			t.Errorf("New made an encoder of quality %d", q)
			enc.Close()
		}
	}
	cause := errors.New("cause of the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if enc, err := s.maker.New(ctx, good, 80); err == nil {
		enc.Close() // Those that take no time need not look.
	} else if !errors.Is(err, cause) {
		t.Errorf("New with an ended context: got %v, want its cause", err)
	}
}

func encoderLeavesNothingBehind(t tb, s *encoderSuite) {
	t.Helper()
	f := s.kinds()[0]
	cycle := func(pictures int) {
		enc := s.make(t, f, 80)
		for n := range pictures {
			s.encode(t, enc, paint(f, tiles(n)))
		}
		enc.Close()
	}
	cycle(1) // what is made once per process does not count
	goroutines, files := runtime.NumGoroutine(), openFiles()
	for n := range 10 {
		cycle(n % 3)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for {
		g, n := runtime.NumGoroutine(), openFiles()
		if g <= goroutines && n <= files {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			var left []string
			if g > goroutines {
				stacks := make([]byte, 1<<16)
				left = append(left, fmt.Sprintf("%d goroutines, %d before:\n%s", g, goroutines, stacks[:runtime.Stack(stacks, true)]))
			}
			if n > files {
				left = append(left, fmt.Sprintf("%d open files, %d before", n, files))
			}
			t.Errorf("after Close there are %s", strings.Join(left, " and "))
			return
		}
	}
}
