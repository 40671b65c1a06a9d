package placeholder_test

import (
	"bytes"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"strings"
	"sync"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
	"github.com/webgear-pi/webgear/pkg/jpeg"
	"github.com/webgear-pi/webgear/pkg/placeholder"
)

func card() placeholder.Card {
	return placeholder.Card{
		Title:  "Camera unplugged",
		Cause:  "The camera “HD Pro Webcam C920” on USB port 1.2 is not connected any more.",
		Remedy: "Plug it in again. The live picture returns by itself within a second.",
		Footer: "webgear.local · HD Pro Webcam C920 · since 14:02:31",
	}
}

func newRenderer(tb testing.TB) *placeholder.Renderer {
	tb.Helper()
	r, err := placeholder.New()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func draw(tb testing.TB, r *placeholder.Renderer, w, h int, c placeholder.Card) *image.YCbCr {
	tb.Helper()
	m, err := r.Draw(w, h, c)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// ink returns the bounds of all pixels that are not background, and how many
// there are.
func ink(m *image.YCbCr) (image.Rectangle, int) {
	var r image.Rectangle
	n, ground := 0, m.Y[0]
	for y := range m.Rect.Dy() {
		for x, v := range m.Y[y*m.YStride:][:m.Rect.Dx()] {
			if v != ground {
				r = r.Union(image.Rect(x, y, x+1, y+1))
				n++
			}
		}
	}
	return r, n
}

func TestTextStaysInsideTheMargins(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	long := card()
	long.Title = strings.Repeat("Very long title ", 9)
	long.Cause = strings.Repeat("x", 3000)
	long.Remedy = strings.Repeat("Do this and that. ", 99)
	long.Footer = strings.Repeat("footer", 99)
	for name, c := range map[string]placeholder.Card{"short": card(), "long": long} {
		for _, s := range [][2]int{{96, 64}, {160, 120}, {320, 240}, {641, 361}, {1280, 720}, {720, 1280}, {1920, 200}} {
			m := draw(t, r, s[0], s[1], c)
			got, n := ink(m)
			margin := int(0.04 * min(float64(s[1]), 0.75*float64(s[0])))
			if room := m.Rect.Inset(margin); !got.In(room) {
				t.Errorf("%s at %dx%d: drawn in %v, want inside %v", name, s[0], s[1], got, room)
			}
			if n < s[0]*s[1]/400 {
				t.Errorf("%s at %dx%d: only %d pixels drawn", name, s[0], s[1], n)
			}
		}
	}
}

func TestEveryFieldIsDrawn(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	_, all := ink(draw(t, r, 640, 480, card()))
	for name, blank := range map[string]func(*placeholder.Card){
		"title":  func(c *placeholder.Card) { c.Title = "" },
		"cause":  func(c *placeholder.Card) { c.Cause = "" },
		"remedy": func(c *placeholder.Card) { c.Remedy = "" },
		"footer": func(c *placeholder.Card) { c.Footer = "" },
	} {
		c := card()
		blank(&c)
		if _, n := ink(draw(t, r, 640, 480, c)); n >= all {
			t.Errorf("without the %s %d pixels are drawn, with it %d", name, n, all)
		}
	}
}

func TestAnySizeAndTextIsDrawnWithoutACrash(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	texts := []string{
		"", " \n\t ", "日本語のテキスト 🎥", "\xff\xfe broken", "a\x00b\x1b[31m", strings.Repeat("W", 5000),
		strings.Repeat("i ", 3000), "e\u0301\u0301\u0301", "\u202eright to left",
	}
	for _, s := range [][2]int{{1, 1}, {2, 1}, {16, 16}, {17, 33}, {63, 64}, {64, 64}, {86, 64}, {16, 2000}, {2000, 16}, {2000, 65}} {
		for i, text := range texts {
			c := placeholder.Card{Title: text, Cause: text, Remedy: text, Footer: text}
			m := draw(t, r, s[0], s[1], c)
			if _, n := ink(m); n == 0 && s[0] > 16 && s[1] > 16 {
				t.Errorf("text %d at %dx%d: nothing drawn", i, s[0], s[1])
			}
		}
	}
	for _, s := range [][2]int{{0, 1}, {1, 0}, {-1, 5}, {device.MaxSide + 1, 1}, {device.MaxSide, device.MaxSide}} {
		if _, err := r.Draw(s[0], s[1], card()); err == nil {
			t.Errorf("size %v was accepted", s)
		}
		if _, err := r.Render(s[0], s[1], card(), 80, ""); err == nil {
			t.Errorf("size %v was rendered", s)
		}
	}
}

func TestUnknownLettersBecomeQuestionMarks(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	a := draw(t, r, 640, 480, placeholder.Card{Title: "日本 ok"})
	b := draw(t, r, 640, 480, placeholder.Card{Title: "??  \n ok"})
	if !bytes.Equal(a.Y, b.Y) {
		t.Error("unknown letters are not drawn as '?'")
	}
}

func TestLongTextShrinksBeforeItIsCut(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	c := card()
	c.Remedy = strings.Repeat("Check the cable. ", 14)
	longer := c
	longer.Remedy += "END"
	// The last word shows, so the text was not cut.
	if bytes.Equal(draw(t, r, 1280, 720, c).Y, draw(t, r, 1280, 720, longer).Y) {
		t.Error("the end of a text that fits in smaller letters is missing")
	}
}

func TestBufferIsYU12WithoutPadding(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for _, s := range [][2]int{{640, 480}, {641, 361}} {
		b, err := r.Buffer(s[0], s[1], card())
		if err != nil {
			t.Fatal(err)
		}
		m := draw(t, r, s[0], s[1], card())
		want := append(append(bytes.Clone(m.Y), m.Cb...), m.Cr...)
		if !bytes.Equal(b.Data, want) || b.Format.FourCC != device.YU12 || b.Format.Stride != s[0] {
			t.Errorf("%v: got %d bytes of %v, stride %d", s, len(b.Data), b.Format, b.Format.Stride)
		}
	}
}

func TestRenderGivesAnIntactPicture(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for _, s := range [][2]int{{16, 16}, {320, 240}, {641, 361}, {3840, 2160}} {
		out, err := r.Render(s[0], s[1], card(), 80, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := jpeg.Clean(out)
		if err != nil || p.Width != s[0] || p.Height != s[1] || !bytes.Equal(p.Data, out) {
			t.Errorf("%v: got %+v, %v", s, p.Info, err)
		}
		if _, err := stdjpeg.Decode(bytes.NewReader(out)); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	if _, err := r.Render(320, 240, card(), 101, ""); err == nil {
		t.Error("quality 101 was accepted")
	}
}

func TestRendererMayBeShared(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	want := draw(t, r, 320, 240, card())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if m, err := r.Draw(320, 240, card()); err != nil || !bytes.Equal(m.Y, want.Y) {
				t.Errorf("another picture beside others: %v", err)
			}
		})
	}
	wg.Wait()
}

// A card may take 30 ms at 1280x720; run with
// go test -run '^$' -bench . -benchmem ./pkg/placeholder .
func BenchmarkRender(b *testing.B) {
	for _, s := range [][2]int{{320, 240}, {1280, 720}, {3840, 2160}} {
		r := newRenderer(b)
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				out, err := r.Render(s[0], s[1], card(), 80, "")
				if err != nil {
					b.Fatal(err)
				}
				size = len(out)
			}
			b.ReportMetric(float64(size)/1000, "KB/frame")
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		newRenderer(b)
	}
}

func TestRenderHasTheSamplingOfTheLivePictures(t *testing.T) {
	r := newRenderer(t)
	enc, err := encode.New(device.Format{FourCC: device.GREY, Width: 16, Height: 16}, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for _, sampling := range []string{"4:2:0", "4:2:2", "4:4:4", "4:4:0", "4:0:0"} {
		want := sampling
		if enc.Name() == "image/jpeg" && sampling != "4:0:0" {
			want = "4:2:0" // it knows no other
		}
		out, err := r.Render(320, 240, card(), 80, sampling)
		if err != nil {
			t.Fatal(err)
		}
		info, err := jpeg.Header(out)
		if err != nil || info.Sampling != want || info.Width != 320 || info.Height != 240 {
			t.Errorf("%s: got %+v, %v", sampling, info, err)
		}
	}
}
