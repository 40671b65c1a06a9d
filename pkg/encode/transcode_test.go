package encode_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// fixtures are the files of testdata by name; see the README there.
func fixtures(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(paths) < 15 {
		tb.Fatalf("got %d files, %v", len(paths), err)
	}
	all := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(p), ".jpg")] = b
	}
	return all
}

func newTranscoder(tb testing.TB, o encode.Options) *encode.Transcoder {
	tb.Helper()
	x, err := encode.NewTranscoder(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(x.Close)
	return x
}

func transcode(tb testing.TB, x *encode.Transcoder, src []byte) []byte {
	tb.Helper()
	out, err := x.Transcode(src)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestTranscodeResizesEveryKindOfJPEGExactly(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for name, src := range fixtures(t) {
			src = guarded(t, src)
			for _, to := range append(sizesToTry(161, 97), [2]int{1, 1}, [2]int{21, 13}, [2]int{20, 12}) {
				for _, fast := range []bool{false, true} {
					o := o
					o.Quality, o.Width, o.Height, o.FastUpsample = 95, to[0], to[1], fast
					x := newTranscoder(t, o)
					checkRamp(t, fmt.Sprintf("%s to %v", name, to), transcode(t, x, src), to[0], to[1])
					x.Close()
				}
			}
		}
	})
}

func TestTranscodeToAnotherQualityKeepsColours(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		for name, src := range fixtures(t) {
			o.Quality = 95
			x := newTranscoder(t, o)
			out := transcode(t, x, guarded(t, src))
			checkRamp(t, name, out, 161, 97)
			if x.Damaged() {
				t.Errorf("%s: called damaged", name)
			}
			if bytes.Equal(out, src) {
				t.Errorf("%s: unchanged", name)
			}
		}
	})
}

func TestTranscodeToGrayKeepsTheLuma(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Gray = true
		for name, src := range fixtures(t) {
			for _, to := range [][2]int{{161, 97}, {120, 72}, {80, 48}} {
				o.Width, o.Height = to[0], to[1]
				x := newTranscoder(t, o)
				out := transcode(t, x, src)
				checkRamp(t, fmt.Sprintf("%s to %v", name, to), out, to[0], to[1])
				if _, ok := decode(t, out).(*image.Gray); !ok {
					t.Errorf("%s: not grey", name)
				}
			}
		}
	})
}

func TestTranscodeReturnsTheInputWhenThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		src := fixtures(t)["grey"]
		o.FastDCT, o.FastUpsample = true, true
		for _, change := range []func(o *encode.Options){
			func(*encode.Options) {},
			func(o *encode.Options) { o.Width, o.Height = 161, 97 },
			func(o *encode.Options) { o.Width = 161 },
			func(o *encode.Options) { o.Gray = true },
		} {
			o := o
			change(&o)
			if out := transcode(t, newTranscoder(t, o), src); &out[0] != &src[0] || len(out) != len(src) {
				t.Errorf("%+v: not the input", o)
			}
		}
	})
}

// photo is a file with edges and noise, as large as asked for.
func photo(tb testing.TB, w, h int) []byte {
	tb.Helper()
	f := device.Format{FourCC: device.YUYV, Width: w, Height: h}
	return encodeOnce(tb, newEncoder(tb, f, encode.Options{Quality: 90}), f, scene(f))
}

func TestTranscodeQualityGrowsFiles(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		src := photo(t, 322, 242)
		for _, width := range []int{0, 240} {
			o.Width = width
			x := newTranscoder(t, o)
			last := 0
			for _, q := range []int{10, 55, 100} {
				if err := x.SetQuality(q); err != nil {
					t.Fatal(err)
				}
				out := transcode(t, x, src)
				if len(out) <= last {
					t.Errorf("quality %d gives %d bytes, a lower one %d", q, len(out), last)
				}
				last = len(out)
			}
			if err := x.SetQuality(0); err == nil {
				t.Error("quality 0 accepted")
			}
		}
	})
}

func TestTranscodeFollowsChangingPictures(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Quality, o.Width, o.Height = 95, 80, 48
		x := newTranscoder(t, o)
		var kept, copies [][]byte
		for range 2 {
			for name, src := range fixtures(t) {
				out := transcode(t, x, src)
				checkRamp(t, name, out, 80, 48)
				kept, copies = append(kept, out), append(copies, bytes.Clone(out))
			}
		}
		for i := range kept {
			if !bytes.Equal(kept[i], copies[i]) {
				t.Fatal("a later picture changed an earlier result")
			}
		}
	})
}

func TestTranscodeRefusesWhatIsNoPicture(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		o.Quality = 50
		good := fixtures(t)["420"]
		large := bytes.Clone(good)
		sof := bytes.Index(large, []byte{0xff, 0xc0})
		copy(large[sof+5:], []byte{0x40, 0, 0x40, 0}) // 16384x16384
		wide := bytes.Clone(good)
		copy(wide[sof+5:], []byte{0, 16, 0xff, 0xff})
		x := newTranscoder(t, o)
		for _, tt := range []struct {
			name string
			src  []byte
			is   error
			text string
		}{
			{"nothing", nil, jpeg.ErrEmpty, "transcode: jpeg byte 0 of 0"},
			{"text", bytes.Repeat([]byte("text"), 99), jpeg.ErrNotJPEG, "not a JPEG"},
			{"half a header", good[:300], jpeg.ErrTruncated, "truncated"},
			{"too many pixels", large, nil, "transcode JPEG 16384x16384: size 16384x16384: sides must be"},
			{"too wide", wide, nil, "sides must be 1 to 16384"},
		} {
			_, err := x.Transcode(tt.src)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: got %v", tt.name, err)
			}
			if out := transcode(t, x, good); len(out) == 0 { // works on
				t.Error("no picture after an error")
			}
		}
		x.Close()
		x.Close()
		if _, err := x.Transcode(good); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("closed: got %v", err)
		}
	})
}

func TestNewTranscoderChecksItsOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []encode.Options{{Quality: 101}, {Quality: -1}, {Width: -1}, {Height: device.MaxSide + 1}} {
		if x, err := encode.NewTranscoder(o); err == nil {
			x.Close()
			t.Errorf("%+v accepted", o)
		}
	}
	for o, want := range map[encode.Options]string{{}: defaultName, {Portable: true}: "image/jpeg"} {
		if got := newTranscoder(t, o).Name(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// C code meets broken files: the header survives, what follows it does not. The
// fuzz test below looks for more of the same.
func TestBrokenFilesGiveAnErrorOrAPicture(t *testing.T) {
	t.Parallel()
	var all []*encode.Transcoder
	for _, o := range []encode.Options{{Quality: 50}, {Width: 100}, {Height: 40, Gray: true}, {Width: 20, FastDCT: true}, {Quality: 50, Gray: true}} {
		all = append(all, newTranscoder(t, o))
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for name, src := range fixtures(t) {
		for range 60 {
			b := bytes.Clone(src)
			for range 1 + rnd.IntN(8) {
				b[rnd.IntN(len(b))] = byte(rnd.Uint32())
			}
			if rnd.IntN(4) == 0 {
				b = append(b[:len(b)/4+rnd.IntN(len(b)/2)], 0xff, 0xd9)
			}
			if info, err := jpeg.Header(b); err == nil && info.Width*info.Height > 1<<18 {
				continue // time
			}
			for i, x := range all {
				out, err := x.Transcode(b)
				if err != nil {
					continue
				}
				if _, err := jpeg.Clean(out); err != nil {
					t.Errorf("%s, transcoder %d: made a bad file: %v", name, i, err)
				}
			}
		}
	}
}

// What must hold for any input: no crash, and either an error or a picture of
// the size asked for. Run with
// go test -run '^$' -fuzz FuzzTranscode ./pkg/encode .
func FuzzTranscode(f *testing.F) {
	for _, src := range fixtures(f) {
		f.Add(src, uint8(25), uint8(0))
		f.Add(src[:len(src)*2/3], uint8(0), uint8(1))
		f.Add(src, uint8(90), uint8(7))
	}
	f.Fuzz(func(t *testing.T, src []byte, percent, flags uint8) {
		info, err := jpeg.Header(src)
		if err == nil && info.Width*info.Height > 1<<20 { // time
			return
		}
		o := encode.Options{Quality: 60, Gray: flags&1 != 0, FastDCT: flags&2 != 0, FastUpsample: flags&4 != 0, Portable: flags&8 != 0}
		if flags&16 == 0 && err == nil {
			o.Width, o.Height = encode.Reduce(info.Width, info.Height, float64(percent))
		}
		x := newTranscoder(t, o)
		if len(src) > 0 {
			src = guarded(t, src)
		}
		out, err := x.Transcode(src)
		if err != nil {
			return
		}
		got, err := jpeg.Clean(out)
		if err != nil {
			if len(out) < jpeg.MinSize {
				return
			}
			t.Fatalf("made a file that is not accepted: %v", err)
		}
		w, h := o.Width, o.Height
		if w == 0 {
			w, h = info.Width, info.Height
		}
		if got.Width != w || got.Height != h || o.Gray && got.Components != 1 {
			t.Errorf("got %+v, want %dx%d, grey %v", got.Info, w, h, o.Gray)
		}
	})
}
