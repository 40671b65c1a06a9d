package capture

import (
	"bytes"
	"errors"
	stdjpeg "image/jpeg"
	"log/slog"
	"testing"

	"github.com/webgear-pi/webgear/device"
	"github.com/webgear-pi/webgear/pkg/jpeg"
)

// bare takes the Huffman tables out of a file, as video encoders leave them out.
func bare(file []byte) []byte {
	out := append([]byte(nil), file[:2]...)
	for at := 2; at+4 <= len(file); {
		n := 2 + int(file[at+2])<<8 + int(file[at+3])
		if file[at+1] == 0xda {
			return append(out, file[at:]...)
		}
		if file[at+1] != 0xc4 {
			out = append(out, file[at:at+n]...)
		}
		at += n
	}
	return nil
}

func TestFilesOfHardwareGetTheTablesTheyLackAndIntactOnesAreNotCopied(t *testing.T) {
	f := device.Format{FourCC: device.YU12, Width: 64, Height: 48}
	raw, err := newRawLayout(f)
	if err != nil {
		t.Fatal(err)
	}
	b := &device.Buffer{Format: f, Data: make([]byte, raw.size)}
	for i := range b.Data {
		b.Data[i] = byte(60 + 120*i/len(b.Data))
	}
	for name, tt := range map[string]struct {
		result func([]byte) []byte
		copied bool
		fails  bool
	}{
		"intact":         {result: func(file []byte) []byte { return file }},
		"padded":         {result: func(file []byte) []byte { return append(file, 0, 0, 0) }},
		"without tables": {result: bare, copied: true},
		"cut":            {result: func(file []byte) []byte { return file[:len(file)/2] }, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var file, made []byte
			hw := &fakeMaker{name: "hw", hardware: true, result: func(out []byte) []byte {
				file = out
				made = tt.result(append([]byte(nil), out...))
				return made
			}}
			c, err := newEncoders([]device.EncoderMaker{hw.maker()}, 80, slog.New(slog.DiscardHandler)).choose(t.Context(), f, raw, func(string, bool) {})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				out, err := c.Encode(b)
				if tt.fails {
					if !errors.Is(err, jpeg.ErrTruncated) {
						t.Errorf("got %v, want ErrTruncated", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(out, []byte{0xff, 0xc4}) || !tt.copied && !bytes.Equal(out, file) {
					t.Error("the file is not what a viewer should get")
				}
				if copied := &out[0] != &made[0]; copied != tt.copied {
					t.Errorf("copied %v, want %v", copied, tt.copied)
				}
				if _, err := stdjpeg.Decode(bytes.NewReader(out)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
