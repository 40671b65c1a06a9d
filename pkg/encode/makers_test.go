package encode_test

import (
	"slices"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

func TestMakersMakeWhatTheyPromise(t *testing.T) {
	t.Parallel()
	all := encode.Makers(encode.Options{Gray: true, Quality: 5})
	if all[0].Name != defaultName || all[len(all)-1].Name != "image/jpeg" || len(all) > 2 {
		t.Errorf("got %d, first %s", len(all), all[0].Name)
	}
	if portable := encode.Makers(encode.Options{Portable: true}); len(portable) != 1 || portable[0].Name != "image/jpeg" {
		t.Errorf("got %d portable ones", len(portable))
	}
	for _, m := range all {
		for _, code := range append(slices.Clone(formats), device.MJPG, device.FourCC(1)) {
			f := device.Format{FourCC: code, Width: 48, Height: 32}
			ok := slices.Contains(formats, code)
			if m.Accepts(f) != ok || m.Hardware {
				t.Errorf("%s accepts %s: %v", m.Name, code, m.Accepts(f))
			}
			e, err := m.New(t.Context(), f, 60)
			if !ok {
				if err == nil || e != nil {
					t.Errorf("%s made %v for %s", m.Name, e, code)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if w, h := e.Size(); e.Name() != m.Name || w != 48 || h != 32 {
				t.Errorf("%s made %s, %dx%d", m.Name, e.Name(), w, h)
			}
			if out, err := e.Encode(&device.Buffer{Data: scene(f), Format: f}); err != nil || len(out) == 0 {
				t.Errorf("%s %s: %v", m.Name, code, err)
			}
			e.Close()
		}
	}
}
