package device

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

// FuzzControlValue reads what a page or a settings file says about a control. What
// is accepted can be written and read again without a change.
func FuzzControlValue(f *testing.F) {
	for _, s := range []string{`1`, `-2.5`, `true`, `"Manual Mode"`, `null`, `[1]`, `{}`, `1e400`, `"\u0000"`, ` 9007199254740993`, `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v ControlValue
		if err := json.Unmarshal(data, &v); err != nil {
			return
		}
		if !v.IsText && (math.IsNaN(v.Number) || math.IsInf(v.Number, 0) || v.Text != "") {
			t.Errorf("%q: %+v", data, v)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		var w ControlValue
		if err := json.Unmarshal(again, &w); err != nil || !reflect.DeepEqual(v, w) {
			t.Errorf("%q: %+v became %+v, %v", data, v, w, err)
		}
	})
}

// FuzzFormat reads formats as /state shows them, also to another webgear.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{
		`{"pixel_format":"MJPG","width":1280,"height":720,"frame_rate":29.97}`, `{"pixel_format":"    "}`, `{"pixel_format":"\u0000A"}`,
		`{"frame_rate":1e300}`, `{"frame_rate":-1}`, `{"frame_rate":0.0001}`, `{"frame_rate":4294967.296}`, `{"stride_bytes":-1}`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Format
		if err := json.Unmarshal(data, &v); err != nil {
			return
		}
		if r := v.Rate.Float(); !(r >= 0 && r < 1e7) || v.Rate != (Rate{}) && v.Rate.Den == 0 {
			t.Errorf("%q: rate %+v", data, v.Rate)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		var w Format
		if err := json.Unmarshal(again, &w); err != nil {
			t.Fatalf("%q was written as %s: %v", data, again, err)
		}
		if w.FourCC.String() != v.FourCC.String() || w.Width != v.Width || w.Rate.String() != v.Rate.String() {
			t.Errorf("%q: %+v became %+v", data, v, w)
		}
		for _, c := range v.String() {
			if c < ' ' {
				t.Errorf("%q is shown as %q", data, v.String())
			}
		}
	})
}

// FuzzParseFourCC holds that every name that is accepted is one of the known ones,
// and that the code's own text means the same.
func FuzzParseFourCC(f *testing.F) {
	for _, s := range []string{"YUYV", " yuyv422 ", "mjpg", "RGB3", "", "bgr0", "ſ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, err := ParseFourCC(s)
		if err != nil {
			return
		}
		if _, ok := code.Rank(); !ok {
			t.Errorf("%q is %v, which cannot be used", s, code)
		}
		if again, err := ParseFourCC(code.String()); err != nil || again != code {
			t.Errorf("%q: %v became %v, %v", s, code, again, err)
		}
	})
}
