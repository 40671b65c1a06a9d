package placeholder

import (
	"testing"
)

// FuzzDraw draws cards with any words, such as errors that quote what a camera
// calls itself, in any size that a stream may have.
func FuzzDraw(f *testing.F) {
	f.Add(uint16(640), uint16(480), "Camera unplugged", "It was there.", "Plug it in again.", "attic")
	f.Add(uint16(16), uint16(16), "a", "", "", "")
	f.Add(uint16(16), uint16(900), "Ünplügged \u202e\x00", "x\n\n\ty", "zwölf\xff", "日本")
	f.Add(uint16(1000), uint16(16), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", "", "\u00ad")
	r, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, width, height uint16, title, cause, remedy, footer string) {
		w, h := 16+int(width)%1000, 16+int(height)%1000
		img, err := r.Draw(w, h, Card{Title: title, Cause: cause, Remedy: remedy, Footer: footer})
		if err != nil {
			t.Fatalf("%dx%d: %v", w, h, err)
		}
		if img.Rect.Dx() != w || img.Rect.Dy() != h {
			t.Errorf("%v, want %dx%d", img.Rect, w, h)
		}
	})
}
