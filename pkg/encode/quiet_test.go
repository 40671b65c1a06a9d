package encode_test

import (
	"bytes"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/encode"
)

// See quiet: a comment before the end, once, and only where nothing is stuffed.
func TestFlatPicturesEndWithAnEmptyComment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o encode.Options) {
		t.Helper()
		comment := []byte{0xff, 0xfe, 0, 2, 0xff, 0xd9}
		f := device.Format{FourCC: device.GREY, Width: 64, Height: 48}
		flat := encodeOnce(t, newEncoder(t, f, o), f, make([]byte, 64*48))
		drawn, err := newPixelEncoder(t, o).EncodePixels(make([]byte, 64*48), 64, 48, 0, encode.GRAY)
		if err != nil {
			t.Fatal(err)
		}
		o.Quality = 50
		for name, file := range map[string][]byte{"raw": flat, "drawn": drawn, "transcoded": transcode(t, newTranscoder(t, o), flat)} {
			if bytes.Count(file, comment[:4]) != 1 || !bytes.HasSuffix(file, comment) {
				t.Errorf("%s: ends with % x", name, file[len(file)-12:])
			}
			decode(t, file)
		}
		f.Width, f.Height = 320, 240
		busy := encodeOnce(t, newEncoder(t, f, o), f, noise(320*240))
		if bytes.HasSuffix(busy, comment) {
			t.Error("a picture with stuffed bytes got a comment")
		}
	})
}
